"""What is left of a document that was credited in part: offered at the end of its contract, and refunded of a deposit."""

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_event_orders import EventOrderCommon


class CreditRestCommon(EventOrderCommon):
    def get_rows(self, order):
        return [
            (row.kind, row.line_id, row.move_id, row.amount_untaxed, row.amount_tax)
            for row in self.open_end(order).row_ids.sorted("id")
        ]

    def get_credits(self, invoice):
        return invoice.reversal_move_ids.filtered(lambda move: move.state == "posted").sorted("id")

    def assertNothingLeft(self, order, *accounts):
        for account in (self.receivable, self.revenue, self.tax_account, self.retainage, *accounts):
            self.assertEqual(self.balance(account, order), 0.0, account.code)
        self.assertEqual(order.milestone_schedule_id.get_statement()["completed_to_date"], "0.00")


@tagged("post_install", "-at_install")
class TestRestAtTheEnd(CreditRestCommon):
    def test_rest_of_a_stage_is_offered_with_its_figure_and_credited(self):
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        invoice = line.invoice_ids
        self.credit(invoice, 1000.0)
        rows = self.get_rows(order)
        self.assertEqual(rows[0], ("stage", line, invoice, 1500.0, 300.0))
        self.assertEqual(rows[1], ("unbilled", line, invoice.browse(), 1000.0, 200.0))
        row = self.open_end(order).row_ids[0]
        self.assertEqual((row.payment_state, row.amount_open), ("posted", 1800.0))
        self.end(order, stage="credit")
        rest = self.get_credits(invoice)[-1]
        self.assertItems(
            rest, (self.revenue, 1500, 0), (self.tax_account, 300, 0), (self.receivable, 0, 1800)
        )
        self.assertEqual((line.state, line.amount_billed), ("cancelled", 0.0))
        self.assertNothingLeft(order)
        self.assertEnded(order)

    def test_kept_rest_stays_billed(self):
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        self.credit(line.invoice_ids, 1000.0)
        self.end(order)
        self.assertEqual((line.state, line.amount_billed), ("cancelled", 1500.0))
        self.assertEqual(order.milestone_schedule_id.get_statement()["contract_sum"], "1500.00")
        self.assertEnded(order)

    def test_part_that_was_billed_again_is_a_position_of_its_own(self):
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        first = line.invoice_ids
        self.credit(first, 1000.0)
        line.action_complete()
        second = line._get_live_invoice()
        rows = [row[:4] for row in self.get_rows(order)]
        self.assertIn(("stage", line, first, 1500.0), rows)
        self.assertIn(("stage", line, second, 1000.0), rows)
        self.end(order, stage="credit")
        self.assertNothingLeft(order)
        self.assertEnded(order)

    def test_rest_takes_back_the_retainage_that_is_left(self):
        for values in ({}, {"retainage_base": "net"}, {"retainage_base": "net", "retainage_tax": "release"}):
            with self.subTest(**values):
                order = self.create_retained_order(taxes=self.tax_20, prices=(3333.33, 6666.67), **values)
                line = order.milestone_line_ids[0]
                line.action_complete()
                self.credit(line.invoice_ids, 333.33)
                self.end(order, stage="credit")
                self.assertNothingLeft(order)
                self.assertEqual(order.milestone_schedule_id.amount_retained, 0.0)
                self.assertEqual(set(line.invoice_ids.mapped("amount_residual")), {0.0})
                self.assertEnded(order)

    def test_rest_after_the_client_kept_a_part_of_the_retainage(self):
        order = self.create_net_order()
        line = order.milestone_line_ids[0]
        line.action_complete()
        self.credit(line.invoice_ids, 100.0, milestone_from_retainage=True)
        self.assertEqual(order.milestone_schedule_id.amount_retained, 130.0)
        self.end(order, stage="credit")
        self.assertNothingLeft(order)
        self.assertEnded(order)

    def test_rest_of_a_stage_whose_retainage_was_released(self):
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                order = self.create_net_order(retainage_tax=tax)
                line = order.milestone_line_ids[0]
                line.action_complete()
                order.milestone_schedule_id.release_retainage(amount=100)
                self.credit(line.invoice_ids, 1000.0)
                self.end(order, stage="credit", retainage="keep")
                self.assertNothingLeft(order)
                self.assertEnded(order)

    def test_rest_of_a_stage_that_gave_retainage_back(self):
        order = self.create_net_order(retainage_method="to_date")
        first, second = order.milestone_line_ids[:2]
        first.action_complete()
        order.milestone_schedule_id.retainage_percent = 2.0
        second.action_complete()
        credit = self.credit(second.invoice_ids, 1000.0, post=False)
        credit.invoice_line_ids.filtered("milestone_retainage").price_unit = 50.0
        credit.action_post()
        self.assertEqual(credit.amount_retained, 50.0)
        self.end(order, stage="credit")
        self.assertNothingLeft(order)
        self.assertEnded(order)

    def test_rest_gives_the_deducted_deposit_back(self):
        for recovery in ("final", "prorata"):
            with self.subTest(recovery=recovery):
                order = self.create_deposit_order(
                    recovery=recovery,
                    lines=[self.prepare_line(3333.33, self.tax_20), self.prepare_line(6666.67)],
                )
                order.milestone_line_ids.action_complete()
                final = order.milestone_line_ids[-1].invoice_ids
                credit = final._reverse_moves()
                for item in credit.invoice_line_ids.filtered(lambda item: item.display_type == "product"):
                    item.price_unit = item.currency_id.round(item.price_unit * 0.3)
                credit._post()
                self.end(order, stage="credit")
                self.assertNothingLeft(order, self.advances)
                self.assertEnded(order)

    def test_rest_of_an_advance_that_was_deducted(self):
        order = self.create_deposit_order(taxes=self.tax_20, shares=(25, 75))
        deposit, final = order.milestone_line_ids
        deposit.action_complete()
        invoice = deposit.invoice_ids
        self.credit(invoice, 1000.0)
        deposit.action_complete()
        deposit._get_live_invoice()
        final.action_complete()
        rows = [row[:4] for row in self.get_rows(order)]
        self.assertIn(("stage", deposit, invoice, 1500.0), rows)
        self.end(order, stage="credit")
        self.assertNothingLeft(order, self.advances)
        self.assertEnded(order)

    def test_rest_of_a_stage_that_paid_back(self):
        order = self.create_order(shares=(50, 50), prices=(1000.0,), taxes=self.tax_20, confirm=False)
        order.order_line = [self.prepare_line(-400.0, self.tax_20)]
        line = order.milestone_line_ids[0]
        line.allocation_mode = "lines"
        line.allocation_ids = [Command.create({"order_line_id": order.order_line[1].id, "percent": 100.0})]
        order.action_confirm()
        line.action_complete()
        refund = line.invoice_ids
        self.assertEqual(refund.move_type, "out_refund")
        self.credit(refund, 100.0)
        self.assertEqual(self.get_rows(order)[0], ("stage", line, refund, -300.0, -60.0))
        self.end(order, stage="credit")
        self.assertNothingLeft(order)
        self.assertEnded(order)

    def test_rest_of_a_release_is_credited(self):
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                order = self.create_net_order(retainage_tax=tax)
                order.milestone_line_ids[:2].action_complete()
                order.milestone_schedule_id.release_retainage()
                release = self.get_release(order)
                self.credit(release, 200.0)
                self.assertIn(
                    ("stage", release.milestone_line_id, release, 300.0),
                    [r[:4] for r in self.get_rows(order)],
                )
                self.end(order, stage="credit", retainage="keep")
                self.assertNothingLeft(order)
                self.assertEqual(order.milestone_schedule_id.amount_retained, 0.0)
                self.assertEnded(order)


