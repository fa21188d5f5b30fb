"""What becomes of the hours of a retainer at the end of a period."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from .money import round_half_up

NONE, ONCE, ALWAYS = "none", "once", "always"


class Settlement(NamedTuple):
    """Hours of one period: used beyond what was paid, carried to the next period, lost."""

    overage: Decimal
    carried: Decimal
    expired: Decimal


def settle(included: Decimal, carried: Decimal, used: Decimal, rollover: str) -> Settlement:
    """Settle one period; hours carried from before are used up first.

    :param included: hours paid for this period.
    :param carried: hours that came from the period before.
    :param used: hours delivered.
    :param str rollover: ``none`` (unused hours are lost), ``once`` (they last one more period) or ``always``.
    """
    left = included + carried - used
    if left <= 0:
        return Settlement(-left, Decimal(0), Decimal(0))
    if rollover == ALWAYS:
        return Settlement(Decimal(0), left, Decimal(0))
    keep = min(left, included) if rollover == ONCE else Decimal(0)
    return Settlement(Decimal(0), keep, left - keep)


class Period(NamedTuple):
    """One period or block as it was settled, or as it stands now."""

    key: int
    included: Decimal
    carried: Decimal
    gone: Decimal


class Layer(NamedTuple):
    """Hours that are left of what was paid for one period, which may be an earlier one."""

    key: int
    hours: Decimal


def _drop(layers: list[Layer], hours: Decimal) -> list[Layer]:
    """Take hours off, the oldest first."""
    left = []
    for layer in layers:
        taken = min(layer.hours, max(hours, Decimal(0)))
        hours -= taken
        if layer.hours > taken:
            left.append(layer._replace(hours=layer.hours - taken))
    return left


def keep_newest(layers: list[Layer], hours: Decimal) -> list[Layer]:
    """Keep no more than so many hours; the oldest go first, as they are used up and expire first."""
    return _drop(layers, sum((layer.hours for layer in layers), Decimal(0)) - hours)


def trace_left(periods: Iterable[Period]) -> dict[int, list[Layer]]:
    """Find for which periods the hours were paid that are left at the end of each period.

    Hours are worth what was paid for the period that they come from, however often they were carried on.

    :param periods: all of a retainer, the oldest first; ``gone`` is what was used and what has expired.
    :return: what is left by the key of each period, the oldest layer first.
    """
    found: dict[int, list[Layer]] = {}
    layers: list[Layer] = []
    for period in periods:
        layers = keep_newest(layers, period.carried)
        layers = _drop([*layers, Layer(period.key, period.included)], period.gone)
        found[period.key] = layers
    return found


def refund_units(paid_units: int, hours: Decimal, included: Decimal) -> int:
    """Give what hours are worth that were paid with others, rounded half up; never less than nothing.

    :param int paid_units: what was paid for all hours of their period, credit notes deducted.
    :param hours: that are given back.
    :param included: all hours of that period, above zero.
    """
    return round_half_up(max(paid_units, 0) * Fraction(hours) / Fraction(included))
