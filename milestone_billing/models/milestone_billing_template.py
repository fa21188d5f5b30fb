from fractions import Fraction

from odoo import Command, api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import formatLang

from ..tools.money import fraction


class MilestoneBillingTemplate(models.Model):
    _name = "milestone.billing.template"
    _description = "Milestone Billing Template"
    _order = "sequence, name, id"

    name = fields.Char(required=True, translate=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    description = fields.Text(translate=True, help="When to use this template, for the people who pick it.")
    company_id = fields.Many2one("res.company", help="Leave empty to share the template between companies.")
    line_ids = fields.One2many(
        "milestone.billing.template.line", "template_id", string="Milestones", copy=True
    )
    retainage_percent = fields.Float(string="Retainage (%)", digits=(16, 4))
    retainage_base = fields.Selection(
        [("net", "Net amount"), ("gross", "Amount with tax")],
        default="gross",
        required=True,
    )
    deposit_mode = fields.Selection(
        [("instalment", "Share of the price"), ("advance", "Advance, recovered later")],
        string="Deposits",
        default="instalment",
        required=True,
    )
    deposit_recovery = fields.Selection(
        [("final", "On the final invoice"), ("prorata", "Pro rata on each milestone")],
        default="final",
        required=True,
    )

    _retainage_range = models.Constraint(
        "CHECK (retainage_percent >= 0 AND retainage_percent < 100)",
        "Retainage must be at least 0 % and below 100 %.",
    )

    @api.constrains("line_ids")
    def _check_lines(self):
        """Refuse a template that can never fit an order, naming the line or the difference."""
        for template in self:
            if not template.line_ids:
                raise ValidationError(
                    self.env._("Template “%s” has no milestones. Add at least one.", template.name)
                )
            template._check_remainder()
            template._check_percent()

    def _check_remainder(self):
        remainders = self.line_ids.filtered(lambda line: line.amount_type == "remainder")
        if len(remainders) > 1:
            raise ValidationError(
                self.env._(
                    "Template “%(template)s” has two remainder milestones, “%(first)s” and “%(second)s”. "
                    "Only one milestone can take the rest.",
                    template=self.name,
                    first=remainders[0].name,
                    second=remainders[1].name,
                )
            )

    def _check_percent(self):
        """Refuse percentages that are missing, above 100, or below without a milestone that takes the rest."""
        lines = self.line_ids.filtered(lambda line: line.amount_type == "percent" and not line.product_id)
        for line in lines.filtered(lambda line: not line.percent):
            raise ValidationError(
                self.env._(
                    "Milestone “%(line)s” of template “%(template)s” has no percentage. Enter one or remove it.",
                    line=line.name,
                    template=self.name,
                )
            )
        total = sum((fraction(line.percent) for line in lines), Fraction(0))
        has_rest = len(lines) < len(self.line_ids)
        if total > 100 or (total < 100 and not has_rest):
            raise ValidationError(
                self.env._(
                    "The milestones of template “%(template)s” add up to %(total)s %%, %(difference)s %% "
                    "%(direction)s. Change the percentage of “%(line)s” or make the last milestone a remainder.",
                    template=self.name,
                    total=f"{float(total):g}",
                    difference=f"{float(abs(total - 100)):g}",
                    direction=self.env._("too much") if total > 100 else self.env._("too little"),
                    line=lines[-1:].name,
                )
            )
        if total == 100:
            self._check_nothing_on_top()

    def _check_nothing_on_top(self):
        """Refuse a fixed amount beside percentages of the whole order: it would exceed any order."""
        line = self.line_ids.filtered(lambda line: line.amount_type == "fixed" and line.amount_fixed > 0)[:1]
        if line:
            raise ValidationError(
                self.env._(
                    "The percentages of template “%(template)s” add up to 100 %%, so “%(line)s” would bill %(amount)s too "
                    "much. Remove it, or make another milestone the remainder.",
                    template=self.name,
                    line=line.name,
                    amount=formatLang(self.env, line.amount_fixed, currency_obj=line.currency_id),
                )
            )

    def _prepare_schedule_values(self):
        """Give the settings that a schedule takes over from this template.

        :rtype: dict
        """
        self.ensure_one()
        return {
            "template_id": self.id,
            "retainage_percent": self.retainage_percent,
            "retainage_base": self.retainage_base,
            "deposit_mode": self.deposit_mode,
            "deposit_recovery": self.deposit_recovery,
        }

    def _prepare_line_commands(self, order):
        """Give the commands that write this template's milestones on an order.

        :param order: the `sale.order` the template is applied to.
        :rtype: list
        """
        return [Command.create(line._prepare_line_values(order)) for line in self.line_ids]
