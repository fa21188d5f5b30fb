import io

from odoo.tests import new_test_user, tagged

from .common_approval import PNG, ApprovalHttpCommon


@tagged("post_install", "-at_install")
class TestApprovalDoors(ApprovalHttpCommon):
    """Who comes in by a link while being somebody else, and what forms hold that no page of ours sends."""

    def say_not_me(self, approval):
        """Say “this was not me” with the link of the approver."""
        link, secret = self.issue_link(approval)
        form = self.fields_of(self.url_open(f"/ma/{link.uuid}/not-me?k={secret}"))
        return link, self.url_open(f"/ma/{link.uuid}/not-me", data=form)

    def test_mail_in_the_browser_of_somebody_else_is_no_login_of_the_approver(self):
        approval = self.create_submitted()
        new_test_user(self.env, "stranger", "base.group_portal")
        self.authenticate("stranger", "stranger")
        _link, answer = self.say_not_me(approval)
        self.assertEqual((answer.status_code, approval.state), (200, "contested"))
        entry = approval.line_id.evidence_ids.filtered(lambda item: item.type == "approval.repudiated")
        body = entry._get_body()
        self.assertEqual(body["actor_kind"], "link_holder")
        self.assertEqual((body["auth"]["level"], body["auth"]["method"]), ("L1", ["link"]))

    def test_withdrawn_link_freezes_nothing(self):
        approval = self.create_submitted()
        link, secret = self.issue_link(approval)
        form = self.fields_of(self.url_open(f"/ma/{link.uuid}/not-me?k={secret}"))
        link.action_revoke()
        answer = self.url_open(f"/ma/{link.uuid}/not-me", data=form)
        self.assertEqual((answer.status_code, approval.state), (410, "requested"))

    def test_files_where_texts_are_expected(self):
        approval = self.create_submitted(proof=[("site.png", PNG)])
        link, secret = self.issue_link(approval)
        csrf = self.fields_of(self.url_open(f"/ma/{link.uuid}?k={secret}"))["csrf_token"]

        def send(path, *names, **form):
            files = {name: ("x.txt", io.BytesIO(b"x"), "text/plain") for name in names}
            return self.url_open(path, data={"csrf_token": csrf, **form}, files=files).status_code

        for action in ("open", "renew", "not-me"):
            self.assertEqual(send(f"/ma/{link.uuid}/{action}", "k"), 404)
        self.assertEqual(send("/milestones/verify", "number", "head"), 200)
        self.enter(approval)
        good = {**self.read_form(approval), "accept": "1", "typed_name": "Zoe", "reason": "x"}
        csrf = good.pop("csrf_token")
        base = f"/my/milestones/{approval.uuid}"
        self.assertEqual(send(f"{base}/displayed", "visible_s", "tz", **good), 204)
        for name in ("snapshot_sha256", "presentation", "idempotency_key", "typed_name", "webauthn", "otp"):
            rest = {key: value for key, value in good.items() if key != name}
            answer = send(f"{base}/approve", name, "consent_sha256", **{**rest, "consent_sha256": "x"})
            self.assertIn(answer, (409, 422), name)
        rest = {key: value for key, value in good.items() if key != "reason"}
        self.assertEqual(send(f"{base}/changes", "reason", "reason_code", **rest), 422)
        self.assertEqual(approval.state, "requested")

    def test_line_ends_in_addresses(self):
        csrf = self.fields_of(self.url_open("/milestones/verify"))["csrf_token"]
        for path in ("/milestones/reminders/a%0d%0ab", "/ma/a%0d%0ab/open", "/mc/a%0d%0ab/open"):
            answer = self.url_open(path, data={"csrf_token": csrf}, allow_redirects=False)
            self.assertIn(answer.status_code, (303, 404), path)
            self.assertNotIn("b", answer.headers)

    def test_last_day_in_a_mail_is_that_of_its_reader(self):
        approval = self.create_submitted()
        approval._internal().expires_on = "2036-03-29 02:00:00"
        self.contact.tz = "America/Los_Angeles"
        for purpose in ("request", "reminder"):
            link = approval.link_ids._queue(approval.seat_ids, purpose=purpose)
            link._send()
            mail = self.env["mail.mail"].sudo().search([("message_id", "=", link.message_id)])
            self.assertIn("03/28/2036", mail.body_html)
