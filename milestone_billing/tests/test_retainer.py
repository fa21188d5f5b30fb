from datetime import date
from unittest.mock import patch

from freezegun import freeze_time
from odoo.exceptions import AccessError, UserError
from odoo.tests import HttpCase, new_test_user, tagged
from odoo.tools import mute_logger

from .common import MilestoneBillingCommon


class RetainerCommon(MilestoneBillingCommon):
    @classmethod
    def create_retainer(cls, **values):
        return cls.env["milestone.billing.retainer"].create(
            {
                "name": "Care",
                "partner_id": cls.client_company.id,
                "company_id": cls.company.id,
                "product_id": cls.service.id,
                "amount_default": 1000.0,
                "hours_included": 10.0,
                "date_next": date(2026, 1, 1),
                "approval_required": False,
                **values,
            }
        )

    def run_on(self, day):
        with freeze_time(day), self.no_commits():
            self.env["milestone.billing.retainer"].sudo()._cron_run_retainers()

    def deliver(self, retainer, day, hours):
        self.env["milestone.billing.retainer.usage"].create(
            {"retainer_id": retainer.id, "date": day, "hours": hours, "name": "Work"}
        )


@tagged("post_install", "-at_install")
class TestRetainer(RetainerCommon):
    """Hours are paid ahead, used, carried on or lost, billed beyond, and refunded."""

    def test_periods_are_billed_ahead_once(self):
        retainer = self.create_retainer(days_ahead=5)
        self.run_on("2025-12-26")
        self.assertFalse(retainer.period_ids)
        self.run_on("2025-12-27")
        self.run_on("2025-12-28")
        self.assertRecordValues(
            retainer.period_ids,
            [{"date_from": date(2026, 1, 1), "date_to": date(2026, 1, 31), "hours_left": 10.0}],
        )
        line = retainer.period_ids.milestone_line_id
        self.assertEqual((line.kind, line.amount_untaxed, len(line.invoice_ids)), ("retainer", 1000.0, 1))
        self.assertEqual(retainer.date_next, date(2026, 2, 1))
        self.assertConserved(retainer.order_id)

    def test_unused_hours_last_one_more_period(self):
        retainer = self.create_retainer()
        self.run_on("2026-01-01")
        self.deliver(retainer, date(2026, 1, 10), 4.0)
        self.run_on("2026-02-01")
        january, february = retainer.period_ids.sorted("date_from")
        self.assertRecordValues(january, [{"state": "closed", "hours_used": 4.0, "hours_expired": 0.0}])
        self.assertRecordValues(february, [{"hours_carried": 6.0, "hours_left": 16.0}])
        self.run_on("2026-03-01")
        self.assertEqual(february.hours_expired, 6.0)
        self.assertEqual(retainer.hours_left, 20.0)

    def test_period_billed_ahead_gets_the_rest_of_the_one_before(self):
        retainer = self.create_retainer(days_ahead=10, rollover="always")
        self.run_on("2026-01-01")
        self.run_on("2026-01-25")
        self.run_on("2026-02-02")
        february = retainer.period_ids.filtered(lambda item: item.date_from == date(2026, 2, 1))
        self.assertEqual(february.hours_carried, 10.0)
        self.assertEqual(len(retainer.period_ids), 2)

    def test_hours_beyond_are_billed(self):
        retainer = self.create_retainer(overage="bill", overage_rate=120.0)
        self.run_on("2026-01-01")
        self.deliver(retainer, date(2026, 1, 10), 12.25)
        self.run_on("2026-02-01")
        january = retainer.period_ids.sorted("date_from")[0]
        self.assertEqual(january.hours_beyond, 2.25)
        self.assertEqual(january.overage_line_id.amount_untaxed, 270.0)
        self.assertFalse(retainer.activity_ids)

    def test_hours_beyond_warn_the_team(self):
        retainer = self.create_retainer()
        self.run_on("2026-01-01")
        self.deliver(retainer, date(2026, 1, 10), 12.0)
        self.run_on("2026-02-01")
        self.assertEqual(retainer.activity_ids.user_id, retainer.user_id)
        self.assertEqual(len(retainer.order_id.milestone_line_ids), 2)

    def test_blocks_are_used_up_one_after_the_other(self):
        retainer = self.create_retainer(period="block")
        retainer.action_bill_next()
        retainer.action_bill_next()
        self.deliver(retainer, date(2026, 1, 10), 12.0)
        self.assertEqual(retainer.period_ids.sorted("id").mapped("hours_left"), [0.0, 8.0])
        self.run_on("2026-01-11")
        self.run_on("2026-01-12")
        self.assertEqual(len(retainer.activity_ids), 1)
        self.assertEqual(len(retainer.period_ids), 2, "a block is not bought by itself")

    def test_closing_refunds_the_unused_part(self):
        retainer = self.create_retainer()
        self.run_on("2026-01-01")
        self.deliver(retainer, date(2026, 1, 10), 4.0)
        with freeze_time("2026-01-11"):
            retainer.action_close()
        refund = retainer.period_ids.refund_line_id
        self.assertEqual(refund.amount_untaxed, -600.0)
        self.assertEqual(refund.invoice_ids.move_type, "out_refund")
        self.assertEqual(refund.invoice_ids.amount_untaxed, 600.0)
        self.assertConserved(retainer.order_id)
        self.run_on("2026-05-01")
        self.assertEqual(len(retainer.period_ids), 1)

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_retainer")
    def test_one_bad_retainer_says_so_and_the_others_go_on(self):
        bad, good = self.create_retainer(name="Bad"), self.create_retainer(name="Good")
        Retainer = self.registry["milestone.billing.retainer"]
        run = Retainer._run

        def fail(retainer):
            if retainer == bad:
                raise ValueError("no income account")
            return run(retainer)

        with patch.object(Retainer, "_run", fail):
            self.run_on("2026-01-01")
        self.assertEqual(bad.problem, "no income account")
        self.assertEqual(len(good.period_ids), 1)
        self.run_on("2026-01-01")
        self.assertFalse(bad.problem)

    def test_rights(self):
        retainer = self.create_retainer()
        with self.assertRaises(AccessError):
            retainer.with_user(self.project_user).action_bill_next()
        retainer.with_user(self.billing_user).action_bill_next()
        with self.assertRaises(AccessError):
            retainer.period_ids.with_user(self.billing_user).write({"hours_included": 99})


