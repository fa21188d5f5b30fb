"""Hours of a retainer: nothing is lost or given twice."""

import unittest
from decimal import Decimal

from conftest import load_tools

load_tools("milestone_billing")
from milestone_billing_tools.retainer import Layer, Period, keep_newest, refund_units, settle, trace_left

D = Decimal


class TestSettle(unittest.TestCase):
    def test_unused_hours_follow_the_agreement(self):
        self.assertEqual(settle(D(10), D(0), D(4), "none"), (0, 0, 6))
        self.assertEqual(settle(D(10), D(0), D(4), "once"), (0, 6, 0))
        self.assertEqual(settle(D(10), D(3), D(1), "once"), (0, 10, 2))
        self.assertEqual(settle(D(10), D(3), D(1), "always"), (0, 12, 0))

    def test_more_than_paid_is_overage(self):
        self.assertEqual(settle(D(10), D(2), D("14.25"), "once"), (D("2.25"), 0, 0))

    def test_hours_are_conserved(self):
        for included in range(0, 12, 3):
            for carried in range(0, 12, 3):
                for used in range(0, 30, 2):
                    for rollover in ("none", "once", "always"):
                        result = settle(D(included), D(carried), D(used), rollover)
                        self.assertTrue(min(result) >= 0)
                        self.assertEqual(
                            included + carried - used, result.carried + result.expired - result.overage
                        )


class TestTraceLeft(unittest.TestCase):
    """Hours keep the period that they were paid for, however often they are carried on."""

    def test_oldest_hours_are_used_up_first(self):
        periods = [Period(1, D(10), D(0), D(4)), Period(2, D(10), D(6), D(7)), Period(3, D(10), D(9), D(0))]
        self.assertEqual(
            trace_left(periods),
            {1: [Layer(1, D(6))], 2: [Layer(2, D(9))], 3: [Layer(2, D(9)), Layer(3, D(10))]},
        )

    def test_nothing_comes_along_that_was_not_carried_on(self):
        periods = [Period(1, D(10), D(0), D(0)), Period(2, D(10), D(0), D(1)), Period(3, D(10), D(4), D(0))]
        self.assertEqual(trace_left(periods)[2], [Layer(2, D(9))])
        self.assertEqual(trace_left(periods)[3], [Layer(2, D(4)), Layer(3, D(10))])
        self.assertEqual(trace_left([Period(1, D(10), D(0), D(25))]), {1: []})

    def test_what_is_left_is_what_was_settled(self):
        for rollover in ("none", "once", "always"):
            for used in range(0, 14, 3):
                carried, periods = D(0), []
                for key in range(5):
                    now = D(used if key % 2 else 14 - used)
                    result = settle(D(10), carried, now, rollover)
                    periods.append(Period(key, D(10), carried, now + result.expired))
                    left = trace_left(periods)[key]
                    self.assertEqual(sum(layer.hours for layer in left), result.carried)
                    self.assertTrue(all(0 < layer.hours <= 10 for layer in left))
                    if rollover == "once":
                        self.assertTrue(all(layer.key == key for layer in left), "one more period, not two")
                    carried = result.carried

    def test_no_more_is_kept_than_there_is(self):
        layers = [Layer(1, D(2)), Layer(2, D(3))]
        self.assertEqual(keep_newest(layers, D(4)), [Layer(1, D(1)), Layer(2, D(3))])
        self.assertEqual(keep_newest(layers, D(9)), layers)
        self.assertEqual(keep_newest(layers, D(0)), [])


class TestRefund(unittest.TestCase):
    def test_hours_are_worth_their_part_of_what_was_paid(self):
        self.assertEqual(refund_units(10000, D(2), D(3)), 6667)
        self.assertEqual(refund_units(10000, D("2.5"), D(10)), 2500)
        self.assertEqual(refund_units(1, D(1), D(2)), 1, "half a unit is rounded up")
        self.assertEqual(refund_units(-500, D(1), D(2)), 0)

    def test_all_hours_are_worth_all(self):
        for units in (0, 1, 99, 100000):
            for included in ("0.25", "3", "7.5"):
                self.assertEqual(refund_units(units, D(included), D(included)), units)
