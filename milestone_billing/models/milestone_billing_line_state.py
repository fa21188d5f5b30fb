"""The state machine of a milestone: the only way to its `state`."""

import logging

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ..tools.transitions import TransitionError, next_state

_logger = logging.getLogger(__name__)

# A Python object: a caller over RPC can send any JSON in the context, but never this.
INTERNAL_WRITE = object()


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    @api.model
    def _check_internal_write(self):
        if self.env.context.get("milestone_internal_write") is not INTERNAL_WRITE:
            raise AccessError(
                self.env._("The state of a milestone changes by its buttons only: complete, hold, cancel.")
            )

    def _write_internal(self, vals):
        """Write protected fields; callers have checked that it may be done."""
        return self.sudo().with_context(milestone_internal_write=INTERNAL_WRITE).write(vals)

    def _transition(self, event, extra=None):
        """Move milestones along the table of transitions.

        Milestones of one call may stand in different states; each is looked up on its own, and nothing is
        written unless all of them may move.

        :param str event: an event of `tools/transitions.py`.
        :param dict extra: further protected values to write with the state.
        :raise UserError: if one of them may not, naming it and its state.
        """
        by_target = {}
        for line in self:
            try:
                target = next_state(line.state, event)
            except TransitionError:
                raise UserError(line._get_transition_refusal()) from None
            by_target[target] = by_target.get(target, self.browse()) + line
        for target, lines in by_target.items():
            lines._write_internal({"state": target, **(extra or {})})

    def _get_transition_refusal(self):
        self.ensure_one()
        state = dict(self._fields["state"]._description_selection(self.env))[self.state]
        return self.env._(
            "Milestone “%(name)s” is in state “%(state)s”: this step is not possible now.",
            name=self.name,
            state=state,
        )

    # === BUTTONS ===

    def action_cancel(self):
        """Cancel milestones that are not billed; open submissions are withdrawn."""
        self._check_may_bill()
        self.schedule_id._lock()
        for line in self:
            if line._get_live_invoice():
                raise UserError(
                    self.env._(
                        "Milestone “%s” has an invoice. Delete its draft or credit it, then cancel the milestone.",
                        line.name,
                    )
                )
        self.approval_ids._cancel_open(self.env._("The milestone was cancelled."))
        self._transition("cancel")
        self._drop_planned_allocations()
        self.schedule_id._replan()
        self._tell_why_moved(lambda names: self.env._("Cancelled: %s.", names))
        return True

    def action_restore(self):
        """Bring cancelled milestones back to planned."""
        self._check_may_bill()
        self._transition("restore")
        self.schedule_id._replan()
        self._tell_why_moved(lambda names: self.env._("Restored: %s.", names))
        return True

    def action_hold(self, reason=None):
        """Put milestones on hold: nothing completes or posts them until they are resumed.

        :param str reason: shown to the team.
        """
        self._check_may_bill()
        self._write_internal({"is_on_hold": True, "hold_reason": reason or False})
        return True

    def action_resume(self):
        """Take milestones off hold."""
        self._check_may_bill()
        self._write_internal({"is_on_hold": False, "hold_reason": False})
        return True

    def _check_may_bill(self):
        """Check that the user may bill these milestones.

        :raise AccessError: for anybody but billing users.
        """
        if self.env.su:
            return
        self.check_access("write")
        if not self.env.user.has_group("milestone_billing.milestone_billing_group_billing_user"):
            raise AccessError(self.env._("Only billing users may do this. Ask your billing manager."))

    def _check_may_complete(self):
        """Check that the user may complete these milestones: billing users and project users may.

        :raise AccessError: for anybody else.
        """
        if self.env.su:
            return
        self.check_access("read")
        if not self.env.user.has_group("milestone_billing.milestone_billing_group_project_user"):
            raise AccessError(
                self.env._("Only project and billing users may complete a milestone. Ask one of them.")
            )

    # === COMPLETION ===

    def action_complete(self):
        """Complete milestones: draft their invoices and ask the client for approval where that is required."""
        self._check_may_complete()
        self.sudo()._complete(trigger="manual")
        return True

    def _complete(self, trigger, strict=True):
        """Complete milestones in one transaction.

        Milestones that already have an invoice are skipped: the same event twice is normal.

        :param str trigger: what caused it, for the evidence; None for a trigger that came before and was remembered.
        :param bool strict: raise for milestones that are blocked; else leave them out, and remember the trigger.
        :return: the milestones that were completed.
        """
        self._read_ahead()
        self.schedule_id._lock()
        lines = self._filter_unbilled()
        if skipped := self - lines:
            _logger.info("already billed or cancelled, skipped: %s", skipped.mapped("reference"))
        lines._read_people_ahead()
        blocked = lines._get_completion_obstacles()
        if blocked and strict:
            raise UserError("\n".join(dict.fromkeys(blocked.values())))
        if blocked:
            self.browse().union(*blocked)._remember_trigger(trigger, blocked)
        lines = lines.filtered(lambda line: line not in blocked)
        if not lines:
            return lines
        asked = lines.filtered("approval_required")
        moves = lines._create_invoices()
        unasked, done = lines - asked, {"completed_on": fields.Datetime.now()}
        with self.env["milestone.billing.evidence"]._gather():
            lines._log_completed(trigger)
            lines._log_drafted(moves)
            # The note that names the draft says it all: no second message for the state.
            if asked:
                asked.with_context(mail_notrack=True)._transition("submit", done)
                asked._submit()
            unasked.with_context(mail_notrack=True)._transition("approve_unasked", done)
        unasked._post_drafts(("always",))
        lines.project_milestone_id.sudo().filtered(lambda milestone: not milestone.is_reached).write(
            {"is_reached": True}
        )
        return lines

    def _filter_unbilled(self):
        return self.filtered(
            lambda line: (
                not line._get_live_invoice() and line.state != "cancelled" and line.invoice_status != "before"
            )
        )

    def _submit(self):
        """Ask the client for a decision on these milestones."""
        self.env["milestone.billing.approval"]._request(self)

    def _on_approved(self):
        """Issue the invoices of milestones that the client has approved, as the company wants it."""
        self._post_drafts(("approval", "always"))

    def _post_drafts(self, policies):
        """Post the drafts of milestones whose company follows one of these policies.

        :param policies: values of the company's `milestone_invoice_posting`.
        """
        to_post = self.filtered(
            lambda line: line.company_id.milestone_invoice_posting in policies and not line.is_on_hold
        )
        drafts = to_post.invoice_ids.filtered(lambda move: move.milestone_claim and move.state == "draft")
        if drafts:
            # Odoo dates an invoice by whoever is at work: a client in another zone, or a job that has none.
            for zone, moves in (
                drafts.sudo().grouped(lambda move: move.company_id._get_milestone_tz()).items()
            ):
                moves.with_context(tz=zone)._post()

    def _reopen(self):
        """Bring milestones whose document is gone back to planned; their history stays."""
        lines = self.filtered(lambda line: line.state in ("submitted", "approved", "changes_requested"))
        if not lines:
            return
        lines.approval_ids._cancel_open(self.env._("The invoice was withdrawn."))
        lines._transition("reopen", {"completed_on": False})
