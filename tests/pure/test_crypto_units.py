"""Base units: exact both ways, rounded up when asked of a payer."""

import unittest
from decimal import Decimal
from fractions import Fraction

from conftest import load_tools
from hypothesis import given
from hypothesis import strategies as st

load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import units

decimals = st.integers(0, 30)
values = st.integers(0, 2**256 - 1)


class TestUnits(unittest.TestCase):
    @given(values, decimals)
    def test_text_and_back_is_the_same_integer(self, value, digits):
        self.assertEqual(units.parse(units.to_text(value, digits), digits), value)

    @given(values, decimals)
    def test_decimal_is_exact(self, value, digits):
        self.assertEqual(Fraction(units.to_decimal(value, digits)), Fraction(value, 10**digits))

    @given(
        st.decimals("0", "1e12", places=3),
        st.decimals("0.000001", "100000", places=6),
        decimals,
        st.integers(0, 6),
    )
    def test_due_is_never_short_and_never_a_whole_step_too_much(self, amount, rate, digits, shown):
        shown = min(shown, digits)
        got = units.base_units_up(amount, rate, digits, shown)
        exact = Fraction(amount) / Fraction(rate) * 10**digits
        self.assertGreaterEqual(got, exact)
        self.assertLess(got - exact, 10 ** (digits - shown))
        self.assertEqual(got % 10 ** (digits - shown), 0)

    def test_awkward_amounts_keep_each_unit(self):
        for text, digits, value in [
            ("9007199254.740993", 6, 9007199254740993),
            ("12345.678901234567890123", 18, 12345678901234567890123),
            ("0.000001", 6, 1),
            ("0", 18, 0),
        ]:
            self.assertEqual(units.parse(text, digits), value)
            self.assertEqual(units.to_text(value, digits), text)

    def test_one_third_is_rounded_up(self):
        self.assertEqual(units.base_units_up(Decimal(1), Decimal(3), 18, 6), 333334 * 10**12)

    def test_text_that_is_no_plain_amount_is_refused(self):
        for text in ("", "-1", "1e6", "1,5", "0x10", "1.0000001", "١", " ", "1.", ".5", "9" * 80):
            with self.subTest(text), self.assertRaises(units.UnitsError):
                units.parse(text, 6)

    def test_minor_units_refuse_what_is_finer(self):
        self.assertEqual(units.minor_units(Decimal("1500.10"), 2), 150010)
        with self.assertRaises(units.UnitsError):
            units.minor_units(Decimal("0.001"), 2)

    def test_bad_rate_and_amount_are_refused(self):
        for amount, rate in [(Decimal(-1), Decimal(1)), (Decimal(1), Decimal(0))]:
            with self.assertRaises(units.UnitsError):
                units.base_units_up(amount, rate, 6, 6)


if __name__ == "__main__":
    unittest.main()
