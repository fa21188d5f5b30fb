from odoo import api, models
from odoo.exceptions import UserError


class MergePartnerAutomatic(models.TransientModel):
    _inherit = "base.partner.merge.automatic.wizard"

    @api.model
    def _update_foreign_keys(self, src_partners, dst_partner):
        """Override of `base` to keep the name under which evidence knows a contact.

        What was approved names the contact by that reference, so an invoice would not be the one approved any more. A
        contact that evidence does not know takes it over; one that it knows by itself keeps its own.
        """
        self._check_not_asked_together(src_partners + dst_partner)
        self._drop_double_approvers(src_partners + dst_partner, dst_partner)
        known = [partner for partner in src_partners if self._is_in_evidence(partner)]
        if len(known) == 1 and not self._is_in_evidence(dst_partner):
            dst_partner.sudo().milestone_evidence_ref = known[0].sudo().milestone_evidence_ref
            dst_partner.flush_recordset(["milestone_evidence_ref"])
        else:
            self._ask_again_instead_of(src_partners)
        return super()._update_foreign_keys(src_partners, dst_partner)

    @api.model
    def _is_in_evidence(self, partner):
        """Tell whether somebody was asked, or billed by milestones, under this contact.

        :rtype: bool
        """
        return any(
            self.env[name].sudo().search_count([("partner_id", "=", partner.id)], limit=1)
            for name in (
                "milestone.billing.approval.seat",
                "milestone.billing.change.link",
                "milestone.billing.line",
            )
        )

    @api.model
    def _check_not_asked_together(self, partners):
        """Refuse to make one person of two who were asked for the same decision: one of their answers would be lost.

        :raise UserError: naming them.
        """
        seats = (
            self.env["milestone.billing.approval.seat"].sudo().search([("partner_id", "in", partners.ids)])
        )
        for approval, found in seats.grouped("approval_id").items():
            if len(found.partner_id) > 1:
                raise UserError(
                    self.env._(
                        "%(names)s were asked as two persons to approve “%(milestone)s”. They stay two contacts.",
                        names=", ".join(found.partner_id.mapped("name")),
                        milestone=approval.line_id.display_name,
                    )
                )

    @api.model
    def _drop_double_approvers(self, partners, dst_partner):
        """Leave one seat of the merged contacts on each schedule: a second one would take all their seats away."""
        seats = self.env["milestone.billing.approver"].sudo().search([("partner_id", "in", partners.ids)])
        for found in seats.grouped("schedule_id").values():
            kept = found.filtered(lambda seat: seat.partner_id == dst_partner)[:1] or found[:1]
            (found - kept).unlink()

    @api.model
    def _ask_again_instead_of(self, partners):
        """Ask again what is with contacts that go: it names them, and who stays could not decide it in their name."""
        seats = self.env["milestone.billing.approval.seat"].sudo()
        seats.search(
            [("partner_id", "in", partners.ids), ("approval_id.state", "=", "requested")]
        ).approval_id._replace_changed({"approvers"})
        links = self.env["milestone.billing.change.link"].sudo()
        waiting = links.search(
            [
                ("partner_id", "in", partners.ids),
                ("change_id.state", "=", "proposed"),
                ("is_revoked", "=", False),
            ]
        )
        for change in waiting.change_id:
            change._withdraw_for_approvers(
                self.env._("One of its approvers was merged with another contact. Propose it again.")
            )
