"""What is left of an advance in two currencies, and what a document that lowers it takes of both."""

from fractions import Fraction

from .money import round_half_up


def take(amount, balance, open_amount, open_balance):
    """Give the balance at which an advance leaves its account: its share of what stands there, the last takes the rest.

    What exceeds the open advance, or adds to it, keeps its own balance.

    :param int amount: units of the order's currency, signed as a journal item.
    :param int balance: the same at the rate of its document, in units of the company's currency.
    :param int open_amount: what stands on the account before, in units of the order's currency.
    :param int open_balance: the same in units of the company's currency.
    :rtype: int
    """
    if amount * open_amount >= 0:
        return balance
    if abs(amount) < abs(open_amount):
        return round_half_up(Fraction(amount * open_balance, open_amount))
    return round_half_up(Fraction(balance * (amount + open_amount), amount)) - open_balance
