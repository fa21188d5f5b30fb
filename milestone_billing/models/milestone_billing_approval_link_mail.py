"""The mails to approvers as they were queued: the queue deletes its own, and the evidence keeps a copy."""

from email.utils import format_datetime

from odoo import api, fields, models
from odoo.fields import Domain

from ..tools.evidence_bundle import sha256
from ..tools.mail_copy import make_copy
from ..tools.retention import CLIENT, DISPUTE, FULL

SENT_TYPES = ("request.sent", "request.reminded", "receipt.sent")


class MilestoneBillingApprovalLink(models.Model):
    _inherit = "milestone.billing.approval.link"

    mail_copy = fields.Text(
        readonly=True, groups=fields.NO_ACCESS, help="The mail as it was queued, its secret blanked."
    )

    def _keep_mail(self, mail, *secrets):
        """Keep what a queued mail says.

        :param mail: `mail.mail` of this link.
        :param str secrets: which stand in it and are blanked.
        :return: SHA-256 of the copy, for the evidence.
        :rtype: str
        """
        self.ensure_one()
        headers = {
            "From": mail.email_from,
            "To": mail.email_to,
            "Subject": mail.subject,
            "Date": format_datetime(fields.Datetime.now()),
            "Message-Id": mail.message_id,
        }
        self.sudo().mail_copy = make_copy(headers, mail.body_html or "", *secrets)
        return sha256(self.sudo().mail_copy.encode())

    def _is_mail_for(self, reader, own_ref):
        """Tell whether a reader's copy of the evidence holds the mail of this link: it names an address.

        :rtype: bool
        """
        self.ensure_one()
        if reader == CLIENT:
            return bool(own_ref) and self.seat_id._get_actor_ref() == own_ref
        return reader in (FULL, DISPUTE)

    @api.model
    def _erase_mails(self, rows, snapshots):
        """Erase the mails whose addressee, or whose submission, is erased.

        :param rows: erased values, as (chain id, sequence number, name).
        :param snapshots: hashes of erased snapshots.
        """
        places = {(chain_id, seq) for chain_id, seq, name in rows if name == "to"}
        domain = [("chain_id", "in", [chain_id for chain_id, _seq in places]), ("type", "in", SENT_TYPES)]
        entries = self.env["milestone.billing.evidence"].sudo().search(domain)
        uuids = [
            (entry._get_body().get("subject") or {}).get("link_id")
            for entry in entries
            if (entry.chain_id, entry.seq) in places
        ]
        gone = Domain("uuid", "in", uuids) | Domain("approval_id.snapshot_sha256", "in", list(snapshots))
        self.sudo().search(gone).mail_copy = False


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
