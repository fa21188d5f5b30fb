"""What was submitted changes: the submission is replaced at once, and the client asked again when the change has settled."""

import logging
from contextlib import contextmanager
from datetime import timedelta

from odoo import api, fields, models
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import format_datetime

_logger = logging.getLogger(__name__)

# Several changes one after the other make one new version, and one mail to the client.
QUIET_MINUTES = 15
SHOWN_FIELDS = ("name", "description", "proof_ids")
FILE_FIELDS = ("name", "description")
ORDER_LINE_FIELDS = {"product_uom_qty", "price_unit", "discount", "tax_ids", "product_id"}
APPROVER_FIELDS = {"partner_id", "role", "amount_limit"}


class MilestoneBillingApproval(models.Model):
    _inherit = "milestone.billing.approval"

    ask_again_on = fields.Datetime(
        readonly=True,
        copy=False,
        help="What was submitted was changed: the new version goes to the client then, unless somebody sends it before.",
    )

    _ask_again_index = models.Index("(ask_again_on) WHERE ask_again_on IS NOT NULL")

    def _replace_changed(self, names):
        """Replace open submissions whose content was changed, and put those off that wait to be sent again.

        :param names: what was changed: fields of the milestone, `files`, `invoice`, `due_terms`, `order`, `approvers`.
        """
        when = fields.Datetime.now() + timedelta(minutes=QUIET_MINUTES)
        replaced = self.filtered(lambda approval: approval.state == "requested")
        if replaced:
            replaced._lock()
            replaced._supersede("content changed", fields=sorted(names))
            replaced._internal().ask_again_on = when
            replaced._note_replaced(names, when)
            self.env.ref("milestone_billing.ir_cron_ask_again").sudo()._trigger(at=when)
        soon = when - timedelta(minutes=1)
        waiting = (self - replaced).filtered(lambda item: item.ask_again_on and item.ask_again_on < soon)
        if waiting:
            waiting._internal().ask_again_on = when
            self.env.ref("milestone_billing.ir_cron_ask_again").sudo()._trigger(at=when)

    def _note_replaced(self, names, when):
        """Tell the team on each milestone what happened and what comes next."""
        labels = self._get_change_labels()
        what = ", ".join(dict.fromkeys(labels[name] for name in sorted(names)))
        self.line_id._message_log_batch(
            bodies={
                approval.line_id.id: self.env._(
                    "Revision %(revision)s is replaced, since this was changed: %(what)s. The client is asked again on "
                    "%(when)s, or at once with “New Revision”.",
                    revision=approval.revision,
                    what=what,
                    when=format_datetime(self.env, when, dt_format="short"),
                )
                for approval in self
            }
        )

    @api.model
    def _get_change_labels(self):
        return {
            "name": self.env._("name"),
            "description": self.env._("description"),
            "proof_ids": self.env._("proof of work"),
            "files": self.env._("proof of work"),
            "invoice": self.env._("invoice"),
            "due_terms": self.env._("payment terms"),
            "order": self.env._("order"),
            "approvers": self.env._("approvers"),
        }

    # === ASKING AGAIN ===

    @api.model
    def _cron_ask_again(self, chunk=50):
        """Ask clients again where changes have settled, in chunks; rows that another worker has are left out."""
        while True:
            due = self.search(
                [("ask_again_on", "<=", fields.Datetime.now()), ("line_id.is_on_hold", "=", False)],
                order="id",
                limit=chunk,
            )
            taken = due.try_lock_for_update()
            try:
                for approval in taken:
                    approval._ask_again_settled()
            except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                self.env["ir.cron"]._give_way(len(taken))
                return
            if not taken or not self.env["ir.cron"]._commit_progress(len(taken)):
                return

    def _ask_again_settled(self):
        """Ask the client again about one changed milestone; when that fails, the team is told to do it by hand."""
        self.ensure_one()
        line, refusal = self.line_id, ""
        if self._is_asked_again_soon():
            try:
                with self.env.cr.savepoint():
                    self._ask_again("content changed")
            except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                raise
            except Exception as error:
                _logger.exception("submission %s could not be sent again", self.uuid)
                refusal = str(error)
        elif line.state == "submitted" and line._get_current_approval() == self:
            refusal = line._get_quorum_obstacle()
        self._internal().ask_again_on = False
        if refusal:
            summary = self.env._("“%s” was changed and could not be sent to the client again", line.name)
            self._notify_team(refusal, summary=summary)

    def _is_asked_again_soon(self):
        """Tell whether the new version of this submission waits to be sent, and may be.

        :rtype: bool
        """
        self.ensure_one()
        line = self.line_id
        return bool(
            self.ask_again_on
            and line.state == "submitted"
            and not line.is_on_hold
            and line._get_current_approval() == self
            and line._get_live_invoice().state == "draft"
            and not line._get_quorum_obstacle()
        )

    # === WHAT CHANGED ===

    def _get_invoice_drift(self):
        """Name what the draft says differently now.

        :rtype: list[str]
        """
        self.ensure_one()
        approval = self.sudo().with_context(lang=self.lang)
        move, snapshot = approval.move_id, approval._get_snapshot()
        if not move or move._get_content_sha256() != approval.content_sha256:
            return ["invoice"]
        terms = move.invoice_payment_term_id.name or ""
        return ["due_terms"] if snapshot and terms != snapshot["due_terms"] else []

    def _has_other_approvers(self):
        """Tell whether other people, limits or numbers of approvals would be asked for now.

        :rtype: bool
        """
        self.ensure_one()
        approval, line = self.sudo(), self.line_id.sudo()
        asked = {(seat.partner_id.id, seat.role or "", seat.amount_limit) for seat in approval.seat_ids}
        wanted = {(partner.id, role, limit) for partner, role, limit in line._get_approvers()}
        amount = line._get_company_amount(approval.move_id)
        return asked != wanted or line._get_needed_approvals(amount) != approval.quorum


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def write(self, vals):
        """Override to replace the open submission when what the client reads or sees is changed."""
        names = [name for name in SHOWN_FIELDS if name in vals]
        asked = self.filtered(lambda line: line.state == "submitted") if names else self.browse()
        before = {line: line._get_shown(names) for line in asked}
        result = super().write(vals)
        changed = {line: line._get_shown(names).items() - before[line].items() for line in asked}
        if lines := asked.filtered(lambda line: changed[line]):
            lines._on_submitted_changed({name for line in lines for name, _value in changed[line]})
        return result

    def _get_shown(self, names):
        return {
            name: tuple(self.sudo()[name].ids) if name == "proof_ids" else self[name] or "" for name in names
        }

    def _on_submitted_changed(self, names):
        """Replace what the client was asked about these milestones.

        :param names: what was changed, see `_replace_changed`.
        """
        self._get_current_approvals()._replace_changed(names)

    def _get_current_approvals(self):
        """Give the latest submission of each of these milestones.

        :rtype: milestone.billing.approval
        """
        approvals = self.env["milestone.billing.approval"].sudo()
        return approvals.union(*(line._get_current_approval() for line in self))

    def _get_submitted_sentence(self):
        """Say what a submitted milestone waits for: the client, or a change to settle.

        :rtype: str
        """
        approval = self._get_current_approval()
        if approval.ask_again_on:
            return self.env._(
                "Changed since it was sent: the client is asked again on %s, or at once with “New Revision”.",
                format_datetime(self.env, approval.ask_again_on, dt_format="short"),
            )
        if approval.state in ("expired", "superseded"):
            return self.env._("The client is not asked any more. Send it again with “New Revision”.")
        return self.env._("Waiting for the client's approval.")


