from odoo import api, fields, models
from odoo.tools import formatLang, hash_sign, verify_hash_signed

from .milestone_billing_reminder_step import PURPOSES

STOP_SCOPE = "milestone-reminder-stop"


class MilestoneBillingReminder(models.Model):
    """What was sent to whom and when, and what was not sent and why."""

    _name = "milestone.billing.reminder"
    _description = "Milestone Reminder"
    _order = "id desc"

    line_id = fields.Many2one(
        "milestone.billing.line", string="Milestone", required=True, index=True, ondelete="cascade"
    )
    company_id = fields.Many2one(related="line_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="line_id.currency_id")
    purpose = fields.Selection(PURPOSES, string="Reminds Of", required=True)
    source = fields.Char(required=True, help="The submission or invoice that it reminds of.")
    step_id = fields.Many2one(
        "milestone.billing.reminder.step", string="Step", index=True, ondelete="set null"
    )
    channel = fields.Selection(
        [("email", "E-mail"), ("sms", "Text message"), ("activity", "Activity")], readonly=True
    )
    partner_id = fields.Many2one("res.partner", string="To", index="btree_not_null", ondelete="cascade")
    address = fields.Char(help="E-mail address or number that was used.")
    state = fields.Selection(
        [("sent", "Sent"), ("skipped", "Left out"), ("failed", "Failed")], required=True, index=True
    )
    note = fields.Char(string="Why", help="Why it went another way than planned, or not at all.")
    amount = fields.Monetary(compute="_compute_content")
    date_due = fields.Date(compute="_compute_content")
    url = fields.Char(string="Link", compute="_compute_content", groups="base.group_system")
    stop_url = fields.Char(compute="_compute_stop_url", groups="base.group_system")

    _once = models.UniqueIndex(
        "(source, step_id, COALESCE(partner_id, 0))", "This person was already reminded by this step."
    )

    @api.depends("line_id", "purpose")
    def _compute_content(self):
        for reminder in self:
            line = reminder.line_id.sudo()
            invoice = line._get_live_invoice()
            if reminder.purpose == "payment":
                reminder.amount = invoice.amount_residual
                reminder.date_due = invoice.invoice_date_due
                reminder.url = invoice.get_base_url() + invoice.get_portal_url() if invoice else False
            else:
                submission = line._get_open_submission()
                reminder.amount = invoice.amount_total or line.amount_total
                reminder.date_due = submission.expires_on and submission.expires_on.date()
                reminder.url = submission._get_reminder_url(reminder.partner_id) if submission else False

    @api.depends("partner_id")
    def _compute_stop_url(self):
        for reminder in self:
            reminder.stop_url = reminder.line_id.get_base_url() + self._get_stop_url(reminder.partner_id)

    @api.model
    def _get_stop_url(self, partner):
        """Give the signed address of the page where a contact chooses how it is reminded.

        :rtype: str
        """
        token = hash_sign(self.sudo().env, STOP_SCOPE, partner.id, expiration_hours=24 * 400)
        return f"/milestones/reminders/{token}"

    @api.model
    def _find_partner_of_token(self, token):
        """Find whose reminders a signed link is about.

        :return: the contact in sudo, or nothing if the link is forged or too old.
        :rtype: res.partner
        """
        try:
            partner_id = verify_hash_signed(self.sudo().env, STOP_SCOPE, token)
        except (ValueError, UnicodeError):
            partner_id = None
        return self.env["res.partner"].sudo().browse(partner_id or []).exists()

    # === SENDING ===

    def _send(self):
        """Queue the messages of new reminders; nothing leaves before the transaction is committed."""
        sent = self.filtered(lambda reminder: reminder.state == "sent")
        mails = sent.filtered(lambda reminder: reminder.channel == "email")
        for purpose, reminders in mails.grouped("purpose").items():
            template = self.env.ref(f"milestone_billing.mail_template_reminder_{purpose}")
            template.sudo().send_mail_batch(reminders.ids, email_layout_xmlid="mail.mail_notification_light")
        for reminder in sent.filtered(lambda reminder: reminder.channel == "sms"):
            reminder._send_sms()
        for reminder in sent.filtered(lambda reminder: reminder.channel == "activity"):
            reminder._schedule_activity()
        self._log_on_lines()

    def _send_sms(self):
        partner = self.partner_id
        self.line_id._message_sms(
            self.with_context(lang=partner.lang or self.env.lang)._get_sms_text(),
            partner_ids=partner.ids,
            sms_pid_to_number={partner.id: self.address},
            put_in_queue=True,
        )

    def _get_sms_text(self):
        reminder = self.sudo()
        values = {
            "company": reminder.company_id.name,
            "name": reminder.line_id.name,
            "amount": formatLang(self.env, reminder.amount, currency_obj=reminder.currency_id),
            "url": reminder.url,
        }
        if reminder.purpose == "payment":
            return self.env._(
                "%(company)s: %(amount)s for “%(name)s” is waiting to be paid. %(url)s", **values
            )
        return self.env._("%(company)s: please review “%(name)s”, %(amount)s. %(url)s", **values)

    def _schedule_activity(self):
        line = self.line_id
        user = line.project_manager_id or line.user_id or self.env.user
        if self.purpose == "payment":
            summary = self.env._("Call about the payment of “%s”", line.name)
        else:
            summary = self.env._("Call about the approval of “%s”", line.name)
        line.activity_schedule(
            "mail.mail_activity_data_call",
            summary=summary,
            note=self.env._("The client did not react."),
            user_id=user.id,
        )

    def _log_on_lines(self):
        """Write what happened on each milestone: a note for the team, and the evidence."""
        for reminder in self.filtered(lambda item: item.channel != "sms" or item.state != "sent"):
            if body := reminder._get_note_text():
                reminder.line_id._message_log(body=body)
        told = self.filtered(lambda item: item.state == "sent" and item.channel in ("email", "sms"))
        for reminder in told:
            reminder.line_id._log_evidence(
                "request.reminded",
                data={"purpose": reminder.purpose, "channel": reminder.channel},
                pii={"to": reminder.address},
            )

    def _get_note_text(self):
        values = {"person": self.partner_id.display_name or "", "note": self.note or ""}
        if self.state == "sent" and self.channel == "email":
            return self.env._("Reminder sent to %(person)s. %(note)s", **values)
        if self.state == "failed":
            return self.env._("Reminder to %(person)s failed: %(note)s", **values)
        return False
