"""The mails to approvers of a change order: the personal link, and the receipt of a decision."""

import hashlib
import secrets

from odoo import SUPERUSER_ID, api, models
from odoo.tools import consteq

from ..tools.verify import link_proof


def _digest(secret):
    return hashlib.sha256((secret or "").encode()).hexdigest()


class MilestoneBillingChangeLink(models.Model):
    _inherit = "milestone.billing.change.link"

    @api.model
    def _cron_send_links(self, chunk=50):
        """Make the secrets and mails of what is queued, a chunk per commit."""
        Cron = self.env["ir.cron"]
        queued = self.search(["|", ("state", "=", "queued"), ("receipt_state", "=", "queued")], order="id")
        Cron._commit_progress(remaining=len(queued))
        for start in range(0, len(queued), chunk):
            links = queued[start : start + chunk].try_lock_for_update()
            for link in links:
                if link.state == "queued":
                    link._send_one()
                if link.receipt_state == "queued":
                    link._send_receipt()
            if not Cron._commit_progress(len(links)):
                return

    def _send_one(self):
        """Queue the mail with a fresh secret, and record it; without an address, the team reads so."""
        if self.is_revoked or not self.partner_id.active:
            self.state = "sent"
            return
        change, partner = self.change_id, self.partner_id
        if not partner.email:
            self.state = "no_address"
            change.message_post(
                body=self.env._("%s has no e-mail address, so the change order was not sent.", partner.name)
            )
            return
        template, field, purpose = self._get_request_mail()
        secret = self._issue_request_secret()
        mail = self._create_mail(template, secret)
        self.write({"state": "sent", "message_id": mail.message_id, "failure": False})
        change._log(
            "request.sent",
            data={**self._prepare_sent_data(mail, secret, field), "purpose": purpose},
            subject={"link_id": self.uuid},
            pii={"to": partner.email},
            actor_kind="system",
        )

    def _get_request_mail(self):
        """Give the mail that carries the personal link.

        :return: XML id of its template, the field that keeps a copy, and the purpose in the evidence.
        :rtype: tuple[str, str, str]
        """
        return "milestone_billing.mail_template_change_request", "mail_copy", "request"

    def _issue_request_secret(self):
        """Draw the secret of the personal link and keep its hash.

        :rtype: str
        """
        secret = secrets.token_urlsafe(32)
        self.write({"secret_sha256": _digest(secret), "expires_on": self._get_link_expiry()})
        return secret

    def _get_link_expiry(self):
        return self.company_id._get_milestone_deadline(self.company_id.milestone_link_days)

    def _prepare_sent_data(self, mail, secret, field):
        """Keep a queued mail and give what its entry says about it.

        :param str field: where the copy is kept.
        :rtype: dict
        """
        return {
            "approver_ref": self.partner_id.milestone_evidence_ref or "",
            "link_id": self.uuid,
            "mail_sha256": self._keep_mail(mail, secret, field=field),
            "message_id": mail.message_id or "",
        }

    def _queue_receipt(self):
        """Ask for the mail that confirms the decision, and tells what to do if it was somebody else's."""
        self.receipt_state = "queued"
        self.env.ref("milestone_billing.ir_cron_send_change_links").sudo()._trigger()

    def _send_receipt(self):
        self.receipt_state = "sent"
        if not self.partner_id.email:
            return
        change, secret = self.change_id, secrets.token_urlsafe(32)
        self.write({"receipt_sha256": _digest(secret), "expires_on": self._get_link_expiry()})
        head = change._get_chain_head()
        mail = self._create_mail("milestone_billing.mail_template_change_receipt", secret, head)
        change._log(
            "receipt.sent",
            data={**self._prepare_sent_data(mail, secret, "receipt_copy"), "chain_head": head},
            subject={"link_id": self.uuid},
            pii={"to": self.partner_id.email},
            actor_kind="system",
        )

    def _create_mail(self, template, secret, head=""):
        """Queue a mail of this link.

        :param str template: XML id.
        :param str secret: of the link in it.
        :param str head: of the evidence chain, for a receipt.
        :rtype: mail.mail
        """
        base = f"{self.change_id.get_base_url()}/mc/{self.uuid}"
        record = self.with_user(SUPERUSER_ID).with_context(
            lang=self.partner_id.lang,
            tz=self.partner_id.tz or self.company_id._get_milestone_tz(),
            milestone_change_url=f"{base}?k={secret}",
            milestone_not_me_url=f"{base}/not-me?k={secret}",
            milestone_chain_head=head,
        )
        return self._queue_mail(self.env.ref(template).sudo().with_env(record.env), record)

    def _has_secret(self, secret):
        """Tell, in constant time, whether this is the secret of the link, of its receipt or its newest reminder.

        :rtype: bool
        """
        self.ensure_one()
        given = _digest(secret)
        known = [kept for kept in self.sudo()._get_known_digests() if kept]
        return any(consteq(kept, given) for kept in known)

    def _get_link_proof(self, secret):
        """Give what proves later that the holder of the mail was there, without keeping the secret.

        :rtype: str
        """
        self.ensure_one()
        return link_proof(secret, self.change_id.evidence_uuid, self.change_id.snapshot_sha256)

    def _get_known_digests(self):
        """Give the hashes of the secrets that open this change order.

        :rtype: list[str | bool]
        """
        return [self.secret_sha256, self.receipt_sha256]


class MilestoneBillingChange(models.Model):
    _inherit = "milestone.billing.change"

    def _get_chain_head(self):
        """Give the hash of the last entry on the chain of this change order.

        :rtype: str
        """
        Head = self.env["milestone.billing.evidence.head"].sudo()
        return Head.search([("chain_id", "=", self.evidence_uuid)], limit=1).hash or ""
