from datetime import timedelta

from freezegun import freeze_time
from odoo import Command, fields
from odoo.exceptions import UserError
from odoo.tests import tagged

from ..models.milestone_billing_approval_decision import Visitor
from .common_approval import ApprovalCommon, ApprovalHttpCommon
from .test_change import ChangeCommon


@tagged("post_install", "-at_install")
class TestApproverArchived(ApprovalCommon):
    """Who is archived is not asked; when nobody is left, the team learns of it before anything goes out."""

    def ask_again(self):
        with freeze_time(fields.Datetime.now() + timedelta(minutes=16)), self.no_commits():
            self.env["milestone.billing.approval"].sudo()._cron_ask_again()

    def test_archived_approver_is_left_out_from_the_start(self):
        other = self.add_contact("Yves Other")
        other.active = False
        approval = self.create_submitted([self.contact, other])
        self.assertEqual(approval.seat_ids.partner_id, self.contact)
        self.assertEqual(approval.quorum, 1)

    def test_archiving_asks_those_who_are_left_and_ends_the_link(self):
        other = self.add_contact("Yves Other")
        approval = self.create_submitted([self.contact, other], quorum=0)
        link, _secret = self.issue_link(approval, other)
        other.active = False
        self.assertEqual(approval.state, "superseded")
        self.assertEqual((link._get_problem(), link.revoke_reason), ("revoked", "The contact was archived."))
        self.assertIn("link.revoked", self.get_events(approval.line_id))
        self.assertFalse(self.issue_link(approval, self.contact)[0].revoked_on)
        self.ask_again()
        renewed = approval.line_id._get_current_approval()
        self.assertEqual((renewed.state, renewed.revision, renewed.quorum), ("requested", 2, 1))
        self.assertEqual(renewed.seat_ids.partner_id, self.contact)
        other.active = True
        self.ask_again()
        again = approval.line_id._get_current_approval()
        self.assertEqual(again.seat_ids.partner_id, self.contact + other)
        self.assertTrue(approval.line_id.verify_evidence()["ok"])

    def test_nobody_left_is_told_before_anything_goes_out(self):
        line = self.create_order(confirm=False, user_id=self.manager.id).milestone_line_ids[0]
        line.approval_required = True
        line.schedule_id.approver_ids = [Command.create({"partner_id": self.contact.id})]
        line.order_id.action_confirm()
        line.order_id.milestone_line_ids[1:].approval_required = True
        self.contact.active = False
        lines = line.order_id.milestone_line_ids
        lines.invalidate_recordset(["blocked_reason", "is_ready"])
        self.assertIn("Nobody is left to approve “Stage 1”", line.blocked_reason)
        self.assertIn("Zoe Client", line.blocked_reason)
        self.assertFalse(line.is_ready)
        self.assertFalse(line.search([("id", "in", lines.ids), ("is_ready", "=", True)]))
        with self.assertRaisesRegex(UserError, "Nobody is left"):
            line.action_complete()
        self.assertFalse(line.invoice_ids)
        line.schedule_id.approver_ids = [Command.create({"partner_id": self.add_contact("New One").id})]
        lines.invalidate_recordset(["blocked_reason", "is_ready"])
        self.assertEqual(line.search([("id", "in", lines.ids), ("is_ready", "=", True)]), line)
        line.action_complete()
        self.assertEqual(line.approval_ids.seat_ids.partner_id.name, "New One")

    def test_triggered_milestone_goes_when_somebody_is_named(self):
        order = self.create_order(confirm=False, user_id=self.manager.id)
        line = order.milestone_line_ids[0]
        line.write({"approval_required": True, "trigger": "order_confirmed"})
        line.schedule_id.approver_ids = [Command.create({"partner_id": self.contact.id})]
        self.contact.active = False
        order.action_confirm()
        self.assertEqual((line.state, bool(line.triggered_on)), ("planned", True))
        self.contact.active = True
        self.assertEqual((line.state, line.approval_ids.seat_ids.partner_id), ("submitted", self.contact))

    def test_archived_customer_without_approvers_blocks_too(self):
        order = self.create_order(confirm=False)
        order.milestone_line_ids.approval_required = True
        order.action_confirm()
        line = order.milestone_line_ids[0]
        self.client_company.active = False
        line.invalidate_recordset(["blocked_reason"])
        self.assertIn("Client Ltd", line.blocked_reason)
        self.assertFalse(line.search([("id", "=", line.id), ("is_ready", "=", True)]))

    def test_last_approver_gone_gives_the_team_an_activity(self):
        approval = self.create_submitted()
        self.contact.active = False
        self.ask_again()
        line = approval.line_id
        self.assertEqual(line._get_current_approval(), approval)
        self.assertEqual(approval.state, "superseded")
        self.assertIn("could not be sent", line.activity_ids.summary)
        self.assertIn("Nobody is left", line.activity_ids.note)
        with self.assertRaisesRegex(UserError, "Nobody is left"):
            line.action_submit_again()

    def test_archived_contact_gets_no_reminder_and_no_queued_mail(self):
        other = self.add_contact("Yves Other")
        approval = self.create_submitted([self.contact, other])
        self.env.cr.execute("UPDATE res_partner SET active = false WHERE id = %s", [other.id])
        self.env.invalidate_all()
        self.assertEqual(approval.line_id._get_reminder_partners("approval"), self.contact)
        approval.link_ids._send()
        states = {link.partner_id: link.state for link in approval.link_ids}
        self.assertEqual(states, {self.contact: "sent", other: "failed"})
        values = other._prepare_reminder_values("email")
        self.assertEqual((values["state"], values["note"]), ("failed", "The contact is archived."))


