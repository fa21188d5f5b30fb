from datetime import timedelta
from unittest.mock import patch

from freezegun import freeze_time
from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from .test_change import ChangeCommon, ChangeHttpCommon

DOCUMENT = "UGFwZXI="


@tagged("post_install", "-at_install")
class TestChangeContest(ChangeCommon):
    """“This was not me” stops what a change order bills, until it is clear."""

    def contest(self, change):
        visit = {"actor_kind": "link_holder", "auth": {"method": ["link"]}, "http": {}, "pii": {}}
        return change.sudo()._contest(change.sudo().link_ids[:1], visit)

    def test_contested_change_holds_what_it_bills_and_tells_the_team(self):
        change = self.propose()
        self.decide(change)
        self.assertTrue(self.contest(change))
        self.assertEqual(change.state, "contested")
        self.assertTrue(change.milestone_line_id.is_on_hold)
        self.assertFalse(self.order.milestone_line_ids[0].is_on_hold)
        self.assertIn("this was not me", change.activity_ids.summary)
        self.assertFalse(self.contest(change), "once is enough")
        result = change.verify_evidence()
        self.assertEqual((result["ok"], result["state"]), (True, "contested"))
        with self.assertRaises(UserError):
            change.milestone_line_id.action_complete()

    def test_change_that_was_spread_holds_all_open_milestones(self):
        self.order.milestone_line_ids[0].action_complete()
        change = self.propose({"order_line_id": self.order.order_line.id, "price_unit": 8500.0})
        self.decide(change)
        self.contest(change)
        self.assertEqual(self.order.milestone_line_ids.mapped("is_on_hold"), [False, True, True, True])

    def test_document_of_the_client_settles_it(self):
        change = self.propose()
        self.decide(change)
        self.contest(change)
        with self.assertRaises(UserError):
            change.action_approve_on_behalf()
        change.document = DOCUMENT
        change.action_approve_on_behalf()
        self.assertEqual(change.state, "approved")
        self.assertFalse(change.milestone_line_id.is_on_hold)
        self.assertEqual(self.order.amount_untaxed, 11200.0, "it is not applied twice")
        self.assertEqual(change.verify_evidence()["state"], "approved")

    def test_contested_before_the_decision_goes_back_to_draft(self):
        change = self.propose()
        self.contest(change)
        self.assertEqual(self.decide(change), "already_decided")
        change.action_withdraw()
        self.assertEqual(change.state, "draft")
        change.action_propose()
        self.decide(change)
        self.assertEqual(change.state, "approved")
        self.assertTrue(change.verify_evidence()["ok"])

    def test_applied_change_is_not_withdrawn(self):
        change = self.propose()
        self.decide(change)
        self.contest(change)
        change.action_withdraw()
        self.assertEqual(change.state, "contested")


@tagged("post_install", "-at_install")
class TestChangeTime(ChangeCommon):
    """A change order without an answer in time is closed, shown and can be sent again."""

    def setUp(self):
        super().setUp()
        self.days = self.company.milestone_link_days

    def pass_days(self, days):
        """Let time pass, for all that follows, and run the cron."""
        moment = freeze_time(fields.Datetime.now() + timedelta(days=days))
        moment.start()
        self.addCleanup(moment.stop)
        with self.no_commits():
            self.env["milestone.billing.change"].sudo()._cron_expire()

    def test_no_answer_in_time_is_told_to_the_salesperson(self):
        change = self.propose()
        self.pass_days(self.days - 1)
        self.assertEqual(change.state, "proposed")
        self.pass_days(2)
        self.assertEqual(change.state, "expired")
        self.assertIn("No answer", change.activity_ids.summary)
        self.assertEqual(self.decide(change), "expired")
        self.assertEqual(self.order.amount_untaxed, 10000.0)
        self.pass_days(1)
        self.assertEqual(len(change.activity_ids), 1)
        result = change.verify_evidence()
        self.assertEqual((result["ok"], result["state"]), (True, "expired"))

    def test_it_is_sent_again_with_a_new_revision(self):
        change = self.propose()
        self.pass_days(self.days + 1)
        change.action_withdraw()
        change.action_propose()
        self.assertEqual((change.state, change.revision), ("proposed", 2))
        self.assertEqual(self.decide(change), "recorded")
        self.assertTrue(change.verify_evidence()["ok"])


