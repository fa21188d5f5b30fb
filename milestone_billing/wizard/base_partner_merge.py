from odoo import api, models


class MergePartnerAutomatic(models.TransientModel):
    _inherit = "base.partner.merge.automatic.wizard"

    @api.model
    def _update_foreign_keys(self, src_partners, dst_partner):
        """Override of `base` to keep the name under which evidence knows a contact.

        What was approved names the contact by that reference, so an invoice would not be the one approved any more. A
        contact that evidence does not know takes it over; one that it knows by itself keeps its own.
        """
        known = [partner for partner in src_partners if self._is_in_evidence(partner)]
        if len(known) == 1 and not self._is_in_evidence(dst_partner):
            dst_partner.sudo().milestone_evidence_ref = known[0].sudo().milestone_evidence_ref
            dst_partner.flush_recordset(["milestone_evidence_ref"])
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
