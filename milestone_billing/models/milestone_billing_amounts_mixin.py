from odoo import fields, models

from ..tools.money import to_units


class MilestoneBillingAmountsMixin(models.AbstractModel):
    """Net, taxes and quantity of a part of an order line."""

    _name = "milestone.billing.amounts.mixin"
    _description = "Milestone Amounts"

    currency_id = fields.Many2one("res.currency")
    quantity = fields.Float(digits="Product Unit", readonly=True)
    amount_untaxed = fields.Monetary(string="Untaxed", readonly=True)
    amount_tax = fields.Monetary(string="Tax", readonly=True)
    tax_amounts = fields.Json(
        readonly=True, help="Tax and base by tax id, as decimal numbers in the currency of the order."
    )

    def _bills_anything(self):
        """Tell whether there is a quantity or an amount: a chosen order line may wait with nothing."""
        self.ensure_one()
        return self._is_anything(self._get_amounts())

    def _is_anything(self, amounts):
        """Tell whether amounts bill anything; taxes may take each other back and leave no total.

        :param dict amounts: amounts by field name, see `_get_amounts`.
        """
        if amounts["quantity"] or amounts["amount_untaxed"] or amounts["amount_tax"]:
            return True
        return any(float(tax["tax"]) for tax in (amounts["tax_amounts"] or {}).values())

    def _get_amounts(self):
        """Give the amounts by field name.

        :rtype: dict
        """
        self.ensure_one()
        return {
            "quantity": self.quantity,
            "amount_untaxed": self.amount_untaxed,
            "amount_tax": self.amount_tax,
            "tax_amounts": self.tax_amounts,
        }

    def _get_units(self, digits):
        """Read the stored amounts as whole units of the engine.

        :param int digits: decimals of quantities.
        :rtype: dict
        """
        self.ensure_one()
        rounding = self.currency_id.rounding
        units = {
            "net": to_units(self.amount_untaxed, rounding),
            "qty": to_units(self.quantity, 10**-digits),
        }
        for tax_id, amounts in (self.tax_amounts or {}).items():
            units[f"t{tax_id}"] = to_units(amounts["tax"], rounding)
            units[f"b{tax_id}"] = to_units(amounts["base"], rounding)
        return units
