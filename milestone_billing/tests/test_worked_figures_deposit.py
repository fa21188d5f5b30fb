"""Deposits as the accounting rules and published examples have them, journal items line by line."""

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_worked_figures_retainage import RetainageCommon


class DepositCommon(RetainageCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.advances = cls.env["account.account"].create(
            {
                "name": "Customer Advances",
                "code": "419100",
                "account_type": "liability_current",
                "company_ids": [Command.set(cls.company.ids)],
            }
        )
        cls.company.downpayment_account_id = cls.advances

    @classmethod
    def create_deposit_order(cls, shares=(25, 25, 25, 25), recovery="final", confirm=True, **values):
        order = cls.create_order(shares=shares, confirm=False, **values)
        order.milestone_line_ids[0].kind = "deposit"
        order.milestone_schedule_id.write({"deposit_mode": "advance", "deposit_recovery": recovery})
        if confirm:
            order.action_confirm()
        return order


@tagged("post_install", "-at_install")
class TestWorkedFiguresDeposit(DepositCommon):
    def test_running_case_deposit_becomes_earned_with_the_final_stage(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        schedule = order.milestone_schedule_id
        schedule.retainage_percent = 10
        deposit, first, second, final = order.milestone_line_ids
        deposit.action_complete()
        self.assertItems(
            deposit.invoice_ids,
            (self.receivable, 3000, 0),
            (self.advances, 0, 2500),
            (self.tax_account, 0, 500),
        )
        (first + second).action_complete()
        self.assertItems(
            second.invoice_ids,
            (self.receivable, 2700, 0),
            (self.retainage, 300, 0),
            (self.revenue, 0, 2500),
            (self.tax_account, 0, 500),
        )
        self.assertEqual(schedule.amount_advance, 2500.0)
        final.action_complete()
        self.assertItems(
            final.invoice_ids,
            (self.receivable, 2700, 0),
            (self.retainage, 300, 0),
            (self.revenue, 0, 5000),
            (self.advances, 2500, 0),
            (self.tax_account, 0, 500),
        )
        self.assertEqual(schedule.amount_advance, 0.0)
        self.assertEqual(self.balance(self.advances, order), 0.0)
        self.assertEqual(self.balance(self.revenue, order), -10000.0)
        self.assertBilledEqualsOrder(order)
        self.assertConserved(order)
        self.assertEqual(order.order_line.filtered("is_milestone_billed").qty_invoiced, 1.0)
        self.assertEqual(order.invoice_status, "invoiced")

    def test_running_case_deposit_drawn_down_pro_rata(self):
        order = self.create_deposit_order(taxes=self.tax_20, recovery="prorata")
        order.milestone_line_ids[0].action_complete()
        for line, draw in zip(order.milestone_line_ids[1:], (833.33, 833.33, 833.34), strict=True):
            line.action_complete()
            self.assertItems(
                line.invoice_ids,
                (self.receivable, 3000, 0),
                (self.advances, draw, 0),
                (self.revenue, 0, 2500 + draw),
                (self.tax_account, 0, 500),
            )
        self.assertEqual(self.balance(self.advances, order), 0.0)
        self.assertBilledEqualsOrder(order)

    def test_unearned_deposit_is_refunded_with_its_tax(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        deposit, first = order.milestone_line_ids[:2]
        (deposit + first).action_complete()
        refund = deposit.invoice_ids._reverse_moves(cancel=True)
        self.assertItems(
            refund, (self.advances, 2500, 0), (self.tax_account, 500, 0), (self.receivable, 0, 3000)
        )
        self.assertEqual(order.milestone_schedule_id.amount_advance, 0.0)
        self.assertConserved(order)

    def test_erpnext_final_after_half_in_advance_asks_for_the_other_half_with_its_tax(self):
        order = self.create_deposit_order(shares=(50, 50), prices=(100.0,), taxes=self.tax_20)
        deposit, final = order.milestone_line_ids
        deposit.action_complete()
        self.assertEqual(deposit.invoice_ids.amount_total, 60.0)
        self.assertEqual(deposit.invoice_ids.amount_tax, 10.0)
        self.pay(deposit.invoice_ids)
        final.action_complete()
        self.assertEqual(final.invoice_ids.amount_residual, 60.0)
        self.assertEqual(final.invoice_ids.amount_tax, 10.0)

    def test_erpnext_advance_with_tax_included(self):
        gst = self.create_tax("GST 18 %", 18.0, price_include_override="tax_included")
        parts = gst.invoice_repartition_line_ids + gst.refund_repartition_line_ids
        parts.filtered(lambda part: part.repartition_type == "tax").account_id = self.tax_account
        order = self.create_deposit_order(shares=(33.333333, 66.666667), prices=(30000.0,), taxes=gst)
        deposit, final = order.milestone_line_ids
        deposit.action_complete()
        self.assertRecordValues(
            deposit.invoice_ids, [{"amount_untaxed": 8474.58, "amount_tax": 1525.42, "amount_total": 10000.0}]
        )
        self.assertItems(
            deposit.invoice_ids,
            (self.receivable, 10000, 0),
            (self.advances, 0, 8474.58),
            (self.tax_account, 0, 1525.42),
        )
        final.action_complete()
        self.assertItems(
            final.invoice_ids,
            (self.receivable, 20000, 0),
            (self.revenue, 0, 25423.73),
            (self.advances, 8474.58, 0),
            (self.tax_account, 0, 3050.85),
        )

    def test_austrian_final_invoice_deducts_instalments_and_their_tax(self):
        order = self.create_order(prices=(9000000.0,), shares=(1, 1, 1, 1), taxes=self.tax_20, confirm=False)
        for line, amount in zip(order.milestone_line_ids, (1500000, 2000000, 3000000), strict=False):
            line.write({"amount_type": "fixed", "amount_fixed": amount})
        order.action_confirm()
        order.milestone_line_ids.action_complete()
        invoices = order.milestone_line_ids.invoice_ids.sorted("id")
        self.assertEqual(invoices.mapped("amount_untaxed"), [1500000.0, 2000000.0, 3000000.0, 2500000.0])
        self.assertEqual(invoices.mapped("amount_tax"), [300000.0, 400000.0, 600000.0, 500000.0])
        self.assertEqual(invoices[-1].amount_total, 3000000.0)
        earlier = order.milestone_schedule_id._get_earlier_invoices(order.milestone_line_ids[-1])
        self.assertEqual(
            [(row["net"], row["tax"]) for row in earlier],
            [("1500000.00", "300000.00"), ("2000000.00", "400000.00"), ("3000000.00", "600000.00")],
        )

    def test_dolibarr_three_situations_bill_their_own_deltas(self):
        order = self.create_order(shares=(25, 25, 50), prices=(2500.0,), taxes=self.tax_20)
        order.milestone_line_ids.action_complete()
        invoices = order.milestone_line_ids.invoice_ids.sorted("id")
        self.assertEqual(invoices.mapped("amount_untaxed"), [625.0, 625.0, 1250.0])
        self.assertEqual(invoices.mapped("amount_tax"), [125.0, 125.0, 250.0])
        report = self.env["account.invoice.report"].search([("move_id", "in", invoices.ids)])
        self.assertEqual(sum(report.mapped("price_subtotal")), 2500.0)

    def create_tryton_order(self, quantity):
        goods = self.prepare_line(20.0, quantity=quantity)
        return self.create_deposit_order(shares=(10, 90), lines=[goods])

    def test_tryton_advance_of_ten_percent(self):
        order = self.create_tryton_order(5.0)
        deposit, final = order.milestone_line_ids
        order.milestone_schedule_id.gate = "block"
        deposit.action_complete()
        self.assertItems(deposit.invoice_ids, (self.receivable, 10, 0), (self.advances, 0, 10))
        with self.assertRaisesRegex(UserError, "Stage 1"):
            final.action_complete()
        self.pay(deposit.invoice_ids)
        final.action_complete()
        self.assertEqual(final.invoice_ids.amount_total, 90.0)
        self.assertItems(
            final.invoice_ids, (self.receivable, 90, 0), (self.revenue, 0, 100), (self.advances, 10, 0)
        )

    def test_tryton_advance_cancelled_and_made_again(self):
        order = self.create_tryton_order(5.0)
        deposit, final = order.milestone_line_ids
        deposit.action_complete()
        deposit.invoice_ids._reverse_moves(cancel=True)
        deposit.action_complete()
        again = deposit._get_live_invoice()
        self.assertItems(again, (self.receivable, 10, 0), (self.advances, 0, 10))
        final.action_complete()
        self.assertItems(
            final.invoice_ids, (self.receivable, 90, 0), (self.revenue, 0, 100), (self.advances, 10, 0)
        )
        self.assertEqual(self.balance(self.advances, order), 0.0)
        self.assertConserved(order)

    def test_tryton_advance_cancelled_and_waived(self):
        order = self.create_tryton_order(5.0)
        deposit, final = order.milestone_line_ids
        deposit.action_complete()
        deposit.invoice_ids._reverse_moves(cancel=True)
        deposit.action_cancel()
        final.action_complete()
        self.assertItems(final.invoice_ids, (self.receivable, 100, 0), (self.revenue, 0, 100))
        self.assertConserved(order)

    def test_tryton_second_order(self):
        order = self.create_tryton_order(6.0)
        deposit, final = order.milestone_line_ids
        order.milestone_schedule_id.gate = "block"
        deposit.action_complete()
        self.assertItems(deposit.invoice_ids, (self.receivable, 12, 0), (self.advances, 0, 12))
        with self.assertRaisesRegex(UserError, "Stage 1"):
            final.action_complete()
        self.pay(deposit.invoice_ids)
        final.action_complete()
        self.assertItems(
            final.invoice_ids, (self.receivable, 108, 0), (self.revenue, 0, 120), (self.advances, 12, 0)
        )


@tagged("post_install", "-at_install")
class TestDeposit(DepositCommon):
    def create_mixed_order(self, **values):
        tax_10 = self.create_tax("VAT 10 %", 10.0)
        lines = [
            self.prepare_line(33.33, self.tax_20, 3.0),
            self.prepare_line(100.01, tax_10),
            self.prepare_line(0.07, self.tax_20 + tax_10, 7.0),
            self.prepare_line(-5.55, tax_10),
        ]
        return self.create_deposit_order(lines=lines, **values)

    def test_one_down_payment_for_each_set_of_taxes(self):
        order = self.create_mixed_order(recovery="prorata", shares=(33.33, 22.22, 11.11, 33.34))
        for line in order.milestone_line_ids:
            line.action_complete()
            self.assertConserved(order)
            self.assertEqual(
                self.env.company.currency_id.compare_amounts(
                    line.invoice_ids.amount_total, line.amount_total
                ),
                0,
            )
        down_payments = order.order_line.filtered(lambda line: line.is_downpayment and not line.display_type)
        self.assertEqual(len(down_payments), 3)
        self.assertBilledEqualsOrder(order)
        self.assertEqual(self.balance(self.advances, order), 0.0)

    def test_all_stages_completed_in_one_call(self):
        order = self.create_mixed_order()
        order.milestone_line_ids.action_complete()
        self.assertBilledEqualsOrder(order)
        self.assertEqual(self.balance(self.advances, order), 0.0)

    def test_credited_final_returns_the_deposit_to_recover(self):
        order = self.create_mixed_order()
        order.milestone_line_ids.action_complete()
        final = order.milestone_line_ids[-1]
        final.invoice_ids._reverse_moves(cancel=True)
        self.assertConserved(order)
        deposit = order.milestone_line_ids[0]
        self.assertEqual(order.milestone_schedule_id.amount_advance, deposit.amount_untaxed)
        final.action_complete()
        self.assertBilledEqualsOrder(order)
        self.assertEqual(order.milestone_schedule_id.amount_advance, 0.0)

    def test_recovered_deposit_cannot_be_refunded(self):
        order = self.create_mixed_order()
        order.milestone_line_ids.action_complete()
        with self.assertRaisesRegex(UserError, "deducted on later invoices"):
            order.milestone_line_ids[0].invoice_ids._reverse_moves(cancel=True)

    def test_deleted_draft_final_returns_the_deposit(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_mixed_order()
        order.milestone_line_ids.action_complete()
        deposit, final = order.milestone_line_ids[0], order.milestone_line_ids[-1]
        with self.assertRaisesRegex(UserError, "is deducted on"):
            deposit.invoice_ids.unlink()
        final.invoice_ids.unlink()
        self.assertEqual(order.milestone_schedule_id.amount_advance, deposit.amount_untaxed)
        deposit.invoice_ids.unlink()
        self.assertFalse(
            order.order_line.filtered(lambda line: line.is_downpayment and not line.display_type)
        )
        self.assertConserved(order)

    def test_down_payment_wizard_does_not_bill_again_what_a_schedule_owns(self):
        order = self.create_order()
        wizard = self.env["sale.advance.payment.inv"].create(
            {"sale_order_ids": order.ids, "advance_payment_method": "percentage", "amount": 30}
        )
        with self.assertRaisesRegex(UserError, "billed by its milestones, deposits included"):
            wizard.create_invoices()

    def test_money_paid_with_the_confirmation_pays_the_deposit(self):
        order = self.create_deposit_order(confirm=False)
        order.milestone_line_ids[0].trigger = "order_confirmed"
        order.action_confirm()
        self.assertEqual(order._generate_downpayment_invoices(), order.milestone_line_ids[0].invoice_ids)

    def test_way_of_booking_does_not_change_once_billed(self):
        order = self.create_deposit_order()
        order.milestone_line_ids[0].action_complete()
        with self.assertRaisesRegex(UserError, "billed already"):
            order.milestone_schedule_id.deposit_mode = "instalment"

    def test_create_invoice_of_sale_leaves_the_deposit_alone(self):
        order = self.create_deposit_order()
        order.milestone_line_ids[0].action_complete()
        with self.assertRaisesRegex(UserError, "billed by its milestones"):
            order._create_invoices(final=True)
