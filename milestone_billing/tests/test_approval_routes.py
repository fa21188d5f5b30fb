from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.tests import freeze_time, new_test_user, tagged
from odoo.tools import config

from .common_approval import PNG, ApprovalHttpCommon
from .common_routes import METHODS, UNKNOWN, RoutesMixin

DECISIONS = ("approve", "changes", "decline")
# Below /my/milestones/<uuid>: method, path, and the answer for somebody who holds the link of an open submission.
PAGES = [
    ("GET", "", 200),
    *(("GET", f"/{step}", 200) for step in DECISIONS),
    ("POST", "/displayed", 204),
    ("GET", "/file/{file}", 200),
    ("POST", "/otp", 200),
    *(("POST", f"/{step}", 409) for step in DECISIONS),  # a form that was never shown
    ("POST", "/pay", 303),
    ("GET", "/certificate.pdf", 404),  # nothing is decided yet
    ("GET", "/evidence.zip", 200),
]
# Who reads without deciding gets these instead.
READER = {
    ("GET", "/approve"): 303,
    ("GET", "/changes"): 303,
    ("GET", "/decline"): 303,
    ("POST", "/otp"): 303,
    ("POST", "/approve"): 403,
    ("POST", "/changes"): 403,
    ("POST", "/decline"): 403,
}
STAFF = {**READER, ("POST", "/pay"): 403}
CLOSED = {(method, path): 403 for method, path, _status in PAGES}


