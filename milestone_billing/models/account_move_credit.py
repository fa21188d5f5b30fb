"""Credit notes of milestone documents: what they take back can be billed again."""

from fractions import Fraction

from odoo import models
from odoo.exceptions import UserError
from odoo.tools import formatLang

from ..tools import allocation
from ..tools.money import round_half_up


class AccountMove(models.Model):
    _inherit = "account.move"

    def _reverse_moves(self, default_values_list=None, cancel=False):
        """Override of `account`: a credit note of a milestone is withdrawn, not reversed."""
        if any(move.milestone_document == "credit" for move in self):
            raise UserError(
                self.env._(
                    "A milestone's credit note cannot be reversed. Complete the milestone again to bill it once more, "
                    "or reset the credit note to draft to withdraw it."
                )
            )
        # A duplicate bills no milestone; a credit note belongs to that of its document.
        values_list = default_values_list or [{} for _move in self]
        for move, values in zip(self, values_list, strict=True):
            names = ("milestone_line_id", "milestone_place", "milestone_place_count")
            if move.milestone_line_id:
                values.update(move._convert_to_write({name: move[name] for name in names}))
        return super()._reverse_moves(values_list, cancel)

    # === WHAT A CREDIT NOTE MAY TAKE BACK ===

    def _post(self, soft=True):
        """Override of `account`: of several credit notes of one document, each sees what the one before took back."""
        later = self.browse()
        for credits in (
            self.filtered(lambda move: move._is_milestone_credit()).grouped("reversed_entry_id").values()
        ):
            later |= credits[1:]
        posted = super(AccountMove, self - later)._post(soft)
        return posted | later._post(soft) if later else posted

    def _check_credits_what_was_billed(self):
        """Refuse a credit note that is more, or something else, than what its document billed.

        What it takes back is billed again as it stands: in another currency or with other taxes it could not be.

        :raise UserError: naming what differs.
        """
        self.ensure_one()
        origin = self.reversed_entry_id
        if self.currency_id != origin.currency_id:
            raise UserError(
                self.env._(
                    "The credit note of %(invoice)s is in %(actual)s, the invoice in %(expected)s. Undo the change.",
                    invoice=origin.display_name,
                    actual=self.currency_id.name,
                    expected=origin.currency_id.name,
                )
            )
        if origin._get_credit_items() and not self._get_credit_items():
            raise UserError(
                self.env._(
                    "The credit note of %s takes nothing back. Enter on its lines what is credited, or delete it.",
                    origin.display_name,
                )
            )
        known = {(origin._get_credit_key(item), item.tax_ids) for item in origin._get_credit_items()}
        for item in self._get_credit_items():
            key = origin._get_credit_key(item)
            if (key, item.tax_ids) not in known:
                self._raise_credits_other(item, key in {other for other, _taxes in known})
        self._check_credits_no_more()

    def _raise_credits_other(self, item, is_known):
        name = (item.name or "").split("\n")[0]
        values = {"invoice": self.reversed_entry_id.display_name, "line": name}
        if is_known:
            raise UserError(
                self.env._(
                    "“%(line)s” is credited with other taxes than %(invoice)s billed. Undo the change.",
                    **values,
                )
            )
        raise UserError(
            self.env._(
                "“%(line)s” is no line of %(invoice)s, so it gives nothing of its milestone back. Lower the lines that "
                "were billed, or use a credit note of its own, not made from this invoice.",
                **values,
            )
        )

    def _get_credit_items(self):
        """Give the invoice lines that a credit note compares; retainage follows the work, but for that of a release.

        :rtype: account.move.line
        """
        is_release = "release" in (self.milestone_document, self.reversed_entry_id.milestone_document)
        return self.invoice_line_ids.filtered(
            lambda item: (
                item.display_type == "product"
                and item.amount_currency
                and (is_release or not item.milestone_retainage)
            )
        )

    def _get_credit_key(self, item):
        return "retainage" if item.milestone_retainage else item.sale_line_ids[:1] or "other"

    def _check_credits_no_more(self):
        origin = self.reversed_entry_id
        issued = origin.reversal_move_ids.filtered(
            lambda move: move.state == "posted" and move._is_milestone_credit()
        )
        billed, left, own = {}, {}, {}
        for move in origin | issued | self:
            for item in move._get_credit_items():
                key = origin._get_credit_key(item)
                for total in {origin: (billed, left), self: (own, left)}.get(move, (left,)):
                    total[key] = total.get(key, 0.0) + item.amount_currency
        for key, amount in left.items():
            sign = 1 if billed.get(key, 0.0) >= 0 else -1
            if self.currency_id.compare_amounts(own.get(key, 0.0) * sign, 0.0) > 0:
                raise UserError(
                    self.env._(
                        "This credit note of %(invoice)s would bill %(more)s more of “%(line)s”. Enter what is taken back "
                        "with the sign of the other lines, or take the line out.",
                        invoice=origin.display_name,
                        more=formatLang(self.env, abs(own[key]), currency_obj=self.currency_id),
                        line=self._get_milestone_key_label(key),
                    )
                )
            if self.currency_id.compare_amounts(amount * sign, 0.0) < 0:
                raise UserError(
                    self.env._(
                        "%(invoice)s billed %(billed)s of “%(line)s”, with this credit note %(over)s more would be "
                        "credited. Lower it.",
                        invoice=origin.display_name,
                        billed=formatLang(self.env, abs(billed.get(key, 0.0)), currency_obj=self.currency_id),
                        line=self._get_milestone_key_label(key),
                        over=formatLang(self.env, abs(amount), currency_obj=self.currency_id),
                    )
                )

    # === CAPACITY ===

    def _give_capacity_back(self):
        """Return what a posted credit note takes back to the milestone's planned allocations."""
        for credit in self.filtered(lambda move: move._is_milestone_credit()):
            credit._book_milestone_credit()

    def _book_milestone_credit(self):
        self.ensure_one()
        invoice, line = self.reversed_entry_id, self.reversed_entry_id.milestone_line_id.sudo()
        line.schedule_id._lock()
        columns = self._get_credited_columns()
        if invoice.milestone_is_advance:
            columns = self._split_credited_advance(line, columns)
        else:
            columns = self._take_back_recovered(invoice, columns)
        values_list = line._prepare_allocation_values(line._with_billed_quantities(columns))
        self.sudo().write(
            {
                "milestone_line_id": line.id,
                "milestone_document": "credit",
                "milestone_is_advance": invoice.milestone_is_advance,
                "milestone_step": line.schedule_id.lock_version,
            }
        )
        # Where a credited part was billed again since, that document makes room, too: what comes back now is billed next.
        (invoice | line._get_live_invoice()).sudo().milestone_credited = True
        Allocation = self.env["milestone.billing.allocation"].sudo()
        Allocation.create([{**values, "move_id": self.id} for values in values_list])
        line._plan_credited(values_list)
        line._reopen()

    def _get_credited_columns(self):
        """Read what this credit note takes back per order line, as negative units.

        :rtype: dict
        """
        Schedule = self.env["milestone.billing.schedule"]
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        base_lines, _tax_lines = self._get_rounded_base_and_tax_lines()
        columns = {}
        for base_line in base_lines:
            order_line = base_line["record"].sale_line_ids[:1]
            if not order_line:
                continue
            units = Schedule._get_base_line_units(base_line, base_line["quantity"], digits)
            total = columns.setdefault(order_line, {})
            for part, count in units.items():
                total[part] = total.get(part, 0) - count * self.direction_sign
        return columns

    def _split_credited_advance(self, deposit, columns):
        """Spread a credited advance over the order lines that it stands for.

        :param dict columns: negative units by down payment line.
        :raise UserError: if more is credited than is left to recover.
        :rtype: dict
        """
        left, result = deposit.schedule_id._get_unrecovered(deposit).get(deposit, {}), {}
        for down_payment, units in columns.items():
            members = {key: parts for key, parts in left.items() if key.tax_ids == down_payment.tax_ids}
            if abs(units["net"]) > abs(sum(parts["net"] for parts in members.values())):
                raise UserError(
                    self.env._(
                        "“%s” is deducted on later invoices already. Credit those first, or credit only what is "
                        "left of the deposit.",
                        deposit.name,
                    )
                )
            result.update(_share_out(members, _with_quantity(units, members)))
        return result

    def _take_back_recovered(self, invoice, columns):
        """Take deducted advances off a credit note, so that they can be deducted again.

        :param dict columns: negative units by order line, down payments positive.
        :return: negative units by order line that is not a down payment.
        :rtype: dict
        """
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        result = {key: dict(units) for key, units in columns.items() if not key.is_downpayment}
        rows = (
            self.env["milestone.billing.recovery"]
            .sudo()
            .search([("line_id", "=", invoice.milestone_line_id.id)])
        )
        for down_payment, units in columns.items():
            if not down_payment.is_downpayment:
                continue
            deposit, members = down_payment.milestone_deposit_id, {}
            for row in rows.filtered(lambda row, deposit=deposit: row.deposit_id == deposit):
                if row.order_line_id.tax_ids == down_payment.tax_ids:
                    column = members.setdefault(row.order_line_id, {})
                    for part, count in row._get_units(digits).items():
                        column[part] = column.get(part, 0) + count
            turned = {part: -count for part, count in units.items()}
            back = _share_out(members, _with_quantity(turned, members))
            deposit._keep_recovered(self, [{deposit: back}])
            for order_line, parts in back.items():
                column = result.setdefault(order_line, {"net": 0})
                for part, count in parts.items():
                    column[part] = column.get(part, 0) - count
        return result

    # === A CREDIT NOTE THAT IS WITHDRAWN ===

    def button_draft(self):
        """Override of `account`: a credit note back in draft takes its milestone's capacity again."""
        for credit in self.filtered(lambda move: move.milestone_document == "credit"):
            credit._withdraw_milestone_credit()
        return super().button_draft()

    def _withdraw_milestone_credit(self):
        self.ensure_one()
        credit = self.sudo()
        line = credit.milestone_line_id
        line.schedule_id._lock()
        line._withdraw_credited(credit)
        credit.milestone_allocation_ids.unlink()
        self.env["milestone.billing.recovery"].sudo().search([("move_id", "=", self.id)]).unlink()
        credit.write({"milestone_document": False, "milestone_is_advance": False})
        line._claim_again()

    def _get_milestone_credits(self):
        """Give the issued credit notes that take this document back.

        :rtype: account.move
        """
        return self.reversal_move_ids.filtered(lambda credit: credit.milestone_document == "credit")


def _with_quantity(units, columns):
    """Give the units of a down payment with the quantity of what it stands for: its own line is one piece.

    :param dict units: ``{part: units}`` of the document line.
    :param dict columns: what it stands for, by order line.
    :rtype: dict
    """
    net, quantity = (sum(parts.get(name, 0) for parts in columns.values()) for name in ("net", "qty"))
    return {**units, "qty": round_half_up(Fraction(units["net"] * quantity, net)) if net else 0}


def _share_out(columns, units):
    """Spread the units of one document line over order lines, every part to the last unit.

    :param dict columns: what there is to spread over, by order line.
    :param dict units: ``{part: units}`` of the document line.
    :rtype: dict
    """
    keys = [key for key, parts in columns.items() if any(parts.values())]
    if not keys:
        return {}
    result = {key: {} for key in keys}
    for part, count in units.items():
        whole = sum(abs(columns[key].get(part, 0)) for key in keys)
        weights = [abs(columns[key].get(part, 0)) if whole else 1 for key in keys]
        for key, share in zip(keys, allocation.spread(count, weights), strict=True):
            result[key][part] = share
    return result
