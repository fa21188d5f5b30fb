"""From receipt to ledger: match, value, book, undo."""

import logging
from datetime import UTC
from decimal import ROUND_HALF_UP

from odoo import api, fields, models
from odoo.exceptions import UserError
from psycopg2 import OperationalError

from ..const import COIN_PRICE_AGE_MAX, PROVIDER_CODE
from ..tools import matching, units

_logger = logging.getLogger(__name__)


class MilestoneBillingCryptoTransfer(models.Model):
    _inherit = "milestone.billing.crypto.transfer"

    # === MATCHING === #

    def _match(self):
        """Find payment and quote of new receipts and value them."""
        for transfer in self:
            transfer._update(transfer._prepare_match_values())
        self.filtered(lambda transfer: transfer.direction == "in").address_id._mark_used()
        self.payment_id._refresh_state()

    def _prepare_match_values(self):
        self.ensure_one()
        if self.direction != "in" or self._is_dust():
            return {"match_kind": "none", "booking_state": "ignored"}
        match, quotes = self._find_match()
        quote = quotes.filtered(lambda candidate: candidate.id == match.key)
        payment = quote.payment_id or self.address_id.payment_id
        if self.token_id.is_native and not quote and payment.state in ("paid", False):
            return {"match_kind": "none", "booking_state": "ignored"}  # gas to move tokens on, not a payment
        if payment and payment.is_live == self.chain_id.is_test:
            return {"match_kind": "wrong_mode", "booking_state": "held", "payment_id": payment.id}
        values = {"match_kind": match.kind, "payment_id": payment.id, "quote_id": quote.id}
        is_late_held = match.kind == "late" and payment.provider_id.sudo().crypto_late_policy == "hold"
        if match.kind not in ("quoted", "late") or is_late_held:
            return {**values, "booking_state": "held"}
        return {**values, "booking_state": "none", **self._prepare_value(payment, quote, match.kind)}

    def _is_dust(self):
        """Tell whether it is worth less than the smallest coin of its peg: strangers send such to be noticed."""
        price = self._get_price()
        return price is not None and self.peg_currency_id.is_zero(self._get_lot_cost(price))

    def _find_match(self):
        shared = self.address_id.wallet_id.mode == "fixed"
        Quote = self.env["milestone.billing.crypto.quote"]
        domain = [("address_id", "=", self.address_id.id), ("is_reserved", "=", True)]
        quotes = Quote.search(domain) if shared else self.address_id.payment_id.quote_ids
        moment = int(self.block_time.replace(tzinfo=UTC).timestamp())
        place = (self.chain_id.evm_id, self.token_id._place())
        match = matching.match_by_amount if shared else matching.match_by_address
        return match(quotes._as_rule(), *place, int(self.value), moment), quotes

    def _prepare_value(self, payment, quote, kind):
        """Return value and rate: at the quote inside its window, at the rate of the day otherwise."""
        digits, price = payment.currency_id.decimal_places, self._get_price()
        if price is None:
            return {"booking_state": "held"}
        if kind == "quoted":
            earlier = quote.payment_id.transfer_ids.filtered(
                lambda t: t.quote_id == quote and t.id != self.id and t.state != "orphaned" and t.id < self.id
            )
            minor = matching.value_of_receipt(
                sum(int(transfer.value) for transfer in earlier),
                int(self.value),
                int(quote.base_units),
                payment._minor(quote.amount),
            )
            rate, source = quote.rate, quote.rate_source
        else:
            found = payment.provider_id.sudo()._get_token_rate(
                self.token_id, payment.currency_id, self.block_time.date(), price
            )
            if not found:
                return {"booking_state": "held"}
            exact = (self._units() * found["rate"]).scaleb(digits)
            minor = int(exact.to_integral_value(rounding=ROUND_HALF_UP))
            rate, source = str(found["rate"]), found["source"]
        return {
            "amount_value": float(units.from_minor_units(minor, digits)),
            "price": str(price),
            "lot_cost": self._get_lot_cost(price),
            "rate": rate,
            "rate_source": source,
        }

    def _get_price(self):
        """Return the price of one token in its peg at receipt; of a coin what its feed said at the block.

        A node may have forgotten that; then the price of now counts for what came just now, and for nothing else.

        :rtype: Decimal | None
        """
        if not self.token_id.is_native or not self.price:
            is_new = self.block_time > fields.Datetime.now() - COIN_PRICE_AGE_MAX
            return self.token_id._price_now() if is_new or not self.token_id.is_native else None
        return units.Decimal(self.price)

    def _get_lot_cost(self, price):
        """Return the fair value at receipt, in the token's peg; of a pegged token that is its quantity."""
        peg = self.token_id.peg_currency_id
        return peg.round(float(self._units() * price))

    def _accept(self):
        self.ensure_one()
        if self.token_id.is_native and not self.price:
            self._update(
                {"price": str(self.token_id._price_now() or "")}
            )  # who accepts takes the price of now
        values = self._prepare_value(self.payment_id, self.quote_id, "late")
        if values.get("booking_state") == "held":
            raise UserError(
                self.env._("There is no fresh rate for this day. Add the currency rate, then accept again.")
            )
        self._update({"booking_state": "none", **values})
        self.payment_id._refresh_state()

    # === BOOKING === #

    @api.model
    def _settle(self, commit=False):
        """Undo each booked receipt that was dropped, and book each final one, one transaction each.

        In this order, for a dropped one may stand in another block already and pays the same again. One that
        fails is left for the next cycle with its reason shown; the others go on.

        :param bool commit: commit after each receipt, as the scheduled job does.
        """
        for domain, method in (
            ([("state", "=", "orphaned"), ("booking_state", "=", "booked")], "_unbook"),
            ([("state", "=", "final"), ("booking_state", "=", "none"), ("direction", "=", "in")], "_book"),
        ):
            for transfer in self.search(domain, order="block_number, log_index"):
                transfer._attempt(method)
                if commit:
                    self.env["ir.cron"]._commit_progress()
        self.env["milestone.billing.crypto.refund"]._find_sent(commit)

    def _attempt(self, method):
        self.ensure_one()
        try:
            with self.env.cr.savepoint():
                if self.try_lock_for_update():
                    getattr(self, method)()
        except OperationalError:
            self.env.invalidate_all()  # another worker holds it, or was faster; the next cycle looks again
        except Exception as error:  # noqa: BLE001 - one receipt must not stop the others; the reason is shown on it
            self.env.invalidate_all()
            self._note_problem(error)

    def _note_problem(self, error):
        """Show on the receipt why it could not be booked, unless another worker has it."""
        _logger.warning("Stablecoin receipt %s could not be booked: %s", self.id, type(error).__name__)
        try:
            with self.env.cr.savepoint():
                if self.try_lock_for_update():
                    self._update({"booking_error": str(error)[:500]})
        except OperationalError:
            self.env.invalidate_all()

    def _book(self):
        """Create the receipt's own transaction and payment, and write off a shortage within the tolerance."""
        self.ensure_one()
        payment = self.payment_id
        payment.lock_for_update()
        if self.booking_state != "none" or self.state != "final" or self.chain_id.recheck_block:
            return
        cover = self._get_cover()
        digits = self.currency_id.decimal_places
        child = payment.transaction_id.sudo()._create_child_transaction(
            self.amount_value, provider_reference=self.tx_hash or self.block_hash, crypto_transfer_id=self.id
        )
        self._update(
            {
                "booking_state": "booked",
                "booking_error": False,
                "transaction_id": child.id,
                "amount_covered": float(units.from_minor_units(cover.covered, digits)),
                "amount_write_off": float(units.from_minor_units(cover.write_off, digits)),
                "amount_excess": float(units.from_minor_units(cover.excess, digits)),
            }
        )
        child._process(PROVIDER_CODE, {"reference": child.reference})
        child._post_process()
        payment._refresh_state()
        self._log_evidence()
        payment._settle_transaction()

    def _unbook(self):
        """Take a booked receipt out of the ledger again, after a deep reorganisation."""
        self.ensure_one()
        if self.booking_state != "booked" or self.state != "orphaned":
            return
        if self.direction != "in":
            self._unbook_sent()
            return
        self.payment_id.lock_for_update()
        self.transaction_id.sudo()._undo_receipt()
        self._update({"booking_state": "reversed", "booking_error": False})
        self.payment_id._refresh_state()
        self.payment_id._settle_transaction()
        self.payment_id._alert(
            self.env._("A booked payment was dropped by the network and taken out of the books.")
        )
        self._log_evidence()

    def _unbook_sent(self):
        """Take a sweep or a refund out of the books again; a person sends the refund once more."""
        refund = self.refund_id
        self._update({"booking_state": "reversed", "refund_id": False})
        self.sweep_id._undo()
        if refund:
            refund._undo()
            self.chain_id._alarm(
                self.env._("The network dropped the transfer of a booked refund. Send it again.")
            )

    # === ACCOUNTING === #

    def _prepare_payment_values(self):
        """Return journal, currency, amount, date and write-offs of this receipt's accounting payment.

        The wallet journal is kept in the token's peg, so that its balance is the quantity of tokens; a coin
        without a peg stands at its fair value at receipt. The customer's side is exactly the locked value; what
        the day's rate differs goes to its own account.
        """
        self.ensure_one()
        payment, company = self.payment_id, self.company_id
        journal = self.token_id._get_wallet_journal(company)
        peg, date = self.token_id.peg_currency_id, self.block_time.date()
        covered = self.amount_value + self.amount_write_off
        amount = self.lot_cost
        counterpart = payment.currency_id._convert(covered, peg, company, date)
        counterpart_company = payment.currency_id._convert(covered, company.currency_id, company, date)
        write_offs = self._prepare_write_offs(
            peg,
            date,
            counterpart - amount,
            counterpart_company - peg._convert(amount, company.currency_id, company, date),
        )
        line = journal.inbound_payment_method_line_ids.filtered(lambda line: line.code == "manual")[:1]
        return {
            "journal_id": journal.id,
            "payment_method_line_id": line.id,
            "currency_id": peg.id,
            "amount": amount,
            "date": date,
            "write_off_line_vals": write_offs + self._prepare_discount_lines(),
            **self._prepare_destination(),
        }

    def _prepare_destination(self):
        account = self._get_open_terms()[:1].account_id
        return {"destination_account_id": account.id} if account else {}

    def _prepare_write_offs(self, peg, date, difference, balance):
        """Split what the customer is credited above the tokens' value into tolerance and rate difference."""
        company, provider = self.company_id, self.payment_id.provider_id.sudo()
        written_off, own = self.amount_write_off, company.currency_id
        tolerance = self.currency_id._convert(written_off, peg, company, date)
        tolerance_balance = self.currency_id._convert(written_off, own, company, date)
        rest, rest_balance = peg.round(difference - tolerance), own.round(balance - tolerance_balance)
        tolerance_account, rest_account = (
            provider.crypto_tolerance_account_id,
            provider.crypto_difference_account_id or self._get_exchange_account(rest_balance),
        )
        lines = (
            (self.env._("Shortage within tolerance"), tolerance_account, tolerance, tolerance_balance),
            (self.env._("Rate difference"), rest_account, rest, rest_balance),
        )
        return [
            {
                "name": name,
                "account_id": account.id,
                "partner_id": self.payment_id.partner_id.commercial_partner_id.id,
                "currency_id": peg.id,
                "amount_currency": amount,
                "balance": amount_company,
            }
            for name, account, amount, amount_company in lines
            if not (peg.is_zero(amount) and own.is_zero(amount_company))
        ]

    def _get_exchange_account(self, balance):
        """Give the company's account for a loss (balance above zero) or a gain of exchange."""
        company = self.company_id
        if balance > 0:
            return company.expense_currency_exchange_account_id
        return company.income_currency_exchange_account_id

    # === EVIDENCE === #

    def _log_evidence(self):
        """Add the receipt to the evidence of the milestones that its invoices bill, if there are any."""
        lines = self.payment_id.transaction_id.sudo().invoice_ids.milestone_line_id
        if lines:
            lines._log_evidence("payment.tx", data=self._prepare_evidence(), actor_kind="system")

    def _prepare_evidence(self):
        """Return what the evidence says about this receipt: facts of the network only, no person."""
        self.ensure_one()
        return {
            "provider": PROVIDER_CODE,
            "tx_reference": self.transaction_id.reference or "",
            "state": self.booking_state,
            "chain_id": self.chain_id.evm_id,
            "tx_hash": self.tx_hash or "",
            "block": self.block_number,
            "block_hash": self.block_hash,
            "log_index": self.log_index,
            "token": self.token_id.contract or self.token_id.symbol,
            "base_units": self.value,
            "confirmations": self.confirmations,
            "value": str(
                units.from_minor_units(
                    self.payment_id._minor(self.amount_value), self.currency_id.decimal_places
                )
            ),
            "currency": self.currency_id.name,
            "rate": self.rate or "",
            "rate_source": self.rate_source or "",
            "block_time": fields.Datetime.to_string(self.block_time),
        }
