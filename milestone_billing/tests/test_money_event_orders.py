"""Events in an order that nobody plans: credit notes upon credit notes, changes behind a deposit, Odoo's own ways between."""

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_money_corners import MoneyCornerCommon


class EventOrderCommon(MoneyCornerCommon):
    def credit(self, move, share=1.0, post=True):
        """Credit a part of each line of a document, as people do: they lower the prices of its credit note."""
        credit = move._reverse_moves()
        for item in credit.invoice_line_ids.filtered(lambda item: item.display_type == "product"):
            if share != 1.0:
                item.price_unit = item.currency_id.round(item.price_unit * share)
        if post:
            credit._post()
        return credit

    def assertRefused(self, pattern, function, *args, **kwargs):
        with self.assertRaisesRegex(UserError, pattern), self.env.cr.savepoint():
            function(*args, **kwargs)
        self.env.invalidate_all()

    def bill_the_rest(self, order):
        order.milestone_line_ids.filtered(lambda line: line.state == "planned").action_complete()
        self.assertTiedOut(order)
        self.assertBilledEqualsOrder(order)


@tagged("post_install", "-at_install")
class TestCreditsInAnyOrder(EventOrderCommon):
    def setUp(self):
        super().setUp()
        self.order = self.create_order(taxes=self.tax_20)
        self.line = self.order.milestone_line_ids[0]
        self.line.action_complete()
        self.first = self.line.invoice_ids

    def test_first_invoice_is_credited_again_after_its_part_was_billed_again(self):
        """2,500 billed, 750 credited and billed again; then 500 of the first invoice: it can be billed, too."""
        self.credit(self.first, 0.3)
        self.line.action_complete()
        second = self.line._get_live_invoice()
        self.assertEqual(second.amount_untaxed, 750.0)
        self.credit(self.first, 0.2)
        self.assertTiedOut(self.order)
        self.line.action_complete()
        self.assertEqual(self.line._get_live_invoice().amount_untaxed, 500.0)
        self.assertEqual((self.line.amount_billed, self.line.state), (2500.0, "approved"))
        self.bill_the_rest(self.order)

    def test_invoice_of_a_credited_part_is_withdrawn_after_another_credit_note(self):
        self.credit(self.first, 0.3)
        self.line.action_complete()
        second = self.line._get_live_invoice()
        self.credit(self.first, 0.2)
        second.button_draft()
        second.button_cancel()
        self.assertTiedOut(self.order)
        self.line.action_complete()
        self.assertEqual(self.line._get_live_invoice().amount_untaxed, 1250.0)
        self.bill_the_rest(self.order)

    def test_withdrawn_credit_note_gives_the_second_invoice_its_place_back(self):
        self.credit(self.first, 0.3)
        self.line.action_complete()
        second = self.line._get_live_invoice()
        credit = self.credit(self.first, 0.2)
        self.assertFalse(self.line._get_live_invoice())
        credit.button_draft()
        self.assertEqual(self.line._get_live_invoice(), second)
        self.bill_the_rest(self.order)

    def test_invoice_is_not_withdrawn_beside_the_one_that_bills_the_rest(self):
        self.credit(self.first, 0.3)
        self.line.action_complete()
        second = self.line._get_live_invoice()
        self.credit(self.first, 0.2)
        self.line.action_complete()
        second.button_draft()
        self.assertRefused("is billed by", second.button_cancel)
        second._post()
        self.bill_the_rest(self.order)

    def test_credit_note_waits_for_the_draft_of_what_was_credited(self):
        self.company.milestone_invoice_posting = "draft"
        self.credit(self.first, 0.3)
        self.line.action_complete()
        self.assertRefused("is being billed again by", self.credit, self.first, 0.2)
        self.line._get_live_invoice().unlink()
        self.credit(self.first, 0.2)
        self.assertTiedOut(self.order)

    def test_no_more_is_taken_back_than_was_billed(self):
        self.assertRefused(r"billed .*2,500\.00 of .*1,250\.00 more", self.credit, self.first, 1.5)
        self.credit(self.first, 0.3)
        self.assertRefused(r"billed .*2,500\.00 of .*750\.00 more", self.credit, self.first)
        self.assertEqual(self.line.amount_billed, 1750.0)

    def test_two_credit_notes_of_the_whole_are_not_issued_together(self):
        credits = self.credit(self.first, post=False) + self.credit(self.first, post=False)
        self.assertRefused(r"2,500\.00 more would be credited", credits._post)
        credits[0]._post()
        self.assertRefused(r"2,500\.00 more would be credited", credits[1]._post)
        self.bill_the_rest(self.order)

    def test_credit_note_of_a_cancelled_invoice_is_not_issued(self):
        credit = self.credit(self.first, post=False)
        self.first.button_draft()
        self.first.button_cancel()
        self.line.action_complete()
        self.assertRefused("is not issued any more", credit._post)
        self.bill_the_rest(self.order)