@tagged("post_install", "-at_install")
class TestRetainerRefund(RetainerCommon):
    """What was paid and not used comes back; what was not paid does not."""

    def test_carried_hours_are_used_up_before_paid_ones(self):
        retainer = self.create_retainer()
        self.run_on("2026-01-01")
        self.run_on("2026-02-01")
        february = retainer.period_ids.sorted("date_from")[1]
        self.assertEqual(february.hours_carried, 10.0)
        self.deliver(retainer, date(2026, 2, 10), 12.0)
        with freeze_time("2026-02-11"):
            retainer.action_close()
        self.assertEqual(february.refund_line_id.amount_untaxed, -800.0, "two of the ten paid hours are used")

    def test_used_up_period_refunds_nothing(self):
        retainer = self.create_retainer()
        self.run_on("2026-01-01")
        self.deliver(retainer, date(2026, 1, 10), 11.0)
        with freeze_time("2026-01-11"):
            retainer.action_close()
        self.assertFalse(retainer.period_ids.refund_line_id)
        self.assertEqual(retainer.state, "closed")

    def test_each_block_refunds_its_own_rest(self):
        retainer = self.create_retainer(period="block", amount_default=900.0, hours_included=9.0)
        retainer.action_bill_next()
        retainer.action_bill_next()
        self.deliver(retainer, date(2026, 1, 10), 12.0)
        retainer.action_close()
        refunds = retainer.period_ids.refund_line_id
        self.assertEqual(refunds.mapped("amount_untaxed"), [-600.0])
        self.assertConserved(retainer.order_id)

    def test_period_that_is_not_invoiced_refunds_nothing_yet(self):
        self.company.milestone_invoice_posting = "draft"
        retainer = self.create_retainer()
        self.run_on("2026-01-01")
        with freeze_time("2026-01-02"), self.assertRaisesRegex(UserError, "not invoiced yet"):
            retainer.action_close()
        self.assertEqual(retainer.state, "running")

    def test_credited_period_is_not_paid_back_twice(self):
        retainer = self.create_retainer()
        self.run_on("2026-01-01")
        retainer.period_ids.milestone_line_id.invoice_ids._reverse_moves(
            [{"invoice_date": date(2026, 1, 2)}], cancel=True
        )
        retainer.action_close()
        self.assertFalse(retainer.period_ids.refund_line_id)


