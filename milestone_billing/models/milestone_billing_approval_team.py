"""What the team sees and does: notes, activities, sending again, recording a phone or paper approval."""

import hashlib

from markupsafe import Markup, escape
from odoo import api, fields, models
from odoo.exceptions import UserError

ON_BEHALF_METHODS = ("paper", "phone", "email", "meeting")


class MilestoneBillingApproval(models.Model):
    _inherit = "milestone.billing.approval"

    # === NOTES AND ACTIVITIES ===

    def _get_responsible(self):
        """Give who looks after the work: the project manager, else the salesperson.

        :rtype: res.users
        """
        self.ensure_one()
        line = self.sudo().line_id
        return line.project_id.user_id or line.order_id.user_id or line.create_uid

    def _for_team(self):
        """Give a submission in the language of who looks after the work; the client's own is for the client."""
        return self.with_context(lang=self._get_responsible().lang or self.env.user.lang)

    def _notify_team(self, body, summary=None, user=None):
        """Post a note on the milestone and, with a summary, give somebody something to do.

        :param body: text or Markup.
        :param str summary: of the activity.
        :param user: whose it is; the project manager's by default.
        """
        for approval in self.sudo():
            line = approval.line_id.with_context(mail_notify_author=False)
            line.message_post(body=body, subtype_xmlid="mail.mt_note")
            if summary:
                owner = user or approval._get_responsible()
                line.activity_schedule(
                    "mail.mail_activity_data_todo",
                    summary=summary,
                    # Names of people and milestones are text, whatever they hold.
                    note=escape(body),
                    user_id=(owner if owner and not owner.share else self.env.ref("base.user_admin")).id,
                )

    def _notify_team_rejected(self, decision):
        name = decision.partner_id.name
        if decision.decision == "decline":
            summary = self.env._("%(name)s declined “%(milestone)s”", name=name, milestone=self.line_id.name)
        else:
            summary = self.env._(
                "%(name)s asks for changes on “%(milestone)s”", name=name, milestone=self.line_id.name
            )
        body = Markup("<p>%s:</p><blockquote>%s</blockquote>") % (summary, decision.reason or "")
        self._notify_team(body, summary=summary)

    def _notify_team_approved(self):
        names = ", ".join(self._get_granted().partner_id.mapped("name"))
        if self.is_on_behalf:
            body = self.env._("Approval recorded by staff (revision %s).", self.revision)
        elif self.state == "deemed_accepted":
            body = self.env._("No answer in time: revision %s counts as accepted.", self.revision)
        else:
            body = self.env._(
                "Approved by %(names)s (revision %(revision)s).", names=names, revision=self.revision
            )
        self._notify_team(body)

    def _notify_team_partly(self, decision):
        self._notify_team(
            self.env._(
                "%(name)s approved: %(count)s of %(needed)s approvals.",
                name=decision.partner_id.name,
                count=len(self._get_granted()),
                needed=self.quorum,
            )
        )

    def _notify_team_not_issued(self, reason):
        summary = self.env._("“%s” is approved, but its invoice could not be issued", self.line_id.name)
        self._notify_team(
            Markup("<p>%s: %s</p>") % (summary, reason), summary=summary, user=self.sudo().order_id.user_id
        )

    def _notify_team_undeliverable(self, partner, reason):
        summary = self.env._("The review link for %s was not delivered", partner.sudo().name)
        self._notify_team(Markup("<p>%s: %s</p>") % (summary, reason), summary=summary)

    def _create_reservation_tasks(self, decision):
        """Turn “approve, but please fix…” into tasks of the project, or into an activity without one."""
        notes = [note for note in (decision.reason or "").split("\n") if note.strip()]
        line, project = self.sudo().line_id, self.sudo().line_id.project_id
        if decision.decision != "approve_with_reservations" or not notes:
            return
        if not project:
            summary = self.env._("%s approved with reservations", decision.partner_id.name)
            self._notify_team(Markup("<p>%s</p>") % decision.reason, summary=summary)
            return
        self.env["project.task"].sudo().create(
            [
                {
                    "name": self.env._("Reservation: %s", note[:100]),
                    "project_id": project.id,
                    "partner_id": decision.partner_id.id,
                    "description": Markup("<p>%s</p><p>%s</p>") % (note, line.display_name),
                    "user_ids": [fields.Command.set(self._get_responsible().ids)],
                }
                for note in notes
            ]
        )

    # === BUTTONS ===

    def action_resend(self):
        """Send new personal links to the approvers who have not decided yet."""
        self.line_id._check_may_complete()
        for approval in self.sudo():
            if approval.state != "requested":
                raise UserError(
                    self.env._("This submission is closed. Submit the milestone again to ask the client.")
                )
            seats = approval._get_waiting_seats()
            self.env["milestone.billing.approval.link"]._queue(seats, purpose="resend")
        return True

    def action_open_page(self):
        """Open what the client sees.

        :rtype: dict
        """
        self.ensure_one()
        self.check_access("read")
        return {"type": "ir.actions.act_url", "url": f"/my/milestones/{self.uuid}", "target": "new"}

    def action_open_certificate(self):
        """Open the certificate of the decision, as the client gets it.

        :rtype: dict
        """
        self.ensure_one()
        self.check_access("read")
        url = f"/my/milestones/{self.uuid}/certificate.pdf"
        return {"type": "ir.actions.act_url", "url": url, "target": "new"}

    def record_on_behalf(self, method, attachment_id, note=None):
        """Record an approval which the client gave on paper, by phone or by mail, with its document.

        It is kept as what it is: recorded by staff, never the client's own click.

        :param str method: `paper`, `phone`, `email` or `meeting`.
        :param int attachment_id: the document: a scan, the mail, the minutes.
        :param str note: who said what, and when.
        :return: True
        """
        self.ensure_one()
        self.line_id._check_may_bill()
        attachment = self.env["ir.attachment"].browse(attachment_id).exists()
        attachment.check_access("read")
        if method not in ON_BEHALF_METHODS or not attachment:
            raise UserError(
                self.env._("Attach the document that shows the approval and say how the client gave it.")
            )
        approval = self.sudo()
        approval._lock()
        if approval.state != "requested":
            raise UserError(self.env._("This submission is closed and takes no approval any more."))
        if approval._get_drift():
            raise UserError(
                self.env._(
                    "The milestone changed since it was submitted. Submit it again, then record the approval."
                )
            )
        paper = approval._keep_paper(attachment.sudo())
        approval._internal().write({"is_on_behalf": True, "paper_id": paper.id})
        self._log(
            "approval.on_behalf",
            data={"method": method, "document_sha256": self._get_document_sha256(paper)},
            pii={"reason": note or ""},
        )
        approval._finish_approved({"on_behalf": True})
        return True

    def _keep_paper(self, attachment):
        """Keep a paper with the milestone: the file itself when it was just uploaded, else a copy of it.

        :rtype: ir.attachment
        """
        place = {"res_model": "milestone.billing.line", "res_id": self.line_id.id, "res_field": False}
        is_loose = not attachment.res_id and attachment.create_uid == self.env.user
        if is_loose:
            attachment.write(place)
            return attachment
        return attachment.create(
            {"name": attachment.name, "raw": attachment.raw, "mimetype": attachment.mimetype, **place}
        )

    @api.model
    def _get_document_sha256(self, attachment):
        digest = hashlib.sha256()
        for chunk in attachment.sudo()._read_chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def _ask_again(self, reason):
        """Replace submissions by a new revision of what stands there now.

        :param str reason: why, for the evidence.
        :return: the new submissions.
        """
        lines = self.sudo().line_id
        self._supersede(reason)
        lines._transition("submit")
        return self.sudo()._request(lines)

    # === NOT ME ===

    def _contest(self, visitor):
        """Take “this was not me”: freeze the submission and its payment, and tell the team.

        :return: whether it changed anything; the second time it does not.
        :rtype: bool
        """
        self.ensure_one()
        approval = self.sudo().with_context(lang=self.lang)
        approval._lock()
        if not approval._transition("contest", {"contested_on": fields.Datetime.now()}):
            return False
        invoice = approval.line_id._get_live_invoice()
        approval._log_visit(
            "approval.repudiated", visitor, data={"frozen_invoice": (invoice.name or "") if invoice else ""}
        )
        if approval.line_id.state in ("submitted", "approved", "changes_requested"):
            approval.line_id._transition("contest")
        approval.link_ids._revoke(self.env._("Contested."), keep_readable=True)
        team = approval._for_team()
        summary = team.env._(
            "%(name)s says “this was not me” about “%(milestone)s”: payment is blocked",
            name=visitor.seat.partner_id.name,
            milestone=approval.line_id.name,
        )
        team._notify_team(summary, summary=summary)
        return True

    # === TIME ===

    @api.model
    def _cron_expire(self, chunk=100):
        """Close submissions whose time is over: expired, or accepted where that was the announced policy."""
        while True:
            due = self.search(
                [("state", "=", "requested"), ("expires_on", "<=", fields.Datetime.now())], limit=chunk
            )
            if not due:
                return
            for approval in due:
                approval._close_overdue()
            if not self.env["ir.cron"]._commit_progress(len(due)):
                return

    def _close_overdue(self):
        self.ensure_one()
        self._lock()
        sent = self.link_ids.filtered(lambda link: link.state == "sent")
        if self.is_deemed_acceptance and sent and not self._get_drift():
            self._finish_approved(
                {
                    "deadline": self.expires_on.strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
                    "notice_link_id": sent[:1].uuid,
                    "notice_event_id": self._find_notice(sent[:1]),
                },
                event="request.deemed_accepted",
            )
            return
        self._transition("expire")
        self._log("request.expired", actor_kind="system")
        team = self._for_team()
        summary = team.env._("No answer from the client on “%s”", self.line_id.name)
        team._notify_team(summary, summary=summary)

    def _find_notice(self, link):
        """Give the entry which says that a link, and the policy in its mail, went out.

        :rtype: str | None
        """
        domain = [
            ("chain_id", "=", self.line_id.evidence_uuid),
            ("type", "in", ("request.sent", "request.reminded")),
        ]
        bodies = [entry._get_body() for entry in self.env["milestone.billing.evidence"].sudo().search(domain)]
        return next(
            (body["event_id"] for body in bodies if body["subject"].get("link_id") == link.uuid), None
        )


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def action_submit_again(self):
        """Ask the client again with what stands there now, as a new revision."""
        self._check_may_complete()
        lines = self.sudo()
        lines.schedule_id._lock()
        for line in lines:
            if not line._get_live_invoice():
                raise UserError(
                    self.env._("“%s” has no draft invoice. Complete the milestone first.", line.name)
                )
            if not line._get_approvers():
                raise UserError(line._get_nobody_sentence())
        lines.approval_ids.filtered(lambda approval: approval.state == "requested")._supersede(
            self.env._("Submitted again.")
        )
        lines._transition("submit")
        lines._submit()
        return True

    def _get_evidence_attachments(self):
        """Override to find files of earlier submissions too, which are proof of the milestone no more."""
        return super()._get_evidence_attachments() | self.sudo().approval_ids.attachment_ids

    def _get_current_approval(self):
        """Give the latest submission of this milestone.

        :rtype: milestone.billing.approval
        """
        self.ensure_one()
        return self.sudo().approval_ids.sorted("revision")[-1:]
