"""Why a milestone is not billed: one sentence for every line."""

from odoo import api, fields, models
from odoo.tools import format_date


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    blocked_reason = fields.Char(
        string="Why Not Billed",
        compute="_compute_blocked_reason",
        help="For every milestone that is not billed: what it waits for.",
    )

    @api.depends(
        "state",
        "approval_ids.state",
        "approval_ids.ask_again_on",
        "invoice_status",
        "is_on_hold",
        "hold_reason",
        "trigger",
        "trigger_date",
        "project_milestone_id.is_reached",
        "project_milestone_id.task_ids.is_closed",
        "project_milestone_id.task_ids.stage_id",
        "task_ids.is_closed",
        "task_ids.stage_id",
        "proof_required",
        "proof_ids",
        "po_required",
        "order_id.state",
        "order_id.client_order_ref",
        "order_id.milestone_line_ids.invoice_status",
        "schedule_id.gate",
        "schedule_id.amount_excess",
        "gate_opened_on",
        "schedule_id.deposit_limit_note",
    )
    def _compute_blocked_reason(self):
        obstacles = self._get_completion_obstacles()
        # All at once: one after the other they would be read by a statement each.
        submitted = self.filtered(lambda line: line.state == "submitted")
        submitted.sudo().approval_ids.mapped("ask_again_on")
        for line in self:
            line.blocked_reason = line._get_waiting_reason(obstacles)

    def _get_waiting_reason(self, obstacles):
        if self.state == "cancelled" or self.invoice_status in ("posted", "partial", "paid", "before"):
            return False
        if self.is_on_hold:
            return self._get_hold_sentence()
        if self.state == "submitted":
            return self._get_submitted_sentence()
        if self.state == "changes_requested":
            return self._get_changes_sentence()
        if self.invoice_status == "draft":
            return self.env._("The draft invoice waits to be posted by finance.")
        return obstacles.get(self) or self._get_trigger_sentence()

    def _get_hold_sentence(self):
        if self.hold_reason:
            return self.env._("“%(name)s” is on hold: %(reason)s", name=self.name, reason=self.hold_reason)
        return self.env._("“%s” is on hold.", self.name)

    def _get_changes_sentence(self):
        decision = self.sudo()._get_current_approval().decision_ids.filtered("reason")[-1:]
        if decision:
            return self.env._("The client asked for changes: “%s”", decision.reason)
        return self.env._("The client asked for changes.")

    def _get_trigger_sentence(self):
        if self.trigger == "project_milestone":
            return self._get_project_sentence()
        if self.trigger == "task_stage":
            if not self.sudo()._get_work():
                return self.env._("No task belongs to it. Link its tasks, or complete it by hand.")
            if self.sudo()._is_work_done():
                return self.env._("Its tasks are done: it can be completed.")
            return self.env._("Waiting for its tasks to reach a billing stage.")
        if self.trigger == "previous_paid":
            return self.env._("Waiting for the previous milestone to be paid.")
        if self.trigger == "date" and self.trigger_date:
            return self.env._("Waiting for %s.", format_date(self.env, self.trigger_date))
        if self.trigger == "order_confirmed":
            return self.env._("Waiting for the order to be confirmed.")
        return self.env._("Waiting for the work to be completed.")

    def _get_project_sentence(self):
        milestone = self.sudo().project_milestone_id
        if not milestone:
            return self.env._("It has no project milestone. Link one, or complete it by hand.")
        if milestone.is_reached:
            return self.env._("Its project milestone is reached: it can be completed.")
        return self.env._("Waiting for the project milestone to be reached.")

    def _get_completion_obstacles(self):
        """Find what forbids completing each milestone now, whatever its trigger.

        :return: ``{line: sentence}``, only lines that are blocked.
        :rtype: dict
        """
        found = {line: line._get_obstacle() for line in self}
        return {line: sentence for line, sentence in found.items() if sentence}

    def _get_obstacle(self):
        self.ensure_one()
        if self.is_on_hold:
            return self._get_hold_sentence()
        if self.order_id.state == "cancel":
            return self.env._("The order of “%s” is cancelled.", self.name)
        if self.order_id.state != "sale":
            return self.env._("“%s” waits for the order to be confirmed.", self.name)
        if self.proof_required and not self.proof_ids:
            return self.env._("“%s” needs proof of work: add a photo, video or document.", self.name)
        if self.po_required and not self.order_id.client_order_ref:
            return self.env._(
                "“%s” needs the client's order number (Customer Reference on the order).", self.name
            )
        if self.kind == "retainage_release":
            return self._get_release_obstacle()
        if self.schedule_id.amount_excess and self.invoice_status in (False, "none"):
            return self.schedule_id._get_excess_sentence(self.schedule_id.amount_excess)
        return self._get_gate_obstacle()

    def _get_gate_obstacle(self):
        if self.schedule_id.gate != "block":
            return False
        previous = self._get_previous_line()
        if not previous or previous._is_settled() or not previous.amount_total:
            return False
        return self.env._(
            "“%(name)s” opens when the milestone before it, “%(previous)s”, is paid.",
            name=self.name,
            previous=previous.name,
        )

    def _is_settled(self):
        """Tell whether nothing has to be paid for this milestone any more; what was billed before is paid elsewhere.

        :rtype: bool
        """
        return self.invoice_status in ("paid", "before")

    def _is_void_release(self):
        """Tell whether this is a release that was issued and credited since.

        :rtype: bool
        """
        return self.kind == "retainage_release" and self.invoice_status == "credited"

    def _get_previous_line(self):
        """Give the milestone before this one in the schedule; a release that is credited asks for nothing any more.

        :rtype: milestone.billing.line
        """
        lines = self.order_id.milestone_line_ids.filtered(
            lambda line: line.state != "cancelled" and (line == self or not line._is_void_release())
        ).sorted(lambda line: (line.sequence, line.id))
        ids = lines.ids
        place = ids.index(self.id) if self.id in ids else 0
        return lines[place - 1] if place else lines.browse()
