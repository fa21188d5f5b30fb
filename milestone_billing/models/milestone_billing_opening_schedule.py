"""What was billed before in the figures of a schedule and of its order."""

from odoo import api, fields, models

from ..tools import statement
from ..tools.money import amount_text, to_text, to_units


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    opening_ids = fields.One2many("milestone.billing.opening", "schedule_id", string="Invoices from Before")
    amount_before = fields.Monetary(
        string="Billed Before",
        compute="_compute_amount_before",
        store=True,
        help="Untaxed, on invoices of another system; an opening balance without an entry here.",
    )

    @api.depends("opening_ids.amount_untaxed", "opening_ids.is_booked")
    def _compute_amount_before(self):
        for schedule in self:
            schedule.amount_before = sum(schedule._get_openings().mapped("amount_untaxed"))

    def _get_openings(self):
        """Give the outside invoices that count.

        :rtype: milestone.billing.opening
        """
        return self.opening_ids.filtered("is_booked").sorted(lambda opening: (opening.step, opening.id))

    def _get_retained_before_units(self):
        if not self.amount_before:
            return 0
        rounding = self.currency_id.rounding
        return sum(to_units(opening.amount_retained, rounding) for opening in self._get_openings())

    def action_open_cut_over(self):
        """Open the wizard that enters what was billed of this schedule before."""
        self.ensure_one()
        return self.env["milestone.billing.cut.over"]._open(self, self.line_ids)

    def _freeze(self):
        """Extend to count outside invoices that were entered on the quotation."""
        result = super()._freeze()
        self.opening_ids.filtered(lambda opening: not opening.is_booked)._book()
        return result

    def _prepare_tie_out_opening(self):
        """Give the opening balance, which stands in the statement and not in this ledger.

        :rtype: dict
        """
        rounding = self.currency_id.rounding
        return {
            "amount_untaxed": amount_text(self.amount_before, rounding),
            "amount_retained": to_text(self._get_retained_before_units(), rounding),
            "references": self._get_openings().mapped("reference"),
        }

    def _tie_out_openings(self):
        """Each outside invoice bills what its allocations say."""
        found, rounding = [], self.currency_id.rounding
        for opening in self._get_openings():
            expected = to_units(opening.amount_untaxed, rounding)
            actual = to_units(sum(opening.allocation_ids.mapped("amount_untaxed")), rounding)
            if expected != actual:
                message = self.env._("%s, billed before, differs from the milestone.", opening.reference)
                found.append(
                    self._prepare_difference("opening", message, expected, actual, line_id=opening.line_id.id)
                )
        return found


class MilestoneBillingOpening(models.Model):
    _inherit = "milestone.billing.opening"

    def _get_billing_place(self):
        """Give the place of this invoice among the documents of its schedule, for sorting."""
        return self.step, 0, self.id

    def _get_billed_line(self):
        return self.line_id

    def _is_issued(self):
        return True

    def _get_issue_date(self):
        return self.date

    def _prepare_billing(self):
        """Give what this invoice bills to the engine of the statement.

        :rtype: statement.Billing
        """
        self.ensure_one()
        rounding = self.currency_id.rounding
        parts = {}
        for alloc in self.allocation_ids:
            parts[alloc.order_line_id] = parts.get(alloc.order_line_id, 0) + to_units(
                alloc.amount_untaxed, rounding
            )
        gross = self.schedule_id.retainage_base == "gross"
        return statement.Billing(
            key=self,
            parts=parts,
            retained=to_units(self.amount_retained, rounding),
            total=to_units(self.amount_total, rounding) if gross else None,
        )

    def _prepare_earlier_invoice_row(self):
        """Give the figures of this invoice as a final invoice lists them; see `_get_earlier_invoices`.

        :rtype: dict
        """
        self.ensure_one()
        rounding = self.currency_id.rounding
        paid = self.amount_total - self.amount_retained if self.is_paid else 0.0
        amounts = {
            "net": self.amount_untaxed,
            "tax": self.amount_tax,
            "total": self.amount_total,
            "paid": paid,
        }
        return {
            "move_id": False,
            "line_id": self.line_id.id,
            "number": self.reference,
            "date": self.date,
            "label": self.line_id.display_name,
            **{name: amount_text(amount, rounding) for name, amount in amounts.items()},
        }

    def _prepare_account_amounts(self):
        """Give what this invoice bills, holds back, was paid and leaves open; see the documents of this ledger.

        :rtype: dict[str, str]
        """
        self.ensure_one()
        rounding = self.currency_id.rounding
        units = {
            "billed": to_units(self.amount_total, rounding),
            "retained": to_units(self.amount_retained, rounding),
        }
        units["paid"] = units["billed"] - units["retained"] if self.is_paid else 0
        units["balance"] = units["billed"] - units["retained"] - units["paid"]
        return {name: to_text(count, rounding) for name, count in units.items()}


