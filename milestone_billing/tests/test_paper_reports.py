import io
import re

from lxml import html
from odoo.exceptions import AccessError
from odoo.tests import new_test_user, tagged
from odoo.tools import formatLang
from pypdf import PdfReader

from .test_worked_figures_retainage import RetainageCommon

APPLICATION = "milestone_billing.action_report_application"
APPLICATION_SCHEDULE = "milestone_billing.action_report_application_schedule"
CUSTOMER = "milestone_billing.action_report_customer"
CUSTOMER_SCHEDULE = "milestone_billing.action_report_customer_schedule"


class PaperReportsCommon(RetainageCommon):
    """Papers as text, and their figures as the templates write them."""

    def render(self, report, record, **context):
        Report = self.env["ir.actions.report"].with_context(**context)
        content, _kind = Report._render_qweb_html(report, record.ids)
        return self.clean(html.fromstring(content).text_content())

    def clean(self, text):
        return " ".join(text.replace("\xa0", " ").replace("\u202f", " ").replace("\ufeff", "").split())

    def money(self, amount, currency):
        return self.clean(formatLang(self.env, float(amount), currency_obj=currency))

    def print_pdf(self, report, record):
        Report = self.env["ir.actions.report"].with_context(force_report_rendering=True)
        content, kind = Report._render_qweb_pdf(report, record.ids)
        self.assertEqual(kind, "pdf")
        return PdfReader(io.BytesIO(content))

    def has_browser(self):
        return self.env["ir.actions.report"].get_wkhtmltopdf_state() == "ok"


@tagged("post_install", "-at_install")
class TestApplicationPaper(PaperReportsCommon):
    """The application for payment: its figures are those of the statement, and its columns tie with its head."""

    def create_story(self):
        order = self.create_retained_order(self.tax_20, prices=(3333.33, 6666.67), retainage_base="net")
        order.milestone_line_ids[:2].action_complete()
        return order

    def assertTies(self, text, schedule, line=None):
        statement, rows = schedule.get_statement(line), schedule._get_schedule_of_values(line)
        currency = schedule.currency_id
        for number, (label, name) in enumerate(
            (
                ("Original contract sum", "contract_sum_original"),
                ("Net change by change orders", "change_orders"),
                ("Contract sum to date (1 + 2)", "contract_sum"),
                ("Total completed to date", "completed_to_date"),
                ("Retainage", "retainage"),
                ("Total earned less retainage (4 − 5)", "earned_less_retainage"),
                ("Less previous applications for payment", "previously_billed"),
                ("Current payment due (6 − 7)", "current_due"),
                ("Balance to finish, including retainage (3 − 6)", "balance_to_finish"),
            ),
            start=1,
        ):
            self.assertIn(f"{number}. {label} {self.money(statement[name], currency)}", text)
        for number, row in enumerate(rows, start=1):
            cells = [self.money(row[name], currency) for name in ("scheduled_value", "previous")]
            cells += [self.money(row[name], currency) for name in ("this_period", "completed_to_date")]
            cells += [f"{row['percent']}"]
            cells += [self.money(row[name], currency) for name in ("balance", "retainage")]
            self.assertIn(f"{number} {row['name']} {' '.join(cells)}", text)
        total = re.search(r"Total ([$\d., -]+?) The balance", text).group(1)
        self.assertTrue(total.startswith(self.money(statement["contract_sum"], currency)), total)
        self.assertIn(self.money(statement["completed_to_date"], currency), total)
        self.assertTrue(total.endswith(self.money(statement["retainage"], currency)), total)

    def test_columns_tie_with_the_nine_lines(self):
        order = self.create_story()
        schedule, second = order.milestone_schedule_id, order.milestone_line_ids[1]
        text = self.render(APPLICATION, second)
        self.assertIn("Application for Payment No. 2", text)
        self.assertIn(f"Invoice {second.invoice_ids.name}", text)
        self.assertTies(text, schedule, second)
        self.assertEqual(schedule.get_statement(second)["retainage"], "500.00")

    def test_each_milestone_has_an_application_that_stays(self):
        order = self.create_story()
        schedule, first = order.milestone_schedule_id, order.milestone_line_ids[0]
        before = self.render(APPLICATION, first)
        self.assertIn("Application for Payment No. 1", before)
        order.milestone_line_ids[2].action_complete()
        self.assertEqual(self.render(APPLICATION, first), before)
        self.assertTies(before, schedule, first)

    def test_the_schedule_prints_its_last_document(self):
        order = self.create_story()
        schedule = order.milestone_schedule_id
        text = self.render(APPLICATION_SCHEDULE, schedule)
        self.assertIn("Application for Payment No. 2", text)
        self.assertTies(text, schedule)

    def test_a_milestone_not_billed_yet_says_so(self):
        order = self.create_story()
        last = order.milestone_line_ids[3]
        text = self.render(APPLICATION, last)
        self.assertIn("Not billed yet", text)
        self.assertTies(text, order.milestone_schedule_id, last)

    def test_only_people_who_may_read_the_money_print_it(self):
        order = self.create_story()
        stranger = new_test_user(self.env, "stranger", "base.group_user")
        Report = self.env["ir.actions.report"]
        for user in (stranger, self.project_user):
            with self.assertRaises(AccessError):
                Report.with_user(user)._render_qweb_html(APPLICATION, order.milestone_line_ids[:1].ids)
            with self.assertRaises(AccessError):
                Report.with_user(user)._render_qweb_html(
                    APPLICATION_SCHEDULE, order.milestone_schedule_id.ids
                )
        content = Report.with_user(self.billing_user)._render_qweb_html(
            APPLICATION, order.milestone_line_ids[:1].ids
        )[0]
        self.assertIn(b"Application for Payment", content)

    def test_the_pdf_is_one_landscape_page(self):
        if not self.has_browser():
            self.skipTest("No program that prints PDF files is installed.")
        order = self.create_story()
        pages = self.print_pdf(APPLICATION, order.milestone_line_ids[1]).pages
        self.assertEqual(len(pages), 1)
        self.assertGreater(pages[0].mediabox.width, pages[0].mediabox.height)
        self.assertIn("Scheduled value", self.clean(pages[0].extract_text()))


