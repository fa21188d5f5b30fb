from datetime import date
from unittest.mock import patch

from freezegun import freeze_time
from odoo.exceptions import AccessError
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
