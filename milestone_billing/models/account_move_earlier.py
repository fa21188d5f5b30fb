"""Earlier invoices on the final invoice, in the backend: the list that its paper prints."""

from odoo import api, fields, models


class AccountMove(models.Model):
    _inherit = "account.move"

    milestone_earlier_html = fields.Html(
        string="Earlier Invoices",
        compute="_compute_milestone_earlier_html",
        compute_sudo=True,
        sanitize=False,
        help="On the final invoice: every earlier one with number, date, net and tax, also those from before.",
    )

    @api.depends("milestone_line_id", "milestone_document", "state")
    def _compute_milestone_earlier_html(self):
        """Not stored: it is read on one form at a time, and as fresh as the paper."""
        for move in self:
            paper = move._get_milestone_paper() if move.milestone_line_id else {}
            move.milestone_earlier_html = (
                self.env["ir.qweb"]._render(
                    "milestone_billing.invoice_earlier_table", {"o": move, "paper": paper}
                )
                if paper.get("earlier")
                else False
            )
