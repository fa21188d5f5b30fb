from odoo import api, fields, models

from .milestone_billing_line import AMOUNT_TYPES, LINE_KINDS, TRIGGERS


class MilestoneBillingTemplateLine(models.Model):
    _name = "milestone.billing.template.line"
    _description = "Milestone of a Billing Template"
    _order = "sequence, id"

    template_id = fields.Many2one("milestone.billing.template", required=True, index=True, ondelete="cascade")
    sequence = fields.Integer(default=10)
    name = fields.Char(string="Milestone", required=True, translate=True)
    description = fields.Text(
        string="Meaning of Done", translate=True, help="What must be true for this milestone to be complete."
    )
    kind = fields.Selection(LINE_KINDS, default="progress", required=True)
    trigger = fields.Selection(TRIGGERS, default="manual", required=True)
    amount_type = fields.Selection(AMOUNT_TYPES, string="Amount", default="percent", required=True)
    percent = fields.Float(string="Percent", digits=(16, 6))
    currency_id = fields.Many2one("res.currency", compute="_compute_currency_id")
    amount_fixed = fields.Monetary(string="Fixed Amount", help="Untaxed, in the currency of the order.")
    approval_required = fields.Boolean(
        string="Client Approval", default=lambda self: self.env.company.milestone_approval_required
    )
    proof_required = fields.Boolean(string="Proof Required")

    _percent_range = models.Constraint(
        "CHECK (percent >= 0 AND percent <= 100)", "The percentage of a milestone must be between 0 and 100."
    )
    _amount_positive = models.Constraint(
        "CHECK (amount_fixed >= 0)", "The fixed amount of a milestone cannot be negative."
    )

    @api.depends("template_id.company_id")
    def _compute_currency_id(self):
        for line in self:
            line.currency_id = (line.template_id.company_id or self.env.company).currency_id

    def _prepare_line_values(self):
        """Give the values of an order's milestone made from this line.

        :rtype: dict
        """
        self.ensure_one()
        return {
            "sequence": self.sequence,
            "name": self.name,
            "description": self.description,
            "kind": self.kind,
            "trigger": self.trigger,
            "amount_type": self.amount_type,
            "percent": self.percent,
            "amount_fixed": self.amount_fixed,
            "approval_required": self.approval_required,
            "proof_required": self.proof_required,
        }
