"""Change orders that wait for an answer are reminded of by the company's steps."""

from datetime import timedelta

from freezegun import freeze_time
from odoo import Command, fields
from odoo.tests import new_test_user, tagged

from .test_change import ChangeHttpCommon

STEP = {"purpose": "approval", "moment": "after_start"}


class ChangeReminderCommon(ChangeHttpCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["milestone.billing.reminder.step"].search([]).active = False
        days = [
            Command.create({"name": str(day), "dayofweek": str(day), "hour_from": 8, "hour_to": 16})
            for day in range(7)
        ]
        cls.company.resource_calendar_id = cls.env["resource.calendar"].create(
            {
                "name": "Every day",
                "tz": "UTC",
                "company_id": cls.company.id,
                "attendance_ids": [Command.clear(), *days],
            }
        )
        cls.contact.write({"phone": "+32 2 290 34 90", "lang": "en_US"})

    def create_step(self, channel, days=2, **values):
        values = {**STEP, "channel": channel, "days": days, "company_id": self.company.id, **values}
        return self.env["milestone.billing.reminder.step"].create(values)

    def run_after(self, days):
        before = self.env["mail.mail"].sudo().search([])
        with freeze_time(fields.Datetime.now() + timedelta(days=days)), self.no_commits():
            self.env["milestone.billing.change"].sudo()._cron_send_reminders()
        return self.env["mail.mail"].sudo().search([]) - before

    def get_reminded(self, change):
        return change.evidence_ids.filtered(lambda entry: entry.type == "request.reminded")


@tagged("post_install", "-at_install")
class TestChangeReminder(ChangeReminderCommon):
    def test_approver_is_reminded_once_with_a_link_of_its_own(self):
        self.create_step("email")
        change = self.propose()
        first = self.get_link(change)
        self.assertFalse(self.run_after(1))
        mail = self.run_after(2)
        self.assertIn("still waits for your answer", mail.subject)
        self.assertIn("zoe@client.example", mail.email_to)
        self.assertIn("/milestones/reminders/", mail.body_html)
        self.assertFalse(self.run_after(2), "once")
        self.assertRecordValues(
            change.reminder_ids,
            [
                {
                    "state": "sent",
                    "channel": "email",
                    "partner_id": self.contact.id,
                    "company_id": self.company.id,
                }
            ],
        )
        second = "/mc/" + mail.body_html.split("/mc/")[1].split('"')[0]
        link = change.sudo().link_ids
        for url in (first, second):
            self.assertTrue(link._has_secret(url.split("?k=")[1]), "the mail before goes on working")
        self.assertFalse(link._has_secret("x"))
        self.assertTrue(change.message_ids.filtered(lambda message: "Reminder sent" in message.body))

    def test_evidence_and_its_copy_hold(self):
        self.create_step("email")
        self.create_step("email", days=4)
        change = self.propose()
        change.sudo().link_ids._send_one()
        self.run_after(2)
        self.run_after(4)
        self.assertEqual(len(self.get_reminded(change)), 2)
        self.assertTrue(change.verify_evidence()["ok"])
        self.assertFalse(change._find_document_problems(is_deep=True))
        files = change._prepare_bundle_mails("full")
        self.assertEqual(
            sorted(files), ["mail/reminder_1_1.eml", "mail/reminder_1_2.eml", "mail/request_1.eml"]
        )
        self.assertNotIn(b"zoe@", self.get_reminded(change)[0].body.encode())
        change.sudo().link_ids.reminder_copies = change.sudo().link_ids.reminder_copies[:1]
        self.assertTrue(change._find_document_problems(is_deep=True), "a copy that is gone is found")

    def test_answer_expiry_and_withdrawal_stop_reminders(self):
        self.create_step("email")
        approved, withdrawn, late = self.propose(), self.propose(), self.propose()
        self.decide(approved)
        withdrawn.action_withdraw()
        late._write_internal({"expires_on": fields.Datetime.now() + timedelta(days=1)})
        self.run_after(2)
        self.assertFalse((approved + withdrawn + late).reminder_ids)

    def test_who_has_decided_is_left_alone(self):
        other = self.env["res.partner"].create({"name": "Max", "email": "max@client.example"})
        self.schedule.write({"approver_ids": [Command.create({"partner_id": other.id})], "quorum": 2})
        self.create_step("email")
        change = self.propose()
        self.decide(change)
        self.run_after(2)
        self.assertEqual(change.reminder_ids.partner_id, other)

    def test_text_message_and_escalation(self):
        self.create_step("sms")
        self.create_step("activity", days=3)
        change = self.propose()
        change.order_id.user_id = self.billing_user
        self.run_after(2)
        sms = self.env["sms.sms"].sudo().search([("partner_id", "=", self.contact.id)])
        self.assertEqual(sms.number, "+3222903490")
        self.assertTrue(change.sudo().link_ids._has_secret(sms.body.split("?k=")[1].split()[0]))
        self.assertEqual(
            self.get_reminded(change)._get_body()["data"], {"purpose": "approval", "channel": "sms"}
        )
        self.run_after(3)
        self.assertIn(change.reference, change.activity_ids.summary)
        self.assertEqual(change.activity_ids.user_id, self.billing_user)
        self.assertTrue(change.verify_evidence()["ok"])

    def test_preference_and_bad_number_are_respected_and_shown(self):
        self.create_step("email")
        self.contact.milestone_reminder_preference = "none"
        change = self.propose()
        self.assertFalse(self.run_after(2))
        self.assertEqual(change.reminder_ids.state, "skipped")
        self.contact.write({"milestone_reminder_preference": False, "email": False, "phone": "+32 12"})
        other = self.propose()
        self.run_after(2)
        self.assertIn("+32 12", other.reminder_problem)
        self.assertEqual(other.next_reminder_on, False)

    def test_next_reminder_is_shown(self):
        self.create_step("email", days=5)
        change = self.propose()
        self.assertEqual(change.next_reminder_on, fields.Date.today() + timedelta(days=5))

    def test_reminder_opens_the_page(self):
        self.create_step("email")
        change = self.propose()
        mail = self.run_after(2)
        url = "/mc/" + mail.body_html.split("/mc/")[1].split('"')[0]
        self.authenticate(None, None)
        page = self.url_open(url)
        data = {"csrf_token": self.get_token(page), "k": url.split("?k=")[1]}
        self.assertIn(change.reference, self.url_open(url.split("?")[0] + "/open", data=data).text)

    def test_sellers_see_reminders_of_their_own_orders(self):
        self.create_step("email")
        change = self.propose()
        self.run_after(2)
        seller = new_test_user(
            self.env,
            "seller_r",
            "sales_team.group_sale_salesman",
            company_id=self.company.id,
            company_ids=[Command.set(self.company.ids)],
        )
        Reminder = self.env["milestone.billing.reminder"].with_user(seller)
        mine = [("id", "in", change.reminder_ids.ids)]
        change.order_id.user_id = self.billing_user
        self.assertFalse(Reminder.search(mine))
        change.order_id.user_id = seller
        self.assertTrue(Reminder.search(mine))
        change.order_id.user_id = False
        self.assertTrue(Reminder.search(mine))
        line = self.order.milestone_line_ids[0]
        values = {"line_id": line.id, "purpose": "payment", "source": "x", "state": "sent"}
        of_line = self.env["milestone.billing.reminder"].sudo().create(values)
        self.assertTrue(Reminder.search([("id", "=", of_line.id)]))
        change.order_id.user_id = self.billing_user
        self.assertFalse(Reminder.search([("id", "in", (of_line + change.reminder_ids).ids)]))
