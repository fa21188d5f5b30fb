from datetime import date

from freezegun import freeze_time
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_retainer import RetainerCommon


@tagged("post_install", "-at_install")
class TestRetainerClose(RetainerCommon):
    """The end gives back every hour that was paid, not used and not expired, at the price that was paid for it."""

    def close_on(self, retainer, day):
        with freeze_time(day):
            retainer.action_close()
        schedule = retainer.order_id.milestone_schedule_id
        self.assertTrue(schedule.tie_out()["ok"], schedule.tie_out()["differences"])
        self.assertConserved(retainer.order_id)
        for period in retainer.period_ids:
            given = period.hours_included + period.hours_carried + period.hours_beyond
            following = retainer.period_ids.filtered(
                lambda item, period=period: item.date_from > period.date_from
            )
            carried = following.sorted("date_from")[:1].hours_carried
            taken = period.hours_used + period.hours_expired + period.hours_refunded + carried
            self.assertEqual(given, taken, "the statement adds up")
            self.assertEqual((period.hours_carried_on, period.hours_left, period.state), (0.0, 0.0, "closed"))
        return retainer.period_ids.refund_line_id

    def test_carried_hours_are_refunded_at_the_price_of_their_period(self):
        retainer = self.create_retainer(rollover="always")
        self.run_on("2026-01-01")
        self.deliver(retainer, date(2026, 1, 10), 4.0)
        retainer.amount_default = 1100.0
        self.run_on("2026-02-01")
        retainer.amount_default = 1200.0
        self.run_on("2026-03-01")
        self.deliver(retainer, date(2026, 3, 5), 7.0)
        refund = self.close_on(retainer, "2026-03-10")
        # 6 of January are used up by 7 hours, and one of February: 9 × 110.00 + 10 × 120.00.
        self.assertEqual(refund.amount_untaxed, -2190.0)
        self.assertEqual(
            (refund.invoice_ids.move_type, refund.invoice_ids.amount_untaxed), ("out_refund", 2190.0)
        )
        march = retainer.period_ids.sorted("date_from")[-1]
        self.assertEqual(march.hours_refunded, 19.0)
        text = refund.invoice_ids.invoice_line_ids.filtered("product_id").name
        for part in ("9 hours of 02/01/2026 to 02/28/2026", "990.00", "10 hours of 03/01/2026", "1,200.00"):
            self.assertIn(part, text)
        html = self.render_statement(retainer)
        for part in ("Refunded", "19", refund.invoice_ids.name):
            self.assertIn(part, html)

    def test_statement_says_that_the_credit_note_of_a_draft_follows(self):
        retainer = self.create_retainer()
        self.run_on("2026-01-01")
        self.company.milestone_invoice_posting = "draft"
        refund = self.close_on(retainer, "2026-01-10")
        self.assertEqual(refund.invoice_ids.state, "draft")
        self.assertIn("Credit note follows", self.render_statement(retainer))
        refund.invoice_ids._post()
        html = self.render_statement(retainer)
        self.assertNotIn("Credit note follows", html)
        self.assertIn(refund.invoice_ids.name, html)

    def render_statement(self, retainer):
        report = self.env["ir.actions.report"]
        return str(report._render_qweb_html("milestone_billing.action_report_retainer", retainer.ids)[0])

    def test_hours_that_last_one_more_period_are_refunded_within_it_only(self):
        retainer = self.create_retainer(rollover="once")
        for day in ("2026-01-01", "2026-02-01", "2026-03-01"):
            self.run_on(day)
        refund = self.close_on(retainer, "2026-03-10")
        self.assertEqual(refund.amount_untaxed, -2000.0, "January's hours have expired with February")
        self.assertEqual(sum(retainer.period_ids.mapped("hours_expired")), 10.0)

    def test_hours_that_wait_for_a_next_period_are_refunded(self):
        for rollover, amount in (("none", 0.0), ("once", -600.0), ("always", -600.0)):
            with self.subTest(rollover=rollover):
                retainer = self.create_retainer(rollover=rollover)
                self.run_on("2026-01-01")
                self.deliver(retainer, date(2026, 1, 10), 4.0)
                refund = self.close_on(retainer, "2026-02-01")
                self.assertEqual(sum(refund.mapped("amount_untaxed")), amount)
                self.assertEqual(retainer.period_ids.hours_refunded, 0.0 if rollover == "none" else 6.0)

    def test_period_billed_ahead_comes_back_whole(self):
        retainer = self.create_retainer(rollover="always", days_ahead=10)
        self.run_on("2026-01-01")
        self.run_on("2026-01-25")
        self.deliver(retainer, date(2026, 1, 26), 12.0)
        refund = self.close_on(retainer, "2026-01-27")
        self.assertEqual(refund.amount_untaxed, -1000.0)
        january = retainer.period_ids.sorted("date_from")[0]
        self.assertEqual((january.hours_beyond, january.hours_refunded), (2.0, 0.0))

    def test_carried_hours_that_are_not_invoiced_are_not_given_away(self):
        retainer = self.create_retainer(rollover="always")
        self.company.milestone_invoice_posting = "draft"
        self.run_on("2026-01-01")
        january = retainer.period_ids.milestone_line_id
        self.company.milestone_invoice_posting = "always"
        self.run_on("2026-02-01")
        with freeze_time("2026-02-02"), self.assertRaisesRegex(UserError, "not invoiced yet"):
            retainer.action_close()
        january.invoice_ids._post()
        self.assertEqual(self.close_on(retainer, "2026-02-02").amount_untaxed, -2000.0)

    def test_credited_hours_of_earlier_periods_are_not_paid_back_twice(self):
        retainer = self.create_retainer(rollover="always")
        self.run_on("2026-01-01")
        self.run_on("2026-02-01")
        january = retainer.period_ids.sorted("date_from")[0].milestone_line_id
        january.invoice_ids._reverse_moves([{"invoice_date": date(2026, 2, 1)}], cancel=True)
        self.assertEqual(self.close_on(retainer, "2026-02-02").amount_untaxed, -1000.0)

    def test_thirds_of_an_hour_are_rounded_once(self):
        retainer = self.create_retainer(rollover="always", hours_included=3.0, amount_default=100.0)
        self.run_on("2026-01-01")
        self.deliver(retainer, date(2026, 1, 10), 1.0)
        self.run_on("2026-02-01")
        refund = self.close_on(retainer, "2026-02-02")
        self.assertEqual(refund.amount_untaxed, -166.67)
        self.assertEqual(refund.invoice_ids.amount_total, 166.67)
