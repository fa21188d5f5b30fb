import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import psycopg2
from odoo import fields
from odoo.exceptions import AccessError, ValidationError
from odoo.tests import tagged
from odoo.tools import mute_logger

from ..models.milestone_billing_approval_decision import Visitor
from ..tools import url_guard, webhook
from .common import MilestoneBillingCommon


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((dict(self.headers), body))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *_args):
        """Keep the log of the tests readable."""


@tagged("post_install", "-at_install")
class TestWebhook(MilestoneBillingCommon):
    """Other systems are told what happens, signed, once per event, until it arrives."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = HTTPServer(("127.0.0.1", 0), _Receiver)
        cls.server.received, cls.server.answer = [], 200
        thread = threading.Thread(target=cls.server.serve_forever, daemon=True)
        thread.start()
        cls.addClassCleanup(cls.server.server_close)
        cls.addClassCleanup(cls.server.shutdown)
        cls.hook = cls.env["milestone.billing.webhook"].create(
            {
                "name": "Cockpit",
                "url": f"http://127.0.0.1:{cls.server.server_port}/in",
                "company_id": cls.company.id,
            }
        )

    def setUp(self):
        super().setUp()
        self.server.received.clear()
        self.server.answer = 200

    def send(self):
        with self.no_commits():
            self.env["milestone.billing.webhook.delivery"].sudo()._cron_send_deliveries()

    def get_types(self):
        return [json.loads(body)["type"] for _headers, body in self.server.received]

    def test_events_of_a_milestone_arrive_in_order(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        self.pay(line.invoice_ids)
        self.assertFalse(self.server.received, "nothing leaves before the cron")
        self.send()
        self.assertEqual(self.get_types(), ["milestone.completed", "milestone.posted", "milestone.paid"])
        data = json.loads(self.server.received[1][1])["data"]
        self.assertEqual(data["reference"], line.reference)
        self.assertEqual(data["amount_total"], "2500.00")
        self.assertEqual(data["invoice"]["number"], line.invoice_ids.name)
        self.assertEqual(set(self.hook.delivery_ids.mapped("state")), {"sent"})

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_webhook_delivery")
    def test_a_receiver_with_a_broken_key_holds_up_nobody(self):
        broken = self.hook.copy({"name": "Broken", "url": self.hook.url, "secret": "whsec_x"})
        broken.action_send_test()
        self.hook.action_send_test()
        self.send()
        self.assertEqual(self.get_types(), ["ping"])
        self.assertEqual(self.hook.delivery_ids.state, "sent")
        self.assertEqual((broken.delivery_ids.state, broken.delivery_ids.attempt_count), ("queued", 1))
        self.assertTrue(broken.delivery_ids.last_error)

    def test_submission_and_decisions_are_told(self):
        order = self.create_order(confirm=False)
        order.milestone_line_ids.approval_required = True
        order.action_confirm()
        first, second = order.milestone_line_ids[:2]
        (first + second).action_complete()
        first.sudo()._transition("approve")
        second.sudo()._transition("request_changes")
        self.send()
        types = self.get_types()
        self.assertEqual(types.count("milestone.submitted"), 2)
        self.assertEqual(types[-2:], ["milestone.approved", "milestone.changes_requested"])

    def decide(self, approval, kind, **form):
        """Let the approver decide, as the page would."""
        seat = approval.seat_ids[:1]
        visitor = Visitor(seat=seat, actor_kind="link_holder", presented_at=time.time(), locale="en_US")
        values = {
            "snapshot_sha256": approval.snapshot_sha256,
            "consent_sha256": approval._get_consent_sha256(),
            "idempotency_key": f"key-{approval.id}-{kind}",
            "accept": "1",
            "typed_name": seat.partner_id.name,
            "reason_code": "quality",
            "reason": "The footer is wrong",
            **form,
        }
        outcome = approval.with_user(self.env.ref("base.user_root"))._decide(kind, visitor, values)
        self.assertEqual(outcome.code, "recorded")

    def test_all_six_events_are_told_once_each_through_a_whole_life(self):
        order = self.create_order(confirm=False)
        order.milestone_line_ids.approval_required = True
        order.action_confirm()
        line = order.milestone_line_ids[0]
        line.action_complete()
        self.decide(line.approval_ids, "changes")
        line.action_submit_again()
        self.decide(line._get_current_approval(), "approve")
        self.pay(line.invoice_ids)
        line._on_paid()
        self.server.answer = 503
        self.send()
        self.assertEqual(set(self.hook.delivery_ids.mapped("state")), {"queued"})
        self.server.received.clear()
        self.server.answer = 200
        for delivery in self.hook.delivery_ids.sorted("id"):
            delivery.sudo().next_attempt_on = fields.Datetime.now()
        self.send()
        self.assertEqual(
            self.get_types(),
            [
                "milestone.completed",
                "milestone.submitted",
                "milestone.changes_requested",
                "milestone.submitted",
                "milestone.approved",
                "milestone.posted",
                "milestone.paid",
            ],
        )
        revisions = [json.loads(body)["data"]["revision"] for _headers, body in self.server.received]
        self.assertEqual(revisions, [None, 1, 1, 2, 2, 2, 2])
        ids = [headers["webhook-id"] for headers, _body in self.server.received]
        self.assertEqual(len(set(ids)), len(ids))
        self.assertEqual(set(self.hook.delivery_ids.mapped("attempt_count")), {2})
        self.send()
        self.assertEqual(len(self.server.received), 7, "what arrived is not sent again")

    def test_signature_can_be_checked_by_the_receiver(self):
        self.hook.action_send_test()
        self.send()
        headers, body = self.server.received[0]
        key = base64.b64decode(self.hook.secret.removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        self.assertEqual(headers["webhook-signature"], f"v1,{expected}")

    def test_rolled_back_event_is_never_sent(self):
        line = self.create_order().milestone_line_ids[0]
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            line.action_complete()
            raise ZeroDivisionError
        self.send()
        self.assertFalse(self.server.received)

    def test_failure_is_repeated_later_with_the_same_id(self):
        self.server.answer = 500
        self.create_order().milestone_line_ids[0].action_complete()
        self.send()
        delivery = self.hook.delivery_ids.filtered(lambda item: item.event == "milestone.posted")
        self.assertRecordValues(delivery, [{"state": "queued", "attempt_count": 1, "http_status": 500}])
        self.assertGreater(delivery.next_attempt_on, fields.Datetime.now())
        self.send()
        self.assertEqual(delivery.attempt_count, 1, "not before its time")
        self.server.answer = 204
        delivery.sudo().next_attempt_on = fields.Datetime.now()
        self.send()
        self.assertEqual(delivery.state, "sent")
        ids = [h["webhook-id"] for h, body in self.server.received if b"milestone.posted" in body]
        self.assertEqual(ids, [delivery.event_id] * 2)

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_webhook_delivery")
    def test_message_is_given_up_at_last_and_can_be_sent_again(self):
        self.server.answer = 404
        self.hook.action_send_test()
        delivery = self.hook.delivery_ids
        for _attempt in range(len(webhook.RETRY_MINUTES) + 1):
            delivery.sudo().next_attempt_on = fields.Datetime.now()
            self.send()
        self.assertEqual(delivery.state, "dead")
        self.assertEqual(self.hook.dead_count, 1)
        self.server.answer = 200
        delivery.action_resend()
        self.send()
        self.assertEqual(delivery.state, "sent")

    def test_unreachable_receiver_does_not_hold_up_the_others(self):
        self.hook.action_send_test()
        gone = self.hook.copy({"name": "Gone", "url": "http://127.0.0.1:9/"})
        gone.action_send_test()
        gone.action_send_test()
        self.hook.action_send_test()
        self.send()
        self.assertEqual(set(self.hook.delivery_ids.mapped("state")), {"sent"})
        self.assertEqual(sorted(gone.delivery_ids.mapped("attempt_count")), [0, 1])
        self.assertEqual(len(set(gone.delivery_ids.mapped("next_attempt_on"))), 1)

    def test_same_fact_is_queued_once(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        before = len(self.hook.delivery_ids)
        line._queue_webhooks("milestone.posted")
        self.assertEqual(len(self.hook.delivery_ids), before)
        values = self.hook.delivery_ids[0].copy_data()[0]
        with self.assertRaises(psycopg2.errors.UniqueViolation), mute_logger("odoo.sql_db"):
            self.env["milestone.billing.webhook.delivery"].sudo().create(values)

    def test_only_what_was_asked_for_is_sent(self):
        self.hook.write({"on_completed": False, "on_paid": False})
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        self.pay(line.invoice_ids)
        self.assertEqual(self.hook.delivery_ids.mapped("event"), ["milestone.posted"])

    def test_without_subscribers_an_event_takes_no_statement(self):
        self.hook.active = False
        line = self.create_order().milestone_line_ids[0]
        line._queue_webhooks("milestone.completed")
        with self.assertQueryCount(0):
            line._queue_webhooks("milestone.completed")

    def test_plain_http_and_inner_addresses_are_refused(self):
        for url in ("http://example.com/", "ftp://example.com/", "https://user:pw@example.com/"):
            with self.assertRaises(ValidationError):
                self.hook.url = url
        for ip in ("10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "100.64.0.1"):
            with self.assertRaises(url_guard.UrlError, msg=ip):
                url_guard.choose_ip(url_guard.parse("https://example.com/"), ["93.184.216.34", ip], ())
        self.hook.url = "https://10.0.0.1/"
        self.hook.action_send_test()
        self.send()
        self.assertIn("private", self.hook.delivery_ids.last_error)

    def test_only_managers_see_webhooks_and_nobody_writes_deliveries(self):
        self.hook.action_send_test()
        delivery = self.hook.delivery_ids
        for user in (self.project_user, self.billing_user):
            with self.assertRaises(AccessError):
                self.hook.with_user(user).read(["secret"])
            with self.assertRaises(AccessError):
                delivery.with_user(user).action_resend()
        manager = self.env.user.copy({"login": "manager2"})
        with self.assertRaises(AccessError):
            delivery.with_user(manager).write({"body": "{}"})
