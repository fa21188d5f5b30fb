"""A deposit that is not earned goes back with the tax that was billed with it, journal items line by line."""

from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from .test_worked_figures_deposit import DepositCommon


@tagged("post_install", "-at_install")
class TestDepositRefund(DepositCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tax_10 = cls.create_tax("VAT 10 %", 10.0)
        parts = cls.tax_10.invoice_repartition_line_ids | cls.tax_10.refund_repartition_line_ids
        cls.tax_10_account = cls.tax_account.copy({"name": "VAT 10 %"})
        parts.filtered(lambda part: part.repartition_type == "tax").account_id = cls.tax_10_account

    def create_two_rates(self, **values):
        """An order of 6,000 at 20 % and 4,000 at 10 %."""
        lines = [self.prepare_line(6000.0, self.tax_20), self.prepare_line(4000.0, self.tax_10)]
        return self.create_deposit_order(lines=lines, **values)

    def refund(self, line):
        return self.env["account.move"].browse(line.refund_deposit()["credit_note_id"])

    def assertTiedOut(self, order):
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])
        self.assertConserved(order)

    def test_case_10_contract_cancelled_after_the_first_stage(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        deposit, first = order.milestone_line_ids[:2]
        deposit.action_complete()
        self.pay(deposit.invoice_ids)
        first.action_complete()
        refund = self.refund(deposit)
        self.assertItems(
            refund, (self.advances, 2500, 0), (self.tax_account, 500, 0), (self.receivable, 0, 3000)
        )
        self.assertEqual(refund.amount_residual, 3000.0, "the paid deposit is to be paid back")
        self.assertEqual(deposit.invoice_ids.filtered("milestone_credited").amount_residual, 0.0)
        self.pay(refund)
        self.assertEqual(refund.amount_residual, 0.0)
        self.assertEqual(self.balance(self.advances, order), 0.0)
        self.assertEqual(order.milestone_schedule_id.amount_advance, 0.0)
        self.assertTiedOut(order)

    def test_unpaid_deposit_is_settled_by_its_credit_note(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        deposit = order.milestone_line_ids[0]
        deposit.action_complete()
        invoice = deposit.invoice_ids
        refund = self.refund(deposit)
        self.assertEqual((invoice + refund).mapped("amount_residual"), [0.0, 0.0])
        self.assertEqual(invoice.payment_state, "reversed")
        self.assertEqual(deposit.state, "planned")

    def test_instalment_is_refunded_as_the_revenue_it_was(self):
        order = self.create_order(taxes=self.tax_20, confirm=False)
        deposit = order.milestone_line_ids[0]
        deposit.kind = "deposit"
        order.action_confirm()
        order.milestone_line_ids[:2].action_complete()
        refund = self.refund(deposit)
        self.assertItems(
            refund, (self.revenue, 2500, 0), (self.tax_account, 500, 0), (self.receivable, 0, 3000)
        )
        self.assertTiedOut(order)

    def test_advance_of_two_rates_has_a_line_for_each_and_refunds_each(self):
        order = self.create_two_rates()
        deposit = order.milestone_line_ids[0]
        deposit.action_complete()
        self.assertItems(
            deposit.invoice_ids,
            (self.receivable, 2900, 0),
            (self.advances, 0, 1500),
            (self.advances, 0, 1000),
            (self.tax_account, 0, 300),
            (self.tax_10_account, 0, 100),
        )
        self.assertItems(
            self.refund(deposit),
            (self.receivable, 0, 2900),
            (self.advances, 1500, 0),
            (self.advances, 1000, 0),
            (self.tax_account, 300, 0),
            (self.tax_10_account, 100, 0),
        )
        self.assertTiedOut(order)

    def test_instalment_of_two_rates_refunds_each(self):
        order = self.create_two_rates(confirm=False)
        order.milestone_schedule_id.deposit_mode = "instalment"
        order.action_confirm()
        deposit = order.milestone_line_ids[0]
        deposit.action_complete()
        self.assertItems(
            self.refund(deposit),
            (self.receivable, 0, 2900),
            (self.revenue, 1500, 0),
            (self.revenue, 1000, 0),
            (self.tax_account, 300, 0),
            (self.tax_10_account, 100, 0),
        )
        self.assertTiedOut(order)

    def test_only_what_is_not_deducted_yet_is_refunded(self):
        order = self.create_two_rates(recovery="prorata")
        deposit, first = order.milestone_line_ids[:2]
        (deposit + first).action_complete()
        self.assertEqual(order.milestone_schedule_id.amount_advance, 1666.67)
        refund = self.refund(deposit)
        self.assertItems(
            refund,
            (self.receivable, 0, 1933.34),
            (self.advances, 1000, 0),
            (self.advances, 666.67, 0),
            (self.tax_account, 200, 0),
            (self.tax_10_account, 66.67, 0),
        )
        self.assertEqual(self.balance(self.advances, order), 0.0)
        self.assertTiedOut(order)
        deposit.action_cancel()
        order.milestone_line_ids[2:].action_complete()
        self.assertBilledEqualsOrder(order)
        self.assertTiedOut(order)

    def test_advance_with_tax_included_goes_back_to_the_cent(self):
        gst = self.tax_20.copy({"name": "GST 18 %", "amount": 18.0, "price_include_override": "tax_included"})
        order = self.create_deposit_order(
            shares=(33.333333, 33.333333, 33.333334), prices=(30000.0,), taxes=gst, recovery="prorata"
        )
        deposit, first = order.milestone_line_ids[:2]
        (deposit + first).action_complete()
        refund = self.refund(deposit)
        self.assertRecordValues(
            refund, [{"amount_untaxed": 4237.29, "amount_tax": 762.71, "amount_total": 5000.0}]
        )
        self.assertEqual(self.balance(self.advances, order), 0.0)
        self.assertTiedOut(order)

    def test_nothing_left_is_refused(self):
        order = self.create_deposit_order(shares=(25, 75))
        order.milestone_line_ids.action_complete()
        with self.assertRaisesRegex(UserError, "Credit those first"):
            order.milestone_line_ids[0].refund_deposit()

    def test_what_is_no_issued_deposit_is_refused(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_deposit_order()
        order.milestone_line_ids[:2].action_complete()
        for line in order.milestone_line_ids[:3]:
            with self.assertRaisesRegex(UserError, "nothing to refund"):
                line.refund_deposit()

    def test_refund_is_for_billing_users(self):
        order = self.create_deposit_order()
        deposit = order.milestone_line_ids[0]
        deposit.action_complete()
        with self.assertRaises(AccessError):
            deposit.with_user(self.project_user).refund_deposit()
        action = deposit.with_user(self.billing_user).action_refund_deposit()
        self.assertEqual(
            action["res_id"], deposit.invoice_ids.filtered(lambda m: m.move_type == "out_refund").id
        )
