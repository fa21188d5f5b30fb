"""Whom a waiting milestone reminds, and when."""

import logging

from odoo import api, fields, models

from ..tools import reminder_steps

_logger = logging.getLogger(__name__)

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
        """Give the seats of the approvers whose decision is waited for.

        :rtype: milestone.billing.approval.seat
        """
        return self.sudo().seat_ids.filtered(lambda seat: not seat._get_decision())


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    reminder_ids = fields.One2many("milestone.billing.reminder", "line_id", string="Reminders")
    next_reminder_on = fields.Date(string="Next Reminder", compute="_compute_next_reminder_on")
    reminder_problem = fields.Char(
        compute="_compute_reminder_problem", help="Why the client cannot be reminded, e.g. a wrong number."
    )

    @api.depends("state", "invoice_status", "is_on_hold", "reminder_ids.step_id")
    def _compute_next_reminder_on(self):
        waiting = self.filtered_domain(REMINDED_DOMAIN)
        (self - waiting).next_reminder_on = False
        for company, lines in waiting.grouped("company_id").items():
            today, is_working = company._get_milestone_calendar()
            plans = lines._get_reminder_plans(company)
            for line in lines.sudo():
                purpose, source, anchors = line._get_reminder_source()
                done = line.reminder_ids.filtered(lambda item, source=source: item.source == source)
                line.next_reminder_on = reminder_steps.next_date(
                    plans[purpose], anchors, today, done.step_id.ids, is_working
                )

    @api.depends("reminder_ids.state", "reminder_ids.note")
    def _compute_reminder_problem(self):
        for line in self:
            last = line.reminder_ids.sorted("id")[-1:]
            line.reminder_problem = last.note if last.state == "failed" else False

    # === WHAT IS WAITED FOR ===

    def _get_open_submission(self):
        self.ensure_one()
        return self.sudo().approval_ids.filtered(lambda approval: approval.state == "requested")[:1]

    @api.model
    def _get_reminder_plans(self, company):
        Step = self.env["milestone.billing.reminder.step"]
        return {purpose: Step._get_plan_of(company, purpose) for purpose in ("approval", "payment")}

    def _get_reminder_source(self):
        """Tell what this milestone waits for.

        :return: purpose, name of the submission or invoice, and the days that steps count from.
        :rtype: tuple[str, str, tools.reminder_steps.Anchors]
        """
        self.ensure_one()
        if self.state == "submitted":
            request = self._get_open_submission()
            start = request.create_date and request.create_date.date()
            deadline = request.expires_on and request.expires_on.date()
            return "approval", f"approval,{request.id}", reminder_steps.Anchors(start, deadline)
        invoice = self._get_live_invoice()
        anchors = reminder_steps.Anchors(invoice.invoice_date, invoice.invoice_date_due)
        return "payment", f"invoice,{invoice.id}", anchors

    def _get_reminder_partners(self, purpose):
        if purpose == "payment":
            return self._get_live_invoice().partner_id
        return self._get_open_submission()._get_waiting_seats().partner_id

    # === DUE ===

    def _prepare_reminders(self):
        """Find the reminders that are due today for these milestones of one company.

        :return: values of `milestone.billing.reminder`.
        :rtype: list[dict]
        """
        company = self.company_id
        today, is_working = company._get_milestone_calendar()
        plans, values_list = self._get_reminder_plans(company), []
        for line in self:
            purpose, source, anchors = line._get_reminder_source()
            done = line.reminder_ids.filtered(lambda item, source=source: item.source == source)
            due = reminder_steps.due_steps(plans[purpose], anchors, today, done.step_id.ids, is_working)
            base = {"line_id": line.id, "purpose": purpose, "source": source}
            note = self.env._("A later step came up.")
            values_list += [
                {**base, "step_id": step.key, "state": "skipped", "note": note} for step in due.overtaken
            ]
            for step in due.take:
                values_list += line._prepare_step_reminders({**base, "step_id": step.key}, step)
        return values_list

    def _prepare_step_reminders(self, base, step):
        if step.channel == reminder_steps.ACTIVITY:
            return [{**base, "channel": "activity", "state": "sent"}]
        partners = self._get_reminder_partners(base["purpose"])
        return [{**base, **partner._prepare_reminder_values(step.channel)} for partner in partners]

    # === CRON ===

    @api.model
    def _cron_send_reminders(self, chunk=100):
        """Remind clients, in chunks that are committed one by one.

        Rows that another worker holds are left to it. A milestone that fails is rolled back alone and says so.
        """
        Cron = self.env["ir.cron"]
        waiting = self.search(REMINDED_DOMAIN, order="company_id, partner_id, id")
        Cron._commit_progress(remaining=len(waiting))
        for lines in waiting.grouped("company_id").values():
            for batch in lines._split_by_customer(chunk):
                batch.try_lock_for_update().filtered_domain(REMINDED_DOMAIN)._remind_safely()
                if not Cron._commit_progress(len(batch)):
                    return

    def _split_by_customer(self, size):
        """Cut into chunks of about a size, never through the milestones of one customer: they share a mail.

        :param int size: from which a chunk is full.
        :return: the chunks, in order.
        :rtype: list[milestone.billing.line]
        """
        chunks, batch = [], self.browse()
        for lines in self.grouped("partner_id").values():
            batch |= lines
            if len(batch) >= size:
                chunks.append(batch)
                batch = self.browse()
        return [*chunks, batch] if batch else chunks

    def _remind_safely(self):
        try:
            with self.env.cr.savepoint():
                self._remind()
        except Exception:
            _logger.info("a reminder of this chunk failed, working one by one", exc_info=True)
            self.env.invalidate_all()
            for line in self:
                line._remind_alone()

    def _remind(self):
        """Create and send the reminders that are due today."""
        values_list = self._prepare_reminders() if self else []
        self.env["milestone.billing.reminder"].sudo().create(values_list)._send()

    def _remind_alone(self):
        """Remind for one milestone; when that fails, leave a record of it and do not try that step again."""
        values_list = []
        try:
            with self.env.cr.savepoint():
                values_list = self._prepare_reminders()
                self.env["milestone.billing.reminder"].sudo().create(values_list)._send()
        except Exception as error:
            self.env.invalidate_all()
            _logger.exception("reminders of milestone %s failed", self.id)
            self._note_reminder_failure(values_list, str(error)[:300])

    def _note_reminder_failure(self, values_list, error):
        base = {"line_id": self.id, "purpose": "approval", "source": f"milestone,{self.id}", "step_id": False}
        by_step = {values["step_id"]: values for values in values_list} or {False: base}
        failed = {"state": "failed", "channel": False, "partner_id": False, "address": False, "note": error}
        self.env["milestone.billing.reminder"].sudo().create(
            [{**values, **failed} for values in by_step.values()]
        )