@tagged("post_install", "-at_install")
class TestRetainerHours(RetainerCommon):
    """Delivered hours come from entries by hand, and from time sheets where they are installed."""

    def test_time_sheets_of_the_project_are_used_up(self):
        if "project_id" not in self.env["account.analytic.line"]._fields:
            self.skipTest("time sheets are not installed")
        project = (
            self.env["project.project"]
            .sudo()
            .create({"name": "Care", "company_id": self.company.id, "allow_timesheets": True})
        )
        task = self.env["project.task"].sudo().create({"name": "Fix", "project_id": project.id})
        employee = self.env["hr.employee"].sudo().create({"name": "Eva", "company_id": self.company.id})
        retainer = self.create_retainer(project_id=project.id)
        self.run_on("2026-01-01")
        Entry = self.env["account.analytic.line"].sudo()
        values = {
            "project_id": project.id,
            "task_id": task.id,
            "employee_id": employee.id,
            "name": "Shop fixed",
        }
        for day, hours in (
            ("2025-12-31", 4.0),
            ("2026-01-05", 2.5),
            ("2026-01-31", 1.25),
            ("2026-02-01", 8.0),
        ):
            Entry.create({**values, "date": day, "unit_amount": hours})
        self.deliver(retainer, date(2026, 1, 20), 1.0)
        period = retainer.period_ids
        period.invalidate_recordset()
        self.assertEqual((period.hours_used, period.hours_left), (4.75, 5.25))
        names = [row["name"] for row in period._get_delivered_rows()]
        self.assertIn("Shop fixed", names)
        self.assertIn("Work", names)
        day = self.env.ref("uom.product_uom_day")
        Entry.create({**values, "date": "2026-01-21", "unit_amount": 0.5, "product_uom_id": day.id})
        period.invalidate_recordset()
        self.assertEqual(period.hours_used, 8.75, "half a day is four hours")
        self.run_on("2026-02-01")
        self.assertRecordValues(period, [{"state": "closed", "hours_used": 8.75, "hours_expired": 0.0}])
        self.assertEqual(retainer.period_ids.sorted("date_from")[1].hours_carried, 1.25)
        Entry.create({**values, "date": "2026-01-22", "unit_amount": 3.0})
        period.invalidate_recordset()
        self.assertEqual(period.hours_used, 8.75, "a settled period stays as it was told to the client")

    def test_team_is_warned_while_the_period_still_runs(self):
        retainer = self.create_retainer()
        self.run_on("2026-01-01")
        self.deliver(retainer, date(2026, 1, 10), 10.0)
        self.run_on("2026-01-11")
        self.run_on("2026-01-12")
        self.assertEqual(len(retainer.activity_ids), 1)


