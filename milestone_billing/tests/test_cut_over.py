"""A schedule that starts part-billed elsewhere: the amounts count, and no document is made."""

from datetime import date

from odoo.exceptions import UserError
from odoo.tests import tagged

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
            tax_7 = self.create_tax(f"VAT 7 {method}", 7.0)
            lines = [
                self.prepare_line(33.33, self.tax_20, 3.0),
                self.prepare_line(0.07, tax_7, 7.0, discount=33.33),
                self.prepare_line(-10.01, tax_7),
                self.prepare_line(999.99, self.tax_20 + tax_7, 0.33, discount=7.5),
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

    def test_retainage_whose_tax_waits_is_released_where_it_was_billed(self):
        order = self.create_order(taxes=self.tax_20)
        schedule = order.milestone_schedule_id
        schedule.write({"retainage_base": "net", "retainage_percent": 10, "retainage_tax": "release"})
        with self.assertRaisesRegex(UserError, "where it was billed"), self.env.cr.savepoint():
            self.enter(order.milestone_line_ids[0], 2500.0, amount_retained=250.0)
        self.env.invalidate_all()
        schedule.retainage_tax = "now"
        self.enter(order.milestone_line_ids[0], 2500.0, amount_retained=250.0)
        with self.assertRaisesRegex(UserError, "is billed already"):
            schedule.retainage_tax = "release"

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
