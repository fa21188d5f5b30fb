from odoo import Command, fields
from odoo.http import get_default_session, root
from odoo.tests import HttpCase, get_db_name, tagged

from .test_change import ChangeHttpCommon
from .test_retainer import RetainerCommon


@tagged("post_install", "-at_install")
class TestChangeTour(ChangeHttpCommon):
    """A change order from the seller's first click to the client's decision, in a real browser."""

    browser_size = "1366x900"

    def keep_visit(self):
        """Give a session with the grant of this one: the browser's start throws this one away."""
        grants = root.session_store.get(self.session.sid)["milestone_change_grants"]
        session = root.session_store.new()
        session.update(
            get_default_session(), db=get_db_name(), milestone_change_grants=grants, _trace_disable=True
        )
        session.context["lang"] = "en_US"
        root.session_store.save(session)
        return session.sid

    def test_seller_proposes_and_client_approves(self):
        self.env.ref("base.user_admin").write(
            {"company_ids": [Command.link(self.company.id)], "company_id": self.company.id}
        )
        url = f"/odoo/sales/{self.order.id}"
        self.start_tour(url, "milestone_billing_propose_change", login="admin", timeout=120)
        change = self.schedule.change_ids
        self.assertEqual((change.state, change.amount_untaxed), ("proposed", 1200.0))
        self.enter(change)
        cookies = {"session_id": self.keep_visit()}
        self.browser_size, self.touch_enabled = "375x667", True
        self.start_tour(
            f"/my/changes/{change.uuid}",
            "milestone_billing_approve_change",
            cookies=cookies,
            timeout=120,
        )
        self.env.invalidate_all()
        self.assertEqual(change.state, "approved")
        self.assertEqual(self.order.amount_untaxed, 11200.0)


@tagged("post_install", "-at_install")
class TestBusinessTours(RetainerCommon, HttpCase):
    """On-demand charges, retainers and the queue's preview, by clicks."""

    def test_finance_charges_on_demand(self):
        enrolment = self.env["milestone.billing.enrolment"].create(
            {
                "name": "Work on demand",
                "partner_id": self.client_company.id,
                "company_id": self.company.id,
                "product_id": self.service.id,
                "amount_default": 500.0,
                "approval_required": True,
            }
        )
        action = "/odoo/action-milestone_billing.milestone_billing_enrolment_action"
        self.start_tour(action, "milestone_billing_charge_now", login="billing_user", timeout=120)
        line = enrolment.line_ids
        self.assertEqual((line.name, line.amount_untaxed, line.state), ("Phase 2", 750.0, "submitted"))

    def test_finance_runs_a_retainer(self):
        retainer = self.create_retainer(name="Care", date_next=fields.Date.today())
        action = "/odoo/action-milestone_billing.milestone_billing_retainer_action"
        self.start_tour(action, "milestone_billing_retainer", login="billing_user", timeout=120)
        self.assertEqual(retainer.state, "closed")
        self.assertEqual(retainer.period_ids.refund_line_id.amount_untaxed, -1000.0)

    def test_queue_shows_the_mail_before_it_is_sent(self):
        order = self.create_order(confirm=False)
        order.milestone_line_ids.approval_required = True
        order.milestone_schedule_id.approver_ids = [Command.create({"partner_id": self.contact.id})]
        order.action_confirm()
        self.start_tour(
            "/odoo/milestone-queue", "milestone_billing_queue_preview", login="billing_user", timeout=120
        )
        self.assertEqual(order.milestone_line_ids.mapped("state"), ["submitted"] + ["planned"] * 3)
        self.assertEqual(len(order.milestone_line_ids[0].approval_ids), 1)
