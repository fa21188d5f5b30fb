import logging
from functools import partial

from odoo import SUPERUSER_ID, api, models
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY

from .milestone_billing_turn import APART_TRIES_MAX

_logger = logging.getLogger(__name__)


class MailMail(models.Model):
    _inherit = "mail.mail"

    def _postprocess_sent_message(
        self, success_pids, success_emails, failure_reason=False, failure_type=None
    ):
        """Override of `mail` to record whether a review link was delivered."""
        self._log_delivery_safely(failure_reason, failure_type)
        return super()._postprocess_sent_message(
            success_pids, success_emails, failure_reason=failure_reason, failure_type=failure_type
        )

    def _log_delivery_safely(self, *failure):
        """Record the result now, or after the commit when somebody else writes on the same chain just now.

        The mail is out: failing here would undo that it was, and send it once more.
        """
        message_ids = [mail.message_id for mail in self if mail.message_id]
        try:
            with self.env.cr.savepoint():
                self._log_link_delivery(message_ids, *failure)
        except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
            registry = self.env.registry
            self.env.cr.postcommit.add(partial(self._log_delivery_later, registry, message_ids, *failure))

    @staticmethod
    def _log_delivery_later(registry, message_ids, *failure):
        for _attempt in range(APART_TRIES_MAX):
            try:
                with registry.cursor() as cr:
                    api.Environment(cr, SUPERUSER_ID, {})["mail.mail"]._log_link_delivery(
                        message_ids, *failure
                    )
                return
            except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                continue
        _logger.warning("the delivery of %s was not recorded: its chain was too busy", message_ids)

    @api.model
    def _log_link_delivery(self, message_ids, failure_reason, failure_type):
        """Record for each personal link whether its mail was handed over, and tell the team when it was not."""
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
                link.approval_id._for_team()._notify_team_undeliverable(
                    link.partner_id, failure_reason or failure_type
                )
