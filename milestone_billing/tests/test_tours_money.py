from datetime import date

from odoo import Command
from odoo.tests import HttpCase, tagged

from .test_worked_figures_deposit import DepositCommon

SCHEDULES = "/odoo/action-milestone_billing.milestone_billing_schedule_action"


@tagged("post_install", "-at_install")
class TestMoneyTours(DepositCommon, HttpCase):
    """The rarer steps of finance by clicks: the end of a contract, a release, a cut-over, a tie-out, a period end."""

    browser_size = "1366x900"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env.ref("base.user_admin").write(
            {"company_ids": [Command.link(cls.company.id)], "company_id": cls.company.id}
        )

    def test_finance_ends_a_contract(self):
        order = self.create_deposit_order(shares=(20, 20, 20, 20, 20), taxes=self.tax_20)
        order.milestone_schedule_id.retainage_percent = 10
        order.milestone_line_ids[:3].action_complete()
        self.start_tour(
            f"/odoo/sales/{order.id}", "milestone_billing_end_contract", login="billing_user", timeout=120
        )
        self.env.invalidate_all()
        schedule = order.milestone_schedule_id
        self.assertEqual((order.state, schedule.amount_advance), ("cancel", 0.0))
        self.assertEqual(
            order.milestone_line_ids[:5].mapped("invoice_status"),
            ["credited", "credited", "posted", "none", "none"],
        )
        self.assertEqual(schedule.amount_retained, 240.0)
        self.assertTrue(schedule.tie_out()["ok"])

    def test_finance_releases_a_part_of_the_retainage(self):
        order = self.create_retained_order(shares=(50, 50))
        order.milestone_line_ids[0].action_complete()
        schedule = order.milestone_schedule_id
        self.start_tour(
            f"{SCHEDULES}/{schedule.id}",
            "milestone_billing_release_retainage",
            login="billing_user",
            timeout=120,
        )
        self.env.invalidate_all()
        self.assertEqual(schedule.amount_retained, 200.0)

    def test_manager_enters_what_was_billed_before(self):
        order = self.create_order()
        schedule = order.milestone_schedule_id
        self.start_tour(
            f"{SCHEDULES}/{schedule.id}", "milestone_billing_cut_over", login="admin", timeout=120
        )
        self.env.invalidate_all()
        opening = schedule.opening_ids
        self.assertEqual((opening.amount_untaxed, opening.date), (2500.0, date(2025, 11, 3)))
        self.assertEqual(order.milestone_line_ids[0].invoice_status, "before")

    def test_finance_sees_which_entry_differs(self):
        order = self.create_order()
        line, schedule = order.milestone_line_ids[0], order.milestone_schedule_id
        line.action_complete()
        line.allocation_ids.filtered("move_id").sudo().amount_untaxed = 2499.99
        self.start_tour(
            f"{SCHEDULES}/{schedule.id}", "milestone_billing_tie_out", login="billing_user", timeout=120
        )
        self.env.invalidate_all()
        self.assertEqual(schedule.tie_out_state, "different")

    def test_manager_closes_a_period(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_order(shares=(60, 40))
        order.milestone_line_ids[0].action_complete()
        order.milestone_line_ids.invoice_ids.invoice_date = date(2024, 1, 20)
        order.milestone_line_ids.invoice_ids._post()
        self.start_tour(SCHEDULES, "milestone_billing_period_end", login="admin", timeout=120)
        self.env.invalidate_all()
        entries = order.milestone_schedule_id.period_entry_ids
        self.assertEqual(len(entries), 2)
        self.assertEqual(sum(entries[:1].line_ids.mapped("debit")), 1000.0)
