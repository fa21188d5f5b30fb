"""The sheet of a retainage release: what was held on each invoice, released before, released now, still held.

All amounts are whole units of the currency. Releases take what is due first, as the ledger matches them; a credit note
of a release holds again what that release took last, as the ledger takes its matches back.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Entry:
    """What one document holds back (positive) or gives back (negative).

    ``origin`` is the key of the document that a credit note takes back, ``due`` the day on which what is held back
    is due. A document that says itself of which invoices it gives back has that as ``parts``, units by key.
    """

    key: object
    units: int
    origin: object = None
    due: date = date.min
    parts: dict | None = None


@dataclass
class Row:
    """What became of the retainage of one invoice."""

    held: int
    before: int = 0
    now: int = 0
    due: date = date.min

    @property
    def left(self):
        return self.held - self.before - self.now


def release_sheet(entries):
    """Compute the sheet as of the last document; what is left adds up to what all documents hold.

    :param list[Entry] entries: documents in order, the release last.
    :return: rows by the key of the invoice, oldest first.
    :rtype: dict[object, Row]
    """
    rows, releases = {}, {}
    for place, entry in enumerate(entries):
        if entry.parts is not None:
            _follow(rows, entry, "now" if place == len(entries) - 1 else "before")
        elif entry.origin in releases and entry.units > 0:
            _undo(rows, releases[entry.origin], entry.units)
        elif entry.units > 0:
            rows[entry.key] = Row(held=entry.units, due=entry.due)
        elif entry.origin in rows:
            rows[entry.origin].held += entry.units
        else:
            name = "now" if place == len(entries) - 1 else "before"
            releases[entry.key] = _take(rows, -entry.units, name)
    return rows


def _follow(rows, entry, name):
    """Read what a document says of which invoices it holds back, credits, gives back or holds again."""
    for key, units in entry.parts.items():
        if key == entry.key:
            rows[key] = Row(held=units, due=entry.due)
        elif key == entry.origin:
            rows[key].held += units
        else:
            setattr(rows[key], name, getattr(rows[key], name) - units)


def _take(rows, units, name):
    """Take units from the rows that are due first and still hold some; tell what was taken of which."""
    taken = {}
    for key, row in sorted(rows.items(), key=lambda item: item[1].due):
        part = min(units, max(row.left, 0))
        if part:
            setattr(row, name, getattr(row, name) + part)
            taken[key], units = part, units - part
    return taken


def _undo(rows, taken, units):
    """Hold again what a reversed release had taken, the newest first."""
    for key in reversed(taken):
        part = min(units, taken[key])
        rows[key].before -= part
        taken[key] -= part
        units -= part
