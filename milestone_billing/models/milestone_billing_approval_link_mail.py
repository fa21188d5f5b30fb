"""The mails to approvers of milestones, as evidence keeps them."""

from odoo import models


class MilestoneBillingApprovalLink(models.Model):
    _name = "milestone.billing.approval.link"
    _inherit = ["milestone.billing.approval.link", "milestone.billing.mail.copy"]
    _mail_owner = "approval_id"


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _prepare_bundle_mails(self, reader, own_ref=None):
        """Give the mails to approvers that a reader's copy holds; numbers are the same in every copy.

        :return: name to bytes.
        :rtype: dict[str, bytes]
        """
        self.ensure_one()
        links = self.sudo().approval_ids.link_ids.filtered("message_id").sorted("id")
        files, counts = {}, {"request": 0, "receipt": 0}
        for link in links:
            kind = "receipt" if link.purpose == "receipt" else "request"
            counts[kind] += 1
            if link.mail_copy and link._is_mail_for(reader, own_ref):
                files[f"mail/{kind}_{counts[kind]}.eml"] = link.mail_copy.encode()
        return files
