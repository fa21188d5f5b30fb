from unittest.mock import patch

from odoo.fields import Datetime
from odoo.tests import tagged
from odoo.tools import mute_logger

from .test_evidence_keeping import CHECK_LOGGER, KeepingCommon


@tagged("post_install", "-at_install")
class TestEvidenceCheck(KeepingCommon):
    def setUp(self):
        super().setUp()
        self.entries = self.log_some(count=4)
        self.log_some(self.other_line, count=2)
        log_id = self.entries[0].log_id
        self.log = self.env["milestone.billing.evidence.log"].search([("log_id", "=", log_id)])
        self.env["milestone.billing.evidence.leaf"]._sequence(self.log)
        self.checkpoint = self.env["milestone.billing.evidence.checkpoint"]._make(self.log)
        self.env["milestone.billing.evidence.check"].sudo().search([]).date_end = Datetime.now()

    def run_check(self):
        """Run the nightly check and give its record."""
        self.env["milestone.billing.evidence.check"].sudo()._cron_verify()
        return self.env["milestone.billing.evidence.check"].sudo().search([], limit=1)

    def test_good_evidence_gives_no_alarm(self):
        check = self.run_check()
        self.assertEqual((check.problem_count, check.note), (0, False))
        self.assertTrue(check.date_end)
        self.assertGreaterEqual(check.chain_count, 2)
        self.assertGreaterEqual(check.entry_count, 6)

    @mute_logger(CHECK_LOGGER)
    def test_broken_chain_gives_an_entry_and_an_activity_once(self):
        self.tamper("UPDATE milestone_billing_evidence SET type = 'x.y' WHERE id = %s", self.entries[1].id)
        check = self.run_check()
        self.run_check()
        self.assertIn(self.line.reference, check.note)
        failed = self.line.evidence_ids.filtered(lambda entry: entry.type == "integrity.failed")
        self.assertEqual(len(failed), 1)
        self.assertEqual(failed._get_body()["data"], {"first_bad_seq": self.entries[1].seq, "kind": "column"})
        self.assertEqual(self.line.activity_ids.mapped("summary"), ["Evidence check failed"])
        self.assertFalse(self.other_line.activity_ids)

    @mute_logger(CHECK_LOGGER)
    def test_alarm_calls_a_manager_once_and_moves_to_the_newest_run(self):
        manager = self.env["milestone.billing.evidence.check"]._get_managers(self.company)[:1]
        self.assertTrue(manager)
        self.assertFalse(self.run_check().activity_ids, "nothing was found, nobody is called")
        self.tamper("UPDATE milestone_billing_evidence SET type = 'x.y' WHERE id = %s", self.entries[1].id)
        first = self.run_check()
        self.assertIn(manager, first.activity_ids.user_id)
        self.assertIn("found 1 problems", first.activity_ids[:1].note)
        called = first.activity_ids.user_id
        second = self.run_check()
        self.assertFalse(first.activity_ids)
        self.assertEqual(second.activity_ids.user_id, called)
        mine = second.activity_ids.filtered(lambda activity: activity.user_id == manager)
        mine.with_user(manager).action_feedback(feedback="Restored from the backup")
        (second.activity_ids - mine).action_feedback(feedback="Seen")
        self.assertFalse(self.run_check().activity_ids, "known, and taken note of")
        self.tamper("UPDATE milestone_billing_evidence SET type = 'x.z' WHERE id = %s", self.entries[2].id)
        self.tamper("DELETE FROM milestone_billing_evidence WHERE id = %s", self.entries[3].id)
        self.assertTrue(self.run_check().activity_ids, "something new")

    @mute_logger(CHECK_LOGGER)
    def test_a_broken_log_calls_a_manager_too(self):
        self.execute(
            "ALTER TABLE milestone_billing_evidence DISABLE TRIGGER milestone_billing_evidence_guard"
        )
        self.assertTrue(self.run_check().activity_ids)

    @mute_logger(CHECK_LOGGER)
    def test_several_findings_of_a_log_are_recorded_once_each(self):
        self.tamper("DELETE FROM milestone_billing_evidence_checkpoint WHERE log_id = %s", self.log.log_id)
        self.execute("UPDATE milestone_billing_evidence_log SET origin = 'x' WHERE id = %s", self.log.id)
        for _turn in range(3):
            self.run_check()
        failed = self.Evidence.search([("chain_id", "=", self.log.log_id), ("type", "=", "integrity.failed")])
        self.assertEqual(len(failed), 2)

    @mute_logger(CHECK_LOGGER)
    def test_chain_whose_head_was_deleted_is_checked_all_the_same(self):
        self.execute(
            "DELETE FROM milestone_billing_evidence_head WHERE chain_id = %s", self.line.evidence_uuid
        )
        self.assertIn(self.line.reference, self.run_check().note)

    @mute_logger(CHECK_LOGGER)
    def test_whole_chain_deleted_with_its_head_is_found_by_the_log(self):
        self.tamper("DELETE FROM milestone_billing_evidence WHERE chain_id = %s", self.line.evidence_uuid)
        self.execute(
            "DELETE FROM milestone_billing_evidence_head WHERE chain_id = %s", self.line.evidence_uuid
        )
        self.assertIn(self.line.evidence_uuid, self.run_check().note)

    @mute_logger(CHECK_LOGGER)
    def test_changed_shortened_or_thinned_log_is_found(self):
        last = f"(SELECT max(index) FROM milestone_billing_evidence_leaf WHERE log_id = '{self.log.log_id}')"
        cases = (
            (
                f"UPDATE milestone_billing_evidence_leaf SET entry_hash = repeat('0', 64) WHERE index = {last}",
                "root",
            ),
            (f"DELETE FROM milestone_billing_evidence_leaf WHERE index = {last}", "were recorded"),
            ("DELETE FROM milestone_billing_evidence_leaf WHERE index = 1", "place 1 of the log is missing"),
            (
                "UPDATE milestone_billing_evidence_checkpoint SET root = repeat('0', 64)",
                "root that the checkpoint",
            ),
        )
        for query, text in cases:
            with self.subTest(text=text), self.env.cr.savepoint() as savepoint:
                self.tamper(f"{query} {'AND' if 'WHERE' in query else 'WHERE'} log_id = %s", self.log.log_id)
                self.assertIn(text, self.run_check().note)
                savepoint.rollback()

    @mute_logger(CHECK_LOGGER)
    def test_entry_that_stays_out_of_the_log_is_found(self):
        with self.at(days_ago=1):
            self.log_some(count=1)
        self.assertIn("waiting for their place", self.run_check().note)

    @mute_logger(CHECK_LOGGER)
    def test_switched_off_trigger_is_found(self):
        self.execute(
            "ALTER TABLE milestone_billing_evidence DISABLE TRIGGER milestone_billing_evidence_guard"
        )
        self.assertIn("milestone_billing_evidence_guard", self.run_check().note)

    def test_run_goes_on_where_it_stopped(self):
        Check = self.env["milestone.billing.evidence.check"].sudo()
        stop = patch.object(self.env.registry["ir.cron"], "_commit_progress", lambda *args, **kw: 0.0)
        with patch("odoo.addons.milestone_billing.models.milestone_billing_evidence_check.CHAIN_CHUNK", 1):
            with stop:
                Check._cron_verify()
            check = Check.search([], limit=1)
            self.assertEqual((check.chain_count, check.date_end), (1, False))
            self.assertEqual(self.run_check(), check)
        self.assertTrue(check.date_end)
        self.assertEqual(check.problem_count, 0)