@tagged("post_install", "-at_install")
class TestApproverArchivedDoor(ApprovalHttpCommon):
    def test_link_of_an_archived_contact_opens_nothing(self):
        approval = self.create_submitted()
        self.assertEqual(self.enter(approval).status_code, 200)
        link = approval.link_ids[:1]
        secret = link._issue_secret()
        self.contact.active = False
        page = self.url_open(f"/ma/{link.uuid}?k={secret}")
        self.assertNotIn("10,000", page.text)
        self.assertNotIn("2,500", page.text)
        inside = self.url_open(f"/my/milestones/{approval.uuid}")
        self.assertNotIn("2,500", inside.text, "who is in already is out now")


@tagged("post_install", "-at_install")
class TestChangeApproverArchived(ChangeCommon):
    def test_change_goes_back_when_too_few_are_left(self):
        change = self.propose()
        self.contact.active = False
        self.assertEqual(change.state, "draft")
        self.assertIn("proposed again", change.activity_ids.summary)
        with self.assertRaisesRegex(UserError, "Nobody is left to decide"):
            self.propose()

    def test_change_goes_on_with_the_others(self):
        other = self.env["res.partner"].create({"name": "Other", "email": "other@client.example"})
        self.schedule.approver_ids = [Command.create({"partner_id": other.id})]
        change = self.propose()
        self.contact.active = False
        self.assertEqual((change.state, change._get_active_links().partner_id), ("proposed", other))
        self.assertEqual(change._get_reminder_partners("approval"), other)
        self.assertEqual(self.decide(change), "recorded")
        self.assertEqual(change.state, "approved")


@tagged("post_install", "-at_install")
class TestApproverMerged(ApprovalCommon):
    """Who is merged with another contact stays an approver, wherever one of both was."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.twin = cls.env["res.partner"].create(
            {"name": "Z. Client", "parent_id": cls.client_company.id, "email": cls.contact.email}
        )

    def merge(self):
        wizard = self.env["base.partner.merge.automatic.wizard"].sudo().create({})
        wizard._merge((self.contact + self.twin).ids, self.contact, extra_checks=False)
        self.env.invalidate_all()

    def test_approver_stays_on_every_schedule(self):
        both, alone = self.create_order(), self.create_order()
        both.milestone_schedule_id.approver_ids = [
            Command.create({"partner_id": self.contact.id, "amount_limit": 0.0}),
            Command.create({"partner_id": self.twin.id, "amount_limit": 500.0}),
        ]
        alone.milestone_schedule_id.approver_ids = [Command.create({"partner_id": self.twin.id})]
        self.merge()
        for order in (both, alone):
            self.assertEqual(order.milestone_schedule_id.approver_ids.partner_id, self.contact)
            self.assertEqual(len(order.milestone_schedule_id.approver_ids), 1)

    def test_open_submission_is_asked_again_under_the_name_that_stays(self):
        known, other = self.create_submitted([self.contact]), self.create_submitted([self.twin])
        self.merge()
        self.assertEqual((known.state, other.state), ("requested", "superseded"))
        with freeze_time(fields.Datetime.now() + timedelta(minutes=16)), self.no_commits():
            self.env["milestone.billing.approval"].sudo()._cron_ask_again()
        renewed = other.line_id._get_current_approval()
        self.assertEqual((renewed.revision, renewed.state), (2, "requested"))
        self.assertEqual(renewed.seat_ids.partner_id, self.contact)
        form = {
            "snapshot_sha256": renewed.snapshot_sha256,
            "idempotency_key": "key-of-the-merged-one",
            "accept": "1",
            "consent_sha256": renewed._get_consent_sha256(),
            "typed_name": "Zoe Client",
        }
        visitor = Visitor(seat=renewed.seat_ids, presented_at=1.0)
        self.assertEqual(renewed._decide("approve", visitor, form).code, "recorded")
        self.assertTrue(renewed.line_id.verify_evidence()["ok"])

    def test_two_who_were_asked_together_stay_two(self):
        self.create_submitted([self.contact, self.twin], quorum=2)
        with self.assertRaisesRegex(UserError, "stay two contacts"):
            self.merge()
        self.assertTrue(self.twin.exists())


@tagged("post_install", "-at_install")
class TestChangeApproverMerged(ChangeCommon):
    def test_change_of_a_merged_approver_is_proposed_again(self):
        self.create_order(partner_id=self.contact.id)
        twin = self.env["res.partner"].create({"name": "Zoe C.", "email": self.contact.email})
        self.create_order(partner_id=twin.id)
        change = self.propose()
        wizard = self.env["base.partner.merge.automatic.wizard"].sudo().create({})
        wizard._merge((self.contact + twin).ids, twin, extra_checks=False)
        self.env.invalidate_all()
        self.assertEqual((change.state, self.schedule.approver_ids.partner_id), ("draft", twin))
        self.assertIn("merged", change.activity_ids.note)
