from cryptography.hazmat.primitives.asymmetric import ec
from odoo.addons.auth_passkey._vendor.webauthn.helpers import bytes_to_base64url
from odoo.tests import tagged

from ..tools.verify import OK
from .common_passkey import PasskeyCommon
from .test_change import ChangeHttpCommon


@tagged("post_install", "-at_install")
class TestChangePasskey(PasskeyCommon, ChangeHttpCommon):
    """Above an amount the approver's own key signs the change order."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company.milestone_passkey_above = 1000.0
        cls.add_passkey()

    def setUp(self):
        super().setUp()
        self.env["ir.config_parameter"].sudo().set_param("web.base.url", self.base_url())
        self.change = self.propose()
        self.path = f"/my/changes/{self.change.uuid}"

    def open_form(self):
        page = self.url_open(self.path)
        return page, {**self.fields_of(page), "accept": "1", "typed_name": "Zoe Client"}

    def approve(self, form, **more):
        return self.url_open(f"{self.path}/approve", data={**form, **more}, allow_redirects=False)

    def assertUndecided(self):
        self.env.invalidate_all()
        self.assertEqual((self.change.state, self.order.amount_untaxed), ("proposed", 10000.0))

    def test_passkey_signs_the_change_order(self):
        self.authenticate("zoe", "zoe")
        page, form = self.open_form()
        self.assertEqual(self.approve(form, webauthn=self.sign(page)).status_code, 303)
        self.env.invalidate_all()
        self.assertEqual((self.change.state, self.order.amount_untaxed), ("approved", 11200.0))
        verdict, sentence = self.check_signature(self.change.evidence_ids)
        self.assertEqual(verdict, OK, sentence)
        result = self.change.verify_evidence()
        self.assertTrue(result["ok"], result["problems"])

    def test_neither_link_nor_login_is_enough(self):
        page = self.enter(self.change)
        self.assertIn("Log in to your portal account", page.text)
        self.assertNotIn("data-passkey", page.text)
        form = {**self.fields_of(page), "accept": "1", "typed_name": "Zoe Client"}
        refused = self.approve(form)
        self.assertEqual(refused.status_code, 403)
        self.assertIn("Your answer was not recorded yet", refused.text)
        self.authenticate("zoe", "zoe")
        page, form = self.open_form()
        options = self.read_options(page)
        self.assertEqual(
            [item["id"] for item in options["allowCredentials"]], [bytes_to_base64url(b"key-of-zoe")]
        )
        refused = self.approve(form)
        self.assertEqual(refused.status_code, 403)
        self.assertIn("press the button again and confirm on your device", refused.text)
        self.passkey.sudo().unlink()
        self.authenticate("zoe", "zoe")
        page, form = self.open_form()
        self.assertIn('href="/my/security"', page.text)
        self.assertEqual(self.approve(form).status_code, 403)
        self.assertUndecided()

    def test_other_keys_challenges_and_pages_do_not_count(self):
        self.authenticate("zoe", "zoe")
        for options in (
            {"key": ec.generate_private_key(ec.SECP256R1())},
            {"challenge": bytes_to_base64url(b"x" * 32)},
            {"rpId": "evil.example"},
        ):
            page, form = self.open_form()
            self.assertEqual(self.approve(form, webauthn=self.sign(page, **options)).status_code, 403)
        page, form = self.open_form()
        old = self.sign(page)
        self.open_form()
        for answer in (old, "[1", "x" * 20000):
            self.assertEqual(self.approve(form, webauthn=answer).status_code, 403)
        other = self.propose()
        signed = self.sign(self.url_open(f"/my/changes/{other.uuid}"))
        self.assertEqual(self.approve(form, webauthn=signed).status_code, 403, "of another change order")
        self.assertUndecided()

    def test_what_the_client_was_told_counts(self):
        self.company.milestone_passkey_above = 0
        self.authenticate("zoe", "zoe")
        _page, form = self.open_form()
        self.assertEqual(self.approve(form).status_code, 403)
        self.assertUndecided()
        small = self.propose({"product_id": self.extra.id, "price_unit": 10.0})
        self.company.milestone_passkey_above = 5.0
        self.path = f"/my/changes/{small.uuid}"
        page, form = self.open_form()
        self.assertNotIn("data-passkey", page.text)
        self.assertEqual(self.approve(form).status_code, 303)
        self.assertTrue(small.verify_evidence()["ok"])

    def test_declining_needs_no_key(self):
        page = self.enter(self.change)
        form = {**self.fields_of(page), "reason": "Too expensive"}
        answer = self.url_open(f"{self.path}/decline", data=form, allow_redirects=False)
        self.assertEqual(answer.status_code, 303)
        self.env.invalidate_all()
        self.assertEqual(self.change.state, "declined")
