"""What the payer's page shows: values only, the template does the rest."""

import hashlib
from datetime import UTC

from markupsafe import Markup
from odoo import api, fields, models

from ..const import PROVIDER_CODE
from ..tools import qr_code, units


class MilestoneBillingCryptoPayment(models.Model):
    _inherit = "milestone.billing.crypto.payment"

    @api.model
    def _find_open(self, invoice):
        """Return the payment of an invoice that a payer can go on with."""
        payments = self.search([("transaction_id.invoice_ids", "in", invoice.ids), ("state", "!=", "paid")])
        return payments.filtered(lambda payment: payment.transaction_id.state in ("draft", "pending"))[:1]

    @api.model
    def _find_provider(self, invoice):
        """Return the provider that takes stablecoins for an invoice, if there is one."""
        providers = (
            self.env["payment.provider"]
            .sudo()
            ._get_compatible_providers(
                invoice.company_id.id,
                invoice.partner_id.id,
                invoice.amount_residual,
                currency_id=invoice.currency_id.id,
            )
        )
        return providers.filtered(lambda provider: provider.code == PROVIDER_CODE)[:1]

    def _page_version(self):
        """Return a text that changes whenever the page would."""
        self.ensure_one()
        facts = [
            self.state,
            self.exception_state,
            self.quote_id.id,
            self._is_expired(),
            self.transaction_id.state,
            self._left_minor(),
            self.quote_id.chain_id._is_unread(),
        ]
        facts += self.refund_ids.mapped("state")
        for transfer in self._shown_transfers():
            depth = min(transfer.confirmations, transfer.confirmations_wanted)
            facts += [transfer.id, transfer.state, transfer.booking_state, depth]
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def _is_wanting(self):
        """Tell whether money is still to be sent; while a person looks at what arrived, nothing is asked twice."""
        is_done = self.state == "paid" or self.exception_state == "held" or self._is_settled_otherwise()
        return not is_done and self._left_minor() > self._accepted_minor()

    def _accepted_minor(self):
        """Return what may stay missing: nothing before the first receipt, the tolerance afterwards."""
        return self._tolerance_minor() if self._shown_transfers() else 0

    def _is_expired(self):
        return bool(self.quote_id) and self.quote_id.expires_on < fields.Datetime.now()

    def _is_dropped(self):
        """Tell whether all that arrived was dropped: the payer may hold it again, or it comes back by itself."""
        states = set(self._shown_transfers().mapped("state"))
        return states == {"orphaned"}

    def _shown_transfers(self):
        return self.transfer_ids.filtered(lambda transfer: transfer.direction == "in").sorted("id")

    def _prepare_page(self, wants_change=False):
        """Return the values of the checkout template."""
        self.ensure_one()
        transaction = self.transaction_id.sudo()
        quote = (
            self.quote_id
            if transaction.state in ("pending", "done")
            else self.env["milestone.billing.crypto.quote"]
        )
        is_wanting = self._is_wanting()
        is_fitting = bool(quote) and quote._fits()
        is_choosing = is_wanting and (wants_change or not is_fitting)
        is_asking = is_wanting and not is_choosing
        return {
            "payment": self,
            "quote": quote,
            "company": self.company_id.sudo(),
            "res_company": self.company_id.sudo(),
            "title": ", ".join(transaction.invoice_ids.mapped("name")) or transaction.reference,
            "landing_route": transaction.landing_route or "/my",
            "url": self._checkout_url(),
            "version": self._page_version(),
            "is_expired": self._is_expired(),
            "is_choosing": is_choosing,
            "networks": self._prepare_networks() if is_choosing else [],
            "trouble": self._prepare_trouble(quote.chain_id),
            "ask": self._prepare_ask(quote) if is_asking else False,
            "status": self._prepare_status("new" if is_choosing and self.state == "waiting" else self.state),
            "transfers": [transfer._prepare_line() for transfer in self._shown_transfers()],
            "refunds": [refund._prepare_line() for refund in self.refund_ids],
            "can_go_back": is_choosing and is_fitting,
            "can_withdraw": is_wanting and not self._shown_transfers() and transaction.state == "pending",
        }

    def _prepare_networks(self):
        """Return the offered tokens by network, with the amount each would ask today."""
        networks = []
        for chain, tokens in self._offered_tokens().grouped("chain_id").items():
            choices = [self._prepare_choice(token) for token in tokens]
            networks.append({"name": chain.name, "gas": chain.native_symbol, "tokens": choices})
        return networks

    def _prepare_choice(self, token):
        digits = self.currency_id.decimal_places
        rate = self.provider_id.sudo()._get_token_rate(
            token, self.currency_id, fields.Date.context_today(self)
        )
        amount = units.from_minor_units(self._left_minor(), digits)
        asked = units.base_units_up(
            amount, rate["rate"], token.decimals, units.display_decimals(token.decimals)
        )
        return {
            "id": token.id,
            "symbol": token.symbol,
            "name": token.name,
            "amount": token._to_text(asked),
            "is_current": token == self.quote_id.token_id,
        }

    def _prepare_ask(self, quote):
        """Return address, amount and codes of what is still to be sent."""
        request = quote._payment_request()
        address, token = quote.address_id, quote.token_id
        return {
            "amount": request["amount"],
            "symbol": token.symbol,
            "network": quote.chain_id.name,
            "gas": quote.chain_id.native_symbol,
            "wallet_texts": self._prepare_wallet_texts(quote.chain_id),
            "chain_hex": hex(quote.chain_id.evm_id),
            "contract": token.contract,
            "address": address.checksum,
            "fingerprint": address.fingerprint,
            "uri": request["uri"],
            "target": request["target"],
            "data": request["data"],
            "value": request["value"],
            "is_rest": quote._received_units() > 0,
            "is_shared": address.wallet_id.mode == "fixed",
            "expires_iso": quote.expires_on.replace(tzinfo=UTC).isoformat(),
            "expires_on": quote.expires_on,
            "rate_source": quote.rate_source,
            "address_svg": Markup(qr_code.svg(address.checksum, self.env._("Address"))),
            "uri_svg": Markup(qr_code.svg(request["uri"], self.env._("Payment request"))),
        }

    def _prepare_wallet_texts(self, chain):
        """Return what the page says about what the wallet of the browser answers."""
        return {
            "refused": self.env._("You declined in your wallet. Nothing was sent."),
            "locked": self.env._(
                "Your wallet shows no account to this page. Unlock it, then press the button again."
            ),
            "busy": self.env._("Your wallet is waiting for your answer. Open it and answer there."),
            "unknown_network": self.env._(
                "Your wallet does not know %(network)s. Add this network there (chain ID %(chain_id)s), then press "
                "the button again. Nothing was sent.",
                network=chain.name,
                chain_id=chain.evm_id,
            ),
            "other_network": self.env._(
                "Your wallet is on another network. Switch it to %(network)s, then press the button again. Nothing "
                "was sent.",
                network=chain.name,
            ),
            "failed": self.env._(
                "Your wallet did not send the payment. It tells the reason; nothing was sent."
            ),
            "sent": self.env._(
                "Sent. It is shown here as soon as the network has it, within some minutes. Please do not send it "
                "again. Transaction:"
            ),
        }

    def _prepare_trouble(self, chain):
        """Return a sentence when the network of the quote cannot be read now, so that nobody sends twice."""
        if self.state == "paid" or not chain._is_unread():
            return False
        return self.env._(
            "We cannot read %(network)s just now. If you have sent your payment, do not send it again: it will be "
            "found as soon as the connection is back.",
            network=chain.name,
        )

    def _prepare_status(self, state):
        """Return colour and sentences of the page's state line."""
        digits = self.currency_id.decimal_places
        open_text = self.currency_id.format(float(units.from_minor_units(self._left_minor(), digits)))
        texts = {
            "new": ("info", self.env._("Choose a token and network"), ""),
            "waiting": ("info", self.env._("Waiting for your payment"), ""),
            "seen": self._prepare_seen(),
            "partial": (
                "warning",
                self.env._("%(amount)s is still to pay", amount=open_text),
                self.env._("What has arrived is booked. Send the rest to the same address."),
            ),
            "paid": ("success", self.env._("Paid. Thank you!"), ""),
        }
        style, heading, text = texts[state]
        if state == "waiting" and self._is_expired():
            style, heading = "warning", self.env._("The locked price has expired")
        if self.exception_state == "held":
            style, heading = "warning", self.env._("Your payment has arrived and is being looked at")
            text = self.env._(
                "It differs from what was asked, so a person checks it. You need not do anything."
            )
        elif self.exception_state == "reversed" or (state in ("new", "waiting") and self._is_dropped()):
            style, heading = "danger", self.env._("The network has dropped your payment")
            text = self.env._(
                "Please look into your wallet: the coins are back there, or will be sent again."
            )
        elif self._is_settled_otherwise():
            style, heading = "success", self.env._("This invoice is settled")
            text = self.env._("It was paid or withdrawn in another way. Please do not send anything.")
        elif self.exception_state == "over":
            if not self.refund_ids.filtered(lambda refund: refund.state != "cancelled"):
                text = self.env._("You paid more than was due. The rest is kept as your credit.")
        elif state == "paid" and self.exception_state == "late":
            text = self.env._("It came after the locked price and counted at the rate of its day.")
        return {"style": style, "heading": heading, "text": text}

    def _prepare_seen(self):
        """Return colour and sentences for money that has arrived and is not final yet."""
        left = self._left_minor()
        text = self.env._("It counts as soon as the network has confirmed it. You may close this page.")
        if left <= self._tolerance_minor():
            return "warning", self.env._("Your payment has been seen"), text
        rest = self.currency_id.format(float(units.from_minor_units(left, self.currency_id.decimal_places)))
        heading = self.env._("Part of your payment has been seen")
        return (
            "warning",
            heading,
            self.env._("%(amount)s is still to be sent, to the same address.", amount=rest),
        )
