"""Matching and money: sums kept, exact windows, tails that never collide."""

import unittest
from itertools import pairwise

from conftest import load_tools
from hypothesis import given
from hypothesis import strategies as st

load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import matching

Q = matching.Quote
FIRST = Q(1, "usdc", 1, 1000, 100000, expires=50)
LATER = Q(2, "usdc", 1, 1010, 100000, expires=90)
DAI = Q(3, "dai", 1, 10**18, 100000, expires=90)


class TestMatching(unittest.TestCase):
    def test_receipt_inside_a_window_takes_that_quote(self):
        quotes = [LATER, DAI, FIRST]
        for units, moment, match in (
            (1000, 50, ("quoted", 1)),
            (1010, 50, ("quoted", 2)),
            (1005, 50, ("quoted", 2)),
            (1000, 51, ("quoted", 2)),
            (1000, 91, ("late", 2)),
        ):
            found = matching.match_by_address(quotes, 1, "usdc", units, moment)
            self.assertEqual(found, matching.Match(*match), (units, moment))

    def test_what_was_not_quoted_goes_to_a_person(self):
        self.assertEqual(matching.match_by_address([FIRST], 1, "dai", 1000, 1).kind, "wrong_token")
        self.assertEqual(matching.match_by_address([FIRST], 10, "usdc", 1000, 1).kind, "wrong_network")
        self.assertEqual(matching.match_by_address([], 1, "usdc", 1000, 1).kind, "unmatched")

    def test_shared_address_takes_the_exact_amount_only(self):
        quotes = [FIRST, LATER]
        self.assertEqual(matching.match_by_amount(quotes, 1, "usdc", 1010, 60).key, 2)
        self.assertEqual(matching.match_by_amount(quotes, 1, "usdc", 1005, 60).kind, "unmatched")
        self.assertEqual(matching.match_by_amount([FIRST, FIRST], 1, "usdc", 1000, 1).kind, "unmatched")
        for moment, kind in ((FIRST.expires, "quoted"), (FIRST.expires + 1, "late")):
            self.assertEqual(matching.match_by_amount([FIRST], 1, "usdc", 1000, moment).kind, kind)

    @given(
        st.integers(1, 10**24),
        st.integers(1, 10**12),
        st.lists(st.integers(1, 10**24), max_size=6),
        st.randoms(),
    )
    def test_parts_of_a_quote_add_up_to_its_amount(self, units, minor, cuts, rng):
        cuts = sorted({cut % units for cut in cuts} | {0, units})
        parts = [b - a for a, b in pairwise(cuts)]
        rng.shuffle(parts)
        total = before = 0
        for part in parts:
            value = matching.value_of_receipt(before, part, units, minor)
            self.assertGreaterEqual(value, 0)
            total += value
            before += part
        self.assertEqual(total, minor)

    @given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**5))
    def test_cover_conserves_money(self, open_minor, value, tolerance):
        got = matching.cover(open_minor, value, tolerance)
        self.assertEqual(got.covered, value + got.write_off - got.excess)
        self.assertLessEqual(got.covered, open_minor)
        self.assertLessEqual(got.write_off, tolerance)
        self.assertFalse(got.write_off and got.excess)
        self.assertGreaterEqual(min(got), 0)

    def test_worked_figures(self):
        self.assertEqual(matching.cover(150000, 60000, 150), matching.Cover(60000, 0, 0))
        self.assertEqual(matching.cover(150000, 149850, 150), matching.Cover(150000, 150, 0))
        self.assertEqual(matching.cover(150000, 149849, 150), matching.Cover(149849, 0, 0))
        self.assertEqual(matching.cover(150000, 170000, 150), matching.Cover(150000, 0, 20000))
        self.assertEqual(matching.value_of_receipt(0, 2, 3, 100), 67, "rounded to the nearest")
        self.assertEqual(matching.value_of_receipt(2, 1, 3, 100), 33)
        self.assertEqual(matching.tail_amount(100, 10, [], 5), 100)
        self.assertEqual(matching.tail_amount(100, 10, [100, 110], 5), 120)
        self.assertEqual(matching.tolerance(150000, 1, 500), 150)
        self.assertEqual(matching.tolerance(15000000, 1, 500), 500)

    @given(st.integers(1, 10**9), st.integers(1, 200))
    def test_tails_never_collide_and_never_ask_less(self, due, count):
        taken = []
        for _number in range(count):
            amount = matching.tail_amount(due, 1, taken, 1000)
            self.assertNotIn(amount, taken)
            self.assertGreaterEqual(amount, due)
            taken.append(amount)

    def test_no_free_tail_is_told(self):
        self.assertIsNone(matching.tail_amount(10, 5, [10, 15], 2))

    def test_depeg(self):
        self.assertFalse(matching.is_depegged(1_000_000, 10_000))
        self.assertTrue(matching.is_depegged(985_000, 10_000))
        self.assertTrue(matching.is_depegged(1_010_001, 10_000))


if __name__ == "__main__":
    unittest.main()
