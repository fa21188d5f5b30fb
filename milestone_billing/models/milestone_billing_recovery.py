from odoo import fields, models


class MilestoneBillingRecovery(models.Model):
    """Which part of an advance a later document has recovered, by order line.

    An advance is booked on the down payment account. When a document recovers a part of it, that part becomes
    revenue of its order lines, and the down payment is deducted. Credit notes add rows with negative amounts.
    """

    _name = "milestone.billing.recovery"
    _description = "Milestone Deposit Recovery"
    _inherit = "milestone.billing.amounts.mixin"
    _order = "deposit_id, order_line_id, id"

    deposit_id = fields.Many2one("milestone.billing.line", required=True, index=True, ondelete="cascade")
    line_id = fields.Many2one(
        "milestone.billing.line", string="Recovered By", required=True, index=True, ondelete="cascade"
    )
    company_id = fields.Many2one(related="deposit_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="deposit_id.currency_id")
    order_line_id = fields.Many2one("sale.order.line", required=True, index=True, ondelete="restrict")
    move_id = fields.Many2one(
        "account.move", string="Document", required=True, readonly=True, index=True, ondelete="cascade"
    )
