import io
from datetime import date

import openpyxl
from freezegun import freeze_time
from odoo.exceptions import AccessError, UserError
from odoo.tests import HttpCase, tagged
from odoo.tools import mute_logger

from ..report.milestone_billing_workbook import KINDS
from .common import MilestoneBillingCommon


class WorkbookCommon(MilestoneBillingCommon):
    def read(self, kind, **options):  # pylint: disable=method-required-super
        """Write a workbook and read it back: header, rows, and the cells of the totals."""
        file = io.BytesIO()
        workbook = self.env["milestone.billing.workbook"].with_company(self.company)
        workbook._write(file, kind, **options)
        rows = list(openpyxl.load_workbook(file, data_only=True).active.iter_rows(values_only=True))
        header, body = rows[0], rows[1:]
        totals = [dict(zip(header, row, strict=True)) for row in body if row[0] == "Total"]
        return [dict(zip(header, row, strict=True)) for row in body if row[0] != "Total"], totals


@tagged("post_install", "-at_install")
class TestWorkbook(WorkbookCommon):
    """Figures in workbooks are those of the statement engine and of the ledger."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with freeze_time("2026-01-10"):
            cls.order = cls.create_order(taxes=cls.tax_20)
        cls.schedule = cls.order.milestone_schedule_id
        cls.first, cls.second = cls.order.milestone_line_ids[:2]
        with freeze_time("2026-01-15"):
            cls.first.action_complete()
        with freeze_time("2026-02-15"):
            cls.second.action_complete()

    def test_schedule_adds_up_to_the_order(self):
        rows, totals = self.read("schedule", schedules=self.schedule)
        self.assertEqual(
            [row["Reference"] for row in rows], self.order.milestone_line_ids.mapped("reference")
        )
        self.assertEqual(totals[0]["Total"], self.order.amount_total)
        self.assertEqual(totals[0]["Untaxed"], self.order.amount_untaxed)
        self.assertEqual(totals[0]["Tax"], self.order.amount_tax)
        self.assertEqual(totals[0]["Billed, untaxed"], 5000.0)
        self.assertEqual(rows[0]["Invoice"], self.first.invoice_ids.name)

    def test_register_equals_the_journal(self):
        rows, totals = self.read("register")
        moves = self.order.milestone_line_ids.invoice_ids
        self.assertEqual([row["Number"] for row in rows], moves.sorted("invoice_date").mapped("name"))
        self.assertEqual(totals[0]["Untaxed"], sum(moves.mapped("amount_untaxed_signed")))
        self.assertEqual(totals[0]["Open"], sum(moves.mapped("amount_residual_signed")))
        self.assertEqual(rows[0]["Date"].date(), date(2026, 1, 15))

    def test_credit_note_is_negative_in_the_register(self):
        self.first.invoice_ids._reverse_moves([{"invoice_date": date(2026, 2, 20)}], cancel=True)
        totals = self.read("register")[1]
        self.assertEqual(totals[0]["Untaxed"], 2500.0)

    def test_position_is_the_statement_and_follows_the_day(self):
        rows, totals = self.read("position", schedules=self.schedule)
        statement = self.schedule.get_statement()
        self.assertEqual(rows[0]["Completed to date"], float(statement["completed_to_date"]))
        self.assertEqual(rows[0]["Contract sum"], float(statement["contract_sum"]))
        self.assertEqual(totals[0]["Balance to finish"], float(statement["balance_to_finish"]))
        earlier = self.read("position", schedules=self.schedule, day=date(2026, 1, 31))[0]
        self.assertEqual(earlier[0]["Completed to date"], 2500.0)
        agreed = self.read("position", schedules=self.schedule, day=date(2026, 1, 12))[0]
        self.assertEqual((agreed[0]["Completed to date"], agreed[0]["Contract sum"]), (0.0, 10000.0))
        self.assertFalse(self.read("position", schedules=self.schedule, day=date(2026, 1, 1))[0])

    def test_position_on_a_day_leaves_later_change_orders_out(self):
        with freeze_time("2026-03-01"):
            self.order.order_line.price_unit = 11000.0
        with freeze_time("2026-04-01"):
            self.order.order_line.price_unit = 10500.0
        sums = ("Original contract sum", "Change orders", "Contract sum", "Balance to finish")
        expected = {
            date(2026, 2, 28): (10000.0, 0.0, 10000.0, 5000.0),
            date(2026, 3, 31): (10000.0, 1000.0, 11000.0, 6000.0),
            date(2026, 4, 1): (10000.0, 500.0, 10500.0, 5500.0),
        }
        for day, figures in expected.items():
            row = self.read("position", schedules=self.schedule, day=day)[0][0]
            self.assertEqual(tuple(row[name] for name in sums), figures, day)
        self.assertEqual(self.schedule.get_statement()["contract_sum"], "10500.00")
        self.assertEqual(len(self.schedule.position_history), 3)

    def test_totals_equal_the_journal_items_and_the_dashboard(self):
        """One set of figures: workbooks, dashboard, and posted journal items of the milestones."""
        self.pay(self.first.invoice_ids)
        self.second.invoice_ids._reverse_moves([{"invoice_date": date(2026, 2, 20)}], cancel=True)
        figures = self.env["milestone.billing.dashboard"].with_company(self.company).get_figures()["figures"]
        figures = {figure["name"]: figure["value"] for figure in figures}
        items = self.env["account.move.line"].search(
            [("move_id.milestone_line_id.order_id", "=", self.order.id), ("parent_state", "=", "posted")]
        )
        revenue = -sum(items.filtered(lambda item: item.display_type == "product").mapped("balance"))
        due = items.filtered(lambda item: item.display_type == "payment_term")
        register, position = self.read("register")[1][0], self.read("position")[1][0]
        planned = self.read("schedule")[1][0]
        self.assertEqual(revenue, 2500.0)
        self.assertEqual(
            [figures["billed"], register["Untaxed"], position["Completed to date"]], [revenue] * 3
        )
        self.assertEqual(planned["Billed, untaxed"], revenue)
        self.assertEqual([figures["open"], register["Open"]], [sum(due.mapped("amount_residual"))] * 2)
        received = sum(due.mapped("balance")) - sum(due.mapped("amount_residual"))
        self.assertEqual(figures["paid"], received)
        self.assertEqual([figures["contract"], planned["Untaxed"]], [self.order.amount_untaxed] * 2)
        self.assertEqual(figures["backlog"], position["Balance to finish"])
        forecast = self.read("forecast")[1][0]["Amount"]
        self.assertEqual(forecast, figures["open"] + figures["backlog"])

    def test_forecast_holds_what_is_open_and_planned(self):
        totals = self.read("forecast")[1]
        self.assertEqual(totals[0]["Amount"], 2 * 3000.0 + 5000.0)

    def test_evidence_register_has_every_entry(self):
        rows, _totals = self.read("evidence", schedules=self.schedule)
        self.assertEqual(len(rows), len(self.order.milestone_line_ids.evidence_ids))
        self.assertEqual(
            [row["Hash"] for row in rows if row["Milestone"] == self.first.reference],
            self.first.evidence_ids.mapped("entry_hash"),
        )

    def test_tie_out_names_the_difference(self):
        self.assertEqual(self.read("tie-out")[0][0]["Result"], "Equal to the ledger")
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE milestone_billing_allocation SET amount_untaxed = amount_untaxed - 1 WHERE line_id = %s",
            [self.first.id],
        )
        self.env.invalidate_all()
        rows = self.read("tie-out")[0]
        self.assertEqual({row["Result"] for row in rows}, {"Different"})

    def test_statements_do_not_grow_faster_than_chunks(self):
        file = io.BytesIO()
        workbook = self.env["milestone.billing.workbook"].with_company(self.company)
        workbook._write(file, "schedule")
        self.env.flush_all()
        self.env.invalidate_all()
        before = self.env.cr.sql_log_count
        workbook._write(io.BytesIO(), "schedule")
        single = self.env.cr.sql_log_count - before
        for _turn in range(3):
            self.create_order()
        self.env.flush_all()
        self.env.invalidate_all()
        before = self.env.cr.sql_log_count
        workbook._write(io.BytesIO(), "schedule")
        self.assertLessEqual(self.env.cr.sql_log_count - before, single)

    def test_project_users_and_unknown_kinds_are_refused(self):
        workbook = self.env["milestone.billing.workbook"]
        for kind in KINDS:
            with self.assertRaises(AccessError):
                workbook.with_user(self.project_user)._write(io.BytesIO(), kind)
        with self.assertRaises(UserError):
            workbook._write(io.BytesIO(), "secrets")


@tagged("post_install", "-at_install")
class TestWorkbookRoute(WorkbookCommon, HttpCase):
    def test_workbooks_are_downloaded_by_those_who_may(self):
        schedule = self.create_order().milestone_schedule_id
        for user in (self.billing_user, self.project_user):
            user.password = user.login
        self.authenticate("billing_user", "billing_user")
        for kind in KINDS:
            response = self.url_open(f"/milestone_billing/xlsx/{kind}?schedules={schedule.id}")
            self.assertEqual(response.status_code, 200, kind)
            self.assertTrue(openpyxl.load_workbook(io.BytesIO(response.content)).active.max_row)
        with mute_logger("odoo.http"):
            self.assertEqual(self.url_open("/milestone_billing/xlsx/other").status_code, 404)
            self.assertEqual(self.url_open("/milestone_billing/xlsx/position?date=x").status_code, 400)
            for ids in ("99999999999999999999", "0", "-1", "x"):
                path = f"/milestone_billing/xlsx/position?schedules={ids}"
                self.assertEqual(self.url_open(path).status_code, 400)
            self.authenticate("project_user", "project_user")
            self.assertEqual(self.url_open("/milestone_billing/xlsx/register").status_code, 403)
            self.authenticate(None, None)
            response = self.url_open("/milestone_billing/xlsx/register", allow_redirects=False)
            self.assertIn("/web/login", response.headers["Location"])
