"""Reminders while other transactions come in between, and reminders by hand."""

from datetime import timedelta
from unittest.mock import patch

import psycopg2
from freezegun import freeze_time
from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import mute_logger

from ..models.milestone_billing_line_reminder import REMINDED_DOMAIN
from .test_reminder import MONDAY, ReminderCommon


@tagged("post_install", "-at_install")
class TestReminderCollision(ReminderCommon):
    """What another transaction has just changed is tried again, and never noted as a failure of the reminder."""

    ERRORS = (
        psycopg2.errors.SerializationFailure,
        psycopg2.errors.DeadlockDetected,
        psycopg2.errors.LockNotAvailable,
    )

    def collide(self, error):
        def fail(_records):
            raise error("another transaction came in between")

        return patch.object(self.registry["milestone.billing.reminder"], "_send", fail)

    def test_collisions_are_not_taken_for_failures(self):
        self.create_steps(("approval", 1, "after_start", "email"))
        line = self.submit()
        for error in self.ERRORS:
            for remind in (line._remind_safely, line._remind_alone):
                with (
                    freeze_time(MONDAY + timedelta(days=1)),
                    self.collide(error),
                    self.assertRaises(error),
                    self.env.cr.savepoint(),
                ):
                    remind()
        self.assertFalse(line.reminder_ids)

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_reminded")
    def test_job_leaves_the_rest_to_its_next_run(self):
        self.create_steps(("approval", 1, "after_start", "email"))
        lines = self.submit(2)
        left = []
        with (
            self.collide(psycopg2.errors.SerializationFailure),
            patch.object(self.registry["ir.cron"], "_give_way", lambda _cron, rest: left.append(rest)),
        ):
            self.run_on(1)
        self.assertEqual(left, [self.env["milestone.billing.line"].search_count(REMINDED_DOMAIN)])
        self.env.invalidate_all()
        self.get_reminders(lines).unlink()
        self.run_on(1)
        self.assertEqual(self.get_reminders(lines).mapped("state"), ["sent", "sent"])

    def test_giving_way_undoes_and_keeps_the_rest(self):
        Cron, done = self.registry["ir.cron"], []
        with (
            patch.object(self.env.cr, "rollback", lambda: done.append("rollback")),
            patch.object(Cron, "_commit_progress", lambda _cron, **values: done.append(values)),
        ):
            self.env["ir.cron"]._give_way(7)
        self.assertEqual(done, ["rollback", {"remaining": 7}])

    def test_links_are_not_marked_as_failed(self):
        self.create_steps(("approval", 1, "after_start", "email"))
        lines = self.submit(2)
        self.run_on(1)
        links = lines.approval_ids.link_ids.filtered(lambda link: link.purpose == "reminder").sudo()

        def fail(*_args):
            raise psycopg2.errors.SerializationFailure("another transaction came in between")

        Link = self.registry["milestone.billing.approval.link"]
        for name, some in (("_create_digest_mail", links), ("_create_mail", links[0])):
            with (
                patch.object(Link, name, fail),
                self.assertRaises(psycopg2.errors.SerializationFailure),
                self.env.cr.savepoint(),
            ):
                some._send()
        self.assertEqual(set(links.mapped("state")), {"queued"})


@tagged("post_install", "-at_install")
class TestReminderByHand(ReminderCommon):
    """Finance reminds whenever it wants, once a day, and sees whom before."""

    def remind(self, lines, user=None):
        Batch = self.env["milestone.billing.batch"].with_user(user or self.billing_user)
        batch = Batch.create({"operation": "remind", "line_ids": [Command.set(lines.ids)]})
        preview = batch.preview
        batch.action_apply()
        return preview

    def test_review_and_payment_are_reminded_at_once(self):
        waiting = self.submit()
        paid, owed = self.create_order().milestone_line_ids[:2]
        (paid + owed).action_complete()
        self.pay(paid.invoice_ids)
        preview = self.remind(waiting + paid + owed)
        self.assertIn("zoe@client.example", preview)
        self.assertIn("waits neither for a decision nor for a payment", preview)
        self.assertRecordValues(
            waiting.reminder_ids + owed.reminder_ids,
            [
                {"state": "sent", "purpose": "approval", "partner_id": self.contact.id},
                {"state": "sent", "purpose": "payment", "partner_id": self.client_company.id},
            ],
        )
        self.assertFalse(paid.reminder_ids)
        mail = self.send_links()
        self.assertIn("still waits for your review", mail.subject)
        with self.assertRaisesRegex(UserError, "None of the chosen"):
            self.remind(waiting + paid + owed)

    def test_stopped_reminders_stay_stopped(self):
        line = self.submit()
        self.contact.milestone_reminder_preference = "none"
        self.remind(line)
        self.assertEqual(line.reminder_ids.state, "skipped")
        self.assertFalse(self.send_links())

    def test_only_billing_users_remind(self):
        line = self.submit()
        with self.assertRaises(AccessError):
            line.with_user(self.project_user).action_remind()
