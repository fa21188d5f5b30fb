from odoo import api, fields, models
from odoo.exceptions import ValidationError


class MilestoneBillingChangeLine(models.Model):
    """One position of a change order: what an order line was, and what it will be."""

    _name = "milestone.billing.change.line"
    _description = "Change Order Line"
    _order = "change_id, sequence, id"

    change_id = fields.Many2one("milestone.billing.change", required=True, index=True, ondelete="cascade")
    sequence = fields.Integer(default=10)
    company_id = fields.Many2one(related="change_id.company_id", store=True)
    order_id = fields.Many2one(related="change_id.order_id")
    currency_id = fields.Many2one(related="change_id.currency_id")
    order_line_id = fields.Many2one(
        "sale.order.line",
        index="btree_not_null",
        ondelete="restrict",
        domain="[('order_id', '=', order_id), ('is_milestone_billed', '=', True)]",
        help="The line that changes; leave it empty to add a line.",
    )
    product_id = fields.Many2one("product.product", domain="[('sale_ok', '=', True)]")
    name = fields.Text(
        string="Description",
        compute="_compute_name",
        store=True,
        readonly=False,
        precompute=True,
        required=True,
    )
    quantity_before = fields.Float(
        digits="Product Unit", compute="_compute_before", store=True, precompute=True
    )
    price_before = fields.Float(
        digits="Product Price", compute="_compute_before", store=True, precompute=True
    )
    quantity = fields.Float(
        string="Quantity After",
        digits="Product Unit",
        compute="_compute_after",
        store=True,
        readonly=False,
        precompute=True,
    )
    price_unit = fields.Float(
        string="Price After",
        digits="Product Price",
        compute="_compute_after",
        store=True,
        readonly=False,
        precompute=True,
    )
    amount_before = fields.Monetary(string="Before", compute="_compute_amounts", store=True)
    amount_after = fields.Monetary(string="After", compute="_compute_amounts", store=True)
    amount_untaxed = fields.Monetary(string="Difference", compute="_compute_amounts", store=True)
    amount_tax = fields.Monetary(string="Tax", compute="_compute_amounts", store=True)

    # === CRUD ===

    @api.model_create_multi
    def create(self, vals_list):
        """Add positions to changes that the client has not seen."""
        changes = self.env["milestone.billing.change"].browse(
            vals["change_id"] for vals in vals_list if vals.get("change_id")
        )
        changes._check_is_draft()
        lines = super().create(vals_list)
        lines.change_id._check_is_draft()  # a caller's context may name another one
        return lines

    def write(self, vals):
        """Change positions of changes that the client has not seen."""
        self.change_id._check_is_draft()
        result = super().write(vals)
        self.change_id._check_is_draft()
        return result

    @api.ondelete(at_uninstall=False)
    def _unlink_except_proposed(self):
        self.change_id._check_is_draft()

    # === COMPUTE ===

    @api.depends("order_line_id", "product_id")
    def _compute_name(self):
        for line in self:
            line.name = line.name or line.order_line_id.name or line.product_id.display_name

    @api.depends("order_line_id")
    def _compute_before(self):
        for line in self:
            line.quantity_before = line.order_line_id.product_uom_qty
            line.price_before = line.order_line_id.price_unit

    @api.depends("order_line_id", "product_id")
    def _compute_after(self):
        for line in self:
            origin = line.order_line_id
            line.quantity = line.quantity or origin.product_uom_qty or 1.0
            line.price_unit = line.price_unit or origin.price_unit or line.product_id.list_price

    @api.depends("order_line_id", "product_id", "quantity", "price_unit", "quantity_before", "price_before")
    def _compute_amounts(self):
        for line in self:
            before = line._get_totals(line.quantity_before, line.price_before)
            after = line._get_totals(line.quantity, line.price_unit)
            line.amount_before, line.amount_after = before[0], after[0]
            line.amount_untaxed = after[0] - before[0]
            line.amount_tax = after[1] - before[1]

    def _get_totals(self, quantity, price_unit):
        """Give net and tax of a quantity at a price, with the taxes of the line.

        :rtype: tuple[float, float]
        """
        price = price_unit * (1 - self.order_line_id.discount / 100.0)
        lowered = price * (1 - self.order_id.payment_term_id._get_tax_discount())
        totals, taxed = (self._compute_all(amount, quantity) for amount in (price, lowered))
        return totals["total_excluded"], taxed["total_included"] - taxed["total_excluded"]

    def _compute_all(self, price, quantity):
        return self._get_taxes().compute_all(
            price,
            currency=self.currency_id,
            quantity=quantity,
            product=self.product_id,
            partner=self.order_id.partner_id,
            rounding_method=self.order_id.milestone_schedule_id.tax_rounding_method or None,
        )

    def _get_taxes(self):
        if self.order_line_id:
            return self.order_line_id.tax_ids
        taxes = self.product_id.taxes_id._filter_taxes_by_company(self.company_id or self.env.company)
        return self.order_id.fiscal_position_id.map_tax(taxes) if self.order_id.fiscal_position_id else taxes

    @api.constrains("order_line_id", "change_id", "product_id")
    def _check_origin(self):
        for line in self:
            if line.order_line_id and line.order_line_id.order_id != line.change_id.order_id:
                raise ValidationError(
                    self.env._(
                        "“%s” is a line of another order. Pick one of this order.", line.order_line_id.name
                    )
                )
            if not line.order_line_id and not line.product_id:
                raise ValidationError(
                    self.env._("Pick the order line that changes, or a product for a new line.")
                )

    def _is_stale(self):
        """Tell whether the order line is no longer what the change started from."""
        self.ensure_one()
        origin = self.order_line_id
        return bool(origin) and (
            origin.product_uom_qty != self.quantity_before or origin.price_unit != self.price_before
        )

    def _prepare_order_line_values(self):
        """Give the values that bring the order line to its new state.

        :rtype: dict
        """
        self.ensure_one()
        values = {"product_uom_qty": self.quantity, "price_unit": self.price_unit}
        if self.order_line_id:
            return values
        return {
            **values,
            "product_id": self.product_id.id,
            "name": self.name,
            "is_milestone_billed": True,
            "tax_ids": [fields.Command.set(self._get_taxes().ids)],
        }
