"""How taxes are rounded is agreed with the order: another setting of the company changes no contract that runs."""

from odoo import fields, models


class AccountTax(models.Model):
    _inherit = "account.tax"

    def _add_tax_details_in_base_line(self, base_line, company, rounding_method=None):
        """Override of `account`: orders billed by milestones keep the rounding with which they were confirmed."""
        record = base_line["record"]
        if not rounding_method and isinstance(record, models.BaseModel):
            if record._name == "sale.order.line":
                record = record.order_id
            if record._name == "sale.order":
                rounding_method = record.sudo().milestone_schedule_id.tax_rounding_method or None
        return super()._add_tax_details_in_base_line(base_line, company, rounding_method=rounding_method)


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    tax_rounding_method = fields.Selection(
        [("round_per_line", "Round per Line"), ("round_globally", "Round Globally")],
        string="Rounding of Taxes",
        readonly=True,
        copy=False,
        help="As the company rounded taxes when the order was confirmed; it stays for this contract.",
    )

    def _keep_tax_rounding(self):
        """Keep the rounding that gives the tax which the client sees on the order.

        That is the company's, or the other where the company has changed it since the quotation was made.
        """
        for schedule in self:
            order = schedule.order_id
            own = order.company_id.tax_calculation_rounding_method
            methods = dict(self._fields["tax_rounding_method"].selection)
            fitting = (
                method
                for method in sorted(methods, key=lambda method: method != own)
                if not order.currency_id.compare_amounts(order._get_tax_rounded(method), order.amount_tax)
            )
            schedule.tax_rounding_method = next(fitting, own)


class SaleOrder(models.Model):
    _inherit = "sale.order"

    def _get_tax_rounded(self, method):
        """Give the tax of this order as one of the two ways of rounding gives it.

        :rtype: float
        """
        AccountTax = self.env["account.tax"]
        base_lines = [line._prepare_base_line_for_taxes_computation() for line in self._get_priced_lines()]
        base_lines += self._add_base_lines_for_early_payment_discount()
        for base_line in base_lines:
            AccountTax._add_tax_details_in_base_line(base_line, self.company_id, rounding_method=method)
        AccountTax._round_base_lines_tax_details(base_lines, self.company_id)
        return AccountTax._get_tax_totals_summary(
            base_lines=base_lines, currency=self.currency_id, company=self.company_id
        )["tax_amount_currency"]
