import json
import logging
import time
import uuid

import requests
from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from .. import transport
from ..tools import url_guard, webhook
from .milestone_billing_webhook import WEBHOOK_EVENTS

_logger = logging.getLogger(__name__)


class MilestoneBillingWebhookDelivery(models.Model):
    """One message to one receiver: written with the event, sent after the transaction by a cron."""

    _name = "milestone.billing.webhook.delivery"
    _description = "Milestone Webhook Delivery"
    _order = "id desc"
    _rec_name = "event_id"

    webhook_id = fields.Many2one(
        "milestone.billing.webhook", required=True, readonly=True, index=True, ondelete="cascade"
    )
    company_id = fields.Many2one(related="webhook_id.company_id", store=True, index=True)
    event_id = fields.Char(required=True, readonly=True, help="The same event has the same id at every try.")
    event = fields.Selection(
        [*WEBHOOK_EVENTS, ("ping", "Test")], string="Type", required=True, readonly=True, index=True
    )
    line_id = fields.Many2one(
        "milestone.billing.line",
        string="Milestone",
        readonly=True,
        index="btree_not_null",
        ondelete="set null",
    )
    body = fields.Text(required=True, readonly=True, help="What is sent, byte by byte.")
    state = fields.Selection(
        [("queued", "Waiting"), ("sent", "Delivered"), ("dead", "Given up")],
        default="queued",
        required=True,
        readonly=True,
    )
    attempt_count = fields.Integer(string="Attempts", readonly=True)
    next_attempt_on = fields.Datetime(readonly=True, default=fields.Datetime.now)
    sent_on = fields.Datetime(string="Delivered On", readonly=True)
    http_status = fields.Integer(string="Last Answer", readonly=True)
    last_error = fields.Char(readonly=True)

    _event_unique = models.UniqueIndex(
        "(webhook_id, event_id)", "This event was already queued for this webhook."
    )
    _due = models.Index("(next_attempt_on, id) WHERE state = 'queued'")

    # === QUEUE ===

    @api.model
    def _make_event_id(self):
        return str(uuid.uuid4())

    @api.model
    def _prepare_values(self, hook, event_id, event, data, line=None):
        """Give the values of one delivery, with the body as it will be sent.

        :rtype: dict
        """
        body = {
            "id": event_id,
            "type": event,
            "version": 1,
            "created_at": fields.Datetime.now().isoformat() + "Z",
            "data": data,
        }
        return {
            "webhook_id": hook.id,
            "event_id": event_id,
            "event": event,
            "line_id": line.id if line else False,
            "body": json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        }

    @api.model
    def _enqueue(self, values_list):
        """Write deliveries into the present transaction; events that are known are left out."""
        known = self.sudo().search_fetch(
            [("event_id", "in", [values["event_id"] for values in values_list])], ["webhook_id", "event_id"]
        )
        pairs = {(delivery.webhook_id.id, delivery.event_id) for delivery in known}
        fresh = [v for v in values_list if (v["webhook_id"], v["event_id"]) not in pairs]
        if fresh:
            self.sudo().create(fresh)
            self._trigger_sending()

    @api.model
    def _trigger_sending(self, at=None):
        self.env.ref("milestone_billing.ir_cron_send_webhooks").sudo()._trigger(at)

    # === SENDING ===

    @api.model
    def _cron_send_deliveries(self, limit=500):
        """Send what is due, one commit for each message, because sending cannot be rolled back.

        When a receiver does not answer, its other messages wait as well.
        """
        Cron = self.env["ir.cron"]
        due = self.search(
            [("state", "=", "queued"), ("next_attempt_on", "<=", fields.Datetime.now())],
            limit=limit,
            order="id",
        )
        Cron._commit_progress(remaining=len(due))
        down = {}
        for delivery in due:
            locked = delivery.try_lock_for_update().filtered(lambda item: item.state == "queued")
            if locked and locked.webhook_id in down:
                locked.next_attempt_on = down[locked.webhook_id]
            elif locked and not locked._attempt():
                down[locked.webhook_id] = locked.next_attempt_on
            if not Cron._commit_progress(1):
                break

    def _attempt(self):
        """Send one message and note what came of it.

        :return: False if the receiver could not be reached at all.
        :rtype: bool
        """
        self.ensure_one()
        hook, body = self.webhook_id, self.body.encode()
        if not hook.active:
            self._note_failure(0, self.env._("The webhook is archived."))
            return True
        try:
            headers = webhook.headers(hook.secret, self.event_id, int(time.time()), body)
            status = transport.post(hook.url, body, headers, hook._get_test_origins())
        except url_guard.UrlError as refusal:
            self._note_failure(0, self.env._("The address is refused (%s).", refusal.code))
            return False
        except requests.RequestException as error:
            self._note_failure(0, type(error).__name__)
            return False
        except Exception as error:
            # Nothing here touches the database: whatever else is wrong with one receiver, the others get theirs.
            _logger.exception("webhook %s could not be tried", hook.id)
            self._note_failure(0, type(error).__name__)
            return False
        if 200 <= status < 300:
            self.write({"state": "sent", "sent_on": fields.Datetime.now(), "next_attempt_on": False})
            self.write({"attempt_count": self.attempt_count + 1, "http_status": status, "last_error": False})
        else:
            self._note_failure(status, self.env._("The receiver answered %s.", status))
        return True

    def _note_failure(self, status, error):
        """Plan the next try, or give up after the last."""
        count = self.attempt_count + 1
        minutes = webhook.retry_minutes(count)
        values = {"attempt_count": count, "http_status": status, "last_error": error}
        if minutes is None:
            _logger.warning("webhook %s: event %s given up", self.webhook_id.id, self.event_id)
            self.write({**values, "state": "dead", "next_attempt_on": False})
            return
        at = fields.Datetime.add(fields.Datetime.now(), minutes=minutes)
        self.write({**values, "next_attempt_on": at})
        self._trigger_sending(at)

    def action_resend(self):
        """Queue messages again, with the same event id, so that a receiver can tell a repetition."""
        if not self.env.user.has_group("milestone_billing.milestone_billing_group_billing_manager"):
            raise AccessError(self.env._("Only billing managers may send webhooks again. Ask one of them."))
        self.check_access("read")
        if any(not delivery.webhook_id.active for delivery in self):
            raise UserError(self.env._("The webhook is archived. Restore it, then send its messages again."))
        now = fields.Datetime.now()
        self.sudo().write({"state": "queued", "attempt_count": 0, "next_attempt_on": now})
        self._trigger_sending()
        return True

    @api.autovacuum
    def _gc_deliveries(self):
        """Forget messages that were delivered more than 90 days ago."""
        before = fields.Datetime.subtract(fields.Datetime.now(), days=90)
        self.search([("state", "=", "sent"), ("sent_on", "<", before)], limit=10000).unlink()
