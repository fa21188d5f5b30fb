from odoo.exceptions import UserError
from odoo.tests import tagged
from odoo.tools import mute_logger
from psycopg2 import IntegrityError

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestInvoicing(MilestoneBillingCommon):
    def test_a_third_bills_exactly_a_third(self):
        order = self.create_order(shares=(33.33, 33.33, 33.34), taxes=self.tax_20)
        order.milestone_line_ids.action_complete()
        invoices = order.milestone_line_ids.invoice_ids.sorted("id")
        self.assertEqual(invoices.mapped("amount_untaxed"), [3333.0, 3333.0, 3334.0])
        self.assertEqual(invoices.mapped("amount_tax"), [666.6, 666.6, 666.8])
        self.assertBilledEqualsOrder(order)
        self.assertEqual(order.order_line.qty_invoiced, 1.0)

    def test_milestone_billed_with_nothing_takes_no_part_of_a_later_rise(self):
        """One unit of a currency in two stages: the first bills 0.00, and a higher price belongs to a new stage."""
        order = self.create_order(shares=(30, 70), prices=(0.01,))
        order.milestone_line_ids.action_complete()
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [0.0, 0.01])
        order.order_line.price_unit = 100.01
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [0.0, 0.01])
        self.assertEqual(order.milestone_schedule_id.amount_difference, -100.0)
        added = self.env["milestone.billing.line"].create(
            {
                "order_id": order.id,
                "name": "Added",
                "amount_type": "remainder",
                "sequence": 90,
                "approval_required": False,
            }
        )
        added.action_complete()
        self.assertEqual(added.invoice_ids.amount_untaxed, 100.0)
        self.assertBilledEqualsOrder(order)
        self.assertConserved(order)

    def test_completing_twice_makes_one_invoice(self):
        order = self.create_order()
        line = order.milestone_line_ids[0]
        line.action_complete()
        line.action_complete()
        (line + line).action_complete()
        self.assertEqual(len(line.invoice_ids), 1)

    def test_create_invoice_of_sale_bills_nothing_that_a_schedule_owns(self):
        order = self.create_order()
        with self.assertRaisesRegex(UserError, "billed by its milestones"):
            order._create_invoices()
        order.milestone_line_ids[0].action_complete()
        with self.assertRaisesRegex(UserError, "billed by its milestones"):
            order._create_invoices(final=True)

    def test_deleting_the_draft_reopens_the_milestone(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_order()
        line = order.milestone_line_ids[0]
        line.action_complete()
        self.assertEqual(line.invoice_status, "draft")
        line.invoice_ids.unlink()
        self.assertRecordValues(
            line, [{"state": "planned", "invoice_status": "none", "amount_untaxed": 2500.0}]
        )
        self.assertConserved(order)
        line.action_complete()
        self.assertEqual(len(line.invoice_ids), 1)

    def test_cancelling_the_draft_reopens_the_milestone_and_keeps_its_history(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_order()
        line = order.milestone_line_ids[0]
        line.action_complete()
        line.invoice_ids.button_cancel()
        self.assertEqual(line.state, "planned")
        line.action_complete()
        self.assertEqual(sorted(line.invoice_ids.mapped("state")), ["cancel", "draft"])
        self.assertConserved(order)

    def test_reset_to_draft_and_cancel_reopens_the_milestone(self):
        order = self.create_order()
        line = order.milestone_line_ids[0]
        line.action_complete()
        line.invoice_ids.button_draft()
        self.assertEqual(line.state, "approved")
        line.invoice_ids.button_cancel()
        self.assertEqual(line.state, "planned")
        self.assertConserved(order)

    def test_full_credit_note_gives_the_milestone_back(self):
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        line.invoice_ids._reverse_moves(cancel=True)
        self.assertRecordValues(
            line, [{"state": "planned", "invoice_status": "credited", "amount_billed": 0.0}]
        )
        self.assertConserved(order)
        line.action_complete()
        self.assertEqual(line._get_live_invoice().amount_total, 3000.0)
        order.milestone_line_ids.action_complete()
        self.assertBilledEqualsOrder(order)

    def test_partial_credit_note_gives_the_credited_part_back(self):
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        refund = line.invoice_ids._reverse_moves()
        product_line = refund.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        product_line.write({"quantity": 1.0, "price_unit": 100.01})
        refund._post()
        self.assertEqual(line.amount_billed, 2399.99)
        self.assertEqual(line.state, "planned")
        self.assertConserved(order)
        line.action_complete()
        self.assertEqual(line._get_live_invoice().amount_untaxed, 100.01)
        order.milestone_line_ids.action_complete()
        self.assertBilledEqualsOrder(order)

    def test_credit_note_back_in_draft_takes_the_capacity_again(self):
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        refund = line.invoice_ids._reverse_moves()
        refund._post()
        refund.button_draft()
        self.assertConserved(order)
        self.assertTrue(line.invoice_ids.filtered("milestone_claim"))

    def test_two_live_invoices_are_refused_by_the_database(self):
        order = self.create_order()
        first, second = order.milestone_line_ids[:2]
        (first + second).action_complete()
        self.env.flush_all()
        with self.assertRaises(IntegrityError), mute_logger("odoo.sql_db"), self.cr.savepoint():
            self.cr.execute(
                "UPDATE account_move SET milestone_line_id = %s WHERE id = %s",
                [first.id, second.invoice_ids.id],
            )

    def test_posting_two_milestones_together(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_order()
        order.milestone_line_ids.action_complete()
        order.milestone_line_ids.invoice_ids._post()
        self.assertBilledEqualsOrder(order)

    def test_mixed_taxes_discounts_and_negative_lines_add_up(self):
        included = self.create_tax("10 % included", 10.0, price_include_override="tax_included")
        for method in ("round_per_line", "round_globally"):
            self.company.tax_calculation_rounding_method = method
            lines = [
                self.prepare_line(12.12, self.tax_20, 12.12),
                self.prepare_line(12.12, self.tax_20, 12.12),
                self.prepare_line(99.99, included, 3.0, discount=7.5),
                self.prepare_line(-50.0, self.tax_20),
                self.prepare_line(0.0, self.tax_20, 5.0),
                self.prepare_line(333.33),
            ]
            order = self.create_order(shares=(33.33, 11.11, 22.22, 33.34), lines=lines)
            self.assertConserved(order)
            order.milestone_line_ids.action_complete()
            self.assertBilledEqualsOrder(order)
            self.assertEqual(set(order.order_line.mapped("invoice_status")), {"invoiced"})
