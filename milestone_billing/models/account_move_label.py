from odoo import api, fields, models


class AccountMove(models.Model):
    _inherit = "account.move"

    milestone_label = fields.Char(
        compute="_compute_milestone_label",
        compute_sudo=True,
        help="“Milestone 2 of 4: Build complete”, with the order.",
    )
    milestone_state = fields.Selection(related="milestone_line_id.state", string="Milestone Approval")

    @api.depends("milestone_line_id.name", "milestone_line_id.sequence", "milestone_line_id.order_id.name")
    def _compute_milestone_label(self):
        for move in self:
            line = move.milestone_line_id
            move.milestone_label = (
                self.env._(
                    "%(label)s (%(reference)s)", label=line._get_invoice_label(), reference=line.reference
                )
                if line
                else False
            )

    def action_view_milestone(self):
        """Open the milestone that this document bills.

        :rtype: dict
        """
        self.ensure_one()
        self.milestone_line_id.check_access("read")
        return {
            "type": "ir.actions.act_window",
            "res_model": "milestone.billing.line",
            "res_id": self.milestone_line_id.id,
            "views": [(False, "form")],
        }
