import io
import zipfile
from unittest.mock import patch

from odoo import fields
from odoo.tests import tagged

from ..tools import verify
from ..tools.transitions import LINE_TRANSITIONS
from .common_approval import ApprovalHttpCommon


@tagged("post_install", "-at_install")
class TestEvidenceFlow(ApprovalHttpCommon):
    """What the portal and the books write is what an outsider can recompute."""

    def setUp(self):
        super().setUp()
        printing = patch.object(
            self.env.registry["milestone.billing.evidence.certificate"],
            "_render",
            lambda *args, **kw: b"%PDF-1.4 x",
        )
        self.startPatcher(printing)

    def check(self, approval, state, secrets=(), **options):
        """Verify chain and bundle, and compare the recomputed state with what the database says."""
        line = approval.line_id
        result = line.verify_evidence()
        self.assertTrue(result["ok"], result["problems"])
        self.assertEqual((result["state"], approval.state), (state, state))
        _name, content = line._export_evidence("full")
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            verifier = verify.BundleVerifier(bundle, secrets=secrets)
            items = verifier.run()
        self.assertEqual([item for item in items if item.verdict in (verify.FAIL, verify.WARN)], [])
        self.assertEqual(verifier.replay.line_state, line.state)
        return items

    def test_approval_by_link_can_be_recomputed_from_the_bundle(self):
        approval = self.create_submitted(proof=[("site.txt", b"finished")])
        link, secret = self.issue_link(approval)
        page = self.url_open(f"/ma/{link.uuid}?k={secret}")
        self.url_open(f"/ma/{link.uuid}/open", data=self.fields_of(page))
        response = self.approve(approval)
        self.assertEqual(response.status_code, 303)
        items = self.check(approval, "approved", secrets=[secret])
        good = {item.item for item in items if item.verdict == verify.OK}
        self.assertLessEqual({"link", "proof", "invoice", "text", "certificate", "snapshot"}, good, items)
        self.assertEqual(
            self.env["milestone.billing.evidence.certificate"]._get_current(approval.line_id).state,
            "approved",
        )

    def test_secret_of_another_link_proves_nothing(self):
        approval = self.create_submitted()
        self.enter(approval)
        _name, content = approval.line_id._export_evidence("full")
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            items = verify.BundleVerifier(bundle, secrets=["d" * 43]).run()
        self.assertIn(("link", verify.WARN), {(item.item, item.verdict) for item in items})

    def test_changes_then_a_new_revision_then_approval(self):
        approval = self.create_submitted()
        self.enter(approval)
        form = {
            **self.read_form(approval, "changes"),
            "reason_code": "quality",
            "reason": "Please fix the logo.",
        }
        self.assertEqual(self.post(approval, "changes", form).status_code, 303)
        self.check(approval, "changes_requested")
        approval.line_id.action_submit_again()
        second = approval.line_id._get_current_approval()
        self.enter(second)
        self.approve(second)
        self.check(second, "approved")

    def test_second_approver_is_needed(self):
        other = self.add_contact("Max Client")
        approval = self.create_submitted(approvers=[self.contact, other], quorum=2)
        self.enter(approval, self.contact)
        self.approve(approval)
        self.check(approval, "requested")
        self.enter(approval, other)
        self.approve(approval)
        self.check(approval, "approved")

    def test_not_me(self):
        approval = self.create_submitted()
        link, secret = self.issue_link(approval)
        page = self.url_open(f"/ma/{link.uuid}?k={secret}")
        self.url_open(f"/ma/{link.uuid}/open", data=self.fields_of(page))
        self.approve(approval)
        page = self.url_open(f"/ma/{link.uuid}/not-me?k={secret}")
        self.url_open(f"/ma/{link.uuid}/not-me", data=self.fields_of(page))
        self.check(approval, "contested")

    def test_paper_approval(self):
        approval = self.create_submitted()
        scan = self.env["ir.attachment"].create({"name": "scan.txt", "raw": b"signed"})
        approval.record_on_behalf("paper", scan.id, "Signed on site.")
        self.check(approval, "approved")
        story = self.env["milestone.billing.evidence.certificate"]._get_story(approval.line_id)
        self.assertTrue(story["result"]["on_behalf"])

    def test_expired_and_deemed_accepted(self):
        approval = self.create_submitted()
        approval._internal().expires_on = fields.Datetime.subtract(fields.Datetime.now(), days=1)
        approval._close_overdue()
        self.check(approval, "expired")
        self.company.milestone_deemed_acceptance = True
        approval = self.create_submitted()
        approval.link_ids.sudo().state = "sent"
        approval._internal().expires_on = fields.Datetime.subtract(fields.Datetime.now(), days=1)
        approval._close_overdue()
        self.check(approval, "deemed_accepted")

    def test_withdrawn_draft_cancels_the_submission(self):
        approval = self.create_submitted()
        approval.move_id.button_cancel()
        self.check(approval, "cancelled")

    def test_payment_and_the_whole_life(self):
        approval = self.create_submitted()
        self.enter(approval)
        self.approve(approval)
        if approval.move_id.state == "draft":
            approval.move_id._post()
        self.pay(approval.move_id)
        items = self.check(approval, "approved")
        state = next(item.message for item in items if item.item == "state")
        self.assertIn(f"invoice {approval.move_id.name}", state)
        self.assertIn("payments 1", state)

    def test_cancelled_and_restored_milestone(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_cancel()
        self.assertEqual(self._recompute(line), "cancelled")
        line.action_restore()
        self.assertEqual(self._recompute(line), "planned")

    def _recompute(self, line):
        result = line.verify_evidence()
        self.assertTrue(result["ok"], result["problems"])
        return result["state"]

    def test_states_of_the_verifier_are_those_of_the_table(self):
        known = set(LINE_TRANSITIONS.values())
        found = {state for _request, state in verify._CLOSING.values() if state} | set(verify._LINE.values())
        self.assertLessEqual(found, known)
