"""Contacts who decide for a client: those who are archived are not asked, and their links end."""

from odoo import api, fields, models


class ResPartner(models.Model):
    _inherit = "res.partner"

    def write(self, vals):
        """Override of `base`: who is archived is asked no more, and who comes back is asked again."""
        if "active" not in vals:
            return super().write(vals)
        turned = self.filtered(lambda partner: partner.active != bool(vals["active"]))
        result = super().write(vals)
        if turned:
            turned.sudo()._on_approvers_turned(bool(vals["active"]))
        return result

    def _on_approvers_turned(self, is_active):
        """Ask others when approvers are archived, and these again when they come back; links of archived ones end.

        :param bool is_active: whether they came back.
        """
        if not is_active:
            self._revoke_milestone_links()
        Schedule = self.env["milestone.billing.schedule"]
        schedules = Schedule.search(
            ["|", ("approver_ids.partner_id", "in", self.ids), ("partner_id", "in", self.ids)]
        )
        schedules._on_approvers_changed()
        if not is_active:
            self._withdraw_undecidable_changes()

    def _revoke_milestone_links(self):
        """End the personal links of these contacts, of submissions and of change orders, with an entry each."""
        links = self.env["milestone.billing.approval.link"].search(
            [
                ("partner_id", "in", self.ids),
                ("revoked_on", "=", False),
                "|",
                ("expires_on", "=", False),
                ("expires_on", ">", fields.Datetime.now()),
            ]
        )
        if not links:
            return
        links._revoke(self.env._("The contact was archived."))
        self.env["milestone.billing.evidence"]._append(
            [
                {
                    "chain_id": link.approval_id.line_id.evidence_uuid,
                    "company": link.company_id,
                    "type": "link.revoked",
                    "subject": {**link.approval_id._get_subject(), "link_id": link.uuid},
                    "data": {"reason": "contact archived", "link_id": link.uuid},
                }
                for link in links
            ]
        )

    def _withdraw_undecidable_changes(self):
        """Take change orders back that the remaining approvers cannot approve; the others go on without these people."""
        links = self.env["milestone.billing.change.link"].search(
            [("partner_id", "in", self.ids), ("is_revoked", "=", False), ("decision", "=", False)]
        )
        waiting = links.filtered(lambda link: link.change_id.state == "proposed")
        links._revoke()
        for change in waiting.change_id:
            quorum = change._get_snapshot().get("quorum") or 1
            if len(change._get_active_links()) < quorum:
                change._withdraw_for_approvers(
                    self.env._(
                        "“%s” is archived. Choose who decides and propose it again.",
                        ", ".join((waiting & change.link_ids).partner_id.mapped("name")),
                    )
                )


class MilestoneBillingChange(models.Model):
    _inherit = "milestone.billing.change"

    def _withdraw_for_approvers(self, why):
        """Take a proposed change order back, since other people have to decide; the salesperson is told.

        :param str why: for the team.
        """
        self.ensure_one()
        self._close("request.superseded", "draft", {"reason": "approvers changed"})
        self.message_post(body=why, subtype_xmlid="mail.mt_note")
        self.activity_schedule(
            "mail.mail_activity_data_todo",
            summary=self.env._("Change order %s has to be proposed again", self.reference),
            note=why,
            user_id=(self.order_id.user_id or self.env.ref("base.user_admin")).id,
        )


class MilestoneBillingApprover(models.Model):
    _inherit = "milestone.billing.approver"

    is_archived = fields.Boolean(compute="_compute_is_archived", help="This contact is not asked.")

    @api.depends("partner_id.active")
    def _compute_is_archived(self):
        for approver in self:
            approver.is_archived = bool(approver.partner_id) and not approver.partner_id.active
