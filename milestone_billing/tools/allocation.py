"""Split an order over its milestones so that every part adds up to the last unit.

An order is a list of columns (its lines), each with a net amount, tax amounts and a quantity, all in
whole units. A schedule is a list of rows (its open milestones), each with a net target. The plan gives
each row its part of each column such that rows reach their target and columns are used up exactly.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from .money import round_half_up


@dataclass(frozen=True)
class Column:
    """What is left to bill of one order line, in whole units.

    ``parts`` holds the further amounts that follow the net amount: taxes, tax bases, quantity.
    """

    key: object
    net: int
    parts: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One open milestone: its net target, and what it wants of chosen columns, if chosen."""

    key: object
    target: int
    wishes: dict | None = None


class AllocationError(ValueError):
    """The rows do not add up to the columns; ``difference`` is rows less columns, in units."""

    def __init__(self, difference):
        super().__init__(f"rows and columns differ by {difference} units")
        self.difference = difference


def row_targets(total, rows, absorb=False):
    """Turn share, fixed and remainder rows into net targets.

    Shares are rounded one by one and capped by what is left; a remainder row takes the rest. Without one, the
    last share row absorbs the rounding when the shares and fixed amounts make up the total exactly.

    :param int total: what is to be split, in units.
    :param rows: list of ``(kind, value)``: ``share`` with exact units as Fraction, ``fixed`` with units,
        ``remainder`` with anything.
    :param bool absorb: let the last share row absorb any difference (a schedule that was checked before).
    :return: ``(targets, difference)``: units by row, and what the rows exceed (+) or miss (-) the total.
    :rtype: tuple[list[int], int]
    """
    kinds = [kind for kind, _value in rows]
    exact = [Fraction(value) if kind in ("share", "fixed") else Fraction(0) for kind, value in rows]
    targets = [round_half_up(value) for value in exact]
    shares = [index for index, kind in enumerate(kinds) if kind == "share"]
    fixed = sum(target for target, kind in zip(targets, kinds, strict=True) if kind == "fixed")
    fits = abs(sum(exact[index] for index in shares)) <= abs(total - fixed)
    if "remainder" in kinds:
        if fits:
            _cap(targets, exact, shares, total - fixed)
        targets[kinds.index("remainder")] += total - sum(targets)
    elif shares and (absorb or sum(exact) == total):
        if fits:
            _cap(targets, exact, shares[:-1], total - fixed)
        targets[shares[-1]] += total - sum(targets)
    return targets, sum(targets) - total


def _cap(targets, exact, indexes, room):
    """Take back units that were rounded up, the last ones first, until the targets pass no more what is left.

    No target gets further than one unit from its exact share (``0.03`` in five fifths: 1, 1, 1, 0).
    """
    sign = -1 if room < 0 else 1
    excess = sum(sign * targets[index] for index in indexes) - sign * room
    rounded_up = [index for index in reversed(indexes) if sign * targets[index] > sign * exact[index]]
    for index in rounded_up[: max(excess, 0)]:
        targets[index] -= sign


def spread(total, weights):
    """Split a total by weights; each part is rounded against the running sum, so the last one fits.

    :param int total: units.
    :param list weights: non-negative Fractions, not all zero.
    :rtype: list[int]
    """
    whole, run, given, parts = sum(weights), Fraction(0), 0, []
    if not whole:
        return [0] * (len(weights) - 1) + [total] if weights else []
    for weight in weights:
        run += weight
        parts.append(round_half_up(total * run / whole) - given)
        given += parts[-1]
    return parts


