"""Write an evidence bundle: a ZIP whose bytes depend on its content only."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable

from .verify import bundle_id, canonical

# The earliest time a ZIP can hold; the true times are in the entries.
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def safe_name(name: str) -> str:
    """Return a file name reduced to letters, digits, dot, dash and underscore, without leading dots."""
    return _UNSAFE.sub("_", name or "").lstrip(".")[-80:] or "file"


def make_manifest(files: dict[str, bytes], made_at: str, software: str, exported_by: str | None) -> bytes:
    """Return the manifest of a bundle; its id follows from the content, so equal content gives equal bytes."""
    listed = [
        {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in sorted(files.items())
    ]
    manifest = {
        "exported_by": exported_by,
        "files": listed,
        "made_at": made_at,
        "software": software,
        "v": 1,
    }
    return canonical({**manifest, "bundle_id": bundle_id(manifest)})


def write_bundle(
    files: dict[str, bytes], made_at: str, software: str, exported_by: str | None = None
) -> bytes:
    """Return the ZIP: names sorted, times fixed, uncompressed (deflate differs between libraries), manifest added.

    :param dict files: name to bytes.
    :param str made_at: time of the last entry in it, UTC; a clock would make two equal exports differ.
    :param str exported_by: random reference of who exported it.
    """
    content = {**files, "manifest.json": make_manifest(files, made_at, software, exported_by)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as bundle:
        for name, data in sorted(content.items()):
            info = zipfile.ZipInfo(name, _FIXED_TIME)
            info.compress_type = zipfile.ZIP_STORED
            info.external_attr = 0o644 << 16
            info.create_system = 3
            bundle.writestr(info, data)
    return buffer.getvalue()


def dump_lines(items: Iterable[dict]) -> bytes:
    """Return one canonical JSON object a line."""
    return b"".join(canonical(item) + b"\n" for item in items)


def dump_inclusion(log_id: str, proofs: Iterable[dict]) -> bytes:
    """Return ``log/inclusion.json`` with one proof a line, so that it can be read in a stream."""
    head = b'{"log_id":' + json.dumps(log_id).encode() + b',"v":1,"proofs":['
    lines = [canonical(proof) for proof in proofs]
    return head + (b"\n" + b",\n".join(lines) if lines else b"") + b"\n]}\n"


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes, 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


README = """Evidence of a milestone approval
================================

To check it you need Python 3.11 or later and nothing else:

    unzip BUNDLE.zip verify/verify.py
    python verify/verify.py BUNDLE.zip
    python verify/verify.py BUNDLE.zip --head HASH   (the chain head in a receipt you were sent)
    python verify/verify.py BUNDLE.zip --tsa-ca PEM  (the root certificate of the authority that stamped the log)

It recomputes every hash and the state of the approval from the events, and gives a verdict for each item.
The program is one file; read it before you run it, or write your own: the format is described at its functions.

certificate.pdf      the approval as a document for people, when one was issued
manifest.json        name, size and SHA-256 of every file
snapshot/            exactly what the client was shown, one file a revision, named by its hash
chain/entries.jsonl  the events, one a line, each holding the hash of the one before it
chain/hashes.txt     number and hash of each event
chain/values.jsonl   personal data of the events, with the salt that ties each value to its event
chain/withheld.jsonl personal data that exists but is not for the reader of this copy
log/                 the seller's log: signed checkpoints, proofs that the events stand in it, the public key
anchors/             traces of the log outside the seller's reach: mails, time stamps (.tsr, with the question .tsq and
                     the certificates .cer), transactions; also: openssl ts -reply -in FILE.tsr -text
consent/, notice/    the texts the client agreed to and was informed by
proof/               the files the client was shown; sha256sum gives the value named in the snapshot
invoice/             the invoice that was issued
mail/                the mails to the approvers as they were queued; the secret of a link in them is blanked: ***
keys/                what a passkey or wallet signed, when one was used
dispute/             files for a card dispute, in a dispute copy
verify/verify.py     the verifier

What this does not prove: that the person at the keyboard was the named human; that an event which was never
recorded did not happen; anything after the last checkpoint that was anchored outside.
"""
