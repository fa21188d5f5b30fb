"""Receiving addresses from an extended public key (BIP-32), watch-only.

Derivation and curve arithmetic are the ``bip32`` and ``coincurve`` libraries'. Depth decides the path:
an account key (depth 3, m/44'/60'/0') derives 0/i, a receiving chain (depth 4) derives i.
"""

import re
from typing import NamedTuple

import coincurve
from bip32 import BIP32
from bip32.base58 import b58decode_check

from .address import from_public_key

#: BIP-32: indices from 2^31 on are hardened and cannot be derived from a public key.
INDEX_MAX = 2**31 - 1
#: BIP-39: how many words there are; several lists after each other too.
_SEED_WORDS = {12, 15, 18, 21, 24, 36, 48}
_OTHER_PUBLIC = {"tpub", "ypub", "zpub", "upub", "vpub", "Ypub", "Zpub", "Upub", "Vpub"}
_PRIVATE = {"xprv", "tprv", "yprv", "zprv", "uprv", "vprv", "Yprv", "Zprv", "Uprv", "Vprv"}


class XpubError(ValueError):
    """The key is refused; ``code`` tells why. The text never carries the input: it may be a secret."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class ExtendedKey(NamedTuple):
    """A checked account or receiving-chain key."""

    xpub: str
    depth: int
    fingerprint: str


def is_secret(text: str, may_be_hash: bool = False) -> bool:
    """Tell whether a text looks like a private key or seed words, so that it is dropped at once.

    :param bool may_be_hash: 32 bytes in hex are expected there, as in the hash of a transaction.
    """
    text = (text or "").strip()
    if re.search(r"\b[xtyzuvYZUV]prv[1-9A-HJ-NP-Za-km-z]{20,}", text):
        return True
    if not may_be_hash and re.search(r"(?<![0-9a-fA-F])(0x)?[0-9a-fA-F]{64}(?![0-9a-fA-F])", text):
        return True
    words = [word for word in re.split(r"[\s,;]+", text.lower()) if not re.fullmatch(r"\d{0,2}[.:)]?", word)]
    return len(words) in _SEED_WORDS and all(re.fullmatch(r"[a-z]{3,8}", word) for word in words)


def check(text: str) -> ExtendedKey:
    """Check an extended public key given by a merchant.

    :raise XpubError: ``private``, ``network``, ``format``, ``checksum``, ``depth_master``,
        ``depth_single``, ``depth`` or ``curve``.
    """
    text = (text or "").strip()
    if is_secret(text) or text[:4] in _PRIVATE:
        raise XpubError("private")
    if text[:4] in _OTHER_PUBLIC:
        raise XpubError("network")
    if text[:4] != "xpub" or not re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{100,112}", text):
        raise XpubError("format")
    raw = _decode(text)
    depth = raw[4]
    if depth not in (3, 4):
        raise XpubError({0: "depth_master", 5: "depth_single"}.get(depth, "depth"))
    try:
        coincurve.PublicKey(raw[45:])
    except ValueError:
        raise XpubError("curve") from None
    return ExtendedKey(text, depth, BIP32.from_xpub(text).get_fingerprint().hex())


def _decode(text):
    try:
        raw = b58decode_check(text)
    except ValueError:
        raise XpubError("checksum") from None
    if len(raw) != 78:
        raise XpubError("format")
    return raw


def derive(key: ExtendedKey, indices) -> list[str]:
    """Return the receiving addresses (lower case) of several indices, in their order.

    :raise XpubError: ``index`` if an index is negative or hardened.
    """
    node = BIP32.from_xpub(key.xpub)
    prefix = [0] if key.depth == 3 else []
    addresses = []
    for index in indices:
        if not 0 <= index <= INDEX_MAX:
            raise XpubError("index")
        compressed = node.get_pubkey_from_path(prefix + [index])
        addresses.append(from_public_key(coincurve.PublicKey(compressed).format(compressed=False)))
    return addresses


def path_text(depth: int, index: int) -> str:
    """Return the derivation path of an index below the given key, for the merchant's wallet."""
    return f"0/{index}" if depth == 3 else str(index)
