"""Reminders of change orders that wait for an answer, by the same steps as those of milestones."""

import secrets

from odoo import api, fields, models
from odoo.tools import formatLang

from ..tools import reminder_steps
from .milestone_billing_change_mail import _digest


class MilestoneBillingChangeLink(models.Model):
    _inherit = "milestone.billing.change.link"
    _mail_fields = ("mail_copy", "receipt_copy", "reminder_copies")

    reminder_sha256 = fields.Char(
        groups="base.group_system", help="Of the newest reminder's link; that of the request goes on working."
    )
    reminder_copies = fields.Json(
        readonly=True,
        groups=fields.NO_ACCESS,
        help="The reminders as they were queued, their secrets blanked.",
    )

    def _issue_reminder_secret(self):
        secret = secrets.token_urlsafe(32)
        self.write({"reminder_sha256": _digest(secret), "expires_on": self._get_link_expiry()})
        return secret

    def _get_known_digests(self):
        """Override to let the newest reminder open the change order."""
        return [*super()._get_known_digests(), self.reminder_sha256]

    def _get_reminder_choice_url(self):
        """Give the address where the approver chooses how to be reminded, for the mail.

        :rtype: str
        """
        self.ensure_one()
        path = self.env["milestone.billing.reminder"]._get_stop_url(self.partner_id)
        return self.change_id.get_base_url() + path

    def _send_reminder(self):
        """Queue the mail that asks again for an answer."""
        self.ensure_one()
        secret = self._issue_reminder_secret()
        mail = self._create_mail("milestone_billing.mail_template_change_reminder", secret)
        self.message_id = mail.message_id
        self.change_id._log(
            "request.reminded",
            data={**self._prepare_sent_data(mail, secret, "reminder_copies"), "purpose": "reminder"},
            subject={"link_id": self.uuid},
            pii={"to": self.partner_id.email},
            actor_kind="system",
        )


class MilestoneBillingChange(models.Model):
    _name = "milestone.billing.change"
    _inherit = ["milestone.billing.change", "milestone.billing.reminded"]
    _reminder_field = "change_id"

    reminder_ids = fields.One2many("milestone.billing.reminder", "change_id", string="Reminders")

    @api.depends("state", "reminder_ids.step_id")
    def _compute_next_reminder_on(self):
        return super()._compute_next_reminder_on()

    @api.model
    def _get_reminded_domain(self):
        """Override to name the change orders that wait for an answer."""
        return [("state", "=", "proposed"), ("expires_on", ">", fields.Datetime.now())]

    def _get_waiting_links(self):
        return (
            self.sudo()
            ._get_active_links()
            .filtered(lambda link: not link.decision and link.partner_id.active)
        )

    def _get_reminder_source(self):
        """Override to name the version that is with the client."""
        self.ensure_one()
        asked = self.sudo()._get_active_links()[:1].create_date
        today = self.company_id._get_milestone_today
        deadline = self.expires_on and today(self.expires_on)
        anchors = reminder_steps.Anchors(asked and today(asked), deadline)
        return "approval", f"change,{self.id},{self.revision}", anchors

    def _get_reminder_partners(self, _purpose):
        """Override to name the approvers without an answer."""
        return self._get_waiting_links().partner_id

    @api.model
    def _cron_send_reminders(self, chunk=100):
        """Remind approvers of the change orders that wait for them."""
        waiting = self.search(self._get_reminded_domain(), order="company_id, partner_id, id")
        waiting._remind_in_chunks(chunk)


class MilestoneBillingReminder(models.Model):
    _inherit = "milestone.billing.reminder"

    def _get_change_link(self):
        links = self.change_id._get_waiting_links()
        return links.filtered(lambda link: link.partner_id == self.partner_id)[:1]

    def _send_review_mails(self):
        """Override to send those about change orders by their own template."""
        about_changes = self.filtered("change_id")
        for reminder in about_changes:
            reminder._get_change_link()._send_reminder()
        return super(MilestoneBillingReminder, self - about_changes)._send_review_mails()

    def _prepare_sms_row(self):
        """Override to write about the change order."""
        change = self.change_id.sudo()
        if not change:
            return super()._prepare_sms_row()
        link = self._get_change_link()
        return {
            "name": change.name,
            "amount": formatLang(self.env, change.amount_total, currency_obj=change.currency_id),
            "url": f"{change.get_base_url()}/mc/{link.uuid}?k={link._issue_reminder_secret()}",
        }

    def _get_responsible(self):
        """Override to tell the salesperson of the order."""
        return self.change_id.user_id or super()._get_responsible()

    def _get_activity_summary(self):
        """Override to name the change order."""
        if self.change_id:
            return self.env._("Call about change order %s", self.change_id.display_name)
        return super()._get_activity_summary()
