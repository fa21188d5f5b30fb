"""The cheapest anchor: the state of the log, mailed once a day to a mailbox that is not on this server."""

from email.utils import format_datetime, make_msgid

from odoo import api, fields, models

SUBJECT = "Evidence log checkpoint"


class MilestoneBillingEvidenceAnchor(models.Model):
    _inherit = "milestone.billing.evidence.anchor"

    @api.model
    def _cron_mail_checkpoints(self):
        """Mail what is new to the mailbox of each company that names one: a checkpoint of its log, and erasures."""
        for company in self.env["res.company"].sudo().search([("milestone_anchor_email", "!=", False)]):
            checkpoint = self._get_unmailed(company)
            if checkpoint:
                self._mail(company, checkpoint)
            self.env["milestone.billing.evidence.erasure"]._mail_list(company)

    @api.model
    def _get_unmailed(self, company):
        """Give the newest checkpoint of a company, when its log says something new since the last mail."""
        newest = self.env["milestone.billing.evidence.checkpoint"]._get_newest(company)
        domain = [("log_id", "=", newest.log_id), ("kind", "=", "email")]
        last = self.sudo().search(domain, order="size desc", limit=1)
        return newest if newest and newest._has_news(last.size) else newest.browse()

    @api.model
    def _mail(self, company, checkpoint):
        """Queue the mail and record it. What is kept names no mailbox: an anchor is never erased."""
        domain = checkpoint.note.partition("/")[0].partition(":")[0]
        message_id = make_msgid(domain=domain or "localhost")
        body = f"Checkpoint SHA-256: {checkpoint.digest}\n\n{checkpoint.note}"
        subject = f"{SUBJECT} {checkpoint.size}"
        self.env["mail.mail"].sudo().create(
            {
                "subject": subject,
                "body_html": self.env["ir.qweb"]._render("milestone_billing.mail_anchor", {"text": body}),
                "email_to": company.milestone_anchor_email,
                "email_from": company.email_formatted or self.env.user.email_formatted,
                "message_id": message_id,
                "auto_delete": False,
            }
        )
        date = format_datetime(fields.Datetime.now())
        head = f"Message-ID: {message_id}\nDate: {date}\nSubject: {subject}\n"
        self._record(
            checkpoint, "email", message_id, f"{head}Content-Type: text/plain; charset=utf-8\n\n{body}"
        )
