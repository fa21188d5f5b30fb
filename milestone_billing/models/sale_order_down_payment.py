from odoo import models


class SaleOrder(models.Model):
    _inherit = "sale.order"

    def _generate_downpayment_invoices(self):
        """Override of `sale`: money paid with the confirmation pays the milestones that it has billed."""
        owned = self.filtered("milestone_line_ids")
        invoices = super(SaleOrder, self - owned)._generate_downpayment_invoices()
        billed = owned.milestone_line_ids.invoice_ids.filtered(
            lambda move: move.milestone_claim and move.payment_state in ("not_paid", "partial")
        )
        return invoices | billed
