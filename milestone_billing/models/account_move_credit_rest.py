"""What is left of a document that was credited in part: its figures, and a credit note over exactly that."""

from odoo import Command, models

from ..tools import retained_tax


class AccountMove(models.Model):
    _inherit = "account.move"

    def _has_rest(self):
        """Tell whether this document bills something that no credit note has taken back.

        :rtype: bool
        """
        self.ensure_one()
        if self.milestone_claim:
            return True
        if self.state != "posted" or not self.milestone_credited:
            return False
        if self.milestone_document == "release":
            return not all(map(self.currency_id.is_zero, self._get_rest_amounts()))
        columns = self._get_uncredited_columns().values()
        left = any(count for units in columns for part, count in units.items() if part != "qty")
        return left or bool(self._get_uncredited_recoveries())

    def _get_rest_amounts(self):
        """Give what is left of this document: untaxed and tax, negative for one that pays back.

        :rtype: tuple[float, float]
        """
        moves = self | self._get_milestone_credits()
        return tuple(
            self.currency_id.round(sum(-move.direction_sign * move[name] for move in moves))
            for name in ("amount_untaxed", "amount_tax")
        )

    def _reverse_rest(self, values=None):
        """Draft credit notes over what is left of these documents; the whole where nothing was credited.

        :param dict values: of the credit notes.
        :rtype: account.move
        """
        credits = self.browse()
        for move in self:
            credit = move._reverse_moves([dict(values or {})])
            if move._get_milestone_credits():
                credit._lower_to_rest()
            credits += credit
        return credits

    def _lower_to_rest(self):
        """Lower this draft credit note to what others have left of its document, retainage and deposits included."""
        self.ensure_one()
        origin, line = self.reversed_entry_id, self.milestone_line_id.sudo()
        if origin.milestone_is_advance:
            line._limit_refund(self, origin._get_uncredited_columns())
            return
        recovered = origin._get_uncredited_recoveries()
        self.write({"invoice_line_ids": self._prepare_rest_commands(recovered)})
        if origin.milestone_retained_parts:
            self._write_retained_parts(retained_tax.negate(origin._get_uncredited_parts()))

    def _prepare_rest_commands(self, recovered):
        """Give the commands that lower the lines of this credit note.

        :param dict recovered: see `_get_uncredited_recoveries`.
        :rtype: list
        """
        origin, commands, done = self.reversed_entry_id, [], set()
        rests = {**self._get_rest_lines(recovered), "retainage": origin._get_rest_given_back()}
        for item in self.invoice_line_ids.filtered(lambda item: item.display_type == "product"):
            if item.milestone_retainage and origin.milestone_retained_parts:
                continue
            key = origin._get_credit_key(item)
            values = rests.get(key) if key not in done else None
            done.add(key)
            commands.append(Command.update(item.id, values) if values else Command.unlink(item.id))
        return commands

    def _get_rest_lines(self, recovered):
        """Give what the lines of this credit note bill of the rest, by order line; deducted deposits among them.

        :param dict recovered: see `_get_uncredited_recoveries`.
        :rtype: dict
        """
        origin = self.reversed_entry_id
        line, columns = self.milestone_line_id.sudo()._in_client_language(), origin._get_uncredited_columns()
        rests, names = {}, ("quantity", "price_unit", "extra_tax_data", "name")
        for parts in recovered.values():
            retained_tax.add(columns, parts)
        for order_line, units in columns.items():
            if any(count for part, count in units.items() if part != "qty"):
                amounts = line._sum_amounts({order_line: units})
                rests[order_line] = order_line._prepare_milestone_invoice_line(amounts, line, 1)
        for deposit, parts in recovered.items():
            for down_payment in deposit._get_down_payments(parts):
                rests[down_payment] = deposit._prepare_down_payment_values(down_payment, parts, -1)
        for values in rests.values():
            if origin.move_type == "out_refund":
                line._negate_line_values(values)
        return {key: {name: values[name] for name in names} for key, values in rests.items()}

    def _get_uncredited_recoveries(self):
        """Give what this document deducts of advances, less what its credit notes have given back of it.

        :return: ``{deposit: {order line: {part: units}}}``, only what is left.
        :rtype: dict
        """
        digits, found = self.env["decimal.precision"].precision_get("Product Unit"), {}
        for row in (self | self._get_milestone_credits()).sudo().milestone_recovery_ids:
            parts = {row.order_line_id: row._get_units(digits)}
            retained_tax.add(found.setdefault(row.deposit_id, {}), parts)
        left = {
            deposit: {key: units for key, units in parts.items() if any(units.values())}
            for deposit, parts in found.items()
        }
        return {deposit: parts for deposit, parts in left.items() if parts}

    def _get_uncredited_parts(self):
        """Give what this document holds back with its tax, less what its credit notes have taken back of it.

        :rtype: dict
        """
        parts = self._get_retained_parts()
        for credit in self._get_milestone_credits():
            retained_tax.add(parts, credit._get_retained_parts())
        return {key: units for key, units in parts.items() if any(units.values())}

    def _get_rest_given_back(self):
        """Give the values of the line that gives retainage back, less what credit notes have taken back of it.

        :rtype: dict | None
        """
        items = (self | self._get_milestone_credits())._get_retainage_items()
        amount = self.currency_id.round(abs(sum(items.mapped("amount_currency"))))
        return {"quantity": 1.0, "price_unit": amount} if amount else None
