"""Whole units of a currency: the only place where amounts are rounded."""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction


def to_units(amount, rounding):
    """Count how many units of ``rounding`` stand in ``amount``.

    The ORM hands amounts over as floats that were already rounded to the currency; going through
    their shortest text removes the binary noise that a plain division would keep.

    :param amount: float, Decimal, int or text, in the currency.
    :param rounding: smallest amount of the currency, e.g. ``0.01`` or ``0.05``.
    :return: whole units.
    :rtype: int
    :raise ArithmeticError: if it is no finite number.
    """
    quotient = Decimal(repr(amount) if isinstance(amount, float) else str(amount)) / Decimal(str(rounding))
    if not quotient.is_finite():
        raise InvalidOperation(f"no amount: {quotient}")
    return int(quotient.to_integral_value(rounding=ROUND_HALF_UP))


def to_decimal(units, rounding):
    """Turn whole units back into an exact amount.

    :param int units: whole units of ``rounding``.
    :param rounding: smallest amount of the currency.
    :rtype: Decimal
    """
    return units * Decimal(str(rounding))


def to_float(units, rounding):
    """Turn whole units into the nearest float, for the edge to the ORM only.

    :rtype: float
    """
    return float(to_decimal(units, rounding))


def to_text(units, rounding):
    """Write whole units as decimal text with the digits of the currency, e.g. ``"2500.00"``.

    :rtype: str
    """
    step = Decimal(str(rounding)).normalize()
    digits = max(0, -step.as_tuple().exponent)
    return f"{units * step:.{digits}f}"


def amount_text(amount, rounding):
    """Write an amount as the ORM hands it over as decimal text with the digits of the currency.

    :rtype: str
    """
    return to_text(to_units(amount, rounding), rounding)


def round_half_up(value):
    """Round an exact fraction to the nearest whole number, halves away from zero.

    :param Fraction value: any exact number.
    :rtype: int
    """
    value = Fraction(value)
    sign = -1 if value < 0 else 1
    return sign * int((abs(value) * 2 + 1) // 2)


def fraction(number):
    """Read a number typed by a person or stored by the ORM as the exact decimal it shows.

    :param number: int, float, Decimal or text, e.g. ``33.33``.
    :rtype: Fraction
    """
    return Fraction(repr(number) if isinstance(number, float) else str(number))


def less(amount, taken):
    """Take something off an amount of either sign, down to nothing at most.

    :param amount: whole units or an exact fraction.
    :param int taken: with the sign of the amount.
    """
    return max(amount - taken, 0) if amount >= 0 else min(amount - taken, 0)
