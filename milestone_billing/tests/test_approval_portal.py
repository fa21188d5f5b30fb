from odoo.tests import tagged

from .common_approval import PNG, ApprovalHttpCommon


@tagged("post_install", "-at_install")
class TestApprovalPortal(ApprovalHttpCommon):
    """The way of a client without an account, by HTTP."""

    def test_client_approves_by_personal_link_and_the_invoice_is_issued(self):
        approval = self.create_submitted(proof=[("site.png", PNG)])
        page = self.enter(approval)
        self.assertEqual(page.status_code, 200)
        self.assertIn("/my/milestones/" + approval.uuid, page.url)
        self.assertNotIn("?k=", page.url)
        self.assertIn("Stage 1", page.text)
        response = self.approve(approval)
        self.assertEqual(response.status_code, 303, response.text[:2000])
        self.env.invalidate_all()
        self.assertEqual(approval.state, "approved")
        self.assertEqual(approval.line_id.state, "approved")
        self.assertEqual(approval.move_id.state, "posted")
        self.assertEqual(approval.decision_ids.partner_id, self.contact)
        events = self.get_events(approval.line_id)
        for event in (
            "link.opened",
            "review.presented",
            "approval.granted",
            "request.approved",
            "invoice.posted",
        ):
            self.assertIn(event, events)
        self.assertTrue(approval.line_id.verify_evidence()["ok"])
