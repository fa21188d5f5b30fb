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
    step_id = fields.Many2one("milestone.billing.reminder.step", index=True, ondelete="set null")
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
        """Read the open invoice for the mail about a payment; mails about approvals are those of the review link."""
        for reminder in self:
            invoice = reminder.line_id._get_live_invoice()
            reminder.amount = invoice.amount_residual
            reminder.date_due = invoice.invoice_date_due
            reminder.url = invoice.get_base_url() + invoice.get_portal_url() if invoice else False

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
        by_way = self.filtered(lambda reminder: reminder.state == "sent").grouped(
            lambda reminder: (reminder.channel, reminder.purpose)
        )
        nothing = self.browse()
        by_way.get(("email", "approval"), nothing)._send_review_mails()
        by_way.get(("email", "payment"), nothing)._send_payment_mails()
        for purpose in ("approval", "payment"):
            for reminder in by_way.get(("sms", purpose), nothing):
                reminder._send_sms()
            for reminder in by_way.get(("activity", purpose), nothing):
                reminder._schedule_activity()
        self._log_on_lines()

    def _get_seat(self):
        """Give the seat of the reminded person in the open submission.

        :rtype: milestone.billing.approval.seat
        """
        self.ensure_one()
        seats = self.line_id._get_open_submission()._get_waiting_seats()
        return seats.filtered(lambda seat: seat.partner_id == self.partner_id)[:1]

    def _send_review_mails(self):
        """Send approvers a new personal link; the link records it as evidence when it goes out."""
        seats = self.env["milestone.billing.approval.seat"].union(*(item._get_seat() for item in self))
        self.env["milestone.billing.approval.link"]._queue(seats, purpose="reminder")

    def _send_payment_mails(self):
        if self:
            template = self.env.ref("milestone_billing.mail_template_reminder_payment")
            template.sudo().send_mail_batch(self.ids, email_layout_xmlid="mail.mail_notification_light")

    def _send_sms(self):
        """Queue a text message. It is tied to no document: nobody shall read a review link in a chatter."""
        if self.purpose == "approval":
            url = self.env["milestone.billing.approval.link"]._make_reminder_url(self._get_seat())
        else:
            url = self.sudo().url
        reminder = self.with_context(lang=self.partner_id.lang or self.env.lang)
        self.env["sms.sms"].sudo().create(
            {
                "partner_id": self.partner_id.id,
                "number": self.address,
                "body": reminder._get_sms_text(url),
            }
        )
        self.env.ref("sms.ir_cron_sms_scheduler_action").sudo()._trigger()

    def _get_sms_text(self, url):
        line, invoice = self.line_id.sudo(), self.line_id._get_live_invoice()
        is_payment = self.purpose == "payment"
        amount = invoice.amount_residual if is_payment else invoice.amount_total
        values = {
            "company": line.company_id.name,
            "name": line.name,
            "amount": formatLang(self.env, amount, currency_obj=line.currency_id),
            "url": url,
        }
        if is_payment:
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
        for reminder in self:
            if body := reminder._get_note_text():
                reminder.line_id._message_log(body=body)
        told = self.filtered(
            lambda item: (
                item.state == "sent"
                and (item.channel == "sms" or (item.channel == "email" and item.purpose == "payment"))
            )
        )
        for reminder in told:
            reminder.line_id._log_evidence(
                "request.reminded",
                data={"purpose": reminder.purpose, "channel": reminder.channel},
                pii={"to": reminder.address},
            )

    def _get_note_text(self):
        values = {"person": self.partner_id.display_name or "", "note": self.note or ""}
        if self.state == "sent" and self.channel == "email":
            return self.env._("Reminder sent to %(person)s by e-mail. %(note)s", **values)
        if self.state == "sent" and self.channel == "sms":
            return self.env._("Reminder sent to %(person)s by text message. %(note)s", **values)
        if self.state == "failed":
            return self.env._("Reminder to %(person)s failed: %(note)s", **values)
        return False
