"""Splitting an order: used up to the last unit, targets reached, nobody off by more than one unit."""

import unittest
from fractions import Fraction

from conftest import many_cases
from hypothesis import given
from hypothesis import strategies as st
from milestone_billing_tools.allocation import (
    AllocationError,
    Column,
    Row,
    apportion,
    plan,
    row_targets,
    spread,
    take,
)

NETS = st.lists(st.integers(0, 10**7), min_size=1, max_size=6)
SIGNED = st.lists(st.integers(-(10**5), 10**7), min_size=1, max_size=6)
WEIGHTS = st.lists(st.integers(1, 100), min_size=1, max_size=6)


def columns_of(nets, rate=Fraction(1, 5)):
    """Order lines with one tax and a quantity in hundredths."""
    return [
        Column(place, net, {"t1": round(net * rate), "b1": net, "qty": 100 * (place + 1)})
        for place, net in enumerate(nets)
    ]


def rows_of(total, weights):
    targets, difference = row_targets(
        total, [("share", Fraction(total * weight, sum(weights))) for weight in weights]
    )
    assert not difference
    return [Row(place, target) for place, target in enumerate(targets)]


class TestRowTargets(unittest.TestCase):
    def test_four_quarters(self):
        self.assertEqual(row_targets(1000000, [("share", Fraction(250000))] * 4), ([250000] * 4, 0))

    def test_last_share_absorbs_the_rounding(self):
        self.assertEqual(row_targets(100, [("share", Fraction(100, 3))] * 3), ([33, 33, 34], 0))

    def test_remainder_takes_the_rest_wherever_it_stands(self):
        rows = [("remainder", 0), ("share", Fraction(3333, 100)), ("fixed", 10)]
        self.assertEqual(row_targets(100, rows), ([57, 33, 10], 0))

    def test_more_or_less_than_the_total_is_told(self):
        self.assertEqual(row_targets(100, [("fixed", 60), ("fixed", 50)])[1], 10)
        self.assertEqual(row_targets(100, [("share", Fraction(50)), ("fixed", 20)])[1], -30)

    def test_shares_beyond_what_fixed_amounts_leave_are_not_cut_in_silence(self):
        rows = [("fixed", 60), ("share", Fraction(50)), ("remainder", 0)]
        self.assertEqual(row_targets(100, rows), ([60, 50, -10], 0))

    def test_three_cents_in_five_fifths_never_turn_negative(self):
        targets, _difference = row_targets(3, [("share", Fraction(3, 5))] * 5)
        self.assertEqual(sum(targets), 3)
        self.assertGreaterEqual(min(targets), 0)

    def test_half_units_taken_back_come_from_several_rows(self):
        rows = [("share", Fraction(2 * cents + 1, 2)) for cents in (150_000,) * 6] + [
            ("share", Fraction(99_996))
        ]
        targets, difference = row_targets(1_000_000, [*rows, ("share", Fraction(1))])
        self.assertEqual(targets, [150_001] * 4 + [150_000] * 2 + [99_996, 0])
        self.assertEqual(difference, 0)

    @many_cases
    @given(st.integers(0, 10**9), WEIGHTS)
    def test_shares_add_up_and_keep_their_sign(self, total, weights):
        exact = [Fraction(total * weight, sum(weights)) for weight in weights]
        targets, difference = row_targets(total, [("share", share) for share in exact])
        self.assertEqual((sum(targets), difference), (total, 0))
        self.assertGreaterEqual(min(targets), 0)
        for target, share in zip(targets[:-1], exact[:-1], strict=True):
            self.assertLessEqual(abs(target - share), 1)


class TestParts(unittest.TestCase):
    @many_cases
    @given(st.integers(-(10**9), 10**9), WEIGHTS)
    def test_spread_adds_up_within_one_unit(self, total, weights):
        parts = spread(total, weights)
        self.assertEqual(sum(parts), total)
        for part, weight in zip(parts, weights, strict=True):
            self.assertLessEqual(abs(part - Fraction(total * weight, sum(weights))), 1)

    @many_cases
    @given(st.lists(st.fractions(-(10**6), 10**6), min_size=1, max_size=8), st.integers(-20, 20))
    def test_apportion_reaches_its_target(self, wishes, more):
        target = round(sum(wishes)) + more
        self.assertEqual(sum(apportion(target, wishes)), target)


