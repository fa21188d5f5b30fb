"""A statement as of an earlier stage is what it was when that stage was billed, whatever is changed afterwards."""

from odoo import Command
from odoo.tests import tagged
from odoo.tools import html2plaintext

from .test_change import ChangeCommon
from .test_paper_reports import APPLICATION, APPLICATION_SCHEDULE, PaperReportsCommon

NINE_LINES = (
    "contract_sum_original",
    "change_orders",
    "contract_sum",
    "completed_to_date",
    "retainage",
    "earned_less_retainage",
    "previously_billed",
    "current_due",
    "balance_to_finish",
)
HEAD_COLUMNS = (
    ("contract_sum", "scheduled_value"),
    ("completed_to_date", "completed_to_date"),
    ("retainage", "retainage"),
)


@tagged("post_install", "-at_install")
class TestStatementHistory(PaperReportsCommon, ChangeCommon):
    def setUp(self):
        super().setUp()
        self.order = self.create_retained_order(prices=(6000.0, 4000.0), retainage_base="net")
        self.schedule = self.order.milestone_schedule_id
        self.schedule.approver_ids = [Command.create({"partner_id": self.contact.id})]
        self.first, self.second, self.third, self.last = self.order.milestone_line_ids
        self.first.action_complete()

    def see(self, line):
        """Give everything that is shown as of a stage; the invoice without what was paid of it since."""
        paper = line._get_live_invoice()._get_milestone_paper()
        return (
            self.schedule.get_statement(line),
            self.schedule._get_schedule_of_values(line),
            self.render(APPLICATION, line),
            [(row["line"].name, row["place"], row["amount"]) for row in paper["rows"]],
            paper["statement"],
        )

    def assertNineLines(self, line, *amounts):
        expected = dict(zip(NINE_LINES, (f"{amount:.2f}" for amount in amounts), strict=True))
        self.assertEqual(self.schedule.get_statement(line), expected)
        self.assertTies(line)

    def assertTies(self, line=None):
        """The rows of the order lines add up to the nine lines."""
        statement, rows = self.schedule.get_statement(line), self.schedule._get_schedule_of_values(line)
        for name, column in HEAD_COLUMNS:
            self.assertAlmostEqual(sum(float(row[column]) for row in rows), float(statement[name]), 2, name)
        for row in rows:
            done = float(row["previous"]) + float(row["this_period"])
            self.assertAlmostEqual(done, float(row["completed_to_date"]), 2)
            self.assertAlmostEqual(
                float(row["scheduled_value"]) - done, float(row["balance"]), 2, row["name"]
            )

    def add_change(self, *lines, **values):
        change = self.propose(*lines, **values)
        self.assertEqual(self.decide(change), "recorded")
        return change

    # === BY CHANGE ORDER ===

    def test_chain_of_applications_with_a_change_order_between(self):
        """As on paper: each application knows the changes up to it, and no later one."""
        self.add_change({"product_id": self.extra.id, "price_unit": 1200.0})
        self.second.action_complete()
        self.add_change({"order_line_id": self.order.order_line[0].id, "price_unit": 5600.0})
        self.third.action_complete()
        self.assertNineLines(self.first, 10000, 0, 10000, 2500, 250, 2250, 0, 2250, 7750)
        self.assertNineLines(self.second, 10000, 1200, 11200, 5000, 500, 4500, 2250, 2250, 6700)
        self.assertNineLines(self.third, 10000, 800, 10800, 7300, 730, 6570, 4500, 2070, 4230)
        self.assertEqual(self.schedule.get_statement()["contract_sum"], "10800.00")
        scheduled = [row["scheduled_value"] for row in self.schedule._get_schedule_of_values(self.second)]
        self.assertEqual(scheduled, ["6000.00", "4000.00", "1200.00"])

    def test_papers_of_an_earlier_stage_stay_to_the_letter(self):
        before, invoice = self.see(self.first), self.first.invoice_ids
        printed = self.render("account.account_invoices", invoice)
        self.add_change({"product_id": self.extra.id, "price_unit": 1200.0})
        self.add_change({"order_line_id": self.order.order_line[0].id, "price_unit": 5000.0})
        self.assertEqual(self.see(self.first), before)
        self.assertEqual(self.render("account.account_invoices", invoice), printed)
        self.add_change({"order_line_id": self.order.order_line[1].id, "price_unit": 3000.0})
        self.second.action_complete()
        self.last.action_cancel()
        self.schedule.release_retainage(percent=50)
        self.assertEqual(self.see(self.first), before)
        self.assertIn(self.money(10000, self.order.currency_id), before[2])
        self.assertEqual(before[3][1:], [(f"Stage {number}", "later", 2500.0) for number in (2, 3, 4)])

    def test_paper_of_the_last_document_is_that_of_its_stage_and_the_screen_that_of_today(self):
        self.add_change({"product_id": self.extra.id, "price_unit": 1200.0})
        paper = self.render(APPLICATION_SCHEDULE, self.schedule)
        self.assertIn(f"Contract sum to date (1 + 2) {self.money(10000, self.order.currency_id)}", paper)
        screen = self.clean(html2plaintext(self.schedule.with_user(self.billing_user).statement_html))
        self.assertIn(self.money(11200, self.order.currency_id), screen)

    # === BY HAND AND OVER RPC ===

    def test_lines_that_are_added_changed_and_emptied_by_hand(self):
        before = self.see(self.first)
        self.order.order_line = [self.prepare_line(500.0)]
        self.second.action_complete()
        middle = self.see(self.second)
        first, second, added = self.order.order_line
        first.write({"product_uom_qty": 2.0, "discount": 10.0})
        second.write({"price_unit": 4100.0})
        self.third.action_complete()
        added.product_uom_qty = added.product_uom_qty * 0.9
        self.assertEqual((self.see(self.first), self.see(self.second)), (before, middle))
        self.assertEqual(middle[0]["change_orders"], "500.00")
        self.assertEqual(self.schedule.get_statement(self.third)["contract_sum"], "15400.00")
        self.assertEqual(self.schedule.get_statement()["contract_sum"], "15350.00")
        for line in (self.first, self.second, self.third, self.last):
            self.assertTies(line)

    def test_cents_of_retainage_stay_when_lines_change_places(self):
        order = self.create_retained_order(prices=(33.33, 33.33, 33.34), retainage_base="net")
        schedule, line = order.milestone_schedule_id, order.milestone_line_ids[0]
        line.action_complete()

        def cents():
            rows = schedule._get_schedule_of_values(line)
            return {row["order_line_id"]: row["retainage"] for row in rows}

        before = cents()
        order.order_line[0].sequence = 99
        order.order_line = [self.prepare_line(7.77)]
        self.assertEqual(cents(), before)

    # === DOCUMENTS ===

    def test_credited_stage_has_the_statement_of_its_new_document(self):
        """What was billed stays with the document that billed it; the stage goes by the document that bills it now."""
        invoice = self.first.invoice_ids
        self.second.action_complete()
        as_of_second, as_billed = self.see(self.second)[:2], self.schedule._get_document_statement(invoice)
        credit = invoice._reverse_moves(cancel=True)
        self.order.order_line[0].price_unit = 7000.0
        self.first.action_complete()
        again = self.first._get_live_invoice()
        self.assertNotIn(again, invoice | credit)
        self.assertEqual(self.see(self.second)[:2], as_of_second)
        self.assertEqual(self.schedule._get_document_statement(invoice), as_billed)
        self.assertEqual(self.schedule._get_document_statement(credit)["contract_sum"], "10000.00")
        self.assertNineLines(self.first, 10000, 1000, 11000, 5000, 500, 4500, 2250, 2250, 6500)

    def test_draft_that_is_deleted_was_never_billed(self):
        self.company.milestone_invoice_posting = "draft"
        self.second.action_complete()
        self.third.action_complete()
        self.assertEqual(self.schedule.get_statement(self.third)["previously_billed"], "4500.00")
        self.second.invoice_ids.unlink()
        self.assertEqual(self.schedule.get_statement(self.third)["previously_billed"], "2250.00")
        self.assertTies(self.third)

    def test_stage_not_billed_yet_is_shown_with_the_contract_of_today(self):
        self.order.order_line[0].price_unit = 7000.0
        self.assertEqual(self.schedule.get_statement(self.second)["contract_sum"], "11000.00")
        self.assertEqual(self.schedule.get_statement(self.first)["contract_sum"], "10000.00")
        self.assertTies(self.second)

    def test_invoices_from_before_know_the_contract_of_their_time(self):
        order = self.create_order(prices=(6000.0, 4000.0))
        schedule, first = order.milestone_schedule_id, order.milestone_line_ids[0]
        self.env["milestone.billing.opening"].create(
            {"line_id": first.id, "reference": "OLD-1", "date": "2025-11-03", "amount_untaxed": 2500.0}
        )
        before = schedule.get_statement(first), schedule._get_schedule_of_values(first)
        order.order_line[1].price_unit = 5000.0
        self.assertEqual((schedule.get_statement(first), schedule._get_schedule_of_values(first)), before)
        self.assertEqual(before[0]["contract_sum"], "10000.00")

    # === THE ORDER GOES BACK, OR ENDS ===

    def test_order_that_is_agreed_anew_keeps_what_was_billed(self):
        order = self.create_order(prices=(6000.0, 4000.0))
        schedule, first = order.milestone_schedule_id, order.milestone_line_ids[0]
        first.action_complete()
        before = schedule.get_statement(first), schedule._get_schedule_of_values(first)
        order.action_cancel()
        order.action_draft()
        self.assertEqual(schedule.get_statement(first), before[0])
        order.order_line[1].price_unit = 6000.0
        order.action_confirm()
        self.assertEqual((schedule.get_statement(first), schedule._get_schedule_of_values(first)), before)
        self.assertEqual(schedule.get_statement()["contract_sum_original"], "12000.00")

    def test_quotation_without_documents_begins_anew(self):
        order = self.create_order(prices=(6000.0, 4000.0))
        schedule = order.milestone_schedule_id
        order.action_cancel()
        order.action_draft()
        self.assertFalse(schedule.position_history)
        order.order_line[1].price_unit = 6000.0
        order.action_confirm()
        self.assertEqual(len(schedule.position_history), 1)
        self.assertEqual(schedule.get_statement()["change_orders"], "0.00")

    def test_end_of_the_contract_leaves_earlier_statements(self):
        before = self.see(self.first)[:2]
        action = self.order.action_end_milestones()
        wizard = self.env[action["res_model"]].browse(action["res_id"])
        wizard.reason = "The client stops the project."
        wizard.retainage_choice = "release"
        wizard.action_end()
        self.assertEqual(self.see(self.first)[:2], before)
        self.assertEqual(self.schedule.get_statement()["contract_sum"], "2500.00")
        self.first.invoice_ids.filtered("milestone_claim")._reverse_moves(cancel=True)
        now = self.schedule.get_statement()
        self.assertEqual((now["contract_sum"], now["completed_to_date"]), ("0.00", "0.00"))
        self.assertEqual(self.schedule._get_standing(self.first.browse()).get_head()[1], 0)
