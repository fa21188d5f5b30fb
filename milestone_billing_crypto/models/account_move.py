from odoo import models


class AccountMove(models.Model):
    _inherit = "account.move"

    def _get_stablecoin_payment(self):
        """Return the stablecoin payment of this invoice which a payer can go on with, if there is one."""
        self.ensure_one()
        return self.env["milestone.billing.crypto.payment"]._find_open(self)

    def _get_stablecoin_provider(self):
        """Return the provider that would take stablecoins for this invoice now, if there is one."""
        self.ensure_one()
        return self.env["milestone.billing.crypto.payment"]._find_provider(self)
