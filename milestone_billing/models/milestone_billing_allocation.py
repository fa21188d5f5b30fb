from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ..tools.context import drop_defaults
from ..tools.money import to_text, to_units

# What people enter; everything else follows from the plan.
BY_HAND = {"line_id", "order_line_id", "percent"}


class MilestoneBillingAllocation(models.Model):
    """Which part of an order line a milestone bills: planned without a document, billed with one.

    The document is an invoice or credit note of this ledger, or an invoice that was issued before elsewhere.

    Credit notes add rows with negative amounts. For every order line the rows of all milestones add up to
    the order line, so nothing is billed twice and nothing is lost.
    """

    _name = "milestone.billing.allocation"
    _description = "Milestone Allocation"
    _inherit = "milestone.billing.amounts.mixin"
    _order = "line_id, order_line_id, id"

    line_id = fields.Many2one(
        "milestone.billing.line", string="Milestone", required=True, index=True, ondelete="cascade"
    )
    order_id = fields.Many2one(related="line_id.order_id", store=True, index=True)
    company_id = fields.Many2one(related="line_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="line_id.currency_id")
    order_line_id = fields.Many2one("sale.order.line", required=True, index=True, ondelete="restrict")
    move_id = fields.Many2one(
        "account.move",
        string="Document",
        readonly=True,
        index="btree_not_null",
        ondelete="restrict",
        help="The invoice or credit note that bills this part; empty while it is planned.",
    )
    opening_id = fields.Many2one(
        "milestone.billing.opening",
        string="Billed Before",
        readonly=True,
        index="btree_not_null",
        ondelete="cascade",
        help="The outside invoice that billed this part before the order was billed here.",
    )
    percent = fields.Float(
        string="Share (%)",
        digits=(16, 6),
        help="Share of the order line that this milestone bills, when lines are chosen by hand.",
    )
    _planned_once = models.UniqueIndex(
        "(line_id, order_line_id) WHERE move_id IS NULL AND opening_id IS NULL",
        "An order line can be planned only once in the same milestone.",
    )
    _percent_range = models.Constraint(
        "CHECK (percent >= 0 AND percent <= 100)", "The share of an order line must be between 0 and 100 %."
    )

    @api.model_create_multi
    def create(self, vals_list):
        """Create parts of milestones; by hand only the chosen order lines and their shares."""
        # The index on planned rows looks at the database: rows that got their document just now must be there.
        self.flush_model(["move_id", "opening_id"])
        self._check_by_hand(vals_list)
        context = drop_defaults(self.env.context, self._fields.keys() - BY_HAND)
        model = self.with_context(context)  # pylint: disable=context-overridden
        allocations = super(MilestoneBillingAllocation, model).create(vals_list)
        allocations.filtered("percent")._plan_again()
        return allocations

    def write(self, vals):
        """Change shares by hand only; what follows from them is planned again."""
        self._check_by_hand([vals])
        result = super().write(vals)
        if vals.keys() & BY_HAND:
            self._plan_again()
        return result

    def unlink(self):
        """Plan again when somebody takes an order line out of an open milestone; a share of every line comes back."""
        self._check_by_hand([])
        lines = self.line_id if not self.env.su else self.line_id.browse()
        chosen = self.filtered("percent").line_id & lines
        result = super().unlink()
        chosen._plan_chosen_again()
        if schedules := (lines - chosen).schedule_id:
            schedules.sudo()._replan()
        return result

    def _check_by_hand(self, vals_list):
        """Let people choose order lines and shares of open milestones, and nothing else.

        :raise AccessError: for amounts and documents, which follow from the plan.
        :raise UserError: for a part that is billed.
        """
        if self.env.su:
            return
        if any(vals.keys() - BY_HAND for vals in vals_list):
            raise AccessError(
                self.env._("Choose order lines and their shares; the amounts follow from them.")
            )
        for alloc in self:
            if alloc._is_billed() or alloc.line_id.sudo()._get_live_invoice():
                raise UserError(
                    self.env._(
                        "Milestone “%s” is billed and does not move any more. Credit its invoice to change it.",
                        alloc.line_id.name,
                    )
                )

    def _plan_again(self):
        if not self.env.su:
            self.line_id._plan_chosen_again()

    is_billed = fields.Boolean(compute="_compute_is_billed", help="A document bills this part.")

    @api.depends("move_id", "opening_id")
    def _compute_is_billed(self):
        for alloc in self:
            alloc.is_billed = alloc.sudo()._is_billed()

    def _empty(self):
        """Let these planned allocations bill nothing; the choice of the order line stays."""
        nothing = {"quantity": 0.0, "amount_untaxed": 0.0, "amount_tax": 0.0, "tax_amounts": {}}
        self.sudo().write(nothing)

    def _is_billed(self):
        """Tell whether a document bills this part, here or before."""
        self.ensure_one()
        return bool(self.move_id or self.opening_id)

    def _filter_planned(self):
        """Keep what no document bills yet."""
        return self.filtered(lambda alloc: not alloc.move_id and not alloc.opening_id)

    def _add_amounts(self, amounts):
        """Raise or lower a planned allocation, removing it when nothing is left.

        :param dict amounts: `quantity`, `amount_untaxed`, `amount_tax` and `tax_amounts` to add.
        """
        self.ensure_one()
        rounding = self.currency_id.rounding
        taxes = dict(self.tax_amounts or {})
        for tax_id, added in (amounts["tax_amounts"] or {}).items():
            old = taxes.get(tax_id, {"tax": "0", "base": "0"})
            taxes[tax_id] = {
                name: to_text(to_units(old[name], rounding) + to_units(added[name], rounding), rounding)
                for name in ("tax", "base")
            }
        values = {
            "quantity": self.quantity + amounts["quantity"],
            "amount_untaxed": self.currency_id.round(self.amount_untaxed + amounts["amount_untaxed"]),
            "amount_tax": self.currency_id.round(self.amount_tax + amounts["amount_tax"]),
            "tax_amounts": taxes,
        }
        if self._is_anything(values):
            self.sudo().write(values)
        else:
            self.sudo().unlink()

    def _plan_detached(self):
        """Plan again what documents that are gone have billed, together with what credit notes took back meanwhile."""
        for alloc in self:
            rows = alloc.line_id.allocation_ids._filter_planned()
            if planned := rows.filtered(lambda row, alloc=alloc: row.order_line_id == alloc.order_line_id):
                amounts = planned._get_amounts()
                planned.sudo().unlink()
                alloc.sudo().move_id = False
                alloc._add_amounts(amounts)
            else:
                alloc.sudo().move_id = False


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _plan_chosen_again(self):
        """Spread confirmed orders again after other order lines or shares were chosen by hand.

        :raise UserError: when the milestones would not add up to the order any more.
        """
        frozen = self.schedule_id.filtered("is_frozen").sudo()
        chosen = self.filtered(lambda line: line.schedule_id in frozen and line._chooses_order_lines())
        if chosen:
            chosen.schedule_id.sudo().line_ids._check_plan_inputs()
            chosen.schedule_id.sudo()._check_fits_order()
            chosen.schedule_id.sudo()._replan()
            chosen._tell_why_moved(
                lambda names: self.env._("Other order lines or shares were chosen: %s.", names)
            )
