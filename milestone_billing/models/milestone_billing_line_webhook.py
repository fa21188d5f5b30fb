"""Which events of a milestone go out to webhooks, and what they say."""

from odoo import api, models

from ..tools.webhook import event_uuid

TRANSITION_EVENTS = {"approve": "milestone.approved", "request_changes": "milestone.changes_requested"}


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _transition(self, event, extra=None):
        """Extend the state machine to tell subscribers of the client's decisions."""
        result = super()._transition(event, extra)
        if event in TRANSITION_EVENTS:
            self._queue_webhooks(TRANSITION_EVENTS[event])
        return result

    def _log_drafted(self, moves):
        """Extend completion to tell subscribers."""
        result = super()._log_drafted(moves)
        self._queue_webhooks("milestone.completed")
        return result

    def _on_paid(self):
        """Extend payment to tell subscribers, before the next milestone opens."""
        self._queue_webhooks("milestone.paid")
        return super()._on_paid()

    def _queue_webhooks(self, event):
        """Write the messages on an event of these milestones; sent after this transaction.

        Without subscribers this takes no statement.

        :param str event: one of `WEBHOOK_EVENTS`.
        """
        Hook = self.env["milestone.billing.webhook"].sudo()
        Delivery = self.env["milestone.billing.webhook.delivery"]
        values_list = []
        for company, lines in self.sudo().grouped("company_id").items():
            for hook in Hook.browse(Hook._get_subscriber_ids(company.id, event)):
                for line in lines:
                    event_id = event_uuid(line.evidence_uuid, event, line._get_event_key(event))
                    data = line._prepare_webhook_data()
                    values_list.append(Delivery._prepare_values(hook, event_id, event, data, line))
        if values_list:
            Delivery._enqueue(values_list)

    def _get_event_key(self, event):
        """Tell two events of one kind apart: by the revision asked about, else by the invoice."""
        if event in ("milestone.submitted", "milestone.approved", "milestone.changes_requested"):
            return f"revision {max(self.approval_ids.mapped('revision'), default=0)}"
        return f"invoice {self._get_live_invoice().id}"

    def _prepare_webhook_data(self):
        """Describe a milestone for another system: ids, references, amounts as text, no personal data.

        :rtype: dict
        """
        self.ensure_one()
        invoice = self._get_live_invoice()
        text = self._get_amount_text
        submission = self.approval_ids.sorted("revision")[-1:]

        return {
            "milestone_id": self.id,
            "reference": self.reference,
            "name": self.name,
            "state": self.state,
            "chain_id": self.evidence_uuid,
            "order": {"id": self.order_id.id, "name": self.order_id.name},
            "project": self.project_id.name or None,
            "currency": self.currency_id.name,
            "amount_untaxed": text(self.amount_untaxed),
            "amount_tax": text(self.amount_tax),
            "amount_total": text(self.amount_total),
            "revision": submission.revision or None,
            "invoice": {
                "id": invoice.id,
                "number": invoice.name or None,
                "state": invoice.state,
                "amount_total": text(invoice.amount_total),
                "amount_due": text(invoice.amount_residual),
            }
            if invoice
            else None,
        }


class MilestoneBillingApproval(models.Model):
    _inherit = "milestone.billing.approval"

    @api.model
    def _request(self, lines):
        """Extend a submission to tell subscribers."""
        result = super()._request(lines)
        lines._queue_webhooks("milestone.submitted")
        return result


class AccountMove(models.Model):
    _inherit = "account.move"

    def _post(self, soft=True):
        """Override of `account` to tell subscribers that a milestone's invoice was issued."""
        posted = super()._post(soft)
        stages = posted.filtered(lambda move: move.milestone_document == "stage" and move.milestone_claim)
        stages.milestone_line_id._queue_webhooks("milestone.posted")
        return posted
