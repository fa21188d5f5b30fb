from odoo import fields, models


class ProjectTaskType(models.Model):
    _inherit = "project.task.type"

    is_milestone_billing = fields.Boolean(
        string="Billing Stage",
        help="A task that reaches this stage completes the billing milestone it belongs to.",
    )
