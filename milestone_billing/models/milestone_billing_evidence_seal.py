"""The seal of certificates: a signature in the PDF file, by Odoo's own signer, where there is a key for it."""

import io
import logging
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from odoo import api, fields, models
from odoo.tools import config
from odoo.tools.pdf import PdfWriter
from odoo.tools.pdf.signature import PdfSigner

_logger = logging.getLogger(__name__)
SEAL_OPTION = "milestone_billing_seal"
FIELD_NAME = "Milestone Billing"


class Seal(NamedTuple):
    """Whose certificate seals, and its SHA-256."""

    subject: str
    fingerprint: str


class CertificateSigner(PdfSigner):
    """Odoo's signer, with the key of the server's configuration where the company has no certificate of its own."""

    @classmethod
    def _of(cls, company):
        """Give a signer without a file, to ask for its key."""
        signer = cls.__new__(cls)
        signer.company = company
        return signer

    def _load_key_and_certificate(self):
        """Override of `odoo.tools` to look into the file which the configuration names."""
        key, certificate = super()._load_key_and_certificate()
        return (key, certificate) if key else _load_seal(config.get(SEAL_OPTION))


def _load_seal(path):
    """Read private key and certificate, both PEM, from one file outside the database.

    :raise ValueError: when the file does not hold both.
    :raise OSError: when it cannot be read.
    """
    if not path:
        return None, None
    data = Path(path).read_bytes()
    return load_pem_private_key(data, None), x509.load_pem_x509_certificate(data)


class MilestoneBillingEvidenceCertificate(models.Model):
    _inherit = "milestone.billing.evidence.certificate"

    @api.model
    def _find_seal(self, company):
        """Tell whose certificate can seal a file of a company now.

        :rtype: Seal | None
        """
        if not hasattr(PdfWriter, "clone_document_from_reader"):
            # An old library for PDF files: Odoo's signer gives up as well.
            return None
        try:
            key, certificate = CertificateSigner._of(company)._load_key_and_certificate()
            return self._read_seal(key, certificate) if key else None
        except (OSError, ValueError, TypeError) as error:
            _logger.warning("The seal of certificates cannot be used: %s", error)
            return None

    @api.model
    def _read_seal(self, key, certificate):
        if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError("an RSA key and its own certificate are needed")
        now = fields.Datetime.now()
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begin.replace(tzinfo=None) <= now <= end.replace(tzinfo=None):
            raise ValueError("its certificate is not valid now")
        return Seal(certificate.subject.rfc4514_string(), certificate.fingerprint(hashes.SHA256()).hex())

    @api.model
    def _seal_pdf(self, pdf, company):
        """Sign a PDF file.

        :return: the signed file; None when it cannot be signed.
        :rtype: bytes | None
        """
        try:
            signed = CertificateSigner(io.BytesIO(pdf), company).sign_pdf(field_name=FIELD_NAME)
        except Exception:
            _logger.exception("A certificate could not be sealed; its hash is on record all the same.")
            return None
        return signed.getvalue() if signed else None

    @api.model
    def _render_sealed(self, line, number):
        """Print a certificate and seal it where there is a key; what it prints about its seal is true.

        :return: the file, and the seal or None.
        :rtype: tuple[bytes, Seal | None]
        """
        seal = self._find_seal(line.company_id)
        if seal:
            sealed = self._seal_pdf(self._render(line, number, seal=seal._asdict()), line.company_id)
            if sealed:
                return sealed, seal
        return self._render(line, number), None
