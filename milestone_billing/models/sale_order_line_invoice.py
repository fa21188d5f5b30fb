"""From a part of an order line to the invoice line that bills exactly this part."""

from odoo import models
from odoo.fields import Domain
from odoo.tools import SQL, formatLang

# Stands in for a distribution while the values of a line are prepared, and is taken out again.
NO_ANALYTICS = {"0": 0.0}


class SaleOrderLine(models.Model):
    _inherit = "sale.order.line"

    def _prepare_milestone_invoice_line(self, amounts, milestone, sequence):
        """Give the invoice line that bills exactly the given amounts of this order line.

        The amounts are handed over as fixed amounts of the tax engine. Quantity and price are the order's own
        where they give the same amount; where rounding the quantity would not (33.33 % of one unit), a
        service is billed as one piece at its amount and goods at the price that gives it.

        :param dict amounts: `quantity`, `amount_untaxed`, `amount_tax` and `tax_amounts`.
        :param milestone: the milestone that bills them.
        :param int sequence: place on the invoice.
        :rtype: dict
        """
        self.ensure_one()
        quantity, price_unit = self._get_milestone_quantity_and_price(amounts)
        known = self.env.context.get("milestone_project_analytics", {})
        values = self._prepare_invoice_line(
            sequence=sequence,
            name=self._get_milestone_line_name(amounts),
            quantity=quantity,
            price_unit=price_unit,
            extra_tax_data=milestone._prepare_tax_data(amounts, quantity, price_unit, self.discount),
            # `sale_project` asks the database for each line that names no distribution.
            **({"analytic_distribution": known[self.id] or NO_ANALYTICS} if self.id in known else {}),
        )
        if values.get("analytic_distribution") is NO_ANALYTICS:
            values["analytic_distribution"] = False
            if self.env.context.get("milestone_analytic_models", True):
                del values["analytic_distribution"]  # for the distribution models of accounting
        return values

    def _get_project_analytics(self):
        """Find the analytic distribution that `sale_project` takes from projects, for many order lines at once.

        :return: distribution, or False, by id of each order line that has none of its own, nor a task or project.
        :rtype: dict
        """
        lines = self.sudo().filtered(
            lambda line: (
                not line.analytic_distribution
                and not line.task_id.project_id.account_id
                and not line.project_id.account_id
                and line.is_service
                and not line.is_expense
            )
        )
        accounts = dict.fromkeys(lines.ids, self.env["account.analytic.account"])
        for line_id, project in lines._get_analytic_projects():
            accounts[line_id] |= project.account_id
        return {line_id: {found.id: 100} if len(found) == 1 else False for line_id, found in accounts.items()}

    def _get_analytic_projects(self):
        """Find projects with an analytic account that belong to order lines, directly or by a task.

        :return: (order line id, project) pairs.
        :rtype: list
        """
        Project, domain = self.env["project.project"].sudo(), Domain("sale_line_id", "in", self.ids)
        projects = Project._search(domain & Domain("account_id", "!=", False))
        tasks = self.env["project.task"].sudo()._search(domain & Domain("project_id.account_id", "!=", False))
        rows = self.env.execute_query(
            SQL(
                "%s UNION %s",
                projects.select(*(SQL.identifier(projects.table, name) for name in ("sale_line_id", "id"))),
                tasks.select(*(SQL.identifier(tasks.table, name) for name in ("sale_line_id", "project_id"))),
            )
        )
        found = Project.browse(project_id for _line_id, project_id in rows)
        return list(zip((line_id for line_id, _project_id in rows), found, strict=True))

    def _get_milestone_line_name(self, amounts):
        untaxed = amounts["amount_untaxed"]
        if not self.price_subtotal or self.currency_id.is_zero(untaxed - self.price_subtotal):
            return self.name
        return self.env._(
            "%(name)s\n%(share)s %% of %(amount)s",
            name=self.name,
            share=f"{100 * untaxed / self.price_subtotal:.2f}".rstrip("0").rstrip("."),
            amount=formatLang(self.env, self.price_subtotal, currency_obj=self.currency_id),
        )

    def _get_milestone_quantity_and_price(self, amounts):
        currency, part = self.currency_id, amounts["quantity"]
        amount = amounts["amount_untaxed"] + self._get_included_milestone_tax(amounts)
        keep = 1 - self.discount / 100.0
        if currency.is_zero(currency.round(self.price_unit * part * keep) - amount):
            return part, self.price_unit
        quantity = 1.0 if self.product_id.type == "service" or not part else part
        return quantity, amount / (quantity * keep) if keep else self.price_unit

    def _get_included_milestone_tax(self, amounts):
        included = self.tax_ids.flatten_taxes_hierarchy().filtered("price_include")
        by_tax = amounts["tax_amounts"] or {}
        return sum(float(by_tax[str(tax.id)]["tax"]) for tax in included if str(tax.id) in by_tax)


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _prepare_tax_data(self, amounts, quantity, price_unit, discount=0.0):
        """Fix net, base and tax of an invoice line in the way the down payments of `sale` do.

        The tax engine takes the fixed amounts only when taxes are named, so an untaxed line names none by an
        empty entry.

        :param dict amounts: `amount_untaxed` and `tax_amounts`.
        :rtype: dict
        """
        taxes = {
            tax_id: {
                "tax_amount_currency": float(tax["tax"]),
                "base_amount_currency": float(tax["base"]),
            }
            for tax_id, tax in (amounts["tax_amounts"] or {}).items()
        }
        return {
            "computation_key": f"milestone,{self.id}",
            "manual_total_excluded_currency": amounts["amount_untaxed"],
            "manual_tax_amounts": taxes or {"0": {}},
            "currency_id": self.currency_id.id,
            "price_unit": price_unit,
            "discount": discount,
            "quantity": quantity,
            "rate": self.order_id.currency_rate,
        }
