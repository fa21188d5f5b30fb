from odoo import models


class AccountMove(models.Model):
    _inherit = "account.move"

    def _get_stablecoin_amount(self):
        """Return what is to be paid now: the next instalment, less an early discount, without what is held back."""
        self.ensure_one()
        values = self._get_invoice_next_payment_values()
        discount = values.get("epd_discount_amount_currency") or 0.0
        due = values.get("next_amount_to_pay") or self.amount_residual
        if self.milestone_line_id:
            due = self._get_milestone_due_now()
        return self.currency_id.round(min(due, self.amount_residual) - discount)

    def _get_stablecoin_payment(self):
        """Return the stablecoin payment of this invoice which a payer can go on with, if there is one."""
        self.ensure_one()
        return self.env["milestone.billing.crypto.payment"]._find_open(self)

    def _get_stablecoin_provider(self):
        """Return the provider that would take stablecoins for this invoice now, if there is one."""
        self.ensure_one()
        return self.env["milestone.billing.crypto.payment"]._find_provider(self)
