from datetime import date, datetime, timedelta
from unittest.mock import patch

import psycopg2
from freezegun import freeze_time
from odoo import Command, fields
from odoo.exceptions import AccessError
from odoo.tests import HttpCase, new_test_user, tagged
from odoo.tools import mute_logger

from .common import MilestoneBillingCommon

MONDAY = datetime.fromisoformat("2026-03-16 09:00")


class ReminderCommon(MilestoneBillingCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["milestone.billing.reminder.step"].search([]).active = False
        cls.company.resource_calendar_id = cls.env["resource.calendar"].create(
            {"name": "Mon-Fri", "tz": "UTC", "company_id": cls.company.id}
        )
        cls.contact.write({"phone": "+32 2 290 34 90", "lang": "en_US"})

    @classmethod
    def create_steps(cls, *steps):
        """Create the plan from ``(purpose, days, moment, channel)``."""
        names = ("purpose", "days", "moment", "channel")
        return cls.env["milestone.billing.reminder.step"].create(
            [{**dict(zip(names, step, strict=True)), "company_id": cls.company.id} for step in steps]
        )

    @classmethod
    def submit(cls, count=1):
        """Give milestones that wait for Zoe since Monday."""
        order = cls.create_order(confirm=False)
        order.milestone_line_ids.approval_required = True
        order.action_confirm()
        order.milestone_schedule_id.approver_ids = [Command.create({"partner_id": cls.contact.id})]
        lines = order.milestone_line_ids[:count]
        with freeze_time(MONDAY):
            lines.action_complete()
            approvals = lines.approval_ids
            cls.env.flush_all()
            cls.env.cr.execute(
                "UPDATE milestone_billing_approval SET create_date = %s WHERE id = ANY(%s)",
                [MONDAY, approvals.ids],
            )
            approvals.invalidate_recordset()
        return lines

    def run_on(self, days):
        with freeze_time(MONDAY + timedelta(days=days)), self.no_commits():
            self.env["milestone.billing.line"].sudo()._cron_send_reminders()

    def send_links(self):
        """Make the mails of queued reminder links; those of the request itself are not looked at."""
        Mail = self.env["mail.mail"].sudo()
        before = Mail.search([])
        links = (
            self.env["milestone.billing.approval.link"]
            .sudo()
            .search([("state", "=", "queued"), ("purpose", "=", "reminder")])
        )
        links._send()
        return Mail.search([]) - before

    def get_reminders(self, lines):
        return (
            self.env["milestone.billing.reminder"].sudo().search([("line_id", "in", lines.ids)], order="id")
        )


@tagged("post_install", "-at_install")
class TestReminder(ReminderCommon):
    """Clients are reminded by the company's steps, and what was done can be seen."""

    def test_approval_is_reminded_once_on_its_working_day(self):
        self.create_steps(("approval", 5, "after_start", "email"))
        line = self.submit()
        self.run_on(4)
        self.assertFalse(line.reminder_ids)
        self.run_on(7)
        self.run_on(7)
        self.assertRecordValues(
            line.reminder_ids,
            [
                {
                    "state": "sent",
                    "channel": "email",
                    "partner_id": self.contact.id,
                    "address": "zoe@client.example",
                }
            ],
        )
        mail = self.send_links()
        self.assertIn("still waits for your review", mail.subject)
        self.assertIn("zoe@client.example", mail.email_to)
        self.assertIn("/ma/", mail.body_html)
        self.assertIn("/milestones/reminders/", mail.body_html)
        self.assertEqual(mail.state, "outgoing")

    def test_reminder_stands_in_the_evidence_without_the_address(self):
        self.create_steps(("approval", 1, "after_start", "email"))
        line = self.submit()
        self.run_on(1)
        self.send_links()
        entry = line.evidence_ids.filtered(lambda item: item.type == "request.reminded")
        self.assertEqual(len(entry), 1)
        self.assertNotIn("zoe@", entry.body)
        self.assertTrue(line.verify_evidence()["ok"])

    def test_text_message_goes_to_the_normalised_number(self):
        self.create_steps(("approval", 1, "after_start", "sms"))
        self.contact.phone = "02 290 34 90"
        self.contact.country_id = self.env.ref("base.be")
        line = self.submit()
        self.run_on(1)
        sms = self.env["sms.sms"].sudo().search([("partner_id", "=", self.contact.id)])
        self.assertRecordValues(sms, [{"number": "+3222903490", "state": "outgoing"}])
        self.assertIn(line.name, sms.body)
        self.assertIn("/ma/", sms.body)
        self.assertEqual(line.reminder_ids.address, "+3222903490")
        entry = line.evidence_ids.filtered(lambda item: item.type == "request.reminded")
        self.assertEqual(entry._get_body()["data"], {"purpose": "approval", "channel": "sms"})
        self.assertFalse(line.message_ids.filtered(lambda message: "/ma/" in (message.body or "")))

    def test_bad_number_is_shown_and_goes_by_mail(self):
        self.create_steps(("approval", 1, "after_start", "sms"))
        self.contact.phone = "+32 12"
        line = self.submit()
        self.run_on(1)
        reminder = line.reminder_ids
        self.assertRecordValues(reminder, [{"state": "sent", "channel": "email"}])
        self.assertIn("+32 12", reminder.note)
        self.assertIn("+32 12", self.contact.milestone_phone_problem)
        self.assertTrue(line.message_ids.filtered(lambda message: "+32 12" in message.body))

    def test_person_who_cannot_be_reached_is_shown_on_the_milestone(self):
        self.create_steps(("approval", 1, "after_start", "email"))
        self.contact.write({"phone": False, "email": False})
        line = self.submit()
        self.run_on(1)
        self.assertEqual(line.reminder_ids.state, "failed")
        self.assertIn("neither", line.reminder_problem)

    def test_only_approvers_who_have_not_decided_are_reminded(self):
        self.create_steps(("approval", 1, "after_start", "email"))
        line = self.submit()
        seat = line.approval_ids.sudo().seat_ids
        self.assertEqual(line._get_reminder_partners("approval"), self.contact)
        Seat = self.registry["milestone.billing.approval.seat"]
        with patch.object(Seat, "_get_decision", lambda _seat: True):
            self.assertFalse(line._get_reminder_partners("approval"))
        self.assertEqual(seat.partner_id, self.contact)

    def test_decision_and_hold_stop_reminders(self):
        self.create_steps(("approval", 1, "after_start", "email"))
        lines = self.submit(3)
        lines[0].sudo()._transition("approve")
        lines[1].sudo()._transition("request_changes")
        lines[2].action_hold("dispute")
        self.run_on(1)
        self.assertFalse(lines.reminder_ids)

    def test_client_stops_reminders_but_the_team_still_sees_an_activity(self):
        self.create_steps(("approval", 1, "after_start", "email"), ("approval", 1, "after_start", "activity"))
        self.contact.milestone_reminder_preference = "none"
        line = self.submit()
        self.run_on(1)
        self.assertEqual(set(line.reminder_ids.mapped("state")), {"skipped", "sent"})
        self.assertEqual(line.activity_ids.user_id, line.user_id)
        self.assertFalse(self.send_links())
        self.assertFalse(line.evidence_ids.filtered(lambda item: item.type == "request.reminded"))

    def test_payment_is_reminded_around_its_due_date_and_not_once_paid(self):
        self.create_steps(
            ("payment", 1, "before_deadline", "email"), ("payment", 1, "after_deadline", "email")
        )
        line = self.create_order().milestone_line_ids[0]
        with freeze_time(MONDAY + timedelta(days=4)):
            line.action_complete()
        self.assertEqual(line.invoice_ids.invoice_date_due, date(2026, 3, 20))
        self.run_on(3)
        self.assertEqual(len(line.reminder_ids), 1)
        self.assertEqual(line.reminder_ids.purpose, "payment")
        mail = self.env["mail.mail"].sudo().search([("model", "=", "milestone.billing.reminder")])
        self.assertEqual(mail.recipient_ids, self.client_company)
        self.assertIn("2,500.00", mail.subject)
        self.assertIn(f"/my/invoices/{line.invoice_ids.id}", mail.body_html)
        self.pay(line.invoice_ids)
        self.run_on(7)
        self.assertEqual(len(line.reminder_ids), 1)

    def test_payment_reminder_does_not_ask_for_what_may_be_held_back(self):
        self.create_steps(("payment", 1, "after_deadline", "email"))
        order = self.create_order(confirm=False)
        order.milestone_schedule_id.retainage_percent = 10.0
        order.action_confirm()
        line = order.milestone_line_ids[0]
        with freeze_time(MONDAY):
            line.action_complete()
        self.run_on(1)
        mail = self.env["mail.mail"].sudo().search([("model", "=", "milestone.billing.reminder")])
        self.assertIn("2,250.00", mail.subject)
        self.assertNotIn("2,500.00", mail.body_html)
        self.assertEqual(line.reminder_ids._prepare_sms_row()["amount"], "$\xa02,250.00")

    def test_own_steps_of_a_company_replace_the_shared_ones(self):
        Step = self.env["milestone.billing.reminder.step"]
        shared = Step.create({"purpose": "approval", "days": 1, "moment": "after_start"})
        self.assertEqual([step.key for step in Step._get_plan_of(self.company, "approval")], [shared.id])
        own = self.create_steps(("approval", 2, "after_start", "email"))
        self.assertEqual([step.key for step in Step._get_plan_of(self.company, "approval")], [own.id])

    def test_next_reminder_is_shown(self):
        self.create_steps(("approval", 5, "after_start", "email"))
        line = self.submit()
        with freeze_time(MONDAY):
            self.assertEqual(line.next_reminder_on, date(2026, 3, 23))
        self.run_on(7)
        self.assertFalse(line.next_reminder_on)

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_reminded")
    def test_one_bad_milestone_does_not_stop_the_others(self):
        self.create_steps(("approval", 1, "after_start", "email"))
        lines = self.submit(3)
        Reminder = self.registry["milestone.billing.reminder"]
        send = Reminder._send

        def fail(reminders):
            if lines[1] in reminders.line_id:
                raise ValueError("broken template")
            return send(reminders)

        with patch.object(Reminder, "_send", fail):
            self.run_on(1)
            self.run_on(1)
        reminders = self.get_reminders(lines)
        self.assertEqual(sorted(reminders.mapped("state")), ["failed", "sent", "sent"])
        self.assertIn("broken template", lines[1].reminder_problem)

    def test_same_step_cannot_be_recorded_twice(self):
        self.create_steps(("approval", 1, "after_start", "email"))
        line = self.submit()
        self.run_on(1)
        values = {**line.reminder_ids.copy_data()[0], "state": "sent"}
        with self.assertRaises(psycopg2.errors.UniqueViolation), mute_logger("odoo.sql_db"):
            line.reminder_ids.sudo().create(values)

    def test_nobody_writes_reminders_by_hand(self):
        with self.assertRaises(AccessError):
            self.env["milestone.billing.reminder"].with_user(self.billing_user).create({})
        with self.assertRaises(AccessError):
            self.env["milestone.billing.reminder.step"].with_user(self.billing_user).create({})


@tagged("post_install", "-at_install")
class TestReminderDigest(ReminderCommon):
    """One mail for all that a client is reminded of on a day; each milestone keeps its record and evidence."""

    def test_milestones_to_review_share_a_mail(self):
        self.create_steps(("approval", 1, "after_start", "email"))
        lines = self.submit(3)
        self.run_on(1)
        self.assertEqual(len(lines.reminder_ids), 3)
        mail = self.send_links()
        self.assertEqual(len(mail), 1)
        self.assertIn("3 milestones still wait", mail.subject)
        self.assertIn("zoe@client.example", mail.email_to)
        links = lines.approval_ids.link_ids.filtered(lambda link: link.purpose == "reminder")
        for link, line in zip(links.sorted("id"), lines, strict=True):
            self.assertIn(f"/ma/{link.uuid}?k=", mail.body_html)
            self.assertIn(line.name, mail.body_html)
            secret = mail.body_html.split(f"/ma/{link.uuid}?k=")[1].split('"')[0]
            self.assertTrue(link._has_secret(secret))
            for other in links:
                self.assertNotIn(secret, other.sudo().mail_copy, "no copy holds a secret of any link")
        self.assertEqual(set(links.mapped("state")), {"sent"})
        for line in lines:
            entries = line.evidence_ids.filtered(lambda item: item.type == "request.reminded")
            self.assertEqual(len(entries), 1)
            self.assertTrue(line.verify_evidence()["ok"])
            self.assertTrue(line.message_ids.filtered(lambda message: "Reminder sent" in message.body))

    def test_open_payments_share_a_mail(self):
        self.create_steps(("payment", 1, "after_deadline", "email"))
        lines = self.create_order().milestone_line_ids[:2] + self.create_order().milestone_line_ids[0]
        with freeze_time(MONDAY):
            lines.action_complete()
        self.run_on(1)
        self.assertEqual(lines.reminder_ids.mapped("state"), ["sent"] * 3)
        mail = self.env["mail.mail"].sudo().search([("model", "=", "milestone.billing.reminder")])
        self.assertEqual(len(mail), 1)
        self.assertIn("3 payments are open", mail.subject)
        for line in lines:
            self.assertIn(f"/my/invoices/{line.invoice_ids.id}", mail.body_html)
            entry = line.evidence_ids.filtered(lambda item: item.type == "request.reminded")
            self.assertEqual(entry._get_body()["data"], {"purpose": "payment", "channel": "email"})
        leader = lines.reminder_ids.filtered("member_ids")
        self.assertEqual(leader.member_ids.leader_id, leader)
        self.run_on(1)
        self.assertEqual(len(lines.reminder_ids), 3)

    def test_customers_do_not_share_a_mail(self):
        self.create_steps(("payment", 1, "after_deadline", "email"))
        other = self.env["res.partner"].create({"name": "Other", "email": "other@else.example"})
        lines = self.create_order().milestone_line_ids[0]
        lines += self.create_order(partner_id=other.id).milestone_line_ids[0]
        with freeze_time(MONDAY):
            lines.action_complete()
        self.run_on(1)
        mails = self.env["mail.mail"].sudo().search([("model", "=", "milestone.billing.reminder")])
        self.assertEqual(mails.recipient_ids, self.client_company + other)
        self.assertEqual(len(mails), 2)

    def test_chunks_never_cut_through_a_customer(self):
        other = self.env["res.partner"].create({"name": "Other", "email": "other@else.example"})
        lines = (
            self.create_order().milestone_line_ids + self.create_order(partner_id=other.id).milestone_line_ids
        )
        chunks = lines._split_by_customer(3)
        self.assertEqual([len(chunk.partner_id) for chunk in chunks], [1, 1])
        self.assertEqual([len(chunk) for chunk in lines._split_by_customer(5)], [8])

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_reminder_digest")
    def test_digest_that_fails_goes_out_one_by_one(self):
        self.create_steps(("approval", 1, "after_start", "email"))
        lines = self.submit(2)
        self.run_on(1)

        def fail(_links, _urls):
            raise ValueError("broken template")

        Link = self.registry["milestone.billing.approval.link"]
        with patch.object(Link, "_create_digest_mail", fail):
            mails = self.send_links()
        self.assertEqual(len(mails), 2)
        self.assertTrue(all(line.verify_evidence()["ok"] for line in lines))

    def test_more_reminders_than_a_chunk_still_share_a_mail(self):
        self.create_steps(("approval", 1, "after_start", "email"))
        lines = self.submit(3)
        self.run_on(1)
        Link = self.env["milestone.billing.approval.link"].sudo()
        Link.search([("state", "=", "queued"), ("purpose", "=", "request")]).state = "sent"
        before = self.env["mail.mail"].sudo().search([])
        with self.no_commits():
            Link._cron_send_links(chunk=2)
        mail = self.env["mail.mail"].sudo().search([]) - before
        self.assertEqual(len(mail), 1)
        for line in lines:
            self.assertIn(line.name, mail.body_html)

    def test_text_messages_of_one_person_are_one(self):
        self.create_steps(("approval", 1, "after_start", "sms"))
        lines = self.submit(3)
        self.run_on(1)
        self.assertEqual(lines.reminder_ids.mapped("channel"), ["sms"] * 3)
        sms = self.env["sms.sms"].sudo().search([("partner_id", "=", self.contact.id)])
        self.assertEqual(len(sms), 1)
        links = lines.approval_ids.link_ids.filtered(lambda link: link.purpose == "reminder")
        for line, link in zip(lines, links.sorted("id"), strict=True):
            self.assertIn(line.name, sms.body)
            secret = sms.body.split(f"/ma/{link.uuid}?k=")[1].split()[0]
            self.assertTrue(link._has_secret(secret))
        for line in lines:
            entries = line.evidence_ids.filtered(lambda item: item.type == "request.reminded")
            self.assertEqual(len(entries), 1)
        self.assertEqual(len(lines.reminder_ids.leader_id), 1)

    def test_text_messages_about_payments_are_one(self):
        self.create_steps(("payment", 1, "after_deadline", "sms"))
        self.client_company.phone = "+32 2 290 34 91"
        lines = self.create_order().milestone_line_ids[:2]
        with freeze_time(MONDAY):
            lines.action_complete()
        self.run_on(1)
        sms = self.env["sms.sms"].sudo().search([("partner_id", "=", self.client_company.id)])
        self.assertEqual(len(sms), 1)
        self.assertIn("these payments are open", sms.body)
        for line in lines:
            self.assertIn(f"{line.name}, $\xa02,500.00: ", sms.body)
            self.assertIn(f"/my/invoices/{line.invoice_ids.id}", sms.body)


@tagged("post_install", "-at_install")
class TestReminderPage(ReminderCommon, HttpCase):
    """The client chooses how it is reminded, with a signed link or an account."""

    def get_url(self):
        return self.env["milestone.billing.reminder"]._get_stop_url(self.contact)

    def post(self, url, **data):
        self.authenticate(None, None)
        token = self.url_open(url).text.split('name="csrf_token" value="')[1].split('"')[0]
        return self.url_open(url, data={"csrf_token": token, **data})

    def test_client_stops_reminders_by_the_link(self):
        url = self.get_url()
        response = self.url_open(url)
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.headers["X-Frame-Options"], "DENY")
        self.assertFalse(self.contact.milestone_reminder_preference, "looking changes nothing")
        response = self.post(url, preference="none")
        self.assertIn("Your choice is kept", response.text)
        self.assertEqual(self.contact.milestone_reminder_preference, "none")
        self.post(url, preference="nonsense")
        self.assertEqual(self.contact.milestone_reminder_preference, "none")

    def test_forged_and_old_links_change_nothing(self):
        url = self.get_url()
        for forged in (url[:-8] + "AAAAAAAA", "/milestones/reminders/x", "/milestones/reminders/%C3%A9"):
            self.assertEqual(self.url_open(forged).status_code, 404, forged)
        with freeze_time(fields.Datetime.now() - timedelta(days=500)):
            old = self.get_url()
        self.assertEqual(self.url_open(old).status_code, 404)

    @mute_logger("odoo.http")
    def test_saving_needs_the_form(self):
        response = self.url_open(self.get_url(), data={"preference": "none"})
        self.assertEqual(response.status_code, 400)
        self.assertFalse(self.contact.milestone_reminder_preference)

    def test_account_leads_to_the_own_page(self):
        user = new_test_user(self.env, "zoe_portal", "base.group_portal")
        self.authenticate("zoe_portal", "zoe_portal")
        self.assertIn(user.name, self.url_open("/my/milestones/reminders").text)
