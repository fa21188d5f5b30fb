"""The customer's side of a receipt's entry: an early discount, and an invoice in a third currency."""

from odoo import models

from ..tools import matching, units


class MilestoneBillingCryptoTransfer(models.Model):
    _inherit = "milestone.billing.crypto.transfer"

    # === COVER === #

    def _get_cover(self):
        """Split this receipt's value over what is asked for; what is sent beyond that pays the rest of the invoice.

        An instalment that is overpaid pays a part of the next one: that is how Odoo matches it.
        """
        self.ensure_one()
        payment, digits = self.payment_id, self.currency_id.decimal_places
        cover = matching.cover(
            payment._asked_minor(), payment._minor(self.amount_value), payment._tolerance_minor()
        )
        covered = float(units.from_minor_units(cover.covered, digits))
        if not cover.excess or self._get_discounted_term(covered):
            return cover
        takable = payment._minor(sum(self._get_open_terms().mapped("amount_residual_currency")))
        more = min(cover.excess, max(0, takable - cover.covered))
        return cover._replace(covered=cover.covered + more, excess=cover.excess - more)

    def _get_open_terms(self):
        """Return the due lines that this receipt pays, in their order: those of the first one's account."""
        lines = self.payment_id._get_live_invoices().line_ids.filtered(
            lambda line: line.display_type == "payment_term" and not line.reconciled
        )
        lines = lines.sorted(lambda line: (line.date_maturity or line.date, line.id))
        return lines.filtered(lambda line: line.account_id == lines[:1].account_id)

    # === EARLY DISCOUNT === #

    def _get_discounted_term(self, covered=None):
        """Return the due line whose early discount this receipt takes: paid in one, and in time by its block.

        :param float covered: what it clears; default is what is stored.
        """
        self.ensure_one()
        covered = self.amount_covered if covered is None else covered
        invoice = self.payment_id.transaction_id.sudo().invoice_ids
        terms = invoice.line_ids.filtered(lambda line: line.display_type == "payment_term")
        if len(terms) != 1 or invoice.state != "posted":
            return terms[:0]
        is_in_time = invoice._is_eligible_for_early_payment_discount(self.currency_id, self.block_time.date())
        is_whole = not self.currency_id.compare_amounts(covered, terms.discount_amount_currency)
        return terms if is_in_time and is_whole else terms[:0]

    def _prepare_discount_lines(self):
        """Return the lines of the discount as Odoo makes them, restated in the token's peg."""
        term = self._get_discounted_term()
        if not term:
            return []
        company, date, currency = self.company_id, self.block_time.date(), self.currency_id
        discount = term.amount_residual_currency - term.discount_amount_currency
        balance = currency._convert(-term.amount_residual_currency, company.currency_id, company, date)
        found = self.env["account.move"]._get_invoice_counterpart_amls_for_early_payment_discount(
            [{"aml": term, "amount_currency": -term.amount_residual_currency, "balance": balance}],
            currency._convert(discount, company.currency_id, company, date),
        )
        partner = self.payment_id.partner_id.commercial_partner_id
        return [
            {
                **values,
                "partner_id": partner.id,
                "currency_id": self.peg_currency_id.id,
                "amount_currency": currency._convert(
                    values["amount_currency"], self.peg_currency_id, company, date
                ),
            }
            for lines in found.values()
            for values in lines
        ]

    # === THIRD CURRENCY === #

    def _restate_counterpart(self, line):
        """State what the customer is credited in the invoice's currency when that is neither peg nor company's.

        Two foreign currencies are matched by their value in the company's currency, so that an invoice would stay
        open by what the rate moved since it was issued.
        """
        self.ensure_one()
        if len(self.currency_id | self.peg_currency_id | self.company_id.currency_id) < 3:
            return
        discounted = self._get_discounted_term()
        discount = (
            discounted.amount_residual_currency - discounted.discount_amount_currency if discounted else 0.0
        )
        credited = self.amount_value + self.amount_write_off + discount
        line.update(currency_id=self.currency_id.id, amount_currency=-self.currency_id.round(credited))


class AccountPayment(models.Model):
    _inherit = "account.payment"

    def _prepare_move_line_default_vals(self, write_off_line_vals=None, force_balance=None):
        """Override of `account`: a receipt pays an invoice in the invoice's own currency."""
        lines = super()._prepare_move_line_default_vals(write_off_line_vals, force_balance)
        transfer = self.payment_transaction_id.sudo().crypto_transfer_id
        if transfer and not self.currency_id.compare_amounts(self.amount, transfer.lot_cost):
            transfer._restate_counterpart(lines[1])
        return lines
