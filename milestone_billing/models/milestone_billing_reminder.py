from odoo import api, fields, models
from odoo.tools import hash_sign, verify_hash_signed

from .milestone_billing_reminder_step import PURPOSES

STOP_SCOPE = "milestone-reminder-stop"


class MilestoneBillingReminder(models.Model):
    """What was sent to whom and when, and what was not sent and why."""

    _name = "milestone.billing.reminder"
    _description = "Milestone Reminder"
    _order = "id desc"

    line_id = fields.Many2one("milestone.billing.line", string="Milestone", index=True, ondelete="cascade")
    change_id = fields.Many2one(
        "milestone.billing.change", string="Change Order", index="btree_not_null", ondelete="cascade"
    )
    company_id = fields.Many2one(
        "res.company", compute="_compute_company_id", store=True, index=True, precompute=True
    )
    currency_id = fields.Many2one("res.currency", compute="_compute_currency_id")
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
    _one_owner = models.Constraint(
        "CHECK ((line_id IS NULL) != (change_id IS NULL))",
        "A reminder is about one milestone or one change order.",
    )

    def _get_record(self):
        """Give what this reminder is about.

        :rtype: milestone.billing.line | milestone.billing.change
        """
        self.ensure_one()
        return self.line_id or self.change_id

    @api.depends("line_id.company_id", "change_id.company_id")
    def _compute_company_id(self):
        for reminder in self:
            reminder.company_id = reminder._get_record().company_id

    @api.depends("line_id", "change_id")
    def _compute_currency_id(self):
        for reminder in self:
            reminder.currency_id = reminder._get_record().currency_id

    @api.depends("line_id", "purpose")
    def _compute_content(self):
        """Read the open invoice for the mail about a payment; mails about approvals are those of the review link."""
        for reminder in self:
            line = reminder.line_id
            invoice = line._get_live_invoice() if line else self.env["account.move"]
            reminder.amount = invoice._get_milestone_due_now() if invoice else 0.0
            reminder.date_due = invoice.invoice_date_due
            reminder.url = invoice.get_base_url() + invoice.get_portal_url() if invoice else False

    @api.depends("partner_id")
    def _compute_stop_url(self):
        for reminder in self:
            base = reminder._get_record().get_base_url()
            reminder.stop_url = base + self._get_stop_url(reminder.partner_id)

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
            by_way.get(("sms", purpose), nothing)._send_sms()
            for reminder in by_way.get(("activity", purpose), nothing):
                reminder._schedule_activity()
        self._log_on_records()

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

    def _schedule_activity(self):
        record = self._get_record()
        record.activity_schedule(
            "mail.mail_activity_data_call",
            summary=self._get_activity_summary(),
            note=self.env._("The client did not react."),
            user_id=self._get_responsible().id,
        )

    def _get_responsible(self):
        """Give the person of the team who is told to call.

        :rtype: res.users
        """
        return self.line_id.project_manager_id or self.line_id.user_id or self.env.user

    def _get_activity_summary(self):
        if self.purpose == "payment":
            return self.env._("Call about the payment of “%s”", self.line_id.name)
        return self.env._("Call about the approval of “%s”", self.line_id.name)

    def _log_on_records(self):
        """Write what happened where it belongs: a note for the team, and the evidence."""
        for reminder in self:
            if body := reminder._get_note_text():
                reminder._get_record()._message_log(body=body)
        for reminder in self.filtered(lambda item: item._is_told_here()):
            reminder._get_record()._log_evidence(
                "request.reminded",
                data={"purpose": reminder.purpose, "channel": reminder.channel},
                pii={"to": reminder.address},
            )

    def _is_told_here(self):
        """Tell whether the evidence learns of it here; mails with a personal link note themselves.

        :rtype: bool
        """
        is_mail = self.channel == "email" and self.purpose == "payment"
        return self.state == "sent" and (self.channel == "sms" or is_mail)

    def _get_note_text(self):
        values = {"person": self.partner_id.display_name or "", "note": self.note or ""}
        if self.state == "sent" and self.channel == "email":
            return self.env._("Reminder sent to %(person)s by e-mail. %(note)s", **values)
        if self.state == "sent" and self.channel == "sms":
            return self.env._("Reminder sent to %(person)s by text message. %(note)s", **values)
        if self.state == "failed":
            return self.env._("Reminder to %(person)s failed: %(note)s", **values)
        return False
