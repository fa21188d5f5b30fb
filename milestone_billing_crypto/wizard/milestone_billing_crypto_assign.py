from odoo import api, fields, models


class MilestoneBillingCryptoAssign(models.TransientModel):
    """Say to which payment a receipt belongs that fits none by itself."""

    _name = "milestone.billing.crypto.assign"
    _description = "Assign a Stablecoin Receipt"

    transfer_id = fields.Many2one("milestone.billing.crypto.transfer", required=True)
    amount_text = fields.Char(related="transfer_id.amount_text")
    company_id = fields.Many2one(related="transfer_id.company_id")
    is_live = fields.Boolean(compute="_compute_is_live")
    payment_id = fields.Many2one(
        "milestone.billing.crypto.payment",
        required=True,
        domain="[('company_id', '=', company_id), ('is_live', '=', is_live)]",
    )

    @api.depends("transfer_id")
    def _compute_is_live(self):
        for wizard in self:
            wizard.is_live = not wizard.transfer_id.chain_id.is_test

    def action_confirm(self):
        """Assign and accept the receipt; it is booked with the next cycle."""
        self.ensure_one()
        self.transfer_id.action_assign(self.payment_id.id)
        return {"type": "ir.actions.act_window_close"}
