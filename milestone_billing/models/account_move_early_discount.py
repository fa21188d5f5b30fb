"""Early discounts: none of what the client holds back a part of, and those that lower the tax of each invoice.

The latter lower it paid early or not, and milestones come to the tax of the order:
`sale` and `account` add two lines for such a discount, which lower the base of the tax and leave the net as it is, and
round its tax on each document. Here the plan of the order says by how much each milestone's tax is lower: its lines
carry the lowered tax as a fixed amount, and the two lines of the discount lower the base alone.
"""

from odoo import api, models
from odoo.exceptions import UserError

from ..tools.money import to_units


class AccountPaymentTerm(models.Model):
    _inherit = "account.payment.term"

    def _get_tax_discount(self):
        """Give the share by which this term lowers the tax of every invoice; zero for most terms.

        :rtype: float
        """
        is_mixed = self.early_discount and self.early_pay_discount_computation == "mixed"
        return self.discount_percentage / 100.0 if is_mixed else 0.0


class AccountMove(models.Model):
    _inherit = "account.move"

    def _get_milestone_tax_discount(self):
        """Give the share by which the lines of this document carry less tax than their base has; zero for most.

        :rtype: float
        """
        document = self.reversed_entry_id if self.reversed_entry_id.milestone_document else self
        return document.milestone_document and document.invoice_payment_term_id._get_tax_discount()

    def _prepare_product_base_line_for_taxes_computation(self, product_line):
        """Override of `account`: a line whose tax is not fixed, as on an edited credit note, has the lowered tax, too."""
        base_line = super()._prepare_product_base_line_for_taxes_computation(product_line)
        share = self._get_milestone_tax_discount()
        if share and base_line["tax_ids"] and not base_line["manual_tax_amounts"]:
            lowered = {**base_line, "price_unit": base_line["price_unit"] * (1 - share)}
            AccountTax = self.env["account.tax"]
            AccountTax._add_tax_details_in_base_lines([lowered], self.company_id)
            AccountTax._round_base_lines_tax_details([lowered], self.company_id)
            base_line["manual_tax_amounts"] = {
                str(data["tax"].id): {"tax_amount_currency": data["tax_amount_currency"]}
                for data in lowered["tax_details"]["taxes_data"]
                if not data["is_reverse_charge"]
            }
        return base_line

    def _prepare_epd_base_line_for_taxes_computation(self, epd_line):
        """Override of `account`: the lines of the discount lower the base; the tax is lowered on the work itself.

        Each keeps its own balance: converted one by one, they would not always add up to nothing in the company's
        currency.
        """
        base_line = super()._prepare_epd_base_line_for_taxes_computation(epd_line)
        if self._get_milestone_tax_discount():
            base_line["rate"] = self._get_discount_rate(epd_line) or base_line["rate"]
            taxes = base_line["tax_ids"].flatten_taxes_hierarchy()
            base_line["manual_tax_amounts"] = {str(tax.id): {"tax_amount_currency": 0.0} for tax in taxes}
        return base_line

    def _get_discount_rate(self, item):
        """Give the rate at which a line of the discount keeps its balance; none where it has no amount to convert.

        The greatest one takes the balances of those without an amount, so that all of them add up to nothing.

        :rtype: float
        """
        items = self.line_ids.filtered(lambda other: other.display_type == "epd")
        balance = item.balance
        if item == max(items, key=lambda other: abs(other.amount_currency)):
            balance += sum(items.filtered(lambda other: not other.amount_currency).mapped("balance"))
        if not item.amount_currency:
            return 0.0
        # Without a balance: a rate at which nothing of the amount is left.
        smallest = self.company_currency_id.rounding / 1000
        return abs(item.amount_currency) / max(abs(balance), smallest)

    def _check_equals_milestone(self):
        """Extend: the invoice lowers the tax as the order does, or neither of them; no discount with retainage."""
        order = self.sudo().milestone_line_id.order_id
        if self.milestone_document == "stage" and (
            self.invoice_payment_term_id._get_tax_discount() != order.payment_term_id._get_tax_discount()
        ):
            raise UserError(
                self.env._(
                    "The payment terms of “%(milestone)s” lower its tax by another discount than those of %(order)s. "
                    "Choose the order's payment terms on the invoice.",
                    milestone=self.sudo().milestone_line_id.name,
                    order=order.name,
                )
            )
        if self.amount_retained and self.invoice_payment_term_id.early_discount:
            raise UserError(
                self.env._(
                    "Payment term “%(term)s” grants a discount for paying the invoice of “%(milestone)s” early, of which the "
                    "client holds a part back. Choose a term without it on the invoice.",
                    term=self.invoice_payment_term_id.name,
                    milestone=self.sudo().milestone_line_id.name,
                )
            )
        return super()._check_equals_milestone()


