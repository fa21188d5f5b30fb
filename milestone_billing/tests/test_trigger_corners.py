from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.tests import tagged
from odoo.tools import mute_logger

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestTriggerCorners(MilestoneBillingCommon):
    """What one milestone cannot do does not hold up another, and what is billed does not change."""

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_line_events")
    def test_one_payment_opens_the_next_stage_of_each_order(self):
        bad, good = self.create_order(), self.create_order()
        for order in (bad, good):
            order.milestone_line_ids[1].trigger = "previous_paid"
        firsts = bad.milestone_line_ids[0] + good.milestone_line_ids[0]
        firsts.action_complete()
        Line = self.registry["milestone.billing.line"]
        create_invoices, why = Line._create_invoices, "no income account"

        def fail(lines):
            if bad in lines.order_id:
                raise UserError(why)
            return create_invoices(lines)

        with patch.object(Line, "_create_invoices", fail):
            self.env["account.payment.register"].with_context(
                active_model="account.move", active_ids=firsts.invoice_ids.ids
            ).create({"group_payment": True})._create_payments()
        self.assertEqual(set(firsts.mapped("invoice_status")), {"paid"})
        self.assertEqual(good.milestone_line_ids[1].state, "approved")
        self.assertEqual(bad.milestone_line_ids[1].state, "planned")
        self.assertIn(why, bad.milestone_line_ids[1].message_ids[0].body)
        self.assertNotIn(why, str(good.milestone_line_ids[1].message_ids.mapped("body")))

    def test_description_of_what_is_billed_stays(self):
        project = self.env["project.project"].sudo().create({"name": "P", "company_id": self.company.id})
        line = self.create_order(project_id=project.id).milestone_line_ids[0]
        line.description = "As agreed"
        line.action_complete()
        answer = line.with_user(self.project_user).complete(description="Something else")
        self.assertEqual(answer[0]["invoice_id"], line.invoice_ids.id)
        self.assertEqual(line.description, "As agreed")

    def test_milestone_whose_trigger_is_gone_says_what_to_do(self):
        order = self.create_order()
        first, second = order.milestone_line_ids[:2]
        project = self.env["project.project"].sudo().create({"name": "Relaunch"})
        milestone = self.env["project.milestone"].sudo().create({"name": "Built", "project_id": project.id})
        first.write({"trigger": "project_milestone", "project_milestone_id": milestone.id})
        second.trigger = "task_stage"
        self.assertEqual(first.blocked_reason, "Waiting for the project milestone to be reached.")
        self.assertEqual(
            second.blocked_reason, "No task belongs to it. Link its tasks, or complete it by hand."
        )
        task = self.env["project.task"].sudo().create({"name": "Build", "project_id": project.id})
        task.milestone_billing_line_id = second
        self.assertEqual(second.blocked_reason, "Waiting for its tasks to reach a billing stage.")
        second.sudo().trigger = "manual"
        task.state = "1_done"
        second.sudo().trigger = "task_stage"
        self.assertEqual(second.blocked_reason, "Its tasks are done: it can be completed.")
        milestone.unlink()
        self.assertEqual(
            first.blocked_reason, "It has no project milestone. Link one, or complete it by hand."
        )

    def test_reached_milestone_whose_proof_comes_late_says_so(self):
        line = self.create_order().milestone_line_ids[0]
        project = self.env["project.project"].sudo().create({"name": "Relaunch"})
        milestone = self.env["project.milestone"].sudo().create({"name": "Built", "project_id": project.id})
        line.write(
            {"trigger": "project_milestone", "project_milestone_id": milestone.id, "proof_required": True}
        )
        milestone.is_reached = True
        self.assertRecordValues(line, [{"state": "planned", "is_ready": False}])
        self.assertIn("needs proof of work", line.blocked_reason)
        self.assertIn("not billed yet: “Stage 1” needs proof of work", line.message_ids[0].body)
        self.company.milestone_invoice_posting = "draft"
        line.proof_required = False
        self.assertEqual((line.state, line.invoice_ids.state), ("approved", "draft"))
        line.invoice_ids.unlink()
        self.assertTrue(line.is_ready)
        self.assertEqual(line.blocked_reason, "Its project milestone is reached: it can be completed.")
