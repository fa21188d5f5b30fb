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