@tagged("post_install", "-at_install")
class TestRestOfADeposit(CreditRestCommon):
    def create_instalment(self, **values):
        order = self.create_deposit_order(
            lines=[self.prepare_line(6000.0, self.tax_20), self.prepare_line(4000.0, self.tax_10)],
            confirm=False,
        )
        order.milestone_schedule_id.write({"deposit_mode": "instalment", **values})
        order.action_confirm()
        order.milestone_line_ids[0].action_complete()
        return order, order.milestone_line_ids[0], order.milestone_line_ids[0].invoice_ids

    def credit_500(self, invoice):
        """Credit 500.00 of the line at 20 %."""
        credit = self.credit(invoice, 500.0, post=False)
        credit.invoice_line_ids.filtered(lambda item: item.tax_ids == self.tax_10).unlink()
        credit.action_post()

    def test_rest_of_an_instalment_is_refunded_with_its_tax(self):
        order, deposit, invoice = self.create_instalment()
        self.pay(invoice)
        self.credit_500(invoice)
        result = deposit.refund_deposit()
        self.assertEqual(result["amount"], 2300.0)
        refund = self.env["account.move"].browse(result["credit_note_id"])
        self.assertEqual((refund.amount_untaxed, refund.amount_tax), (2000.0, 300.0))
        self.assertEqual((deposit.state, deposit.amount_billed), ("planned", 0.0))
        self.assertNothingLeft(order)
        self.assertTiedOut(order)
        deposit.action_complete()
        order.milestone_line_ids[1:].action_complete()
        self.assertBilledEqualsOrder(order)
        self.assertTiedOut(order)

    def test_instalment_on_two_invoices_is_refunded_on_each(self):
        order, deposit, invoice = self.create_instalment()
        self.credit_500(invoice)
        deposit.action_complete()
        second = deposit._get_live_invoice()
        self.assertEqual(deposit.refund_deposit()["amount"], 2900.0)
        self.assertEqual(self.get_credits(second).mapped("amount_untaxed"), [500.0])
        self.assertEqual(self.get_credits(invoice).mapped("amount_untaxed"), [500.0, 2000.0])
        self.assertNothingLeft(order)
        self.assertTiedOut(order)

    def test_instalment_is_not_refunded_twice(self):
        order, deposit, invoice = self.create_instalment()
        self.credit_500(invoice)
        deposit.refund_deposit()
        with self.assertRaisesRegex(UserError, "nothing to refund"):
            deposit.refund_deposit()
        self.assertTiedOut(order)

    def test_refund_is_offered_while_something_is_left(self):
        _order, deposit, invoice = self.create_instalment()
        self.assertTrue(deposit.can_refund_deposit)
        self.credit_500(invoice)
        self.assertTrue(deposit.can_refund_deposit)
        deposit.refund_deposit()
        self.assertFalse(deposit.can_refund_deposit)
