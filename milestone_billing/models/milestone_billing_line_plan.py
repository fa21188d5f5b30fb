"""What a milestone brings to the plan: whether it takes part, and what it wants."""

from fractions import Fraction

from odoo import models
from odoo.exceptions import UserError

from ..tools.money import fraction, less, to_units


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _is_planned_on_order(self):
        """Tell whether this milestone takes part in splitting its order."""
        self.ensure_one()
        return self.state != "cancelled" and self.kind != "retainage_release"

    def _is_open_in_plan(self):
        """Tell whether the plan says what this milestone bills.

        What was billed once does not move, nor does what waits to be billed again after a credit note. When that was
        given up (the milestone was cancelled, the order went back to quotation), the milestone takes its part again.
        By state, too: a milestone may have billed nothing at all, by an invoice of zero, and is billed all the same.

        :rtype: bool
        """
        self.ensure_one()
        rows = self.allocation_ids
        return self.state == "planned" and not (
            self._get_billed_allocations()
            and rows._filter_planned().filtered(lambda row: row._bills_anything())
        )

    def _is_share(self):
        """Tell whether this milestone bills a percentage of every order line."""
        return self.amount_type == "percent" and self.allocation_mode == "share"

    def _get_billed_allocations(self):
        return self.allocation_ids.filtered(lambda alloc: alloc._is_billed())

    def _get_billed_units(self, order_line=None):
        """Give the net units that documents of this milestone have billed, credit notes deducted.

        :param order_line: of this one only.
        :rtype: int
        """
        rows = self._get_billed_allocations()
        if order_line:
            rows = rows.filtered(lambda row: row.order_line_id == order_line._origin)
        return to_units(sum(rows.mapped("amount_untaxed")), self.currency_id.rounding) if rows else 0

    def _get_open_percent(self, agreed):
        """Give the percentage of the order that this milestone has not billed yet.

        :param int agreed: net units of the order as confirmed.
        :rtype: Fraction
        """
        billed = Fraction(100 * self._get_billed_units(), agreed) if agreed else Fraction(0)
        return max(fraction(self.percent) - billed, Fraction(0))

    def _get_fixed_allocations(self):
        """Give the allocations that no longer move: all those of a milestone that was ever billed."""
        return self.filtered(lambda line: line._get_billed_allocations()).allocation_ids

    def _get_target_row(self, total, rounding):
        """Give the row of the allocation engine that says how much this milestone bills.

        :param int total: net units of the whole order.
        :param rounding: smallest amount of the currency.
        :rtype: tuple[str, Fraction | int]
        """
        self.ensure_one()
        if self.amount_type == "remainder":
            return "remainder", 0
        if self.amount_type == "percent":
            kind, value = "share", total * fraction(self.percent) / 100
        else:
            kind, value = "fixed", to_units(self.amount_fixed, rounding)
        if billed := self._get_billed_units():
            value = less(value, billed)
        return kind, value

    def _chooses_order_lines(self):
        """Tell whether this milestone bills order lines chosen by hand; the one that takes the rest does not."""
        self.ensure_one()
        return self.allocation_mode != "share" and self.amount_type != "remainder"

    def _get_chosen_shares(self, order_lines):
        """Give the exact share of each chosen order line.

        :param order_lines: order lines, also new ones of a form.
        :rtype: dict
        """
        self.ensure_one()
        planned = self.allocation_ids._filter_planned()
        # What a billed part has chosen counts as long as nothing else is chosen: it may have been credited and given up.
        rows = [*(self.allocation_ids - planned), *planned]
        chosen = {row.order_line_id._origin.id: fraction(row.percent) / 100 for row in rows if row.percent}
        return {key: chosen[key._origin.id] for key in order_lines if key._origin.id in chosen}

    def _check_chosen_shares(self):
        """Refuse milestones that together choose more than the whole of an order line.

        :raise UserError: naming the order line and the milestones.
        """
        totals = {}
        for line in self.filtered(
            lambda line: line.allocation_mode == "lines" and line._chooses_order_lines()
        ):
            for order_line, share in line._get_chosen_shares(line.order_id.order_line).items():
                total, lines = totals.get(order_line, (0, self.browse()))
                totals[order_line] = total + share, lines + line
        for order_line, (total, lines) in totals.items():
            if total > 1:
                raise UserError(
                    self.env._(
                        "%(milestones)s choose %(percent)s %% of “%(line)s” together. Choose 100 %% of it at most.",
                        milestones=", ".join(f"“{name}”" for name in lines.mapped("name")),
                        percent=f"{float(100 * total):g}",
                        line=order_line.name,
                    )
                )
