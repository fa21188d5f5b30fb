from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged

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
        action = schedule.action_tie_out()
        self.assertEqual(schedule.tie_out_state, "different")
        self.assertIn("2499.99 / 2500.00", schedule.tie_out_note)
        wizard = self.env[action["res_model"]].browse(action["res_id"])
        row = wizard.row_ids.filtered(lambda row: row.move_id and row.move_line_ids)
        self.assertRecordValues(
            row,
            [
                {
                    "move_id": line.invoice_ids.id,
                    "line_id": line.id,
                    "amount_expected": 2499.99,
                    "amount_actual": 2500.0,
                    "amount_difference": 0.01,
                }
            ],
        )
        self.assertEqual(self.env["account.move.line"].search(row.action_view_items()["domain"]), items)

    def test_tax_that_is_booked_as_another_is_found(self):
        """Net and total are right, but one tax has a cent of the other."""
        tax_10 = self.env["account.tax"].create(
            {"name": "VAT 10 %", "amount": 10.0, "type_tax_use": "sale", "company_id": self.company.id}
        )
        order = self.create_order(taxes=self.tax_20 + tax_10)
        line = order.milestone_line_ids[0]
        line.action_complete()
        part = line.allocation_ids.filtered("move_id").sudo()
        amounts = {tax_id: dict(tax) for tax_id, tax in part.tax_amounts.items()}
        self.assertEqual([amounts[str(tax.id)]["tax"] for tax in self.tax_20 + tax_10], ["500.00", "250.00"])
        amounts[str(self.tax_20.id)]["tax"], amounts[str(tax_10.id)]["tax"] = "500.01", "249.99"
        part.tax_amounts = amounts
        found = [
            row for row in order.milestone_schedule_id.tie_out()["differences"] if row["check"] == "order"
        ]
        self.assertEqual(
            {row["message"].partition(" (")[2]: (row["expected"], row["actual"]) for row in found},
            {"VAT 20 %).": ("2000.00", "2000.01"), "VAT 10 %).": ("1000.00", "999.99")},
        )
        self.assertEqual({row["order_line_id"] for row in found}, set(order.order_line.ids))

    def test_agreement_is_told_and_an_auditor_may_look(self):
        auditor = new_test_user(
            self.env, "tie_auditor", "base.group_user,milestone_billing.milestone_billing_group_auditor"
        )
        auditor.write({"company_ids": [Command.set(self.company.ids)], "company_id": self.company.id})
        order = self.create_order()
        order.milestone_line_ids[0].action_complete()
        schedule = order.milestone_schedule_id.with_user(auditor)
        self.assertEqual(schedule.action_tie_out()["params"]["type"], "success")
        order.milestone_line_ids[0].allocation_ids.filtered("move_id").sudo().amount_untaxed = 1.0
        action = schedule.action_tie_out()
        wizard = self.env[action["res_model"]].with_user(auditor).browse(action["res_id"])
        self.assertTrue(wizard.row_ids.filtered("move_line_ids"))
        with self.assertRaises(AccessError):
            order.milestone_schedule_id.with_user(self.project_user).action_tie_out()

    def test_change_by_hand_in_the_ledger_is_found(self):
        """An entry that somebody changes behind the documents' back is named, with its items."""
        order = self.create_deposit_order(taxes=self.tax_20)
        schedule = order.milestone_schedule_id
        schedule.retainage_percent = 10
        order.milestone_line_ids.action_complete()
        self.assertTrue(schedule.tie_out()["ok"])
        moves = order.milestone_line_ids.invoice_ids
        for check, item in (
            ("document", moves[1].line_ids.filtered(lambda item: item.account_id == self.revenue)),
            ("document", moves[0].line_ids.filtered(lambda item: item.account_id == self.advances)),
            ("retainage", moves[1].line_ids.filtered("milestone_retainage")),
        ):
            with self.subTest(item.account_id.code), self.env.cr.savepoint() as savepoint:
                self.env.cr.execute(
                    "UPDATE account_move_line SET amount_currency = amount_currency + 1 WHERE id = %s",
                    [item.id],
                )
                self.env.invalidate_all()
                found = [row for row in schedule.tie_out()["differences"] if row["check"] == check]
                self.assertEqual([row["move_id"] for row in found], item.move_id.ids)
                self.assertIn(item.id, found[0]["move_line_ids"] or item.move_id.line_ids.ids)
                savepoint.rollback()
                self.env.invalidate_all()

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
