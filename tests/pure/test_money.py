"""Amounts as callers send them: whole units, or a refusal."""

import unittest
from decimal import Decimal

from conftest import load_tools

load_tools("milestone_billing")
from milestone_billing_tools import money


class TestMoney(unittest.TestCase):
    def test_amounts_are_read_as_whole_units(self):
        for amount, units in ((0.1 + 0.2, 30), ("12.345", 1235), (Decimal("-0.005"), -1), (7, 700)):
            self.assertEqual(money.to_units(amount, 0.01), units)

    def test_amounts_are_written_with_the_digits_of_their_currency(self):
        for amount, rounding, text in (
            (2500.0, 0.01, "2500.00"),
            (0.1 + 0.2, 0.01, "0.30"),
            (-0.004, 0.01, "0.00"),
            (1234.5, 1, "1235"),
            (4.7, 0.05, "4.70"),
            (1.2345, 0.001, "1.235"),
        ):
            self.assertEqual(money.amount_text(amount, rounding), text)

    def test_what_is_no_finite_number_is_refused(self):
        for amount in ("NaN", "sNaN", "Infinity", float("nan"), float("-inf"), "ten", "", [], {}, True):
            with self.subTest(amount), self.assertRaises(ArithmeticError):
                money.to_units(amount, 0.01)
