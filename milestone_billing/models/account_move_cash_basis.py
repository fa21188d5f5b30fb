"""Taxes that fall due with the payment: on what is held back, with the payment of the document that gives it back.

`account` takes an invoice for paid by whatever its receivables are matched with. What is held back is matched with its
release, which is no money: here the tax waits, and follows the payment of the release, in part or whole.
"""

from fractions import Fraction

from odoo import models
from odoo.exceptions import UserError

from ..tools.money import to_units


class AccountMove(models.Model):
    _inherit = "account.move"

    def _collect_tax_cash_basis_values(self):
        """Override of `account`: retainage that is given back pays nothing, and what is held is paid with its release."""
        values = super()._collect_tax_cash_basis_values()
        if values and self.amount_retained:
            for item in self._get_retainage_items():
                sign = 1 if item.balance > 0.0 else -1
                values["total_balance"] -= sign * item.balance
                values["total_residual"] -= sign * item.amount_residual
                values["total_amount_currency"] -= sign * item.amount_currency
                values["total_residual_currency"] -= sign * item.amount_residual_currency
            values["is_fully_paid"] = self._is_paid_with_releases(values)
        return values

    def _is_paid_with_releases(self, values):
        is_paid = self.company_id.currency_id.is_zero(values["total_residual"]) or values["currency"].is_zero(
            values["total_residual_currency"]
        )
        held = self.line_ids.filtered(lambda item: item._is_retainage_term())
        releases = held.matched_credit_ids.filtered(lambda match: match._clears_retainage())
        return is_paid and all(release._is_trade_settled() for release in releases.credit_move_id.move_id)

    def _get_clearing_matches(self):
        """Give the matches by which this document clears what others held back.

        :rtype: account.partial.reconcile
        """
        matches = self._get_retainage_items().matched_debit_ids
        return matches.filtered(lambda match: match._clears_retainage())

    def _get_trade_items(self):
        return self.line_ids.filtered(
            lambda item: item.display_type == "payment_term" and not item.milestone_retainage
        )

    def _get_paid_shares(self):
        """Give which share of this document each match of what it asks for pays; its own credit notes pay nothing.

        :return: ``{match: Fraction}``, the oldest first, never more than the whole.
        :rtype: dict
        """
        self.ensure_one()
        rounding, shares = self.currency_id.rounding, {}
        credits = self.reversal_move_ids.filtered(lambda move: move.state == "posted")
        due = (self | credits)._get_trade_items()
        total = left = sum(to_units(item.amount_currency, rounding) for item in due)
        for match in self._get_trade_items().matched_credit_ids.sorted("id"):
            units = to_units(match.debit_amount_currency, rounding)
            if match.credit_move_id.move_id not in credits and min(units, left) > 0:
                shares[match] = Fraction(min(units, left), total)
                left -= units
        return shares

    def _post(self, soft=True):
        """Override of `account`: entries that wait for a release in draft are posted with it."""
        posted = super()._post(soft)
        releases = posted.filtered(lambda move: move.amount_retained < 0 and move._get_clearing_matches())
        waiting = releases._get_release_entries().filtered(lambda entry: entry.state == "draft")
        if waiting:
            waiting._post(soft=False)
        return posted

    def _get_release_entries(self, invoices=None):
        """Give the entries by which payments of these documents made taxes due on what they give back.

        :param invoices: only taxes of these documents.
        :rtype: account.move
        """
        matches = self._get_trade_items().matched_credit_ids
        if invoices is None:
            invoices = self._get_clearing_matches().debit_move_id.move_id
        return self.sudo().search(
            [
                ("tax_cash_basis_rec_id", "in", matches.ids),
                ("tax_cash_basis_origin_move_id", "in", invoices.ids),
            ]
        )

    def _take_back_cash_basis(self):
        """Reverse entries of taxes that are no longer due, as `account` does when a payment is taken off."""
        posted = self.filtered(lambda entry: entry.state == "posted")
        if drafts := self - posted:
            drafts.unlink()
        posted._reverse_moves(
            [
                {
                    "date": entry._get_accounting_date(entry.date, entry._affect_tax_report()),
                    "ref": self.env._("Reversal of: %s", entry.name),
                }
                for entry in posted
            ],
            cancel=True,
        )