@tagged("post_install", "-at_install")
class TestNeverAboveTheOrder(EventOrderCommon):
    def create_fixed_order(self):
        order = self.create_order(shares=(0, 0), taxes=self.tax_20, confirm=False)
        order.milestone_line_ids.write({"amount_type": "fixed", "amount_fixed": 5000.0})
        order.action_confirm()
        return order

    def assertBlocked(self, order, pattern):
        lines = order.milestone_line_ids.filtered(lambda line: line.invoice_status == "none")
        self.assertRefused(pattern, lines.action_complete)
        lines.invalidate_recordset()
        self.assertRegex(lines[0].blocked_reason, pattern)
        ready = lines.search([("id", "in", lines.ids), ("is_ready", "=", True)])
        self.assertEqual((ready, lines.filtered("is_ready")), (lines.browse(), lines.browse()))

    def test_order_below_its_fixed_amounts(self):
        order = self.create_fixed_order()
        order.order_line.price_unit = 7000.0
        self.assertBlocked(order, r"exceed the order \(.*7,000\.00\) by .*3,000\.00")
        order.milestone_line_ids[1].amount_type = "remainder"
        self.bill_the_rest(order)
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [5000.0, 2000.0])

    def test_amount_raised_above_the_order(self):
        order = self.create_fixed_order()
        order.milestone_line_ids[0].amount_fixed = 9000.0
        self.assertBlocked(order, r"by .*4,000\.00")
        order.milestone_line_ids[1].amount_fixed = 1000.0
        self.bill_the_rest(order)

    def test_milestone_beside_what_is_billed_already(self):
        order = self.create_order(shares=(50, 50), taxes=self.tax_20)
        order.milestone_line_ids.action_complete()
        more = {"name": "More", "amount_type": "fixed", "amount_fixed": 700.0, "sequence": 90}
        order.milestone_line_ids = [Command.create({**more, "approval_required": False})]
        self.assertBlocked(order, r"by .*700\.00")
        order.order_line = [self.prepare_line(700.0, self.tax_20)]
        self.bill_the_rest(order)

    def test_chosen_line_becomes_cheaper_than_its_shares(self):
        order = self.create_order(
            shares=(50, 50),
            lines=[self.prepare_line(1000.0, self.tax_20), self.prepare_line(3000.0, self.tax_10)],
            confirm=False,
        )
        for line in order.milestone_line_ids:
            line.write({"amount_type": "percent", "allocation_mode": "lines"})
            line.allocation_ids = [
                Command.create({"order_line_id": item.id, "percent": 50.0}) for item in order.order_line
            ]
        order.action_confirm()
        order.milestone_line_ids[0].action_complete()
        order.order_line[0].price_unit = 800.0
        self.assertBlocked(order, r"\(.*3,800\.00\) by .*100\.00")
        order.milestone_line_ids[1].amount_type = "remainder"
        self.bill_the_rest(order)

    def test_down_payment_of_sale_stands_beside_no_milestones(self):
        order = self.create_order(shares=(), taxes=self.tax_20)
        wizard = {"sale_order_ids": order.ids, "advance_payment_method": "percentage", "amount": 30}
        self.env["sale.advance.payment.inv"].create(wizard).create_invoices()
        down_payment = order.invoice_ids
        rest = [Command.create({"name": "All", "amount_type": "remainder", "approval_required": False})]
        self.assertRefused("down payment on .*delete its draft", order.write, {"milestone_line_ids": rest})
        down_payment._post()
        self.assertRefused("down payment on", order.write, {"milestone_line_ids": rest})
        down_payment._reverse_moves(cancel=True)
        order.milestone_line_ids = rest
        self.bill_the_rest(order)

    def test_line_that_sale_has_billed_does_not_come_back_to_the_milestones(self):
        order = self.create_order(
            shares=(50, 50),
            lines=[self.prepare_line(1000.0, self.tax_20), self.prepare_line(3000.0, self.tax_10)],
        )
        beside = order.order_line[1]
        beside.is_milestone_billed = False
        usual = order._create_invoices()
        self.assertEqual(usual.amount_untaxed, 3000.0)
        self.assertRefused("would bill it again", beside.write, {"is_milestone_billed": True})
        usual.unlink()
        beside.is_milestone_billed = True
        self.bill_the_rest(order)

    def test_other_unit_changes_what_is_billed(self):
        order = self.create_order(shares=(50, 50), taxes=self.tax_20)
        order.order_line.product_id.list_price = 10.0
        order.order_line.product_uom_id = self.env.ref("uom.product_uom_dozen")
        self.assertEqual(order.amount_untaxed, 120.0)
        self.bill_the_rest(order)


