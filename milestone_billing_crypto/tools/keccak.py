"""Keccak-256 as Ethereum uses it, by pycryptodome."""

from Crypto.Hash import keccak


def keccak256(data: bytes) -> bytes:
    """Return the 32 bytes of the Keccak-256 digest (not SHA3-256, whose padding differs)."""
    digest = keccak.new(digest_bits=256)
    digest.update(data)
    return digest.digest()
