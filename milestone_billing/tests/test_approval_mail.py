import hashlib
import io
import re
import zipfile
from collections import Counter
from email import message_from_bytes
from email.policy import default as default_policy

from odoo.tests import tagged

from ..tools import verify
from .common_approval import ApprovalCommon


@tagged("post_install", "-at_install")
class TestApprovalMail(ApprovalCommon):
    """What the evidence keeps of the mails to approvers."""

    def test_mails_are_in_the_evidence_without_their_secret(self):
        self.contact.name = "Zoë Client"
        self.manager.name = "Max Müller"
        approval = self.create_submitted()
        link = approval.link_ids
        link._send()
        mail = self.env["mail.mail"].sudo().search([("message_id", "=", link.message_id)])
        secret = re.search(r"\?k=([A-Za-z0-9_-]{43})", mail.body_html).group(1)
        body = str(mail.body_html)
        mail.unlink()
        receipt = link._queue(approval.seat_ids, purpose="receipt")
        receipt._send()
        files = approval.line_id._prepare_bundle_mails("full")
        self.assertEqual(sorted(files), ["mail/receipt_1.eml", "mail/request_1.eml"])
        kept = message_from_bytes(files["mail/request_1.eml"], policy=default_policy)
        self.assertEqual(kept["Message-Id"], link.message_id)
        self.assertIn("please review", kept["Subject"])
        self.assertEqual(kept["To"].addresses[0].addr_spec, self.contact.email)
        self.assertEqual(kept["To"].addresses[0].display_name, "Zoë Client")
        self.assertTrue(kept["From"] and kept["Date"] and kept["X-Evidence-Nonce"])
        self.assertIn("blanked", kept["X-Evidence-Copy"])
        self.assertEqual(kept.get_content().strip(), body.replace(secret, "***").strip())
        self.assertNotIn(secret, kept.as_string())
        self.assertIn("?k=***", kept.get_content())
        events = {entry.type: entry._get_body()["data"] for entry in approval.line_id.evidence_ids}
        for name, event in (("request", "request.sent"), ("receipt", "receipt.sent")):
            digest = hashlib.sha256(files[f"mail/{name}_1.eml"]).hexdigest()
            self.assertEqual(events[event]["mail_sha256"], digest)

    def test_mails_of_the_evidence_are_for_their_reader_and_checked(self):
        ann = self.add_contact("Ann Second")
        approval = self.create_submitted(approvers=[self.contact, ann])
        line = approval.line_id
        approval.link_ids._send()
        own_ref = ann.sudo().milestone_evidence_ref
        self.assertEqual(len(line._prepare_bundle_mails("dispute")), 2)
        self.assertEqual(line._prepare_bundle_mails("project"), {})
        self.assertEqual(line._prepare_bundle_mails("client"), {})
        mine = line._prepare_bundle_mails("client", own_ref)
        self.assertEqual([b"ann@client.example" in data for data in mine.values()], [True])
        _name, content = line._export_evidence("full")
        self.assertEqual(self.check_mails(content), {verify.OK: 2})
        _name, content = line._export_evidence("client", own_ref)
        self.assertEqual(self.check_mails(content), {verify.OK: 1, verify.NOT_PROVIDED: 1})
        link = approval.link_ids.filtered(lambda item: item.partner_id == ann)
        link.sudo().mail_copy += "more"
        _name, content = line._export_evidence("full")
        self.assertEqual(self.check_mails(content), {verify.OK: 1, verify.FAIL: 1, verify.NOT_PROVIDED: 1})
        self.env["milestone.billing.evidence.erasure"]._erase_person(ann, "T-1")
        self.assertFalse(link.sudo().mail_copy)
        _name, content = line._export_evidence("full")
        self.assertEqual(self.check_mails(content), {verify.OK: 1, verify.NOT_PROVIDED: 1})
        self.assertTrue(line.verify_evidence()["ok"])

    def check_mails(self, content):
        """Count the verdicts of the verifier about the mails of a bundle."""
        items = verify.BundleVerifier(zipfile.ZipFile(io.BytesIO(content))).run()
        return Counter(item.verdict for item in items if item.item == "mail")
