"""The history of a contract: every position that was noted comes back, at its step and on its day."""

import unittest

from conftest import many_cases
from hypothesis import given
from hypothesis import strategies as st
from milestone_billing_tools.contract_history import Position, add, fold, until_day, until_step

TEXTS = st.dictionaries(st.sampled_from("1234"), st.sampled_from(["0.00", "10.00", "20.00"]), max_size=4)
POSITIONS = st.builds(Position, st.sampled_from(["30.00", "40.00"]), TEXTS, TEXTS, st.booleans())


class TestContractHistory(unittest.TestCase):
    @many_cases
    @given(st.lists(st.tuples(st.integers(0, 2), POSITIONS), min_size=1, max_size=8))
    def test_each_position_comes_back_at_its_step(self, drawn):
        rows, step, known = [], 1, {}
        for wait, position in drawn:
            step += wait
            before = [dict(row) for row in rows]
            new = add(rows, f"2026-01-{step:02d}", step, position)
            self.assertEqual(rows, before, "a history that is handed over stays as it is")
            rows, known[step] = new, position
        for place, position in known.items():
            self.assertEqual(fold(until_step(rows, place)), position)
            self.assertEqual(fold(until_day(rows, f"2026-01-{place:02d}")), position)
        self.assertEqual(fold(until_step(rows, 0)), fold(rows[:1]))
        self.assertEqual(until_day(rows, "2025-12-31"), [])

    def test_nothing_new_is_not_noted(self):
        position = Position("30.00", {"1": "10.00", "2": "20.00"}, {"7": "30.00"})
        rows = add([], "2026-01-01", 1, position)
        self.assertIs(add(rows, "2026-01-02", 2, position), rows)
        changed = add(rows, "2026-01-02", 2, Position("30.00", {"1": "10.00"}, {"7": "10.00"}))
        self.assertEqual(
            (changed[1]["values"], changed[1]["plan"]),
            ({"2": None}, {"7": "10.00"}),
            "only what is different",
        )
        self.assertEqual(add(changed, "2026-01-02", 2, position), rows, "back within one step")

    def test_order_of_nothing_is_noted_too(self):
        self.assertEqual(len(add([], "2026-01-01", 1, Position("0.00"))), 1)


if __name__ == "__main__":
    unittest.main()
