"""Token base units <-> decimal text. Base units are integers; nothing here touches a float."""

import re
from decimal import Context, Decimal, localcontext
from fractions import Fraction

#: Tokens with more decimals than this are refused: no stablecoin has them.
DECIMALS_MAX = 36
#: A wallet shows and a person types at most this many decimals.
DISPLAY_DECIMALS_MAX = 6
#: The largest value of an EVM word.
UINT256_MAX = 2**256 - 1

_AMOUNT_RE = re.compile(r"([0-9]{1,78})(?:\.([0-9]{1,78}))?")
_CONTEXT = Context(prec=200)


class UnitsError(ValueError):
    """The text is not an amount of this token."""


def display_decimals(decimals: int) -> int:
    """Return how many decimals are asked of a payer: the token's own, six at most."""
    return min(decimals, DISPLAY_DECIMALS_MAX)


def base_units_up(amount: Decimal, rate: Decimal, decimals: int, shown: int) -> int:
    """Convert a fiat amount to token base units, rounded **up** to the decimals shown.

    Rounding up means that the merchant is never short because of rounding, and a payer can type
    the figure that is shown.

    :param Decimal amount: fiat amount, zero or more.
    :param Decimal rate: fiat units per one whole token, more than zero.
    :param int decimals: decimals of the token.
    :param int shown: decimals shown to the payer, not more than ``decimals``.
    :return: base units, a multiple of ``10 ** (decimals - shown)``.
    :raise UnitsError: if the amount is negative, the rate is not positive or decimals are wrong.
    """
    if not 0 <= shown <= decimals <= DECIMALS_MAX:
        raise UnitsError(f"decimals out of range: {shown} of {decimals}")
    if amount < 0 or rate <= 0:
        raise UnitsError("the amount must not be negative and the rate must be positive")
    steps = Fraction(amount) / Fraction(rate) * 10**shown
    whole = -(-steps.numerator // steps.denominator)
    return whole * 10 ** (decimals - shown)


def to_decimal(base_units: int, decimals: int) -> Decimal:
    """Return the exact decimal value of an integer number of base units."""
    return Decimal(base_units).scaleb(-decimals, context=_CONTEXT)


def to_text(base_units: int, decimals: int, minimum: int = 0) -> str:
    """Return the exact amount as plain text, with at least ``minimum`` decimals and no exponent."""
    sign = "-" if base_units < 0 else ""
    digits = str(abs(base_units)).rjust(decimals + 1, "0")
    whole, part = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    part = part.rstrip("0").ljust(minimum, "0")
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"


def parse(text: str, decimals: int) -> int:
    """Read a plain decimal text as base units.

    :raise UnitsError: if it is not a plain number or is finer than one base unit.
    """
    match = _AMOUNT_RE.fullmatch(text.strip())
    if not match:
        raise UnitsError(f"not a plain amount: {text[:40]!r}")
    whole, part = match.group(1), (match.group(2) or "").rstrip("0")
    if len(part) > decimals:
        raise UnitsError(f"more than {decimals} decimals")
    value = int(whole + part.ljust(decimals, "0"))
    if value > UINT256_MAX:
        raise UnitsError("the amount does not fit a token")
    return value


def minor_units(amount: Decimal, digits: int) -> int:
    """Return a fiat amount in minor units of its currency.

    :raise UnitsError: if the amount is finer than one minor unit.
    """
    with localcontext(_CONTEXT):
        scaled = amount.scaleb(digits)
        if scaled != scaled.to_integral_value():
            raise UnitsError(f"finer than {digits} decimals")
        return int(scaled)


def from_minor_units(minor: int, digits: int) -> Decimal:
    """Return minor units of a currency as a decimal amount."""
    return to_decimal(minor, digits)
