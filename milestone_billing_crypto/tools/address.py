"""EVM addresses: normal form, EIP-55 checksum, topics, fingerprint."""

import hashlib
import re

from .keccak import keccak256

ZERO_ADDRESS = "0x" + "0" * 40
_HEX_RE = re.compile(r"0[xX][0-9a-fA-F]{40}")


class AddressError(ValueError):
    """The text is not a usable address; ``code`` tells why. It never carries the input: it may be a secret."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def to_checksum(address: str) -> str:
    """Return the EIP-55 mixed-case form of an address.

    Source: https://eips.ethereum.org/EIPS/eip-55
    """
    plain = address[2:].lower()
    digest = keccak256(plain.encode()).hex()
    return "0x" + "".join(
        char.upper() if int(nibble, 16) >= 8 else char for char, nibble in zip(plain, digest, strict=False)
    )


def normalize(text: str) -> str:
    """Return the lower-case form of an address, after checking it.

    An address in mixed case must have the right EIP-55 checksum; all lower or all upper case has none to
    check. The zero address is refused: what is sent there is lost.

    :raise AddressError: code ``format``, ``checksum`` or ``zero``.
    """
    text = (text or "").strip()
    if not _HEX_RE.fullmatch(text):
        raise AddressError("format")
    plain = text[2:]
    if plain not in (plain.lower(), plain.upper()) and to_checksum(text) != "0x" + plain:
        raise AddressError("checksum")
    address = "0x" + plain.lower()
    if address == ZERO_ADDRESS:
        raise AddressError("zero")
    return address


def from_public_key(uncompressed: bytes) -> str:
    """Return the lower-case address of an uncompressed secp256k1 public key (65 bytes, 0x04 first)."""
    if len(uncompressed) != 65 or uncompressed[0] != 4:
        raise AddressError("format")
    return "0x" + keccak256(uncompressed[1:])[-20:].hex()


def to_topic(address: str) -> str:
    """Return the 32-byte topic of an indexed address."""
    return "0x" + "0" * 24 + address[2:].lower()


def from_topic(topic: str) -> str:
    """Return the address in a 32-byte topic.

    :raise AddressError: if the topic is not a left-padded address.
    """
    if not isinstance(topic, str) or not re.fullmatch(r"0x0{24}[0-9a-fA-F]{40}", topic):
        raise AddressError("topic")
    return "0x" + topic[26:].lower()


def fingerprint(address: str) -> str:
    """Return a short code which a person can compare between two papers, such as ``3F2A-91C0``.

    It is the start of the SHA-256 of the lower-case address; two addresses that look alike at both ends
    (as in address poisoning) have different fingerprints.
    """
    code = hashlib.sha256(address.lower().encode()).hexdigest()[:8].upper()
    return f"{code[:4]}-{code[4:]}"
