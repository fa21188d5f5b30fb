"""One mail for everything a client is reminded of on a day; each milestone keeps its own record and evidence."""

import logging

from odoo import SUPERUSER_ID, fields, models
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import format_date, formatLang

_logger = logging.getLogger(__name__)


class MilestoneBillingReminder(models.Model):
    _inherit = "milestone.billing.reminder"

    leader_id = fields.Many2one(
        "milestone.billing.reminder",
        string="In the Message of",
        readonly=True,
        index="btree_not_null",
        ondelete="set null",
        help="This reminder stands in the same mail or text message as that one.",
    )
    member_ids = fields.One2many("milestone.billing.reminder", "leader_id", readonly=True)

    def _send_payment_mails(self):
        """Override to send one mail to each person for all the milestones that it has to pay."""
        leaders = self.browse()
        for reminders in self.grouped(lambda item: (item.partner_id, item.company_id)).values():
            if len(reminders) > 1:
                reminders[1:].leader_id = reminders[0]
                leaders += reminders[0]
        if leaders:
            template = self.env.ref("milestone_billing.mail_template_reminder_payment_digest").sudo()
            template.send_mail_batch(leaders.ids, email_layout_xmlid="mail.mail_notification_light")
        alone = self - leaders - leaders.member_ids
        return super(MilestoneBillingReminder, alone)._send_payment_mails()

    def _get_digest_rows(self):
        """List what stands in the mail of this reminder, what is due first at the top.

        :return: rows with `name`, `order`, `amount`, `due` and `url`, for reading.
        :rtype: list[dict]
        """
        self.ensure_one()
        reminders = (self | self.member_ids).sorted(
            lambda item: (item.date_due or item.company_id._get_milestone_today(), item.id)
        )
        return [
            {
                "name": item.line_id.name,
                "order": item.line_id.project_id.name or item.line_id.order_id.name,
                "amount": formatLang(self.env, item.amount, currency_obj=item.currency_id),
                "due": format_date(self.env, item.date_due),
                "url": item.sudo().url,
            }
            for item in reminders
        ]


class MilestoneBillingApprovalLink(models.Model):
    _inherit = "milestone.billing.approval.link"

    def _send(self):
        """Override to put the reminders of one person into one mail; every one keeps its own link."""
        alone = self.sudo()
        for links in alone._get_digests():
            try:
                with self.env.cr.savepoint():
                    links._send_digest()
            except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                raise
            except Exception:
                self.env.invalidate_all()
                _logger.info("a digest of reminders failed, sending one by one", exc_info=True)
                continue
            alone -= links
        return super(MilestoneBillingApprovalLink, alone)._send()

    def _get_digests(self):
        """Give the reminders that go to the same person, where there are several.

        :rtype: list[milestone.billing.approval.link]
        """
        waiting = self.filtered(
            lambda link: (
                link.purpose == "reminder"
                and link.approval_id.state == "requested"
                and not link.revoked_on
                and link.partner_id.active
                and link.partner_id.email
            )
        )
        groups = waiting.grouped(lambda link: (link.partner_id, link.company_id))
        return [links for links in groups.values() if len(links) > 1]

    def _send_digest(self):
        """Queue one mail with the personal links of several submissions."""
        urls, secrets = {}, []
        for link in self:
            secret = link._issue_secret()
            secrets.append(secret)
            urls[link.id] = link._get_url(secret)
        mail = self._create_digest_mail(urls)
        self.write({"state": "sent", "message_id": mail.message_id})
        for link in self:
            data = {
                "approver_ref": link.seat_id._get_actor_ref() or "",
                "link_id": link.uuid,
                "mail_sha256": link._keep_mail(mail, *secrets),
                "message_id": mail.message_id or "",
                "purpose": link.purpose,
            }
            link.approval_id._log(
                "request.reminded",
                data=data,
                subject={"link_id": link.uuid},
                pii={"to": link.partner_id.email},
                actor_kind="system",
            )

    def _create_digest_mail(self, urls):
        first = self[0]
        template = self.env.ref("milestone_billing.mail_template_approval_digest").sudo()
        record = first.with_user(SUPERUSER_ID).with_context(
            lang=first.partner_id.lang or first.approval_id.lang,
            tz=first._get_mail_tz(),
            milestone_digest_urls=urls,
        )
        return first._queue_mail(template.with_env(record.env), record)

    def _get_digest_rows(self):
        """List the submissions of a digest, for its template.

        :return: rows with `name`, `order`, `amount`, `until` and `url`.
        :rtype: list[dict]
        """
        urls = self.env.context.get("milestone_digest_urls") or {}
        links = self.browse(urls).sorted(lambda link: (link.approval_id.expires_on, link.id))
        return [
            {
                "name": link.approval_id.line_id.name,
                "order": link.approval_id.line_id.project_id.name or link.approval_id.order_id.name,
                "amount": link.approval_id._format_amount(),
                "until": format_date(self.env, link.approval_id.expires_on),
                "url": urls[link.id],
            }
            for link in links
        ]
