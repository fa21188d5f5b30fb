from datetime import timedelta

from odoo import Command, fields
from odoo.exceptions import AccessError
from odoo.tests import HttpCase, new_test_user, tagged

from .common import MilestoneBillingCommon


class DashboardCommon(MilestoneBillingCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Ledger = cls.env["milestone.billing.ledger"].with_company(cls.company)
        cls.Dashboard = cls.env["milestone.billing.dashboard"].with_company(cls.company)

    def get_total(self, fact):
        groups = self.Ledger._read_group(
            [("fact", "=", fact), ("company_id", "=", self.company.id)], [], ["amount:sum"]
        )
        return groups[0][0] or 0.0

    def get_figure(self, name):
        figures = self.Dashboard.get_figures()["figures"]
        return next(figure for figure in figures if figure["name"] == name)["value"]

    def get_balance(self, moves, account_type):
        lines = moves.line_ids.filtered(lambda line: line.account_id.account_type == account_type)
        return sum(lines.mapped("balance"))


@tagged("post_install", "-at_install")
class TestDashboard(DashboardCommon):
    """The dashboard adds up the ledger, and the ledger is the journal items."""

    def test_figures_equal_the_journal_items(self):
        tax_lines = self.tax_20.repartition_line_ids.filtered(lambda line: line.repartition_type == "tax")
        tax_lines.account_id = self.company_data["default_account_tax_sale"]
        order = self.create_order(taxes=self.tax_20)
        first, second = order.milestone_line_ids[:2]
        (first + second).action_complete()
        self.pay(first.invoice_ids)
        moves = order.milestone_line_ids.invoice_ids
        self.assertEqual(self.get_figure("contract"), order.amount_untaxed)
        self.assertEqual(self.get_figure("billed"), -self.get_balance(moves, "income"))
        self.assertEqual(self.get_figure("paid"), first.invoice_ids.amount_total)
        self.assertEqual(self.get_figure("open"), self.get_balance(second.invoice_ids, "asset_receivable"))
        self.assertEqual(self.get_figure("backlog"), 5000.0)
        self.assertEqual(self.get_total("planned"), 5000.0)

    def test_credit_note_takes_back_what_was_billed(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        line.invoice_ids._reverse_moves([{"invoice_date": fields.Date.today()}], cancel=True)
        self.assertEqual(self.get_figure("billed"), 0.0)
        self.assertEqual(self.get_figure("open"), 0.0)
        self.assertEqual(self.get_figure("paid"), 0.0, "a credit note is no money")
        self.assertEqual(self.get_total("planned"), 10000.0)

    def test_draft_is_backlog(self):
        self.company.milestone_invoice_posting = "draft"
        self.create_order().milestone_line_ids[0].action_complete()
        self.assertEqual(self.get_total("draft"), 2500.0)
        self.assertEqual(self.get_figure("billed"), 0.0)
        self.assertEqual(self.get_figure("backlog"), 10000.0)

    def test_retainage_is_the_balance_of_its_account(self):
        order = self.create_order(confirm=False)
        order.milestone_schedule_id.retainage_percent = 10.0
        order.action_confirm()
        order.milestone_line_ids[0].action_complete()
        invoice = order.milestone_line_ids[0].invoice_ids
        account = self.company.milestone_retainage_account_id
        held = sum(invoice.line_ids.filtered(lambda line: line.account_id == account).mapped("balance"))
        self.assertEqual(held, 250.0)
        self.assertEqual(self.get_figure("retained"), held)
        self.assertEqual(self.get_figure("open"), 2250.0)
        release = order.milestone_schedule_id.release_retainage()
        self.env["account.move"].browse(release["invoice_id"]).filtered(lambda m: m.state == "draft")._post()
        self.assertEqual(self.get_figure("retained"), 0.0)
        self.assertEqual(self.get_figure("open"), 2500.0)

    def test_foreign_currency_is_added_in_company_currency(self):
        currency = self.env["res.currency"].create({"name": "ZZZ", "symbol": "Z", "rounding": 0.01})
        self.env["res.currency.rate"].create(
            {"currency_id": currency.id, "rate": 2.0, "name": "2020-01-01", "company_id": self.company.id}
        )
        pricelist = self.env["product.pricelist"].create({"name": "Z", "currency_id": currency.id})
        order = self.create_order(pricelist_id=pricelist.id)
        order.milestone_line_ids[0].action_complete()
        self.assertEqual(order.currency_id, currency)
        self.assertEqual(self.get_figure("contract"), 5000.0)
        self.assertEqual(self.get_figure("billed"), 1250.0)

    def test_forecast_takes_open_money_on_its_due_date(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        months = self.Dashboard.get_figures()["months"]
        self.assertEqual(sum(row["billed"] for row in months), 2500.0)
        self.assertEqual(sum(row["expected"] for row in months), 2500.0)
        today = fields.Date.context_today(line)
        self.assertEqual([row["month"] for row in months if row["expected"]], [today.strftime("%Y-%m")])

    def test_days_from_done_to_cash(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        line._write_internal({"completed_on": fields.Datetime.now() - timedelta(days=9)})
        self.pay(line.invoice_ids)
        self.assertEqual(self.get_figure("days"), 9.0)

    def test_deposit_before_work_is_overbilled(self):
        order = self.create_order(confirm=False)
        project = (
            self.env["project.project"].sudo().create({"name": "Relaunch", "company_id": self.company.id})
        )
        order.milestone_line_ids.project_id = project
        order.milestone_line_ids[0].kind = "deposit"
        order.action_confirm()
        order.milestone_line_ids[0].action_complete()
        self.assertEqual(self.Dashboard.get_figures()["projects"][0]["over"], 2500.0)
        order.milestone_line_ids[1].action_complete()
        row = self.Dashboard.get_figures()["projects"][0]
        self.assertEqual((row["name"], row["over"]), ("Relaunch", 1666.67))

    def test_number_of_statements_does_not_grow(self):
        self.create_order().milestone_line_ids[0].action_complete()
        self.env.flush_all()
        self.Dashboard.get_figures()
        self.env.invalidate_all()
        before = self.env.cr.sql_log_count
        self.Dashboard.get_figures()
        single = self.env.cr.sql_log_count - before
        for _turn in range(5):
            order = self.create_order()
            order.milestone_line_ids[:2].action_complete()
            self.pay(order.milestone_line_ids[0].invoice_ids)
        self.env.flush_all()
        self.env.invalidate_all()
        before = self.env.cr.sql_log_count
        self.Dashboard.get_figures()
        self.assertLessEqual(self.env.cr.sql_log_count - before, single)

    def test_only_billing_users_and_auditors_see_it(self):
        with self.assertRaises(AccessError):
            self.Dashboard.with_user(self.project_user).get_figures()
        auditor = new_test_user(
            self.env,
            "auditor_d",
            "milestone_billing.milestone_billing_group_auditor",
            company_ids=[Command.link(self.company.id)],
            company_id=self.company.id,
        )
        for user in (auditor, self.billing_user):
            self.assertTrue(self.Dashboard.with_user(user).get_figures()["figures"])

    def test_other_companies_stay_out(self):
        self.create_order()
        company = self.env["res.company"].create({"name": "Other"})
        data = self.env["milestone.billing.dashboard"].with_company(company).get_figures()
        self.assertTrue(data["is_empty"])
        self.assertFalse([figure for figure in data["figures"] if figure["value"]])


@tagged("post_install", "-at_install")
class TestDashboardTour(DashboardCommon, HttpCase):
    def test_dashboard_shows_figures_that_lead_to_records(self):
        self.create_order().milestone_line_ids[0].action_complete()
        self.billing_user.password = "billing_user"
        self.start_tour("/odoo/milestone-dashboard", "milestone_billing_dashboard", login="billing_user")
