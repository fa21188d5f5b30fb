"""Entering what was billed before: wizard, access, import sheet, and the papers that show it."""

import base64
from datetime import date

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, new_test_user, tagged
from odoo.tools import mute_logger

from .test_cut_over import CutOverCommon


@tagged("post_install", "-at_install")
class TestCutOverEntry(CutOverCommon):
    def test_wizard_enters_all_rows_or_none(self):
        order = self.create_order(taxes=self.tax_20)
        schedule = order.milestone_schedule_id
        action = schedule.action_open_cut_over()
        wizard = self.env[action["res_model"]].browse(action["res_id"])
        self.assertEqual(wizard.row_ids.mapped("amount_open"), [2500.0] * 4)
        with self.assertRaisesRegex(UserError, "Enter the amount"):
            wizard.action_apply()
        with Form(wizard) as form:
            for place, amount in ((0, 2500.0), (1, 2500.01)):
                with form.row_ids.edit(place) as row:
                    row.amount_untaxed = amount
                    row.reference = f"OLD-{place}"
                    row.date = "2025-12-01"
        with self.assertRaisesRegex(UserError, "Stage 2"), self.env.cr.savepoint():
            wizard.action_apply()
        self.assertFalse(schedule.opening_ids)
        wizard.row_ids[1].amount_untaxed = 500.0
        wizard.action_apply()
        self.assertEqual(schedule.opening_ids.mapped("reference"), ["OLD-0", "OLD-1"])
        self.assertEqual(schedule.amount_before, 3000.0)
        line = order.milestone_line_ids[1]
        action = line.action_open_cut_over()
        self.assertEqual(self.env[action["res_model"]].browse(action["res_id"]).row_ids.amount_open, 2000.0)
        with self.assertRaisesRegex(UserError, "Nothing is open"):
            order.milestone_line_ids[0].action_open_cut_over()

    def test_only_managers_enter_and_remove(self):
        order = self.create_order()
        line = order.milestone_line_ids[0].with_user(self.billing_user)
        with self.assertRaises(AccessError):
            line.action_open_cut_over()
        with self.assertRaises(AccessError):
            line.env["milestone.billing.opening"].create(
                {"line_id": line.id, "reference": "X", "date": "2025-01-01", "amount_untaxed": 1.0}
            )
        opening = self.enter(line, 2500.0)
        for step in (
            lambda: opening.with_user(self.billing_user).unlink(),
            lambda: opening.with_user(self.billing_user).action_remove(),
            lambda: opening.with_user(self.billing_user).write({"is_paid": False}),
        ):
            with self.assertRaises(AccessError), mute_logger("odoo.models"):
                step()
        self.assertEqual(opening.with_user(self.billing_user).reference, "RE-2025-118")

    def test_manager_of_another_company_reads_and_enters_nothing(self):
        other = self.setup_other_company()["company"]
        stranger = new_test_user(
            self.env, "other_manager", "milestone_billing.milestone_billing_group_billing_manager"
        )
        stranger.write({"company_ids": [Command.set(other.ids)], "company_id": other.id})
        line = self.create_order().milestone_line_ids[0]
        opening = self.enter(line, 100.0)
        with self.assertRaises(AccessError):
            opening.with_user(stranger).read(["reference"])
        with self.assertRaises(AccessError):
            self.Opening.with_user(stranger).create(
                {"line_id": line.id, "reference": "X", "date": "2025-01-01", "amount_untaxed": 1.0}
            )

    def test_what_counts_is_not_written_by_hand(self):
        line = self.create_order().milestone_line_ids[0]
        opening = self.enter(line, 2500.0)
        for values in ({"amount_untaxed": 1.0}, {"is_booked": False}, {"step": 99}, {"reference": "Y"}):
            with self.assertRaises(UserError):
                opening.write(values)
        with self.assertRaises(AccessError):
            self.enter(line, 1.0, is_booked=True)
        opening.is_paid = False
        self.assertFalse(opening.is_paid)

    def test_import_sheet_brings_it_with_its_rows(self):
        sheet = (
            "customer,email,order,product,amount,milestone,percent,trigger,billed_before,billed_number,billed_on,retained_before\n"
            "Beta,,OLD-7,Website,1000,Deposit,30,order_confirmed,300,RE-1,2025-10-01,\n"
            ",,OLD-7,,,Build,50,manual,200.50,RE-2,2025-12-01,\n"
            ",,OLD-7,,,Rest,rest,manual,,,,\n"
        )
        wizard = self.make_import(sheet, is_confirmed=True)
        wizard.action_check()
        self.assertIn("can be imported", wizard.result)
        self.assertFalse(self.Opening.search([("reference", "=", "RE-1")]))
        wizard.action_import()
        order = self.env["sale.order"].search([("origin", "=", "OLD-7")])
        self.assertRecordValues(
            order.milestone_line_ids,
            [
                {"invoice_status": "before", "amount_billed": 300.0},
                {"invoice_status": "none", "amount_billed": 200.5},
                {"invoice_status": "none", "amount_billed": 0.0},
            ],
        )
        self.assertFalse(order.invoice_ids)
        self.assertTiesOut(order)

    def test_import_names_rows_that_cannot_have_been_billed(self):
        head = "customer,order,product,amount,milestone,percent,billed_before,billed_number,billed_on\n"
        wizard = self.make_import(
            head + "Beta,OLD-8,Website,1000,All,rest,x,,soon\n,OLD-8,,,More,10,,RE-9,\n"
        )
        wizard.action_import()
        for text in (
            "Row 2: “billed_before” is not a valid number",
            "Row 2: “billed_number” is missing",
            "Row 2: “billed_on” is not a day",
            "Row 3: “billed_before” is missing",
        ):
            self.assertIn(text, wizard.result)
        rows = (
            "Beta,OLD-8,Website,1000,One,50,500,RE-1,2025-01-01\n,OLD-8,,,Two,rest,500.01,RE-2,2025-01-01\n"
        )
        wizard = self.make_import(head + rows)
        wizard.action_import()
        self.assertIn("Row 3:", wizard.result)
        self.assertIn("cannot have been billed before", wizard.result)
        self.assertFalse(self.env["sale.order"].search([("origin", "=", "OLD-8")]))
        with self.assertRaises(AccessError):
            wizard.with_user(self.billing_user).sudo(False)._run(is_dry=True)

    def make_import(self, content, **values):
        data = base64.b64encode(content.encode())
        return self.env["milestone.billing.import"].create({"file": data, "filename": "old.csv", **values})

    def test_dashboard_and_papers_show_it_apart(self):
        Dashboard, order = self.env["milestone.billing.dashboard"], self.create_order(taxes=self.tax_20)
        schedule = order.milestone_schedule_id
        schedule.retainage_percent = 10
        earlier = {figure["name"]: figure["value"] for figure in Dashboard.get_figures()["figures"]}
        self.enter(order.milestone_line_ids[0], 2500.0, amount_retained=300.0)
        figures = {figure["name"]: figure["value"] for figure in Dashboard.get_figures()["figures"]}
        gained = {
            name: value - (earlier.get(name) or 0.0) for name, value in figures.items() if name != "days"
        }
        self.assertEqual(
            {name: round(value, 2) for name, value in gained.items() if value},
            {"before": 2500.0, "retained": 300.0, "backlog": -2500.0},
        )
        rows = schedule._get_account_rows()
        self.assertEqual(rows[0]["opening"].reference, "RE-2025-118")
        self.assertEqual(
            {name: rows[0][name] for name in ("billed", "retained", "paid", "balance")},
            {"billed": "3000.00", "retained": "300.00", "paid": "2700.00", "balance": "0.00"},
        )
        html = self.env["ir.qweb"]._render(
            "milestone_billing.report_customer_contract",
            {
                "contract": self.env["report.milestone_billing.report_customer"]._prepare_contract(schedule),
                "money": {"widget": "monetary", "display_currency": order.currency_id},
            },
            raise_if_not_found=False,
        )
        self.assertIn("RE-2025-118", str(html))
        Application = self.env["report.milestone_billing.report_application"]
        application = Application._prepare_application(schedule, order.milestone_line_ids[0])
        self.assertEqual(application["before"].reference, "RE-2025-118")
        self.assertEqual(schedule._get_statement_units(date(2025, 11, 2))["completed_to_date"], 0)
        self.assertEqual(schedule._get_statement_units(date(2025, 11, 3))["completed_to_date"], 250000)
