"""Proof of work: files that show the client what was done, from the milestone, its project and its tasks."""

from odoo import Command, api, fields, models
from odoo.exceptions import AccessError, UserError


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    can_add_proof = fields.Boolean(compute="_compute_can_add_proof", compute_sudo=True)

    @api.depends_context("uid")
    @api.depends("state")
    def _compute_can_add_proof(self):
        allowed = self.env.user.has_group("milestone_billing.milestone_billing_group_project_user")
        for line in self:
            line.can_add_proof = allowed and line._is_proof_open()

    def _is_proof_open(self):
        """Tell whether files may still come and go: what the client has approved stays as it is."""
        self.ensure_one()
        return self.state in ("planned", "submitted", "changes_requested")

    def add_milestone_proof(self, attachment_ids):
        """Add uploaded files to the proof of work of these milestones.

        :param list attachment_ids: files that the user has just uploaded, or may read on a task of the milestone;
            each milestone gets its own copy, which lives and is protected with it.
        :return: ids of the proof files.
        :rtype: list[int]
        :raise AccessError: for anybody but project and billing users, or for other people's files.
        :raise UserError: when the client has already approved the milestone.
        """
        self._check_may_complete()
        self._check_proof_open()
        attachments = self.env["ir.attachment"].browse(attachment_ids).exists()
        attachments.check_access("read")
        loose = attachments.filtered(
            lambda attachment: not attachment.res_id and attachment.create_uid == self.env.user
        )
        added = self.env["ir.attachment"].sudo()
        for line in self.sudo():
            copies = line._copy_proof(attachments)
            line.proof_ids = [Command.link(copy.id) for copy in copies]
            added += copies
        loose.sudo().unlink()
        return added.ids

    def _copy_proof(self, attachments):
        """Copy files so that this milestone owns them; the file store keeps one body for all copies."""
        self.ensure_one()
        return (
            self.env["ir.attachment"]
            .sudo()
            .create(
                [
                    {
                        "name": attachment.name,
                        "raw": attachment.raw,
                        "mimetype": attachment.mimetype,
                        "res_model": self._name,
                        "res_id": self.id,
                    }
                    for attachment in attachments.sudo()
                ]
            )
        )

    def remove_milestone_proof(self, attachment_ids):
        """Remove files from the proof of work of these milestones.

        :param list attachment_ids: proof files of these milestones.
        :rtype: bool
        :raise UserError: when the client has already approved the milestone.
        """
        self._check_may_complete()
        lines = self.sudo().filtered(lambda line: line.proof_ids & line.proof_ids.browse(attachment_ids))
        lines._check_proof_open()
        for line in lines:
            gone = line.proof_ids.filtered(lambda attachment: attachment.id in attachment_ids)
            line.proof_ids = [Command.unlink(attachment.id) for attachment in gone]
        return True

    def _check_proof_open(self):
        for line in self:
            if not line._is_proof_open():
                raise UserError(
                    self.env._(
                        "“%s” is approved: its proof of work is part of the evidence and stays as it is.",
                        line.name,
                    )
                )

    def write(self, vals):
        """Override to record proof that came or went as evidence, whichever way it was written."""
        if "proof_ids" not in vals:
            return super().write(vals)
        before = {line: line.sudo().proof_ids for line in self}
        self._check_proof_open()
        result = super().write(vals)
        for line, old in before.items():
            now = line.sudo().proof_ids
            if not self.env.su:
                line._check_proof_readable(now - old)
            line._log_proof("proof.added", now - old)
            line._log_proof("proof.removed", old - now)
        return result

    def _check_proof_readable(self, attachments):
        """Refuse files that the user may not read: the client would see them."""
        if not attachments.with_user(self.env.user).has_access("read"):
            raise AccessError(
                self.env._(
                    "You may not show a file to the client that you cannot read yourself. Choose another one."
                )
            )

    def _log_proof(self, event, attachments):
        for attachment in attachments.sudo():
            self._log_evidence(event, data=self._prepare_proof_data(attachment))

    def _prepare_proof_data(self, attachment):
        """Give the facts of a proof file for its evidence entry, under the identifier that a submission will give it.

        :rtype: dict
        """
        self.ensure_one()
        file = attachment._prepare_milestone_file(self)
        data = {name: file[name] for name in ("file_uuid", "sha256", "size", "mimetype")}
        if claimed := attachment._get_captured_at():
            data["captured_at_claimed"] = claimed
        return data
