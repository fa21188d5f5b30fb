"""Erasing people from what stands around the evidence: notes, mails, decisions, papers, device logs."""

from email import message_from_string
from email.policy import default as default_policy

from odoo import Command
from odoo.fields import Datetime
from odoo.tests import tagged
from odoo.tools import html2plaintext

from ..tools import verify
from .test_evidence_tamper import TamperCommon

REASON = "Zoe Client asks: please move the logo <b>up</b>\nand call me"


@tagged("post_install", "-at_install")
class TestEvidenceErasureCopies(TamperCommon):
    def setUp(self):
        super().setUp()
        self.contact.write({"name": "Zoe Client", "email": "zoe@client.example"})

    def reject(self, days_ago=0):
        """Submit a milestone, send its link, and let the client ask for changes; give the submission."""
        with self.at(days_ago):
            approval = self.create_submitted()
            approval.link_ids._send()
            self.decide(approval, "changes", reason=REASON, reason_code="quality")
            approval.link_ids.filtered(lambda link: link.state == "queued")._send()
        return approval

    def read_all(self, line):
        """Give everything that people can read around a document, as one text."""
        messages = self.env["mail.message"].search([("model", "=", line._name), ("res_id", "=", line.id)])
        activities = self.env["mail.activity"].search(
            [("res_model", "=", line._name), ("res_id", "=", line.id)]
        )
        texts = [*messages.mapped("body"), *messages.mapped("subject"), *messages.mapped("email_from")]
        texts += [*activities.mapped("summary"), *activities.mapped("note")]
        return " ".join(str(text) for text in texts if text)

    def assert_verifies(self, record):
        result = record.verify_evidence()
        self.assertTrue(result["ok"], result["problems"])
        items = self.check(self.export(record))
        self.assertEqual(verify.exit_status(items), 0, items)

    def test_request_of_a_person_blanks_every_copy_around_the_milestone(self):
        approval = self.reject()
        line, link = approval.line_id, approval.sudo().link_ids[:1]
        link.failure = "550 <zoe@client.example> is unknown"
        reminder = (
            self.env["milestone.billing.reminder"]
            .sudo()
            .create(
                {
                    "line_id": line.id,
                    "purpose": "approval",
                    "source": "x",
                    "channel": "email",
                    "address": "zoe@client.example",
                    "partner_id": self.contact.id,
                    "state": "sent",
                }
            )
        )
        for text in ("Zoe Client", "move the logo", "call me"):
            self.assertIn(text, self.read_all(line))
        queued = (
            self.env["mail.mail"]
            .sudo()
            .search([("message_id", "in", approval.link_ids.mapped("message_id"))])
        )
        self.assertTrue(queued)
        self.contact.action_erase_milestone_evidence("T-1")
        for text in ("Zoe", "move the logo", "call me", "zoe@client"):
            self.assertNotIn(text, self.read_all(line))
        self.assertIn("***", self.read_all(line))
        self.assertEqual(approval.decision_ids.reason, "***\n***")
        self.assertEqual(link.failure, "550 <***> is unknown")
        self.assertEqual(reminder.address, "***")
        self.assertFalse(queued.exists())
        self.assertFalse(any(approval.link_ids.sudo().mapped("mail_copy")))
        self.assert_verifies(line)

    def test_other_milestones_and_other_people_keep_theirs(self):
        other = self.approval
        before = self.read_all(other.line_id)
        line = self.reject().line_id
        line.message_post(body="Zoelle Clientson called; Max Other too.")
        self.Erasure._erase(
            {line.evidence_uuid: {"values": self.find_values(line, "actor_name"), "snapshots": []}}, "request"
        )
        self.assertIn("Zoelle Clientson called; Max Other too.", self.read_all(line))
        self.assertNotIn("Zoe Client", self.read_all(line))
        self.assertEqual(self.read_all(other.line_id), before)

    def find_values(self, line, *names):
        domain = [("chain_id", "=", line.evidence_uuid), ("name", "in", names), ("erased_at", "=", False)]
        return self.Value.search(domain).ids

    def test_each_class_blanks_its_own_copies_at_its_own_time(self):
        early, late = self.reject(days_ago=700).line_id, self.reject(days_ago=1200).line_id
        early.message_post(body="The click came from 203.0.113.7.")
        self.Erasure._cron_erase()
        self.assertNotIn("203.0.113.7", self.read_all(early))
        self.assertIn("Zoe Client", self.read_all(early))
        self.assertNotIn("Zoe Client", self.read_all(late))
        self.assertNotIn("move the logo", self.read_all(late))
        for line in (early, late):
            self.assert_verifies(line)

    def test_legal_hold_keeps_every_copy(self):
        approval = self.reject(days_ago=1200)
        line = approval.line_id
        with self.at(1100):
            line.action_set_legal_hold("dp_1")
        before = self.read_all(line)
        self.Erasure._cron_erase()
        self.contact.action_erase_milestone_evidence("T-1")
        self.assertEqual(self.read_all(line), before)
        self.assertEqual(approval.decision_ids.reason, REASON)

    # === FILES ===

    def test_submitted_files_and_papers_go_with_the_submission(self):
        with self.at(4000):
            approval = self.create_submitted(proof=[("site.txt", b"finished")])
            scan = self.env["ir.attachment"].create({"name": "scan.txt", "raw": b"signed by Zoe"})
            approval.record_on_behalf("paper", scan.id, "Signed on site.")
        line, files = approval.line_id, approval.attachment_ids + scan
        names = self.export(line).namelist()
        self.assertEqual(len([name for name in names if name.startswith("proof/")]), 2)
        items = self.check(self.export(line))
        self.assertIn("a document of the chain", " ".join(item.message for item in items))
        self.Erasure._cron_erase()
        self.assertFalse(files.exists())
        self.assert_verifies(line)

    def test_file_that_a_later_revision_shows_stays_with_it(self):
        approval = self.reject()
        line, photo = approval.line_id, self.env["ir.attachment"].create({"name": "a.txt", "raw": b"one"})
        line.proof_ids = photo
        line.action_submit_again()
        first = line.approval_ids.filtered(lambda item: photo in item.attachment_ids)
        line.action_submit_again()
        snapshots = self.env["milestone.billing.evidence.snapshot"].sudo()
        snapshot = snapshots.search([("sha256", "=", first.snapshot_sha256)])
        found = {line.evidence_uuid: {"values": [], "snapshots": snapshot.ids}}
        self.Erasure._erase(found, basis="request")
        self.assertTrue(photo.exists())
        self.assert_verifies(line)

    # === RESTORED BACKUPS ===

    def test_erasures_are_mailed_and_applied_again_after_a_restore(self):
        self.company.milestone_anchor_email = "evidence@elsewhere.example"
        Anchor = self.env["milestone.billing.evidence.anchor"].sudo()
        Anchor._cron_mail_checkpoints()
        mails = [("email_to", "=", "evidence@elsewhere.example"), ("subject", "like", "erasures on record")]
        self.env["mail.mail"].sudo().search(mails).unlink()
        line = self.reject().line_id
        with self.env.cr.savepoint() as backup:
            self.contact.action_erase_milestone_evidence("T-1")
            Anchor._cron_mail_checkpoints()
            Anchor._cron_mail_checkpoints()
            mail = self.env["mail.mail"].sudo().search(mails)
            self.assertEqual(len(mail), 1)
            text = html2plaintext(mail.body_html)
            self.assertIn(line.evidence_uuid, text)
            for word in ("Zoe", "client.example", "logo"):
                self.assertNotIn(word, text)
            backup.rollback()
        self.env.invalidate_all()
        self.assertIn("Zoe Client", self.read_all(line))
        self.assertGreater(self.Erasure._apply_list(text), 0)
        self.assertNotIn("Zoe", self.read_all(line))
        self.assertEqual(self.Erasure._apply_list(text), 0)
        self.assert_verifies(line)

    # === DEVICES ===

    def test_device_logs_of_clients_go_and_those_of_staff_stay(self):
        login = self.env["res.users"].create(
            {
                "login": "zoe_device",
                "partner_id": self.contact.id,
                "group_ids": [Command.set(self.env.ref("base.group_portal").ids)],
            }
        )
        logs = {
            (user.share, days): self.env["res.device.log"]
            .sudo()
            .create(
                {
                    "session_identifier": f"x{user.id}-{days}",
                    "user_id": user.id,
                    "ip_address": "203.0.113.7",
                    "last_activity": Datetime.subtract(Datetime.now(), days=days),
                }
            )
            for user in (login, self.billing_user)
            for days in (10, 700)
        }
        self.line.action_set_legal_hold("dp_1")
        self.Erasure._cron_erase()
        self.contact.action_erase_milestone_evidence("T-1")
        self.env.invalidate_all()
        self.assertTrue(all(log.exists() for log in logs.values()), "a legal hold keeps them")
        self.line.action_release_legal_hold("dp_1")
        self.Erasure._cron_erase()
        self.env.invalidate_all()
        self.assertEqual({key for key, log in logs.items() if not log.exists()}, {(True, 700)})
        self.contact.action_erase_milestone_evidence("T-2")
        self.assertEqual({key for key, log in logs.items() if not log.exists()}, {(True, 700), (True, 10)})


