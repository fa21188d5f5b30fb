from odoo import api, fields, models


class MilestoneBillingApprover(models.Model):
    _name = "milestone.billing.approver"
    _description = "Approver of a Milestone Schedule"
    _order = "sequence, id"
    _rec_name = "partner_id"

    schedule_id = fields.Many2one("milestone.billing.schedule", required=True, index=True, ondelete="cascade")
    sequence = fields.Integer(default=10)
    company_id = fields.Many2one(related="schedule_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="schedule_id.currency_id")
    partner_id = fields.Many2one(
        "res.partner",
        string="Contact",
        required=True,
        ondelete="restrict",
        help="The person who receives a personal review link and decides for the client.",
    )
    role = fields.Char(help="In which role the person decides, e.g. “Head of Marketing”.")
    amount_limit = fields.Monetary(
        string="Limit", help="Highest total, tax included, this person may approve. 0 means no limit."
    )

    _schedule_partner_unique = models.Constraint(
        "UNIQUE (schedule_id, partner_id)", "A contact can be an approver of a schedule only once."
    )
    _limit_positive = models.Constraint(
        "CHECK (amount_limit >= 0)", "The limit of an approver cannot be negative."
    )

    @api.depends("partner_id.name", "role")
    def _compute_display_name(self):
        for approver in self:
            names = (approver.partner_id.display_name, approver.role)
            approver.display_name = ", ".join(name for name in names if name)
