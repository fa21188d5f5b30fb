"""Triggers that came while something was in the way: they are remembered, and complete the milestone later."""

from datetime import timedelta

from odoo import api, fields, models

# Of several photos the first one alone must not send the milestone to the client.
PROOF_REST_MINUTES = 15
# What the user writes on a milestone that may end an obstacle, or the trigger.
OBSTACLE_FIELDS = {"proof_required", "po_required", "approval_required"}
TRIGGER_FIELDS = {"trigger", "trigger_date", "project_milestone_id"}
FORGOTTEN = {"triggered_on": False, "triggered_by_id": False}


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    triggered_on = fields.Datetime(
        string="Triggered, Waiting Since",
        readonly=True,
        copy=False,
        index="btree_not_null",
        help="What triggers this milestone has happened, but something was in the way. The milestone completes by "
        "itself as soon as nothing is. Empty when it is completed, cancelled, or the trigger is taken back.",
    )
    triggered_by_id = fields.Many2one(
        "res.users",
        readonly=True,
        copy=False,
        help="Who caused the trigger; the later completion is recorded as this person's.",
    )
    reopened_on = fields.Datetime(
        readonly=True,
        copy=False,
        help="When its draft was withdrawn or its invoice credited. Its date has done its work then: the milestone "
        "is completed by hand, or on a new date.",
    )

    # === REMEMBERING ===

    def _remember_trigger(self, trigger, obstacles):
        """Keep in mind that the trigger of blocked milestones came; dates need no memory, they stay where they are.

        :param str trigger: what happened.
        :param dict obstacles: what is in the way, by milestone.
        """
        lines = self.filtered(
            lambda line: (
                line.trigger == trigger != "date" and line.state == "planned" and not line.triggered_on
            )
        )
        if not lines:
            return
        lines._write_internal({"triggered_on": fields.Datetime.now(), "triggered_by_id": self.env.uid})
        lines._message_log_batch(
            bodies={
                line.id: self.env._(
                    "What this milestone waited for has happened, but it is not billed yet: %s It completes by itself "
                    "as soon as nothing is in its way.",
                    obstacles[line],
                )
                for line in lines
            }
        )

    def _forget_lost_triggers(self):
        """Forget the remembered triggers of these milestones that were taken back since.

        :return: the milestones that have none any more.
        """
        lost = self.sudo().filtered(lambda line: line.triggered_on and not line._is_trigger_standing())
        if lost:
            lost._forget_trigger()
            body = self.env._(
                "The trigger was taken back: the milestone does not complete by itself any more."
            )
            lost._message_log_batch(bodies=dict.fromkeys(lost.ids, body))
        return lost

    def _forget_trigger(self):
        self._write_internal(FORGOTTEN)

    def _is_trigger_standing(self):
        """Tell whether what has triggered this milestone is still so.

        :rtype: bool
        """
        self.ensure_one()
        if self.trigger == "project_milestone":
            return self.project_milestone_id.is_reached
        if self.trigger == "task_stage":
            return self._is_work_done()
        if self.trigger == "previous_paid":
            return self._get_previous_line()._is_settled()
        return self.trigger == "order_confirmed" and self.order_id.state == "sale"

    def _get_triggering_actors(self):
        """Give the evidence's names of who has triggered these milestones.

        :return: `actor_kind` and, of people, `actor_ref` by milestone.
        :rtype: dict
        """
        Evidence = self.env["milestone.billing.evidence"]
        actors = {user: Evidence.with_user(user)._prepare_actor() for user in self.sudo().triggered_by_id}
        return {line: actors.get(line.sudo().triggered_by_id, {"actor_kind": "system"}) for line in self}

    # === COMPLETING LATER ===

    def _complete_triggered(self):
        """Complete those of these milestones whose trigger came before and which nothing blocks any more.

        To be called after whatever may have ended an obstacle; what fails is told on the milestone.
        """
        waiting = self.sudo().filtered(lambda line: line.triggered_on and line.state == "planned")
        waiting -= waiting._forget_lost_triggers()
        resting = waiting.filtered(lambda line: line._is_proof_resting())
        resting._plan_completion()
        if waiting - resting:
            (waiting - resting)._complete_or_tell(None)

    def _is_proof_resting(self):
        """Tell whether proof that was waited for has just come: more of it may follow.

        :rtype: bool
        """
        self.ensure_one()
        if not self.proof_required or not self.proof_ids:
            return False
        newest = max(self.sudo().proof_ids.mapped("create_date"))
        return newest > fields.Datetime.now() - timedelta(minutes=PROOF_REST_MINUTES)

    def _plan_completion(self):
        if self:
            at = fields.Datetime.now() + timedelta(minutes=PROOF_REST_MINUTES)
            self.env.ref("milestone_billing.ir_cron_complete_triggered").sudo()._trigger(at=at)

    @api.model
    def _cron_complete_triggered(self, chunk=200):
        """Complete milestones whose obstacle has gone without anybody noticing, in chunks that are committed one by one."""
        waiting = self.search(
            [("triggered_on", "!=", False), ("state", "=", "planned"), ("is_on_hold", "=", False)]
        )
        waiting -= waiting._forget_lost_triggers()
        self._complete_in_chunks(waiting.filtered(lambda line: not line._is_proof_resting()), None, chunk)

    # === WHAT ENDS AN OBSTACLE, OR THE TRIGGER ===

    def _transition(self, event, extra=None):
        """Extend: whatever moves a milestone has used its trigger up; one that is reopened is left to people."""
        more = {"reopened_on": fields.Datetime.now() if event == "reopen" else False}
        return super()._transition(event, {**FORGOTTEN, **more, **(extra or {})})

    def write(self, vals):
        """Extend: another trigger begins anew, and what was in the way may be so no more."""
        names = vals.keys() & TRIGGER_FIELDS
        marked = self.filtered(lambda line: line.triggered_on or line.reopened_on) if names else self.browse()
        before = {line: [line[name] for name in names] for line in marked}
        result = super().write(vals)
        turned = marked.filtered(lambda line: before[line] != [line[name] for name in names])
        if turned:
            turned._write_internal({**FORGOTTEN, "reopened_on": False})
        if "proof_ids" in vals or vals.keys() & OBSTACLE_FIELDS:
            self._complete_triggered()
        return result

    def action_resume(self):
        """Extend: what was triggered while it was on hold completes now."""
        result = super().action_resume()
        self._complete_triggered()
        return result

    def action_open_gate(self, reason=None):
        """Extend: what was triggered before the payment completes when it is opened.

        :param str reason: why; see the method extended.
        """
        result = super().action_open_gate(reason)
        self._complete_triggered()
        return result

    def _on_paid(self):
        """Extend: what was triggered before the payment of the milestone before it completes now."""
        result = super()._on_paid()
        following = self.browse().union(*(line._get_next_line() for line in self))
        if following.filtered("triggered_on"):
            with self._own_invoice_sync():
                following._complete_triggered()
        return result


class SaleOrder(models.Model):
    _inherit = "sale.order"

    def write(self, vals):
        """Override of `sale`: milestones that waited for the client's order number complete when it is entered."""
        result = super().write(vals)
        if vals.get("client_order_ref"):
            self.milestone_line_ids._complete_triggered()
        return result

    def _action_confirm(self):
        """Override of `sale`: what was triggered before the confirmation completes with it."""
        lines = self.sudo().milestone_line_ids
        lines.filtered("reopened_on")._write_internal({"reopened_on": False})
        result = super()._action_confirm()
        lines._complete_triggered()
        return result

    def _action_cancel(self):
        """Override of `sale`: an order that is not confirmed any more triggers nothing."""
        result = super()._action_cancel()
        self.milestone_line_ids._forget_lost_triggers()
        return result


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def write(self, vals):
        """Extend: a gate that is opened lets milestones through that were triggered before."""
        result = super().write(vals)
        if "gate" in vals:
            self.line_ids._complete_triggered()
        return result

    def _on_approvers_changed(self):
        """Extend: milestones that waited for somebody to ask complete when there is somebody."""
        result = super()._on_approvers_changed()
        self.line_ids._complete_triggered()
        return result
