import io
import re
from unittest.mock import patch

from odoo.addons.milestone_billing.models import ir_actions_report as engine
from odoo.exceptions import UserError
from odoo.tests import tagged
from odoo.tools import mute_logger
from pypdf import PdfReader

from .common import ReadyCompanyCommon


@tagged("post_install", "-at_install")
class TestPdf(ReadyCompanyCommon):
    """What Chromium prints: header, footer and page numbers on each page, with the pictures inside."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["ir.config_parameter"].set_param("milestone_billing.pdf_engine", "chromium")
        cls.company = cls.company_data["company"]
        cls.company.write(
            {
                "report_footer": "Registered in the footer",
                "company_details": "Header Street 5<br/>1000 Headertown",
                "external_report_layout_id": cls.env.ref("web.external_layout_standard").id,
            }
        )

    def create_invoice(self, lines, reference):
        return self.env["account.move"].create(
            {
                "move_type": "out_invoice",
                "partner_id": self.partner_a.id,
                "invoice_date": "2026-01-15",
                "ref": reference,
                "invoice_line_ids": [
                    (0, 0, {"name": f"Work item {number}", "price_unit": 10, "tax_ids": []})
                    for number in range(lines)
                ],
            }
        )

    def print_invoices(self, invoices, **context):
        report = self.env["ir.actions.report"].with_context(force_report_rendering=True, **context)
        content, kind = report._render_qweb_pdf("account.account_invoices", invoices.ids)
        self.assertEqual(kind, "pdf")
        return PdfReader(io.BytesIO(content))

    def page_texts(self, reader):
        return [re.sub(r"\s+", " ", page.extract_text()) for page in reader.pages]

    def test_each_page_has_header_footer_and_number(self):
        invoice = self.create_invoice(70, "R1")
        invoice.action_post()
        texts = self.page_texts(self.print_invoices(invoice))
        self.assertGreater(len(texts), 2)
        for number, text in enumerate(texts, 1):
            self.assertIn("1000 Headertown", text)
            self.assertIn("Registered in the footer", text)
            self.assertIn(f"Page {number} / {len(texts)}", text)
        everything = " ".join(texts)
        for line in range(70):
            self.assertEqual(len(re.findall(rf"Work item {line}\b", everything)), 1)

    def test_the_footer_covers_no_line_of_the_body(self):
        """Each line stands above the footer on its page: the room for the footer is kept free."""
        invoice = self.create_invoice(70, "R1")
        for page in self.print_invoices(invoice).pages:
            heights = {"line": [], "footer": []}

            def visit(text, _cm, tm, _font, _size, heights=heights):
                if "Work item" in text:
                    heights["line"].append(tm[5])
                if "Registered" in text:
                    heights["footer"].append(tm[5])

            page.extract_text(visitor_text=visit)
            self.assertTrue(heights["footer"])
            if heights["line"]:
                self.assertNotEqual(min(heights["line"]), heights["footer"][0])

    def test_several_invoices_are_parted_again(self):
        """Each invoice keeps a file of its own, with its own page numbers."""
        invoices = (
            self.create_invoice(45, "R1") | self.create_invoice(3, "R2") | self.create_invoice(45, "R3")
        )
        invoices.action_post()
        report = self.env["ir.actions.report"].with_context(force_report_rendering=True)
        streams, _kind = report._pre_render_qweb_pdf("account.account_invoices", invoices.ids)
        self.assertEqual(set(streams), set(invoices.ids))
        for invoice in invoices:
            texts = self.page_texts(PdfReader(streams[invoice.id]["stream"]))
            self.assertIn(invoice.name, texts[0])
            self.assertIn(f"Page 1 / {len(texts)}", texts[0])
            for other in invoices - invoice:
                self.assertNotIn(other.name, " ".join(texts))

    def test_logo_fonts_and_codes_are_inside_the_document(self):
        """Stylesheets, static files, pictures and barcodes are found without asking a web server."""
        report = self.env["ir.actions.report"]
        mimetype, content = report._load_pdf_resource("/web/static/img/logo.png")
        self.assertEqual((mimetype, content[:4]), ("image/png", b"\x89PNG"))
        mimetype, content = report._load_pdf_resource("/report/barcode/QR/hello?width=100&height=100")
        self.assertEqual((mimetype, content[:4]), ("image/png", b"\x89PNG"))
        mimetype, content = report._load_pdf_resource("/web/assets/any/web.report_assets_common.min.css")
        self.assertIn(b".o_company_logo_small", content)
        mimetype, content = report._load_pdf_resource(f"/web/image/res.company/{self.company.id}/logo")
        self.assertTrue(mimetype.startswith("image/"))

    def test_other_servers_and_foreign_records_are_not_asked(self):
        report = self.env["ir.actions.report"]
        self.assertIsNone(report._load_pdf_resource("https://example.com/pixel.png"))
        self.assertIsNone(report._load_pdf_resource("//example.com/pixel.png"))
        self.assertIsNone(report._load_pdf_resource("file:///etc/passwd"))
        self.assertIsNone(report._load_pdf_resource("/web/static/../../../../etc/passwd"))
        self.assertIsNone(report._load_pdf_resource("/web/session/logout"))
        secret = self.env["ir.attachment"].create({"name": "secret.png", "raw": b"secret"})
        portal = self.env["res.users"].create(
            {"name": "P", "login": "pdf_portal", "group_ids": [(6, 0, self.env.ref("base.group_portal").ids)]}
        )
        self.assertIsNone(report.with_user(portal)._load_pdf_resource(f"/web/image/{secret.id}"))
        # The portal prints with all rights, and a note in the document may name any picture.
        self.assertIsNone(report.with_user(portal).sudo()._load_pdf_resource(f"/web/image/{secret.id}"))

    def test_a_patched_wkhtmltopdf_is_preferred(self):
        report = self.env["ir.actions.report"]
        self.env["ir.config_parameter"].set_param("milestone_billing.pdf_engine", "auto")
        real = engine._wkhtml()
        with patch.object(engine, "_wkhtml", lambda: real._replace(is_patched_qt=True)):
            self.assertIsNone(report._get_pdf_browser())
        with patch.object(engine, "_wkhtml", lambda: real._replace(is_patched_qt=False)):
            self.assertTrue(report._get_pdf_browser())
            self.assertEqual(report.get_wkhtmltopdf_state(), "ok")
        self.env["ir.config_parameter"].set_param("milestone_billing.pdf_engine", "wkhtmltopdf")
        self.assertIsNone(report._get_pdf_browser())

    @mute_logger(engine.__name__)
    def test_a_browser_that_fails_is_reported(self):
        with (
            patch.object(engine, "_find_browser", lambda *_args: "/bin/false"),
            self.assertRaisesRegex(UserError, "could not be printed"),
        ):
            self.print_invoices(self.create_invoice(1, "R1"))
