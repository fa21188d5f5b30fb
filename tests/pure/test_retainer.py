"""Hours of a retainer: nothing is lost or given twice."""

import unittest
from decimal import Decimal

from conftest import load_tools

load_tools("milestone_billing")
from milestone_billing_tools.retainer import settle

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