@tagged("post_install", "-at_install")
class TestChangeSnapshot(ChangeCommon):
    """The client decides about before and after of positions, milestones and contract."""

    def test_milestones_stand_there_before_and_after(self):
        self.order.milestone_line_ids[0].action_complete()
        change = self.propose({"order_line_id": self.order.order_line.id, "price_unit": 8500.0})
        snapshot = change._get_snapshot()
        self.assertEqual(
            snapshot["milestones"],
            [
                {"name": f"Stage {place}", "is_new": False, "before": "2500.00", "after": "2000.00"}
                for place in (2, 3, 4)
            ],
        )
        self.assertEqual(
            (snapshot["order"]["contract_amount"], snapshot["contract_after"]), ("10000.00", "8500.00")
        )
        self.assertEqual(snapshot["lines"][0]["price_before"], "10000.00")
        self.decide(change)
        self.assertEqual(
            self.order.milestone_line_ids[1:].mapped("amount_untaxed"),
            [float(row["after"]) for row in snapshot["milestones"]],
        )

    def test_trying_out_leaves_nothing_behind(self):
        change = self.propose()
        self.assertEqual(change._get_snapshot()["milestones"][0]["is_new"], True)
        self.assertEqual(len(self.order.milestone_line_ids), 4)
        self.assertEqual(len(self.order.order_line), 1)
        self.assertFalse(change.milestone_line_id)
        self.assertFalse(change.is_applied)