@tagged("post_install", "-at_install")
class TestApprovalRoutes(RoutesMixin, ApprovalHttpCommon):
    """Every address of the contract, for everybody who may come: nobody gets what is not theirs, and nothing breaks."""

    pages, closed, words = PAGES, CLOSED, ("Stage 1", "2,500")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.create_visitors()
        cls.approval = cls.create_submitted(proof=[("site.png", PNG)])
        cls.other = cls.create_submitted()

    # === TOOLS ===

    def path(self, path, approval=None):
        approval = approval or self.approval
        files = (approval._get_snapshot() or {}).get("files") or [{"file_uuid": UNKNOWN}]
        return f"/my/milestones/{approval.uuid}{path}".format(file=files[0]["file_uuid"])

    def prepare_form(self):
        hashes = {
            "snapshot_sha256": self.approval.snapshot_sha256,
            "consent_sha256": self.approval._get_consent_sha256(),
        }
        return {**super().prepare_form(), **hashes}

    def assertUnchanged(self):
        self.env.invalidate_all()
        self.assertEqual(self.approval.state, "requested")
        self.assertFalse(self.approval.decision_ids)
        self.assertEqual(self.approval.move_id.state, "draft")

    # === WHO ===

    def test_nobody_gets_in(self):
        self.walk(CLOSED, "nobody")

    def test_holder_of_another_link_gets_in_nowhere_else(self):
        self.enter(self.other)
        self.walk(CLOSED, "holder of another link")

    def test_expired_link_lets_nobody_in_any_more(self):
        self.enter(self.approval)
        self.approval.link_ids.sudo().expires_on = fields.Datetime.now() - timedelta(seconds=1)
        self.walk(CLOSED, "holder of an expired link")

    def test_revoked_link_lets_nobody_in_any_more(self):
        self.enter(self.approval)
        self.approval.link_ids.action_revoke()
        self.walk(CLOSED, "holder of a revoked link")

    def test_grant_ends_after_half_a_day(self):
        self.enter(self.approval)
        with patch("odoo.addons.milestone_billing.controllers.visit.GRANT_HOURS", -1):
            self.walk(CLOSED, "holder of an old grant")

    def test_other_accounts_get_in_nowhere(self):
        for login in ("stranger", "other_staff"):
            self.authenticate(login, login)
            self.walk(CLOSED, login)

    def test_colleague_reads(self):
        self.authenticate("colleague", "colleague")
        self.walk(READER, "colleague")

    def test_staff_reads(self):
        self.authenticate("billing_user", "billing_user")
        self.walk(STAFF, "staff")

    def test_approver_is_in_by_link_and_by_login(self):
        self.enter(self.approval)
        self.walk({}, "holder of the link")
        self.authenticate("zoe", "zoe")
        self.walk({}, "approver with an account")

    def test_approver_of_another_company_decides_by_login(self):
        architect = new_test_user(self.env, "architect", "base.group_portal", email="a@architect.example")
        approval = self.create_submitted(approvers=[architect.partner_id])
        link, secret = self.issue_link(approval)
        self.authenticate("architect", "architect")
        response = self.send("GET", f"/ma/{link.uuid}?k={secret}")
        self.assertEqual(response.headers["Location"], f"/my/milestones/{approval.uuid}")
        self.assertIn(approval.uuid, self.url_open("/my/milestones").text)
        self.assertEqual(self.approve(approval).status_code, 303)
        self.assertEqual(approval.state, "approved")
        self.assertEqual(self.send("GET", self.path("")).status_code, 403, "and nothing else of the client")

    def test_staff_with_the_link_of_their_own_contact_decide_nothing(self):
        insider = new_test_user(
            self.env,
            "insider",
            "milestone_billing.milestone_billing_group_billing_user",
            company_ids=[fields.Command.link(self.company.id)],
            company_id=self.company.id,
        )
        approval = self.create_submitted(approvers=[insider.partner_id])
        link, secret = self.issue_link(approval)
        self.authenticate("insider", "insider")
        self.send("POST", f"/ma/{link.uuid}/open", {"csrf_token": self.get_csrf(), "k": secret})
        self.assertIn("Only the client can decide here", self.url_open(self.path("", approval)).text)
        form = {"csrf_token": self.get_csrf(), "accept": "1", "typed_name": "Insider"}
        self.assertEqual(self.send("POST", self.path("/approve", approval), form).status_code, 403)
        self.assertEqual((approval.state, approval.move_id.state), ("requested", "draft"))

    # === LINKS ===

    def test_links_by_visitor(self):
        visitors = {None: (404, 303), "stranger": (404, 403), "billing_user": (404, 403), "zoe": (404, 303)}
        for login, (wrong, right) in visitors.items():
            self.authenticate(login, login)
            form = {"csrf_token": self.get_csrf()}
            self.approval.link_ids._queue(self.approval.seat_ids, purpose="resend")
            link, secret = self.issue_link(self.approval)
            for key, status in (("x" * 43, wrong), ("", wrong), (secret, right)):
                with self.subTest(login=login, key=key[:4]):
                    response = self.send("POST", f"/ma/{link.uuid}/open", {**form, "k": key})
                    self.assertEqual(response.status_code, status, response.text[:300])
                    self.assertNotIn("Stage 1", response.text)
            for action in ("renew", "not-me"):
                response = self.send("POST", f"/ma/{link.uuid}/{action}", {**form, "k": "x" * 43})
                self.assertEqual(response.status_code, 404)
            self.assertEqual(self.send("GET", f"/ma/{link.uuid}/not-me").status_code, 200)
            self.assertUnchanged()

    def test_links_that_ran_out_or_were_withdrawn(self):
        link, secret = self.issue_link(self.approval)
        form = {"csrf_token": self.get_csrf(), "k": secret}
        link.sudo().expires_on = fields.Datetime.now() - timedelta(seconds=1)
        self.assertEqual(self.send("POST", f"/ma/{link.uuid}/open", form).status_code, 410)
        link.action_revoke()
        for action, status in (("open", 410), ("renew", 403)):
            response = self.send("POST", f"/ma/{link.uuid}/{action}", form)
            self.assertEqual(
                (response.status_code, response.headers["Referrer-Policy"]), (status, "no-referrer")
            )
        self.assertUnchanged()

    def test_pages_below_ma_load_nothing_else_and_tell_nothing(self):
        link, secret = self.issue_link(self.approval)
        for path in ("", "/not-me"):
            for key in (secret, "wrong", '"><script>alert(1)</script>'):
                response = self.send("GET", f"/ma/{link.uuid}{path}", params={"k": key})
                self.assertEqual(response.headers["Referrer-Policy"], "no-referrer")
                self.assertEqual(response.text.count("<link"), 1, "the empty icon")
                for tag in ("<script", "<img", "src=", "Stage 1", "Zoe"):
                    self.assertNotIn(tag, response.text)

    # === METHODS ===

    def test_wrong_methods_are_refused_everywhere(self):
        link, secret = self.issue_link(self.approval)
        self.enter(self.approval)
        ours = {
            f"/ma/{link.uuid}?k={secret}": {"GET"},
            f"/ma/{link.uuid}/open": {"POST"},
            f"/ma/{link.uuid}/renew": {"POST"},
            f"/ma/{link.uuid}/not-me": {"GET", "POST"},
            "/my/milestones": {"GET"},
            "/milestones/verify": {"GET", "POST"},
        }
        for method, path, _status in PAGES:
            ours.setdefault(self.path(path), set()).add(method)
        for path, allowed in ours.items():
            for method in METHODS:
                if method in allowed or (method == "HEAD" and "GET" in allowed):
                    continue
                with self.subTest(path=path, method=method):
                    response = self.send(method, path, data=None if method == "TRACE" else {"k": secret})
                    if method != "OPTIONS" or "GET" not in allowed:
                        self.assertIn(response.status_code, (400, 405))
        self.assertUnchanged()

    def test_looking_by_head_writes_nothing(self):
        link, secret = self.issue_link(self.approval)
        with freeze_time(fields.Datetime.now() - timedelta(hours=1)):
            self.enter(self.approval)
        before = self.get_events(self.approval.line_id)
        paths = (f"/ma/{link.uuid}?k={secret}", self.path("/file/{file}"), self.path("/approve"))
        for path in (*paths, "/milestones/verify"):
            self.assertEqual(self.send("HEAD", path).status_code, 200)
        self.assertEqual(self.get_events(self.approval.line_id), before)

    def test_forms_need_the_token_of_their_own_session(self):
        link, secret = self.issue_link(self.approval)
        foreign = self.get_csrf()
        self.authenticate(None, None)
        self.enter(self.approval)
        form = {
            **self.read_form(self.approval),
            "accept": "1",
            "typed_name": "Zoe",
            "reason": "x",
            "k": secret,
        }
        paths = [self.path(path) for method, path, _status in PAGES if method == "POST"]
        paths += [f"/ma/{link.uuid}/{action}" for action in ("open", "renew", "not-me")] + [
            "/milestones/verify"
        ]
        before = self.get_events(self.approval.line_id)
        for path in paths:
            for token in (None, "", foreign, "0" * 40 + "o99999999999", "é"):
                bad = {
                    key: value for key, value in {**form, "csrf_token": token}.items() if value is not None
                }
                with self.subTest(path=path, token=token):
                    self.assertEqual(self.send("POST", path, bad).status_code, 400)
        self.assertEqual(self.get_events(self.approval.line_id), before)
        self.assertUnchanged()

    # === FORMS ===

    def test_stale_replayed_and_made_up_forms_change_nothing(self):
        self.enter(self.approval)
        good = {**self.read_form(self.approval), "accept": "1", "typed_name": "Zoe"}
        other = {**good, "snapshot_sha256": self.other.snapshot_sha256}
        bad = {
            "snapshot of another submission": other,
            "no snapshot": {**good, "snapshot_sha256": ""},
            "no presentation": {**good, "presentation": ""},
            "presentation with something behind it": {**good, "presentation": good["presentation"] + "x"},
            "no key": {**good, "idempotency_key": ""},
        }
        for name, form in bad.items():
            with self.subTest(name):
                self.assertEqual(self.send("POST", self.path("/approve"), form).status_code, 409)
        later = fields.Datetime.now() + timedelta(hours=12, minutes=1)
        with freeze_time(later), patch("odoo.addons.milestone_billing.controllers.visit.GRANT_HOURS", 24):
            response = self.send("POST", self.path("/approve"), {**good, "csrf_token": self.get_csrf()})
        self.assertEqual(response.status_code, 409, "the page was open for half a day")
        self.assertUnchanged()
        self.assertEqual(self.send("POST", self.path("/approve"), good).status_code, 303)

    def test_strange_values_are_no_errors(self):
        self.enter(self.approval)
        good = {**self.read_form(self.approval), "accept": "1", "typed_name": "Zoe", "reason": "x"}
        strange = (
            "\x00",
            "\ud800".encode("utf-8", "surrogatepass"),
            "é" * 5000,
            "<script>",
            "%",
            "-1",
            "[]",
            "\u202e",
        )
        names = ("snapshot_sha256", "presentation", "idempotency_key", "consent_sha256", "accept")
        for step in DECISIONS:
            for name in (
                *names,
                "otp",
                "reason_code",
                "file",
                "tz",
                "screen",
                "reservation",
                "webauthn",
                "channel",
            ):
                for value in strange[:3] if name in names else strange:
                    form = {**good, "consent_sha256": "none", name: value} if step == "approve" else {**good}
                    form |= {name: value, **({} if step == "approve" else {"reason": ""})}
                    with self.subTest(step=step, name=name, value=value[:9]):
                        response = self.send("POST", self.path(f"/{step}"), form)
                        self.assertIn(response.status_code, (409, 422, 429))
        for value in strange:
            for form in ({"visible_s": value}, {"tz": value}, {"screen": value}, {"reached_end": value}):
                response = self.send("POST", self.path("/displayed"), {**good, **form})
                self.assertEqual(response.status_code, 204)
        self.assertUnchanged()

    # === REDIRECTS, HOSTS, ADDRESSES ===

    def test_no_parameter_leads_away(self):
        link, secret = self.issue_link(self.approval)
        evil = dict.fromkeys(
            ("redirect", "next", "url", "landing_route", "return_url", "callback"), "https://evil.example/"
        )
        form = {"csrf_token": self.get_csrf(), "k": secret, **evil}
        self.send("POST", f"/ma/{link.uuid}/open", form)
        for method, path, _status in PAGES:
            if path not in DECISIONS:
                response = self.send(method, self.path(path), form if method == "POST" else None, params=evil)
                self.assertNotIn("evil.example", response.headers.get("Location", ""))
        for path in (
            "/my/milestones//evil.example",
            "/ma//evil.example",
            "/my/milestones/%2F%2Fevil.example",
        ):
            self.assertIn(self.send("GET", path).status_code, (200, 301, 303, 308, 403, 404))

    def test_host_of_the_request_gets_into_no_mail(self):
        link, secret = self.issue_link(self.approval)
        form = {"csrf_token": self.get_csrf(), "k": secret}
        headers = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
        self.send("POST", f"/ma/{link.uuid}/renew", form, headers=headers)
        fresh = self.approval.link_ids.filtered(lambda item: item.purpose == "resend")
        fresh._send()
        mail = self.env["mail.mail"].sudo().search([("message_id", "=", fresh.message_id)])
        self.assertIn("/ma/", mail.body_html)
        self.assertNotIn("evil.example", mail.body_html)

    def read_address(self, approval):
        """Give the address that the evidence of an approval names, how it was learned, and what was claimed."""
        entry = approval.line_id.evidence_ids.filtered(lambda item: item.type == "approval.granted")
        values = self.env["milestone.billing.evidence.value"].sudo().search([("entry_id", "=", entry.id)])
        plain = {value.name: value.value for value in values}
        return plain.get("ip"), entry._get_body()["http"]["ip_how"], plain.get("xff_raw")

    def test_claimed_addresses(self):
        script, many = "<script>alert(1)</script>", ", ".join(["9.9.9.9"] * 200)
        cases = [
            (False, "8.8.8.8", None, ("127.0.0.1", "private", "8.8.8.8")),
            (False, "8.8.8.8", "evil.example", ("127.0.0.1", "private", "8.8.8.8")),
            (True, "8.8.8.8", None, ("127.0.0.1", "private", "8.8.8.8")),
            (True, "6.6.6.6, 8.8.8.8", "shop.example", ("8.8.8.8", "proxy_last_hop", "6.6.6.6, 8.8.8.8")),
            (True, script, "shop.example", (None, "unparsable", script)),
            (True, "2001:db8::1", "shop.example", ("2001:db8::1", "proxy_last_hop", "2001:db8::1")),
            (False, many, None, ("127.0.0.1", "private", many[:256])),
        ]
        for is_proxied, claimed, host, expected in cases:
            with self.subTest(proxy=is_proxied, claimed=claimed[:30]):
                approval = self.create_submitted()
                self.authenticate(None, None)
                self.enter(approval)
                form = {**self.read_form(approval), "accept": "1", "typed_name": "Zoe"}
                headers = {"X-Forwarded-For": claimed, **({"X-Forwarded-Host": host} if host else {})}
                with patch.dict(config.options, {"proxy_mode": is_proxied}):
                    response = self.send("POST", self.path("/approve", approval), form, headers=headers)
                self.assertEqual(response.status_code, 303, response.text[:300])
                self.assertEqual(self.read_address(approval), expected)
                self.assertTrue(approval.line_id.verify_evidence()["ok"])

    # === LISTS ===

    def test_list_needs_an_account_and_shows_the_own_company(self):
        response = self.send("GET", "/my/milestones")
        self.assertEqual(response.status_code, 303)
        self.assertIn("/web/login", response.headers["Location"])
        for login, is_shown in (("zoe", True), ("colleague", True), ("stranger", False)):
            self.authenticate(login, login)
            page = self.url_open("/my/milestones")
            self.assertEqual(self.approval.uuid in page.text, is_shown, login)
            self.assertSealed(page)
            for number in ("0", "99", "99999999999999999999"):
                self.assertLess(self.send("GET", f"/my/milestones/page/{number}").status_code, 500)
        for login in ("billing_user", "other_staff"):
            self.authenticate(login, login)
            self.assertNotIn(self.approval.uuid, self.url_open("/my/milestones").text)
