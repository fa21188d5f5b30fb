"""The history of a contract: what each order line came to and what each milestone planned, change by change.

A history is a list of rows in the order of the billing steps of the contract. A row holds only what is different
from the rows before it, as decimal text by id; ``None`` takes an id out. Every document has a step, too, so the
contract is known as it stood when that document was made, whatever was changed afterwards.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Position:
    """A contract at one moment: decimal text by id, as text, of its order lines and of its planned milestones.

    A contract that has ended comes to what is billed of it, whatever its order lines say.
    """

    original: str = ""
    values: dict = field(default_factory=dict)
    plan: dict = field(default_factory=dict)
    is_ended: bool = False


def fold(rows):
    """Give the position after the last of these rows.

    :param list[dict] rows: a history, or its beginning.
    :rtype: Position
    """
    parts = {"values": {}, "plan": {}}
    for row in rows:
        for name, part in parts.items():
            part.update(row[name])
    known = {
        name: {key: text for key, text in part.items() if text is not None} for name, part in parts.items()
    }
    if not rows:
        return Position()
    return Position(rows[-1]["original"], known["values"], known["plan"], rows[-1]["ended"])


def add(rows, day, step, position):
    """Note a position; one at the same step takes the place of the row before, for no document lies between.

    :param list[dict] rows: the history, which stays as it is.
    :param str day: day of the change, as ISO text.
    :param int step: billing step of the contract.
    :param Position position: how the contract stands after the change.
    :return: the new history; the same one when nothing is different.
    :rtype: list[dict]
    """
    kept = rows[:-1] if rows and rows[-1]["step"] == step else rows
    before = fold(kept)
    if kept and before == position:
        return rows if kept is rows else kept
    row = {
        "on": day,
        "step": step,
        "original": position.original,
        "values": _difference(before.values, position.values),
        "plan": _difference(before.plan, position.plan),
        "ended": position.is_ended,
    }
    return [*kept, row]


def until_step(rows, step):
    """Give the rows that a document made at a step knows; one from before the first row knows that one.

    :rtype: list[dict]
    """
    return [row for row in rows if row["step"] <= step] or rows[:1]


def until_day(rows, day):
    """Give the rows up to a day, as ISO text.

    :rtype: list[dict]
    """
    return [row for row in rows if row["on"] <= day]


def _difference(before, after):
    new = {key: text for key, text in after.items() if before.get(key) != text}
    return new | {key: None for key in before if key not in after}
