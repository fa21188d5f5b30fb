from odoo import Command
from odoo.addons.account_payment.controllers.payment import PaymentPortal
from odoo.exceptions import AccessError, MissingError
from odoo.http import request, route

from ..const import PROVIDER_CODE
from .main import use_reader_lang


class StablecoinPortal(PaymentPortal):
    """The way from an invoice to the payer's page without JavaScript."""

    @route(
        "/my/invoices/<int:invoice_id>/stablecoin",
        type="http",
        auth="public",
        methods=["POST"],
        website=True,
        sitemap=False,
    )
    def portal_invoice_stablecoin(self, invoice_id, access_token=None, **_kwargs):
        """Begin, or go on with, the stablecoin payment of an invoice."""
        try:
            invoice_sudo = self._document_check_access("account.move", invoice_id, access_token)
        except (AccessError, MissingError):
            return request.redirect("/my")
        invoice_sudo = invoice_sudo.with_env(use_reader_lang(invoice_sudo.partner_id))
        Payment = invoice_sudo.env["milestone.billing.crypto.payment"]
        payment = Payment._find_open(invoice_sudo)
        if not payment:
            provider = Payment._find_provider(invoice_sudo)
            if not provider or not invoice_sudo._has_to_be_paid():
                return request.redirect(invoice_sudo.get_portal_url())
            payment = Payment._ensure_for(self._create_stablecoin_transaction(invoice_sudo, provider))
        return request.redirect(payment._checkout_url(), code=303)

    def _create_stablecoin_transaction(self, invoice_sudo, provider_sudo):
        method = provider_sudo.payment_method_ids.filtered(lambda method: method.code == PROVIDER_CODE)
        Transaction = request.env["payment.transaction"].sudo()
        links = [Command.set(invoice_sudo.ids)]
        return Transaction.create(
            {
                "provider_id": provider_sudo.id,
                "payment_method_id": method.id,
                "reference": Transaction._compute_reference(PROVIDER_CODE, invoice_ids=links),
                "amount": invoice_sudo.amount_residual,
                "currency_id": invoice_sudo.currency_id.id,
                "partner_id": invoice_sudo.partner_id.id,
                "operation": "online_redirect",
                "invoice_ids": links,
                "landing_route": invoice_sudo.get_portal_url(),
            }
        )
