"""Change orders: the mails to their approvers as evidence keeps them."""

from uuid import UUID, uuid5

from odoo import api, fields, models

from ..tools.verify import Problem
from .milestone_billing_line_state import INTERNAL_WRITE


class MilestoneBillingChangeLink(models.Model):
    _name = "milestone.billing.change.link"
    _inherit = ["milestone.billing.change.link", "milestone.billing.mail.copy"]
    _mail_owner = "change_id"
    _mail_fields = ("mail_copy", "receipt_copy")

    receipt_copy = fields.Text(
        readonly=True, groups=fields.NO_ACCESS, help="The receipt as it was queued, its secret blanked."
    )

    def _mark_undelivered(self, reason):
        """Show that a mail did not arrive, and tell who follows the change order.

        :param str reason: as the mail server put it.
        """
        for link in self:
            link.failure = reason
            link.change_id.message_post(
                body=self.env._(
                    "The mail to %(name)s was not delivered: %(reason)s",
                    name=link.partner_id.name,
                    reason=reason,
                )
            )


class MilestoneBillingChange(models.Model):
    _name = "milestone.billing.change"
    _inherit = ["milestone.billing.change", "milestone.billing.evidence.owner"]

    def _log_evidence(self, event_type, data=None, **more):
        """Record one event on the chain of each change order; see the milestone's method of this name.

        :return: the entries.
        """
        entries = self.env["milestone.billing.evidence"]
        for change in self:
            entries += change._log(event_type, data=data, **more)
        self.invalidate_recordset(["evidence_ids"], flush=False)
        return entries

    # === DOCUMENTS ===

    def _find_document_problems(self, is_deep=False):
        """Override to compare the mails that were sent with the entries about them."""
        problems = super()._find_document_problems(is_deep)
        Link = self.env["milestone.billing.change.link"]
        for change in self:
            found = Link._find_mail_problems(change.evidence_uuid)
            problems += [Problem(seq, "mail", text) for seq, text in found]
        return problems

    def _prepare_bundle_files(self, reader):
        """Override to give the paper by which staff recorded the approval."""
        files = super()._prepare_bundle_files(reader)
        domain = [("res_model", "=", self._name), ("res_id", "=", self.id), ("res_field", "=", "document")]
        paper = self.env["ir.attachment"].sudo().search(domain, limit=1)
        if paper and any(paper._has_sha256(digest) for digest in self._get_paper_hashes()):
            files[f"proof/{uuid5(UUID(self.evidence_uuid), str(paper.id))}_document"] = paper.raw
        return files

    def _prepare_bundle_mails(self, reader, own_ref=None):
        """Override to give the mails to the approvers."""
        files = super()._prepare_bundle_mails(reader, own_ref)
        for number, link in enumerate(self.sudo().link_ids.sorted("id"), start=1):
            for kind, field in (("request", "mail_copy"), ("receipt", "receipt_copy")):
                if link[field] and link._is_mail_for(reader, own_ref):
                    files[f"mail/{kind}_{number}.eml"] = link[field].encode()
            if link._is_mail_for(reader, own_ref):
                for kind, field in (("reminder", "reminder_copies"), ("request", "renewal_copies")):
                    for turn, copy in enumerate(link[field] or [], start=1):
                        files[f"mail/{kind}_{number}_{turn}.eml"] = copy.encode()
        return files

    @api.model
    def _erase_change_documents(self, snapshots):
        """Remove the signed papers of change orders whose submission is erased.

        :param snapshots: `milestone.billing.evidence.snapshot` which are erased as a whole.
        """
        changes = self.search(
            [("evidence_uuid", "in", snapshots.mapped("chain_id")), ("document", "!=", False)]
        )
        changes.with_context(milestone_internal_write=INTERNAL_WRITE).document = False
