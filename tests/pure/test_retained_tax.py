"""Tax that waits for the release of retainage: nothing is lost, and the oldest goes first."""

import unittest
from fractions import Fraction

import conftest  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st
from milestone_billing_tools.retained_tax import add, by_taxes, credited, kept, negate, split, take

POT = {
    ("a", (1,)): {"net": 200, "t1": 40, "b1": 200},
    ("a", (2,)): {"net": 50, "t2": 5, "b2": 50},
    ("b", (1,)): {"net": 250, "t1": 50, "b1": 250},
}


class TestPot(unittest.TestCase):
    def test_oldest_document_is_released_first(self):
        taken = take(POT, 300)
        self.assertEqual(taken[("a", (1,))], POT[("a", (1,))])
        self.assertEqual(taken[("a", (2,))], POT[("a", (2,))])
        self.assertEqual(taken[("b", (1,))], {"net": 50, "t1": 10, "b1": 50})

    def test_everything_takes_every_last_unit(self):
        pot = {("a", (1,)): {"net": 3, "t1": 1}, ("b", (1,)): {"net": -1, "t1": 0}, ("c", ()): {"net": 0}}
        self.assertEqual(take(pot, 2), {key: pot[key] for key in list(pot)[:2]})

    def test_tax_of_a_part_is_pro_rata(self):
        self.assertEqual(split({"x": {"net": 100, "t1": 20}}, 33), {"x": {"net": 33, "t1": 7}})
        self.assertEqual(split({"x": {"net": 100, "t1": 20}}, -33), {"x": {"net": -33, "t1": -7}})
        self.assertEqual(split({"x": {"net": 0, "t1": 0}}, 5), {})

    def test_parts_by_taxes(self):
        total = by_taxes(POT)
        self.assertEqual(total[(1,)], {"net": 450, "t1": 90, "b1": 450})
        self.assertEqual(by_taxes({**POT, **negate(POT)}), by_taxes(negate(POT)))

    def test_client_keeps_no_more_than_is_held(self):
        parts = {("a", (1,)): POT[("a", (1,))]}
        self.assertEqual(kept(parts, {(1,): 100}, POT), {("a", (1,)): {"net": 100, "t1": 20, "b1": 100}})
        self.assertEqual(kept(parts, {(1,): 900}, POT), parts)
        self.assertEqual(kept(parts, {(1,): 100}, {}), {})

    def test_credit_notes_in_part_add_up_to_the_document(self):
        parts = {("a", (1,)): {"net": 101, "t1": 21}}
        before, held = {}, {key: dict(units) for key, units in parts.items()}
        for share in (Fraction(1, 3), Fraction(2, 3), Fraction(1)):
            back = credited(parts, before, {(1,): share}, held)
            add(before, back)
            add(held, back, -1)
        self.assertEqual(before, parts)
        self.assertEqual(held, {("a", (1,)): {"net": 0, "t1": 0}})

    def test_credit_note_leaves_what_was_released(self):
        parts = {("a", (1,)): {"net": 100, "t1": 20}}
        held = {("a", (1,)): {"net": 40, "t1": 8}}
        self.assertEqual(credited(parts, {}, {(1,): Fraction(1)}, held), held)
        self.assertEqual(credited(parts, {}, {(1,): Fraction(1)}, {}), {})


class TestConserved(unittest.TestCase):
    @settings(max_examples=1500, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(1, 10**6), st.integers(0, 30)), min_size=1, max_size=5
        ),
        st.lists(st.integers(1, 99), max_size=6),
    )
    def test_releases_take_exactly_what_was_held(self, documents, percents):
        pot = {}
        for place, (taxes, net, rate) in enumerate(documents):
            add(pot, {(place, (taxes,)): {"net": net, f"t{taxes}": net * rate // 100}})
        whole, released = by_taxes(pot), {}
        for percent in [*percents, 100]:
            held = sum(units["net"] for units in pot.values())
            taken = take(pot, held * percent // 100)
            self.assertEqual(sum(units["net"] for units in taken.values()), held * percent // 100)
            add(pot, taken, -1)
            add(released, taken)
            for units in pot.values():
                self.assertGreaterEqual(min(units.values()), 0)
        self.assertFalse(any(any(units.values()) for units in pot.values()))
        self.assertEqual(by_taxes(released), whole)


if __name__ == "__main__":
    unittest.main()
