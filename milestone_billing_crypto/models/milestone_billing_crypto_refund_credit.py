"""What a refund settles: a credit note, or the customer's open credit."""

from odoo import models


class MilestoneBillingCryptoRefund(models.Model):
    _inherit = "milestone.billing.crypto.refund"

    def _prepare_credit_account(self):
        """Return the account on which the credit note is open; not every customer's is the same one."""
        open_lines = self.credit_note_id.line_ids.filtered(
            lambda line: line.display_type == "payment_term" and not line.reconciled
        )
        account = open_lines[:1].account_id
        return {"destination_account_id": account.id} if account else {}

    def _credit_lines(self, partner, account):
        if self.credit_note_id:
            return self.credit_note_id.line_ids
        return self.payment_id.transfer_ids.move_id.line_ids.filtered(
            lambda line: line.account_id == account and line.partner_id == partner and not line.reconciled
        )
