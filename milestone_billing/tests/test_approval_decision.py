import re
from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from ..tools import verify
from .common_approval import PNG, ApprovalCommon, ApprovalHttpCommon


@tagged("post_install", "-at_install")
class TestApprovalDecision(ApprovalHttpCommon):
    """What a decision does, and what it does twice."""

    def test_asking_for_changes_needs_a_reason_and_tells_the_manager(self):
        approval = self.create_submitted(proof=[("site.png", PNG)])
        self.enter(approval)
        form = self.read_form(approval, "changes")
        self.assertEqual(self.post(approval, "changes", {**form, "reason": "  "}).status_code, 422)
        self.assertEqual(approval.state, "requested")
        response = self.post(approval, "changes", {**form, "reason": "Logo is too small\nand blue"})
        self.assertEqual(response.status_code, 303)
        self.env.invalidate_all()
        line = approval.line_id
        self.assertEqual((approval.state, line.state), ("changes_requested", "changes_requested"))
        self.assertEqual(approval.move_id.state, "draft")
        self.assertIn("asks for changes", line.activity_ids.summary)
        self.assertEqual(line.activity_ids.user_id, self.manager)
        page = self.url_open(f"/my/milestones/{approval.uuid}")
        self.assertIn("asked for changes", page.text)
        self.assertNotIn("/approve", page.text)

    def test_declining_leaves_no_invoice(self):
        approval = self.create_submitted()
        self.enter(approval)
        form = self.read_form(approval, "decline")
        response = self.post(
            approval, "decline", {**form, "reason": "Not ours", "reason_code": "wrong_person"}
        )
        self.assertEqual(response.status_code, 303)
        self.assertEqual((approval.state, approval.move_id.state), ("declined", "draft"))
        self.assertEqual(approval.decision_ids.reason_code, "wrong_person")

    def test_new_revision_after_changes_is_approved(self):
        approval = self.create_submitted()
        self.enter(approval)
        self.post(approval, "changes", {**self.read_form(approval, "changes"), "reason": "More"})
        line = approval.line_id
        line.action_submit_again()
        second = line.approval_ids.filtered(lambda item: item.revision == 2)
        self.assertEqual((second.state, line.state), ("requested", "submitted"))
        self.assertNotEqual(second.snapshot_sha256, approval.snapshot_sha256)
        self.enter(second)
        self.assertEqual(self.approve(second).status_code, 303)
        self.assertEqual(line.state, "approved")
        self.assertTrue(line.verify_evidence()["ok"])

    def test_the_same_form_twice_has_one_outcome(self):
        approval = self.create_submitted()
        self.enter(approval)
        form = {**self.read_form(approval), "accept": "1", "typed_name": "Zoe"}
        self.assertEqual(self.post(approval, "approve", form).status_code, 303)
        self.assertEqual(self.post(approval, "approve", form).status_code, 303)
        self.assertEqual(self.post(approval, "approve", {**form, "typed_name": "Other"}).status_code, 409)
        self.assertEqual(len(approval.decision_ids), 1)
        self.assertEqual(self.get_events(approval.line_id).count("approval.granted"), 1)

    def test_second_decision_of_the_same_person_is_refused(self):
        approval = self.create_submitted()
        self.enter(approval)
        changes = self.read_form(approval, "changes")
        self.approve(approval)
        self.assertEqual(self.post(approval, "changes", {**changes, "reason": "x"}).status_code, 409)
        self.assertEqual(approval.state, "approved")

    def test_consent_name_and_box_are_needed(self):
        approval = self.create_submitted()
        self.enter(approval)
        for bad in ({"accept": ""}, {"typed_name": " "}, {"consent_sha256": "0" * 64}):
            self.assertEqual(self.approve(approval, **bad).status_code, 422, bad)
        self.assertEqual(self.approve(approval, snapshot_sha256="0" * 64).status_code, 409)
        self.assertEqual(self.approve(approval, idempotency_key="x").status_code, 409)
        self.assertEqual(approval.state, "requested")
        refused = approval.line_id.evidence_ids.filtered(lambda item: item.type == "approval.refused")
        codes = [entry._get_body()["data"]["reason_code"] for entry in refused.sorted("seq")]
        self.assertEqual(codes, ["consent_missing"] * 3 + ["stale_snapshot"] * 2)

    def test_made_up_key_is_refused_on_record_for_every_answer(self):
        for step in ("approve", "changes", "decline"):
            approval = self.create_submitted()
            self.enter(approval)
            form = {
                **self.read_form(approval, step),
                "accept": "1",
                "typed_name": "Zoe",
                "reason": "Not done",
            }
            for key in ("", "short", "k" * 65, "with space and more"):
                response = self.post(approval, step, {**form, "idempotency_key": key})
                self.assertEqual(response.status_code, 409, (step, key))
            self.assertFalse(approval.decision_ids)
            refused = approval.line_id.evidence_ids.filtered(lambda item: item.type == "approval.refused")
            data = [entry._get_body()["data"] for entry in refused]
            self.assertEqual(data, [{"decision": step, "reason_code": "stale_snapshot"}] * 4)
            self.assertEqual(self.post(approval, step, form).status_code, 303, "a good key counts afterwards")

    def test_refused_posting_leaves_the_drift_on_record(self):
        self.company.milestone_invoice_posting = "draft"
        approval = self.create_submitted()
        self.enter(approval)
        self.approve(approval)
        self.env.invalidate_all()
        self.assertEqual((approval.state, approval.move_id.state), ("approved", "draft"))
        approval.move_id.invoice_line_ids[-1].name = "Something else"
        self.env.flush_all()
        # No `assertRaises`: it would roll back what the refusal records.
        try:
            approval.move_id.action_post()
        except UserError as refusal:
            self.assertIn("not what the client approved", str(refusal))
        else:
            self.fail("a changed draft was posted")
        self.env.invalidate_all()
        self.assertEqual(approval.move_id.state, "draft")
        entry = approval.line_id.evidence_ids.sorted("seq")[-1]
        self.assertEqual((entry.type, entry._get_body()["data"]["fields"]), ("invoice.drift", ["invoice"]))
        self.assertTrue(approval.line_id.verify_evidence()["ok"])

    def test_expired_submission_takes_no_decision(self):
        approval = self.create_submitted()
        self.enter(approval)
        form = {**self.read_form(approval), "accept": "1", "typed_name": "Zoe"}
        approval._internal().expires_on = fields.Datetime.now() - timedelta(seconds=1)
        self.assertEqual(self.post(approval, "approve", form).status_code, 410)
        self.assertEqual(approval.state, "requested")

    def test_changed_draft_is_asked_again_instead_of_approved(self):
        approval = self.create_submitted()
        self.enter(approval)
        form = {**self.read_form(approval), "accept": "1", "typed_name": "Zoe"}
        approval.move_id.invoice_line_ids[-1].price_unit = 99.0
        response = self.post(approval, "approve", form)
        self.assertEqual(response.status_code, 409)
        self.env.invalidate_all()
        self.assertEqual(approval.state, "superseded")
        newer = approval.line_id.approval_ids - approval
        self.assertEqual((newer.state, newer.revision), ("requested", 2))
        page = self.url_open(f"/my/milestones/{approval.uuid}")
        self.assertIn("What changed", page.text)
        self.assertTrue(approval.line_id.verify_evidence()["ok"])

    def test_changed_text_and_file_count_as_changes(self):
        approval = self.create_submitted(proof=[("site.png", PNG)])
        self.assertFalse(approval._get_drift())
        approval.line_id.description = "Something else."
        self.assertEqual(approval._get_drift(), ["description_text"])
        approval.line_id.description = "The build is complete."
        approval.line_id.proof_ids = [fields.Command.create({"name": "b.png", "raw": PNG + b"x"})]
        self.assertEqual(approval._get_drift(), ["files"])

    def test_reservations_become_tasks(self):
        approval = self.create_submitted()
        project = self.env["project.project"].sudo().create({"name": "Relaunch", "user_id": self.manager.id})
        approval.line_id.sudo()._write_internal({"project_id": project.id})
        self.enter(approval)
        response = self.approve(approval, reservation="Fix the footer\n\nAlign the logo")
        self.assertEqual(response.status_code, 303)
        self.assertEqual(approval.state, "approved")
        self.assertTrue(approval.has_reservations)
        names = project.task_ids.sorted("id").mapped("name")
        self.assertEqual(names, ["Reservation: Fix the footer", "Reservation: Align the logo"])
        entry = approval.line_id.evidence_ids.filtered(lambda item: item.type == "approval.granted")
        self.assertEqual(len(entry._get_body()["data"]["reservations"]), 2)
        self.assertNotIn("footer", entry.body)

    # === QUORUM AND LIMITS ===

    def test_two_approvals_are_needed_when_the_schedule_says_so(self):
        ann = self.add_contact("Ann Second")
        approval = self.create_submitted(approvers=[self.contact, ann], quorum=2)
        self.enter(approval, self.contact)
        self.approve(approval)
        self.assertEqual((approval.state, approval.move_id.state), ("requested", "draft"))
        self.assertIn("1 of 2 approvals", self.url_open(f"/my/milestones/{approval.uuid}").text)
        self.authenticate(None, None)
        self.enter(approval, ann)
        self.assertEqual(self.approve(approval, typed_name="Ann").status_code, 303)
        self.assertEqual((approval.state, approval.move_id.state), ("approved", "posted"))
        self.assertTrue(approval.line_id.verify_evidence()["ok"])

    def test_quorum_of_zero_asks_everybody(self):
        ann = self.add_contact("Ann Second")
        approval = self.create_submitted(approvers=[self.contact, ann], quorum=0)
        self.assertEqual(approval.quorum, 2)

    def test_second_approver_above_an_amount(self):
        self.company.milestone_second_approver_above = 1000.0
        ann = self.add_contact("Ann Second")
        self.assertEqual(self.create_submitted(approvers=[self.contact, ann]).quorum, 2)
        self.company.milestone_second_approver_above = 5000.0
        self.assertEqual(self.create_submitted(approvers=[self.contact, ann]).quorum, 1)

    def test_amount_above_the_limit_is_refused(self):
        boss = self.add_contact("Bo Boss")
        approval = self.create_submitted(approvers=[(self.contact, 2499.99), boss])
        self.enter(approval, self.contact)
        self.assertEqual(self.approve(approval).status_code, 403)
        self.assertEqual(approval.state, "requested")

    def test_impossible_quorum_is_named_before_the_client_is_asked(self):
        with self.assertRaisesRegex(UserError, "needs 1 approvals, but only 0"):
            self.create_submitted(approvers=[(self.contact, 100.0)])

    def test_without_approvers_the_customer_is_asked(self):
        order = self.create_order(confirm=False)
        order.milestone_line_ids.approval_required = True
        order.action_confirm()
        order.milestone_line_ids[0].action_complete()
        seats = order.milestone_line_ids[0].approval_ids.seat_ids
        self.assertEqual(seats.partner_id, self.client_company)

    # === NOT ME ===

    def test_not_me_freezes_the_decision(self):
        approval = self.create_submitted()
        self.enter(approval)
        self.approve(approval)
        receipt = approval.link_ids.filtered(lambda item: item.purpose == "receipt")
        secret = receipt._issue_secret()
        page = self.url_open(f"/ma/{receipt.uuid}/not-me?k={secret}")
        self.assertEqual(approval.state, "approved", "looking at the page does nothing")
        for _time in range(2):
            self.assertEqual(
                self.url_open(f"/ma/{receipt.uuid}/not-me", data=self.fields_of(page)).status_code, 200
            )
        self.env.invalidate_all()
        self.assertEqual((approval.state, approval.line_id.state), ("contested", "changes_requested"))
        self.assertEqual(self.get_events(approval.line_id).count("approval.repudiated"), 1)
        self.assertFalse(approval._can_pay())
        self.assertTrue(approval.line_id.activity_ids)

    def replay(self, line):
        """Recompute the states from the events of a milestone, as the verifier does."""
        replay = verify.Replay(line._get_snapshots().get)
        for entry in line.evidence_ids.sorted("seq"):
            self.assertEqual(replay.feed(entry._get_body()), [])
        return replay

    def contest(self, approval):
        link, secret = self.issue_link(approval)
        page = self.url_open(f"/ma/{link.uuid}/not-me?k={secret}")
        self.assertEqual(self.url_open(f"/ma/{link.uuid}/not-me", data=self.fields_of(page)).status_code, 200)
        self.env.invalidate_all()
        self.assertEqual(approval.state, "contested")

    def assertSameState(self, approval):
        replay = self.replay(approval.line_id)
        self.assertEqual(
            (replay.line_state, replay.requests[approval.uuid]["state"]),
            (approval.line_id.state, approval.state),
        )

    def test_contested_states_are_those_the_verifier_recomputes(self):
        for step in (None, "approve", "changes", "decline"):
            approval = self.create_submitted()
            self.enter(approval)
            if step:
                form = {"accept": "1", "typed_name": "Zoe", "reason": "Not mine"}
                self.post(approval, step, {**self.read_form(approval, step), **form})
            self.contest(approval)
            self.assertEqual(approval.line_id.state, "changes_requested", step)
            self.assertSameState(approval)

    def test_contesting_leaves_a_reopened_or_cancelled_milestone_as_it_is(self):
        for event, state in (("reopen", "planned"), ("cancel", "cancelled")):
            approval = self.create_submitted()
            self.enter(approval)
            form = self.read_form(approval, "decline")
            self.post(approval, "decline", {**form, "reason": "Not mine"})
            self.env.invalidate_all()
            approval.line_id._transition(event)
            self.contest(approval)
            self.assertEqual(approval.line_id.state, state)
            self.assertSameState(approval)

    # === RECEIPT ===

    def test_receipt_carries_the_chain_head(self):
        approval = self.create_submitted()
        self.enter(approval)
        self.approve(approval)
        head = approval.line_id.verify_evidence()["head"]
        receipt = approval.link_ids.filtered(lambda item: item.purpose == "receipt")
        receipt._send()
        mail = self.env["mail.mail"].sudo().search([("message_id", "=", receipt.message_id)])
        self.assertIn(head, mail.body_html)
        self.assertIn("receipt.sent", self.get_events(approval.line_id))


