from odoo.tests import new_test_user, tagged

from ..tools.page_headers import PAGE_HEADERS, find_referrer_policy
from .common_approval import ApprovalHttpCommon

UNKNOWN = "7f1df4c4-39a4-4a1f-9d6b-4a3a2a8f8f11"
# One address below each prefix of ours that takes a form, and what it tells others about where its visitors come from.
FORMS = {
    f"/ma/{UNKNOWN}/open": "no-referrer",
    f"/mc/{UNKNOWN}/open": "no-referrer",
    f"/my/milestones/{UNKNOWN}/approve": "same-origin",
    f"/my/changes/{UNKNOWN}/approve": "same-origin",
    "/milestones/verify": "same-origin",
}
# Only read; others belong to Odoo.
PAGES = {"/my/milestones": "same-origin", "/my/changes": "same-origin", "/my/retainers": "same-origin"}


@tagged("post_install", "-at_install")
class TestPageHeaders(ApprovalHttpCommon):
    """What the framework answers below our addresses has the headers of our pages; what it answers to others has not."""

    def send(self, method, path, **options):
        return self.url_open(path, method=method, allow_redirects=False, **options)

    def assertSealed(self, response, referrer, status):
        self.assertEqual(response.status_code, status, response.text[:300])
        for name, value in {**PAGE_HEADERS, "Referrer-Policy": referrer}.items():
            self.assertEqual(response.headers.get(name), value, f"{name} of {response.url}")

    def assertNotSealed(self, response, status):
        self.assertEqual(response.status_code, status, response.text[:300])
        self.assertNotEqual(response.headers.get("X-Frame-Options"), "DENY")
        self.assertNotIn("Referrer-Policy", response.headers)

    def test_forms_without_a_token(self):
        for path, referrer in FORMS.items():
            with self.subTest(path):
                self.assertSealed(self.send("POST", path, data={"k": "secret"}), referrer, 400)
        self.assertNotSealed(self.send("POST", "/web/login", data={"login": "x"}), 400)

    def test_addresses_that_do_not_exist(self):
        for path, referrer in {**FORMS, **PAGES}.items():
            with self.subTest(path):
                response = self.send("GET", f"{path}/no/such/page?k=secret")
                self.assertSealed(response, referrer, 404)
                self.assertNotIn("secret", response.headers.get("Location", ""))
        self.assertNotSealed(self.send("GET", "/my/no/such/page"), 404)

    def test_wrong_methods(self):
        for path, referrer in {**FORMS, **PAGES}.items():
            with self.subTest(path):
                response = self.send("PUT", path, data={"k": "secret"})
                self.assertSealed(response, referrer, 405)
                self.assertTrue(response.headers["Allow"])
        for path in list(FORMS)[:2]:
            self.assertSealed(self.send("OPTIONS", path), "no-referrer", 405)
        self.assertNotSealed(self.send("PUT", "/my/security", data={"op": "x"}), 405)

    def test_forms_that_are_too_large(self):
        self.env["ir.config_parameter"].sudo().set_param("web.max_file_upload_size", "1000")
        for path, referrer in FORMS.items():
            with self.subTest(path):
                self.assertSealed(self.send("POST", path, data={"k": "x" * 2000}), referrer, 413)
        self.assertNotSealed(self.send("POST", "/web/login", data={"login": "x" * 2000}), 413)

    def test_ways_to_the_login(self):
        for path, referrer in PAGES.items():
            response = self.send("GET", path)
            self.assertSealed(response, referrer, 303)
            self.assertIn("/web/login", response.headers["Location"])
        self.assertNotSealed(self.send("GET", "/my/home"), 303)

    def test_ways_to_another_language(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        new_test_user(self.env, "zoe", "base.group_portal", lang="fr_FR")
        self.authenticate("zoe", "zoe")
        response = self.send("GET", "/my/milestones")
        self.assertSealed(response, "same-origin", 303)
        self.assertSealed(self.send("GET", response.headers["Location"]), "same-origin", 200)
        self.assertSealed(self.send("GET", "/fr/my/milestones/no/such/page"), "same-origin", 404)

    def test_only_addresses_of_ours_are_ours(self):
        for path in (
            "/ma",
            "/mc/",
            "/fr/mc/x",
            "/my/milestones/x",
            "/de_CH/my/changes",
            "/milestones/verify",
        ):
            self.assertTrue(find_referrer_policy(path), path)
        for path in (
            "/mac",
            "/my/home",
            "/my/milestonesque",
            "/web/ma/x",
            "/my/invoices/1",
            "/shop/my/changes",
        ):
            self.assertFalse(find_referrer_policy(path), path)
