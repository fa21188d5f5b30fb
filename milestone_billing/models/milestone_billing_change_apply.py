"""What a change order does when it is proposed, decided and applied."""

import hashlib
import logging

from markupsafe import escape
from odoo import Command, api, fields, models
from odoo.exceptions import UserError
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import formatLang

_logger = logging.getLogger(__name__)


class MilestoneBillingChange(models.Model):
    _inherit = "milestone.billing.change"

    evidence_ids = fields.One2many(
        "milestone.billing.evidence",
        compute="_compute_evidence_ids",
        groups="milestone_billing.milestone_billing_group_project_user,"
        "milestone_billing.milestone_billing_group_auditor",
    )

    # === PROPOSING ===

    def _propose(self):
        """Freeze what is asked and queue a personal link for each approver."""
        for change in self:
            change._check_is_draft()
            milestones = change._check_applicable()
            change._write_internal(
                {
                    "state": "proposed",
                    "revision": change.revision + 1,
                    "expires_on": change.company_id._get_milestone_deadline(
                        change.company_id.milestone_link_days
                    ),
                }
            )
            change.link_ids._revoke()
            self.env["milestone.billing.change.link"].create(change._prepare_link_values())
            change._freeze(milestones)
        self.env.ref("milestone_billing.ir_cron_send_change_links")._trigger()

    def _check_applicable(self):
        """Refuse a change that could not be applied, before the client sees it: try it, and undo it.

        :return: the milestones that change with it; see `_try_out`.
        :rtype: list[dict]
        :raise UserError: with what to do about it.
        """
        self.ensure_one()
        if self.order_id.state != "sale" or not self.schedule_id.is_frozen:
            raise UserError(
                self.env._("%s is not confirmed. Change the quotation itself.", self.order_id.name)
            )
        if not self.line_ids:
            raise UserError(self.env._("Add at least one position that changes."))
        return self._try_out()

    def _prepare_link_values(self):
        """Give the values of one link for each approver: those of the schedule, else the customer.

        :raise UserError: when all of them are archived.
        """
        seats = self.schedule_id.sudo()._get_active_approvers()
        if not seats:
            raise UserError(
                self.env._(
                    "Nobody is left to decide about %s: its approvers are archived. Restore one of the contacts, or "
                    "name another approver on the schedule.",
                    self.reference,
                )
            )
        return [
            {"change_id": self.id, "partner_id": partner.id, "role": role, "amount_limit": limit}
            for partner, role, limit in seats
        ]

    def _freeze(self, milestones):
        change = self.with_context(lang=self.partner_id.lang or self.env.lang)
        snapshot = change._prepare_snapshot(milestones)
        now = self.env["milestone.billing.evidence"]._get_now()
        (sha256,) = self.env["milestone.billing.evidence.snapshot"]._freeze([(self, snapshot)], now)
        self._write_internal({"snapshot_sha256": sha256})
        self._log(
            "request.created",
            data={
                "revision": self.revision,
                "snapshot_sha256": sha256,
                "frozen_at": now,
                "expires_at": snapshot["expires_at"],
                "consent_sha256": _digest(snapshot["consent"]["text"]),
            },
        )

    def _get_active_links(self):
        return self.link_ids.filtered(lambda link: not link.is_revoked)

    # === DECIDING ===

    def _finish(self, data):
        """Close an approved change: order and schedule change together, or the approval does not count.

        :param dict data: of the evidence entry.
        :return: False when the order has changed meanwhile; the change is a draft again.
        :rtype: bool
        """
        self.ensure_one()
        try:
            with self.env.cr.savepoint():
                self._apply()
        except UserError as error:
            self.env.invalidate_all(flush=False)
            _logger.info("change %s could not be applied: %s", self.reference, error)
            self._close("request.superseded", "draft", {"reason": "order changed"})
            self.message_post(
                body=self.env._(
                    "The client agreed, but the order has changed meanwhile: %s Propose it again.", error
                )
            )
            return False
        self._log("request.approved", data=data)
        self._write_internal({"state": "approved", "decided_on": fields.Datetime.now(), "is_applied": True})
        self.link_ids._revoke(keep_readable=True)
        self.message_post(body=self.env._("Approved by the client. Order and schedule are changed."))
        return True

    def _lock(self):
        """Take the row of this change order, so that decisions about it come one after the other."""
        self.env.cr.execute("SELECT id FROM milestone_billing_change WHERE id = %s FOR UPDATE", [self.id])

    def _decline(self, reason):
        self._write_internal({"state": "declined", "decided_on": fields.Datetime.now()})
        self.activity_schedule(
            "mail.mail_activity_data_todo",
            summary=self.env._("Change order declined: %s", self.name),
            note=escape(reason or ""),
            user_id=(self.user_id or self.env.user).id,
        )

    def _close(self, event, state, data):
        """Withdraw what is with the client.

        :param str event: of the evidence.
        :param str state: afterwards.
        """
        for change in self:
            change._log(event, data=data)
            change._write_internal({"state": state})
            change.link_ids._revoke()

    # === TIME ===

    @api.model
    def _cron_expire(self, chunk=100):
        """Close the change orders whose time to decide is over, and tell the salesperson."""
        Cron = self.env["ir.cron"]
        domain = [("state", "=", "proposed"), ("expires_on", "<=", fields.Datetime.now())]
        due = self.search(domain, order="id")
        Cron._commit_progress(remaining=len(due))
        for start in range(0, len(due), chunk):
            batch = due[start : start + chunk]
            try:
                for change in batch.try_lock_for_update().filtered(lambda item: item.state == "proposed"):
                    change._expire()
            except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                Cron._give_way(len(due) - start)
                return
            if not Cron._commit_progress(len(batch)):
                return

    def _expire(self):
        """Note that no answer came; the page says so, and the team may withdraw the change and send it again."""
        self._log("request.expired", actor_kind="system")
        self._write_internal({"state": "expired"})
        self.activity_schedule(
            "mail.mail_activity_data_todo",
            summary=self.env._(
                "No answer to change order %s: call, or withdraw it and send it again", self.reference
            ),
            user_id=(self.user_id or self.env.ref("base.user_admin")).id,
        )

    # === APPLYING ===

    def _apply(self):
        """Change order and schedule together.

        :raise UserError: if the order is no longer what the change started from, or the schedule cannot follow.
        """
        self.ensure_one()
        schedule, order = self.schedule_id, self.order_id
        schedule._lock()
        if self._is_other_than_frozen():
            raise UserError(
                self.env._("“%s” is not what the client was shown. Withdraw it and send it again.", self.name)
            )
        if stale := self.line_ids.filtered(lambda line: line._is_stale())[:1]:
            raise UserError(
                self.env._(
                    "“%s” is not what it was when this change was made. Withdraw the change and make it again.",
                    stale.name,
                )
            )
        before = schedule.amount_contract
        with order._keep_unlocked():
            added = self._change_order_lines(order)
        # What the order grows by, which global rounding may make another unit than the sum of the positions.
        milestone = self._create_milestone(added, self.currency_id.round(schedule.amount_contract - before))
        if milestone:
            self._write_internal({"milestone_line_id": milestone.id})
        self._check_schedule_fits()
        schedule._tell_why(self.env._("Change order %s was approved.", self.reference))

    def _change_order_lines(self, order):
        known = order.order_line
        order.write(
            {
                "order_line": [
                    Command.update(line.order_line_id.id, line._prepare_order_line_values())
                    if line.order_line_id
                    else Command.create(line._prepare_order_line_values())
                    for line in self.line_ids
                ]
            }
        )
        return order.order_line - known

    def _create_milestone(self, added, growth):
        """Plan a milestone that bills what is added; reductions of existing lines are spread.

        :param added: new order lines.
        :param float growth: what the order grows by, untaxed.
        """
        only_new = not self.line_ids.order_line_id
        if self.billing != "own" or not self.amount_untaxed or (self.amount_untaxed < 0 and not only_new):
            return None
        values = {
            "order_id": self.order_id.id,
            "name": self.name,
            "description": self.reason,
            "kind": "change",
            "amount_type": "fixed",
            "amount_fixed": growth,
            "sequence": max(self.schedule_id.line_ids.mapped("sequence"), default=0) + 10,
        }
        if only_new:
            values["allocation_mode"] = "lines"
            values["allocation_ids"] = [
                Command.create({"order_line_id": line.id, "percent": 100.0}) for line in added
            ]
        return self.env["milestone.billing.line"].create(values)

    def _check_schedule_fits(self):
        self.env.flush_all()
        self.schedule_id._check_deposit_limit()
        self.schedule_id._log_deposit_limit()
        difference = self.schedule_id.amount_difference
        if not self.currency_id.is_zero(difference):
            raise UserError(
                self.env._(
                    "No open milestone can take %s. Bill the change in a milestone of its own, as a new line.",
                    formatLang(self.env, -difference, currency_obj=self.currency_id),
                )
            )

    # === EVIDENCE ===

    def _log(self, event_type, data=None, **more):
        """Record an event on the chain of this change order.

        :return: the entry.
        """
        self.ensure_one()
        subject = {"request_id": self.uuid, "revision": self.revision}
        if self.snapshot_sha256:
            subject["snapshot_sha256"] = self.snapshot_sha256
        event = {
            "chain_id": self.evidence_uuid,
            "company": self.company_id,
            "type": event_type,
            "data": data or {},
            "subject": {**subject, **more.pop("subject", {})},
            **more,
        }
        return self.env["milestone.billing.evidence"].sudo()._append([event])

    def _compute_evidence_ids(self):
        """Not stored and without dependencies: entries come from SQL."""
        entries = self.env["milestone.billing.evidence"].search(
            [("chain_id", "in", self.mapped("evidence_uuid"))]
        )
        by_chain = entries.grouped("chain_id")
        for change in self:
            change.evidence_ids = by_chain.get(change.evidence_uuid, False)


def _digest(value):
    return hashlib.sha256(value.encode()).hexdigest()
