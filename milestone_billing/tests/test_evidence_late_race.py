from unittest.mock import patch

from odoo import fields
from odoo.exceptions import ConcurrencyError
from odoo.tests import tagged
from odoo.tools import mute_logger

from .common_answer_race import AnswerRaceCommon


@tagged("-standard", "-at_install", "post_install", "milestone_race")
class TestEvidenceLateRace(AnswerRaceCommon):
    """What is written on a chain by a transaction that began before somebody else wrote on it."""

    def begin(self, cr):
        """Begin a transaction: from now on it sees nothing of what others commit."""
        cr.execute("SELECT count(*) FROM milestone_billing_approval")

    def get_types(self, approval_id):
        with self.registry.cursor() as cr:
            line = self.env_of(cr)["milestone.billing.approval"].browse(approval_id).line_id
            evidence = line.verify_evidence()
            self.assertTrue(evidence["ok"], evidence["problems"])
            return line.evidence_ids.sorted("seq").mapped("type")

    def send_mail(self, approval_id):
        """Queue the mail of a link and commit it; give its Message-ID."""
        with self.registry.cursor() as cr:
            link = self.env_of(cr)["milestone.billing.approval"].browse(approval_id).link_ids
            link.state = "queued"
            link._send()
            self.addCleanup(self.drop_mail, link.message_id)
            return link.message_id

    def drop_mail(self, message_id):
        """Remove what other tests would take for their own mail."""
        with self.registry.cursor() as cr:
            self.env_of(cr)["mail.mail"].search([("message_id", "=", message_id)]).unlink()

    def test_mail_that_went_out_stays_sent_while_the_client_is_on_the_page(self):
        approval_id, _key, _links = self.submit()
        message_id = self.send_mail(approval_id)
        with self.registry.cursor() as cr, mute_logger("odoo.sql_db"):
            self.begin(cr)
            with self.registry.cursor() as other:
                approval = self.env_of(other)["milestone.billing.approval"].browse(approval_id)
                approval._log("review.presented", actor_kind="link_holder")
            mail = self.env_of(cr)["mail.mail"].search([("message_id", "=", message_id)])
            mail.state = "sent"
            mail._postprocess_sent_message([], [])
        self.assertEqual(self.get_types(approval_id)[-2:], ["review.presented", "request.delivery"])
        with self.registry.cursor() as cr:
            mail = self.env_of(cr)["mail.mail"].search([("message_id", "=", message_id)])
            self.assertFalse(mail, "it is deleted when it went out, and not sent a second time")

    def test_certificate_that_two_ask_for_at_once_is_issued_once(self):
        approval_id, _key, _links = self.submit()
        with self.registry.cursor() as cr:
            env = self.env_of(cr)
            approval = env["milestone.billing.approval"].browse(approval_id)
            paper = env["ir.attachment"].create({"name": "letter.pdf", "raw": b"%PDF-1.4 yes"})
            approval.record_on_behalf("paper", paper.id)
        Certificate = self.registry["milestone.billing.evidence.certificate"]
        render = patch.object(Certificate, "_render_sealed", lambda *_args: (b"%PDF-1.7 c", None))
        with render, self.registry.cursor() as cr, mute_logger("odoo.sql_db"):
            self.begin(cr)
            with self.registry.cursor() as other:
                line = self.env_of(other)["milestone.billing.approval"].browse(approval_id).line_id
                number = line._get_certificate().number
            line = self.env_of(cr)["milestone.billing.approval"].browse(approval_id).line_id
            with self.assertRaises(ConcurrencyError):
                line._get_certificate()
            cr.rollback()
            self.env_of(cr).invalidate_all()
            self.assertEqual(line._get_certificate().number, number)
        self.assertEqual(self.get_types(approval_id).count("certificate.issued"), 1)

    def test_certificates_of_two_companies_may_have_one_number(self):
        with self.registry.cursor() as cr:
            Certificate = self.env_of(cr)["milestone.billing.evidence.certificate"].sudo()
            values = {"company_id": self.company_id, "state": "approved", "result_sha256": "0", "sha256": "0"}
            number = f"S00001-M01-C{fields.Datetime.now()}"
            both = Certificate.create(
                [{**values, "number": number, "chain_id": f"chain {part}"} for part in (1, 2)]
            )
            self.assertEqual(len(both), 2)
            cr.rollback()
