from odoo import fields, models


class MilestoneBillingChangeLink(models.Model):
    _name = "milestone.billing.change.link"
    _inherit = ["milestone.billing.change.link", "milestone.billing.renewal"]
    _mail_fields = ("mail_copy", "receipt_copy", "reminder_copies", "renewal_copies")

    renewal_copies = fields.Json(
        readonly=True,
        groups=fields.NO_ACCESS,
        help="The mails with a fresh link as they were queued, their secrets blanked.",
    )

    def _can_be_renewed(self):
        """Override: not one that was withdrawn; with the change order all of its links are."""
        return not self.is_revoked

    def _queue_renewal(self):
        """Override to send this link again, with another secret: the one that ran out opens nothing any more."""
        self.state = "queued"
        self.env.ref("milestone_billing.ir_cron_send_change_links").sudo()._trigger()

    def _get_request_mail(self):
        """Override: whoever has the request already gets a mail that fits a decided change order, too."""
        if not self.message_id:
            return super()._get_request_mail()
        return "milestone_billing.mail_template_change_link", "renewal_copies", "resend"

    def _issue_request_secret(self):
        """Override to let the links of reminders end with that of the request."""
        self.reminder_sha256 = False
        return super()._issue_request_secret()
