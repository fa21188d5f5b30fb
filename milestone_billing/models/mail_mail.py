from odoo import models


class MailMail(models.Model):
    _inherit = "mail.mail"

    def _postprocess_sent_message(
        self, success_pids, success_emails, failure_reason=False, failure_type=None
    ):
        """Override of `mail` to record whether a review link was delivered."""
        self._log_link_delivery(failure_reason, failure_type)
        return super()._postprocess_sent_message(
            success_pids, success_emails, failure_reason=failure_reason, failure_type=failure_type
        )

    def _log_link_delivery(self, failure_reason, failure_type):
        message_ids = [mail.message_id for mail in self if mail.message_id]
        sent = [("message_id", "in", message_ids)]
        links = self.env["milestone.billing.approval.link"].sudo().search(sent)
        changes = self.env["milestone.billing.change.link"].sudo().search(sent)
        for link in (*links, *changes):
            link[link._mail_owner]._log(
                "request.delivery",
                data={
                    "result": "exception" if failure_type else "sent",
                    "failure_class": failure_type or "",
                    "message_id": link.message_id,
                },
                subject={"link_id": link.uuid},
                actor_kind="provider",
            )
        if failure_type:
            changes._mark_undelivered((failure_reason or failure_type)[:200])
        for link in links:
            if failure_type:
                link.write({"state": "failed", "failure": (failure_reason or failure_type)[:200]})
                link.approval_id._notify_team_undeliverable(link.partner_id, failure_reason or failure_type)
