"""Links between an order and its schedule, which the schedule alone makes: they decide what milestones bill."""

from odoo import api, models
from odoo.exceptions import AccessError

from ..tools.context import drop_defaults


class SaleOrder(models.Model):
    _inherit = "sale.order"

    @api.model_create_multi
    def create(self, vals_list):
        """Extend: a new order brings no schedule of another one."""
        self._check_schedule_kept(vals_list)
        context = drop_defaults(self.env.context, ["milestone_schedule_id"])
        model = self.with_context(context)  # pylint: disable=context-overridden
        return super(SaleOrder, model).create(vals_list)

    def write(self, vals):
        """Extend: an order keeps its schedule."""
        self._check_schedule_kept([vals])
        return super().write(vals)

    def _check_schedule_kept(self, vals_list):
        if not self.env.su and any("milestone_schedule_id" in vals for vals in vals_list):
            raise AccessError(
                self.env._(
                    "An order keeps the milestone schedule that was made for it. Change the milestones instead."
                )
            )


class SaleOrderLine(models.Model):
    _inherit = "sale.order.line"

    @api.model_create_multi
    def create(self, vals_list):
        """Extend: only milestones make their down payment lines."""
        self._check_deposit_kept(vals_list)
        context = drop_defaults(self.env.context, ["milestone_deposit_id"])
        model = self.with_context(context)  # pylint: disable=context-overridden
        return super(SaleOrderLine, model).create(vals_list)

    def write(self, vals):
        """Extend: a down payment line keeps the deposit that it books."""
        self._check_deposit_kept([vals])
        return super().write(vals)

    def _check_deposit_kept(self, vals_list):
        if not self.env.su and any("milestone_deposit_id" in vals for vals in vals_list):
            raise AccessError(
                self.env._(
                    "Down payment lines of a deposit are made when its milestone is billed. Complete the milestone instead."
                )
            )
