from lxml import html
from odoo.tests import tagged

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestPapers(MilestoneBillingCommon):
    """What the client reads on the quotation and on each stage invoice."""

    def render(self, report, record):
        content, _kind = self.env["ir.actions.report"]._render_qweb_html(report, record.ids)
        return " ".join(html.fromstring(content).text_content().split())

    def create_story(self, **values):
        order = self.create_order(confirm=False, **values)
        for line, name in zip(
            order.milestone_line_ids,
            ("Deposit at start", "Designs approved", "Build complete", "Launch"),
            strict=True,
        ):
            line.name = name
        return order

    def test_quotation_prints_the_schedule_under_the_lines(self):
        order = self.create_story(taxes=self.tax_20)
        order.milestone_line_ids[0].trigger = "order_confirmed"
        text = self.render("sale.action_report_saleorder", order)
        self.assertIn("Milestone When it is billed Share Amount With tax", text)
        self.assertRegex(
            text, r"1. Deposit at start When you confirm the order 25 % \$ ?2,500.00 \$ ?3,000.00"
        )
        self.assertRegex(text, r"4. Launch When it is done 25 %")
        self.assertRegex(text, r"Total \$ ?10,000.00 \$ ?12,000.00")

    def test_quotation_says_what_is_held_back(self):
        order = self.create_story()
        order.milestone_schedule_id.write({"retainage_percent": 7.5, "deposit_mode": "advance"})
        text = self.render("sale.action_report_saleorder", order)
        self.assertIn("You hold back 7.5 % of each milestone until it is released.", text)
        self.assertIn("Deposits are deducted from the final invoice.", text)

    def test_plain_quotation_has_no_schedule(self):
        order = self.create_order(shares=(100,), confirm=False)
        order.milestone_line_ids.unlink()
        self.assertNotIn("When it is billed", self.render("sale.action_report_saleorder", order))

    def test_stage_invoice_names_its_milestone_and_the_position(self):
        order = self.create_story()
        order.action_confirm()
        first, second = order.milestone_line_ids[:2]
        first.action_complete()
        second.action_complete()
        text = self.render("account.account_invoices", second.invoice_ids)
        self.assertIn("Milestone 2 of 4: Designs approved", text)
        self.assertRegex(text, r"1. Deposit at start billed \$ ?2,500.00 2. Designs approved this invoice")
        self.assertRegex(text, r"3. Build complete to come")
        self.assertRegex(
            text, r"Billed before \$ ?2,500.00 This milestone \$ ?2,500.00 Still to come \$ ?5,000.00"
        )
        self.assertNotIn("Earlier invoices", text)

    def test_final_invoice_lists_the_earlier_ones_and_what_is_paid(self):
        order = self.create_story(taxes=self.tax_20)
        order.action_confirm()
        for line in order.milestone_line_ids:
            line.action_complete()
            if line != order.milestone_line_ids[-1]:
                self.pay(line.invoice_ids)
        text = self.render("account.account_invoices", order.milestone_line_ids[-1].invoice_ids)
        for line in order.milestone_line_ids[:3]:
            invoice = line.invoice_ids
            self.assertRegex(text, rf"{invoice.name}.*{line.name} \$ ?2,500.00 \$ ?500.00 \$ ?3,000.00")
        self.assertRegex(text, r"Already paid \$ ?9,000.00")

    def test_invoice_reads_the_same_when_printed_later(self):
        order = self.create_story()
        order.action_confirm()
        first, second = order.milestone_line_ids[:2]
        first.action_complete()
        before = self.render("account.account_invoices", first.invoice_ids)
        second.action_complete()
        self.assertEqual(self.render("account.account_invoices", first.invoice_ids), before)

    def test_other_invoices_stay_as_they_are(self):
        move = self.init_invoice("out_invoice", amounts=[100.0], post=True)
        text = self.render("account.account_invoices", move)
        self.assertNotIn("Where the contract stands", text)
