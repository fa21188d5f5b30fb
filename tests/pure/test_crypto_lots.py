"""What a coin cost when it leaves: parts of lots add up to the lots, in the order in which they came."""

import unittest

from conftest import load_tools
from hypothesis import given
from hypothesis import strategies as st

load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import lots

LOTS = st.lists(st.builds(lots.Lot, st.integers(1, 10**21), st.integers(0, 10**9)), min_size=1, max_size=8)


class TestLots(unittest.TestCase):
    def test_first_in_first_out(self):
        two = [lots.Lot(10, 1000), lots.Lot(10, 3000)]
        self.assertEqual(lots.cost_of(two, 0, 10), 1000)
        self.assertEqual(lots.cost_of(two, 10, 10), 3000)
        self.assertEqual(lots.cost_of(two, 5, 10), 500 + 1500)
        self.assertEqual(lots.cost_of(two, 0, 25), 4000, "what is beyond the lots has no cost")
        self.assertEqual(lots.cost_of([lots.Lot(7, 0), lots.Lot(3, 30)], 0, 8), 10)

    @given(LOTS, st.lists(st.integers(1, 10**21), max_size=12))
    def test_parts_add_up_to_the_whole(self, held, parts):
        total, gone, left = sum(lot.units for lot in held), 0, 0
        for wanted in parts:
            part = min(wanted, total - gone)
            cost = lots.cost_of(held, gone, part)
            self.assertGreaterEqual(cost, 0)
            gone, left = gone + part, left + cost
        rest = lots.cost_of(held, gone, total - gone)
        self.assertEqual(left + rest, sum(lot.cost for lot in held))


if __name__ == "__main__":
    unittest.main()
