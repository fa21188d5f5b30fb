"""What milestones and change orders have in common: somebody waits for the client, and reminds in steps."""

import logging

from odoo import api, fields, models
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY

from ..tools import reminder_steps

_logger = logging.getLogger(__name__)


class MilestoneBillingReminded(models.AbstractModel):
    """Something that waits for the client."""

    _name = "milestone.billing.reminded"
    _description = "Something Clients Are Reminded Of"
    # The field of `milestone.billing.reminder` that points here.
    _reminder_field = ""

    next_reminder_on = fields.Date(string="Next Reminder", compute="_compute_next_reminder_on")
    reminder_problem = fields.Char(
        compute="_compute_reminder_problem", help="Why the client cannot be reminded, e.g. a wrong number."
    )

    def _compute_next_reminder_on(self):
        waiting = self.filtered_domain(self._get_reminded_domain())
        (self - waiting).next_reminder_on = False
        for company, records in waiting.grouped("company_id").items():
            today, is_working = company._get_milestone_calendar()
            plans = records._get_reminder_plans(company)
            for record in records.sudo():
                purpose, source, anchors = record._get_reminder_source()
                record.next_reminder_on = reminder_steps.next_date(
                    plans[purpose], anchors, today, record._get_taken_steps(source), is_working
                )

    @api.depends("reminder_ids.state", "reminder_ids.note")
    def _compute_reminder_problem(self):
        for record in self:
            last = record.reminder_ids.sorted("id")[-1:]
            record.reminder_problem = last.note if last.state == "failed" else False

    # === WHAT IS WAITED FOR ===

    @api.model
    def _get_reminded_domain(self):
        """Give the domain of what waits for the client. To be overridden.

        :rtype: list
        """
        return [(0, "=", 1)]

    def _get_reminder_source(self):
        """Tell what is waited for. To be overridden.

        :return: purpose, name of the submission or invoice, and the days that steps count from.
        :rtype: tuple[str, str, tools.reminder_steps.Anchors]
        """
        return "approval", "", reminder_steps.Anchors(None, None)

    def _get_reminder_partners(self, _purpose):
        """Give the people whose answer or payment is waited for. To be overridden.

        :rtype: res.partner
        """
        return self.env["res.partner"]

    @api.model
    def _get_reminder_plans(self, company):
        Step = self.env["milestone.billing.reminder.step"]
        return {purpose: Step._get_plan_of(company, purpose) for purpose in ("approval", "payment")}

    def _get_taken_steps(self, source):
        return self.reminder_ids.filtered(lambda item: item.source == source).step_id.ids

    # === DUE ===

    def _prepare_reminders(self):
        """Find the reminders that are due today, for records of one company.

        :return: values of `milestone.billing.reminder`.
        :rtype: list[dict]
        """
        company = self.company_id
        today, is_working = company._get_milestone_calendar()
        plans, values_list = self._get_reminder_plans(company), []
        for record in self:
            purpose, source, anchors = record._get_reminder_source()
            done = record._get_taken_steps(source)
            due = reminder_steps.due_steps(plans[purpose], anchors, today, done, is_working)
            base = {self._reminder_field: record.id, "purpose": purpose, "source": source}
            note = self.env._("A later step came up.")
            values_list += [
                {**base, "step_id": step.key, "state": "skipped", "note": note} for step in due.overtaken
            ]
            for step in due.take:
                values_list += record._prepare_step_reminders({**base, "step_id": step.key}, step.channel)
        return values_list

    def _prepare_step_reminders(self, base, channel):
        """Give the reminders that one step takes.

        :param dict base: values that all of them have.
        :param str channel: of the step.
        :rtype: list[dict]
        """
        if channel == reminder_steps.ACTIVITY:
            return [{**base, "channel": "activity", "state": "sent"}]
        partners = self._get_reminder_partners(base["purpose"])
        return [{**base, **partner._prepare_reminder_values(channel)} for partner in partners]

    # === SENDING ===

    def _remind_in_chunks(self, chunk=100):
        """Take the steps that are due for these records, in chunks that are committed one by one.

        Rows that another worker holds are left to it. A record that fails is rolled back alone and says so. When
        another transaction comes in between, the chunk is undone and Odoo runs what remains again.

        :param int chunk: from how many records on a chunk is full.
        """
        Cron, left = self.env["ir.cron"], len(self)
        Cron._commit_progress(remaining=left)
        for records in self.grouped("company_id").values():
            for batch in records._split_by_customer(chunk):
                domain = batch._get_reminded_domain()
                try:
                    batch.try_lock_for_update().filtered_domain(domain)._remind_safely()
                except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                    _logger.info("another transaction came in between, reminders go on with the next run")
                    Cron._give_way(left)
                    return
                left -= len(batch)
                if not Cron._commit_progress(len(batch)):
                    return

    def _split_by_customer(self, size):
        """Cut into chunks of about a size, never through what one customer waits for: it shares a mail.

        :param int size: from which a chunk is full.
        :return: the chunks, in order.
        :rtype: list
        """
        chunks, batch = [], self.browse()
        for records in self.grouped(lambda record: record.partner_id.commercial_partner_id).values():
            batch |= records
            if len(batch) >= size:
                chunks.append(batch)
                batch = self.browse()
        return [*chunks, batch] if batch else chunks

    def _remind_safely(self):
        """Remind about all of these, or about one after the other when one of them fails.

        :raise PG_CONCURRENCY_EXCEPTIONS_TO_RETRY: when another transaction came in between; nothing is recorded.
        """
        try:
            with self.env.cr.savepoint():
                self._remind()
        except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
            raise
        except Exception:
            _logger.info("a reminder of this chunk failed, working one by one", exc_info=True)
            self.env.invalidate_all()
            for record in self:
                record._remind_alone()

    def _remind(self):
        """Create and send the reminders that are due today."""
        values_list = self._prepare_reminders() if self else []
        self.env["milestone.billing.reminder"].sudo().create(values_list)._send()

    def _remind_alone(self):
        """Remind about one record; when that fails, leave a record of it and do not try that step again."""
        values_list = []
        try:
            with self.env.cr.savepoint():
                values_list = self._prepare_reminders()
                self.env["milestone.billing.reminder"].sudo().create(values_list)._send()
        except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
            raise
        except Exception as error:
            self.env.invalidate_all()
            _logger.exception("reminders of %s failed", self)
            self._note_reminder_failure(values_list, str(error)[:300])

    def _note_reminder_failure(self, values_list, error):
        base = {
            self._reminder_field: self.id,
            "purpose": "approval",
            "source": f"{self._name},{self.id}",
            "step_id": False,
        }
        by_step = {values["step_id"]: values for values in values_list} or {False: base}
        failed = {"state": "failed", "channel": False, "partner_id": False, "address": False, "note": error}
        self.env["milestone.billing.reminder"].sudo().create(
            [{**values, **failed} for values in by_step.values()]
        )