@tagged("post_install", "-at_install")
class TestCustomerPaper(PaperReportsCommon):
    """The customer statement: each milestone once, and totals that tie with the contract and the ledger."""

    def create_story(self):
        order = self.create_retained_order()
        first, second = order.milestone_line_ids[:2]
        (first | second).action_complete()
        self.pay(first.invoice_ids)
        return order

    def assertRow(self, text, line, move, *amounts):
        figures = " ".join(self.money(amount, move.currency_id) for amount in amounts)
        self.assertRegex(text, rf"{line.name} {re.escape(move.name)} [\d/]+ {re.escape(figures)}")

    def assertTotal(self, text, currency, *amounts):
        self.assertIn("Total " + " ".join(self.money(amount, currency) for amount in amounts), text)

    def test_each_milestone_and_what_is_open(self):
        order = self.create_story()
        schedule, lines = order.milestone_schedule_id, order.milestone_line_ids
        text = self.render(CUSTOMER, self.client_company)
        self.assertRow(text, lines[0], lines[0].invoice_ids, 2500, 250, 2250, 0)
        self.assertRow(text, lines[1], lines[1].invoice_ids, 2500, 250, 0, 2250)
        self.assertRegex(text, r"Stage 3 ?not billed yet Stage 4 ?not billed yet")
        statement = schedule.get_statement()
        self.assertTotal(
            text, order.currency_id, statement["completed_to_date"], statement["retainage"], 2250, 2250
        )
        self.assertIn(
            f"Contract without tax: {self.money(statement['contract_sum'], order.currency_id)}", text
        )

    def test_a_release_is_billed_once(self):
        """Billed is the contract, whatever was retained and released on the way; the rest is the ledger's."""
        order = self.create_story()
        schedule = order.milestone_schedule_id
        order.milestone_line_ids[2:].action_complete()
        for line in order.milestone_line_ids[1:]:
            self.pay(line.invoice_ids)
        release = self.env["account.move"].browse(schedule.release_retainage(percent=40)["invoice_id"])
        text = self.render(CUSTOMER_SCHEDULE, schedule)
        self.assertRow(text, release.milestone_line_id, release, 0, -400, 0, 400)
        statement = schedule.get_statement()
        self.assertTotal(
            text, order.currency_id, statement["completed_to_date"], statement["retainage"], 9000, 400
        )
        self.assertEqual(statement["retainage"], "600.00")
        items = order.milestone_line_ids.invoice_ids.line_ids
        due = items.filtered(lambda item: item.account_id == self.receivable)
        self.assertEqual(sum(due.mapped("amount_residual")), 400.0)
        self.assertEqual(self.balance(self.retainage, order), 600.0)

    def test_credit_notes_count_against(self):
        order = self.create_story()
        invoice = order.milestone_line_ids[1].invoice_ids
        credit = invoice._reverse_moves(cancel=True)
        text = self.render(CUSTOMER_SCHEDULE, order.milestone_schedule_id)
        self.assertRow(text, order.milestone_line_ids[1], credit, -2500, -250, -2250, 0)
        self.assertTotal(text, order.currency_id, 2500, 250, 2250, 0)

    def test_contracts_add_up(self):
        first, second = self.create_story(), self.create_story()
        second.partner_id = self.contact
        text = self.render(CUSTOMER, self.client_company)
        for order in (first, second):
            self.assertIn(f"{order.name} Contract without tax", text)
        figures = " ".join(self.money(amount, first.currency_id) for amount in (10000, 1000, 4500, 4500))
        self.assertIn(f"{first.currency_id.name} {figures}", text)

    def test_the_statement_speaks_the_language_of_the_customer(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        self.client_company.lang = "fr_FR"
        view = self.env.ref("milestone_billing.report_customer_document")
        view.update_field_translations(
            "arch_db", {"fr_FR": {"Statement of Milestones": "Relevé des étapes de facturation"}}
        )
        self.create_story()
        self.assertIn("Relevé des étapes de facturation", self.render(CUSTOMER, self.client_company))

    def test_only_people_who_may_read_the_money_print_it(self):
        order = self.create_story()
        Report = self.env["ir.actions.report"]
        for report, record in (
            (CUSTOMER, self.client_company),
            (CUSTOMER_SCHEDULE, order.milestone_schedule_id),
        ):
            with self.assertRaises(AccessError):
                Report.with_user(self.project_user)._render_qweb_html(report, record.ids)
            content = Report.with_user(self.billing_user)._render_qweb_html(report, record.ids)[0]
            self.assertIn(b"Statement of Milestones", content)

    def test_a_pdf_is_printed(self):
        if not self.has_browser():
            self.skipTest("No program that prints PDF files is installed.")
        self.create_story()
        pages = self.print_pdf(CUSTOMER, self.client_company).pages
        self.assertEqual(len(pages), 1)
        self.assertIn("Statement of Milestones", self.clean(pages[0].extract_text()))


@tagged("post_install", "-at_install")
class TestReleasePaper(PaperReportsCommon):
    """The sheet of a release: by invoice, and in total what the schedule holds."""

    def create_story(self):
        order = self.create_retained_order()
        order.milestone_line_ids[:3].action_complete()
        return order

    def release(self, order, **values):
        answer = order.milestone_schedule_id.release_retainage(**values)
        return self.env["account.move"].browse(answer["invoice_id"])

    def assertSheet(self, move, *expected):
        sheet = move._get_retainage_sheet()
        names = ("held", "before", "now", "left")
        self.assertEqual([tuple(float(row[name]) for name in names) for row in sheet["rows"]], list(expected))
        totals = tuple(float(sheet["totals"][name]) for name in names)
        self.assertEqual(totals, tuple(sum(column) for column in zip(*expected, strict=True)))

    def test_releases_follow_the_invoices(self):
        order = self.create_story()
        schedule = order.milestone_schedule_id
        first = self.release(order, amount="300.00")
        self.assertSheet(first, (250, 0, 250, 0), (250, 0, 50, 200), (250, 0, 0, 250))
        second = self.release(order, amount="250.00")
        self.assertSheet(second, (250, 250, 0, 0), (250, 50, 200, 0), (250, 0, 50, 200))
        self.assertSheet(first, (250, 0, 250, 0), (250, 0, 50, 200), (250, 0, 0, 250))
        left = float(second._get_retainage_sheet()["totals"]["left"])
        self.assertEqual(left, schedule.amount_retained)
        self.assertEqual(left, float(schedule.get_statement()["retainage"]))

    def test_what_was_taken_back_is_held_no_longer(self):
        order = self.create_story()
        order.milestone_line_ids[1].invoice_ids._reverse_moves(cancel=True)
        release = self.release(order, percent=50)
        self.assertSheet(release, (250, 0, 250, 0), (250, 0, 0, 250))

    def test_a_reversed_release_is_held_again(self):
        order = self.create_story()
        first = self.release(order, amount="300.00")
        first._reverse_moves(cancel=True)
        release = self.release(order, amount="100.00")
        self.assertSheet(release, (250, 0, 100, 150), (250, 0, 0, 250), (250, 0, 0, 250))
        self.assertEqual(release._get_retainage_sheet()["totals"]["left"], "650.00")
        self.assertEqual(order.milestone_schedule_id.amount_retained, 650.0)

    def credit_part(self, release, amount):
        """Credit a part of a release, without tax."""
        refund = release._reverse_moves()
        item = refund.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        item.price_unit = amount
        refund._post()
        return refund

    def assertHeldInLedger(self, order, *expected):
        """What is open on the retainage account stands on the invoices, as the sheet says."""
        items = (
            order.milestone_line_ids[:3]
            .invoice_ids.filtered(lambda move: move.move_type == "out_invoice")
            .line_ids
        )
        held = items.filtered(lambda item: item.milestone_retainage and item.balance > 0)
        self.assertEqual(held.sorted("id").mapped("amount_residual"), list(expected))
        everything = order.milestone_line_ids.invoice_ids.line_ids.filtered(
            lambda item: item.milestone_retainage and item.parent_state == "posted"
        )
        self.assertEqual(sum(everything.mapped("amount_residual")), sum(expected))

    def test_a_release_credited_in_part_is_held_again_where_it_was_released_last(self):
        order = self.create_story()
        first = self.release(order, amount="600.00")
        self.assertHeldInLedger(order, 0.0, 0.0, 150.0)
        refund = self.credit_part(first, 250.0)
        self.assertHeldInLedger(order, 0.0, 150.0, 250.0)
        release = self.release(order, amount="200.00")
        self.assertSheet(release, (250, 250, 0, 0), (250, 100, 150, 0), (250, 0, 50, 200))
        self.assertHeldInLedger(order, 0.0, 0.0, 200.0)
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])
        self.assertEqual(refund.line_ids.filtered("milestone_retainage").amount_residual, 0.0)

    def test_a_withdrawn_credit_note_of_a_release_leaves_it_as_it_was(self):
        order = self.create_story()
        first = self.release(order, amount="600.00")
        self.credit_part(first, 250.0).button_draft()
        self.assertHeldInLedger(order, 0.0, 0.0, 150.0)
        self.assertSheet(
            self.release(order, amount="100.00"), (250, 250, 0, 0), (250, 250, 0, 0), (250, 100, 100, 50)
        )

    def test_releases_take_what_is_due_first(self):
        """An invoice with an earlier date is cleared first, in the ledger and on the sheet."""
        self.company.milestone_invoice_posting = "draft"
        order = self.create_retained_order()
        order.milestone_line_ids[:3].action_complete()
        for line, day in zip(
            order.milestone_line_ids, ("2026-03-31", "2026-03-15", "2026-04-30"), strict=False
        ):
            line.invoice_ids.invoice_date = day
            line.invoice_ids._post()
        release = self.release(order, amount="300.00")
        release._post()
        self.assertHeldInLedger(order, 200.0, 0.0, 250.0)
        self.assertSheet(release, (250, 0, 50, 200), (250, 0, 250, 0), (250, 0, 0, 250))

    def test_a_stage_of_which_more_was_released_is_credited_from_what_is_held(self):
        order = self.create_story()
        schedule = order.milestone_schedule_id
        self.credit_part(self.release(order), 100.0)
        third = order.milestone_line_ids[2].invoice_ids
        credit = third._reverse_moves(cancel=True)
        self.assertEqual((credit.amount_retained, schedule.amount_retained), (-100.0, 0.0))
        self.assertHeldInLedger(order, 0.0, 0.0, 0.0)
        first = order.milestone_line_ids[0].invoice_ids._reverse_moves(cancel=True)
        self.assertEqual((first.amount_retained, schedule.amount_retained), (0.0, 0.0))
        self.assertHeldInLedger(order, 0.0, 0.0, 0.0)
        self.assertEqual(schedule.tie_out()["differences"], [])

    def test_earlier_invoices_are_paid_by_payments_and_not_by_releases(self):
        order = self.create_story()
        for move in order.milestone_line_ids[:2].invoice_ids:
            self.pay(move)
        first = self.release(order, amount="300.00")
        order.milestone_line_ids[3].action_complete()
        final = order.milestone_line_ids[3].invoice_ids

        def rows():
            self.env.invalidate_all()
            return [
                (row["net"], row["total"], row["paid"]) for row in final._get_milestone_paper()["earlier"]
            ]

        stage, unpaid = ("2500.00", "2500.00", "2250.00"), ("2500.00", "2500.00", "0.00")
        self.assertEqual(rows(), [stage, stage, unpaid, ("0.00", "0.00", "0.00")])
        self.pay(first)
        self.assertEqual(rows(), [stage, stage, unpaid, ("0.00", "0.00", "300.00")])
        self.assertEqual(final._get_milestone_paper()["paid"], 4800.0)

    def test_a_stage_invoice_says_what_is_held_back_of_it(self):
        order = self.create_story()
        invoice, currency = order.milestone_line_ids[0].invoice_ids, order.currency_id
        held, due = self.money(250, currency), self.money(2250, currency)
        self.assertIn(
            f"You hold back {held} of this invoice until it is released; {due} is due.",
            self.render("account.account_invoices", invoice),
        )

    def test_the_invoice_of_a_release_shows_the_sheet(self):
        order = self.create_story()
        release = self.release(order, amount="300.00")
        text = self.render("account.account_invoices", release)
        self.assertIn("Retainage Release Invoice Date Milestone Held back Released before", text)
        figures = " ".join(self.money(amount, order.currency_id) for amount in (250, 0, 50, 200))
        self.assertRegex(
            text,
            rf"{re.escape(order.milestone_line_ids[1].invoice_ids.name)} [\d/]+ Stage 2 {re.escape(figures)}",
        )
        figures = " ".join(self.money(amount, order.currency_id) for amount in (750, 0, 300, 450))
        self.assertIn(f"Total {figures}", text)
        stage = self.render("account.account_invoices", order.milestone_line_ids[0].invoice_ids)
        self.assertNotIn("Retainage Release", stage)

    def test_what_was_held_is_no_payment_of_the_release(self):
        release = self.release(self.create_story(), amount="300.00")
        self.assertNotIn("Paid on", self.render("account.account_invoices", release))
        self.pay(release)
        text = self.render("account.account_invoices", release)
        paid = re.escape(self.money(300, release.currency_id))
        self.assertRegex(text, rf"Paid on [\d/]+ {paid} Amount Due")
        self.assertEqual(text.count("Paid on"), 1)

    def test_a_pdf_is_printed(self):
        if not self.has_browser():
            self.skipTest("No program that prints PDF files is installed.")
        release = self.release(self.create_story(), amount="300.00")
        text = " ".join(
            page.extract_text() for page in self.print_pdf("account.account_invoices", release).pages
        )
        self.assertIn("Retainage Release", self.clean(text))