@tagged("post_install", "-at_install")
class TestDepositInAnyOrder(EventOrderCommon):
    def setUp(self):
        super().setUp()
        self.order = self.create_deposit_order(taxes=self.tax_20)
        self.deposit, self.final = self.order.milestone_line_ids[0], self.order.milestone_line_ids[-1]
        self.deposit.action_complete()
        self.invoice = self.deposit.invoice_ids

    def test_rest_of_a_deposit_credited_in_part_is_refunded(self):
        self.credit(self.invoice, 0.3)
        result = self.deposit.refund_deposit()
        self.assertEqual(result["amount"], 2100.0)
        self.assertEqual(self.order.milestone_schedule_id.amount_advance, 0.0)
        self.assertEqual(self.balance(self.advances, self.order), 0.0)
        self.bill_the_rest(self.order)

    def test_deposit_on_two_invoices_is_refunded_on_each(self):
        self.credit(self.invoice, 0.3)
        self.deposit.action_complete()
        second = self.deposit._get_live_invoice()
        result = self.deposit.refund_deposit()
        self.assertEqual(result["amount"], 3000.0)
        self.assertEqual(second.reversal_move_ids.amount_total, 900.0)
        self.assertEqual(self.invoice.reversal_move_ids.mapped("amount_total"), [2100.0, 900.0])
        self.assertEqual((self.invoice + second).mapped("amount_residual"), [0.0, 0.0])
        self.bill_the_rest(self.order)

    def test_final_invoice_names_both_invoices_of_its_deposit(self):
        self.credit(self.invoice, 0.3)
        self.deposit.action_complete()
        second = self.deposit._get_live_invoice()
        self.bill_the_rest(self.order)
        final = self.final.invoice_ids
        self.assertEqual(final._get_milestone_preceding_invoices(), self.invoice + second)
        deducted = final.invoice_line_ids.filtered("is_downpayment").filtered("price_subtotal")
        self.assertIn(self.invoice.name, deducted.name)
        self.assertIn(second.name, deducted.name)

    def test_credited_deposit_leaves_no_quantity_and_the_order_may_be_cancelled(self):
        self.credit(self.invoice)
        self.assertConserved(self.order)
        self.assertFalse(self.order.milestone_schedule_id._get_unearned_deposits())
        self.order.action_cancel()
        self.assertEqual(self.order.state, "cancel")

    def test_credited_final_invoice_leaves_no_quantity(self):
        self.bill_the_rest(self.order)
        self.credit(self.final.invoice_ids, 0.5)
        self.assertConserved(self.order)
        self.bill_the_rest(self.order)
        self.assertFalse(self.order.milestone_schedule_id._get_unearned_deposits())

    def test_deposit_is_deducted_where_it_was_booked(self):
        self.company.downpayment_account_id = self.advances.copy({"name": "Other Advances"})
        self.bill_the_rest(self.order)
        self.assertEqual(self.balance(self.advances, self.order), 0.0)
        self.assertEqual(self.balance(self.company.downpayment_account_id, self.order), 0.0)

    def test_credited_deposit_may_be_booked_otherwise(self):
        schedule = self.order.milestone_schedule_id
        self.assertRefused("is billed already", schedule.write, {"deposit_mode": "instalment"})
        self.credit(self.invoice)
        schedule.deposit_mode = "instalment"
        self.bill_the_rest(self.order)
        self.assertEqual(self.balance(self.advances, self.order), 0.0)

    def test_deposit_keeps_the_taxes_of_its_order_lines(self):
        self.service.taxes_id = self.tax_20
        down_payment = self.order.order_line.filtered("milestone_deposit_id")
        self.order.action_update_taxes()
        self.assertEqual(down_payment.tax_ids, self.tax_20)
        other = {"tax_ids": [Command.set(self.tax_10.ids)]}
        self.assertRefused("with the taxes it had", down_payment.write, other)
        self.bill_the_rest(self.order)

    def test_percentage_to_date_is_planned_beside_the_share_before_it(self):
        """25 % as a deposit, then 20 and 60 % to date: the quotation says what will be billed."""
        order = self.create_deposit_order(taxes=self.tax_20, confirm=False)
        website = order.order_line
        for line, percent in zip(order.milestone_line_ids[1:3], (20.0, 60.0), strict=True):
            line.allocation_mode = "progress"
            line.allocation_ids = [Command.create({"order_line_id": website.id, "percent": percent})]
        planned = order.milestone_line_ids.mapped("amount_untaxed")
        self.assertEqual(planned, [2500.0, 0.0, 3500.0, 4000.0])
        order.action_confirm()
        self.bill_the_rest(order)
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), planned)
