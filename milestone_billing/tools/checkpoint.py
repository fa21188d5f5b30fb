"""Sign checkpoints of the company log (C2SP tlog-checkpoint: a signed note with Ed25519)."""

from __future__ import annotations

import base64

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .verify import ED25519_SPKI_PREFIX, EvidenceError, checkpoint_lines, key_id


def load_private_key(data: bytes) -> Ed25519PrivateKey:
    """Read a private key: PEM (PKCS#8, no passphrase), or the seed as 64 hex digits.

    :raise EvidenceError: when the data is neither.
    """
    text = data.strip()
    try:
        if len(text) == 64:
            return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text.decode()))
        key = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EvidenceError("the key file holds no Ed25519 private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise EvidenceError("the key file holds no Ed25519 private key")
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """Return the 32 bytes of the public key."""
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def public_pem(key: Ed25519PrivateKey) -> str:
    """Return the public key as PEM."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def make_note(origin: str, size: int, root: bytes, key: Ed25519PrivateKey | None = None) -> str:
    """Return the checkpoint note, signed when a key is given."""
    signed = checkpoint_lines(origin, size, root)
    note = signed.decode() + "\n"
    if key:
        data = key_id(origin, public_bytes(key)) + key.sign(signed)
        note += f"\u2014 {origin} {base64.b64encode(data).decode()}\n"
    return note


def pem_from_raw(data: bytes) -> str:
    """Return an Ed25519 public key of 32 bytes as PEM."""
    body = base64.b64encode(ED25519_SPKI_PREFIX + data).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"
