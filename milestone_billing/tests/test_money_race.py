import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import psycopg2
from odoo import SUPERUSER_ID, Command, api
from odoo.exceptions import UserError
from odoo.tests.common import tagged
from odoo.tools import mute_logger

from ..models.milestone_billing_line_invoice import MilestoneBillingLine as LineInvoice
from ..models.milestone_billing_schedule import MilestoneBillingSchedule
from .common_race import CONCURRENCY_ERRORS, RaceCommon

LINE_API = "odoo.addons.milestone_billing.models.milestone_billing_line_api"
TIMEOUT_SECONDS = 120
RETRY_COUNT_MAX = 20


@tagged("-standard", "-at_install", "post_install", "milestone_race")
class TestMoneyRace(RaceCommon):
    """Two transactions at once on the same order: one effect, one clear loser."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            company = cls.create_company(
                env, "Race Builders", milestone_approval_required=False, milestone_invoice_posting="always"
            )
            company._get_milestone_retainage_account()
            cls.partner_id = env["res.partner"].create({"name": "Race Client"}).id

    def create_order(self, retainage=0.0, trigger="manual", complete=0, **values):
        """Commit a confirmed order of 1,000.00 in four quarters and give the ids of its milestones."""
        with self.registry.cursor() as cr:
            env = self.env_of(cr)
            order = env["sale.order"].create(
                {
                    "partner_id": self.partner_id,
                    "company_id": self.company_id,
                    "order_line": [Command.create({"product_id": self.product_id, "price_unit": 1000.0})],
                    "milestone_line_ids": [
                        Command.create(
                            {
                                "name": f"Stage {place}",
                                "sequence": place,
                                "percent": 25.0,
                                "trigger": trigger,
                                "trigger_date": "2020-01-01",
                            }
                        )
                        for place in range(4)
                    ],
                }
            )
            order.milestone_schedule_id.write({"retainage_percent": retainage, **values})
            order.action_confirm()
            lines = order.milestone_line_ids
            lines[:complete]._complete(trigger="manual")
            return lines.ids

    def run_together(self, *calls):
        """Run calls in transactions that all began before the first one wrote; try again as the server does.

        :return: for each call, its result or refusal, and whether it had to be tried again.
        """
        barrier = threading.Barrier(len(calls))

        def run(call):
            for attempt in range(RETRY_COUNT_MAX):
                try:
                    with self.registry.cursor() as cr:
                        env = self.env_of(cr)
                        cr.execute("SELECT 1 FROM milestone_billing_schedule LIMIT 1")
                        if not attempt:
                            barrier.wait(timeout=TIMEOUT_SECONDS)
                        result = call(env)
                        env.flush_all()
                    return result, attempt
                except CONCURRENCY_ERRORS:
                    continue
                except UserError as refusal:
                    return refusal, attempt
            raise AssertionError("a transaction did not get through")

        with ThreadPoolExecutor(max_workers=len(calls)) as executor, mute_logger("odoo.sql_db"):
            futures = [executor.submit(run, call) for call in calls]
            return [future.result(timeout=TIMEOUT_SECONDS) for future in futures]

    def look(self, line_ids, read):
        """Read committed facts of milestones; the schedule ties out with the ledger after every race."""
        with self.registry.cursor() as cr:
            lines = self.env_of(cr)["milestone.billing.line"].browse(line_ids)
            for schedule in lines.schedule_id:
                self.assertEqual(schedule.tie_out()["differences"], [])
            return read(lines)

    def complete(self, line_id):
        return lambda env: env["milestone.billing.line"].browse(line_id)._complete(trigger="manual").ids

    def credit(self, line_id):
        def call(env):
            invoice = env["milestone.billing.line"].browse(line_id)._get_live_invoice()
            return invoice._reverse_moves(cancel=True).ids

        return call

    def release(self, line_id):
        def call(env):
            return env["milestone.billing.line"].browse(line_id).schedule_id.release_retainage()

        return call

    # === RACES ===

    def test_two_completions_make_one_invoice(self):
        lines = self.create_order()
        answers = self.run_together(self.complete(lines[0]), self.complete(lines[0]))
        self.assertEqual(sorted(len(done) for done, _again in answers), [0, 1])
        loser = next(again for done, again in answers if not done)
        self.assertTrue(loser, "the loser had to look again")
        self.assertEqual(self.look(lines[:1], lambda line: len(line.invoice_ids)), 1)

    def test_two_stages_of_one_order_are_both_billed(self):
        lines = self.create_order()
        self.run_together(self.complete(lines[0]), self.complete(lines[1]), self.complete(lines[2]))
        amounts = self.look(lines[:3], lambda line: line.invoice_ids.mapped("amount_total"))
        self.assertEqual(amounts, [250.0] * 3)

    def test_completion_and_credit_note_of_one_order(self):
        lines = self.create_order(retainage=10.0, complete=1)
        self.run_together(self.complete(lines[1]), self.credit(lines[0]))
        states = self.look(lines[:2], lambda line: line.mapped("state"))
        self.assertEqual(states, ["planned", "approved"])

    def test_completion_and_credit_note_of_one_stage(self):
        lines = self.create_order(complete=1)
        self.run_together(self.complete(lines[0]), self.credit(lines[0]))
        live = self.look(lines[:1], lambda line: line.invoice_ids.filtered("milestone_claim"))
        self.assertLessEqual(len(live), 1)

    def test_order_line_added_while_the_last_stage_is_completed(self):
        lines = self.create_order(complete=3)

        def add(env):
            order = env["milestone.billing.line"].browse(lines[0]).order_id
            order.order_line = [Command.create({"product_id": self.product_id, "price_unit": 100.0})]
            return order.ids

        self.run_together(self.complete(lines[3]), add)

        with self.registry.cursor() as cr:
            milestones = self.env_of(cr)["milestone.billing.line"].browse(lines)
            stuck = milestones.filtered("invoice_ids").allocation_ids._filter_planned()
            self.assertFalse(stuck, "what was added waits on a stage that is billed")
            billed = sum(milestones.mapped("amount_untaxed"))
            missing = milestones.schedule_id.amount_difference
            self.assertEqual(billed - missing, 1100.0, "it is billed, or shown as missing")

    def test_two_credit_notes_of_one_invoice(self):
        lines = self.create_order(complete=1)
        answers = self.run_together(self.credit(lines[0]), self.credit(lines[0]))
        billed = self.look(lines[:1], lambda line: line.amount_billed)
        self.assertEqual(billed, 0.0, answers)

    def test_retainage_is_released_once(self):
        lines = self.create_order(retainage=10.0, complete=4)
        answers = self.run_together(self.release(lines[0]), self.release(lines[0]))
        refusals = [answer for answer, _again in answers if isinstance(answer, UserError)]
        self.assertEqual(len(refusals), 1)
        self.assertIn("No retainage is held", str(refusals[0]))
        self.assertEqual(self.look(lines, lambda line: line.schedule_id.amount_retained), 0.0)

    def test_retainage_is_released_or_credited(self):
        """A drafted release touches none of the documents that a credit note does: the lock alone parts them."""
        lines = self.create_order(retainage=10.0, complete=1, retainage_tax="release", retainage_base="net")
        self.write_company(milestone_invoice_posting="draft")
        try:
            answers = self.run_together(self.release(lines[0]), self.credit(lines[0]))
        finally:
            self.write_company(milestone_invoice_posting="always")
        self.assertEqual(sum(bool(again) for _answer, again in answers), 1, "the loser had to look again")
        # The release finds nothing, or the credit note withdraws its draft.
        documents = self.look(
            lines[:1],
            lambda line: [
                (move.milestone_document, move.amount_retained)
                for move in line.schedule_id.line_ids.invoice_ids.sorted("id")
            ],
        )
        self.assertEqual(documents, [("stage", 25.0), ("credit", -25.0)], answers)

    def write_company(self, **values):
        with self.registry.cursor() as cr:
            self.env_of(cr)["res.company"].browse(self.company_id).write(values)

    def test_two_crons_bill_each_due_milestone_once(self):
        orders = [self.create_order(trigger="date") for _index in range(4)]

        def cron(env):
            env["milestone.billing.line"]._cron_complete_due(chunk=2)

        self.run_together(cron, cron)
        self.run_together(cron)
        for lines in orders:
            self.assertEqual(self.look(lines, lambda line: [len(one.invoice_ids) for one in line]), [1] * 4)

    def test_killed_worker_leaves_nothing_half_done_and_nothing_done_twice(self):
        orders = [self.create_order(trigger="date") for _index in range(2)]
        ids, chunks = [line_id for lines in orders for line_id in lines], []

        def kill_in_second_chunk(lines, moves):
            lines.env.flush_all()
            chunks.append(moves.ids)
            if len(chunks) == 2:
                with self.registry.cursor() as other:
                    pid = lines.env.cr.connection.info.backend_pid
                    other.execute("SELECT pg_terminate_backend(%s)", [pid])
            return original(lines, moves)

        original = LineInvoice._log_drafted
        with (
            patch.object(LineInvoice, "_log_drafted", kill_in_second_chunk),
            mute_logger("odoo.sql_db", LINE_API),
            self.assertRaises((psycopg2.OperationalError, psycopg2.InterfaceError)),
        ):
            self.run_cron(ids, chunk=3)
        self.assertEqual(len(chunks[0]), 3)
        self.assertEqual(len(self.look(ids, lambda lines: lines.invoice_ids)), 3)
        states = self.look(ids, lambda lines: lines.mapped("state"))
        self.assertEqual(sorted(states), ["approved"] * 3 + ["planned"] * 5)
        self.assertEqual(self.look(ids, self.count_completions), 3)
        self.run_cron(ids, chunk=3)
        self.assertEqual(self.look(ids, lambda lines: [len(line.invoice_ids) for line in lines]), [1] * 8)
        self.assertEqual(self.look(ids, self.count_completions), 8)

    def test_bad_record_is_left_out_and_shown(self):
        lines = self.create_order(trigger="date")
        original = LineInvoice._prepare_document_values

        def fail_for_third(line, *arguments):
            if line.id == lines[2]:
                raise ValueError("no such account")
            return original(line, *arguments)

        with (
            patch.object(LineInvoice, "_prepare_document_values", fail_for_third),
            mute_logger(LINE_API),
        ):
            self.run_cron(lines, chunk=4)
        counts = self.look(lines, lambda found: [len(line.invoice_ids) for line in found])
        self.assertEqual(counts, [1, 1, 0, 1])
        notes = self.look(lines, lambda found: [" ".join(line.message_ids.mapped("body")) for line in found])
        self.assertIn("could not be completed: no such account", notes[2])
        self.assertNotIn("could not be completed", notes[0] + notes[1] + notes[3])
        self.run_cron(lines, chunk=4)
        counts = self.look(lines, lambda found: [len(line.invoice_ids) for line in found])
        self.assertEqual(counts, [1] * 4)

    def run_cron(self, line_ids, chunk):
        """Complete due milestones as the job does, with its own commits."""
        with self.registry.cursor() as cr:
            Line = self.env_of(cr)["milestone.billing.line"]
            due = Line.browse(line_ids).filtered(lambda line: line.state == "planned")
            Line._complete_in_chunks(due, "date", chunk)

    @staticmethod
    def count_completions(lines):
        """Count the entries that say that a milestone was completed: as many as there are completions."""
        return len(lines.evidence_ids.filtered(lambda entry: entry.type == "milestone.completed"))

    def test_database_is_the_last_guard(self):
        lines = self.create_order()

        def complete(env):
            try:
                return self.complete(lines[0])(env)
            except psycopg2.errors.UniqueViolation:
                raise UserError("unique index") from None  # pylint: disable=translation-required

        with patch.object(MilestoneBillingSchedule, "_lock", lambda schedules: None):
            answers = self.run_together(complete, complete)
        self.assertEqual(self.look(lines[:1], lambda line: len(line.invoice_ids)), 1)
        self.assertEqual(len([1 for answer, _again in answers if isinstance(answer, list) and answer]), 1)
