from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from .test_worked_figures_deposit import DepositCommon


@tagged("post_install", "-at_install")
class TestTieOut(DepositCommon):
    def test_everything_ties_out(self):
        order = self.create_deposit_order(taxes=self.tax_20, recovery="prorata")
        schedule = order.milestone_schedule_id
        schedule.retainage_percent = 7.5
        for line in order.milestone_line_ids:
            line.action_complete()
            self.assertEqual(schedule.tie_out(), {"ok": True, "differences": []})
        order.milestone_line_ids[2].invoice_ids._reverse_moves(cancel=True)
        self.assertEqual(schedule.tie_out()["differences"], [])
        schedule.release_retainage(percent=40)
        self.assertEqual(schedule.tie_out()["differences"], [])

    def test_difference_is_named_down_to_the_entry(self):
        order = self.create_order()
        schedule, line = order.milestone_schedule_id, order.milestone_line_ids[0]
        line.action_complete()
        line.allocation_ids.filtered("move_id").sudo().amount_untaxed = 2499.99
        result = schedule.tie_out()
        self.assertFalse(result["ok"])
        by_check = {row["check"]: row for row in result["differences"]}
        self.assertEqual(set(by_check), {"order", "document", "statement"})
        items = line.invoice_ids.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        self.assertEqual(by_check["document"]["move_line_ids"], items.ids)
        self.assertEqual(by_check["document"]["expected"], "2499.99")
        schedule.action_tie_out()
        self.assertEqual(schedule.tie_out_state, "different")
        self.assertIn("2499.99 / 2500.00", schedule.tie_out_note)

    def test_nightly_check_marks_the_schedule(self):
        order = self.create_order()
        order.milestone_line_ids.action_complete()
        with self.enter_registry_test_mode():
            self.env.ref("milestone_billing.ir_cron_tie_out").method_direct_trigger()
        self.assertEqual(order.milestone_schedule_id.tie_out_state, "ok")

    def test_tie_out_is_for_billing_and_audit(self):
        order = self.create_order()
        with self.assertRaises(AccessError):
            order.milestone_schedule_id.with_user(self.project_user).tie_out()
        self.assertTrue(order.milestone_schedule_id.with_user(self.billing_user).tie_out()["ok"])


@tagged("post_install", "-at_install")
class TestDocumentsByHand(DepositCommon):
    def test_draft_changed_by_hand_is_not_posted(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        item = line.invoice_ids.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        item.price_unit = 10400.0
        with self.assertRaisesRegex(UserError, r"2,600.00.*2,500.00"):
            line.invoice_ids._post()
        item.price_unit = 10000.0
        line.invoice_ids._post()
        self.assertEqual(line.invoice_ids.state, "posted")

    def test_line_added_by_hand_is_not_posted(self):
        self.company.milestone_invoice_posting = "draft"
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        line.invoice_ids.invoice_line_ids = [Command.create({"name": "Parking", "price_unit": 5.0})]
        with self.assertRaisesRegex(UserError, "not from the order"):
            line.invoice_ids._post()

    def test_refund_from_scratch_is_refused(self):
        order = self.create_order()
        order.milestone_line_ids[0].action_complete()
        refund = self.env["account.move"].create(
            {
                "move_type": "out_refund",
                "partner_id": self.client_company.id,
                "invoice_line_ids": [
                    Command.create(
                        {
                            "name": "Back",
                            "price_unit": 100.0,
                            "sale_line_ids": [Command.set(order.order_line.ids)],
                        }
                    )
                ],
            }
        )
        with self.assertRaisesRegex(UserError, "Credit Note"):
            refund._post()

    def test_credit_note_cannot_be_credited(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        credit = line.invoice_ids._reverse_moves(cancel=True)
        with self.assertRaisesRegex(UserError, "cannot be reversed"):
            credit._reverse_moves(cancel=True)

    def test_two_partial_credit_notes_of_one_invoice(self):
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        invoice = line.invoice_ids
        credits = self.env["account.move"]
        for amount in (100.01, 200.02):
            credit = invoice._reverse_moves()
            credit.invoice_line_ids.filtered(lambda item: item.display_type == "product").write(
                {"quantity": 1.0, "price_unit": amount}
            )
            credit._post()
            credits += credit
            self.assertConserved(order)
        self.assertEqual(line.amount_billed, 2199.97)
        credits[0].button_draft()
        self.assertTrue(invoice.milestone_credited, "the other credit note still stands")
        self.assertConserved(order)
        line.action_complete()
        self.assertEqual(line._get_live_invoice().amount_untaxed, 200.02)
        self.assertTrue(order.milestone_schedule_id.tie_out()["ok"])
