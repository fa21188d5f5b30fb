from odoo.tests import HttpCase, tagged

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestTours(MilestoneBillingCommon, HttpCase):
    """The main steps of sellers, project managers and finance, in a real browser."""

    def test_seller_applies_a_template_and_confirms(self):
        self.create_template(
            {
                "name": "Deposit at start",
                "percent": 25,
                "kind": "deposit",
                "trigger": "order_confirmed",
                "approval_required": False,
            },
            ("Designs approved", "percent", 25),
            ("Build complete", "percent", 25),
            ("Launch", "remainder", 0),
            name="Tour template",
        )
        order = self.create_order(confirm=False, shares=(100,), user_id=self.billing_user.id)
        order.milestone_line_ids.unlink()
        self.start_tour(f"/odoo/sales/{order.id}", "milestone_billing_apply_template", login="billing_user")
        self.assertEqual(order.state, "sale")
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [2500.0] * 4)
        self.assertEqual(order.milestone_line_ids[0].invoice_status, "posted")

    def test_project_manager_completes_a_stage_from_the_project(self):
        project = (
            self.env["project.project"]
            .sudo()
            .create({"name": "Tour project", "allow_billable": True, "company_id": self.company.id})
        )
        order = self.create_order(project_id=project.id)
        self.start_tour(
            "/odoo/project", "milestone_billing_complete_from_project", login="project_user", timeout=90
        )
        self.assertEqual(order.milestone_line_ids[0].invoice_status, "posted")

    def test_finance_works_through_the_queue(self):
        order = self.create_order()
        self.start_tour("/odoo/milestone-queue", "milestone_billing_work_queue", login="billing_user")
        self.assertEqual(
            order.milestone_line_ids.mapped("invoice_status"), ["posted", "none", "none", "none"]
        )
