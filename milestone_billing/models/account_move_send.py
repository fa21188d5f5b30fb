"""Sending an invoice is an event of its milestone, with the hash of the file that went out."""

from odoo import api, models

from ..tools.evidence_bundle import sha256


class AccountMoveSend(models.AbstractModel):
    _inherit = "account.move.send"

    @api.model
    def _send_mail(self, move, mail_template, **kwargs):
        """Override of `account` to record which file of a milestone invoice was sent, and to whom."""
        result = super()._send_mail(move, mail_template, **kwargs)
        line = move.sudo().milestone_line_id
        if line and move.state == "posted" and move.milestone_document in ("stage", "release"):
            data = move.sudo()._prepare_evidence_data()
            if pdf := move.sudo().invoice_pdf_report_id.raw:
                data["pdf_sha256"] = sha256(pdf)
            partners = self.env["res.partner"].sudo().browse(kwargs.get("partner_ids") or [])
            line._log_evidence(
                "invoice.sent", data=data, pii={"to": ", ".join(filter(None, partners.mapped("email")))}
            )
        return result
