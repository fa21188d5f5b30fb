"""“This was not me”: a decision about a change order that its approver contests, and how it is settled."""

import base64
import hashlib

from odoo import Command, fields, models
from odoo.exceptions import UserError


class MilestoneBillingChange(models.Model):
    _inherit = "milestone.billing.change"

    is_applied = fields.Boolean(readonly=True, copy=False, help="Order and schedule were changed by it.")
    contested_on = fields.Datetime(readonly=True, copy=False)
    held_line_ids = fields.Many2many(
        "milestone.billing.line",
        "milestone_billing_change_held_rel",
        "change_id",
        "line_id",
        string="On Hold for It",
        readonly=True,
        copy=False,
        help="Milestones that wait until a contested decision is clear.",
    )

    # === NOT ME ===

    def _contest(self, link, visit):
        """Freeze the change: what it bills waits, its links decide nothing any more, and the team is told.

        :param link: of the person who says so.
        :param dict visit: `auth`, `http`, `pii`, `actor_kind` of the evidence entry.
        :return: whether it changed anything; the second time it does not.
        :rtype: bool
        """
        self.ensure_one()
        self._lock()
        if self.state not in ("proposed", "approved", "declined"):
            return False
        held = self._get_milestones_to_hold()
        actor = {**visit, "actor_ref": link.partner_id.milestone_evidence_ref}
        self._log(
            "approval.repudiated",
            data={"held_milestones": held.mapped("reference")},
            **{**actor, "subject": {"link_id": link.uuid}},
        )
        self._write_internal(
            {
                "state": "contested",
                "contested_on": fields.Datetime.now(),
                "held_line_ids": [Command.set(held.ids)],
            }
        )
        self.link_ids._revoke(keep_readable=True)
        summary = self.env._(
            "%(name)s says “this was not me” about %(change)s: what it bills is on hold",
            name=link.partner_id.name,
            change=self.reference,
        )
        held.action_hold(self.env._("Change order %s is being clarified.", self.reference))
        self.message_post(body=summary)
        self.activity_schedule(
            "mail.mail_activity_data_todo",
            summary=summary,
            user_id=(self.user_id or self.env.ref("base.user_admin")).id,
        )
        return True

    def _get_milestones_to_hold(self):
        """Give the milestones that bill the change and can still wait: its own one, else all open ones."""
        if not self.is_applied:
            return self.env["milestone.billing.line"]
        lines = self.milestone_line_id or self.schedule_id.line_ids
        return lines.filtered(
            lambda line: (
                line.state != "cancelled"
                and not line.is_on_hold
                and line.invoice_status not in ("posted", "partial", "paid")
            )
        )

    # === ON PAPER ===

    def _approve_on_behalf(self):
        """Record an approval on paper; for an applied change that was contested it is the confirmation."""
        if self.state != "proposed" and not (self.state == "contested" and self.is_applied):
            raise UserError(self.env._("Propose the change order first."))
        if not self.document:
            raise UserError(self.env._("Attach the signed document or the note of the call first."))
        digest = hashlib.sha256(base64.b64decode(self.document)).hexdigest()
        self._log("approval.on_behalf", data={"method": "document", "document_sha256": digest})
        if self.state == "contested":
            self._settle()
        elif not self._finish({"on_behalf": True}):
            raise UserError(self.env._("The order has changed meanwhile. Propose the change order again."))

    def _settle(self):
        """Close a contest with the client's confirmation; what was held for it goes on."""
        self._log("request.approved", data={"on_behalf": True})
        self._write_internal({"state": "approved"})
        self.held_line_ids.filtered("is_on_hold").action_resume()
        self.activity_unlink(["mail.mail_activity_data_todo"])
        self.message_post(body=self.env._("The client confirmed it with a document. It counts again."))