class SaleOrder(models.Model):
    _inherit = "sale.order"

    def write(self, vals):
        """Override of `sale`: payment terms that lower the tax by another discount change the plan, or are refused."""
        schedules = self.env["milestone.billing.schedule"]
        if "payment_term_id" in vals:
            term = self.env["account.payment.term"].browse(vals["payment_term_id"])
            discount = term._get_tax_discount()
            changed = self.filtered(lambda order: order.payment_term_id._get_tax_discount() != discount)
            schedules = changed.milestone_schedule_id.sudo().filtered("is_frozen")
            schedules._check_can_lower_tax(term)
        result = super().write(vals)
        if "payment_term_id" in vals:
            self.milestone_schedule_id.sudo()._check_no_early_discount()
        schedules._on_order_changed()
        return result


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def _check_can_freeze(self):
        """Extend: not every order can be billed under a discount that lowers the tax of every invoice."""
        for schedule in self:
            schedule._check_discounted_taxes(schedule.order_id.payment_term_id)
        self._refuse_early_discount()
        return super()._check_can_freeze()

    @api.constrains("retainage_percent", "retainage_method", "retainage_step_ids")
    def _check_no_early_discount(self):
        """Refuse, once the order is confirmed, retainage beside a discount for paying early."""
        self.filtered("is_frozen")._refuse_early_discount()

    def _refuse_early_discount(self):
        """Refuse a discount for paying early where a part of each invoice is not paid before its release.

        :raise UserError: naming the payment term and what to do.
        """
        for schedule in self.sudo():
            term = schedule.order_id.payment_term_id
            if term.early_discount and schedule._has_retainage():
                raise UserError(
                    self.env._(
                        "Payment term “%s” grants a discount for paying the whole invoice early, of which the client holds "
                        "a part back. Choose a term without it, or no retainage.",
                        term.name,
                    )
                )

    def _check_can_lower_tax(self, term):
        """Refuse payment terms with another discount on the tax once something is billed with the present one.

        :raise UserError: saying what to do.
        """
        for schedule in self:
            schedule._check_discounted_taxes(term)
            if schedule.line_ids._get_billed_allocations():
                raise UserError(
                    self.env._(
                        "Milestones of %s are billed with the tax of the present payment terms. Credit them first, or keep "
                        "terms with the same discount on the tax.",
                        schedule.order_id.name,
                    )
                )

    def _check_discounted_taxes(self, term):
        if not term._get_tax_discount():
            return
        if to_units(self.currency_id.rounding, 10**-self.currency_id.decimal_places) != 1:
            raise UserError(
                self.env._(
                    "Payment term “%(term)s” lowers the tax on every invoice, and %(currency)s is rounded to %(step)s: its "
                    "entries would not balance. Choose another term.",
                    term=term.name,
                    currency=self.currency_id.name,
                    step=self.currency_id.rounding,
                )
            )
        lines = self.order_id.order_line.filtered("is_milestone_billed")
        included = lines.tax_ids.flatten_taxes_hierarchy().filtered("price_include")
        if included:
            raise UserError(
                self.env._(
                    "Payment term “%(term)s” lowers the tax on every invoice, and tax “%(tax)s” is part of the price: the "
                    "order and its invoices would not agree. Choose another term, or prices without tax.",
                    term=term.name,
                    tax=included[0].name,
                )
            )
