from odoo import api, fields, models

from ..tools import reminder_steps

PURPOSES = [("approval", "Approval"), ("payment", "Payment")]


class MilestoneBillingReminderStep(models.Model):
    """One step of a company's plan: when somebody is reminded, and how."""

    _name = "milestone.billing.reminder.step"
    _description = "Milestone Reminder Step"
    _order = "purpose, anchor desc, offset, id"

    name = fields.Char(compute="_compute_name")
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", index=True, help="Leave empty to use the step in all companies without own steps."
    )
    purpose = fields.Selection(PURPOSES, string="Reminds Of", required=True, default="approval")
    days = fields.Integer(string="Working Days", required=True, default=3, aggregator=None)
    moment = fields.Selection(
        [
            ("after_start", "after the client was asked"),
            ("before_deadline", "before the deadline"),
            ("after_deadline", "after the deadline"),
        ],
        string="When",
        required=True,
        default="after_deadline",
        help="The deadline of an approval is the last day of its review link, that of a payment its due date.",
    )
    channel = fields.Selection(
        [("email", "E-mail"), ("sms", "Text message"), ("activity", "Activity for the team")],
        required=True,
        default="email",
    )
    anchor = fields.Char(compute="_compute_offset", store=True)
    offset = fields.Integer(compute="_compute_offset", store=True)

    _days_range = models.Constraint(
        "CHECK (days >= 0 AND days <= 365)", "A reminder comes 0 to 365 working days before or after."
    )

    @api.depends("days", "moment")
    def _compute_offset(self):
        for step in self:
            step.anchor = "start" if step.moment == "after_start" else "deadline"
            step.offset = -step.days if step.moment == "before_deadline" else step.days

    @api.depends("purpose", "days", "moment", "channel")
    def _compute_name(self):
        for step in self:
            labels = {
                name: dict(step._fields[name]._description_selection(self.env)).get(step[name])
                for name in ("purpose", "moment", "channel")
            }
            step.name = self.env._(
                "%(purpose)s: %(days)s working days %(moment)s (%(channel)s)", days=step.days, **labels
            )

    @api.depends("name")
    def _compute_display_name(self):
        for step in self:
            step.display_name = step.name

    @api.model
    def _get_plan_of(self, company, purpose):
        """Give the steps of a company for one purpose: its own, else the shared ones.

        :rtype: list[tools.reminder_steps.Step]
        """
        steps = self.sudo().search([("company_id", "in", [company.id, False]), ("purpose", "=", purpose)])
        own = steps.filtered("company_id") or steps
        return [reminder_steps.Step(step.id, step.anchor, step.offset, step.channel) for step in own]
