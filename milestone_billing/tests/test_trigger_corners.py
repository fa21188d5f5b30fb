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