def apportion(target, wishes):
    """Give whole units near exact wishes so that they add up to the target.

    Each wish is floored; the units left over go to the largest fractions, first come first served.

    :param int target: units to give away in all.
    :param list[Fraction] wishes: exact wishes.
    :rtype: list[int]
    """
    given = [wish.numerator // wish.denominator for wish in wishes]
    left = target - sum(given)
    if not wishes or not left:
        return given
    order = sorted(range(len(wishes)), key=lambda index: (given[index] - wishes[index], index))
    each, extra = divmod(left, len(wishes))
    for place, index in enumerate(order):
        given[index] += each + (place < extra)
    return given


def plan(columns, rows):
    """Give each row its part of each column.

    Rows with chosen columns are served first. The others share what is left of every column: after each
    row the running sum of a column is within one unit of its exact share, and the last row takes the rest.

    :param list[Column] columns: what is left to bill.
    :param list[Row] rows: open milestones in billing order.
    :return: ``{row key: {column key: {"net": units, part: units, ...}}}``
    :raise AllocationError: if the targets do not add up to the columns.
    """
    difference = sum(row.target for row in rows) - sum(column.net for column in columns)
    if difference:
        raise AllocationError(difference)
    net = _plan_chosen(columns, rows)
    _plan_shared(columns, rows, net)
    return _plan_parts(columns, rows, net)


def take(columns, wanted):
    """Take some net units off columns, each by its share; the other amounts follow.

    :param dict columns: ``{key: {"net": units, part: units, ...}}``.
    :param int wanted: net units to take in all.
    :return: what is taken, in the same form.
    :rtype: dict
    """
    rest = sum(parts["net"] for parts in columns.values()) - wanted
    members = [
        Column(key, parts["net"], {name: units for name, units in parts.items() if name != "net"})
        for key, parts in columns.items()
    ]
    return plan(members, [Row("taken", wanted), Row("rest", rest)])["taken"]


def _plan_chosen(columns, rows):
    net = {row.key: dict.fromkeys((column.key for column in columns), 0) for row in rows}
    left = {column.key: column.net for column in columns}
    for row in rows:
        if not row.wishes:
            continue
        keys = [column.key for column in columns if column.key in row.wishes]
        units = _within(row.target, [row.wishes[key] for key in keys], [left[key] for key in keys])
        for key, given in zip(keys, units, strict=True):
            net[row.key][key] = given
            left[key] -= given
    return net


def _within(target, wishes, limits):
    """Give what is wanted without passing what a column still has; what is over goes where there is room."""
    given = [_between(wish, limit) for wish, limit in zip(wishes, limits, strict=True)]
    over = target - sum(given)
    for index, limit in enumerate(limits):
        step = _between(over, limit - given[index])
        given[index] += step
        over -= step
    if given:
        given[-1] += over
    return given


def _between(units, limit):
    """Cut units to the range from zero to a limit of either sign."""
    return max(min(units, limit), 0) if limit >= 0 else min(max(units, limit), 0)


def _plan_shared(columns, rows, net):
    shared = [row for row in rows if row.wishes is None]
    left = {column.key: column.net - sum(net[row.key][column.key] for row in rows) for column in columns}
    total, run, given = sum(left.values()), 0, dict.fromkeys(left, 0)
    for place, row in enumerate(shared):
        run += row.target
        if place == len(shared) - 1:
            parts = [left[key] - given[key] for key in left]
        else:
            share = Fraction(run, total) if total else Fraction(place + 1, len(shared))
            parts = apportion(row.target, [share * left[key] - given[key] for key in left])
        for key, units in zip(left, parts, strict=True):
            net[row.key][key] = units
            given[key] += units
    if not shared and rows:
        for key, units in left.items():
            net[rows[-1].key][key] += units


def _plan_parts(columns, rows, net):
    """Let taxes, bases and quantities follow the net amounts, each used up by the last row of its column."""
    result = {row.key: {column.key: {"net": net[row.key][column.key]} for column in columns} for row in rows}
    last = {column.key: _last_row(column, rows, net) for column in columns}
    run = {column.key: 0 for column in columns}
    given = {(column.key, part): 0 for column in columns for part in column.parts}
    names = list(dict.fromkeys(part for column in columns for part in column.parts))
    for row in rows:
        for column in columns:
            run[column.key] += net[row.key][column.key]
        for part in names:
            members = [column for column in columns if part in column.parts]
            _serve_part(part, members, row, (result, last, run, given))
    return result


def _serve_part(part, members, row, book):
    result, last, run, given = book
    free, wishes = [], []
    for column in members:
        slot = (column.key, part)
        if last[column.key] == row.key:
            result[row.key][column.key][part] = column.parts[part] - given[slot]
        elif not column.net or not result[row.key][column.key]["net"]:
            result[row.key][column.key][part] = 0
        else:
            free.append(column)
            wishes.append(column.parts[part] * Fraction(run[column.key], column.net) - given[slot])
            continue
        given[slot] += result[row.key][column.key][part]
    for column, units in zip(free, apportion(round_half_up(sum(wishes, Fraction(0))), wishes), strict=True):
        result[row.key][column.key][part] = units
        given[(column.key, part)] += units


def _last_row(column, rows, net):
    """The row that closes a column: the last one that bills any of it, or the last of all for a free line."""
    for row in reversed(rows):
        if net[row.key][column.key]:
            return row.key
    shared = [row for row in rows if row.wishes is None or column.key in row.wishes]
    return (shared or rows)[-1].key if rows else None
