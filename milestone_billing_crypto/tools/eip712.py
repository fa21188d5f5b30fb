"""Typed data that a wallet signs over a submission (EIP-712), and who signed it.

Sources: https://eips.ethereum.org/EIPS/eip-712 and, for the low half of s, https://eips.ethereum.org/EIPS/eip-2
"""

import re

from coincurve import PublicKey

from .address import from_public_key
from .keccak import keccak256

DOMAIN_NAME = "Milestone approval"
DOMAIN_VERSION = "1"
#: Ethereum's own number: every wallet knows this network. Nothing is sent there.
CHAIN_ID = 1
PRIMARY_TYPE = "Approval"
TYPES = {
    "EIP712Domain": (("name", "string"), ("version", "string"), ("chainId", "uint256")),
    PRIMARY_TYPE: (
        ("request_id", "string"),
        ("snapshot_sha256", "bytes32"),
        ("amount", "string"),
        ("currency", "string"),
        ("decision", "string"),
        ("nonce", "bytes32"),
    ),
}

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_SIGNATURE_RE = re.compile(r"0x[0-9a-fA-F]{130}")
_RECOVERY = {0: 0, 1: 1, 27: 0, 28: 1}


class SignatureError(ValueError):
    """The text is not a usable signature."""


def build(message: dict, chain_id: int = CHAIN_ID) -> dict:
    """Return the typed data as ``eth_signTypedData_v4`` takes it.

    :param message: a value for each field of the primary type; 32 bytes as 0x and 64 hex digits.
    """
    return {
        "types": {
            name: [{"name": field, "type": kind} for field, kind in members]
            for name, members in TYPES.items()
        },
        "primaryType": PRIMARY_TYPE,
        "domain": {"name": DOMAIN_NAME, "version": DOMAIN_VERSION, "chainId": chain_id},
        "message": {name: message[name] for name, _kind in TYPES[PRIMARY_TYPE]},
    }


def digest(typed_data: dict) -> bytes:
    """Return the 32 bytes that are signed.

    :param typed_data: as :func:`build` gives it.
    """
    domain = _hash_struct("EIP712Domain", typed_data["domain"])
    return keccak256(b"\x19\x01" + domain + _hash_struct(PRIMARY_TYPE, typed_data["message"]))


def _hash_struct(name, values):
    members = TYPES[name]
    text = f"{name}({','.join(f'{kind} {field}' for field, kind in members)})"
    words = [keccak256(text.encode())] + [_encode(kind, values[field]) for field, kind in members]
    return keccak256(b"".join(words))


def _encode(kind, value):
    if kind == "string":
        return keccak256(value.encode())
    if kind == "uint256":
        return value.to_bytes(32, "big")
    word = bytes.fromhex(value[2:])
    if len(word) != 32 or value[:2] != "0x":
        raise ValueError("not 32 bytes")
    return word


def recover(signed: bytes, signature: str) -> str:
    """Return the lower-case address whose key signed a digest.

    A signature has one form only: the other half of s, which anybody can compute from it, is refused.

    :param signed: the 32 bytes of :func:`digest`.
    :param signature: 0x and 65 bytes in hex: r, s, and v as 27, 28, 0 or 1.
    :raise SignatureError: if it is malformed or nobody's.
    """
    text = (signature or "").strip()
    if not _SIGNATURE_RE.fullmatch(text):
        raise SignatureError("not 65 bytes")
    raw = bytes.fromhex(text[2:])
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big")
    if raw[64] not in _RECOVERY or not 0 < r < _ORDER or not 0 < s <= _ORDER // 2:
        raise SignatureError("out of range")
    try:
        key = PublicKey.from_signature_and_message(
            raw[:64] + bytes([_RECOVERY[raw[64]]]), signed, hasher=None
        )
    except Exception as error:  # the library raises plain Exception when there is no such point
        raise SignatureError("nobody's signature") from error
    return from_public_key(key.format(compressed=False))
