from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.tests import new_test_user, tagged

from .common_routes import METHODS, UNKNOWN, RoutesMixin
from .test_change import ChangeHttpCommon

# Below /my/changes/<uuid>: method, path, and the answer for somebody who holds the link of an open change order.
PAGES = [
    ("GET", "", 200),
    ("GET", "/change.pdf", 200),
    ("POST", "/otp", 200),
    ("POST", "/approve", 409),  # a form that was never shown
    ("POST", "/decline", 409),
]
READER = {("POST", "/otp"): 303, ("POST", "/approve"): 403, ("POST", "/decline"): 403}
CLOSED = {(method, path): 404 for method, path, _status in PAGES}
STRANGE = ("\x00", "\ud800".encode("utf-8", "surrogatepass"), "é" * 5000, "<script>", "[]", "\u202e")


@tagged("post_install", "-at_install")
class TestChangeRoutes(RoutesMixin, ChangeHttpCommon):
    """Every address of a change order, for everybody who may come: nobody gets what is not theirs."""

    pages, closed, words = PAGES, CLOSED, ("Second language", "1,200")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.create_visitors()

    def setUp(self):
        super().setUp()
        report = self.registry["ir.actions.report"]
        self.patch(report, "_render_qweb_pdf", lambda *_args, **_more: (b"%PDF-1.7 x", "pdf"))
        self.change = self.propose()
        self.link = self.change.sudo().link_ids
        self.url = self.get_link(self.change)
        self.base, _mark, self.secret = self.url.partition("?k=")
        self.authenticate(None, None)

    # === TOOLS ===

    def path(self, path):
        return f"/my/changes/{self.change.uuid}{path}"

    def read_form(self, **more):
        page = self.url_open(self.path(""))
        self.assertEqual(page.status_code, 200)
        return {**self.fields_of(page), "accept": "1", "typed_name": "Zoe Client", "reason": "No", **more}

    def get_types(self):
        entries = self.env["milestone.billing.evidence"].search(
            [("chain_id", "=", self.change.evidence_uuid)]
        )
        return entries.sorted("seq").mapped("type")

    def assertUnchanged(self):
        self.env.invalidate_all()
        self.assertEqual(self.change.state, "proposed")
        self.assertFalse(self.link.decision)
        self.assertEqual(self.order.amount_untaxed, 10000.0)

    def prepare_form(self):
        return {**super().prepare_form(), "snapshot_sha256": self.change.snapshot_sha256}

    # === WHO ===

    def test_strangers_get_in_nowhere(self):
        self.walk(CLOSED, "nobody")
        for login in ("stranger", "other_staff"):
            self.authenticate(login, login)
            self.walk(CLOSED, login)

    def test_holder_of_the_link_of_another_change(self):
        other = self.propose({"product_id": self.extra.id, "price_unit": 7.0})
        self.enter(other)
        self.walk(CLOSED, "holder of another link")

    def test_links_that_are_over_let_nobody_in_any_more(self):
        self.enter(self.change, self.url)
        self.assertEqual(self.send("GET", self.path("")).status_code, 200)
        with patch("odoo.addons.milestone_billing.controllers.milestone_billing_change.GRANT_HOURS", -1):
            self.walk(CLOSED, "holder of an old grant")
        self.link._revoke()
        self.walk(CLOSED, "holder of a withdrawn link")

    def test_readers_do_not_decide(self):
        for login in ("colleague", "billing_user"):
            self.authenticate(login, login)
            self.walk(READER, login)
        self.assertNotIn("review.presented", self.get_types())

    def test_approver_is_in_by_link_and_by_login(self):
        self.enter(self.change, self.url)
        self.walk({}, "holder of the link")
        self.authenticate("zoe", "zoe")
        self.walk({}, "approver with an account")
        response = self.send("GET", self.url)
        self.assertEqual(response.headers["Location"], self.path(""), "needs no link")

    def test_staff_with_the_link_of_their_own_contact_decide_nothing(self):
        self.contact.user_ids.unlink()
        new_test_user(self.env, "insider", "base.group_user", partner_id=self.contact.id)
        self.authenticate("insider", "insider")
        form = {"csrf_token": self.get_csrf(), "k": self.secret}
        self.send("POST", f"{self.base}/open", form)
        self.assertIn(self.send("POST", self.path("/approve"), form).status_code, (403, 404))
        self.assertUnchanged()

    # === LINKS ===

    def test_links_by_visitor(self):
        visitors = {None: 303, "stranger": 403, "billing_user": 403, "zoe": 303}
        for login, right in visitors.items():
            self.env["milestone.billing.attempt"].sudo().search([]).unlink()
            self.authenticate(login, login)
            form = {"csrf_token": self.get_csrf()}
            for key, status in (("x" * 43, 404), ("", 404), (self.secret, right)):
                with self.subTest(login=login, key=key[:4]):
                    response = self.send("POST", f"{self.base}/open", {**form, "k": key})
                    self.assertEqual(response.status_code, status, response.text[:300])
                    self.assertNotIn("Second language", response.text)
            for action in ("renew", "not-me"):
                response = self.send("POST", f"{self.base}/{action}", {**form, "k": "x" * 43})
                self.assertEqual(response.status_code, 404)
            self.assertUnchanged()

    def test_wrong_secrets_are_counted_and_never_lock_the_right_one_out(self):
        form = {"csrf_token": self.get_csrf()}
        paths = [f"{self.base}/open", f"/mc/{UNKNOWN}/open", "/mc/nothing/open"]
        for path in paths[:2]:
            statuses = [self.send("POST", path, {**form, "k": "wrong"}).status_code for _try in range(12)]
            self.assertEqual(statuses, [404] * 10 + [429] * 2)
        self.assertEqual(self.send("POST", paths[2], {**form, "k": "wrong"}).status_code, 429)
        kept = self.env["milestone.billing.attempt"].sudo().search_count([("kind", "=", "link_wrong")])
        self.assertEqual(kept, 20, "made-up addresses fill no table")
        self.assertEqual(self.send("POST", paths[0], {**form, "k": self.secret}).status_code, 303)

    def test_links_that_ran_out_or_were_withdrawn(self):
        form = {"csrf_token": self.get_csrf(), "k": self.secret}
        self.link.expires_on = fields.Datetime.now() - timedelta(seconds=1)
        answers = []
        for state in ("proposed", "approved"):
            self.change._write_internal({"state": state})
            response = self.send("POST", f"{self.base}/open", form)
            self.assertEqual(response.status_code, 410)
            answers.append(response.text)
        self.assertIn("The time to decide has run out", answers[0])
        self.assertIn("This link has run out", answers[1])
        self.change._write_internal({"state": "proposed"})
        self.link._revoke()
        for action, status in (("open", 410), ("renew", 403), ("not-me", 410)):
            response = self.send("POST", f"{self.base}/{action}", form)
            self.assertEqual(response.status_code, status)
            self.assertSealed(response, "no-referrer")
        self.assertUnchanged()

    def test_pages_below_mc_load_nothing_else_and_write_nothing(self):
        before = self.get_types()
        for path in ("", "/not-me"):
            for method in ("GET", "HEAD"):
                for key in (self.secret, "wrong", '"><script>alert(1)</script>'):
                    response = self.send(method, f"{self.base}{path}", params={"k": key})
                    self.assertEqual(response.status_code, 200)
                    self.assertSealed(response, "no-referrer")
                    self.assertEqual(response.text.count("<link"), method == "GET", "the empty icon")
                    for tag in ("<script", "<img", "src=", "Second language", "Zoe", "1,200"):
                        self.assertNotIn(tag, response.text)
        self.assertEqual(self.get_types(), before)

    def test_opening_leaves_the_proof_of_the_mail(self):
        self.enter(self.change, self.url)
        opened = self.change.evidence_ids.filtered(lambda entry: entry.type == "link.opened")._get_body()
        self.assertEqual(opened["auth"]["link_proof"], self.link._get_link_proof(self.secret))
        self.assertEqual(opened["data"], {"link_id": self.link.uuid})
        self.assertTrue(self.change.verify_evidence()["ok"])

    # === METHODS AND TOKENS ===

    def test_wrong_methods_are_refused_everywhere(self):
        self.enter(self.change, self.url)
        ours = {self.url: {"GET"}, f"{self.base}/open": {"POST"}, f"{self.base}/not-me": {"GET", "POST"}}
        ours |= {f"{self.base}/renew": {"POST"}, "/my/changes": {"GET"}, "/my/retainers": {"GET"}}
        for method, path, _status in PAGES:
            ours.setdefault(self.path(path), set()).add(method)
        before = self.get_types()
        for path, allowed in ours.items():
            for method in METHODS:
                if method in allowed or (method == "HEAD" and "GET" in allowed):
                    continue
                with self.subTest(path=path, method=method):
                    data = None if method == "TRACE" else {"k": self.secret}
                    response = self.send(method, path, data)
                    if method != "OPTIONS" or "GET" not in allowed:
                        self.assertIn(response.status_code, (400, 405))
        self.assertEqual(self.get_types(), before)
        self.assertUnchanged()

    def test_forms_need_the_token_of_their_own_session(self):
        foreign = self.get_csrf()
        self.enter(self.change, self.url)
        form = self.read_form(k=self.secret)
        paths = [self.path(path) for method, path, _status in PAGES if method == "POST"]
        before = self.get_types()
        for path in (*paths, *(f"{self.base}/{action}" for action in ("open", "renew", "not-me"))):
            for token in (None, "", foreign, "0" * 40 + "o99999999999", "é"):
                bad = {**form, "csrf_token": token}
                if token is None:
                    del bad["csrf_token"]
                with self.subTest(path=path, token=token):
                    self.assertEqual(self.send("POST", path, bad).status_code, 400)
        self.assertEqual(self.get_types(), before)
        self.assertUnchanged()

    # === FORMS ===

    def test_stale_replayed_and_made_up_forms_change_nothing(self):
        self.enter(self.change, self.url)
        good = self.read_form()
        bad = {
            "other snapshot": {**good, "snapshot_sha256": "0" * 64},
            "no snapshot": {**good, "snapshot_sha256": ""},
            "no presentation": {**good, "presentation": ""},
            "presentation with something behind it": {**good, "presentation": good["presentation"] + "x"},
            "no key": {**good, "idempotency_key": ""},
            "long key": {**good, "idempotency_key": "k" * 65},
        }
        for name, form in bad.items():
            with self.subTest(name):
                for step in ("approve", "decline"):
                    self.assertEqual(self.send("POST", self.path(f"/{step}"), form).status_code, 409)
        self.assertUnchanged()
        self.enter(self.change, self.get_link(self.change))
        fresh = self.read_form(presentation=good["presentation"])
        self.assertEqual(self.send("POST", self.path("/approve"), fresh).status_code, 409, "other session")
        self.assertUnchanged()

    def test_the_same_form_twice_has_one_outcome(self):
        self.enter(self.change, self.url)
        form = self.read_form()
        for _click in range(2):
            self.assertEqual(self.send("POST", self.path("/approve"), form).status_code, 303)
        other = self.send("POST", self.path("/approve"), {**form, "typed_name": "Somebody"})
        self.assertEqual(other.status_code, 409)
        later = self.send("POST", self.path("/decline"), {**form, "idempotency_key": "another-key"})
        self.assertEqual(later.status_code, 409)
        self.env.invalidate_all()
        self.assertEqual((self.change.state, self.order.amount_untaxed), ("approved", 11200.0))
        self.assertEqual(self.get_types().count("approval.granted"), 1)
        granted = self.change.evidence_ids.filtered(lambda entry: entry.type == "approval.granted")
        data = granted._get_body()["data"]
        self.assertEqual((data["button_label"], data["quorum"]), ("Approve $\xa01,440.00", "1/1"))
        self.assertTrue(self.change.verify_evidence()["ok"])

    def test_refused_form_keeps_what_was_typed(self):
        self.enter(self.change, self.url)
        page = self.send("POST", self.path("/approve"), self.read_form(accept="", typed_name="Zoe C."))
        self.assertEqual(page.status_code, 422)
        self.assertIn('value="Zoe C."', page.text)
        self.assertIn("tick the box", page.text)
        again = {**self.fields_of(page), "accept": "1", "typed_name": "Zoe C."}
        self.assertEqual(self.send("POST", self.path("/approve"), again).status_code, 303)

    def test_strange_values_are_no_errors(self):
        self.enter(self.change, self.url)
        good = self.read_form(snapshot_sha256="")
        names = (
            "snapshot_sha256",
            "presentation",
            "idempotency_key",
            "accept",
            "typed_name",
            "otp",
            "tz",
            "screen",
        )
        for step in ("approve", "decline"):
            for name in (*names, "reason"):
                for value in STRANGE:
                    with self.subTest(step=step, name=name, value=value[:9]):
                        response = self.send("POST", self.path(f"/{step}"), {**good, name: value})
                        self.assertIn(response.status_code, (409, 422, 429))
        for value in STRANGE:
            self.send("POST", self.path("/otp"), {**good, "channel": value})
        refused = self.get_types().count("approval.refused")
        self.assertEqual(refused, 20, "a flood fills no chain")
        self.assertUnchanged()

    def test_decision_while_others_answer_says_that_it_is_busy(self):
        self.enter(self.change, self.url)
        form = self.read_form()
        with (
            patch.object(type(self.change), "_try_lock", lambda _self: False),
            patch("odoo.addons.milestone_billing.controllers.visit.TURN_SECONDS", 0),
        ):
            response = self.send("POST", self.path("/approve"), form)
        self.assertEqual(response.status_code, 409)
        self.assertIn("press the button again", response.text)
        self.assertUnchanged()
        self.assertEqual(self.send("POST", self.path("/approve"), form).status_code, 303)

    # === THE REST ===

    def test_no_parameter_leads_away(self):
        names = ("redirect", "next", "url", "return_url", "callback")
        evil = dict.fromkeys(names, "https://evil.example/")
        form = {"csrf_token": self.get_csrf(), "k": self.secret, **evil}
        self.send("POST", f"{self.base}/open", form)
        for method, path, _status in PAGES:
            response = self.send(method, self.path(path), form if method == "POST" else None, params=evil)
            self.assertNotIn("evil.example", response.headers.get("Location", ""))
        response = self.send("GET", self.path("?problem=over_limit"))
        self.assertNotIn("above your limit", response.text, "nobody puts words on this page")

    def test_addresses_that_are_no_identifier_are_closed_doors(self):
        for name in ("%00", "%00" * 36, "a" * 36, "%F0%9F%98%80", "-1", "'; DROP TABLE x"):
            self.assertIn(self.send("GET", f"/my/changes/{name}").status_code, (404, 308), name)
            self.send("GET", f"/mc/{name}?k=%00")
            self.send("POST", f"/mc/{name}/open", {"csrf_token": self.get_csrf(), "k": "é"})

    def test_papers_are_not_printed_without_end(self):
        self.enter(self.change, self.url)
        statuses = [self.send("GET", self.path("/change.pdf")).status_code for _turn in range(22)]
        self.assertEqual(statuses, [200] * 20 + [429] * 2)

    def test_lists_need_an_account_and_show_the_own_company(self):
        for path in ("/my/changes", "/my/retainers"):
            response = self.send("GET", path)
            self.assertEqual(response.status_code, 303)
            self.assertIn("/web/login", response.headers["Location"])
        for login, is_shown in (("zoe", True), ("colleague", True), ("stranger", False)):
            self.authenticate(login, login)
            page = self.send("GET", "/my/changes")
            self.assertEqual(self.change.uuid in page.text, is_shown, login)
            self.assertSealed(page)
            self.assertSealed(self.send("GET", "/my/retainers"))
            for number in ("0", "99", "99999999999999999999"):
                self.send("GET", f"/my/changes/page/{number}")
                self.send("GET", f"/my/retainers/{number}/statement.pdf")
