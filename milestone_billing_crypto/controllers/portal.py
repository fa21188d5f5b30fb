from odoo import Command
from odoo.addons.milestone_billing.controllers.payment import MilestonePayment
from odoo.addons.milestone_billing.controllers.visit import get_session_tag
from odoo.exceptions import AccessError, MissingError, ValidationError
from odoo.http import request, route

from ..const import PROVIDER_CODE
from .main import use_reader_lang


class StablecoinPortal(MilestonePayment):
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
        payment = self._begin_stablecoin_payment(invoice_sudo)
        return request.redirect(
            payment._checkout_url() if payment else invoice_sudo.get_portal_url(), code=303
        )

    def _begin_stablecoin_payment(self, invoice_sudo):
        """Return the payment of an invoice to go on with, begun if need be; none when it cannot be paid now.

        Milestone invoices are paid one payment after the other, as by any other way.
        """
        Payment = invoice_sudo.env["milestone.billing.crypto.payment"]
        invoice_sudo._lock_milestone_payment()
        if payment := Payment._find_open(invoice_sudo):
            return payment
        provider = Payment._find_provider(invoice_sudo)
        if not provider or not invoice_sudo._has_to_be_paid():
            return Payment
        try:
            if invoice_sudo.milestone_line_id:
                invoice_sudo._check_milestone_open(get_session_tag())
        except ValidationError:
            return Payment  # the invoice's page says why
        return Payment._ensure_for(self._create_stablecoin_transaction(invoice_sudo, provider))

    def _create_stablecoin_transaction(self, invoice_sudo, provider_sudo):
        method = provider_sudo.payment_method_ids.filtered(lambda method: method.code == PROVIDER_CODE)
        Transaction = request.env["payment.transaction"].sudo()
        links, landing, tag = [Command.set(invoice_sudo.ids)], invoice_sudo.get_portal_url(), False
        if invoice_sudo.milestone_line_id:
            landing, tag = self._get_milestone_landing_route(invoice_sudo), get_session_tag()
        return Transaction.create(
            {
                "provider_id": provider_sudo.id,
                "payment_method_id": method.id,
                "reference": Transaction._compute_reference(PROVIDER_CODE, invoice_ids=links),
                "amount": invoice_sudo._get_stablecoin_amount(),
                "currency_id": invoice_sudo.currency_id.id,
                "partner_id": invoice_sudo.partner_id.id,
                "operation": "online_redirect",
                "invoice_ids": links,
                "landing_route": landing,
                "milestone_session_tag": tag,
            }
        )
