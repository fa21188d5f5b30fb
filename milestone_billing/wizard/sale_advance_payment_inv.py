from odoo import models
from odoo.exceptions import UserError


class SaleAdvancePaymentInv(models.TransientModel):
    _inherit = "sale.advance.payment.inv"

    def _create_invoices(self, sale_orders):
        """Override of `sale`: a down payment must not bill again what a schedule owns."""
        owned = sale_orders.filtered("milestone_line_ids")
        if owned and self.advance_payment_method != "delivered":
            raise UserError(
                self.env._(
                    "%s is billed by its milestones, deposits included. Complete its deposit milestone, or add one "
                    "to the schedule, instead of creating a down payment.",
                    owned[0].name,
                )
            )
        return super()._create_invoices(sale_orders)
