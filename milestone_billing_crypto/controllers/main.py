from odoo.addons.milestone_billing.controllers.visit import page, seal
from odoo.exceptions import UserError
from odoo.http import Controller, request, route

from ..const import PROVIDER_CODE

_ROBOTS = {"X-Robots-Tag": "noindex, nofollow"}


def use_reader_lang(partner):
    """Answer in the language of whoever is logged in, else in the customer's.

    A browser's own language says little: a German customer's bookkeeper may have an English one.

    :return: an environment with all rights, for what was found to be the reader's.
    """
    user = request.env.user
    lang = partner.lang if user._is_public() else user.lang
    if lang and request.env["res.lang"]._get_data(code=lang):
        request.update_context(lang=lang)
    return request.env(su=True)


class StablecoinController(Controller):
    """The payer's page. The token in its address is the permission: for this one payment and nothing else."""

    _page_url = f"/payment/{PROVIDER_CODE}/<string:access_token>"
    _choose_url = f"/payment/{PROVIDER_CODE}/<string:access_token>/choose"
    _withdraw_url = f"/payment/{PROVIDER_CODE}/<string:access_token>/withdraw"
    _refund_url = f"/payment/{PROVIDER_CODE}/<string:access_token>/refund"
    _status_url = f"/payment/{PROVIDER_CODE}/<string:access_token>/status"

    @route(_page_url, type="http", auth="public", methods=["GET"], website=True, sitemap=False)
    def stablecoin_page(self, access_token, change=None, **_kwargs):
        """Show what to pay, where to, and what has arrived."""
        payment = self._find(access_token)
        if not payment:
            return request.not_found()
        values = payment._prepare_page(wants_change=bool(change))
        values["problem"] = request.session.pop(f"stablecoin_problem_{payment.id}", None)
        response = page("milestone_billing_crypto.checkout", values, referrer="no-referrer")
        response.headers.update(_ROBOTS)
        return response

    @route(_choose_url, type="http", auth="public", methods=["POST"], website=True, sitemap=False)
    def stablecoin_choose(self, access_token, token_id=None, **_kwargs):
        """Lock a price in the chosen token, and go back to the page."""
        payment = self._find(access_token)
        if not payment:
            return request.not_found()
        tokens = payment._offered_tokens().filtered(lambda token: str(token.id) == token_id)
        return self._act(payment, lambda: payment._choose(tokens))

    @route(_withdraw_url, type="http", auth="public", methods=["POST"], website=True, sitemap=False)
    def stablecoin_withdraw(self, access_token, **_kwargs):
        """Go back to the invoice to pay in another way."""
        payment = self._find(access_token)
        if not payment:
            return request.not_found()
        landing = payment.transaction_id.landing_route or "/my"
        return self._act(payment, payment._withdraw, landing)

    @route(_status_url, type="http", auth="public", methods=["GET"], sitemap=False, readonly=True)
    def stablecoin_status(self, access_token, **_kwargs):
        """Tell whether the page would look different now. Reads the database only."""
        payment = self._find(access_token)
        if not payment:
            return request.not_found()
        response = request.make_json_response({"version": payment._page_version()})
        return seal(response, "no-referrer", **_ROBOTS)

    @route(_refund_url, type="http", auth="public", methods=["POST"], website=True, sitemap=False)
    def stablecoin_refund(self, access_token, refund_id=None, address="", **_kwargs):
        """Take the address to which the payer wants a refund."""
        payment = self._find(access_token)
        refund = payment.refund_ids.filtered(lambda refund: str(refund.id) == refund_id)
        if not refund:
            return request.not_found()
        return self._act(payment, lambda: refund._confirm_address(address))

    def _find(self, access_token):
        Payment = request.env["milestone.billing.crypto.payment"].sudo()
        if len(access_token) < 32:
            return Payment
        payment = Payment.search([("access_token", "=", access_token)], limit=1)
        return payment.with_env(use_reader_lang(payment.partner_id))

    def _act(self, payment, action, landing=None):
        try:
            with request.env.cr.savepoint():
                action()
        except UserError as error:
            request.session[f"stablecoin_problem_{payment.id}"] = str(error)
            landing = None
        return request.redirect(landing or payment._checkout_url(), code=303)
