"""What a proof file really is, read from its first bytes; never from its name or from what the sender claimed."""

from __future__ import annotations

from typing import NamedTuple

HEAD_SIZE = 64
DOWNLOAD = "application/octet-stream"


class FileType(NamedTuple):
    """A type that is safe to serve, and how it is shown: image, video, document or file (download only)."""

    mimetype: str
    kind: str


_FILE = FileType(DOWNLOAD, "file")
_SIGNATURES = (
    (0, b"\xff\xd8\xff", FileType("image/jpeg", "image")),
    (0, b"\x89PNG\r\n\x1a\n", FileType("image/png", "image")),
    (0, b"GIF87a", FileType("image/gif", "image")),
    (0, b"GIF89a", FileType("image/gif", "image")),
    (8, b"WEBP", FileType("image/webp", "image")),
    (0, b"%PDF-", FileType("application/pdf", "document")),
    (0, b"\x1aE\xdf\xa3", FileType("video/webm", "video")),
)
_BRANDS = {
    b"avif": FileType("image/avif", "image"),
    b"qt  ": FileType("video/quicktime", "video"),
    b"heic": FileType("image/heic", "file"),
}


def sniff(head: bytes) -> FileType:
    """Tell what a file is.

    Everything that a browser could run (HTML, SVG, scripts) and everything unknown is a plain download.

    :param head: at least the first 16 bytes, if there are so many.
    """
    for offset, magic, found in _SIGNATURES:
        if head[offset : offset + len(magic)] == magic and (
            found.mimetype != "image/webp" or head[:4] == b"RIFF"
        ):
            return found
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], FileType("video/mp4", "video"))
    return _FILE
