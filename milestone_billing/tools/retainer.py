"""What becomes of the hours of a retainer at the end of a period."""

from decimal import Decimal
from typing import NamedTuple

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
