"""Advances in a foreign currency leave their account at the rate at which they came there.

An advance is owed in work and not in money, so its value in the company's currency stays that of the day on which it was
billed (IAS 21, IFRIC 22). What a document deducts of it keeps that value, and so does the revenue that it becomes: the
difference to the rate of the document goes to the lines of the same taxes. Total, due lines and taxes of the document stay
at its own rate, and no exchange difference is left on the account.
"""

from contextlib import nullcontext

from odoo import Command, fields, models

from ..tools import allocation, historic_rate
from ..tools.money import fraction, to_float, to_units


class AccountMove(models.Model):
    _inherit = "account.move"

    def _post(self, soft=True):
        """Override of `account`: advances are deducted and credited at the rate at which they were billed."""
        self._keep_advance_rates(soft)
        return super()._post(soft)

    def _keep_advance_rates(self, soft):
        """Book what these documents take of advances as it stands, one after the other: each sees those before it."""
        foreign = self.filtered(lambda move: move.currency_id != move.company_currency_id)
        moves = foreign.filtered(lambda move: move.sudo()._get_advance_items())
        moves.milestone_line_id.sudo().schedule_id._lock()
        today, booked = fields.Date.context_today(self), self.browse()
        for move in moves.sorted(
            lambda move: (not move.milestone_is_advance, move.milestone_step, move.id)
        ).sudo():
            move._fix_advance_rate()
            if soft and move.date > today:
                continue  # `account` posts it on its day
            if not move.milestone_is_advance:
                move._book_advances(booked)
            booked |= move

    def _get_advance_items(self):
        """Give the invoice lines of this document that bill, deduct or credit advances.

        :rtype: account.move.line
        """
        if not (self.milestone_document or self.reversed_entry_id.milestone_document):
            return self.env["account.move.line"]
        return self.invoice_line_ids.filtered(lambda item: item.sale_line_ids.milestone_deposit_id)

    def _fix_advance_rate(self):
        """Settle date and rate of this document before it is posted; a credited advance goes back at its own rate.

        `account` gives a document without a date that of today, and keeps a rate that was written by hand.
        """
        if not self.invoice_date:
            by_hand = self.invoice_currency_rate != self._get_expected_currency_rate_at(
                self.create_date.date()
            )
            rate = [self._fields["invoice_currency_rate"]]
            with self.env.protecting(rate, self) if by_hand else nullcontext():
                self.invoice_date = fields.Date.context_today(self)
        origin = self.reversed_entry_id
        if origin.milestone_is_advance and self.invoice_currency_rate != origin.invoice_currency_rate:
            self.invoice_currency_rate = origin.invoice_currency_rate

    def _book_advances(self, booked):
        """Give the deducted or credited advances the balance at which they stand on their account.

        It begins with the balances that come of the document's rate, so that doing it once more changes nothing.

        :param booked: documents that are posted in the same call, before this one.
        """
        currency, own = self.company_currency_id, self._get_units_at_rate()
        balances = dict(own)
        for item in self._get_advance_items():
            balances[item] = self._get_kept_units(item, own[item], booked)
            for other, part in self._spread_over_work(item, own[item] - balances[item]).items():
                balances[other] += part
        changes = {item: to_float(units, currency.rounding) for item, units in balances.items()}
        commands = [
            Command.update(item.id, {"balance": balance})
            for item, balance in changes.items()
            if currency.compare_amounts(item.balance, balance)
        ]
        if commands:
            self.with_context(skip_is_manually_modified=True).write({"line_ids": commands})

    def _get_units_at_rate(self):
        """Give the balances of the invoice lines that the tax engine computes at the rate of this document.

        :return: units of the company's currency by invoice line.
        :rtype: dict
        """
        base_lines, _tax_lines = self._get_rounded_base_and_tax_lines()
        return {
            line["record"]: to_units(
                line["sign"]
                * (line["tax_details"]["total_excluded"] + line["tax_details"]["delta_total_excluded"]),
                self.company_currency_id.rounding,
            )
            for line in base_lines
            if line["record"].display_type == "product"
        }

    def _get_kept_units(self, item, own, booked):
        """Give the balance of a deducted or credited advance, in units of the company's currency.

        :param int own: its balance at the rate of this document.
        :rtype: int
        """
        amount = to_units(item.amount_currency, self.currency_id.rounding)
        open_amount, open_balance = self._get_open_advance(item, booked)
        if self.reversed_entry_id.milestone_is_advance and amount + open_amount:
            return own  # at the rate of the advance that it credits, see `_fix_advance_rate`
        return historic_rate.take(amount, own, open_amount, open_balance)

    def _get_open_advance(self, item, booked):
        """Give what stands on the account before this document: of the advance, or of what a document deducted of it.

        :return: units of the order's and of the company's currency, signed as journal items.
        :rtype: tuple[int, int]
        """
        items, origin = item.sale_line_ids.invoice_lines - self.line_ids, self.reversed_entry_id
        if origin and not origin.milestone_is_advance:
            items &= (origin | origin.reversal_move_ids).line_ids
        return items.filtered(
            lambda other: other.parent_state == "posted" or other.move_id in booked
        )._get_advance_units()

    def _spread_over_work(self, item, units):
        """Spread a difference over the work of the same taxes, first of all over what was billed in advance.

        So the base of each tax stays what its tax was computed of. A document without work leaves it to its due lines.

        :return: units by invoice line.
        :rtype: dict
        """
        others = self.invoice_line_ids.filtered(
            lambda other: (
                other.display_type == "product"
                and other.tax_ids == item.tax_ids
                and other.amount_currency
                and not other.milestone_retainage
                and not other.sale_line_ids.milestone_deposit_id
            )
        )
        recovered = (self.reversed_entry_id or self).milestone_recovery_ids.grouped("order_line_id")
        weights = [
            abs(sum(rows.mapped("amount_untaxed")))
            for rows in (
                recovered.get(other.sale_line_ids[:1], self.milestone_recovery_ids.browse())
                for other in others
            )
        ]
        if not any(weights):
            weights = [abs(other.amount_currency) for other in others]
        parts = allocation.spread(units, [fraction(weight) for weight in weights])
        return dict(zip(others, parts, strict=True))


class AccountMoveLine(models.Model):
    _inherit = "account.move.line"

    def _get_advance_units(self):
        """Add up items of an advance, with the exchange differences that were booked where they are matched.

        :return: units of the order's and of the company's currency.
        :rtype: tuple[int, int]
        """
        matches = self.filtered("account_id.reconcile")
        exchange = (matches.matched_debit_ids | matches.matched_credit_ids).exchange_move_id.line_ids
        items = self | exchange.filtered(lambda item: item.account_id in matches.account_id)
        return (
            sum(to_units(item.amount_currency, item.currency_id.rounding) for item in self),
            sum(to_units(item.balance, item.company_currency_id.rounding) for item in items),
        )
