from datetime import date, timedelta

import pytz
from freezegun import freeze_time
from odoo import fields
from odoo.tests import tagged

from .common_approval import ApprovalCommon
from .test_retainer import RetainerCommon

AUCKLAND, LOS_ANGELES = "Pacific/Auckland", "America/Los_Angeles"


@tagged("post_install", "-at_install")
class TestCompanyDays(ApprovalCommon):
    """A day begins at midnight where the company is, whoever works on it, also for jobs that have no time zone."""

    def set_zone(self, zone):
        self.company.partner_id.tz = zone

    def as_job(self, records):
        return records.with_user(self.env.ref("base.user_root")).with_context(tz=False)

    def test_zone_is_the_company_s_then_that_of_the_team(self):
        root = self.as_job(self.company)
        self.set_zone(AUCKLAND)
        self.env.user.tz = LOS_ANGELES
        self.assertEqual({item._get_milestone_tz() for item in (self.company, root)}, {AUCKLAND})
        self.set_zone(False)
        self.assertEqual(self.company._get_milestone_tz(), LOS_ANGELES)
        self.company.resource_calendar_id.tz = "Asia/Tokyo"
        root.env.user.tz = False
        self.assertEqual(root._get_milestone_tz(), "Asia/Tokyo")
        portal = self.env.ref("base.public_user").sudo()
        portal.tz = "Europe/Paris"
        self.assertEqual(self.company.with_user(portal)._get_milestone_tz(), "Asia/Tokyo")

    def test_days_turn_at_midnight_of_the_company(self):
        for zone, before, after in (
            (AUCKLAND, "2026-03-31 10:59:59", "2026-03-31 11:00:00"),
            (LOS_ANGELES, "2026-04-01 06:59:59", "2026-04-01 07:00:00"),
        ):
            self.set_zone(zone)
            with freeze_time(before):
                self.assertEqual(self.company._get_milestone_today(), date(2026, 3, 31))
                self.assertIn(
                    self.company.id, self.company._get_milestone_days()[date(2026, 3, 31)], "for searches"
                )
            with freeze_time(after):
                self.assertEqual(self.company._get_milestone_today(), date(2026, 4, 1))
                self.assertEqual(self.company._get_milestone_calendar()[0], date(2026, 4, 1))

    def test_date_completes_and_dates_the_invoice_by_the_company_s_day(self):
        for zone, before, after in (
            (AUCKLAND, "2026-03-31 10:30:00", "2026-03-31 11:30:00"),
            (LOS_ANGELES, "2026-04-01 06:30:00", "2026-04-01 07:30:00"),
        ):
            self.set_zone(zone)
            line = self.create_order().milestone_line_ids[0]
            line.write({"trigger": "date", "trigger_date": "2026-04-01"})
            for moment, is_due in ((before, False), (after, True)):
                with freeze_time(moment), self.no_commits():
                    line.invalidate_recordset(["is_ready"])
                    self.assertEqual(line.is_ready, is_due)
                    ready = self.as_job(line).search([("is_ready", "=", True), ("id", "=", line.id)])
                    self.assertEqual(bool(ready), is_due)
                    self.as_job(line)._cron_complete_due()
                self.assertEqual(bool(line.invoice_ids), is_due, (zone, moment))
            self.assertEqual(line.invoice_ids.invoice_date, date(2026, 4, 1))
            self.assertEqual(line.date_expected, date(2026, 4, 1))

    def test_two_companies_count_their_own_days(self):
        other = self.setup_other_company()["company"]
        other.write({"milestone_approval_required": False, "milestone_invoice_posting": "always"})
        self.env.user.company_ids += other
        self.set_zone(LOS_ANGELES)
        other.partner_id.tz = AUCKLAND
        orders = self.create_order(confirm=False) + self.create_order(confirm=False, company_id=other.id)
        lines = orders.milestone_line_ids.filtered(lambda line: line.number == 1)
        lines.write({"trigger": "date", "trigger_date": "2026-04-01"})
        orders.action_confirm()
        with freeze_time("2026-03-31 12:00:00"), self.no_commits():
            self.as_job(lines)._cron_complete_due()
        done = lines.filtered("invoice_ids")
        self.assertEqual(done.company_id, other)
        self.assertEqual(done.invoice_ids.invoice_date, date(2026, 4, 1))

    def test_client_may_answer_until_the_end_of_the_day_that_the_mail_names(self):
        self.company.milestone_link_days = 14
        self.company.milestone_deemed_acceptance = True
        self.set_zone(LOS_ANGELES)
        with freeze_time("2026-03-11 03:00:00"):
            # 8 pm on the 10th in Los Angeles.
            approval = self.create_submitted()
            approval.link_ids._send()
        local = pytz.utc.localize(approval.expires_on).astimezone(pytz.timezone(LOS_ANGELES))
        self.assertEqual(local.strftime("%Y-%m-%d %H:%M:%S"), "2026-03-24 23:59:59")
        mail = self.env["mail.mail"].sudo().search([("message_id", "=", approval.link_ids.message_id)])
        self.assertIn("03/24/2026", mail.body_html)
        anchors = approval.line_id._get_reminder_source()[2]
        self.assertEqual(anchors.deadline, date(2026, 3, 24))
        for moment, state in (
            ("2026-03-25 06:59:58", "requested"),
            ("2026-03-25 07:00:00", "deemed_accepted"),
        ):
            with freeze_time(moment), self.no_commits():
                self.as_job(approval)._cron_expire()
            self.assertEqual(approval.state, state)
        self.assertEqual(approval.line_id.invoice_ids.invoice_date, date(2026, 3, 25))
        self.assertTrue(approval.line_id.verify_evidence()["ok"])

    def test_reminder_days_are_those_of_the_company(self):
        approval = self.create_submitted()
        asked = approval.create_date
        for zone in (AUCKLAND, LOS_ANGELES):
            self.set_zone(zone)
            local = pytz.utc.localize(asked).astimezone(pytz.timezone(zone)).date()
            self.assertEqual(approval.line_id._get_reminder_source()[2].start, local)

    def test_time_zone_is_a_setting(self):
        settings = self.env["res.config.settings"].with_company(self.company).sudo().create({})
        settings.milestone_tz = AUCKLAND
        settings.execute()
        self.assertEqual(self.company.partner_id.tz, AUCKLAND)


@tagged("post_install", "-at_install")
class TestRetainerDays(RetainerCommon):
    def run_at(self, moment):
        Retainer = self.env["milestone.billing.retainer"].with_user(self.env.ref("base.user_root"))
        with freeze_time(moment), self.no_commits():
            Retainer.with_context(tz=False)._cron_run_retainers()

    def test_periods_begin_and_end_at_midnight_of_the_company(self):
        for zone, moment in (
            (AUCKLAND, "2026-01-31 11:00:00"),
            (LOS_ANGELES, "2026-02-01 08:00:00"),
        ):
            self.company.partner_id.tz = zone
            midnight, retainer = fields.Datetime.to_datetime(moment), self.create_retainer()
            self.run_at(midnight - timedelta(days=20))
            self.assertEqual(len(retainer.period_ids), 1)
            self.run_at(midnight - timedelta(minutes=30))
            self.assertEqual(len(retainer.period_ids), 1, zone)
            self.run_at(midnight + timedelta(minutes=30))
            january, february = retainer.period_ids.sorted("date_from")
            self.assertEqual((january.state, february.state), ("closed", "open"), zone)
            self.assertEqual(february.milestone_line_id.invoice_ids.invoice_date, date(2026, 2, 1))
