"""The sheet of a retainage release: what was held on each invoice, released before, released now, still held.

All amounts are whole units of the currency. Releases take the oldest retainage first, as the ledger matches them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """What one document holds back (positive) or gives back (negative).

    ``origin`` is the key of the document that a credit note takes back.
    """

    key: object
    units: int
    origin: object = None


@dataclass
class Row:
    """What became of the retainage of one invoice."""

    held: int
    before: int = 0
    now: int = 0

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
        if entry.origin in releases and entry.units > 0:
            _undo(rows, releases[entry.origin], entry.units)
        elif entry.units > 0:
            rows[entry.key] = Row(held=entry.units)
        elif entry.origin in rows:
            rows[entry.origin].held += entry.units
        else:
            name = "now" if place == len(entries) - 1 else "before"
            releases[entry.key] = _take(rows, -entry.units, name)
    return rows


def _take(rows, units, name):
    """Take units from the oldest rows that still hold some; tell what was taken of which."""
    taken = {}
    for key, row in rows.items():
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
