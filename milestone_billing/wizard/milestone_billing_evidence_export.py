from odoo import api, fields, models


class MilestoneBillingEvidenceExport(models.TransientModel):
    """Hand out the evidence of a milestone or a change order: choose the copy, say why, save the file."""

    _name = "milestone.billing.evidence.export"
    _description = "Export Evidence"

    line_id = fields.Many2one("milestone.billing.line", string="Milestone", ondelete="cascade")
    change_id = fields.Many2one("milestone.billing.change", string="Change Order", ondelete="cascade")
    variant = fields.Selection(
        [
            ("own", "What I may read"),
            ("client", "Copy for the client"),
            ("dispute", "Copy for a card dispute"),
            ("full", "Full copy"),
        ],
        string="Copy",
        required=True,
        default="own",
    )
    reason = fields.Char(help="Such as the number of the dispute; it is recorded with the export.")
    # In the row and not in the filestore: the copy holds personal data and goes with this record.
    content = fields.Binary(string="File", readonly=True, attachment=False)
    filename = fields.Char(readonly=True)

    @api.model
    def _get_action(self, record):
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Export Evidence"),
            "res_model": self._name,
            "res_id": record.id,
            "view_mode": "form",
            "target": "new",
        }

    def action_export(self):
        """Make the copy and show it for saving.

        :raise AccessError: when the copy holds more than the user may read.
        """
        self.ensure_one()
        variant = None if self.variant == "own" else self.variant
        owner = self.line_id or self.change_id
        result = owner.export_evidence(variant=variant, reason=self.reason)
        self.write(result)
        return self._get_action(self)
