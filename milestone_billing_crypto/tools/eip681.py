"""Payment URIs of EIP-681: https://eips.ethereum.org/EIPS/eip-681

The target of a token URI is the *token contract*: a wallet that ignores the function part would send
native coin to it. So a token URI is never shown as the only code.
"""

import re
from typing import NamedTuple

from .address import normalize, to_checksum

_URI_RE = re.compile(
    r"ethereum:(?:pay-)?(0x[0-9a-fA-F]{40})@(\d{1,20})/transfer\?address=(0x[0-9a-fA-F]{40})&uint256=(\d{1,78})"
)


class PaymentRequest(NamedTuple):
    """What a token payment URI asks for; ``base_units`` is an integer."""

    token: str
    chain_id: int
    to: str
    base_units: int


class UriError(ValueError):
    """The text is not a token payment URI."""


def build(request: PaymentRequest) -> str:
    """Return the URI of a token transfer, with checksummed addresses."""
    if request.base_units <= 0 or request.chain_id <= 0:
        raise UriError("amount and chain must be positive")
    token, to = to_checksum(normalize(request.token)), to_checksum(normalize(request.to))
    return f"ethereum:{token}@{request.chain_id}/transfer?address={to}&uint256={request.base_units}"


def build_coin(to: str, chain_id: int, base_units: int) -> str:
    """Return the URI of a transfer of the network's own coin."""
    if base_units <= 0 or chain_id <= 0:
        raise UriError("amount and chain must be positive")
    return f"ethereum:{to_checksum(normalize(to))}@{chain_id}?value={base_units}"


def parse(uri: str) -> PaymentRequest:
    """Read a URI made by :func:`build`.

    :raise UriError: if it is anything else.
    """
    match = _URI_RE.fullmatch(uri)
    if not match:
        raise UriError(f"not a token payment URI: {uri[:80]!r}")
    token, chain_id, to, value = match.groups()
    return PaymentRequest(normalize(token), int(chain_id), normalize(to), int(value))
