from datetime import UTC

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..const import AMOUNT_TAIL_SPAN
from ..tools import eip681, matching, units
from ..tools.abi import encode_transfer


class MilestoneBillingCryptoQuote(models.Model):
    """A locked price: so many base units of a token pay so much of the invoice until a moment."""

    _name = "milestone.billing.crypto.quote"
    _description = "Stablecoin Quote"
    _order = "id desc"

    payment_id = fields.Many2one(
        "milestone.billing.crypto.payment", required=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="payment_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="payment_id.currency_id")
    token_id = fields.Many2one(
        "milestone.billing.crypto.token", required=True, ondelete="restrict", index=True
    )
    chain_id = fields.Many2one(related="token_id.chain_id", store=True, string="Network")
    address_id = fields.Many2one(
        "milestone.billing.crypto.address", required=True, ondelete="restrict", index=True
    )
    base_units = fields.Char(required=True, help="Integer, in the token's smallest unit.")
    amount_text = fields.Char(string="Asked", compute="_compute_amount_text")
    amount = fields.Monetary(required=True, help="What this pays of the invoice.")
    rate = fields.Char(required=True, help="Price of one token in the invoice's currency, decimal text.")
    rate_source = fields.Char(required=True)
    quoted_on = fields.Datetime(required=True)
    expires_on = fields.Datetime(required=True, index=True)
    is_reserved = fields.Boolean(
        help="Keeps the amount free of other payments on a shared address until the receipt is booked."
    )

    _amount_unique = models.UniqueIndex(
        "(address_id, token_id, base_units) WHERE is_reserved",
        "Another open payment waits for this very amount.",
    )
    _base_units_form = models.Constraint(
        "CHECK (base_units ~ '^[1-9][0-9]{0,77}$')", "A quote asks for something."
    )

    @api.depends("base_units", "token_id")
    def _compute_amount_text(self):
        for quote in self:
            quote.amount_text = quote.token_id._to_text(quote.base_units)

    @api.model
    def _lock_price(self, payment, token, expires_on):
        """Create the quote of what is still to be sent, at today's rate, rounded up to what a payer can type."""
        left_minor = payment._left_minor()
        values = payment.provider_id._get_token_rate(
            token, payment.currency_id, fields.Date.context_today(self)
        )
        amount = units.from_minor_units(left_minor, payment.currency_id.decimal_places)
        shown = units.display_decimals(token.decimals)
        base_units = units.base_units_up(amount, values["rate"], token.decimals, shown)
        is_shared = payment.address_id.wallet_id.mode == "fixed"
        payment.quote_ids.filtered(lambda quote: quote.token_id == token and not is_shared)._release()
        if is_shared:
            base_units = self._free_amount(payment, token, base_units, 10 ** (token.decimals - shown))
        return self.create(
            {
                "payment_id": payment.id,
                "token_id": token.id,
                "address_id": payment.address_id.id,
                "base_units": str(base_units),
                "amount": float(amount),
                "rate": str(values["rate"]),
                "rate_source": values["source"],
                "quoted_on": fields.Datetime.now(),
                "expires_on": expires_on,
                "is_reserved": is_shared,
            }
        )

    def _free_amount(self, payment, token, base_units, step):
        """Return an amount at or a little above the due one that no other payment waits for.

        One that this payment has already is kept, so that asking again and again does not use up the amounts.
        """
        address = payment.address_id
        address.lock_for_update()
        reserved = self.search(
            [("address_id", "=", address.id), ("token_id", "=", token.id), ("is_reserved", "=", True)]
        )
        own = reserved.filtered(lambda quote: quote.payment_id == payment)
        end = base_units + AMOUNT_TAIL_SPAN * step
        if again := own.filtered(lambda quote: base_units <= int(quote.base_units) < end)[:1]:
            again._release()
            again.flush_recordset(["is_reserved"])  # before the new one takes the amount
            return int(again.base_units)
        taken = map(int, reserved.mapped("base_units"))
        amount = matching.tail_amount(base_units, step, taken, AMOUNT_TAIL_SPAN)
        if amount is None:
            raise UserError(
                self.env._("Too many payments of this amount are open. Please choose another token.")
            )
        return amount

    def _release(self):
        """Give reserved amounts back."""
        self.filtered("is_reserved").is_reserved = False

    def _as_rule(self):
        """Return the quotes as the values that the matching rules take."""
        return [
            matching.Quote(
                quote.id,
                quote.token_id._place(),
                quote.chain_id.evm_id,
                int(quote.base_units),
                quote.payment_id._minor(quote.amount),
                int(quote.expires_on.replace(tzinfo=UTC).timestamp()),
            )
            for quote in self
        ]

    # === WHAT THE PAYER NEEDS === #

    def _received(self):
        """Return the receipts that arrived for this quote, final or not."""
        self.ensure_one()
        return self.payment_id.transfer_ids.filtered(lambda t: t.quote_id == self and t.state != "orphaned")

    def _received_units(self):
        """Return the base units that arrived for this quote."""
        return sum(map(int, self._received().mapped("value")))

    def _missing_units(self):
        """Return what is still to be sent at this quote."""
        return max(0, int(self.base_units) - self._received_units())

    def _fits(self):
        """Tell whether what is missing of this quote is what is left to pay.

        It is not when something else paid a part: another token that was accepted, another quote, a bank
        transfer; nor when the network dropped what this quote did not ask for. Then a new price is needed.
        """
        payment = self.payment_id
        received = sum(payment._minor(one.amount_value) for one in self._received())
        return self._missing_units() > 0 and payment._minor(self.amount) - received == payment._left_minor()

    def _payment_request(self):
        """Return what a wallet needs: URI, and target, call data and value of the transaction."""
        self.ensure_one()
        missing, token, to = self._missing_units(), self.token_id, self.address_id.address
        if token.is_native:
            target, data, value = self.address_id.checksum, "0x", hex(missing)
            uri = eip681.build_coin(to, self.chain_id.evm_id, missing) if missing else False
        else:
            target, data, value = token.contract, encode_transfer(to, missing), "0x0"
            request = eip681.PaymentRequest(token._place(), self.chain_id.evm_id, to, missing)
            uri = eip681.build(request) if missing else False
        amount = units.to_text(missing, token.decimals, min(2, token.decimals))
        return {"uri": uri, "target": target, "data": data, "value": value, "amount": amount}
