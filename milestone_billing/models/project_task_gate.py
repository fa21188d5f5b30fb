"""What a task's team should know before it goes on: the milestone before is not paid yet."""

from odoo import api, fields, models
from odoo.exceptions import UserError

# Where the time of a task goes: how much, and to which milestone.
TIME_FIELDS = {"allocated_hours", "milestone_id", "milestone_billing_line_id"}
PROJECT_USER = "milestone_billing.milestone_billing_group_project_user"


class ProjectTask(models.Model):
    _inherit = "project.task"

    milestone_gate_reason = fields.Char(
        string="Payment Gate",
        compute="_compute_milestone_gate_reason",
        groups=PROJECT_USER,
        help="Why the work on this task should wait, or may not be billed yet.",
    )
    has_fresh_attachments = fields.Boolean(compute="_compute_has_fresh_attachments", groups=PROJECT_USER)

    @api.depends(
        "milestone_billing_line_id.state",
        "milestone_billing_line_id.gate_opened_on",
        "milestone_billing_line_id.schedule_id.gate",
        "milestone_billing_line_id.order_id.milestone_line_ids.invoice_status",
        "milestone_id.milestone_billing_line_ids.state",
        "milestone_id.milestone_billing_line_ids.gate_opened_on",
        "milestone_id.milestone_billing_line_ids.schedule_id.gate",
        "milestone_id.milestone_billing_line_ids.order_id.milestone_line_ids.invoice_status",
    )
    def _compute_milestone_gate_reason(self):
        for task in self:
            lines = task._get_proof_lines() if not task.is_closed else self.env["milestone.billing.line"]
            reasons = [line._get_gate_reason() for line in lines.sudo() if line.state == "planned"]
            task.milestone_gate_reason = next((reason for reason in reasons if reason), False)

    @api.depends("milestone_proof_ids")
    def _compute_has_fresh_attachments(self):
        for task in self:
            task.has_fresh_attachments = bool(task.can_add_proof and task._get_fresh_attachments())

    # === RESERVED TIME ===

    @api.model_create_multi
    def create(self, vals_list):
        """Extend tasks: time is reserved for a milestone only when it is open."""
        tasks = super().create(vals_list)
        if not self.env.su:
            tasks.filtered("allocated_hours")._check_time_is_open()
        return tasks

    def write(self, vals):
        """Extend tasks: no more time is reserved for a milestone that is not open; less is always fine."""
        if self.env.su or not vals.keys() & TIME_FIELDS:
            return super().write(vals)
        before = {task.id: task.allocated_hours for task in self}
        result = super().write(vals)
        is_moved = bool(vals.keys() & (TIME_FIELDS - {"allocated_hours"}))
        self.filtered(
            lambda task: task.allocated_hours > (0.0 if is_moved else before[task.id])
        )._check_time_is_open()
        return result

    def _check_time_is_open(self):
        """Refuse time for work whose milestone is blocked until the one before it is paid.

        Tasks that the system makes (from a template, when an order is confirmed) keep their planned time.

        :raise UserError: naming the milestone that has to be paid.
        """
        for task in self.sudo():
            lines = task._get_proof_lines().filtered(lambda line: line.state == "planned")
            blocked = lines.filtered(lambda line: line.schedule_id.gate == "block")
            reason = next(filter(None, (line._get_gate_obstacle() for line in blocked)), False)
            if reason:
                raise UserError(
                    self.env._(
                        "No time can be reserved for “%(task)s” yet: %(reason)s",
                        task=task.name,
                        reason=reason,
                    )
                )

    def _get_fresh_attachments(self):
        """Give the files attached to this task that its milestones do not show as proof yet."""
        self.ensure_one()
        known = set(self.milestone_proof_ids.mapped("checksum"))
        attachments = self.env["ir.attachment"].search(
            [("res_model", "=", self._name), ("res_id", "=", self._origin.id), ("res_field", "=", False)]
        )
        return attachments.filtered(lambda attachment: attachment.checksum not in known)


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _get_gate_reason(self):
        """Say why the work for this milestone should wait for a payment.

        :return: a sentence for the team, or False when the way is free.
        :rtype: str | bool
        """
        self.ensure_one()
        gate = self.schedule_id.gate
        if gate == "block":
            return self._get_gate_obstacle()
        previous = self._get_previous_line()
        if gate != "warn" or not previous or previous._is_settled() or not previous.amount_total:
            return False
        return self.env._(
            "The milestone before “%(name)s”, “%(previous)s”, is not paid yet.",
            name=self.name,
            previous=previous.name,
        )
