"""Take personal values out of texts that repeat them: notes, mails, activities."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable

BLANK = "***"
LENGTH_MIN = 3
# Values that people write into texts; hashes, devices and browsers are not among them.
WRITTEN = (
    "account_id",
    "actor_email",
    "actor_name",
    "actor_phone",
    "ip",
    "reason",
    "reservation_text",
    "to",
    "typed_name",
)


def written_texts(name: str, value: str | None) -> set[str]:
    """Return the texts under which a personal value may stand elsewhere, line by line."""
    if name not in WRITTEN or not value:
        return set()
    texts = reservation_texts(value) if name == "reservation_text" else [value]
    lines = {line.strip() for text in texts for line in text.splitlines()}
    return {line for line in lines if len(line) >= LENGTH_MIN}


def reservation_texts(value: str) -> list[str]:
    """Return the points that an approver wants fixed; a value of another form as it is."""
    try:
        return [str(item["text"]) for item in json.loads(value)]
    except (ValueError, LookupError, TypeError):
        return [value]


class Redactor:
    """Blank a set of texts wherever they stand as whole words, also as HTML writes them."""

    def __init__(self, texts: Iterable[str]):
        forms = {form for text in texts for form in (text, html.escape(text), html.escape(text, quote=False))}
        # The longest first: a name is often part of an address.
        parts = [re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form))]
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)", re.IGNORECASE) if parts else None

    def __call__(self, text: str | None) -> str | None:
        """Return a text with what is to go blanked; the text itself where nothing is."""
        if not text or self._pattern is None:
            return text
        return self._pattern.sub(BLANK, text)
