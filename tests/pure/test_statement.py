"""The statement: figures of progress chains where only the inputs are given, and what always holds."""

import unittest

from conftest import many_cases
from hypothesis import given
from hypothesis import strategies as st
from milestone_billing_tools.statement import LINES, Billing, net_retained, schedule_of_values, statement

BILLINGS = st.lists(
    st.tuples(st.dictionaries(st.sampled_from("abc"), st.integers(-500, 10**6)), st.integers(0, 20)),
    max_size=7,
)


def chain(drawn):
    return [
        Billing(place, parts, sum(parts.values()) * percent // 100)
        for place, (parts, percent) in enumerate(drawn)
    ]


class TestStatement(unittest.TestCase):
    def test_three_applications_with_ten_percent_and_a_change_order(self):
        billings = [
            Billing(1, {"a": 200000, "b": 100000}, 30000),
            Billing(2, {"a": 300000}, 30000),
            Billing(3, {"b": 450000}, 45000),
        ]
        second = statement(1000000, 1050000, billings, 1)
        self.assertEqual(
            tuple(second[name] for name in LINES),
            (1000000, 50000, 1050000, 600000, 60000, 540000, 270000, 270000, 510000),
        )
        last = statement(1000000, 1050000, billings, 2)
        self.assertEqual((last["previously_billed"], last["current_due"]), (540000, 405000))
        self.assertEqual(last["balance_to_finish"], 105000)

    def test_release_without_new_work(self):
        billings = [Billing(1, {"a": 100000}, 5000), Billing(2, {}, -5000)]
        last = statement(100000, 100000, billings, 1)
        self.assertEqual((last["retainage"], last["current_due"], last["balance_to_finish"]), (0, 5000, 0))

    def test_gross_retainage_is_shown_without_tax_and_ends_at_zero(self):
        billings = [Billing(1, {"a": 2500}, 300, 3000), Billing(2, {"a": 2501}, 301, 3001)]
        billings += [Billing(3, {}, -200, 0), Billing(4, {}, -401, 0)]
        self.assertEqual(net_retained(billings)[0], 250)
        self.assertEqual(sum(net_retained(billings)), 0)

    @many_cases
    @given(BILLINGS)
    def test_values_by_line_add_up_to_the_head(self, drawn):
        billings, scheduled = chain(drawn), {"a": 10**6, "b": 500000, "c": 1}
        for place in range(-1, len(billings)):
            head = statement(0, sum(scheduled.values()), billings, place)
            rows = schedule_of_values(scheduled, billings, place)
            self.assertEqual(sum(row["completed"] for row in rows.values()), head["completed_to_date"])
            self.assertEqual(
                sum(row["previous"] + row["this_period"] for row in rows.values()), head["completed_to_date"]
            )
            self.assertEqual(sum(row["retainage"] for row in rows.values()), head["retainage"])

    @many_cases
    @given(BILLINGS, BILLINGS)
    def test_what_is_billed_later_moves_no_row(self, drawn, later):
        billings, scheduled = chain(drawn), {"a": 10**6}
        for place in range(len(billings)):
            rows = schedule_of_values(scheduled, billings, place)
            self.assertEqual(schedule_of_values(scheduled, billings + chain(later), place), rows)

    @many_cases
    @given(BILLINGS)
    def test_previous_is_line_six_of_the_statement_before(self, drawn):
        billings = chain(drawn)
        for place in range(len(billings)):
            now, before = statement(0, 9, billings, place), statement(0, 9, billings, place - 1)
            self.assertEqual(now["previously_billed"], before["earned_less_retainage"])
            self.assertEqual(now["current_due"] + now["previously_billed"], now["earned_less_retainage"])
            self.assertEqual(now["contract_sum"], now["earned_less_retainage"] + now["balance_to_finish"])


if __name__ == "__main__":
    unittest.main()