@tagged("post_install", "-at_install")
class TestEvidenceOfChange(TamperCommon):
    """A change order has a chain of its own: its mails are kept, it is handed out, held, and erased like a milestone's."""

    def setUp(self):
        super().setUp()
        extra = self.env["product.product"].create(
            {"name": "Second language", "type": "service", "list_price": 100.0, "taxes_id": []}
        )
        schedule = self.approval.line_id.schedule_id
        result = schedule.propose_change([{"product_id": extra.id}], name="More")
        self.change = self.env["milestone.billing.change"].browse(result["change_id"])
        self.link = self.change.sudo().link_ids
        self.link._send_one()

    def decide_change(self, kind="approve"):
        form = {
            "snapshot_sha256": self.change.snapshot_sha256,
            "presented_at": 1.0,
            "idempotency_key": "key-of-zoe",
            "accept": "1",
            "typed_name": "Zoe Client",
            "reason": "Too expensive for us",
        }
        pii = {"actor_name": "Zoe Client", "ip": "203.0.113.7"}
        visit = {"actor_kind": "link_holder", "auth": {"method": ["link"]}, "http": {}, "pii": pii}
        link = self.link.with_user(self.env.ref("base.user_root"))
        self.assertEqual(link._decide(kind, form, "L1", visit), "recorded")

    def test_mail_is_kept_without_its_secret_and_verified(self):
        kept = message_from_string(self.link.mail_copy, policy=default_policy)
        self.assertIn("?k=***", kept.get_content())
        bundle = self.export(self.change)
        self.assertIn("mail/request_1.eml", bundle.namelist())
        items = self.check(bundle)
        self.assertEqual(verify.exit_status(items), 0, items)
        self.assertIn(("mail", verify.OK), {(item.item, item.verdict) for item in items})
        self.assertTrue(self.change.verify_evidence()["ok"])
        self.link.sudo().mail_copy += "more"
        self.assertFalse(self.change.verify_evidence()["ok"])

    def test_result_of_sending_is_recorded_and_shown(self):
        mail = self.env["mail.mail"].sudo().search([("message_id", "=", self.link.message_id)])
        mail._postprocess_sent_message(
            [], [], failure_reason="no such user", failure_type="mail_email_invalid"
        )
        entries = self.env["milestone.billing.evidence"].search(
            [("chain_id", "=", self.change.evidence_uuid)]
        )
        self.assertEqual(entries[-1].type, "request.delivery")
        self.assertEqual(entries[-1]._get_body()["data"]["result"], "exception")
        self.assertEqual(self.link.failure, "no such user")
        self.assertIn("was not delivered", self.change.message_ids[0].body)

    def test_a_declined_change_can_be_erased_and_stays_verifiable(self):
        self.decide_change("decline")
        self.assertEqual(self.link.reason, "Too expensive for us")
        note = self.change.activity_ids.note
        self.assertIn("Too expensive", str(note))
        self.change.action_set_legal_hold("dp_1")
        self.contact.action_erase_milestone_evidence("T-1")
        self.assertEqual(self.link.reason, "Too expensive for us")
        self.change.action_release_legal_hold("dp_1")
        self.contact.action_erase_milestone_evidence("T-2")
        self.assertEqual(self.link.reason, "***")
        self.assertNotIn("Too expensive", str(self.change.activity_ids.note))
        self.assertFalse(self.link.sudo().mail_copy)
        result = self.change.verify_evidence()
        self.assertEqual((result["ok"], result["state"]), (True, "declined"), result["problems"])
        items = self.check(self.export(self.change))
        self.assertEqual(verify.exit_status(items), 0, items)

    def test_change_of_a_living_order_is_kept(self):
        with self.at(1200):
            self.change._log("review.presented", pii={"actor_name": "Zoe Client"})
        self.Erasure._cron_erase()
        domain = [("chain_id", "=", self.change.evidence_uuid), ("erased_at", "!=", False)]
        self.assertFalse(self.Value.search(domain), "something happened on the order since")

    def test_approved_change_shows_its_state(self):
        self.decide_change()
        self.assertEqual(self.change.verify_evidence()["state"], "approved")
        self.assertEqual(self.change.action_verify_evidence()["params"]["type"], "success")
