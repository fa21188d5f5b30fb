"""Retainage: rates, caps, stops, steps, and what always holds."""

import unittest
from fractions import Fraction

from conftest import many_cases
from hypothesis import given
from hypothesis import strategies as st
from milestone_billing_tools.retainage import Position, Step, Terms, retain

TENTH = Fraction(1, 10)


def run(terms, contract, works):
    """Bill one work after the other and give what each held back."""
    position, parts = Position(contract), []
    for work in works:
        part = retain(terms, position, work)
        position = Position(contract, position.before + work, position.withheld + part, position.held + part)
        parts.append(part)
    return parts


class TestRetain(unittest.TestCase):
    def test_each_stage_holds_back_its_percent(self):
        self.assertEqual(run(Terms(TENTH), 10000, [2500] * 4), [250] * 4)

    def test_cap_is_reached_once_and_then_constant(self):
        self.assertEqual(run(Terms(TENTH, cap=600), 10000, [2500] * 4), [250, 250, 100, 0])

    def test_stop_splits_the_stage_that_passes_it(self):
        self.assertEqual(run(Terms(TENTH, stop=Fraction(3, 5)), 10000, [2500] * 4), [250, 250, 100, 0])

    def test_step_halves_the_rate_and_gives_half_back(self):
        terms = Terms(TENTH, steps=(Step(Fraction(1, 2), Fraction(1, 20), Fraction(1, 2)),))
        self.assertEqual(run(terms, 10000, [4000, 2000, 4000]), [400, 150 - 200, 200])

    def test_rate_cut_on_work_to_date_gives_the_difference_back(self):
        first = retain(Terms(TENTH, to_date=True), Position(100000), 90000)
        second = retain(Terms(Fraction(1, 20), to_date=True), Position(100000, 90000, first, first), 10000)
        third = retain(Terms(Fraction(0), to_date=True), Position(100000, 100000, 5000, 5000), 0)
        self.assertEqual((first, second, third), (9000, -4000, -5000))

    def test_credit_gives_its_own_part_back(self):
        self.assertEqual(run(Terms(TENTH), 10000, [2500, -2500]), [250, -250])

    @many_cases
    @given(
        st.fractions(0, Fraction(99, 100)),
        st.booleans(),
        st.one_of(st.none(), st.integers(0, 10**6)),
        st.one_of(st.none(), st.fractions(0, 1)),
        st.lists(st.integers(-(10**5), 10**6), min_size=1, max_size=8),
    )
    def test_held_is_never_negative_nor_above_the_cap(self, rate, to_date, cap, stop, works):
        held, terms = 0, Terms(rate, to_date, cap, stop)
        for part, work in zip(run(terms, max(sum(works), 1), works), works, strict=True):
            held += part
            if work >= 0:
                self.assertLessEqual(part, work, "no more is held back than is billed")
            self.assertGreaterEqual(held, 0)
            if cap is not None and part > 0:
                self.assertLessEqual(held, cap)

    @many_cases
    @given(st.fractions(0, Fraction(99, 100)), st.lists(st.integers(0, 10**6), min_size=1, max_size=8))
    def test_stages_are_within_half_a_unit_each_of_the_percent_of_the_contract(self, rate, works):
        contract = sum(works)
        total = sum(run(Terms(rate), contract, works))
        self.assertLessEqual(abs(total - rate * contract), Fraction(len(works), 2))


if __name__ == "__main__":
    unittest.main()
