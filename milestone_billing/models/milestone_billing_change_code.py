from odoo import SUPERUSER_ID, fields, models

from .milestone_billing_approval_code import VALID_MINUTES


class MilestoneBillingChangeCode(models.Model):
    """A one-time code for an approver of a change order: the rules are those of codes for milestones."""

    _name = "milestone.billing.change.code"
    _inherit = "milestone.billing.approval.code"
    _description = "One-time Code for a Change Order"

    seat_id = fields.Many2one("milestone.billing.change.link")

    def _send(self, digits, target):
        """Override to name the change order; the sender is woken up: a code is of no use in an hour."""
        change, partner = self.seat_id.change_id, self.seat_id.partner_id
        code = self.with_user(SUPERUSER_ID).with_context(
            lang=partner.lang or self.env.lang, milestone_code=digits
        )
        if self.channel == "sms":
            body = code.env._(
                "%(seller)s: your code to approve change order %(reference)s is %(code)s. "
                "It is valid for %(minutes)s minutes.",
                seller=change.company_id.name,
                reference=change.reference,
                code=digits,
                minutes=VALID_MINUTES,
            )
            self.env["sms.sms"].sudo().create({"number": target, "body": body})
            self.env.ref("sms.ir_cron_sms_scheduler_action").sudo()._trigger()
            return
        template = self.env.ref("milestone_billing.mail_template_change_code").sudo().with_env(code.env)
        self.seat_id._queue_mail(template, code)
