"""Receipts against quotes: which one is it, what is it worth, what does it cover.

Amounts of tokens are integers in base units, amounts of money integers in minor units of the invoice's
currency.
"""

from typing import NamedTuple


class Quote(NamedTuple):
    """A locked price: ``base_units`` of the token pay ``amount_minor`` until ``expires`` (seconds)."""

    key: int
    token: str
    chain_id: int
    base_units: int
    amount_minor: int
    expires: int


class Match(NamedTuple):
    """``kind``: quoted, late, wrong_token, wrong_network or unmatched; ``key`` of the quote if any."""

    kind: str
    key: int | None = None


def match_by_address(quotes, chain_id: int, token: str, base_units: int, block_time: int) -> Match:
    """Match a receipt on an address that belongs to one payment only.

    Of the quotes of the same token inside whose window the receipt was mined, the one that asked for exactly
    this amount decides, else the newest: what a payer is asked for pays in full, whatever was asked before.
    Another token or network than any quoted is not refused: it is the payer's money, and a person accepts it.
    """
    same = [quote for quote in quotes if (quote.chain_id, quote.token) == (chain_id, token)]
    if not same:
        kind = "wrong_token" if any(quote.chain_id == chain_id for quote in quotes) else "wrong_network"
        return Match(kind if quotes else "unmatched")
    in_time = [quote for quote in same if block_time <= quote.expires]
    if in_time:
        exact = [quote for quote in in_time if quote.base_units == base_units]
        return Match("quoted", max(quote.key for quote in exact or in_time))
    return Match("late", max(same, key=lambda quote: quote.expires).key)


def match_by_amount(quotes, chain_id: int, token: str, base_units: int, block_time: int) -> Match:
    """Match a receipt on a shared address by its exact amount; anything else goes to a person."""
    same = [
        quote
        for quote in quotes
        if (quote.chain_id, quote.token, quote.base_units) == (chain_id, token, base_units)
    ]
    if len(same) != 1:
        return Match("unmatched")
    return Match("quoted" if block_time <= same[0].expires else "late", same[0].key)


def tail_amount(base_units: int, step: int, taken, span: int) -> int | None:
    """Return the lowest free amount at or above the due amount, for a shared address.

    :param int step: smallest difference a payer can type, in base units.
    :param taken: amounts reserved by open payments.
    :param int span: how many steps above the due amount may be used.
    :return: base units, or None when all are taken.
    """
    taken = set(taken)
    return next((base_units + i * step for i in range(span) if base_units + i * step not in taken), None)


def value_of_receipt(before: int, base_units: int, quote_units: int, quote_minor: int) -> int:
    """Return the money value of a receipt at a quote, in minor units.

    Values are differences of the rounded running total, so that the values of several receipts that add
    up to the quote add up to its amount exactly.

    :param int before: base units already received at this quote.
    :param int base_units: base units of this receipt.
    """
    return _running(before + base_units, quote_units, quote_minor) - _running(
        before, quote_units, quote_minor
    )


def _running(units, quote_units, quote_minor):
    return (2 * units * quote_minor + quote_units) // (2 * quote_units)


class Cover(NamedTuple):
    """What a receipt does to the open amount, in minor units."""

    covered: int
    write_off: int
    excess: int


def cover(open_minor: int, value_minor: int, tolerance_minor: int) -> Cover:
    """Split a receipt's value over what is open.

    A shortage not above the tolerance is written off, an excess stays as the customer's credit.

    :param int open_minor: still to pay before this receipt, zero or more.
    """
    shortage = open_minor - value_minor
    if shortage <= 0:
        return Cover(open_minor, 0, -shortage)
    write_off = shortage if shortage <= tolerance_minor else 0
    return Cover(value_minor + write_off, write_off, 0)


def tolerance(amount_minor: int, per_mille: int, maximum_minor: int) -> int:
    """Return the shortage that is accepted: a share of the amount, capped."""
    return min(amount_minor * per_mille // 1000, maximum_minor)


def is_depegged(observed_ppm: int, limit_ppm: int) -> bool:
    """Tell whether a token's observed price is too far from its peg (both in parts per million)."""
    return abs(observed_ppm - 1_000_000) > limit_ppm