@tagged("post_install", "-at_install")
class TestChangeClient(ChangeHttpCommon):
    """Codes, receipt, paper and lists: what the client has around the decision."""

    def fill(self, page, **more):
        return {**self.fields_of(page), "accept": "1", "typed_name": "Zoe Client", **more}

    def get_types(self, change):
        entries = self.env["milestone.billing.evidence"].search([("chain_id", "=", change.evidence_uuid)])
        return entries.sorted("seq").mapped("type")

    @mute_logger("odoo.http")
    def test_large_amount_takes_a_code_from_the_mailbox(self):
        self.company.milestone_level2_above = 1000.0
        change = self.propose()
        page = self.enter(change)
        self.assertIn("One-time code", page.text)
        refused = self.url_open(f"/my/changes/{change.uuid}/approve", data=self.fill(page))
        self.assertIn("type the code", refused.text)
        Code = self.registry["milestone.billing.change.code"]
        digits = []
        send = Code._send
        with patch.object(
            Code, "_send", lambda code, text, target: (digits.append(text), send(code, text, target))
        ):
            sent = self.url_open(f"/my/changes/{change.uuid}/otp", data=self.fill(page))
        self.assertIn("z***@client.example", sent.text)
        self.assertIn('value="Zoe Client"', sent.text)
        mail = self.env["mail.mail"].sudo().search([], order="id desc", limit=1)
        self.assertIn(digits[0], mail.subject)
        self.assertIn(change.reference, mail.body_html)
        wrong = f"{(int(digits[0]) + 1) % 10**6:06d}"
        self.url_open(f"/my/changes/{change.uuid}/approve", data=self.fill(page, otp=wrong))
        self.env.invalidate_all()
        self.assertEqual(change.state, "proposed")
        self.url_open(f"/my/changes/{change.uuid}/approve", data=self.fill(page, otp=digits[0]))
        self.env.invalidate_all()
        self.assertEqual(change.state, "approved")
        types = self.get_types(change)
        for event in ("review.presented", "auth.otp_sent", "auth.otp_failed", "auth.otp_verified"):
            self.assertIn(event, types)
        tried = [
            (entry.type, entry._get_part("data"))
            for entry in change.evidence_ids.sorted("seq")
            if entry.type.startswith("auth.")
        ]
        expected = [("sent", 1), ("failed", 1), ("verified", 2)]
        self.assertEqual(
            tried,
            [(f"auth.otp_{word}", {"channel": "email", "attempt": number}) for word, number in expected],
        )
        granted = change.evidence_ids.filtered(lambda entry: entry.type == "approval.granted")._get_body()
        self.assertEqual((granted["auth"]["level"], granted["auth"]["method"]), ("L2", ["link", "otp_email"]))
        self.assertTrue(change.verify_evidence()["ok"])

    def test_code_goes_to_the_phone_as_well(self):
        self.company.milestone_level2_above = 1000.0
        self.contact.phone = "+32 2 290 34 90"
        change = self.propose()
        page = self.enter(change)
        data = self.fill(page, channel="sms")
        self.assertIn("***90", self.url_open(f"/my/changes/{change.uuid}/otp", data=data).text)
        sms = self.env["sms.sms"].sudo().search([("number", "=", "+3222903490")])
        self.assertIn(change.reference, sms.body)

    def test_receipt_carries_the_way_to_contest(self):
        change = self.propose()
        page = self.enter(change)
        self.url_open(f"/my/changes/{change.uuid}/approve", data=self.fill(page))
        self.env.invalidate_all()
        before = self.env["mail.mail"].sudo().search([])
        with self.no_commits():
            self.env["milestone.billing.change.link"].sudo()._cron_send_links()
        mail = self.env["mail.mail"].sudo().search([]) - before
        self.assertIn("receipt", mail.subject)
        head = change.evidence_ids.sorted("seq")[-2].entry_hash
        self.assertIn(head, mail.body_html)
        url = "/mc/" + mail.body_html.split("/not-me")[0].split("/mc/")[-1]
        secret = mail.body_html.split("/not-me?k=")[1].split('"')[0]
        self.authenticate(None, None)
        ask = self.url_open(f"{url}/not-me?k={secret}")
        self.assertEqual(change.state, "approved", "looking changes nothing")
        data = {"csrf_token": self.get_token(ask), "k": secret}
        self.assertIn("on hold", self.url_open(f"{url}/not-me", data=data).text)
        self.env.invalidate_all()
        self.assertEqual(change.state, "contested")
        self.assertEqual(self.get_types(change)[-2:], ["receipt.sent", "approval.repudiated"])
        self.assertTrue(change.verify_evidence()["ok"])

    @mute_logger("odoo.http")
    def test_contesting_needs_the_secret(self):
        change = self.propose()
        url = self.get_link(change).split("?")[0]
        self.authenticate(None, None)
        page = self.url_open(f"{url}/not-me?k=wrong")
        data = {"csrf_token": self.get_token(page), "k": "wrong"}
        self.assertEqual(self.url_open(f"{url}/not-me", data=data).status_code, 404)
        self.env.invalidate_all()
        self.assertEqual(change.state, "proposed")

    def test_paper_shows_before_and_after_and_who_decided(self):
        change = self.propose(reason="The shop speaks French too")
        page = self.enter(change)
        self.url_open(f"/my/changes/{change.uuid}/approve", data=self.fill(page))
        self.env.invalidate_all()
        Report = self.env["ir.actions.report"]
        html = str(Report._render_qweb_html("milestone_billing.action_report_change", change.ids)[0])
        for text in (
            change.reference,
            "The shop speaks French too",
            "10,000.00",
            "11,200.00",
            "Approved by Zoe Client",
            change._get_chain_head(),
        ):
            self.assertIn(text, html)
        with patch.object(
            self.registry["ir.actions.report"], "_render_qweb_pdf", lambda *_a, **_k: (b"%PDF-1.7 x", "pdf")
        ):
            answer = self.url_open(f"/my/changes/{change.uuid}/change.pdf")
            self.assertEqual(answer.headers["Content-Type"], "application/pdf")
            self.assertIn(f"{change.reference}.pdf", answer.headers["Content-Disposition"])
            self.assertEqual(answer.headers["X-Frame-Options"], "DENY")
            self.authenticate(None, None)
            self.opener.cookies.clear()
            self.assertEqual(self.url_open(f"/my/changes/{change.uuid}/change.pdf").status_code, 404)

    def test_paper_of_a_draft_can_be_printed(self):
        change = self.env["milestone.billing.change"].create(
            {"order_id": self.order.id, "name": "Draft", "line_ids": [(0, 0, {"product_id": self.extra.id})]}
        )
        Report = self.env["ir.actions.report"]
        html = str(Report._render_qweb_html("milestone_billing.action_report_change", change.ids)[0])
        self.assertIn("not sent to the client yet", html)

    def test_order_page_and_list_show_it_to_the_own_company_only(self):
        change = self.propose()
        draft = self.env["milestone.billing.change"].create(
            {"order_id": self.order.id, "name": "Secret plan"}
        )
        user = new_test_user(self.env, "zoe_list", "base.group_portal")
        user.partner_id.parent_id = self.client_company
        self.authenticate("zoe_list", "zoe_list")
        order_page = self.url_open(self.order.get_portal_url()).text
        self.assertIn(f'href="/my/changes/{change.uuid}"', order_page)
        self.assertNotIn(draft.name, order_page)
        listed = self.url_open("/my/changes").text
        self.assertIn(change.reference, listed)
        self.assertIn("With your colleagues", listed, "it waits for Zoe")
        self.assertIn("The decision is with", self.url_open(f"/my/changes/{change.uuid}").text)
        counters = self.make_jsonrpc_request(
            "/my/counters", {"counters": ["milestone_change_waiting_count", "milestone_change_count"]}
        )
        self.assertEqual(counters, {"milestone_change_waiting_count": 1, "milestone_change_count": 1})
        self.authenticate(None, None)
        self.opener.cookies.clear()
        public = self.url_open(self.order.get_portal_url()).text
        self.assertIn(change.reference, public)
        self.assertNotIn(f"/my/changes/{change.uuid}", public, "the order's link opens no decision")
        new_test_user(self.env, "other_list", "base.group_portal")
        self.authenticate("other_list", "other_list")
        self.assertNotIn(change.reference, self.url_open("/my/changes").text)
