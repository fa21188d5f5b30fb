from odoo import api, fields, models


class AccountMove(models.Model):
    _inherit = "account.move"

    milestone_label = fields.Char(
        compute="_compute_milestone_label",
        compute_sudo=True,
        help="“Milestone 2 of 4: Build complete”, with the order.",
    )
    milestone_place = fields.Integer(
        readonly=True,
        copy=False,
        help="Place of the milestone when this document was made, as its lines say.",
    )
    milestone_place_count = fields.Integer(
        readonly=True, copy=False, help="How many milestones there were when this document was made."
    )
    milestone_state = fields.Selection(related="milestone_line_id.state", string="Milestone Approval")

    @api.depends("milestone_line_id.name", "milestone_place", "milestone_place_count")
    def _compute_milestone_label(self):
        for move in self:
            line = move.milestone_line_id
            move.milestone_label = (
                self.env._(
                    "%(label)s (%(reference)s)", label=move._get_milestone_label(), reference=line.reference
                )
                if line
                else False
            )

    def _get_milestone_label(self):
        """Name the milestone as this document did when it was made, whatever was added to its order since.

        :rtype: str
        """
        self.ensure_one()
        line = self.sudo().milestone_line_id.with_context(**self.env.context)
        return line._get_invoice_label(self._get_milestone_position())

    def _get_milestone_position(self):
        """Give place and number of the milestones as this document names them.

        :rtype: tuple[int, int]
        """
        if self.milestone_place_count:
            return self.milestone_place, self.milestone_place_count
        return self.sudo().milestone_line_id._get_position()

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
