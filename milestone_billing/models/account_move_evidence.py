"""The invoice as evidence knows it."""

from odoo import models

from ..tools.evidence_bundle import safe_name
from ..tools.verify import canonical


class AccountMove(models.Model):
    _inherit = "account.move"

    def _prepare_evidence_data(self):
        """Extend to tie the entry to what the document says: its number, once it has one, and its content."""
        data = super()._prepare_evidence_data()
        if self.state == "posted":
            data["number"] = self.name
        return {**data, "content_sha256": self._get_content_sha256()}


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _prepare_bundle_files(self, reader):
        """Extend with the invoice: its content as it was hashed, and the file that was sent, if there is one."""
        files = super()._prepare_bundle_files(reader)
        move = self._get_live_invoice()
        if move:
            files["invoice/content.json"] = canonical(move._prepare_milestone_content())
            pdf = move.invoice_pdf_report_id.raw
            if move.state == "posted" and pdf:
                files[f"invoice/{safe_name(move.name)}.pdf"] = pdf
        return files

    def _get_evidence_attachments(self):
        """Extend with the files of all submissions, also those that were replaced since."""
        return super()._get_evidence_attachments() | self.sudo().approval_ids.attachment_ids
