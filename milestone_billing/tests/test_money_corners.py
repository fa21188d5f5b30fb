"""Corners of the money where one wrong line of code would cost: each was broken once, and nothing else noticed."""

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_worked_figures_deposit import DepositCommon


class MoneyCornerCommon(DepositCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tax_10 = cls.create_tax("VAT 10 %", 10.0)

    def create_order_with_one_rate_credited(self):
        """Bill 1,000 at 20 % and 3,000 at 10 % with an advance, then credit the 20 % of the final invoice."""
        order = self.create_deposit_order(
            lines=[self.prepare_line(1000.0, self.tax_20), self.prepare_line(3000.0, self.tax_10)]
        )
        order.milestone_line_ids.action_complete()
        credit = order.milestone_line_ids[-1].invoice_ids._reverse_moves()
        credit.invoice_line_ids.filtered(lambda item: item.tax_ids == self.tax_10).unlink()
        credit._post()
        return order

    def create_two_deposits(self):
        """One order line each for two advances, and a stage for the rest of both."""
        order = self.create_order(
            shares=(20, 20, 60),
            lines=[self.prepare_line(1000.0, self.tax_20), self.prepare_line(3000.0, self.tax_20)],
            confirm=False,
        )
        for deposit, order_line in zip(order.milestone_line_ids[:2], order.order_line, strict=True):
            deposit.write(
                {
                    "kind": "deposit",
                    "allocation_mode": "lines",
                    "allocation_ids": [Command.create({"order_line_id": order_line.id, "percent": 20.0})],
                }
            )
        order.milestone_schedule_id.deposit_mode = "advance"
        order.action_confirm()
        return order

    def get_unrecovered(self, order):
        """Give what is left of each advance by order line, in units; only what is left."""
        left = order.milestone_schedule_id._get_unrecovered()
        return {
            (deposit.name, order_line): units["net"]
            for deposit, columns in left.items()
            for order_line, units in columns.items()
            if units["net"]
        }

    def assertTiedOut(self, order):
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])
        self.assertConserved(order)


