"""A schedule that starts part-billed elsewhere: the amounts count, and no document is made."""

import base64
from datetime import date

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, new_test_user, tagged
from odoo.tools import mute_logger

from .test_worked_figures_deposit import DepositCommon


class CutOverCommon(DepositCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Opening = cls.env["milestone.billing.opening"]

    def enter(self, line, amount, reference="RE-2025-118", **values):
        return self.Opening.create(
            {
                "line_id": line.id,
                "reference": reference,
                "date": date(2025, 11, 3),
                "amount_untaxed": amount,
                **values,
            }
        )

    def count_moves(self):
        return self.env["account.move"].search_count([])

    def assertTiesOut(self, order):
        result = order.milestone_schedule_id.tie_out()
        self.assertEqual(result["differences"], [])
        self.assertConserved(order)
        return result


@tagged("post_install", "-at_install")
class TestCutOver(CutOverCommon):
    def test_whole_stage_counts_as_billed_without_a_document(self):
        order = self.create_order(taxes=self.tax_20)
        schedule, (first, second, *_rest) = order.milestone_schedule_id, order.milestone_line_ids
        moves = self.count_moves()
        opening = self.enter(first, 2500.0)
        self.assertEqual(self.count_moves(), moves)
        self.assertRecordValues(opening, [{"amount_tax": 500.0, "amount_total": 3000.0, "is_booked": True}])
        self.assertRecordValues(
            first, [{"state": "approved", "invoice_status": "before", "amount_billed": 2500.0}]
        )
        self.assertFalse(first.blocked_reason)
        self.assertEqual((schedule.amount_before, schedule.amount_billed), (2500.0, 2500.0))
        self.assertEqual(schedule.get_statement(second)["previously_billed"], "2500.00")
        self.assertEqual(schedule.get_statement(second)["current_due"], "2500.00")
        self.assertEqual(schedule.get_statement(first)["current_due"], "2500.00")
        (row,) = schedule._get_schedule_of_values(second)
        self.assertEqual((row["previous"], row["this_period"]), ("2500.00", "2500.00"))
        result = self.assertTiesOut(order)
        self.assertEqual(
            result["opening"],
            {"amount_untaxed": "2500.00", "amount_retained": "0.00", "references": ["RE-2025-118"]},
        )

    def test_figures_of_the_order_know_it_and_nothing_bills_it_again(self):
        order = self.create_order(taxes=self.tax_20)
        order_line = order.order_line
        self.enter(order.milestone_line_ids[0], 2500.0)
        self.assertRecordValues(
            order_line,
            [
                {
                    "qty_invoiced": 0.25,
                    "qty_invoiced_posted": 0.25,
                    "untaxed_amount_invoiced": 2500.0,
                    "amount_invoiced": 3000.0,
                    "amount_to_invoice": 9000.0,
                    "qty_to_invoice": 0.0,
                }
            ],
        )
        self.assertEqual((order.amount_invoiced, order.amount_to_invoice), (3000.0, 9000.0))
        with self.assertRaisesRegex(UserError, "billed by its milestones"):
            order._create_invoices(final=True)
        order.milestone_line_ids.action_complete()
        self.assertEqual(len(order.milestone_line_ids.invoice_ids), 3)
        self.assertEqual(sum(order.milestone_line_ids.invoice_ids.mapped("amount_untaxed")), 7500.0)
        self.assertEqual((order_line.qty_invoiced, order.invoice_status), (1.0, "invoiced"))
        self.assertEqual(order.amount_to_invoice, 0.0)
        self.assertTiesOut(order)
        first = order.milestone_line_ids[0]
        first.action_complete()
        self.assertFalse(first.invoice_ids, "what was billed before is not billed by completing it")

    def test_part_of_a_stage_leaves_the_rest_to_bill(self):
        order = self.create_order(prices=(3333.33, 6666.67), taxes=self.tax_20)
        first = order.milestone_line_ids[0]
        self.enter(first, 1000.01)
        self.assertRecordValues(
            first, [{"state": "planned", "invoice_status": "none", "amount_untaxed": 2500.0}]
        )
        self.assertTiesOut(order)
        first.action_complete()
        self.assertEqual(first.invoice_ids.amount_untaxed, 1499.99)
        statement = order.milestone_schedule_id.get_statement(first)
        self.assertEqual((statement["previously_billed"], statement["current_due"]), ("1000.01", "1499.99"))
        order.milestone_line_ids[1:].action_complete()
        self.assertTiesOut(order)
        self.assertEqual(order.order_line.mapped("qty_invoiced"), [1.0, 1.0])
        total = sum(order.milestone_line_ids.invoice_ids.mapped("amount_total"))
        before = order.milestone_schedule_id.opening_ids.amount_total
        self.assertEqual(order.currency_id.compare_amounts(total + before, order.amount_total), 0)

    def test_two_invoices_of_one_stage_close_it(self):
        order = self.create_order(taxes=self.tax_20)
        first = order.milestone_line_ids[0]
        self.enter(first, 833.33, "A-1")
        second = self.enter(first, 1666.67, "A-2")
        self.assertEqual(first.invoice_status, "before")
        self.assertEqual(sum(first.opening_ids.mapped("amount_tax")), 500.0)
        second.unlink()
        self.assertRecordValues(
            first, [{"state": "planned", "invoice_status": "none", "amount_billed": 833.33}]
        )
        self.assertTiesOut(order)

    def test_more_than_is_open_is_refused_with_the_figure(self):
        first = self.create_order().milestone_line_ids[0]
        for amount in (2500.01, 0.0, -5.0):
            with self.assertRaisesRegex(UserError, "2,500.00 of “Stage 1” is open"):
                self.enter(first, amount)
        first.action_complete()
        with self.assertRaisesRegex(UserError, "billed, with the client or cancelled here"):
            self.enter(first, 100.0)

    def test_entered_on_a_quotation_it_counts_from_the_confirmation_on(self):
        order = self.create_order(taxes=self.tax_20, confirm=False)
        first = order.milestone_line_ids[0]
        first.trigger = "order_confirmed"
        self.enter(first, 2500.0)
        with self.assertRaisesRegex(UserError, "is open"), self.env.cr.savepoint():
            self.enter(first, 1.0)
        self.assertRecordValues(first, [{"state": "planned", "amount_billed": 0.0}])
        order.action_confirm()
        self.assertRecordValues(first, [{"state": "approved", "invoice_status": "before"}])
        self.assertFalse(first.invoice_ids, "the confirmation does not bill it again")
        self.assertTiesOut(order)

    def test_removing_gives_the_stage_back(self):
        order = self.create_order(taxes=self.tax_20)
        first = order.milestone_line_ids[0]
        opening = self.enter(first, 2500.0)
        opening.action_remove()
        self.assertRecordValues(first, [{"state": "planned", "invoice_status": "none", "amount_billed": 0.0}])
        self.assertEqual(order.order_line.qty_invoiced, 0.0)
        self.assertEqual(order.amount_to_invoice, 12000.0)
        self.assertNotIn("opening", self.assertTiesOut(order))
        first.action_complete()
        self.assertEqual(first.invoice_ids.amount_untaxed, 2500.0)

    def test_it_stays_while_a_later_document_counts_it(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_order()
        first, second = order.milestone_line_ids[:2]
        opening = self.enter(first, 2500.0)
        second.action_complete()
        with self.assertRaisesRegex(UserError, "counts it as billed before"):
            opening.unlink()
        second.invoice_ids.unlink()
        opening.unlink()
        self.assertEqual(first.state, "planned")

    def test_next_stage_is_open_when_the_one_before_was_billed_elsewhere(self):
        order = self.create_order()
        order.milestone_schedule_id.gate = "block"
        first, second = order.milestone_line_ids[:2]
        self.assertTrue(second._get_obstacle())
        self.enter(first, 2500.0)
        self.assertFalse(second._get_obstacle())
        ready = self.env["milestone.billing.line"].search(
            [("is_ready", "=", True), ("order_id", "=", order.id)]
        )
        self.assertEqual(ready, second)
        self.assertEqual(order.milestone_line_ids.filtered("is_ready"), second)

    def test_evidence_tells_both_steps(self):
        first = self.create_order().milestone_line_ids[0]
        opening = self.enter(first, 2500.0)
        entry = first.evidence_ids.filtered(lambda entry: entry.type == "invoice.billed_before")
        self.assertIn("RE-2025-118", entry.body)
        opening.unlink()
        self.assertEqual(
            first.evidence_ids.sorted("seq").mapped("type"),
            [
                "invoice.billed_before",
                "approval.not_required",
                "invoice.billed_before_removed",
                "milestone.reopened",
            ],
        )
        self.assertTrue(first.verify_evidence()["ok"])

    def test_final_invoice_lists_it_as_draft_and_posted(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_order(taxes=self.tax_20)
        self.enter(order.milestone_line_ids[0], 2500.0)
        order.milestone_line_ids[1:3].action_complete()
        order.milestone_line_ids[1:3].invoice_ids._post()
        final = order.milestone_line_ids[3]
        final.action_complete()
        move = final.invoice_ids
        expected = [("RE-2025-118", "2500.00", "500.00", "3000.00")] + [
            (earlier.name, "2500.00", "500.00", "0.00")
            for earlier in order.milestone_line_ids[1:3].invoice_ids.sorted("id")
        ]
        for _state in ("draft", "posted"):
            paper = move._get_milestone_paper()
            rows = [(row["number"], row["net"], row["tax"], row["paid"]) for row in paper["earlier"]]
            self.assertEqual(rows, expected)
            self.assertEqual(paper["paid"], 3000.0)
            self.assertEqual([row["place"] for row in paper["rows"]], ["before"] * 3 + ["this"])
            self.assertIn("RE-2025-118", str(move.milestone_earlier_html))
            if move.state == "draft":
                move._post()

    def test_mixed_taxes_in_every_currency_and_rounding(self):
        for method in ("round_per_line", "round_globally"):
            self.company.tax_calculation_rounding_method = method
            tax_7 = self.env["account.tax"].create({"name": f"VAT 7 {method}", "amount": 7.0})
            lines = [
                Command.create(
                    {
                        "product_id": self.service.id,
                        "price_unit": price,
                        "product_uom_qty": quantity,
                        "discount": discount,
                        "tax_ids": [Command.set(taxes.ids)],
                    }
                )
                for price, quantity, discount, taxes in (
                    (33.33, 3.0, 0.0, self.tax_20),
                    (0.07, 7.0, 33.33, tax_7),
                    (-10.01, 1.0, 0.0, tax_7),
                    (999.99, 0.33, 7.5, self.tax_20 + tax_7),
                )
            ]
            order = self.create_order(shares=(30, 30, 40), lines=lines)
            first, second, last = order.milestone_line_ids
            self.enter(first, first.amount_untaxed)
            self.enter(second, order.currency_id.round(second.amount_untaxed / 3))
            self.assertTiesOut(order)
            (second + last).action_complete()
            self.assertTiesOut(order)
            for field in ("amount_untaxed", "amount_tax"):
                billed = sum(order.milestone_line_ids.invoice_ids.mapped(field))
                before = sum(order.milestone_schedule_id.opening_ids.mapped(field))
                self.assertEqual(order.currency_id.compare_amounts(billed + before, order[field]), 0, field)
            self.assertEqual(order.invoice_status, "invoiced")


@tagged("post_install", "-at_install")
class TestCutOverRetainage(CutOverCommon):
    def test_retainage_held_outside_counts_and_is_released_here(self):
        order = self.create_order(taxes=self.tax_20)
        schedule = order.milestone_schedule_id
        schedule.retainage_percent = 10
        first, second = order.milestone_line_ids[:2]
        self.enter(first, 2500.0, amount_retained=300.0)
        self.assertEqual(schedule.amount_retained, 300.0)
        second.action_complete()
        self.assertEqual(schedule.amount_retained, 600.0)
        statement = schedule.get_statement(second)
        self.assertEqual((statement["retainage"], statement["previously_billed"]), ("500.00", "2250.00"))
        self.assertTiesOut(order)
        result = schedule.release_retainage()
        self.assertEqual(result["amount"], 600.0)
        release = self.env["account.move"].browse(result["invoice_id"])
        self.assertItems(release, (self.receivable, 600, 0), (self.retainage, 0, 600))
        sheet = release._get_retainage_sheet()
        self.assertEqual(
            [(row["number"], row["held"], row["now"]) for row in sheet["rows"]],
            [("RE-2025-118", "300.00", "300.00"), (second.invoice_ids.name, "300.00", "300.00")],
        )
        self.assertEqual(schedule.amount_retained, 0.0)
        self.assertEqual(self.assertTiesOut(order)["opening"]["amount_retained"], "300.00")

    def test_to_date_retainage_takes_it_into_account(self):
        order = self.create_order()
        schedule = order.milestone_schedule_id
        schedule.write({"retainage_percent": 10, "retainage_method": "to_date", "retainage_cap": 600.0})
        first, second, third, _last = order.milestone_line_ids
        self.enter(first, 2500.0, amount_retained=100.0)
        second.action_complete()
        self.assertEqual(second.invoice_ids.amount_retained, 400.0, "10 % of 5,000 less 100 held outside")
        third.action_complete()
        self.assertEqual(third.invoice_ids.amount_retained, 100.0, "the limit leaves 100")

    def test_more_retained_than_billed_is_refused(self):
        order = self.create_order(taxes=self.tax_20)
        order.milestone_schedule_id.retainage_percent = 10
        with self.assertRaisesRegex(UserError, "cannot be held back"):
            self.enter(order.milestone_line_ids[0], 2500.0, amount_retained=3000.01)

    def test_advance_from_before_is_recovered_on_the_final_invoice(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        schedule = order.milestone_schedule_id
        deposit, first, second, final = order.milestone_line_ids
        opening = self.enter(deposit, 2500.0)
        self.assertTrue(opening.is_advance)
        self.assertEqual(schedule.amount_advance, 2500.0)
        billed_here = self.create_deposit_order(taxes=self.tax_20)
        billed_here.milestone_line_ids[0].action_complete()
        for field in ("amount_invoiced", "amount_to_invoice", "invoice_status"):
            self.assertEqual(order[field], billed_here[field], field)
        (first + second + final).action_complete()
        self.assertItems(
            final.invoice_ids,
            (self.receivable, 3000, 0),
            (self.revenue, 0, 5000),
            (self.advances, 2500, 0),
            (self.tax_account, 0, 500),
        )
        self.assertIn("RE-2025-118", "".join(final.invoice_ids.invoice_line_ids.mapped("name")))
        self.assertEqual(schedule.amount_advance, 0.0)
        self.assertTiesOut(order)
        self.assertEqual(order.order_line.filtered("is_milestone_billed").qty_invoiced, 1.0)
        self.assertEqual((order.invoice_status, order.amount_to_invoice), ("invoiced", 0.0))
        with self.assertRaisesRegex(UserError, "counts it as billed before"):
            opening.unlink()

    def test_removed_advance_leaves_no_down_payment(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        self.enter(order.milestone_line_ids[0], 2500.0).unlink()
        self.assertFalse(order.order_line.filtered("milestone_deposit_id"))
        self.assertEqual(order.milestone_schedule_id.amount_advance, 0.0)
        self.assertTiesOut(order)


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
