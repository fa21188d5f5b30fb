from odoo import fields, models


class ProjectProject(models.Model):
    _inherit = "project.project"

    milestone_billing_line_ids = fields.One2many(
        "milestone.billing.line",
        "project_id",
        string="Billing Milestones",
        groups="milestone_billing.milestone_billing_group_project_user",
    )
