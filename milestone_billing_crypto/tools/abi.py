"""The few ABI encodings which an ERC-20 watcher needs."""

import re

from .address import to_topic

#: First four bytes of the Keccak-256 of the signatures (EIP-20).
SELECTOR_BALANCE_OF = "0x70a08231"
SELECTOR_DECIMALS = "0x313ce567"
SELECTOR_SYMBOL = "0x95d89b41"
SELECTOR_TRANSFER = "0xa9059cbb"


class AbiError(ValueError):
    """The answer of a contract cannot be read."""


def encode_balance_of(address: str) -> str:
    """Return the call data of ``balanceOf(address)``."""
    return SELECTOR_BALANCE_OF + to_topic(address)[2:]


def encode_transfer(to: str, base_units: int) -> str:
    """Return the call data of ``transfer(to, value)``, for a payer's wallet to sign."""
    return SELECTOR_TRANSFER + to_topic(to)[2:] + f"{base_units:064x}"


def decode_uint(data) -> int:
    """Read one unsigned word.

    :raise AbiError: if there is no whole word, as when no contract lives at the address.
    """
    if not isinstance(data, str) or not re.fullmatch(r"0x[0-9a-fA-F]{64,}", data):
        raise AbiError(f"not a word: {str(data)[:70]}")
    return int(data[2:66], 16)


def decode_symbol(data) -> str:
    """Read a token symbol: a ``string``, or ``bytes32`` as a few old tokens answer.

    :raise AbiError: if it is neither.
    """
    if not isinstance(data, str) or not re.fullmatch(r"0x([0-9a-fA-F]{64})+", data):
        raise AbiError(f"not a symbol: {str(data)[:70]}")
    raw = bytes.fromhex(data[2:])
    if len(raw) == 32:
        text = raw.rstrip(b"\0")
    else:
        offset = int.from_bytes(raw[:32], "big")
        length = int.from_bytes(raw[offset : offset + 32], "big")
        text = raw[offset + 32 : offset + 32 + length]
        if offset + 32 + length > len(raw) or length > 64:
            raise AbiError("symbol out of bounds")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AbiError("symbol is not text") from error
