"""Tax that waits with what is held back: which part of which document, and what a release takes of it.

Amounts are whole units. A pot is what is held: ``{(document, taxes): {"net": units, part: units, ...}}``, the oldest
document first; the further parts are taxes and their bases, which follow the net amount.
"""

from fractions import Fraction

from . import allocation
from .money import round_half_up


def split(columns, units):
    """Take a net amount off columns by their size; taxes and bases follow, and the whole takes them all.

    :param dict columns: ``{key: {"net": units, part: units, ...}}``.
    :param int units: what is taken, without tax.
    :return: the part by key, only keys that have one.
    :rtype: dict
    """
    total = sum(parts["net"] for parts in columns.values())
    if not total or not units:
        return {}
    if units == total:
        return {key: dict(parts) for key, parts in columns.items() if any(parts.values())}
    plan = allocation.plan(
        [
            allocation.Column(key, parts["net"], {name: parts[name] for name in parts if name != "net"})
            for key, parts in columns.items()
        ],
        [allocation.Row("part", units), allocation.Row("rest", total - units)],
    )
    return {key: parts for key, parts in plan["part"].items() if any(parts.values())}


def take(pot, units):
    """Take a net amount out of a pot, the oldest document first, as the ledger matches them.

    :param dict pot: what is held.
    :param int units: what is taken, without tax; everything takes every last unit of tax.
    :return: the parts that are taken, by the keys of the pot.
    :rtype: dict
    """
    if units == sum(parts["net"] for parts in pot.values()):
        return {key: dict(parts) for key, parts in pot.items() if any(parts.values())}
    taken, left = {}, units
    for document in dict.fromkeys(document for document, _taxes in pot):
        columns = {key: parts for key, parts in pot.items() if key[0] == document}
        part = min(left, max(sum(parts["net"] for parts in columns.values()), 0))
        taken.update(split(columns, part))
        left -= part
    return taken


def add(pot, parts, sign=1):
    """Put parts into a pot, or take them off with a negative sign.

    :param dict pot: changed in place.
    :param dict parts: units by the keys of the pot.
    """
    for key, units in parts.items():
        column = pot.setdefault(key, {})
        for name, count in units.items():
            column[name] = column.get(name, 0) + sign * count


def negate(parts):
    """Give the same parts with the other sign.

    :rtype: dict
    """
    return {key: {name: -count for name, count in units.items()} for key, units in parts.items()}


def by_taxes(parts):
    """Add parts up by their taxes, over all documents.

    :param dict parts: units by the keys of a pot.
    :return: ``{taxes: {"net": units, part: units, ...}}``
    :rtype: dict
    """
    total = {}
    for (_document, taxes), units in parts.items():
        add(total, {taxes: units})
    return {taxes: units for taxes, units in total.items() if any(units.values())}


def credited(parts, before, shares, held):
    """Give what a credit note takes back of the parts that its document holds, no more than is still held.

    Shares count all credit notes up to this one, so that their rounding never adds up.

    :param dict parts: what the document holds back (positive) or gave back (negative).
    :param dict before: what credit notes before this one took back of them.
    :param dict shares: exact share that is credited so far, by taxes.
    :param dict held: the pot as it is now.
    :return: parts with the sign of the document's.
    :rtype: dict
    """
    result = {}
    for key, units in parts.items():
        earlier = before.get(key, {})
        wanted = {
            name: round_half_up(count * shares[key[1]]) - earlier.get(name, 0)
            for name, count in units.items()
        }
        room = held.get(key, {"net": 0})
        if units["net"] > 0 and wanted["net"] >= room["net"]:
            wanted = dict(room) if room["net"] > 0 else {}
        if any(wanted.values()):
            result[key] = wanted
    return result


def kept(parts, credited_net, held):
    """Give what the client keeps of the parts that a document holds back, up to what is credited.

    :param dict parts: what the document holds back.
    :param dict credited_net: net units that are credited, by taxes.
    :param dict held: the pot as it is now.
    :rtype: dict
    """
    result = {}
    for key in (key for key, units in parts.items() if units["net"] > 0):
        room, wanted = held.get(key, {"net": 0}), credited_net.get(key[1], 0)
        share = Fraction(min(wanted, room["net"]), room["net"]) if room["net"] > 0 and wanted > 0 else 0
        units = {name: round_half_up(count * share) for name, count in room.items()}
        if any(units.values()):
            result[key] = units
    return result
