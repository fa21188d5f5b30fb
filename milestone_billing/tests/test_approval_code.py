import re
from datetime import timedelta

from odoo import fields
from odoo.tests import freeze_time, tagged

from .common_approval import ApprovalHttpCommon


@tagged("post_install", "-at_install")
class TestApprovalCode(ApprovalHttpCommon):
    """One-time codes by mail and text message, and what the evidence tells about each attempt."""

    def get_code(self):
        mails = self.env["mail.mail"].sudo().search([("subject", "like", "your code is")], order="id desc")
        return re.search(r"(\d{6})", mails[0].subject).group(1)

    def test_large_amount_needs_a_code(self):
        self.company.milestone_level2_above = 2000.0
        approval = self.create_submitted()
        self.assertEqual(approval.level_required, "L2")
        self.enter(approval)
        self.assertEqual(self.approve(approval).status_code, 422)
        form = self.read_form(approval)
        page = self.post(approval, "otp", {**form, "typed_name": "Zoe Z", "channel": "email"})
        self.assertEqual(page.status_code, 200)
        self.assertIn("z***@client.example", page.text)
        self.assertIn("Zoe Z", page.text, "what was typed is kept")
        first = re.search(r'<button[^>]*type="submit"[^>]*>', page.text)[0]
        self.assertIn("o_mb_once", first, "the Enter key approves and sends no other code")
        code = self.get_code()
        wrong = "000000" if code != "000000" else "111111"
        self.assertEqual(self.approve(approval, otp=wrong).status_code, 422)
        self.assertEqual(self.approve(approval, otp=f" {code[:3]} {code[3:]}").status_code, 303)
        self.assertEqual((approval.state, approval.level), ("approved", "L2"))
        events = self.get_events(approval.line_id)
        for event in ("auth.otp_sent", "auth.otp_failed", "auth.otp_verified"):
            self.assertIn(event, events)
        self.assertTrue(approval.line_id.verify_evidence()["ok"])

    def test_code_dies_after_five_wrong_guesses(self):
        self.company.milestone_level2_above = 2000.0
        approval = self.create_submitted()
        self.enter(approval)
        self.post(approval, "otp", self.read_form(approval))
        code = self.get_code()
        wrong = "000000" if code != "000000" else "111111"
        for _guess in range(5):
            self.approve(approval, otp=wrong)
        self.assertEqual(self.approve(approval, otp=code).status_code, 422)
        self.assertEqual(approval.state, "requested")

    def test_codes_are_limited_per_hour_and_die_in_time(self):
        self.company.milestone_level2_above = 2000.0
        approval = self.create_submitted()
        Code = self.env["milestone.billing.approval.code"].sudo()
        for _time in range(5):
            self.assertTrue(Code._issue(approval.seat_ids))
        self.assertFalse(Code._issue(approval.seat_ids))
        code = self.get_code()
        with freeze_time(fields.Datetime.now() + timedelta(minutes=11)):
            self.assertFalse(Code._redeem(approval.seat_ids, code))

    def test_code_by_text_message_goes_to_the_normalised_number(self):
        self.contact.write({"phone": "02 290 34 90", "country_id": self.env.ref("base.be").id})
        approval = self.create_submitted()
        self.assertTrue(self.env["milestone.billing.approval.code"].sudo()._issue(approval.seat_ids, "sms"))
        sms = self.env["sms.sms"].sudo().search([], order="id desc", limit=1)
        self.assertEqual(sms.number, "+3222903490")
        self.assertRegex(sms.body, r"\d{6}")

    def get_attempts(self, approval, event):
        """Give channel and number of each attempt that the evidence tells of."""
        entries = approval.line_id.evidence_ids.filtered(lambda entry: entry.type == event).sorted("seq")
        return [(entry._get_part("data")["channel"], entry._get_part("data")["attempt"]) for entry in entries]

    def test_evidence_counts_codes_and_guesses(self):
        self.company.milestone_level2_above = 2000.0
        self.contact.write({"phone": "02 290 34 90", "country_id": self.env.ref("base.be").id})
        approval = self.create_submitted()
        self.enter(approval)
        self.approve(approval, otp="123456")
        self.assertEqual(self.get_attempts(approval, "auth.otp_failed"), [("", 0)], "no code was sent yet")
        for channel in ("email", "sms", "telepathy"):
            self.post(approval, "otp", {**self.read_form(approval), "channel": channel})
        sent = [("email", 1), ("sms", 2), ("email", 3)]
        self.assertEqual(self.get_attempts(approval, "auth.otp_sent"), sent)
        code = self.get_code()
        wrong = "000000" if code != "000000" else "111111"
        for _guess in range(2):
            self.approve(approval, otp=wrong)
        self.assertEqual(self.approve(approval, otp=code).status_code, 303)
        guesses = [("", 0), ("email", 1), ("email", 2)]
        self.assertEqual(self.get_attempts(approval, "auth.otp_failed"), guesses)
        self.assertEqual(self.get_attempts(approval, "auth.otp_verified"), [("email", 3)])
        self.assertTrue(approval.line_id.verify_evidence()["ok"])

    def test_codes_of_a_flood_are_not_sent_and_not_recorded(self):
        self.company.milestone_level2_above = 2000.0
        approval = self.create_submitted()
        self.enter(approval)
        form = self.read_form(approval)
        statuses = [self.post(approval, "otp", form).status_code for _ask in range(7)]
        self.assertEqual(statuses, [200] * 5 + [429] * 2)
        self.assertEqual(
            self.get_attempts(approval, "auth.otp_sent"), [("email", number) for number in range(1, 6)]
        )