@tagged("post_install", "-at_install")
class TestApprovalTeam(ApprovalCommon):
    """What the team does with a submission."""

    def test_links_are_mailed_with_a_secret_that_is_kept_as_a_hash(self):
        approval = self.create_submitted()
        link = approval.link_ids
        self.assertEqual(link.state, "queued")
        self.assertFalse(self.env["mail.mail"].sudo().search([("subject", "like", "please review")]))
        link._send()
        mail = self.env["mail.mail"].sudo().search([("message_id", "=", link.message_id)])
        secret = re.search(r"/ma/[0-9a-f-]{36}\?k=([A-Za-z0-9_-]{43})", mail.body_html).group(1)
        self.assertTrue(link._has_secret(secret))
        self.assertNotEqual(link.sudo().secret_sha256, secret)
        self.assertIn("please review", mail.subject)
        self.assertFalse(mail.model)
        self.assertIn("manager@seller.example", mail.reply_to)
        self.assertEqual(self.get_events(approval.line_id).count("request.sent"), 1)
        self.assertFalse(approval.line_id.message_ids.filtered(lambda item: secret in (item.body or "")))

    def test_one_failing_mail_does_not_stop_the_others(self):
        ann = self.add_contact("Ann Second")
        approval = self.create_submitted(approvers=[self.contact, ann])
        Link = type(approval.link_ids)
        create_mail = Link._create_mail

        def fail_for_ann(link, *args):
            if link.partner_id == ann:
                raise ValueError("no template")
            return create_mail(link, *args)

        with patch.object(Link, "_create_mail", fail_for_ann):
            approval.link_ids._send()
        states = {item.partner_id.name: item.state for item in approval.link_ids}
        self.assertEqual(states, {"Zoe Client": "sent", "Ann Second": "failed"})
        self.assertIn("not delivered", approval.line_id.activity_ids.summary)

    def test_approver_without_address_is_shown_to_the_team(self):
        self.contact.email = False
        approval = self.create_submitted()
        approval.link_ids._send()
        self.assertEqual(approval.link_ids.state, "no_address")
        self.assertTrue(approval.line_id.activity_ids)

    def test_resend_makes_new_links_for_those_who_have_not_decided(self):
        approval = self.create_submitted()
        approval.with_user(self.billing_user).action_resend()
        self.assertEqual(approval.link_ids.sorted("id").mapped("purpose"), ["request", "resend"])

    def test_paper_approval_is_recorded_as_what_it_is(self):
        approval = self.create_submitted()
        document = (
            self.env["ir.attachment"].with_user(self.billing_user).create({"name": "l.pdf", "raw": b"%PDF-"})
        )
        with self.assertRaises(AccessError):
            approval.with_user(self.project_user).record_on_behalf("paper", document.id)
        with self.assertRaises(UserError):
            approval.with_user(self.billing_user).record_on_behalf("paper", 0)
        approval.with_user(self.billing_user).record_on_behalf("paper", document.id, "Letter of 3 May")
        self.assertTrue(approval.is_on_behalf)
        self.assertFalse(approval.decision_ids)
        self.assertEqual((approval.state, approval.move_id.state), ("approved", "posted"))
        events = self.get_events(approval.line_id)
        self.assertIn("approval.on_behalf", events)
        self.assertNotIn("approval.granted", events)
        self.assertTrue(approval.line_id.verify_evidence()["ok"])

    def test_time_over_closes_the_submission_and_tells_the_manager(self):
        approval = self.create_submitted()
        approval.link_ids._send()
        approval._internal().expires_on = fields.Datetime.now() - timedelta(days=1)
        approval._close_overdue()
        self.assertEqual((approval.state, approval.line_id.state), ("expired", "submitted"))
        self.assertIn("No answer", approval.line_id.activity_ids.summary)

    def test_silence_counts_only_where_it_was_announced(self):
        self.company.milestone_deemed_acceptance = True
        approval = self.create_submitted()
        approval.link_ids._send()
        self.company.milestone_deemed_acceptance = False
        approval._internal().expires_on = fields.Datetime.now() - timedelta(days=1)
        approval._close_overdue()
        self.assertEqual((approval.state, approval.move_id.state), ("deemed_accepted", "posted"))

    def test_silence_does_not_count_when_no_mail_went_out(self):
        self.company.milestone_deemed_acceptance = True
        approval = self.create_submitted()
        approval._internal().expires_on = fields.Datetime.now() - timedelta(days=1)
        approval._close_overdue()
        self.assertEqual(approval.state, "expired")

    def test_submissions_cannot_be_deleted_or_written(self):
        approval = self.create_submitted()
        with self.assertRaises(AccessError):
            approval.sudo().unlink()
        with self.assertRaises(AccessError):
            approval.sudo().write({"state": "approved"})

    def test_cancelled_milestone_withdraws_the_submission(self):
        approval = self.create_submitted()
        approval.move_id.button_cancel()
        self.assertEqual(approval.state, "cancelled")
        self.assertTrue(approval.link_ids.revoked_on)

    def test_mail_results_stand_in_the_evidence(self):
        approval = self.create_submitted()
        approval.link_ids._send()
        mail = self.env["mail.mail"].sudo().search([("message_id", "=", approval.link_ids.message_id)])
        mail._postprocess_sent_message(
            [], [], failure_reason="550 unknown", failure_type="mail_email_invalid"
        )
        self.assertEqual(approval.link_ids.state, "failed")
        self.assertIn("request.delivery", self.get_events(approval.line_id))
