"""Write an evidence bundle: a ZIP whose bytes depend on its content only."""

from __future__ import annotations

import hashlib
import io
import json
import re
import uuid
import zipfile
from collections.abc import Iterable

from .verify import canonical

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
    content = hashlib.sha256(canonical(listed)).digest()
    return canonical(
        {
            "bundle_id": str(uuid.UUID(bytes=content[:16], version=5)),
            "exported_by": exported_by,
            "files": listed,
            "made_at": made_at,
            "software": software,
            "v": 1,
        }
    )


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