class AccountMoveLine(models.Model):
    _inherit = "account.move.line"

    def _is_retainage_term(self):
        """Tell whether this item is retainage that its document holds back by a due line."""
        self.ensure_one()
        return self.milestone_retainage and self.display_type == "payment_term"


class AccountPartialReconcile(models.Model):
    _inherit = "account.partial.reconcile"

    def _clears_retainage(self):
        """Tell whether this match is between what an invoice holds back and a document that gives it back."""
        self.ensure_one()
        return self._moves_retainage() and self.debit_move_id._is_retainage_term()

    def _moves_retainage(self):
        """Tell whether this match is with retainage that a document gives back: it pays nothing."""
        items = self.debit_move_id | self.credit_move_id
        return all(items.mapped("milestone_retainage")) and not all(
            item._is_retainage_term() for item in items
        )

    # === TAX THAT FALLS DUE ===

    def _collect_tax_cash_basis_values(self):
        """Override of `account`: see the head of this file."""
        moving = self.filtered(lambda match: match._moves_retainage())
        collected = super(AccountPartialReconcile, self - moving)._collect_tax_cash_basis_values()
        for payment, share, match in self._get_release_payments():
            invoice = match.debit_move_id.move_id
            values = collected.get(invoice.id) or invoice._collect_tax_cash_basis_values()
            if values:
                payment._check_cash_basis_journal()
                row = payment._prepare_release_cash_basis(values, share, match)
                values.setdefault("partials", []).append(row)
                collected[invoice.id] = values
        return collected

    def _get_release_payments(self):
        """Pair payments of documents that give back with what they cleared, where one of both is new.

        :return: ``[(payment match, share of the document, clearing match), ...]``
        :rtype: list[tuple]
        """
        documents = (self.debit_move_id | self.credit_move_id).move_id
        return [
            (payment, share, match)
            for document in documents.filtered(lambda move: move.amount_retained < 0)
            for payment, share in document._get_paid_shares().items()
            for match in document._get_clearing_matches()
            if payment in self or match in self
        ]

    def _prepare_release_cash_basis(self, values, share, match):
        """Give what `account` makes the entry of: which part of the invoice this payment of its release pays.

        :param dict values: of the invoice, see `account.move._collect_tax_cash_basis_values`.
        :param Fraction share: of the release that is paid.
        :param match: what the release cleared of the invoice.
        :rtype: dict
        """
        if values["currency"] == values["move"].company_id.currency_id:
            cleared, total = match.amount, values["total_balance"]
        else:
            cleared, total = match.debit_amount_currency, values["total_amount_currency"]
        moves = (self | match).debit_move_id.move_id | self.credit_move_id.move_id
        return {
            "partial": self,
            "percentage": float(share) * cleared / total,
            "payment_rate": self._get_release_payment_rate(),
            "both_move_posted": set(moves.mapped("state")) == {"posted"},
        }

    def _get_release_payment_rate(self):
        """Give the rate of the payment, as `account` takes it for the invoice that is paid."""
        due, payment = self.debit_move_id, self.credit_move_id
        is_invoice = payment.move_id.is_invoice(include_receipts=True)
        if due.currency_id != payment.currency_id:
            return self.env.context.get(
                "forced_rate_from_register_payment"
            ) or due.currency_id._get_conversion_rate(
                payment.company_currency_id,
                due.currency_id,
                payment.company_id,
                due.move_id.date if is_invoice else payment.date,
            )
        item = due if is_invoice else payment
        return item.amount_currency / item.balance if item.balance else 0.0

    def _check_cash_basis_journal(self):
        if not self.company_id.tax_cash_basis_journal_id:
            raise UserError(
                self.env._(
                    "Company %s has no journal for taxes that fall due with the payment. Choose one in the settings of "
                    "accounting, then match the payment again.",
                    self.company_id.name,
                )
            )

    # === TAX THAT IS NO LONGER DUE ===

    def unlink(self):
        """Override of `account`: where a release no longer clears what was held, its payment pays no tax on it."""
        entries = self.env["account.move"]
        for match in self.filtered(lambda match: match._clears_retainage()):
            entries |= match.credit_move_id.move_id._get_release_entries(match.debit_move_id.move_id)
        entries = entries.filtered(lambda entry: entry.tax_cash_basis_rec_id not in self)
        if not entries:
            return super().unlink()
        entries.tax_cash_basis_rec_id = False
        result = super().unlink()
        entries._take_back_cash_basis()
        return result
