from odoo import fields, models


class MilestoneBillingRelease(models.TransientModel):
    """Release what the client holds back, in part or whole."""

    _name = "milestone.billing.release"
    _description = "Release Retainage"

    schedule_id = fields.Many2one("milestone.billing.schedule", required=True, ondelete="cascade")
    currency_id = fields.Many2one(related="schedule_id.currency_id")
    amount_retained = fields.Monetary(related="schedule_id.amount_retained", string="Held Now")
    scope = fields.Selection(
        [("all", "Everything"), ("amount", "An amount"), ("percent", "A percentage")],
        string="Release",
        required=True,
        default="all",
    )
    amount = fields.Monetary()
    percent = fields.Float(digits=(16, 4), default=50.0)

    def action_release(self):
        """Release, and open the document that asks the client for it.

        :rtype: dict
        """
        self.ensure_one()
        result = self.schedule_id.release_retainage(
            amount=self.amount if self.scope == "amount" else None,
            percent=self.percent if self.scope == "percent" else None,
        )
        return {
            "type": "ir.actions.act_window",
            "res_model": "account.move",
            "res_id": result["invoice_id"],
            "views": [(False, "form")],
        }
