"""The contract position: nine lines and a schedule of values, from what each document bills.

All amounts are whole units of the currency, without tax. A billing is one document (invoice, credit note,
release) in the order in which the documents were made; a statement is taken as of one of them.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from .money import round_half_up

LINES = (
    "contract_sum_original",
    "change_orders",
    "contract_sum",
    "completed_to_date",
    "retainage",
    "earned_less_retainage",
    "previously_billed",
    "current_due",
    "balance_to_finish",
)


@dataclass(frozen=True)
class Billing:
    """What one document bills of each order line, and what the client holds back of it.

    ``retained`` is as the document books it: with tax when ``total`` (the document with tax) is given,
    without otherwise. It is negative on credit notes and releases.
    """

    key: object
    parts: dict = field(default_factory=dict)
    retained: int = 0
    total: int | None = None

    @property
    def net(self):
        return sum(self.parts.values())


def net_retained(billings):
    """Give the part without tax of what each document retains.

    New retainage is split like its document. A release takes its share of what is held, and the last one all
    of it, so that the running sum ends at zero.

    :param list[Billing] billings: documents in order.
    :rtype: list[int]
    """
    held = held_net = 0
    parts = []
    for billing in billings:
        if billing.total is None:
            part = billing.retained
        elif billing.retained * billing.total > 0:
            part = round_half_up(Fraction(billing.retained * billing.net, billing.total))
        elif held + billing.retained == 0:
            part = -held_net
        else:
            part = round_half_up(Fraction(held_net * billing.retained, held)) if held else billing.retained
        held, held_net = held + billing.retained, held_net + part
        parts.append(part)
    return parts


def statement(original, contract, billings, place):
    """Compute the nine lines as of one document.

    :param int original: contract sum when the order was confirmed.
    :param int contract: contract sum to date.
    :param list[Billing] billings: documents in order.
    :param int place: index of the document; -1 before the first one.
    :return: units by the names of ``LINES``.
    :rtype: dict[str, int]
    """
    completed, retainage = _position(billings, place)
    before, before_retainage = _position(billings, place - 1)
    earned, previous = completed - retainage, before - before_retainage
    values = (
        original,
        contract - original,
        contract,
        completed,
        retainage,
        earned,
        previous,
        earned - previous,
        contract - earned,
    )
    return dict(zip(LINES, values, strict=True))


def _position(billings, place):
    reached = billings[: max(place + 1, 0)]
    return sum(billing.net for billing in reached), sum(net_retained(reached))


def completed_by_key(keys, billings, place):
    """Give what is completed of each order line as of one document.

    :param keys: order lines that are named also when nothing of them is billed.
    :param list[Billing] billings: documents in order.
    :param int place: index of the document; -1 before the first one.
    :return: units by order line.
    :rtype: dict
    """
    completed = dict.fromkeys(keys, 0)
    for billing in billings[: max(place + 1, 0)]:
        for key, units in billing.parts.items():
            completed[key] = completed.get(key, 0) + units
    return completed


def schedule_of_values(scheduled, billings, place):
    """Compute previous, this period, to date, balance and retainage of each order line as of one document.

    :param dict scheduled: contract value by order line.
    :param list[Billing] billings: documents in order.
    :param int place: index of the document; -1 before the first one.
    :return: ``{order line: {"scheduled", "previous", "this_period", "completed", "balance", "retainage"}}``; lines that
        only later documents bill are not among them.
    :rtype: dict
    """
    rows, reached = {}, billings[: max(place + 1, 0)]
    keys = list(dict.fromkeys([*scheduled, *(key for billing in reached for key in billing.parts)]))
    retainage = _retainage_by_key(keys, reached)
    for key in keys:
        done = [billing.parts.get(key, 0) for billing in reached]
        value, completed, period = scheduled.get(key, 0), sum(done), done[-1] if done else 0
        rows[key] = {
            "scheduled": value,
            "previous": completed - period,
            "this_period": period,
            "completed": completed,
            "balance": value - completed,
            "retainage": retainage[key],
        }
    return rows


def _retainage_by_key(keys, billings):
    """Spread the retainage to date over order lines by what is completed of each, to the last unit."""
    held = sum(net_retained(billings))
    completed = [sum(billing.parts.get(key, 0) for billing in billings) for key in keys]
    whole, run, given, result = sum(completed), 0, 0, {}
    for key, units in zip(keys, completed, strict=True):
        run += units
        # Nothing is completed, yet something is held: it stands on the first line, so that the lines add up.
        part = round_half_up(Fraction(held * run, whole)) - given if whole else held - given
        result[key] = part
        given += part
    return result
