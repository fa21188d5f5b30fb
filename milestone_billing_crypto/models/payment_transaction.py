from odoo import fields, models

from ..const import PROVIDER_CODE


class PaymentTransaction(models.Model):
    _inherit = "payment.transaction"

    crypto_transfer_id = fields.Many2one(
        "milestone.billing.crypto.transfer",
        string="Stablecoin Receipt",
        readonly=True,
        index="btree_not_null",
    )

    # === PROCESSING === #

    def _get_specific_rendering_values(self, processing_values):
        """Override of `payment` to lead the payer to the hosted page."""
        if self.provider_code != PROVIDER_CODE:
            return super()._get_specific_rendering_values(processing_values)
        payment = self.env["milestone.billing.crypto.payment"].sudo()._ensure_for(self)
        return {"api_url": payment._checkout_url()}

    def _extract_amount_data(self, payment_data):
        """Override of `payment`: a receipt's value must be its transaction's; an offer has no amount yet."""
        if self.provider_code != PROVIDER_CODE:
            return super()._extract_amount_data(payment_data)
        transfer = self.crypto_transfer_id
        if not transfer:
            return None
        return {
            "amount": transfer.amount_value,
            "currency_code": transfer.currency_id.name,
            "precision_digits": self.currency_id.decimal_places,
        }

    def _apply_updates(self, payment_data):
        """Override of `payment`: an offer is pending, a receipt's own transaction is done once it is final."""
        if self.provider_code != PROVIDER_CODE:
            return super()._apply_updates(payment_data)
        if self.crypto_transfer_id.state == "final":
            self._set_done()
        elif self.state in ("draft", "cancel"):
            self._set_pending(extra_allowed_states=("cancel",))
        return None

    def _update_source_transaction_state(self):
        """Override of `payment`: our source transactions follow the sum of the receipts, not this rule."""
        others = self.filtered(lambda tx: tx.provider_code != PROVIDER_CODE)
        return super(PaymentTransaction, others)._update_source_transaction_state()

    # === ACCOUNTING === #

    def _create_payment(self, **extra_create_values):
        """Override of `account_payment` to book a receipt in its token's wallet journal."""
        if not self.crypto_transfer_id:
            return super()._create_payment(**extra_create_values)
        source = self.source_transaction_id.sudo()
        drafts = source.invoice_ids.filtered(lambda move: move.milestone_line_id and move.state == "draft")
        values = {**self.crypto_transfer_id._prepare_payment_values(), **extra_create_values}
        if not drafts:
            return super()._create_payment(**values)
        source.invoice_ids -= drafts  # core would issue them; the money waits as a credit instead
        payment = super()._create_payment(**values)
        source.invoice_ids += drafts  # until the source is done: then somebody is told
        return payment

    def _undo_receipt(self):
        """Take a receipt's payment out of the ledger after its block was reorganised away.

        The payment is cancelled and its link cleared: a transaction that keeps the link would never get
        another payment.
        """
        for transaction in self:
            payment = transaction.payment_id
            if payment:
                payment.action_draft()
                payment.action_cancel()
            transaction.payment_id = False
            transaction._set_canceled(
                state_message=self.env._("The network dropped the block with this payment."),
                extra_allowed_states=("done", "pending", "draft"),
            )
