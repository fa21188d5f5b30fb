"""The sheet of a release: which invoice's retainage it asks for, and what always adds up."""

import unittest
from datetime import date

from conftest import many_cases
from hypothesis import given
from hypothesis import strategies as st
from milestone_billing_tools.retainage_sheet import Entry, release_sheet


def sheet(*entries):
    """Give ``(held, before, now, left)`` by invoice."""
    return {
        key: (row.held, row.before, row.now, row.left)
        for key, row in release_sheet([Entry(*entry) for entry in entries]).items()
    }


class TestReleaseSheet(unittest.TestCase):
    def test_oldest_is_released_first(self):
        self.assertEqual(
            sheet(("A", 300), ("B", 300), ("R", -400)), {"A": (300, 0, 300, 0), "B": (300, 0, 100, 200)}
        )

    def test_what_is_due_first_is_released_first(self):
        late, soon = date(2026, 3, 31), date(2026, 3, 15)
        self.assertEqual(
            sheet(("A", 300, None, late), ("B", 300, None, soon), ("R", -400)),
            {"A": (300, 0, 100, 200), "B": (300, 0, 300, 0)},
        )

    def test_credit_note_of_an_invoice_lowers_what_it_held(self):
        self.assertEqual(
            sheet(("A", 300), ("B", 300), ("C", -100, "A"), ("R", -400)),
            {"A": (200, 0, 200, 0), "B": (300, 0, 200, 100)},
        )

    def test_credit_note_in_part_of_a_release_holds_again_what_was_taken_last(self):
        self.assertEqual(
            sheet(("A", 300), ("B", 300), ("R", -500), ("C", 250, "R"), ("S", -100)),
            {"A": (300, 250, 50, 0), "B": (300, 0, 50, 250)},
        )

    def test_reversed_release_holds_everything_again(self):
        self.assertEqual(
            sheet(("A", 300), ("B", 300), ("R", -600), ("C", 600, "R"), ("S", -600)),
            {"A": (300, 0, 300, 0), "B": (300, 0, 300, 0)},
        )

    def test_documents_that_say_of_which_invoices_they_give_back_are_followed(self):
        first = date.min
        self.assertEqual(
            sheet(
                ("A", 300, None, first, {"A": 300}),
                ("B", 300, None, first, {"B": 300}),
                ("C", -100, "A", first, {"A": -100}),
                ("R", -400, None, first, {"A": -200, "B": -200}),
                ("U", 100, "R", first, {"A": 50, "B": 50}),
                ("S", -60, None, first, {"A": -50, "B": -10}),
            ),
            {"A": (200, 150, 50, 0), "B": (300, 150, 10, 140)},
        )

    @many_cases
    @given(st.lists(st.tuples(st.sampled_from("hrcu"), st.integers(1, 500)), min_size=1, max_size=12))
    def test_what_is_left_is_what_all_documents_hold(self, events):
        """Hold, release, credit an invoice, undo a release: the rows always add up to the documents."""
        entries, held, released = [], {}, {}
        for number, (event, wanted) in enumerate(events):
            left = sum(held.values()) - sum(released.values())
            if event == "h":
                held[number] = wanted
                entries.append(Entry(number, wanted))
            elif event == "r" and left:
                released[number] = min(wanted, left)
                entries.append(Entry(number, -released[number]))
            elif event == "c" and held and not sum(released.values()):
                origin = max(held)
                units = min(wanted, held[origin])
                held[origin] -= units
                entries.append(Entry(number, -units, origin))
            elif event == "u" and released:
                origin = max(released)
                units = min(wanted, released[origin])
                released[origin] -= units
                entries.append(Entry(number, units, origin))
        entries.append(Entry("last", 0))
        rows = release_sheet(entries).values()
        self.assertEqual(sum(row.left for row in rows), sum(held.values()) - sum(released.values()))
        for row in rows:
            self.assertGreaterEqual(min(row.before, row.now, row.left), 0)


if __name__ == "__main__":
    unittest.main()
