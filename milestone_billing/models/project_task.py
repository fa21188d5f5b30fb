from odoo import fields, models


class ProjectTask(models.Model):
    _inherit = "project.task"

    milestone_billing_line_id = fields.Many2one(
        "milestone.billing.line",
        string="Billing Milestone",
        index="btree_not_null",
        copy=False,
        groups="milestone_billing.milestone_billing_group_project_user",
        help="Moving the task to a billing stage completes this milestone.",
    )

    is_milestone_defect = fields.Boolean(
        string="Punch-List Item",
        help="A defect of a billing milestone: retainage is not released while this task is open.",
    )

    def write(self, vals):
        """Extend: a task that moves may complete its billing milestone."""
        result = super().write(vals)
        if "stage_id" in vals or "state" in vals:
            self._on_moved()
        return result

    def _on_moved(self):
        """Complete the milestones of tasks that reached a billing stage, or whose tasks are all closed.

        Of those that are moved back, a trigger that was remembered is forgotten.
        """
        tasks = self.sudo()
        lines = tasks.milestone_billing_line_id | tasks.milestone_id.milestone_billing_line_ids
        ready = lines.filtered(
            lambda line: line.trigger == "task_stage" and line.state == "planned" and line._is_work_done()
        )
        if ready:
            ready._complete(trigger="task_stage", strict=False)
        (lines - ready)._forget_lost_triggers()


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _is_work_done(self):
        """Tell whether all tasks of this milestone stand in a billing stage or are closed."""
        tasks = self._get_work()
        return bool(tasks) and all(task.stage_id.is_milestone_billing or task.is_closed for task in tasks)

    def _get_work(self):
        """Give the tasks of this milestone: its own, and those of its project milestone.

        :rtype: project.task
        """
        return self.task_ids | self.project_milestone_id.task_ids
