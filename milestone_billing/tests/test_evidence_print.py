import base64
import io
import os
import re
import subprocess
import unicodedata
import zipfile
from pathlib import Path
from unittest.mock import patch

from odoo.fields import Command
from odoo.tests import tagged
from odoo.tools import config, mute_logger
from PIL import ExifTags, Image
from pypdf import PdfReader

from ..models import milestone_billing_evidence_seal as seal_model
from ..tools import verify
from ..tools.evidence_bundle import sha256
from .common_approval import PNG, ApprovalHttpCommon
from .local_authority import LocalAuthority


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
        texts = [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]
        # Printed text has ligatures.
        return [re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)) for text in texts]

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
        self.assertEqual(len(re.findall("Milestone approval certificate", text)), 1)
        result = self.line.export_evidence()
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(result["content"]))) as bundle:
            self.assertEqual(bundle.read("certificate.pdf"), certificate._get_pdf())
            items = verify.BundleVerifier(bundle).run()
        self.assertIn(("certificate", verify.OK), {(item.item, item.verdict) for item in items})

    def test_points_to_fix_are_printed_in_the_words_of_the_approver(self):
        approval = self.create_submitted()
        self.enter(approval)
        self.approve(approval, reservation="The logo is blurred\nTranslate the footer")
        text = " ".join(self.get_pages(approval.line_id._get_certificate()._get_pdf()))
        self.assertIn("Reservations The logo is blurred Translate the footer", text)
        self.assertNotIn("nonce", text)

    def test_time_that_a_photo_claims_is_printed_as_its_claim(self):
        photo = io.BytesIO()
        picture = Image.new("RGB", (8, 8))
        exif = picture.getexif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2026:03:15 10:00:00"
        picture.save(photo, "JPEG", exif=exif)
        proof = [("dated.jpg", photo.getvalue()), ("plain.png", PNG)]
        line = self.create_submitted(proof=proof).line_id
        Certificate = self.env["milestone.billing.evidence.certificate"]
        text = " ".join(self.get_pages(Certificate._render(line, "X-C1")))
        claim = "captured 2026-03-15 10:00:00 as the file claims"
        self.assertEqual((text.count(claim), text.count("as the file claims")), (1, 1))
        self.assertIn(claim, text[text.index("dated.jpg") : text.index("plain.png")])

    def test_timeline_has_four_pages_at_most(self):
        for turn in range(400):
            self.line._log_evidence("review.presented", data={"turn": turn})
        pages = self.get_pages(self.line._render_timeline())
        self.assertLessEqual(len(pages), 4)
        self.assertIn("Timeline of", pages[0])

    def test_copy_for_card_schemes_shows_addresses_and_leaves_the_events_to_the_timeline(self):
        pdf = self.line._render_scheme_certificate(2)
        text = " ".join(self.get_pages(pdf))
        self.assertIn("zoe@client.example", text)
        self.assertIn("The timeline that is submitted with this copy lists the events", text)
        self.assertNotIn("milestone.completed", text)
        self.assertIn("How to verify", text)
        self.assertLess(len(pdf), 500_000)

    def test_large_photographs_are_printed_small(self):
        photo = io.BytesIO()
        Image.effect_noise((1800, 1200), 90).convert("RGB").save(photo, "JPEG", quality=95)
        self.assertGreater(len(photo.getvalue()), 1_000_000)
        files = [{"sha256": sha256(photo.getvalue()), "mimetype": "image/jpeg"}]
        line = self.create_order().milestone_line_ids[0]
        line.proof_ids = [Command.create({"name": "noise.jpg", "raw": photo.getvalue()})]
        pictures = self.env["report.milestone_billing.report_certificate"]._get_pictures(line, files)
        (picture,) = pictures.values()
        self.assertLess(len(picture), 60_000)
        self.assertTrue(picture.startswith("data:image/"))

    # === SEAL ===

    def use_seal(self, path):
        self.startPatcher(patch.dict(config.options, {seal_model.SEAL_OPTION: path}))

    def make_authority(self):
        authority = LocalAuthority()
        self.addCleanup(authority.close)
        return authority

    def get_issued(self):
        entry = self.line.evidence_ids.filtered(lambda item: item.type == "certificate.issued")
        return entry[-1]._get_body()["data"]

    def check_signature(self, authority, pdf):
        """Check the signature in a PDF file by openssl, over exactly the bytes it names; give what openssl answers."""
        sizes = re.search(rb"/ByteRange \[ ?(\d+) (\d+) (\d+) (\d+) ?\]", pdf).groups()
        start, count, second, rest = map(int, sizes)
        self.assertEqual((start, second + rest), (0, len(pdf)), "the signature does not cover the whole file")
        signature = verify.read_der(bytes.fromhex(pdf[count + 1 : second - 1].decode()))[0].whole
        (authority.folder / "signature").write_bytes(signature)
        (authority.folder / "signed").write_bytes(pdf[:count] + pdf[second:])
        command = [
            "openssl",
            "cms",
            "-verify",
            "-inform",
            "DER",
            "-in",
            "signature",
            "-content",
            "signed",
            "-binary",
        ]
        command += ["-CAfile", "root.pem", "-purpose", "any", "-out", "out"]
        return subprocess.run(command, cwd=authority.folder, capture_output=True, check=False, timeout=60)

    def test_certificate_is_sealed_by_the_key_of_the_server_and_says_so(self):
        authority = self.make_authority()
        self.use_seal(authority.make_seal())
        pdf = self.line._get_certificate()._get_pdf()
        done = self.check_signature(authority, pdf)
        self.assertEqual(done.returncode, 0, done.stderr)
        place = pdf.index(b"stream") + 20
        done = self.check_signature(authority, pdf[:place] + bytes([pdf[place] ^ 1]) + pdf[place + 1 :])
        self.assertEqual(done.returncode, 4, done.stderr)
        text = " ".join(self.get_pages(pdf))
        self.assertIn("signed with the certificate of CN=Seller Seal,O=Seller Ltd", text)
        fingerprint = self.get_issued()["sealed_by"]
        self.assertEqual(len(fingerprint), 64)
        self.assertIn(fingerprint, text.replace(" ", ""))
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_without_a_key_the_certificate_says_that_its_hash_is_on_record(self):
        text = " ".join(self.get_pages(self.line._get_certificate()._get_pdf()))
        self.assertIn("none: its SHA-256 stands in the entry certificate.issued", text)
        self.assertIsNone(self.get_issued()["sealed_by"])

    @mute_logger(seal_model.__name__)
    def test_key_that_cannot_be_used_leaves_the_hash_only(self):
        Certificate = self.env["milestone.billing.evidence.certificate"]
        authority = self.make_authority()
        authority._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ec.key")
        both = Path(authority.make_seal()).read_bytes()
        cases = {
            "no_certificate.pem": (authority.folder / "seal.key").read_bytes(),
            "no_key.pem": (authority.folder / "seal.pem").read_bytes(),
            "other_key.pem": (authority.folder / "tsa.key").read_bytes()
            + both[both.index(b"-----BEGIN CERT") :],
            "no_rsa.pem": (authority.folder / "ec.key").read_bytes() + both[both.index(b"-----BEGIN CERT") :],
            "empty.pem": b"",
        }
        for name, data in cases.items():
            (authority.folder / name).write_bytes(data)
        for name in (*cases, "not_there.pem"):
            with self.subTest(name=name):
                self.use_seal(str(authority.folder / name))
                self.assertIsNone(Certificate._find_seal(self.line.company_id))
        self.use_seal(authority.make_seal())
        self.assertTrue(Certificate._find_seal(self.line.company_id))
        with patch.object(seal_model, "PdfWriter", object):
            self.assertIsNone(
                Certificate._find_seal(self.line.company_id), "with an old library for PDF files"
            )

    @mute_logger(seal_model.__name__)
    def test_certificate_whose_sealing_fails_does_not_claim_a_seal(self):
        self.use_seal(self.make_authority().make_seal())
        with patch.object(seal_model.CertificateSigner, "sign_pdf", side_effect=ValueError("broken")):
            text = " ".join(self.get_pages(self.line._get_certificate()._get_pdf()))
        self.assertIn("none: its SHA-256", text)
        self.assertIsNone(self.get_issued()["sealed_by"])
