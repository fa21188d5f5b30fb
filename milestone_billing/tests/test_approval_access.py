import logging
from datetime import timedelta

from odoo import fields
from odoo.exceptions import UserError
from odoo.http import root
from odoo.tests import JsonRpcException, new_test_user, tagged

from .common_approval import PNG, ApprovalHttpCommon

STEPS = ("approve", "changes", "decline")


@tagged("post_install", "-at_install")
class TestApprovalAccess(ApprovalHttpCommon):
    """Who may do what at each address, and what the answers carry."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.colleague = cls.add_contact("Ann Colleague")
        cls.colleague_user = new_test_user(cls.env, "colleague", "base.group_portal")
        cls.colleague_user.partner_id.parent_id = cls.client_company
        cls.stranger_user = new_test_user(cls.env, "stranger", "base.group_portal")
        cls.zoe_user = new_test_user(cls.env, "zoe", "base.group_portal", partner_id=cls.contact.id)
        other = cls.env["res.company"].create({"name": "Other Co"})
        cls.other_user = new_test_user(
            cls.env,
            "other_staff",
            "milestone_billing.milestone_billing_group_billing_manager",
            company_ids=[fields.Command.set(other.ids)],
            company_id=other.id,
        )

    def assertUnchanged(self, approval):
        self.env.invalidate_all()
        self.assertEqual(approval.state, "requested")
        self.assertFalse(approval.decision_ids)
        self.assertEqual(approval.move_id.state, "draft")

    def try_all(self, approval, status):
        """Send every decision with good form fields but as the present visitor."""
        csrf = self.fields_of(self.url_open("/web/login"))["csrf_token"]
        form = {"csrf_token": csrf, "idempotency_key": "k" * 16, "accept": "1", "reason": "x"}
        for step in STEPS:
            response = self.post(approval, step, form)
            self.assertEqual(response.status_code, status, step)

    # === WHO ===

    def test_nobody_sees_nothing_and_cannot_tell_what_exists(self):
        approval = self.create_submitted()
        there = self.url_open(f"/my/milestones/{approval.uuid}")
        missing = self.url_open("/my/milestones/7f1df4c4-39a4-4a1f-9d6b-4a3a2a8f8f11")
        self.assertEqual((there.status_code, missing.status_code), (403, 403))
        self.assertNotIn("Stage 1", there.text)
        self.assertNotIn("2,500", there.text)
        self.try_all(approval, 403)
        self.assertUnchanged(approval)

    def test_stranger_with_an_account_sees_nothing(self):
        approval = self.create_submitted()
        self.authenticate("stranger", "stranger")
        self.assertEqual(self.url_open(f"/my/milestones/{approval.uuid}").status_code, 403)
        self.assertNotIn("Stage 1", self.url_open("/my/milestones").text)
        self.assertUnchanged(approval)

    def test_colleague_reads_but_does_not_decide(self):
        approval = self.create_submitted()
        self.authenticate("colleague", "colleague")
        page = self.url_open(f"/my/milestones/{approval.uuid}")
        self.assertEqual(page.status_code, 200)
        self.assertNotIn("/approve", page.text)
        self.assertIn("Stage 1", self.url_open("/my/milestones").text)
        self.try_all(approval, 403)
        self.assertUnchanged(approval)
        self.assertIn("approval.refused", self.get_events(approval.line_id))

    def test_colleague_cannot_use_the_link_of_another(self):
        approval = self.create_submitted()
        link, secret = self.issue_link(approval)
        self.authenticate("colleague", "colleague")
        form = self.fields_of(self.url_open(f"/ma/{link.uuid}?k={secret}"))
        response = self.url_open(f"/ma/{link.uuid}/open", data=form)
        self.assertEqual(response.status_code, 403)
        self.assertIn("somebody else", response.text)
        self.assertFalse(link.opened_on)
        self.assertUnchanged(approval)

    def test_grant_ends_when_somebody_else_logs_in(self):
        approval = self.create_submitted()
        self.enter(approval)
        session = self.session
        self.authenticate("stranger", "stranger")
        self.session["milestone_grants"] = session.get("milestone_grants")
        root.session_store.save(self.session)
        self.assertEqual(self.url_open(f"/my/milestones/{approval.uuid}").status_code, 403)

    def test_staff_sees_a_preview_and_cannot_decide(self):
        approval = self.create_submitted()
        self.authenticate("billing_user", "billing_user")
        page = self.url_open(f"/my/milestones/{approval.uuid}")
        self.assertEqual(page.status_code, 200)
        self.assertIn("Only the client can decide here", page.text)
        self.try_all(approval, 403)
        self.assertUnchanged(approval)
        self.assertNotIn("review.presented", self.get_events(approval.line_id))

    def test_staff_of_another_company_sees_nothing(self):
        approval = self.create_submitted()
        self.authenticate("other_staff", "other_staff")
        self.assertEqual(self.url_open(f"/my/milestones/{approval.uuid}").status_code, 403)

    def test_invited_person_with_an_account_needs_no_link(self):
        approval = self.create_submitted()
        link, secret = self.issue_link(approval)
        self.authenticate("zoe", "zoe")
        response = self.url_open(f"/ma/{link.uuid}?k={secret}", allow_redirects=False)
        self.assertEqual(response.status_code, 303)
        self.assertEqual(self.approve(approval).status_code, 303)
        self.assertEqual(approval.state, "approved")
        self.assertEqual(approval.level, "L2")

    # === LINKS ===

    def test_looking_at_a_link_writes_nothing(self):
        approval = self.create_submitted()
        link, secret = self.issue_link(approval)
        before = self.get_events(approval.line_id)
        for method in ("GET", "HEAD"):
            response = self.url_open(f"/ma/{link.uuid}?k={secret}", method=method)
            self.assertEqual(response.status_code, 200)
            self.assertEqual(response.headers["Referrer-Policy"], "no-referrer")
            self.assertNotIn("Stage 1", response.text)
            self.assertNotIn("Zoe", response.text)
            self.assertNotIn("2,500", response.text)
            self.assertNotIn("<script", response.text)
        self.env.invalidate_all()
        self.assertEqual(self.get_events(approval.line_id), before)
        self.assertFalse(link.opened_on)

    def test_wrong_secret_opens_nothing_and_never_locks_the_right_one_out(self):
        approval = self.create_submitted()
        link, secret = self.issue_link(approval)
        form = self.fields_of(self.url_open(f"/ma/{link.uuid}?k={secret}"))
        statuses = [
            self.url_open(f"/ma/{link.uuid}/open", data={**form, "k": "x" * 43}).status_code
            for _i in range(12)
        ]
        self.assertEqual(set(statuses[:10]), {404})
        self.assertEqual(set(statuses[10:]), {429})
        self.assertEqual(self.url_open(f"/ma/{link.uuid}/open", data=form).status_code, 200)

    def test_links_that_do_not_exist_or_are_no_uuid(self):
        for name in ("nothing", "7f1df4c4-39a4-4a1f-9d6b-4a3a2a8f8f11", "%00", "a" * 500):
            page = self.url_open(f"/ma/{name}?k=abc")
            self.assertIn(page.status_code, (200, 404), name)
            csrf = self.fields_of(self.url_open("/web/login"))["csrf_token"]
            self.assertLess(
                self.url_open(f"/ma/{name}/open", data={"csrf_token": csrf, "k": "é"}).status_code, 500
            )

    def test_addresses_that_are_no_identifier_are_closed_doors(self):
        for name in ("%00", "%00" * 36, "a" * 36, "%F0%9F%98%80", "-1", "'; DROP TABLE x"):
            response = self.url_open(f"/my/milestones/{name}")
            self.assertIn(response.status_code, (403, 404), name)
            self.assertLess(self.url_open(f"/ma/{name}?k=%00").status_code, 500, name)
            self.assertLess(self.url_open(f"/my/milestones/{name}/file/{name}").status_code, 500, name)

    def test_expired_link_offers_a_new_one_to_the_same_address(self):
        approval = self.create_submitted()
        link, secret = self.issue_link(approval)
        link.sudo().expires_on = fields.Datetime.now() - timedelta(seconds=1)
        form = self.fields_of(self.url_open(f"/ma/{link.uuid}?k={secret}"))
        page = self.url_open(f"/ma/{link.uuid}/open", data=form)
        self.assertEqual(page.status_code, 410)
        self.assertIn("Send me a new link", page.text)
        for _time in range(3):
            self.assertEqual(self.url_open(f"/ma/{link.uuid}/renew", data=form).status_code, 200)
        self.assertEqual(self.url_open(f"/ma/{link.uuid}/renew", data=form).status_code, 403)
        self.assertEqual(len(approval.link_ids.filtered(lambda item: item.purpose == "resend")), 3)

    def test_revoked_link_ends_the_visit_too(self):
        approval = self.create_submitted()
        link, secret = self.issue_link(approval)
        form = self.fields_of(self.url_open(f"/ma/{link.uuid}?k={secret}"))
        self.url_open(f"/ma/{link.uuid}/open", data=form)
        good = self.read_form(approval)
        link.action_revoke()
        self.assertEqual(self.url_open(f"/my/milestones/{approval.uuid}").status_code, 403)
        response = self.post(approval, "approve", {**good, "accept": "1", "typed_name": "Zoe"})
        self.assertEqual(response.status_code, 403)
        self.assertEqual(self.url_open(f"/ma/{link.uuid}/open", data=form).status_code, 410)
        self.assertUnchanged(approval)

    def test_link_of_one_submission_opens_no_other(self):
        first, second = self.create_submitted(), self.create_submitted()
        self.enter(first)
        self.assertEqual(self.url_open(f"/my/milestones/{second.uuid}").status_code, 403)

    # === METHODS AND FORMS ===

    def test_wrong_methods_change_nothing(self):
        approval = self.create_submitted()
        self.enter(approval)
        form = self.read_form(approval)
        for path in ("otp", "pay", "displayed"):
            self.assertEqual(self.url_open(f"/my/milestones/{approval.uuid}/{path}").status_code, 405, path)
        for method in ("PUT", "DELETE", "PATCH"):
            response = self.url_open(f"/my/milestones/{approval.uuid}/approve", data=form, method=method)
            self.assertIn(response.status_code, (400, 405))
        self.assertUnchanged(approval)

    def test_missing_or_foreign_csrf_token_is_refused(self):
        approval = self.create_submitted()
        link, secret = self.issue_link(approval)
        self.enter(approval)
        form = {**self.read_form(approval), "accept": "1", "typed_name": "Zoe"}
        for token in (None, "", "0" * 40 + "o99999999999"):
            bad = {key: value for key, value in {**form, "csrf_token": token}.items() if value is not None}
            for step in STEPS:
                self.assertEqual(self.post(approval, step, bad).status_code, 400)
            for path in ("open", "renew", "not-me"):
                response = self.url_open(
                    f"/ma/{link.uuid}/{path}", data={"k": secret, **({"csrf_token": token} if token else {})}
                )
                self.assertEqual(response.status_code, 400)
        self.assertUnchanged(approval)

    def test_presentation_of_another_session_does_not_count(self):
        approval = self.create_submitted()
        self.enter(approval)
        foreign = self.read_form(approval)["presentation"]
        self.authenticate(None, None)
        self.enter(approval)
        self.assertEqual(self.approve(approval, presentation=foreign).status_code, 409)
        for nonce in ("", "x", "AAAA", "é" * 10):
            self.assertEqual(self.approve(approval, presentation=nonce).status_code, 409)
        self.assertUnchanged(approval)

    def test_every_page_has_its_headers(self):
        approval = self.create_submitted(proof=[("site.png", PNG)])
        self.enter(approval)
        for path in ("", "/approve", "/changes", "/decline"):
            response = self.url_open(f"/my/milestones/{approval.uuid}{path}")
            self.assertEqual(response.headers["X-Frame-Options"], "DENY")
            self.assertIn("frame-ancestors 'none'", response.headers["Content-Security-Policy"])
            self.assertEqual(response.headers["Cache-Control"], "no-store")
            self.assertEqual(response.headers["Referrer-Policy"], "same-origin")

    def test_no_redirect_leads_away(self):
        approval = self.create_submitted()
        link, secret = self.issue_link(approval)
        form = self.fields_of(self.url_open(f"/ma/{link.uuid}?k={secret}"))
        form |= {
            "redirect": "https://evil.example/",
            "next": "//evil.example",
            "landing_route": "https://evil.example",
        }
        response = self.url_open(f"/ma/{link.uuid}/open", data=form, allow_redirects=False)
        self.assertEqual(response.headers["Location"], f"/my/milestones/{approval.uuid}")

    def test_the_access_log_does_not_show_the_secret(self):
        records, logger = [], logging.getLogger("werkzeug")
        handler = logging.Handler()
        handler.emit = lambda record: records.append(record.getMessage())
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        line = "GET /ma/1?k=SecretOfALink HTTP/1.1"
        logger.warning('"%s" %s %s', line, "200", "-")
        logger.warning("127.0.0.1 " + line)
        self.assertEqual(len(records), 2)
        self.assertIn("k=***", records[0])
        self.assertIn("k=***", records[1])
        self.assertNotIn("SecretOfALink", " ".join(records))

    def test_forwarded_addresses_are_kept_apart(self):
        approval = self.create_submitted()
        self.enter(approval)
        form = {**self.read_form(approval), "accept": "1", "typed_name": "Zoe"}
        self.opener.headers["X-Forwarded-For"] = "<script>, 8.8.8.8"
        self.addCleanup(self.opener.headers.pop, "X-Forwarded-For", None)
        self.assertEqual(self.post(approval, "approve", form).status_code, 303)
        entry = approval.line_id.evidence_ids.filtered(lambda item: item.type == "approval.granted")
        values = self.env["milestone.billing.evidence.value"].sudo().search([("entry_id", "=", entry.id)])
        plain = {value.name: value.value for value in values}
        self.assertEqual(plain["ip"], "127.0.0.1")
        self.assertEqual(plain["xff_raw"], "<script>, 8.8.8.8")
        self.assertEqual(entry._get_body()["http"]["ip_how"], "private")

    # === RPC ===

    def test_clients_cannot_act_over_rpc(self):
        approval = self.create_submitted()
        self.authenticate("zoe", "zoe")
        calls = [
            ("milestone.billing.approval", "write", [approval.ids, {"state": "approved"}]),
            ("milestone.billing.approval", "record_on_behalf", [approval.ids, "paper", 1]),
            ("milestone.billing.approval", "action_resend", [approval.ids]),
            ("milestone.billing.approval", "_decide", [approval.ids, "approve", {}, {}]),
            ("milestone.billing.approval.link", "read", [approval.link_ids.ids, ["secret_sha256"]]),
            ("milestone.billing.approval.link", "action_revoke", [approval.link_ids.ids]),
            ("milestone.billing.approval.decision", "create", [{"approval_id": approval.id}]),
            ("milestone.billing.line", "action_submit_again", [approval.line_id.ids]),
        ]
        for model, method, args in calls:
            params = {"model": model, "method": method, "args": args, "kwargs": {}}
            with self.assertRaises(JsonRpcException, msg=f"{model}.{method}"):
                self.make_jsonrpc_request(f"/web/dataset/call_kw/{model}/{method}", params)
        self.assertUnchanged(approval)

    def test_staff_cannot_write_a_decision_over_rpc(self):
        approval = self.create_submitted()
        self.authenticate("billing_user", "billing_user")
        context = {"milestone_internal_write": True}
        calls = [
            ("milestone.billing.approval", "write", [approval.ids, {"state": "approved"}]),
            ("milestone.billing.approval", "create", [{"line_id": approval.line_id.id, "revision": 9}]),
            ("milestone.billing.approval.decision", "create", [{"approval_id": approval.id}]),
            ("milestone.billing.approval.link", "read", [approval.link_ids.ids, ["secret_sha256"]]),
        ]
        for model, method, args in calls:
            params = {"model": model, "method": method, "args": args, "kwargs": {"context": context}}
            with self.assertRaises(JsonRpcException, msg=f"{model}.{method}"):
                self.make_jsonrpc_request(f"/web/dataset/call_kw/{model}/{method}", params)
        self.assertUnchanged(approval)


@tagged("post_install", "-at_install")
class TestProofFiles(ApprovalHttpCommon):
    """Files are served for what they are, in ranges, and to those who may see the submission."""

    def get_file(self, approval, place=0, **options):
        uuid = approval._get_snapshot()["files"][place]["file_uuid"]
        return self.url_open(f"/my/milestones/{approval.uuid}/file/{uuid}", **options)

    def test_file_needs_the_submission(self):
        approval = self.create_submitted(proof=[("site.png", PNG)])
        self.assertEqual(self.get_file(approval).status_code, 403)
        self.enter(approval)
        response = self.get_file(approval)
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.content, PNG)
        self.assertEqual(response.headers["Content-Type"], "image/png")
        self.assertEqual(response.headers["X-Content-Type-Options"], "nosniff")
        self.assertIn("default-src 'none'", response.headers["Content-Security-Policy"])
        self.assertEqual(self.get_events(approval.line_id).count("review.file_opened"), 1)
        self.get_file(approval)
        self.assertEqual(self.get_events(approval.line_id).count("review.file_opened"), 1)

    def test_other_file_names_are_not_found(self):
        approval = self.create_submitted(proof=[("site.png", PNG)])
        self.enter(approval)
        other = self.env["ir.attachment"].create({"name": "secret", "raw": b"secret"})
        for name in (str(other.id), "7f1df4c4-39a4-4a1f-9d6b-4a3a2a8f8f11", "..%2F..%2Fetc%2Fpasswd", "%00"):
            response = self.url_open(f"/my/milestones/{approval.uuid}/file/{name}")
            self.assertEqual(response.status_code, 404, name)

    def test_ranges_are_answered(self):
        raw = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40
        approval = self.create_submitted(proof=[("walk.mp4", raw)])
        self.enter(approval)
        part = self.get_file(approval, headers={"Range": "bytes=10-19"})
        self.assertEqual(part.status_code, 206)
        self.assertEqual(part.content, raw[10:20])
        self.assertEqual(part.headers["Content-Range"], f"bytes 10-19/{len(raw)}")
        self.assertEqual(part.headers["Content-Type"], "video/mp4")
        beyond = self.get_file(approval, headers={"Range": f"bytes={len(raw) + 5}-"})
        self.assertEqual(beyond.status_code, 416)

    def test_files_that_lie_about_their_type_are_downloads(self):
        html = b"<html><script>alert(1)</script></html>"
        svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
        approval = self.create_submitted(
            proof=[
                ("photo.png", html),
                ("drawing.svg", svg),
                ("x.pdf", b"MZ\x90"),
                ("ok.bin", b"%PDF-1.4 fine"),
            ]
        )
        self.enter(approval)
        for place in range(4):
            response = self.get_file(approval, place)
            self.assertEqual(response.status_code, 200)
            is_pdf = response.content.startswith(b"%PDF")
            wanted = "application/pdf" if is_pdf else "application/octet-stream"
            self.assertEqual(response.headers["Content-Type"].split(";")[0], wanted)
            if not is_pdf:
                self.assertIn("attachment", response.headers["Content-Disposition"])

    def test_submitted_bytes_can_neither_be_changed_nor_deleted(self):
        approval = self.create_submitted(proof=[("site.png", PNG)])
        attachment = approval.attachment_ids
        with self.assertRaisesRegex(UserError, "kept as it was"):
            attachment.write({"raw": b"other"})
        with self.assertRaisesRegex(UserError, "kept as it was"):
            attachment.unlink()
