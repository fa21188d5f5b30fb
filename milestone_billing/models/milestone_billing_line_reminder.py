"""Whom a waiting milestone reminds, and when."""

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..tools import reminder_steps

REMINDED_DOMAIN = [
    ("is_on_hold", "=", False),
    "|",
    ("state", "=", "submitted"),
    "&",
    ("state", "=", "approved"),
    ("invoice_status", "in", ("posted", "partial")),
]


class MilestoneBillingApprovalLink(models.Model):
    _inherit = "milestone.billing.approval.link"

    def _get_reminder_choice_url(self):
        """Give the address where the approver chooses how to be reminded, for the mail.

        :rtype: str
        """
        self.ensure_one()
        path = self.env["milestone.billing.reminder"]._get_stop_url(self.partner_id)
        return self.approval_id.line_id.get_base_url() + path

    @api.model
    def _make_reminder_url(self, seat):
        """Give a new personal link that goes out by text message; mails are made by `_queue`.

        :rtype: str
        """
        link = self.sudo().create({"seat_id": seat.id, "purpose": "reminder", "state": "sent"})
        return link._get_url(link._issue_secret())


class MilestoneBillingApproval(models.Model):
    _inherit = "milestone.billing.approval"

    def _get_waiting_seats(self):
        """Give the seats of the approvers whose decision is waited for; archived contacts are not asked.

        :rtype: milestone.billing.approval.seat
        """
        return self.sudo().seat_ids.filtered(lambda seat: seat.partner_id.active and not seat._get_decision())


class MilestoneBillingLine(models.Model):
    _name = "milestone.billing.line"
    _inherit = ["milestone.billing.line", "milestone.billing.reminded"]
    _reminder_field = "line_id"

    reminder_ids = fields.One2many("milestone.billing.reminder", "line_id", string="Reminders")

    @api.depends("state", "invoice_status", "is_on_hold", "reminder_ids.step_id")
    def _compute_next_reminder_on(self):
        return super()._compute_next_reminder_on()

    # === WHAT IS WAITED FOR ===

    @api.model
    def _get_reminded_domain(self):
        """Override to name the milestones that wait for a decision or a payment."""
        return REMINDED_DOMAIN

    def _get_open_submission(self):
        self.ensure_one()
        return self.sudo().approval_ids.filtered(lambda approval: approval.state == "requested")[:1]

    def _get_reminder_source(self):
        """Override to name the submission or the invoice."""
        self.ensure_one()
        if self.state == "submitted":
            request = self._get_open_submission()
            today = self.company_id._get_milestone_today
            start = request.create_date and today(request.create_date)
            deadline = request.expires_on and today(request.expires_on)
            return "approval", f"approval,{request.id}", reminder_steps.Anchors(start, deadline)
        invoice = self._get_live_invoice()
        anchors = reminder_steps.Anchors(invoice.invoice_date, invoice.invoice_date_due)
        return "payment", f"invoice,{invoice.id}", anchors

    def _get_reminder_partners(self, purpose):
        """Override to name who pays, or who has not decided yet."""
        if purpose == "payment":
            return self._get_live_invoice().partner_id
        return self._get_open_submission()._get_waiting_seats().partner_id

    # === BY HAND ===

    def action_remind(self):
        """Remind now, whatever the steps say; people who stopped reminders are left alone, and that is shown.

        :raise AccessError: for anybody but billing users.
        :raise UserError: if one of these waits for nobody, or was reminded of today.
        """
        self._check_may_bill()
        for line in self:
            if obstacle := line._get_reminder_obstacle():
                raise UserError(self.env._("“%(name)s”: %(why)s", name=line.name, why=obstacle))
        values_list = []
        for line in self.sudo():
            purpose, source, _anchors = line._get_reminder_source()
            base = {"line_id": line.id, "purpose": purpose, "source": source}
            values_list += line._prepare_step_reminders(base, reminder_steps.EMAIL)
        self.env["milestone.billing.reminder"].sudo().create(values_list)._send()
        return True

    def _get_reminder_obstacle(self):
        """Tell why nobody can be reminded now, or give False.

        :rtype: str | bool
        """
        self.ensure_one()
        if not self.filtered_domain(self._get_reminded_domain()):
            return self.env._("It waits neither for a decision nor for a payment.")
        today = self.company_id._get_milestone_today()
        sent = self.sudo().reminder_ids.filtered(
            lambda item: (
                item.state == "sent"
                and item.channel != "activity"
                and self.company_id._get_milestone_today(item.create_date) == today
            )
        )
        return self.env._("The client was reminded of it today.") if sent else False

    def _get_reminder_outcome(self):
        if self.state == "submitted":
            return self.env._("Everybody who has not decided yet is reminded of the review.")
        return self.env._("The payer is reminded of the open invoice.")

    # === CRON ===

    @api.model
    def _cron_send_reminders(self, chunk=100):
        """Remind clients of what waits for their decision or payment."""
        waiting = self.search(self._get_reminded_domain(), order="company_id, partner_id, id")
        waiting._remind_in_chunks(chunk)
