"""One text message for all that a client is reminded of on a day."""

from odoo import models
from odoo.tools import formatLang


class MilestoneBillingReminder(models.Model):
    _inherit = "milestone.billing.reminder"

    def _send_sms(self):
        """Queue a text message to each person. It is tied to no document: nobody shall read a link in a chatter."""
        if not self:
            return
        messages = []
        for reminders in self.grouped(lambda item: (item.partner_id, item.company_id)).values():
            leader = reminders[0]
            reminders[1:].leader_id = leader
            reader = reminders.with_context(lang=leader.partner_id.lang or self.env.lang)
            messages.append(
                {
                    "partner_id": leader.partner_id.id,
                    "number": leader.address,
                    "body": reader._get_sms_text(),
                }
            )
        self.env["sms.sms"].sudo().create(messages)
        self.env.ref("sms.ir_cron_sms_scheduler_action").sudo()._trigger()

    def _get_sms_text(self):
        """Write the message about one or several things of one purpose, in the language of the environment.

        :rtype: str
        """
        rows, company = [item._prepare_sms_row() for item in self], self.company_id.name
        is_payment = self[0].purpose == "payment"
        if len(rows) > 1:
            head = (
                self.env._("%s: these payments are open:", company)
                if is_payment
                else self.env._("%s: these wait for your review:", company)
            )
            return "\n".join([head, *(f"{row['name']}, {row['amount']}: {row['url']}" for row in rows)])
        values = {"company": company, **rows[0]}
        if is_payment:
            return self.env._(
                "%(company)s: %(amount)s for “%(name)s” is waiting to be paid. %(url)s", **values
            )
        return self.env._("%(company)s: please review “%(name)s”, %(amount)s. %(url)s", **values)

    def _prepare_sms_row(self):
        """Give what a message says about one thing: `name`, `amount` and `url`.

        :rtype: dict
        """
        self.ensure_one()
        line, invoice = self.line_id.sudo(), self.line_id._get_live_invoice()
        is_payment = self.purpose == "payment"
        amount = invoice._get_milestone_due_now() if is_payment else invoice.amount_total
        return {
            "name": line.name,
            "amount": formatLang(self.env, amount, currency_obj=line.currency_id),
            "url": self.sudo().url if is_payment else self._make_review_url(),
        }

    def _make_review_url(self):
        """Make a new personal link to what waits for a decision.

        :rtype: str
        """
        return self.env["milestone.billing.approval.link"]._make_reminder_url(self._get_seat())
