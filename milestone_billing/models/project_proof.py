"""Proof of work where the work is: on project milestones and tasks."""

from odoo import api, fields, models
from odoo.exceptions import UserError

PROJECT_USER = "milestone_billing.milestone_billing_group_project_user"


class ProjectMilestone(models.Model):
    _inherit = "project.milestone"

    milestone_proof_ids = fields.Many2many(
        "ir.attachment", string="Proof of Work", compute="_compute_milestone_proof", groups=PROJECT_USER
    )
    can_add_proof = fields.Boolean(compute="_compute_milestone_proof", groups=PROJECT_USER)

    @api.depends("milestone_billing_line_ids.proof_ids", "milestone_billing_line_ids.state")
    def _compute_milestone_proof(self):
        for milestone in self:
            lines = milestone._get_proof_lines()
            milestone.milestone_proof_ids = lines.proof_ids
            milestone.can_add_proof = any(line.can_add_proof for line in lines)

    def _get_proof_lines(self):
        return self.milestone_billing_line_ids.filtered(lambda line: line.state != "cancelled")

    def add_milestone_proof(self, attachment_ids):
        """Add uploaded files to the proof of the billing milestones of this project milestone."""
        return _open_lines(self)._check_found(self).add_milestone_proof(attachment_ids)

    def remove_milestone_proof(self, attachment_ids):
        """Remove files from the proof of the billing milestones of this project milestone."""
        return _open_lines(self).remove_milestone_proof(attachment_ids)


class ProjectTask(models.Model):
    _inherit = "project.task"

    milestone_proof_ids = fields.Many2many(
        "ir.attachment", string="Proof of Work", compute="_compute_milestone_proof", groups=PROJECT_USER
    )
    can_add_proof = fields.Boolean(compute="_compute_milestone_proof", groups=PROJECT_USER)
    has_milestone_billing = fields.Boolean(compute="_compute_milestone_proof", groups=PROJECT_USER)

    @api.depends(
        "milestone_billing_line_id.proof_ids",
        "milestone_billing_line_id.state",
        "milestone_id.milestone_billing_line_ids.proof_ids",
        "milestone_id.milestone_billing_line_ids.state",
    )
    def _compute_milestone_proof(self):
        for task in self:
            lines = task._get_proof_lines()
            task.has_milestone_billing = bool(lines)
            task.milestone_proof_ids = lines.proof_ids
            task.can_add_proof = any(line.can_add_proof for line in lines)

    def _get_proof_lines(self):
        lines = self.milestone_billing_line_id | self.milestone_id.milestone_billing_line_ids
        return lines.filtered(lambda line: line.state != "cancelled")

    def add_milestone_proof(self, attachment_ids):
        """Add files, uploaded here or attached to this task, to the proof of its billing milestones."""
        return _open_lines(self)._check_found(self).add_milestone_proof(attachment_ids)

    def remove_milestone_proof(self, attachment_ids):
        """Remove files from the proof of the billing milestones of this task."""
        return _open_lines(self).remove_milestone_proof(attachment_ids)

    def action_use_attachments_as_proof(self):
        """Show the files attached to these tasks to the client, as proof of work of their milestones."""
        for task in self:
            fresh = task._get_fresh_attachments()
            if not fresh:
                raise UserError(
                    self.env._(
                        "“%s” has no attachment that is not shown as proof already. Attach a file to it first.",
                        task.display_name,
                    )
                )
            task.add_milestone_proof(fresh.ids)
        return True


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _check_found(self, records):
        """Refuse proof for work that no billing milestone is waiting for."""
        if not self:
            raise UserError(
                self.env._(
                    "“%s” belongs to no open billing milestone. Link it to one first.",
                    records[:1].display_name,
                )
            )
        return self


def _open_lines(records):
    records.check_access("read")
    return records._get_proof_lines().filtered(lambda line: line._is_proof_open())
