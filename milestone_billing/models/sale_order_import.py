"""Odoo's own import of orders, with their milestones in the same sheet."""

from odoo import api, models


class SaleOrder(models.Model):
    _inherit = "sale.order"

    @api.model
    def get_import_templates(self):
        """Override of `sale` to offer a sheet of orders with milestones."""
        return [
            *super().get_import_templates(),
            {
                "label": self.env._("Import Template for Orders with Milestones"),
                "template": "/milestone_billing/static/xls/orders_with_milestones.csv",
            },
        ]
