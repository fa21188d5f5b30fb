from odoo import api, fields, models
from odoo.exceptions import UserError

from ..tools.money import to_float, to_units

# Whether milestones bill a line follows from these, unless somebody says so.
OWNER_FIELDS = {"is_milestone_billed", "is_downpayment", "is_expense", "product_id", "display_type"}
COLUMN_FIELDS = OWNER_FIELDS | {
    "product_uom_qty",
    "product_uom_id",
    "price_unit",
    "discount",
    "tax_ids",
    "sequence",
}


class SaleOrderLine(models.Model):
    _inherit = "sale.order.line"

    is_milestone_billed = fields.Boolean(
        string="Billed by Milestones",
        compute="_compute_is_milestone_billed",
        store=True,
        readonly=False,
        precompute=True,
        help="The milestone schedule bills this line. Lines that are billed by timesheets or deliveries go their "
        "usual way beside it.",
    )
    milestone_allocation_ids = fields.One2many("milestone.billing.allocation", "order_line_id", copy=False)

    @api.depends("product_id", "display_type", "is_downpayment", "is_expense")
    def _compute_is_milestone_billed(self):
        for line in self:
            line.is_milestone_billed = (
                not line.display_type
                and not line.is_downpayment
                and not line.is_expense
                and line.product_id._is_billed_by_milestones()
            )

    # === FIGURES OF THE ORDER ===

    def _has_frozen_schedule(self):
        return self.is_milestone_billed and self.order_id.milestone_schedule_id.is_frozen

    @api.depends("price_subtotal", "product_uom_qty", "order_id.milestone_schedule_id.is_frozen")
    def _compute_qty_invoiced(self):
        """Override of `sale`: it follows amounts, see `_prepare_qty_invoiced`, so it changes with price and quantity."""
        return super()._compute_qty_invoiced()

    def _prepare_qty_invoiced(self):
        """Override of `sale`: the quantity that milestones have billed follows their amounts.

        A milestone may bill 33.33 % of one unit, which no rounded quantity can say on its invoice.
        """
        quantities = super()._prepare_qty_invoiced()
        for line in self:
            if line._has_frozen_schedule() and line.price_subtotal:
                quantities[line] = line._get_milestone_quantity(("draft", "posted"))
        return quantities

    def _get_milestone_quantity(self, states):
        billed = 0.0
        for invoice_line in self._get_invoice_lines():
            move = invoice_line.move_id
            if move.state in states:
                billed -= invoice_line.amount_currency
        return self.product_uom_qty * billed / self.price_subtotal

    @api.depends("price_subtotal", "product_uom_qty", "order_id.milestone_schedule_id.is_frozen")
    def _compute_qty_invoiced_posted(self):
        """Override of `sale`: see `_prepare_qty_invoiced`."""
        result = super()._compute_qty_invoiced_posted()
        for line in self:
            if line._has_frozen_schedule() and line.price_subtotal:
                line.qty_invoiced_posted = line._get_milestone_quantity(("posted",))
        return result

    @api.depends("order_id.milestone_schedule_id.is_frozen", "is_milestone_billed")
    def _compute_qty_to_invoice(self):
        """Override of `sale`: nothing waits for “Create invoice”, milestones draft their own."""
        result = super()._compute_qty_to_invoice()
        for line in self:
            if line._has_frozen_schedule() or line.milestone_deposit_id:
                line.qty_to_invoice = 0.0
        return result

    @api.depends("amount_invoiced", "order_id.milestone_schedule_id.is_frozen", "is_milestone_billed")
    def _compute_amount_to_invoice(self):
        """Override of `sale`: what is left to bill is exact, not a rounded quantity times a price."""
        result = super()._compute_amount_to_invoice()
        for line in self:
            if line._has_frozen_schedule():
                line.amount_to_invoice = line._get_milestone_total() - line.amount_invoiced
        return result

    def _get_milestone_total(self):
        """Give what milestones bill of this line in all; payment terms may lower its tax."""
        if not self.order_id.payment_term_id._get_tax_discount():
            return self.price_total
        rows = self.sudo().milestone_allocation_ids
        return sum(rows.mapped("amount_untaxed")) + sum(rows.mapped("amount_tax"))

    def _get_exempt_tax_ids(self):
        """Give the ids of taxes that are booked but not charged (reverse charge)."""
        taxes = self.tax_ids.flatten_taxes_hierarchy()
        return frozenset(taxes.filtered("has_negative_factor").ids)

    # === CRUD ===

    @api.model_create_multi
    def create(self, vals_list):
        """Extend: a new line is spread over the open milestones."""
        lines = super().create(vals_list)
        lines.filtered("is_milestone_billed").order_id.milestone_schedule_id.sudo()._on_order_changed()
        return lines

    def write(self, vals):
        """Extend: what is billed keeps its terms, and the open milestones follow the line."""
        before = self._get_billed_terms() if vals.keys() & (OWNER_FIELDS | {"tax_ids"}) else {}
        lines = self._filter_priced()
        result = super().write(vals)
        self._check_terms_kept(before)
        if vals.get("is_milestone_billed"):
            self.order_id.milestone_schedule_id.filtered("is_frozen")._check_invoiced_by_milestones()
        lines |= self._filter_priced()
        if lines and vals.keys() & COLUMN_FIELDS:
            if vals.keys() & (COLUMN_FIELDS - {"sequence"}):
                lines._check_not_below_billed()
            lines.order_id.milestone_schedule_id.sudo()._on_order_changed()
        return result

    @api.ondelete(at_uninstall=False)
    def _unlink_except_billed_by_milestone(self):
        if billed := self._get_billed_rows():
            raise UserError(
                self.env._(
                    "“%s” is billed by a milestone and cannot be removed. Credit the milestone's invoice first.",
                    billed[0].order_line_id.name,
                )
            )

    def unlink(self):
        """Extend: the open milestones follow when a line is taken out."""
        self._unlink_except_billed_by_milestone()
        self.sudo().milestone_allocation_ids.unlink()
        schedules = self.order_id.milestone_schedule_id
        result = super().unlink()
        schedules.sudo()._on_order_changed()
        return result

    def _filter_priced(self):
        return self.filtered(lambda line: not line.is_downpayment and not line.display_type)

    def _get_billed_terms(self):
        """Give what may not change on lines that milestones have billed: the taxes, and that milestones bill them.

        :rtype: dict
        """
        return {
            line: (line.tax_ids, line.is_milestone_billed)
            for line in self
            if sum(line._get_billed_rows().mapped("amount_untaxed"))
            or (line.milestone_deposit_id and line.invoice_lines)
        }

    def _get_billed_rows(self):
        return self.sudo().milestone_allocation_ids.filtered(lambda alloc: alloc._is_billed())

    def _check_terms_kept(self, before):
        for line, terms in before.items():
            if (line.tax_ids, line.is_milestone_billed) != terms:
                raise UserError(
                    self.env._(
                        "Milestones have billed “%s” with the taxes it had. Credit them first, or set its quantity to "
                        "what is billed and add a new line for the rest.",
                        line.name,
                    )
                )

    def _check_not_below_billed(self):
        """Refuse a change that would leave an order line below what its milestones have billed."""
        Schedule, columns = self.env["milestone.billing.schedule"], {}
        for line in self.filtered("is_milestone_billed"):
            rounding = line.currency_id.rounding
            billed = to_units(sum(line._get_billed_rows().mapped("amount_untaxed")), rounding)
            if not billed:
                continue
            if line.order_id not in columns:
                columns[line.order_id] = Schedule._get_order_columns(line.order_id)
            # As the engine rounds the whole order, which may be another unit than the line's own subtotal.
            net = columns[line.order_id][line]["net"]
            if abs(net) < abs(billed) or billed * net < 0:
                raise UserError(
                    self.env._(
                        "Milestones have billed %(billed)s of “%(name)s”, more than the new total of %(total)s. "
                        "Credit a milestone first, or keep at least the billed amount.",
                        billed=line.currency_id.format(to_float(billed, rounding)),
                        name=line.name,
                        total=line.currency_id.format(to_float(net, rounding)),
                    )
                )


class ProductProduct(models.Model):
    _inherit = "product.product"

    def _is_billed_by_milestones(self):
        """Tell whether milestones bill this product; goods that are delivered and time sheets go their usual way.

        :rtype: bool
        """
        if self.invoice_policy != "delivery":
            return True
        return self.type == "service" and self.service_type in ("manual", "milestones")