@tagged("post_install", "-at_install")
class TestMoneyCorners(MoneyCornerCommon):
    # === CREDIT NOTES ===

    def test_taxes_that_take_each_other_back_are_billed(self):
        """Rounded for the order as a whole, one yen of the first line moves from one tax to the other."""
        yen = self.env["res.currency"].with_context(active_test=False).search([("name", "=", "JPY")])
        yen.active = True
        self.company.tax_calculation_rounding_method = "round_globally"
        taxes = self.tax_20 + self.create_tax("Fee", 0.35, amount_type="fixed")
        order = self.create_order(
            shares=(100,),
            lines=[self.prepare_line(5488.0, taxes)],
            pricelist_id=self.env["product.pricelist"].create({"name": "JPY", "currency_id": yen.id}).id,
        )
        order.milestone_line_ids.action_complete()
        order.order_line = [self.prepare_line(164.0, taxes)]
        order.milestone_line_ids = [Command.create({"name": "Rest", "amount_type": "remainder"})]
        order.milestone_line_ids[1].approval_required = False
        order.milestone_line_ids[1].action_complete()
        invoices = order.milestone_line_ids.invoice_ids
        billed = {tax.name: 0.0 for tax in taxes}
        for item in invoices.line_ids.filtered("tax_line_id"):
            billed[item.tax_line_id.name] -= item.amount_currency
        self.assertEqual(billed, {"VAT 20 %": 1130.0, "Fee": 1.0})
        self.assertEqual(sum(invoices.mapped("amount_total")), order.amount_total)
        self.assertTiedOut(order)

    def test_two_lines_of_a_credit_note_take_back_one_order_line(self):
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        credit = line.invoice_ids._reverse_moves()
        item = credit.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        item.write({"quantity": 1.0, "price_unit": 10.0})
        item.copy(
            {"move_id": credit.id, "price_unit": 5.0, "sale_line_ids": [Command.set(order.order_line.ids)]}
        )
        credit._post()
        planned = line.allocation_ids._filter_planned()
        self.assertEqual((planned.amount_untaxed, planned.amount_tax), (15.0, 3.0))
        self.assertTiedOut(order)

    def test_credit_of_one_rate_returns_the_deposit_of_that_rate(self):
        order = self.create_order_with_one_rate_credited()
        self.assertEqual(self.get_unrecovered(order), {("Stage 1", order.order_line[0]): 25000})
        self.assertTiedOut(order)
        order.milestone_line_ids[-1].action_complete()
        self.assertFalse(self.get_unrecovered(order))
        self.assertBilledEqualsOrder(order)

    def test_credited_stage_returns_to_each_deposit_its_own(self):
        order = self.create_two_deposits()
        first, second = order.order_line
        order.milestone_line_ids.action_complete()
        self.assertFalse(self.get_unrecovered(order))
        order.milestone_line_ids[-1].invoice_ids._reverse_moves(cancel=True)
        self.assertEqual(self.get_unrecovered(order), {("Stage 1", first): 20000, ("Stage 2", second): 60000})
        self.assertTiedOut(order)

    def test_withdrawn_credit_note_recovers_the_deposit_again(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        order.milestone_line_ids.action_complete()
        credit = order.milestone_line_ids[-1].invoice_ids._reverse_moves()
        credit._post()
        self.assertEqual(order.milestone_schedule_id.amount_advance, 2500.0)
        credit.button_draft()
        self.assertEqual(order.milestone_schedule_id.amount_advance, 0.0)
        self.assertConserved(order)

    # === DOCUMENTS THAT GO ===

    def test_cancelled_draft_returns_the_deposit(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_deposit_order(taxes=self.tax_20)
        order.milestone_line_ids.action_complete()
        final = order.milestone_line_ids[-1]
        final.invoice_ids.button_cancel()
        self.assertEqual(order.milestone_schedule_id.amount_advance, 2500.0)
        final.action_complete()
        self.assertEqual(order.milestone_schedule_id.amount_advance, 0.0)
        self.assertTiedOut(order)

    def test_deleted_draft_takes_its_part_of_what_changed_meanwhile(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[1]
        line.action_complete()
        order.order_line.price_unit = 12000.0
        line.invoice_ids.unlink()
        planned = order.milestone_line_ids.allocation_ids
        self.assertEqual(planned.mapped("amount_untaxed"), [3000.0] * 4)
        line.action_complete()
        self.assertEqual(line.invoice_ids.amount_untaxed, 3000.0)

    # === DOCUMENTS BY HAND ===

    def test_deposit_is_not_billed_beside_its_milestone(self):
        order = self.create_deposit_order()
        order.milestone_line_ids[0].action_complete()
        down_payment = order.order_line.filtered("milestone_deposit_id")
        for move_type in ("out_invoice", "out_receipt"):
            for owned in (down_payment, order.order_line.filtered("is_milestone_billed")):
                values = {"name": "By hand", "price_unit": 1.0, "sale_line_ids": [Command.set(owned.ids)]}
                move = self.env["account.move"].create(
                    {
                        "move_type": move_type,
                        "partner_id": self.client_company.id,
                        "invoice_line_ids": [Command.create(values)],
                    }
                )
                with self.assertRaisesRegex(UserError, "billed by its milestones alone"):
                    move._post()

    # === RETAINAGE ===

    def test_release_among_earlier_invoices_bills_nothing_again(self):
        order = self.create_retained_order(self.tax_20)
        order.milestone_line_ids[:3].action_complete()
        release = self.env["account.move"].browse(
            order.milestone_schedule_id.release_retainage(amount="600")["invoice_id"]
        )
        final = order.milestone_line_ids[3]
        final.action_complete()
        rows = order.milestone_schedule_id._get_earlier_invoices(final)
        row = next(row for row in rows if row["move_id"] == release.id)
        self.assertEqual((row["net"], row["tax"], row["total"]), ("0.00", "0.00", "0.00"))
        self.assertEqual(sum(float(row["net"]) for row in rows), 7500.0)

    def test_retainage_is_never_due_before_the_work(self):
        order = self.create_retained_order(self.tax_20, retainage_due_days=10)
        order.payment_term_id = self.env["account.payment.term"].create(
            {
                "name": "60 days",
                "line_ids": [Command.create({"value": "percent", "value_amount": 100, "nb_days": 60})],
            }
        )
        order.milestone_line_ids[0].action_complete()
        due = order.milestone_line_ids[0].invoice_ids.line_ids.filtered("date_maturity")
        self.assertEqual(len(set(due.mapped("date_maturity"))), 1)

    def test_defect_takes_no_more_than_is_held(self):
        order = self.create_retained_order(self.tax_20)
        order.milestone_line_ids[0].action_complete()
        invoice = order.milestone_line_ids[0].invoice_ids
        credit = invoice._reverse_moves([{"milestone_from_retainage": True}])
        item = credit.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        item.write({"quantity": 1.0, "price_unit": 1000.0})
        credit._post()
        self.assertEqual((credit.amount_total, credit.amount_retained), (1200.0, -300.0))
        self.assertEqual(self.balance(self.retainage, order), 0.0)
        self.assertTiedOut(order)


@tagged("post_install", "-at_install")
class TestRetainageCorners(MoneyCornerCommon):
    def release(self, order, **how):
        answer = order.milestone_schedule_id.release_retainage(**how)
        return self.env["account.move"].browse(answer["invoice_id"])

    def residuals(self, order):
        """Give what is still held on each invoice that held something back."""
        stages = order.milestone_line_ids.invoice_ids.filtered(
            lambda move: move.milestone_document == "stage" and move.state == "posted"
        )
        items = stages.sorted("id").line_ids.filtered("milestone_retainage")
        return items.mapped("amount_residual")

    # === HOW MUCH ===

    def test_limit_counts_what_was_released_since(self):
        order = self.create_retained_order(retainage_cap=400.0)
        order.milestone_line_ids[:2].action_complete()
        self.release(order)
        order.milestone_line_ids[2:].action_complete()
        stages = order.milestone_line_ids.filtered(lambda line: line.kind != "retainage_release")
        self.assertEqual(stages.invoice_ids.sorted("id").mapped("amount_retained"), [250.0, 150.0, 0.0, 0.0])

    def test_reverse_charge_is_no_part_of_the_contract(self):
        parts = [
            Command.create({"repartition_type": "base"}),
            Command.create({"repartition_type": "tax", "factor_percent": 100}),
            Command.create({"repartition_type": "tax", "factor_percent": -100}),
        ]
        reverse = self.create_tax(
            "Reverse 21 %", 21.0, invoice_repartition_line_ids=parts, refund_repartition_line_ids=parts
        )
        order = self.create_retained_order(reverse, retainage_base="gross", retainage_stop_percent=50.0)
        order.milestone_line_ids.action_complete()
        moves = order.milestone_line_ids.invoice_ids.sorted("id")
        self.assertEqual(moves.mapped("amount_retained"), [250.0, 250.0, 0.0, 0.0])

    def test_nothing_is_held_back_of_retainers(self):
        order = self.create_order(confirm=False)
        order.milestone_line_ids[0].kind = "retainer"
        order.milestone_schedule_id.retainage_percent = 10.0
        order.action_confirm()
        order.milestone_line_ids[:2].action_complete()
        moves = order.milestone_line_ids.invoice_ids.sorted("id")
        self.assertEqual(moves.mapped("amount_retained"), [0.0, 250.0])

    # === RELEASES ===

    def test_drafted_release_is_not_released_again(self):
        order = self.create_retained_order()
        order.milestone_line_ids[:2].action_complete()
        self.company.milestone_invoice_posting = "draft"
        release = self.release(order, amount="400")
        self.assertEqual(release.state, "draft")
        with self.assertRaisesRegex(UserError, "100.00"):
            self.release(order, amount="100.01")
        self.release(order)
        with self.assertRaisesRegex(UserError, "Nothing can be released"):
            self.release(order)

    def test_release_clears_no_draft(self):
        order = self.create_retained_order()
        order.milestone_line_ids[0].action_complete()
        self.company.milestone_invoice_posting = "draft"
        order.milestone_line_ids[1].action_complete()
        release = self.release(order)
        release._post()
        self.assertEqual((release.state, release.amount_total), ("posted", 250.0))
        self.assertEqual(self.residuals(order), [0.0])

    def test_reversed_release_is_held_on_its_invoices_again(self):
        order = self.create_retained_order(shares=(50, 50))
        order.milestone_line_ids.action_complete()
        release = self.release(order, amount="750")
        self.assertEqual(self.residuals(order), [0.0, 250.0])
        release._reverse_moves(cancel=True)
        self.assertEqual(self.residuals(order), [500.0, 500.0])
        self.assertTiedOut(order)

    def test_release_credited_in_part_is_held_on_the_newest_invoice(self):
        order = self.create_retained_order(shares=(50, 50))
        order.milestone_line_ids.action_complete()
        release = self.release(order, amount="750")
        credit = release._reverse_moves()
        credit.invoice_line_ids.filtered(lambda item: item.display_type == "product").price_unit = 100.0
        credit._post()
        self.assertEqual(self.residuals(order), [0.0, 350.0])
        self.assertTiedOut(order)

    def test_cancelled_stage_takes_back_nothing_that_was_released(self):
        order = self.create_retained_order(shares=(50, 50))
        order.milestone_line_ids.action_complete()
        self.release(order, amount="500")
        credit = order.milestone_line_ids[0].invoice_ids._reverse_moves(cancel=True)
        self.assertEqual((credit.amount_total, credit.amount_retained), (5000.0, 0.0))
        self.assertEqual(self.residuals(order), [0.0, 500.0])
        self.assertTiedOut(order)

    def test_release_is_no_turnover(self):
        order = self.create_retained_order(self.tax_20)
        order.milestone_line_ids.action_complete()
        release = self.release(order)
        self.env.flush_all()
        rows = self.env["account.invoice.report"].search(
            [("move_id", "in", order.milestone_line_ids.invoice_ids.ids)]
        )
        self.assertEqual(sum(rows.mapped("price_subtotal")), 10000.0)
        self.assertNotIn(release, rows.move_id)

    def test_payment_after_the_release_is_told_once(self):
        order = self.create_retained_order(shares=(50, 50))
        line = order.milestone_line_ids[0]
        line.action_complete()
        self.release(order)
        self.pay(line.invoice_ids)
        self.assertEqual(line.invoice_status, "paid")
        self.assertEqual(line.evidence_ids.mapped("type").count("payment.confirmed"), 1)