class TestTake(unittest.TestCase):
    @many_cases
    @given(NETS, st.integers(0, 100))
    def test_takes_exactly_what_is_wanted_and_no_more_than_there_is(self, nets, percent):
        columns = {column.key: {"net": column.net, **column.parts} for column in columns_of(nets)}
        wanted = sum(nets) * percent // 100
        taken = take(columns, wanted)
        self.assertEqual(sum(units["net"] for units in taken.values()), wanted)
        for key, units in taken.items():
            for part, count in units.items():
                self.assertTrue(0 <= count <= columns[key][part], (key, part))

    def test_everything_takes_every_part(self):
        columns = {
            "a": {"net": 333, "t1": 67, "b1": 333, "qty": 100},
            "b": {"net": -10, "t1": -2, "b1": -10, "qty": 1},
        }
        self.assertEqual(take(columns, 323), columns)


class TestPlan(unittest.TestCase):
    def assertUsedUp(self, columns, rows, parts):
        for row in rows:
            self.assertEqual(sum(parts[row.key][column.key]["net"] for column in columns), row.target)
        for column in columns:
            for part, units in {"net": column.net, **column.parts}.items():
                self.assertEqual(sum(parts[row.key][column.key][part] for row in rows), units)

    def test_rows_that_do_not_add_up_are_refused_with_the_difference(self):
        with self.assertRaises(AllocationError) as caught:
            plan(columns_of([100]), [Row(0, 60), Row(1, 50)])
        self.assertEqual(caught.exception.difference, 10)

    @many_cases
    @given(NETS, WEIGHTS)
    def test_everything_is_used_up_and_no_line_is_off_by_more_than_a_unit(self, nets, weights):
        columns, rows = columns_of(nets), rows_of(sum(nets), weights)
        parts = plan(columns, rows)
        self.assertUsedUp(columns, rows, parts)
        run = 0
        for row in rows:
            run += row.target
            for column in columns:
                billed = sum(parts[key][column.key]["net"] for key in range(row.key + 1))
                share = Fraction(run * column.net, sum(nets)) if sum(nets) else 0
                self.assertLessEqual(abs(billed - share), 1)

    @many_cases
    @given(NETS, WEIGHTS)
    def test_nothing_turns_negative_by_more_than_the_rounding(self, nets, weights):
        columns, rows = columns_of(nets), rows_of(sum(nets), weights)
        for by_column in plan(columns, rows).values():
            for units in by_column.values():
                self.assertGreaterEqual(units["net"], -2)

    @many_cases
    @given(SIGNED, WEIGHTS)
    def test_negative_order_lines_are_used_up_too(self, nets, weights):
        if sum(nets) <= 0:
            return
        columns, rows = columns_of(nets), rows_of(sum(nets), weights)
        self.assertUsedUp(columns, rows, plan(columns, rows))

    @many_cases
    @given(NETS, st.lists(st.integers(0, 100), min_size=1, max_size=6), WEIGHTS)
    def test_chosen_lines_keep_inside_what_is_left(self, nets, percents, weights):
        wishes = {
            place: round(Fraction(net * percent, 100))
            for place, (net, percent) in enumerate(zip(nets, percents, strict=False))
        }
        chosen = Row("chosen", sum(wishes.values()), wishes)
        rows = [chosen, *rows_of(sum(nets) - chosen.target, weights)]
        columns = columns_of(nets)
        parts = plan(columns, rows)
        self.assertUsedUp(columns, rows, parts)
        for place, units in wishes.items():
            self.assertEqual(parts["chosen"][place]["net"], units)

    @many_cases
    @given(NETS, WEIGHTS, st.integers(1, 5))
    def test_what_is_billed_does_not_move_when_the_rest_is_planned_again(self, nets, weights, billed):
        columns, rows = columns_of(nets), rows_of(sum(nets), weights)
        first = plan(columns, rows)
        done, rest = rows[:billed], rows[billed:]
        left = [
            Column(
                column.key,
                column.net - sum(first[row.key][column.key]["net"] for row in done),
                {
                    part: units - sum(first[row.key][column.key][part] for row in done)
                    for part, units in column.parts.items()
                },
            )
            for column in columns
        ]
        if rest:
            self.assertUsedUp(left, rest, plan(left, rest))


if __name__ == "__main__":
    unittest.main()
