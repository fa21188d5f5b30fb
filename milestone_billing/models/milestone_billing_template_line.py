from odoo import Command, api, fields, models
from odoo.exceptions import UserError, ValidationError

from .milestone_billing_line import AMOUNT_TYPES, LINE_KINDS, TRIGGERS


class MilestoneBillingTemplateLine(models.Model):
    _name = "milestone.billing.template.line"
    _description = "Milestone of a Billing Template"
    _inherit = ["milestone.billing.amount.input.mixin"]
    _order = "sequence, id"
    _check_company_auto = True

    template_id = fields.Many2one("milestone.billing.template", required=True, index=True, ondelete="cascade")
    company_id = fields.Many2one(related="template_id.company_id", store=True)
    sequence = fields.Integer(default=10)
    name = fields.Char(string="Milestone", required=True, translate=True)
    description = fields.Text(
        string="Meaning of Done", translate=True, help="What must be true for this milestone to be complete."
    )
    kind = fields.Selection(LINE_KINDS, default="progress", required=True)
    trigger = fields.Selection(TRIGGERS, default="manual", required=True)
    amount_type = fields.Selection(AMOUNT_TYPES, string="Amount", default="percent", required=True)
    currency_id = fields.Many2one("res.currency", compute="_compute_currency_id")
    product_id = fields.Many2one(
        "product.product",
        string="Only This Product",
        domain="[('sale_ok', '=', True)]",
        help="The milestone bills the percentage of the order lines with this product, and nothing else. "
        "Leave it empty to bill a share of the whole order.",
    )
    amount_fixed = fields.Monetary(help="Untaxed, in the currency of the order.")
    approval_required = fields.Boolean(
        string="Client Approval", default=lambda self: self.env.company.milestone_approval_required
    )
    proof_required = fields.Boolean()
    trigger_months = fields.Integer(
        string="Months Later",
        help="For milestones on a date: how many months after the template is applied. The date can be changed.",
    )

    @api.depends("template_id.company_id")
    def _compute_currency_id(self):
        for line in self:
            line.currency_id = (line.template_id.company_id or self.env.company).currency_id

    @api.constrains("product_id", "amount_type", "company_id")
    def _check_product(self):
        """Refuse a product that orders of the template's company cannot contain, naming the line."""
        for line in self.filtered("product_id"):
            company, other = line.company_id, line.product_id.company_id
            if other and other != company:
                raise ValidationError(
                    self.env._(
                        "Milestone “%(line)s” bills “%(product)s”, a product of %(other)s. "
                        "Pick a product that %(company)s can sell.",
                        line=line.name,
                        product=line.product_id.display_name,
                        other=other.name,
                        company=company.name or self.env._("every company that shares this template"),
                    )
                )
            if line.amount_type != "percent" or not line.percent:
                raise ValidationError(
                    self.env._("Milestone “%s” bills one product, so it needs a percentage of it.", line.name)
                )

    def _prepare_line_values(self, order):
        """Give the values of an order's milestone made from this line.

        :param order: the `sale.order` the template is applied to.
        :rtype: dict
        :raise UserError: if the line bills a product that the order does not contain.
        """
        self.ensure_one()
        return {
            **self._prepare_allocation_values(order),
            "sequence": self.sequence,
            "name": self.name,
            "description": self.description,
            "kind": self.kind,
            "trigger": self.trigger,
            "trigger_date": self._get_trigger_date(order.company_id),
            "amount_type": self.amount_type,
            "percent": self.percent,
            "amount_fixed": self.amount_fixed,
            "approval_required": self.approval_required,
            "proof_required": self.proof_required,
        }

    def _prepare_allocation_values(self, order):
        """Choose the order lines of the product that this milestone bills.

        :raise UserError: when the order does not contain it.
        """
        if not self.product_id:
            return {}
        order_lines = order.order_line.filtered(
            lambda line: line.product_id == self.product_id and line.is_milestone_billed
        )
        if not order_lines:
            raise UserError(
                self.env._(
                    "Milestone “%(line)s” bills “%(product)s”, which %(order)s does not contain. Add the product to "
                    "the order or pick another template.",
                    line=self.name,
                    product=self.product_id.display_name,
                    order=order.name,
                )
            )
        return {
            "allocation_mode": "lines",
            "allocation_ids": [
                Command.create({"order_line_id": line.id, "percent": self.percent}) for line in order_lines
            ],
        }

    def _get_trigger_date(self, company):
        """Give the day of a milestone on a date, counted from today.

        :param company: whose day counts.
        :rtype: date | bool
        """
        self.ensure_one()
        if self.trigger != "date":
            return False
        return fields.Date.add(company._get_milestone_today(), months=self.trigger_months)