class AccountMove(models.Model):
    _inherit = "account.move"

    @contextmanager
    def _sync_dynamic_lines(self, container):
        """Override of `account` to look at drafts that are with the client once all their lines are in line again."""
        is_inner = "skip_invoice_sync" in self.env.cr.cache.get("account_disable_recursion_stack", ())
        with super()._sync_dynamic_lines(container):
            yield
        if not is_inner:
            container["records"]._replace_changed_submissions()

    def _replace_changed_submissions(self):
        drafts = self.sudo().filtered(
            lambda move: (
                move.milestone_claim and move.state == "draft" and move.milestone_line_id.state == "submitted"
            )
        )
        approvals = drafts.milestone_approval_ids.filtered(
            lambda approval: approval.state == "requested" or approval.ask_again_on
        )
        drifts = {
            approval: approval._get_invoice_drift() for approval in approvals if approval.state == "requested"
        }
        changed = approvals.filtered(lambda approval: drifts.get(approval, True))
        if changed:
            changed._replace_changed({name for names in drifts.values() for name in names} or {"invoice"})


class SaleOrderLine(models.Model):
    _inherit = "sale.order.line"

    def write(self, vals):
        """Override of `sale` to replace submissions of milestones that bill a line whose amount changes."""
        concerned = self.browse()
        if ORDER_LINE_FIELDS & vals.keys():
            concerned = self.sudo().filtered(lambda line: line.order_id.milestone_schedule_id.is_frozen)
        before = {line: (line.price_subtotal, line.price_total) for line in concerned}
        result = super().write(vals)
        changed = concerned.filtered(lambda line: before[line] != (line.price_subtotal, line.price_total))
        milestones = changed.milestone_allocation_ids.filtered("move_id").line_id
        if submitted := milestones.filtered(lambda line: line.state == "submitted"):
            submitted._on_submitted_changed({"order"})
        return result


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def write(self, vals):
        """Override to ask again when another number of approvals is needed."""
        result = super().write(vals)
        if "quorum" in vals:
            self._on_approvers_changed()
        return result

    def _on_approvers_changed(self):
        """Replace submissions that ask other people, or other numbers of them, than the schedule says now."""
        lines = self.sudo().line_ids.filtered(lambda line: line.state == "submitted")
        lines._get_current_approvals().filtered(
            lambda approval: (
                approval.ask_again_on or (approval.state == "requested" and approval._has_other_approvers())
            )
        )._replace_changed({"approvers"})


class MilestoneBillingApprover(models.Model):
    _inherit = "milestone.billing.approver"

    @api.model_create_multi
    def create(self, vals_list):
        """Extend: an open submission is replaced when another person is to decide."""
        approvers = super().create(vals_list)
        approvers.schedule_id._on_approvers_changed()
        return approvers

    def write(self, vals):
        """Extend: an open submission is replaced when its approvers change."""
        result = super().write(vals)
        if APPROVER_FIELDS & vals.keys():
            self.schedule_id._on_approvers_changed()
        return result

    def unlink(self):
        """Extend: an open submission is replaced when an approver is taken out."""
        schedules = self.schedule_id
        result = super().unlink()
        schedules._on_approvers_changed()
        return result


class IrAttachment(models.Model):
    _inherit = "ir.attachment"

    def write(self, vals):
        """Override of `base`: a new name or caption of a proof file is a new version of what the client sees."""
        names = [name for name in FILE_FIELDS if name in vals]
        proof = self._get_submitted().sudo() if names else self.browse()
        before = {file: [file[name] or "" for name in names] for file in proof}
        result = super().write(vals)
        changed = proof.filtered(lambda file: before[file] != [file[name] or "" for name in names])
        if changed:
            lines = self.env["milestone.billing.line"].sudo()
            domain = [("state", "=", "submitted"), ("proof_ids", "in", changed.ids)]
            lines.search(domain)._on_submitted_changed({"files"})
        return result
