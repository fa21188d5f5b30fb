import base64
import io
import os
import re
import zipfile
from pathlib import Path

from odoo.tests import tagged
from pypdf import PdfReader

from ..tools import verify
from .common_approval import PNG, ApprovalHttpCommon


@tagged("post_install", "-at_install")
class TestEvidencePrint(ApprovalHttpCommon):
    """Certificate and timeline as they come out of the PDF engine."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["ir.config_parameter"].set_param("milestone_billing.pdf_engine", "chromium")

    def setUp(self):
        super().setUp()
        self.approval = self.create_submitted(proof=[("site.png", PNG)])
        self.enter(self.approval)
        self.approve(self.approval)
        self.line = self.approval.line_id

    def get_pages(self, pdf):
        """Give the pages of a PDF as texts."""
        if os.environ.get("MILESTONE_KEEP_PDF"):
            Path(os.environ["MILESTONE_KEEP_PDF"], f"{self._testMethodName}.pdf").write_bytes(pdf)
        return [re.sub(r"\s+", " ", page.extract_text()) for page in PdfReader(io.BytesIO(pdf)).pages]

    def test_certificate_shows_the_decision_and_is_in_the_bundle(self):
        certificate = self.line._get_certificate()
        pages = self.get_pages(certificate._get_pdf())
        text = " ".join(pages)
        for part in (
            certificate.number,
            "Approved",
            "L1: personal link",
            "Client Ltd",
            "The build is complete.",
            "site.png",
            "Typed name Zoe Client",
            "z***@client.example",
            self.approval.snapshot_sha256,
            self.line.evidence_uuid,
        ):
            self.assertIn(part, text)
        self.assertNotIn("zoe@client.example", text)
        self.assertNotIn("INTERIM", text)
        self.assertLessEqual(len(pages), 3)
        self.assertEqual(len(re.findall("Milestone approval certi", text)), 1)
        result = self.line.export_evidence()
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(result["content"]))) as bundle:
            self.assertEqual(bundle.read("certificate.pdf"), certificate._get_pdf())
            items = verify.BundleVerifier(bundle).run()
        self.assertIn(("certificate", verify.OK), {(item.item, item.verdict) for item in items})

    def test_timeline_has_four_pages_at_most(self):
        for turn in range(400):
            self.line._log_evidence("review.presented", data={"turn": turn})
        pages = self.get_pages(self.line._render_timeline())
        self.assertLessEqual(len(pages), 4)
        self.assertIn("Timeline of", pages[0])
