from odoo import api, fields, models

PROJECT_USER = "milestone_billing.milestone_billing_group_project_user"


class ProjectProject(models.Model):
    _inherit = "project.project"

    milestone_billing_line_count = fields.Integer(
        compute="_compute_milestone_billing_counts", groups=PROJECT_USER
    )
    milestone_billing_done_count = fields.Integer(
        compute="_compute_milestone_billing_counts", groups=PROJECT_USER
    )

    @api.depends("milestone_billing_line_ids.state")
    def _compute_milestone_billing_counts(self):
        groups = self.env["milestone.billing.line"]._read_group(
            [("project_id", "in", self.ids), ("state", "!=", "cancelled")],
            ["project_id", "state"],
            ["__count"],
        )
        counts = {}
        for project, state, count in groups:
            total, done = counts.get(project, (0, 0))
            counts[project] = (total + count, done + (count if state == "approved" else 0))
        for project in self:
            total, done = counts.get(project._origin, (0, 0))
            project.milestone_billing_line_count = total
            project.milestone_billing_done_count = done

    def action_view_milestone_billing_lines(self):
        """Open the billing milestones of this project.

        :rtype: dict
        """
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "milestone_billing.milestone_billing_line_action"
        )
        action["domain"] = [("project_id", "=", self.id)]
        action["context"] = {"default_project_id": self.id}
        action["display_name"] = self.env._("%(project)s: Billing", project=self.display_name)
        return action

    def _get_stat_buttons(self):
        """Override of `project` to show how many billing milestones of the project are done."""
        buttons = super()._get_stat_buttons()
        if self.env.user.has_group(PROJECT_USER):
            buttons.append(
                {
                    "icon": "flag-checkered",
                    "text": self.env._("Billing Milestones"),
                    "number": self.env._(
                        "%(done)s of %(count)s",
                        done=self.milestone_billing_done_count,
                        count=self.milestone_billing_line_count,
                    ),
                    "action_type": "object",
                    "action": "action_view_milestone_billing_lines",
                    "show": self.milestone_billing_line_count > 0,
                    "sequence": 26,
                }
            )
        return buttons
