"""Advances in two currencies: each part leaves at its share, and the last leaves nothing in either."""

import unittest

from conftest import load_tools
from hypothesis import given
from hypothesis import strategies as st

load_tools("milestone_billing")
from milestone_billing_tools import historic_rate

AMOUNTS = st.integers(1, 10**9)


class TestHistoricRate(unittest.TestCase):
    def test_a_part_leaves_at_its_share(self):
        self.assertEqual(historic_rate.take(83333, 20833, -250000, -125000), 41667)
        self.assertEqual(historic_rate.take(-83333, -20833, 250000, 125000), -41667)

    def test_the_last_takes_the_rest(self):
        self.assertEqual(historic_rate.take(83334, 8333, -83334, -41666), 41666)

    def test_what_adds_to_an_advance_or_finds_none_keeps_its_own_balance(self):
        self.assertEqual(historic_rate.take(-500, -100, -1000, -900), -100)
        self.assertEqual(historic_rate.take(500, 100, 0, 0), 100)

    def test_what_exceeds_an_advance_keeps_its_own_balance_for_the_rest(self):
        self.assertEqual(historic_rate.take(1500, 300, -1000, -900), 100 + 900)

    @given(AMOUNTS, AMOUNTS, st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=8))
    def test_nothing_is_left_in_either_currency(self, amount, balance, parts):
        open_amount, open_balance = -amount, -balance
        for wanted, own in parts:
            part = min(wanted, -open_amount - 1)
            if part > 0:
                open_balance += historic_rate.take(part, own, open_amount, open_balance)
                open_amount += part
            self.assertLessEqual(open_balance, 0)
        open_balance += historic_rate.take(-open_amount, 7, open_amount, open_balance)
        self.assertEqual(open_balance, 0)
