from email.utils import format_datetime

from odoo import api, fields, models

from ..tools.evidence_bundle import sha256
from ..tools.mail_copy import make_copy
from ..tools.retention import CLIENT, DISPUTE, FULL

SENT_TYPES = ("request.sent", "request.reminded", "receipt.sent")


class MilestoneBillingMailCopy(models.AbstractModel):
    """A personal link whose mail is kept as it was queued: the queue deletes its own, and the evidence keeps a copy."""

    _name = "milestone.billing.mail.copy"
    _description = "Mail Kept as Evidence"
    # The field to the submission or change order whose chain tells of the mail.
    _mail_owner = ""
    _mail_fields = ("mail_copy",)

    mail_copy = fields.Text(
        readonly=True, groups=fields.NO_ACCESS, help="The mail as it was queued, its secret blanked."
    )
    message_id = fields.Char(readonly=True, index="btree_not_null", help="Message-ID of the mail.")

    def _get_actor_ref(self):
        """Give the evidence reference of the addressee.

        :rtype: str
        """
        self.ensure_one()
        return self.sudo().partner_id.milestone_evidence_ref

    def _queue_mail(self, template, record):
        """Queue a mail to the approver; it is tied to no document, so that nobody reads a secret in a chatter.

        :param template: in the environment that it is rendered in.
        :param record: what it is rendered for.
        :rtype: mail.mail
        """
        values = template._generate_template(record.ids, ("subject", "body_html", "email_from", "reply_to"))
        values = values[record.id]
        company = self.company_id
        mail_values = {
            "subject": values["subject"],
            "body_html": values["body_html"],
            "email_from": values.get("email_from") or company.email_formatted,
            "reply_to": values.get("reply_to") or company.email_formatted,
            "email_to": self.partner_id.email_formatted,
            "auto_delete": True,
            "state": "outgoing",
        }
        mail = self.env["mail.mail"].sudo().create(mail_values)
        self.env.ref("mail.ir_cron_mail_scheduler_action").sudo()._trigger()
        return mail

    def _keep_mail(self, mail, *secrets, field="mail_copy"):
        """Keep what a queued mail says.

        :param mail: `mail.mail` of this link.
        :param str secrets: which stand in it and are blanked.
        :param str field: where it is kept; one of type Json keeps several.
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
        copy = make_copy(headers, mail.body_html or "", *secrets)
        kept = self.sudo()
        kept[field] = [*(kept[field] or []), copy] if self._fields[field].type == "json" else copy
        return sha256(copy.encode())

    def _get_mail_copies(self):
        """Give the mails of one link that are kept.

        :rtype: list[str]
        """
        self.ensure_one()
        kept = [self.sudo()[field] or [] for field in self._mail_fields]
        return [copy for item in kept for copy in (item if isinstance(item, list) else [item])]

    def _is_mail_for(self, reader, own_ref):
        """Tell whether a reader's copy of the evidence holds the mail of this link: it names an address.

        :rtype: bool
        """
        self.ensure_one()
        if reader == CLIENT:
            return bool(own_ref) and self._get_actor_ref() == own_ref
        return reader in (FULL, DISPUTE)

    # === CHECKING AND ERASING ===

    @api.model
    def _get_sent_entries(self, chain_ids):
        """Give the entries about mails that were queued, as (chain id, number, data, subject)."""
        domain = [("chain_id", "in", list(chain_ids)), ("type", "in", SENT_TYPES)]
        entries = self.env["milestone.billing.evidence"].sudo().search(domain)
        return [
            (entry.chain_id, entry.seq, entry._get_part("data"), entry._get_part("subject"))
            for entry in entries
        ]

    @api.model
    def _erase_mails(self, rows, snapshots):
        """Erase the mails whose addressee, or whose submission, is erased: the copies, and what the queue kept.

        :param rows: erased values, as (chain id, sequence number, name).
        :param snapshots: `milestone.billing.evidence.snapshot` which are erased.
        """
        places = {(chain_id, seq) for chain_id, seq, name in rows if name == "to"}
        chains = {chain_id for chain_id, _seq in places} | set(snapshots.mapped("chain_id"))
        gone, uuids = set(snapshots.mapped("sha256")), []
        for chain_id, seq, _data, subject in self._get_sent_entries(chains):
            if (chain_id, seq) in places or subject.get("snapshot_sha256") in gone:
                uuids.append(subject.get("link_id"))
        links = self.sudo().search([("uuid", "in", uuids)])
        queued = self.env["mail.mail"].sudo()
        queued.search([("message_id", "in", links.filtered("message_id").mapped("message_id"))]).unlink()
        links.write(dict.fromkeys(self._mail_fields, False))

    @api.model
    def _find_mail_problems(self, chain_id):
        """Compare the kept mails of a chain with the entries about them.

        :return: (number of the entry, sentence) pairs.
        :rtype: list[tuple[int, str]]
        """
        sent = {}
        for _chain, seq, data, subject in self._get_sent_entries([chain_id]):
            if data.get("mail_sha256"):
                sent[seq] = (subject.get("link_id"), data["mail_sha256"])
        uuids = [link_id for link_id, _digest in sent.values()]
        kept = {link.uuid: link._get_mail_copies() for link in self.sudo().search([("uuid", "in", uuids)])}
        erased = self._get_erased_mails(chain_id)
        problems = []
        for seq, (link_id, digest) in sent.items():
            copies = kept.get(link_id) or []
            if seq in erased and not copies:
                continue
            if not copies:
                problems.append((seq, f"entry {seq}: the mail is gone, and no erasure is on record"))
            elif digest not in [sha256(copy.encode()) for copy in copies]:
                problems.append((seq, f"entry {seq}: the mail is not the one that was queued"))
        return problems

    @api.model
    def _get_erased_mails(self, chain_id):
        """Give the numbers of entries whose address is erased."""
        Value = self.env["milestone.billing.evidence.value"].sudo()
        domain = [("chain_id", "=", chain_id), ("name", "=", "to"), ("erased_at", "!=", False)]
        return set(Value.search(domain).mapped("seq"))
