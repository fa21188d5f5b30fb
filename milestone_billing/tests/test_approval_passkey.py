import hashlib
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from odoo.addons.auth_passkey._vendor.webauthn.helpers import bytes_to_base64url, encode_cbor
from odoo.tests import new_test_user, tagged
from odoo.tools import SQL

from ..tools.verify import OK, verify_passkey
from .common_approval import ApprovalHttpCommon


@tagged("post_install", "-at_install")
class TestApprovalPasskey(ApprovalHttpCommon):
    """Above an amount the approver's own key signs the submission."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company.milestone_passkey_above = 2000.0
        cls.user = new_test_user(cls.env, "zoe", "base.group_portal", partner_id=cls.contact.id)
        cls.key = ec.generate_private_key(ec.SECP256R1())
        numbers = cls.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        passkey = cls.env["auth.passkey.key"].with_user(cls.user).sudo()
        cls.passkey = passkey.create(
            {"name": "Phone", "credential_identifier": bytes_to_base64url(b"key-of-zoe")}
        )
        cls.env.cr.execute(
            SQL(
                "UPDATE auth_passkey_key SET public_key = %s, create_uid = %s WHERE id = %s",
                bytes_to_base64url(encode_cbor(cose)),
                cls.user.id,
                cls.passkey.id,
            )
        )
        cls.passkey.invalidate_recordset()

    def sign(self, page, key=None, **changes):
        """Answer as a phone would: sign the challenge of the page."""
        start = page.text.index('data-passkey="') + len('data-passkey="')
        text = page.text[start : page.text.index('"', start)].replace("&#34;", '"').replace("&quot;", '"')
        options = {**json.loads(text), **changes}
        client = {"type": "webauthn.get", "challenge": options["challenge"], "origin": self.base_url()}
        client_data = json.dumps(client).encode()
        flags, count = b"\x05", (1).to_bytes(4, "big")
        authenticator = hashlib.sha256(options["rpId"].encode()).digest() + flags + count
        signed = authenticator + hashlib.sha256(client_data).digest()
        signature = (key or self.key).sign(signed, ec.ECDSA(hashes.SHA256()))
        identifier = bytes_to_base64url(b"key-of-zoe")
        return json.dumps(
            {
                "id": identifier,
                "rawId": identifier,
                "type": "public-key",
                "response": {
                    "authenticatorData": bytes_to_base64url(authenticator),
                    "clientDataJSON": bytes_to_base64url(client_data),
                    "signature": bytes_to_base64url(signature),
                },
            }
        )

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
        entry = approval.line_id.evidence_ids.filtered(lambda item: item.type == "approval.granted")
        values = self.env["milestone.billing.evidence.value"].sudo().search([("entry_id", "=", entry.id)])
        proof = values.filtered(lambda item: item.name == "webauthn_json").value
        body = entry._get_body()
        verdict, sentence = verify_passkey(proof, body["auth"], body["subject"])
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