@tagged("post_install", "-at_install")
class TestRetainerStatement(RetainerCommon):
    """The client gets a statement when a period is over, and whenever it is asked for."""

    def send(self):
        Mail = self.env["mail.mail"].sudo()
        before = Mail.search([])
        with self.no_commits():
            self.env["milestone.billing.retainer.period"].sudo()._cron_send_statements()
        return Mail.search([]) - before

    def test_end_of_a_period_sends_one_statement(self):
        retainer = self.create_retainer(name="Care")
        self.run_on("2026-01-01")
        self.assertFalse(self.send())
        self.deliver(retainer, date(2026, 1, 10), 4.0)
        self.run_on("2026-02-01")
        mail = self.send()
        self.assertEqual(len(mail), 1)
        self.assertIn("“Care”, 16 hours left", mail.subject)
        self.assertEqual(mail.recipient_ids, self.client_company)
        self.assertEqual(len(mail.attachment_ids), 1)
        self.assertIn("/my/retainers", mail.body_html)
        january = retainer.period_ids.sorted("date_from")[0]
        self.assertEqual(january.statement_state, "sent")
        self.assertFalse(self.send(), "once")

    def test_customer_without_address_is_shown(self):
        retainer = self.create_retainer()
        self.client_company.email = False
        self.run_on("2026-01-01")
        self.run_on("2026-02-01")
        self.assertFalse(self.send())
        self.assertIn("no_address", retainer.period_ids.mapped("statement_state"))
        with self.assertRaisesRegex(UserError, "no e-mail address"):
            retainer.action_send_statement()

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_retainer_statement")
    def test_failure_is_shown_and_the_others_go_out(self):
        bad, good = self.create_retainer(name="Bad"), self.create_retainer(name="Good")
        self.run_on("2026-01-01")
        self.run_on("2026-02-01")
        Retainer = self.registry["milestone.billing.retainer"]
        send = Retainer._send_statement

        def fail(retainer):
            if retainer == bad:
                raise ValueError("no printer")
            return send(retainer)

        with patch.object(Retainer, "_send_statement", fail):
            self.assertEqual(len(self.send()), 1)
        self.assertEqual(bad.problem, "no printer")
        self.assertIn("failed", bad.period_ids.mapped("statement_state"))
        self.assertIn("sent", good.period_ids.mapped("statement_state"))

    def test_paper_has_the_figures(self):
        retainer = self.create_retainer(overage="bill", overage_rate=120.0)
        self.run_on("2026-01-01")
        self.deliver(retainer, date(2026, 1, 10), 12.25)
        self.run_on("2026-02-01")
        html = self.env["ir.actions.report"]._render_qweb_html(
            "milestone_billing.action_report_retainer", retainer.ids
        )[0]
        for text in (
            "12.25",
            "2.25",
            "120.00",
            "Work",
            retainer.period_ids[-1:].milestone_line_id.invoice_ids.name,
        ):
            self.assertIn(text, str(html))
        with self.assertRaises(AccessError):
            self.env["report.milestone_billing.report_retainer"].with_user(
                self.project_user
            )._get_report_values(retainer.ids)

    def test_only_billing_users_send(self):
        retainer = self.create_retainer()
        with self.assertRaises(AccessError):
            retainer.with_user(self.project_user).action_send_statement()
        before = self.env["mail.mail"].sudo().search_count([])
        retainer.with_user(self.billing_user).action_send_statement()
        self.assertEqual(self.env["mail.mail"].sudo().search_count([]), before + 1)


@tagged("post_install", "-at_install")
class TestRetainerPage(RetainerCommon, HttpCase):
    def test_client_sees_the_own_balance_only(self):
        retainer = self.create_retainer(name="Care for Client Ltd")
        self.run_on("2026-01-01")
        self.assertEqual(retainer.hours_left, 10.0)
        user = new_test_user(self.env, "zoe_r", "base.group_portal")
        user.partner_id.parent_id = self.client_company
        self.authenticate("zoe_r", "zoe_r")
        self.assertIn("Care for Client Ltd", self.url_open("/my/retainers").text)
        new_test_user(self.env, "other_r", "base.group_portal")
        self.authenticate("other_r", "other_r")
        self.assertNotIn("Care for Client Ltd", self.url_open("/my/retainers").text)

    @mute_logger("odoo.http")
    def test_statement_and_tile_are_for_the_own_company(self):
        retainer = self.create_retainer(name="Care")
        self.run_on("2026-01-01")
        user = new_test_user(self.env, "zoe_s", "base.group_portal")
        user.partner_id.parent_id = self.client_company
        new_test_user(self.env, "other_s", "base.group_portal")
        url = f"/my/retainers/{retainer.id}/statement.pdf"
        for login, status, count in (("zoe_s", 200, 1), ("other_s", 404, 0)):
            self.authenticate(login, login)
            with patch.object(
                self.registry["ir.actions.report"],
                "_render_qweb_pdf",
                lambda *_a, **_k: (b"%PDF-1.7 x", "pdf"),
            ):
                self.assertEqual(self.url_open(url).status_code, status)
            counters = self.make_jsonrpc_request("/my/counters", {"counters": ["milestone_retainer_count"]})
            self.assertEqual(counters, {"milestone_retainer_count": count})
