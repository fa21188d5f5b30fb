from odoo import Command
from odoo.tests import new_test_user

UNKNOWN = "7f1df4c4-39a4-4a1f-9d6b-4a3a2a8f8f11"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
HEADERS = {
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


class RoutesMixin:
    """Every address below one document, for everybody who may come."""

    # Method, path, and the answer for somebody who holds the link of an open document.
    pages = ()
    # The answers for who gets in nowhere, and words of the document that stand in none of them.
    closed = {}
    words = ()

    @classmethod
    def create_visitors(cls):
        """Create the approver's own account, a colleague, a stranger, and staff of another company."""
        new_test_user(cls.env, "zoe", "base.group_portal", partner_id=cls.contact.id)
        colleague = new_test_user(cls.env, "colleague", "base.group_portal")
        colleague.partner_id.parent_id = cls.client_company
        new_test_user(cls.env, "stranger", "base.group_portal")
        other = cls.env["res.company"].create({"name": "Other Co"})
        group = "milestone_billing.milestone_billing_group_billing_manager"
        new_test_user(
            cls.env, "other_staff", group, company_ids=[Command.set(other.ids)], company_id=other.id
        )

    def path(self, path):
        """Give the address of a page of the document."""
        raise AssertionError("each document says where it is")

    def prepare_form(self):
        """Give what a form of the document sends that was never shown."""
        return {
            "csrf_token": self.get_csrf(),
            "presentation": "made up",
            "idempotency_key": "k" * 16,
            "accept": "1",
            "typed_name": "Zoe Client",
            "reason": "Because",
        }

    def assertUnchanged(self):
        """Nothing that was sent did anything."""
        raise AssertionError("each document says what stays")

    def send(self, method, path, data=None, **options):
        """Send a request without following redirects; no answer is ever an error of the server."""
        options.setdefault("timeout", 90)
        response = self.url_open(path, data=data, method=method, allow_redirects=False, **options)
        self.assertLess(response.status_code, 500, f"{method} {path}: {response.text[:300]}")
        self.assertRegex(response.headers.get("Location", "/"), r"^/(?![/\\])", f"{method} {path} leads away")
        return response

    def get_csrf(self):
        """Read the token of this session from a page that has a form for everybody."""
        return self.fields_of(self.url_open("/milestones/verify"))["csrf_token"]

    def assertSealed(self, response, referrer="same-origin"):
        """An answer has the headers that our pages promise."""
        for name, value in {**HEADERS, "Referrer-Policy": referrer}.items():
            self.assertEqual(response.headers.get(name), value, name)
        self.assertIn("frame-ancestors 'none'", response.headers["Content-Security-Policy"])

    def walk(self, expected, who):
        """Send every request as the present visitor.

        :param dict expected: answers that differ from those for a holder of the link.
        """
        form = self.prepare_form()
        for method, path, status in self.pages:
            with self.subTest(who=who, method=method, path=path):
                response = self.send(method, self.path(path), form if method == "POST" else None)
                self.assertEqual(
                    response.status_code, expected.get((method, path), status), response.text[:300]
                )
                self.assertSealed(response)
                if expected is self.closed:
                    for word in self.words:
                        self.assertNotIn(word, response.text)
        self.assertUnchanged()
