"""Which message of a payment provider changed a payment: its number, and whether its sender was checked."""

from odoo import models
from odoo.http import request

from ..tools.provider_message import NO_MESSAGE, SIGNED_WITH_SECRET, ProviderMessage, read_message


class PaymentTransaction(models.Model):
    _inherit = "payment.transaction"

    def _process(self, provider_code, payment_data):
        """Override of `payment` to let the evidence of the change name the message that brings it.

        It travels in the context as an object of ours, which no caller over RPC can send.
        """
        message = self._read_provider_message(provider_code, payment_data)
        marked = self.with_context(milestone_provider_message=message)
        transaction = super(PaymentTransaction, marked)._process(provider_code, payment_data)
        return transaction.with_env(self.env)

    def _read_provider_message(self, provider_code, payment_data):
        """Tell what this request says about itself, when it is a message of the provider.

        :rtype: ProviderMessage
        """
        if not request:
            return NO_MESSAGE
        http = request.httprequest
        secret, has_secret = SIGNED_WITH_SECRET.get(provider_code), False
        if secret:
            tx = self or self._search_by_reference(provider_code, payment_data)
            provider = tx.provider_id.sudo()
            has_secret = secret in provider._fields and bool(provider[secret])
        return read_message(
            provider_code, http.path, http.headers, http.get_data(), payment_data or {}, has_secret
        )

    def _prepare_milestone_evidence(self):
        """Extend with what is known about the provider's message."""
        message = self.env.context.get("milestone_provider_message")
        known = message if isinstance(message, ProviderMessage) else NO_MESSAGE
        return {**super()._prepare_milestone_evidence(), **known._asdict()}
