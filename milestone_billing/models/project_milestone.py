from odoo import api, fields, models


class ProjectMilestone(models.Model):
    _inherit = "project.milestone"

    milestone_billing_line_ids = fields.One2many(
        "milestone.billing.line", "project_milestone_id", string="Billing Milestones"
    )

    @api.model_create_multi
    def create(self, vals_list):
        """Extend: one that is created as reached completes its billing milestones."""
        milestones = super().create(vals_list)
        milestones.filtered("is_reached")._on_reached()
        return milestones

    def write(self, vals):
        """Extend: reaching a project milestone completes its billing milestones."""
        result = super().write(vals)
        if vals.get("is_reached"):
            self._on_reached()
        elif "is_reached" in vals:
            self.sudo().milestone_billing_line_ids._forget_lost_triggers()
        return result

    def _on_reached(self):
        """Complete the billing milestones that wait for these project milestones."""
        lines = self.sudo().milestone_billing_line_ids.filtered(
            lambda line: line.trigger == "project_milestone" and line.state == "planned"
        )
        if lines:
            lines._complete(trigger="project_milestone", strict=False)
