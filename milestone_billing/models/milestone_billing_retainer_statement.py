"""The client's statement of a retainer: what was paid, used, carried on and lost, and what was done."""

import logging

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import format_date

_logger = logging.getLogger(__name__)
ROWS_MAX = 200
PERIODS_SHOWN = 12


class MilestoneBillingRetainer(models.Model):
    _inherit = "milestone.billing.retainer"

    # === SENDING ===

    def action_send_statement(self):
        """Send the client the statement as of today, with its PDF.

        :raise UserError: for a customer without an e-mail address.
        """
        self.enrolment_id._check_may_charge()
        for retainer in self.sudo():
            if not retainer.partner_id.email:
                raise UserError(
                    self.env._(
                        "%s has no e-mail address. Enter it on the contact, then send the statement.",
                        retainer.partner_id.display_name,
                    )
                )
            retainer._send_statement()
        return True

    def _send_statement(self):
        """Queue the mail with the PDF; it stands in the chatter of the retainer.

        :rtype: mail.mail
        """
        self.ensure_one()
        template = self.env.ref("milestone_billing.mail_template_retainer_statement").sudo()
        mail_id = template.send_mail(self.id, email_layout_xmlid="mail.mail_notification_light")
        return self.env["mail.mail"].sudo().browse(mail_id)

    def _get_portal_link(self):
        """Give the address of the client's page of all retainers, for the mail.

        :rtype: str
        """
        return f"{self.get_base_url()}/my/retainers"

    # === CONTENT ===

    def _prepare_statement(self):
        """Give what page, mail and paper show of a retainer, in the language of the environment.

        :rtype: dict
        """
        self.ensure_one()
        periods = self.period_ids.sorted(lambda item: (item.date_from, item.id), reverse=True)
        shown = periods[:PERIODS_SHOWN]
        return {
            "retainer": self,
            "company": self.company_id,
            "periods": shown,
            "hours": self._format_hours,
            "hours_left": self.hours_left,
            "has_refunds": any(shown.mapped("hours_refunded")),
            "terms": self._get_terms(),
            "delivered": shown._get_delivered_rows() if shown else [],
        }

    @api.model
    def _format_hours(self, hours):
        """Write hours as people read them: ``7.5``.

        :rtype: str
        """
        return f"{hours:.2f}".rstrip("0").rstrip(".")

    def _get_terms(self):
        """Say what was agreed: hours, what becomes of the rest, and of hours beyond.

        :rtype: list[str]
        """
        hours = self._format_hours(self.hours_included)
        firsts = {
            "month": self.env._("%s hours each month.", hours),
            "quarter": self.env._("%s hours each quarter.", hours),
            "year": self.env._("%s hours each year.", hours),
            "block": self.env._("%s hours a block, used up one block after the other.", hours),
        }
        rests = {
            "none": self.env._("Unused hours expire at the end of the period."),
            "once": self.env._("Unused hours last one more period."),
            "always": self.env._("Unused hours are kept."),
        }
        terms = [firsts[self.period]]
        if self.period != "block":
            terms.append(rests[self.rollover])
        if self.overage == "bill" and self.overage_rate:
            rate = self.enrolment_id._format(self.overage_rate)
            terms.append(self.env._("Hours beyond are billed at %s an hour, without tax.", rate))
        if self.state == "running" and self.period != "block":
            terms.append(self.env._("The next period begins on %s.", format_date(self.env, self.date_next)))
        return terms


class MilestoneBillingRetainerPeriod(models.Model):
    _inherit = "milestone.billing.retainer.period"

    statement_state = fields.Selection(
        [("queued", "Waiting"), ("sent", "Sent"), ("no_address", "No e-mail address"), ("failed", "Failed")],
        string="Statement",
        readonly=True,
        index=True,
        help="The statement that the client gets when the period is over.",
    )

    def _settle(self):
        """Extend the end of a period to send the client the statement."""
        result = super()._settle()
        self._queue_statement()
        return result

    def _refund_unused(self, layers):
        """Extend the early end of a period to send the client the statement.

        :param list layers: see the method extended.
        """
        result = super()._refund_unused(layers)
        self._queue_statement()
        return result

    def _queue_statement(self):
        self.statement_state = "queued"
        self.env.ref("milestone_billing.ir_cron_send_retainer_statements").sudo()._trigger()

    @api.model
    def _cron_send_statements(self, chunk=20):
        """Send the statements of periods that are over, one mail for each retainer; a failure is shown there."""
        Cron = self.env["ir.cron"]
        queued = self.search([("statement_state", "=", "queued")], order="id")
        Cron._commit_progress(remaining=len(queued))
        for start in range(0, len(queued), chunk):
            batch = queued[start : start + chunk]
            try:
                for retainer, periods in batch.try_lock_for_update().grouped("retainer_id").items():
                    periods._send_statement_safely(retainer)
            except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                Cron._give_way(len(queued) - start)
                return
            if not Cron._commit_progress(len(batch)):
                return

    def _send_statement_safely(self, retainer):
        if not retainer.partner_id.email:
            self.statement_state = "no_address"
            return
        try:
            with self.env.cr.savepoint():
                retainer._send_statement()
            self.statement_state = "sent"
        except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
            raise
        except Exception as error:
            self.env.invalidate_all()
            _logger.exception("the statement of retainer %s was not sent", retainer.id)
            self.statement_state = "failed"
            retainer.problem = str(error)[:300]

    # === CONTENT ===

    def _get_refund_reference(self):
        """Name the credit note over the hours that were given back, or say that it is still to come.

        :rtype: str
        """
        self.ensure_one()
        line = self.sudo().refund_line_id
        credit = line._get_live_invoice()
        if credit.state == "posted":
            return credit.name
        return self.env._("Credit note follows") if line and line.state != "cancelled" else ""

    def _get_delivered_rows(self):
        """List what was delivered in these periods: entries by hand and time sheets, the newest first.

        :return: rows with `date`, `name` and `hours`.
        :rtype: list[dict]
        """
        retainer = self.retainer_id
        first = min(self.mapped("date_from"))
        rows = [
            {"date": entry.date, "name": entry.name, "hours": entry.hours}
            for entry in retainer.usage_ids
            if entry.date >= first
        ]
        rows += [
            {"date": entry.date, "name": entry.name, "hours": entry._get_milestone_hours()}
            for entry in retainer._get_timesheets(first)
        ]
        return sorted(rows, key=lambda row: row["date"], reverse=True)[:ROWS_MAX]
