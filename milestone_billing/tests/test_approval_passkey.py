import hashlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from odoo.addons.auth_passkey._vendor.webauthn.helpers import bytes_to_base64url
from odoo.tests import tagged

from ..tools.verify import OK
from .common_approval import ApprovalHttpCommon
from .common_passkey import PasskeyCommon


@tagged("post_install", "-at_install")
class TestApprovalPasskey(PasskeyCommon, ApprovalHttpCommon):
    """Above an amount the approver's own key signs the submission."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company.milestone_passkey_above = 2000.0
        cls.add_passkey()

    def open_form(self, approval):
        page = self.url_open(f"/my/milestones/{approval.uuid}/approve")
        return page, {**self.fields_of(page), "accept": "1", "typed_name": "Zoe Client"}

    def test_passkey_signs_the_submission(self):
        self.env["ir.config_parameter"].sudo().set_param("web.base.url", self.base_url())
        approval = self.create_submitted()
        self.assertEqual(approval.level_required, "L4")
        self.authenticate("zoe", "zoe")
        page, form = self.open_form(approval)
        answer = self.sign(page)
        self.assertEqual(self.post(approval, "approve", {**form, "webauthn": answer}).status_code, 303)
        self.env.invalidate_all()
        self.assertEqual((approval.state, approval.level), ("approved", "L4"))
        verdict, sentence = self.check_signature(approval.line_id.evidence_ids)
        self.assertEqual(verdict, OK, sentence)
        self.assertTrue(approval.line_id.verify_evidence()["ok"])
        self.check_certificate(approval.line_id)

    def check_certificate(self, line):
        """The certificate names the key that signed."""
        form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        digest = hashlib.sha256(self.key.public_key().public_bytes(*form)).hexdigest()
        report = self.env["ir.actions.report"].sudo()
        html, _kind = report._render_qweb_html("milestone_billing.action_report_certificate", line.ids)
        self.assertIn("Signed by passkey", html.decode())
        self.assertIn(digest, html.decode())
        self.assertNotIn("Signed by wallet", html.decode())

    def test_other_keys_challenges_and_links_do_not_count(self):
        self.env["ir.config_parameter"].sudo().set_param("web.base.url", self.base_url())
        approval = self.create_submitted()
        self.authenticate("zoe", "zoe")
        other = ec.generate_private_key(ec.SECP256R1())
        for options in (
            {"key": other},
            {"challenge": bytes_to_base64url(b"x" * 32)},
            {"rpId": "evil.example"},
        ):
            page, form = self.open_form(approval)
            answer = self.sign(page, **options)
            self.assertEqual(self.post(approval, "approve", {**form, "webauthn": answer}).status_code, 403)
        page, form = self.open_form(approval)
        old = self.sign(page)
        self.open_form(approval)
        self.assertEqual(self.post(approval, "approve", {**form, "webauthn": old}).status_code, 403)
        self.assertEqual(self.post(approval, "approve", {**form, "webauthn": "[1"}).status_code, 403)
        self.authenticate(None, None)
        self.enter(approval)
        self.assertEqual(self.approve(approval, webauthn=old).status_code, 403)
        self.env.invalidate_all()
        self.assertEqual(approval.state, "requested")


@tagged("post_install", "-at_install")
class TestVerifyPage(ApprovalHttpCommon):
    """The public page tells match or no match, and nothing else."""

    def ask(self, number, head):
        form = self.fields_of(self.url_open("/milestones/verify"))
        return self.url_open("/milestones/verify", data={**form, "number": number, "head": head})

    def test_number_and_head_have_to_belong_together(self):
        approval, other = self.create_submitted(), self.create_submitted()
        line = approval.line_id
        # The page asks the chain: a certificate whose file was erased was issued all the same.
        line._log_evidence("certificate.issued", actor_kind="system", data={"number": "TEST-C1"})
        head = line.evidence_ids[-1].entry_hash
        self.assertIn("Match:", self.ask("TEST-C1", f" {head.upper()} ").text)
        wrong = [
            ("TEST-C1", other.line_id.verify_evidence()["head"]),
            ("TEST-C2", head),
            ("TEST-C1", "%"),
            ("", ""),
        ]
        for number, value in wrong:
            self.assertIn("No match", self.ask(number, value).text)

    def test_page_is_rate_limited(self):
        statuses = [self.ask("X", "0" * 64).status_code for _time in range(31)]
        self.assertEqual(statuses[-2:], [200, 429])
