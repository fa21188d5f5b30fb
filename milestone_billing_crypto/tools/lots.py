"""What a coin cost: each receipt is a lot with its quantity and its fair value then; what leaves, leaves in their order."""

from typing import NamedTuple


class Lot(NamedTuple):
    """A receipt: so many base units, and what they stand in the books at, in minor units."""

    units: int
    cost: int


def cost_of(lots, gone: int, units: int) -> int:
    """Return what the next units cost that leave, first in first out.

    Costs are differences of the rounded running total, so that parts which add up to a lot add up to its cost
    exactly. What is sent beyond the lots has no cost.

    :param lots: in the order of the chain.
    :param int gone: base units that left before.
    :param int units: base units that leave now.
    :return: minor units.
    """
    return _running(lots, gone + units) - _running(lots, gone)


def _running(lots, units):
    total = 0
    for lot in lots:
        taken = min(lot.units, units)
        total += (2 * taken * lot.cost + lot.units) // (2 * lot.units)
        units -= taken
        if not units:
            break
    return total