class SaleOrderLine(models.Model):
    _inherit = "sale.order.line"

    def _get_amounts_before(self):
        """Give net and total that were billed before of these order lines.

        A deposit that is recovered later stands on its down payment line until then, as one billed here does.

        :return: ``{order line: (untaxed, total)}``, only lines with something billed before.
        :rtype: dict
        """
        lines = self.sudo().filtered(lambda line: line.order_id.milestone_schedule_id.amount_before)
        return {line: amounts for line in lines if any(amounts := line._sum_amounts_before())}

    def _sum_amounts_before(self):
        if deposit := self.milestone_deposit_id:
            rows = deposit.allocation_ids.filtered(
                lambda row: row.opening_id.is_advance and row.order_line_id.tax_ids == self.tax_ids
            )
        else:
            rows = self.milestone_allocation_ids.filtered(
                lambda row: row.opening_id and not row.opening_id.is_advance
            )
        untaxed = sum(rows.mapped("amount_untaxed"))
        return untaxed, untaxed + sum(rows.mapped("amount_tax"))

    @api.depends("order_id.milestone_schedule_id.amount_before")
    def _compute_qty_invoiced(self):
        """Override of `sale`: what was billed before counts, see `_prepare_qty_invoiced`."""
        return super()._compute_qty_invoiced()

    def _prepare_qty_invoiced(self):
        """Override of `sale`: what was billed before counts as invoiced."""
        quantities = super()._prepare_qty_invoiced()
        for line, (untaxed, _total) in self._get_amounts_before().items():
            quantities[line] += line._get_quantity_before(untaxed)
        return quantities

    @api.depends("order_id.milestone_schedule_id.amount_before")
    def _compute_qty_invoiced_posted(self):
        """Override of `sale`: what was billed before counts as invoiced."""
        result = super()._compute_qty_invoiced_posted()
        for line, (untaxed, _total) in self._get_amounts_before().items():
            line.qty_invoiced_posted += line._get_quantity_before(untaxed)
        return result

    def _get_quantity_before(self, untaxed):
        if self.milestone_deposit_id:
            return 1.0
        return self.product_uom_qty * untaxed / self.price_subtotal if self.price_subtotal else 0.0

    @api.depends("order_id.milestone_schedule_id.amount_before")
    def _compute_untaxed_amount_invoiced(self):
        """Override of `sale`: what was billed before counts as invoiced."""
        result = super()._compute_untaxed_amount_invoiced()
        for line, (untaxed, _total) in self._get_amounts_before().items():
            line.untaxed_amount_invoiced += untaxed
        return result

    @api.depends("order_id.milestone_schedule_id.amount_before")
    def _compute_amount_invoiced(self):
        """Override of `sale`: what was billed before counts as invoiced."""
        result = super()._compute_amount_invoiced()
        for line, (_untaxed, total) in self._get_amounts_before().items():
            line.amount_invoiced += total
        return result
