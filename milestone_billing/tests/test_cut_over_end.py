"""The end of a contract that began elsewhere: what was billed, deposited and held back before is decided about too."""

from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_cut_over import CutOverCommon
from .test_end import EndCommon


@tagged("post_install", "-at_install")
class TestCutOverEnd(EndCommon, CutOverCommon):
    def create_begun_contract(self):
        """Deposit and first stage were billed elsewhere, with 300.00 held back; the second stage is billed here."""
        order = self.create_deposit_order(taxes=self.tax_20)
        order.milestone_schedule_id.retainage_percent = 10.0
        deposit, first, second = order.milestone_line_ids[:3]
        self.enter(deposit, 2500.0, "OLD-1")
        self.enter(first, 2500.0, "OLD-2", amount_retained=300.0)
        second.action_complete()
        return order

    def test_statement_of_a_contract_begun_elsewhere(self):
        order = self.create_begun_contract()
        statement = order.milestone_schedule_id.get_statement(order.milestone_line_ids[2])
        expected = {
            "contract_sum": "10000.00",
            "completed_to_date": "7500.00",
            "retainage": "500.00",
            "earned_less_retainage": "7000.00",
            "previously_billed": "4750.00",
            "current_due": "2250.00",
            "balance_to_finish": "3000.00",
        }
        self.assertEqual({name: statement[name] for name in expected}, expected)
        self.assertTiesOut(order)

    def test_all_stages_and_the_release_bill_the_rest(self):
        order = self.create_begun_contract()
        schedule, final = order.milestone_schedule_id, order.milestone_line_ids[3]
        final.action_complete()
        self.assertItems(
            final.invoice_ids,
            (self.receivable, 2700, 0),
            (self.retainage, 300, 0),
            (self.revenue, 0, 5000),
            (self.advances, 2500, 0),
            (self.tax_account, 0, 500),
        )
        self.assertEqual(schedule.release_retainage()["amount"], 900.0)
        self.assertEqual((schedule.amount_retained, schedule.amount_advance), (0.0, 0.0))
        self.assertEqual(schedule.get_statement()["balance_to_finish"], "0.00")
        self.assertEqual(self.balance(self.receivable, order), 6300.0)
        self.assertTiesOut(order)

    def test_end_releases_what_was_held_elsewhere_and_earns_its_deposit(self):
        order = self.create_begun_contract()
        self.end(order, retainage="release", deposit="earn")
        self.assertEnded(order)
        schedule = order.milestone_schedule_id
        self.assertEqual((schedule.amount_retained, schedule.amount_advance), (0.0, 0.0))
        self.assertEqual(schedule.get_statement()["completed_to_date"], "7500.00")
        self.assertEqual(self.balance(self.receivable, order), 3300.0)
        self.assertEqual(self.balance(self.revenue, order), -5000.0)

    def test_deposit_of_before_is_given_back_where_it_was_billed(self):
        """The assistant says so; once it is credited there and removed here, the contract ends without it."""
        order = self.create_deposit_order(taxes=self.tax_20)
        schedule, (deposit, first) = order.milestone_schedule_id, order.milestone_line_ids[:2]
        self.enter(first, 2500.0, "OLD-1")
        self.enter(deposit, 2500.0, "OLD-2")
        with self.assertRaisesRegex(UserError, "credited where it was billed"), self.env.cr.savepoint():
            self.end(order, deposit="credit")
        self.env.invalidate_all()
        schedule.opening_ids.filtered("is_advance").action_remove()
        self.end(order)
        self.assertEnded(order)
        self.assertEqual(schedule.amount_advance, 0.0)
        self.assertEqual(schedule.get_statement()["completed_to_date"], "2500.00")
