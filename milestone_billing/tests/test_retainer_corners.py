from datetime import date

from freezegun import freeze_time
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import tagged

from .test_retainer import RetainerCommon


@tagged("post_install", "-at_install")
class TestRetainerCorners(RetainerCommon):
    """Days and hours are billed once, and all of them, whatever the calendar and the hand say."""

    def test_month_end_comes_back_after_a_short_month(self):
        retainer = self.create_retainer(date_next=date(2026, 1, 31))
        self.run_on("2026-05-01")
        periods = retainer.period_ids.sorted("date_from")
        self.assertEqual(
            periods.mapped("date_from"),
            [date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30)],
        )
        self.assertEqual(
            periods.mapped("date_to"),
            [date(2026, 2, 27), date(2026, 3, 30), date(2026, 4, 29), date(2026, 5, 30)],
        )
        self.assertEqual(retainer.date_next, date(2026, 5, 31))

    def test_days_are_not_billed_twice(self):
        retainer = self.create_retainer()
        self.run_on("2026-01-01")
        for start in (date(2026, 1, 31), date(2025, 12, 15)):
            retainer.date_next = start
            with self.assertRaisesRegex(UserError, "billed up to"):
                retainer.action_bill_next()
        retainer.date_next = date(2026, 2, 1)
        retainer.action_bill_next()
        self.assertEqual(len(retainer.order_id.milestone_line_ids), 2)

    def test_hours_of_a_block_are_counted_whenever_the_next_one_began(self):
        retainer = self.create_retainer(period="block")
        retainer.action_bill_next()
        self.deliver(retainer, date(2026, 1, 10), 12.0)
        retainer.date_next = date(2026, 2, 1)
        retainer.action_bill_next()
        self.deliver(retainer, date(2026, 2, 10), 3.0)
        self.assertEqual(retainer.period_ids.sorted("id").mapped("hours_left"), [0.0, 5.0])

    def test_hours_beyond_are_billed_when_the_retainer_ends_early(self):
        retainer = self.create_retainer(overage="bill", overage_rate=120.0)
        self.run_on("2026-01-01")
        self.deliver(retainer, date(2026, 1, 10), 12.5)
        with freeze_time("2026-01-15"):
            retainer.action_close()
        self.assertEqual(retainer.period_ids.hours_beyond, 2.5)
        self.assertEqual(retainer.period_ids.overage_line_id.amount_untaxed, 300.0)
        self.assertFalse(retainer.period_ids.refund_line_id)

    def test_what_has_expired_is_not_refunded(self):
        retainer = self.create_retainer(rollover="none")
        self.run_on("2026-01-01")
        with freeze_time("2026-02-01"):
            retainer.action_close()
        self.assertRecordValues(
            retainer.period_ids, [{"state": "closed", "hours_expired": 10.0, "refund_line_id": False}]
        )

    def test_client_reads_its_own_language(self):
        self.env["res.lang"]._activate_lang("de_DE")
        self.env["ir.module.module"].search([("name", "=", "milestone_billing")])._update_translations(
            ["de_DE"]
        )
        self.client_company.lang = "de_DE"
        retainer = self.create_retainer(overage="bill", overage_rate=120.0)
        self.run_on("2026-01-01")
        self.deliver(retainer, date(2026, 1, 10), 12.5)
        self.run_on("2026-02-01")
        with freeze_time("2026-02-02"):
            retainer.action_close()
        names = retainer.period_ids.mapped("overage_line_id.name") + retainer.period_ids.mapped(
            "refund_line_id.name"
        )
        self.assertEqual(len(names), 2)
        for name in names:
            self.assertNotRegex(name, "beyond|unused hours refunded")

    def test_customer_and_company_stay_with_the_order(self):
        retainer = self.create_retainer().with_user(self.billing_user)
        other = self.env["res.partner"].create({"name": "Other"})
        with self.assertRaises(AccessError):
            retainer.partner_id = other
        with self.assertRaises(AccessError):
            retainer.enrolment_id.write({"company_id": self.env["res.company"].create({"name": "Second"}).id})
        retainer.write({"partner_id": self.client_company.id, "name": "Same customer"})

    def test_billing_user_sets_up_what_is_billed(self):
        user = self.billing_user
        retainer = self.env(user=user)["milestone.billing.retainer"].create(
            {
                "name": "Care",
                "partner_id": self.client_company.id,
                "company_id": self.company.id,
                "product_id": self.service.id,
                "amount_default": 1000.0,
                "date_next": date(2026, 1, 1),
                "approval_required": False,
            }
        )
        retainer.action_bill_next()
        self.assertEqual(retainer.period_ids.milestone_line_id.amount_untaxed, 1000.0)

    def test_refund_is_what_credit_notes_have_left(self):
        retainer = self.create_retainer()
        self.run_on("2026-01-01")
        invoice = retainer.period_ids.milestone_line_id.invoice_ids
        wizard = self.env["account.move.reversal"].with_context(
            active_model="account.move", active_ids=invoice.ids
        )
        wizard = wizard.create({"journal_id": invoice.journal_id.id, "date": "2026-01-02"})
        credit = self.env["account.move"].browse(wizard.refund_moves()["res_id"])
        credit.invoice_line_ids.price_unit = 400.0
        credit.action_post()
        self.deliver(retainer, date(2026, 1, 10), 5.0)
        with freeze_time("2026-01-11"):
            retainer.action_close()
        self.assertEqual(retainer.period_ids.refund_line_id.amount_untaxed, -300.0)
        self.assertTrue(retainer.order_id.milestone_schedule_id.tie_out()["ok"])

    def test_hours_are_not_lost_in_a_settled_period(self):
        retainer = self.create_retainer()
        self.run_on("2026-01-01")
        self.deliver(retainer, date(2026, 1, 10), 4.0)
        self.run_on("2026-02-01")
        with self.assertRaisesRegex(ValidationError, "is settled"):
            self.deliver(retainer, date(2026, 1, 31), 3.0)
        with self.assertRaisesRegex(ValidationError, "is settled"):
            retainer.usage_ids.hours = 9.0
        self.deliver(retainer, date(2026, 2, 1), 3.0)
        self.assertEqual(retainer.hours_left, 13.0)
