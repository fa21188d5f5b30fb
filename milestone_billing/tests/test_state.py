from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestState(MilestoneBillingCommon):
    def test_state_cannot_be_written_directly(self):
        line = self.create_order().milestone_line_ids[0]
        with self.assertRaises(AccessError):
            line.with_user(self.billing_user).write({"state": "approved"})
        with self.assertRaises(AccessError):
            line.with_context(milestone_internal_write=True).write({"state": "approved"})

    def test_approval_required_leaves_a_draft_with_the_client(self):
        order = self.create_order(confirm=False)
        order.milestone_line_ids[0].approval_required = True
        order.action_confirm()
        line = order.milestone_line_ids[0]
        line.action_complete()
        self.assertEqual(line.state, "submitted")
        self.assertEqual(line.invoice_ids.state, "draft")
        self.assertEqual(line.approval_ids.state, "requested")
        self.assertEqual(line.blocked_reason, "Waiting for the client's approval.")

    def test_without_approval_the_draft_is_left_to_finance_by_default(self):
        self.company.milestone_invoice_posting = "approval"
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        self.assertRecordValues(line, [{"state": "approved", "invoice_status": "draft"}])

    def test_hold_blocks_completion_with_its_reason(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_hold("Waiting for the new logo")
        with self.assertRaisesRegex(UserError, "new logo"):
            line.action_complete()
        line.action_resume()
        line.action_complete()
        self.assertEqual(line.state, "approved")

    def test_cancelled_milestone_leaves_the_rest_to_the_others(self):
        order = self.create_order()
        cancelled = order.milestone_line_ids[1]
        cancelled.action_cancel()
        self.assertEqual(cancelled.state, "cancelled")
        self.assertConserved(order)
        (order.milestone_line_ids - cancelled).action_complete()
        self.assertBilledEqualsOrder(order)

    def test_billed_milestone_cannot_be_deleted_or_changed(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        with self.assertRaisesRegex(UserError, "has invoices"):
            line.unlink()
        with self.assertRaisesRegex(UserError, "does not move"):
            line.percent = 10

    def test_block_gate_names_the_unpaid_milestone(self):
        order = self.create_order()
        order.milestone_schedule_id.gate = "block"
        first, second = order.milestone_line_ids[:2]
        with self.assertRaisesRegex(UserError, "Stage 1"):
            second.action_complete()
        first.action_complete()
        self.pay(first.invoice_ids)
        second.action_complete()
        self.assertEqual(second.state, "approved")

    def test_project_user_completes_without_seeing_invoices(self):
        order = self.create_order()
        project = (
            self.env["project.project"].sudo().create({"name": "Relaunch", "privacy_visibility": "employees"})
        )
        order.milestone_line_ids.project_id = project
        line = order.milestone_line_ids[0]
        line.with_user(self.project_user).action_complete()
        self.assertEqual(line.state, "approved")
        with self.assertRaises(AccessError):
            line.invoice_ids.with_user(self.project_user).read(["amount_total"])

    def test_api_answers_the_same_for_the_same_key(self):
        line = self.create_order().milestone_line_ids[0]
        first = line.complete(amount="1000.00", idempotency_key="k1")
        again = line.complete(amount="1000.00", idempotency_key="k1")
        self.assertEqual(first, again)
        self.assertEqual(first[0]["amount_total"], 1000.0)
        self.assertEqual(len(line.invoice_ids), 1)
        with self.assertRaises(UserError):
            line.complete(amount="2000.00", idempotency_key="k1")

    def test_api_refuses_an_amount_above_the_order(self):
        line = self.create_order().milestone_line_ids[0]
        with self.assertRaisesRegex(UserError, "10,000.00"):
            line.complete(amount="10000.01")
        self.assertEqual(line.state, "planned")

    def test_cancelled_order_says_so_and_keeps_what_was_billed(self):
        order = self.create_order()
        first, second = order.milestone_line_ids[:2]
        first.action_complete()
        self.company.milestone_invoice_posting = "draft"
        second.action_complete()
        order.with_context(disable_cancel_warning=True).action_cancel()
        self.assertEqual(order.state, "cancel")
        self.assertEqual(first.invoice_status, "posted")
        self.assertRecordValues(second, [{"state": "planned", "invoice_status": "none"}])
        self.assertEqual(second.blocked_reason, "The order of “Stage 2” is cancelled.")
        with self.assertRaisesRegex(UserError, "is cancelled"):
            second.action_complete()

    def test_archived_project_leaves_its_milestones_to_billing(self):
        order = self.create_order()
        project = self.env["project.project"].sudo().create({"name": "Relaunch"})
        line = order.milestone_line_ids[0]
        line.project_id = project
        project.active = False
        self.assertEqual(line.project_id, project)
        line.with_user(self.billing_user).action_complete()
        self.assertEqual(line.state, "approved")
        self.assertConserved(order)
