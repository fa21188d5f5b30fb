from math import isfinite

from odoo import api, fields, models
from odoo.exceptions import ValidationError


class MilestoneBillingAmountInputMixin(models.AbstractModel):
    """How much a milestone bills, as people enter it: on an order or in a template."""

    _name = "milestone.billing.amount.input.mixin"
    _description = "Milestone Amount Input"

    name = fields.Char(required=True)
    currency_id = fields.Many2one("res.currency")
    percent = fields.Float(digits=(16, 6))
    amount_fixed = fields.Monetary(string="Fixed Amount")

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            self._check_finite(vals, vals.get("name"))
        return super().create(vals_list)

    def write(self, vals):
        """Refuse what is no number in words: the ORM would fail on rounding it."""
        self._check_finite(vals, vals.get("name") or ", ".join(self.mapped("name")))
        return super().write(vals)

    def _check_finite(self, vals, name):
        for value in (vals.get("percent"), vals.get("amount_fixed")):
            if isinstance(value, float) and not isfinite(value):
                raise ValidationError(
                    self.env._("Milestone “%(name)s”: “%(value)s” is not a number.", name=name, value=value)
                )

    @api.constrains("percent", "amount_fixed")
    def _check_amount_inputs(self):
        """Refuse what is no share and no amount of an order, naming the milestone, which the database could not."""
        for record in self:
            if not 0 <= record.percent <= 100:
                raise ValidationError(
                    self.env._(
                        "Milestone “%(name)s” bills %(percent)s %%. Enter a percentage from 0 to 100.",
                        name=record.name,
                        percent=f"{record.percent:g}",
                    )
                )
            if record._is_wrongly_negative():
                raise ValidationError(
                    self.env._(
                        "Milestone “%(name)s” bills a fixed amount of %(amount)s. Enter zero or more.",
                        name=record.name,
                        amount=f"{record.amount_fixed:.{record.currency_id.decimal_places}f}",
                    )
                )

    def _is_wrongly_negative(self):
        """Tell whether the fixed amount is below zero where none may be.

        :rtype: bool
        """
        self.ensure_one()
        return self.amount_fixed < 0
