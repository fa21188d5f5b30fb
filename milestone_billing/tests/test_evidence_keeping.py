import uuid
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError
from odoo.fields import Datetime
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger
from psycopg2.errors import CheckViolation

from ..hooks import EXPORTED_PARAMETER, uninstall_hook
from ..tools import verify
from .test_evidence_export import ExportCommon

CHECK_LOGGER = "odoo.addons.milestone_billing.models.milestone_billing_evidence_check"


class KeepingCommon(ExportCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Erasure = cls.env["milestone.billing.evidence.erasure"].sudo()
        cls.Value = cls.env["milestone.billing.evidence.value"]

    def setUp(self):
        super().setUp()
        self.startPatcher(
            patch.object(self.env.registry["ir.cron"], "_commit_progress", self._count_progress)
        )

    @staticmethod
    def _count_progress(cron, processed=0, *, remaining=None, deactivate=False):
        """Stand for the commits of a cron, which a test cannot make."""
        return 60.0

    def at(self, days_ago):
        """Let the evidence's clock stand some days ago."""
        moment = Datetime.subtract(Datetime.now(), days=days_ago).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return patch.object(self.env.registry["milestone.billing.evidence"], "_get_now", lambda model: moment)

    def get_names(self, line=None):
        """Give the names of values that are not erased."""
        domain = [("chain_id", "=", (line or self.line).evidence_uuid), ("erased_at", "=", False)]
        return set(self.Value.search(domain).mapped("name"))


@tagged("post_install", "-at_install")
class TestEvidenceErasure(KeepingCommon):
    def test_each_class_goes_after_its_own_period(self):
        with self.at(days_ago=200):
            self.approve(xff_raw="203.0.113.7, 10.0.0.1")
        self.Erasure._cron_erase()
        self.assertEqual(self.get_names(), {"actor_name", "to", "typed_name", "ip", "device_id"})
        with self.at(days_ago=700):
            self.approve(self.other_line)
        self.Erasure._cron_erase()
        self.assertEqual(self.get_names(self.other_line), {"actor_name", "to", "typed_name"})

    def test_names_go_when_nothing_happened_on_the_order_for_their_period(self):
        with self.at(days_ago=1200):
            self.approve()
        with self.at(days_ago=1000):
            self.other_line._log_evidence("milestone.completed")
        self.Erasure._cron_erase()
        self.assertIn("actor_name", self.get_names())
        self.company.milestone_retention_identity_days = 900
        self.Erasure._cron_erase()
        self.assertFalse(self.get_names())

    def test_payment_prolongs_what_a_dispute_needs(self):
        with self.at(days_ago=700):
            self.approve()
        with self.at(days_ago=100):
            self.line._log_evidence("payment.confirmed", actor_kind="system")
        self.Erasure._cron_erase()
        self.assertIn("ip", self.get_names())

    def test_address_of_a_refused_attempt_goes_first(self):
        with self.at(days_ago=200):
            self.line._log_evidence(
                "approval.refused",
                pii={"ip": "203.0.113.9", "actor_name": "Zoe"},
                data={"reason_code": "expired"},
            )
        self.Erasure._cron_erase()
        self.assertEqual(self.get_names(), {"actor_name"})

    def test_one_entry_records_the_erasure_and_all_stays_verifiable(self):
        with self.at(days_ago=1200):
            self.approve()
        self.Erasure._cron_erase()
        self.Erasure._cron_erase()
        erased = self.line.evidence_ids.filtered(lambda entry: entry.type == "pii.erased")
        self.assertEqual(len(erased), 1)
        data = erased._get_body()["data"]
        self.assertEqual(data["basis"], "retention")
        self.assertEqual(
            {name for item in data["erased"] for name in item["names"]} & {"ip", "to"}, {"ip", "to"}
        )
        result = self.line.verify_evidence()
        self.assertEqual((result["ok"], result["state"]), (True, "approved"), result["problems"])
        items = self.check(self.export())
        self.assertEqual(verify.exit_status(items), 0, items)
        self.assertIn(("pii", verify.ERASED), {(item.item, item.verdict) for item in items})

    def test_value_and_salt_are_gone_from_the_database(self):
        with self.at(days_ago=1200):
            self.approve()
        self.Erasure._cron_erase()
        self.execute(
            "SELECT count(*) FROM milestone_billing_evidence_value WHERE chain_id = %s"
            " AND (salt IS NOT NULL OR value IS NOT NULL OR erased_at IS NULL)",
            self.line.evidence_uuid,
        )
        self.assertEqual(self.env.cr.fetchone()[0], 0)

    def test_submission_goes_as_a_whole_with_its_files(self):
        with self.at(days_ago=4000):
            sha256 = self.approve()
        self.Erasure._cron_erase()
        self.assertIsNone(self.env["milestone.billing.evidence.snapshot"]._get_content(sha256))
        self.assertFalse(self.photo.exists())
        self.assertTrue(self.line.verify_evidence()["ok"], self.line.verify_evidence()["problems"])
        items = self.check(self.export())
        self.assertEqual(verify.exit_status(items), 0, items)
        self.assertIn(("snapshot", verify.ERASED), {(item.item, item.verdict) for item in items})

    def test_certificate_is_issued_anew_without_what_was_erased(self):
        with self.at(days_ago=700):
            self.approve()
            first = self.line._get_certificate()
        self.Erasure._cron_erase()
        self.assertFalse(first.exists())
        self.assertEqual(self.line._get_certificate().number, f"{self.line.reference}-C2")
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_legal_hold_stops_every_erasure(self):
        with self.at(days_ago=4000):
            sha256 = self.approve()
            self.line.action_set_legal_hold("dp_1")
        self.assertTrue(self.line.is_legal_hold)
        self.Erasure._cron_erase()
        self.assertEqual(self.Erasure._erase_person(self.contact, "T-1"), 0)
        self.assertIn("ip", self.get_names())
        self.line.action_set_legal_hold("dp_1")
        with self.at(days_ago=3900):
            self.line.action_release_legal_hold("dp_1")
        types = self.line.evidence_ids.mapped("type")
        self.assertEqual((types.count("legal_hold.set"), types.count("legal_hold.released")), (1, 1))
        self.Erasure._cron_erase()
        self.assertFalse(self.get_names())
        self.assertIsNone(self.env["milestone.billing.evidence.snapshot"]._get_content(sha256))

    def test_person_is_erased_on_request_and_others_stay(self):
        self.approve()
        self.line._log_evidence(
            "link.opened",
            actor_kind="link_holder",
            actor_ref=self.client_company.milestone_evidence_ref,
            pii={"actor_name": "Max"},
        )
        self.assertEqual(self.contact.action_erase_milestone_evidence("T-1"), {"chains": 1})
        self.assertEqual(self.contact.action_erase_milestone_evidence("T-1"), {"chains": 0})
        values = self.Value.search([("chain_id", "=", self.line.evidence_uuid), ("erased_at", "=", False)])
        self.assertEqual(set(values.mapped("value")), {"Staff Member", "zoe@client.example", "Max"})
        last = self.line.evidence_ids[-1]._get_body()["data"]
        self.assertEqual((last["basis"], last["ticket"]), ("request", "T-1"))
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_erasure_stays_within_the_companies_of_who_erases(self):
        self.approve()
        other = self.env["res.company"].create({"name": "Other Co"})
        manager = new_test_user(
            self.env,
            "other_manager",
            "milestone_billing.milestone_billing_group_billing_manager,base.group_partner_manager",
            company_ids=[(6, 0, other.ids)],
            company_id=other.id,
        )
        contact = self.contact.with_user(manager)
        self.assertEqual(contact.action_erase_milestone_evidence("T-1"), {"chains": 0})
        self.assertIn("typed_name", self.get_names())

    def test_only_managers_erase_and_hold(self):
        user = self.billing_user
        for call in (
            lambda: self.contact.with_user(user).action_erase_milestone_evidence("T-1"),
            lambda: self.line.with_user(user).action_set_legal_hold("T-1"),
            lambda: self.line.with_user(user).action_release_legal_hold(),
        ):
            self.assertRaises(AccessError, call)
        with self.assertRaises(UserError):
            self.contact.action_erase_milestone_evidence(" ")

    @mute_logger("odoo.sql_db")
    def test_periods_below_the_dispute_window_are_refused(self):
        for name, days in (("identity", 599), ("network", 599), ("technical", 29), ("financial", 364)):
            with self.subTest(name=name), self.assertRaises(CheckViolation), self.env.cr.savepoint():
                self.company[f"milestone_retention_{name}_days"] = days
                self.env.flush_all()

    def test_work_is_cut_into_chunks(self):
        with self.at(days_ago=1200):
            for line in self.order.milestone_line_ids:
                self.approve(line)
        with patch("odoo.addons.milestone_billing.models.milestone_billing_evidence_erasure.CHAIN_CHUNK", 1):
            self.assertEqual(len(self.Erasure._find_due(self.company)), 1)
            self.Erasure._cron_erase()
        for line in self.order.milestone_line_ids:
            self.assertFalse(self.get_names(line))


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


@tagged("post_install", "-at_install")
class TestEvidenceLog(KeepingCommon):
    def _mail_once(self):
        self.env["milestone.billing.evidence.anchor"].sudo()._cron_mail_checkpoints()
        return self.env["milestone.billing.evidence.anchor"].search([("kind", "=", "email")])

    def test_checkpoint_is_mailed_once_to_the_company_mailbox(self):
        self.company.milestone_anchor_email = "evidence@elsewhere.example"
        log_id = self.log_some(count=3)[0].log_id
        log = self.env["milestone.billing.evidence.log"].search([("log_id", "=", log_id)])
        self.env["milestone.billing.evidence.leaf"]._sequence(log)
        checkpoint = self.env["milestone.billing.evidence.checkpoint"]._make(log)
        self.assertEqual(self.env["milestone.billing.evidence.checkpoint"]._make(log), checkpoint)
        anchor = self._mail_once()
        self.assertEqual(self._mail_once(), anchor)
        mail = self.env["mail.mail"].search([("message_id", "=", anchor.reference)])
        self.assertEqual((mail.email_to, mail.state), ("evidence@elsewhere.example", "outgoing"))
        self.assertIn(checkpoint.digest, mail.body_html)
        self.assertIn(checkpoint.digest, anchor.payload)
        self.assertNotIn("elsewhere.example", anchor.payload)
        items = self.check(self.export())
        self.assertIn("anchor", {item.item for item in items if item.verdict == verify.OK})

    def test_leaves_stand_in_the_order_of_entries_and_only_once(self):
        entries = self.log_some(count=5)
        log = self.env["milestone.billing.evidence.log"].search([("log_id", "=", entries[0].log_id)])
        Leaf = self.env["milestone.billing.evidence.leaf"]
        with patch("odoo.addons.milestone_billing.models.milestone_billing_evidence_leaf.CHUNK_SIZE", 2):
            while Leaf._sequence(log):
                pass
        self.assertEqual(Leaf._sequence(log), 0)
        leaves = Leaf.search([("log_id", "=", log.log_id)])
        self.assertEqual(leaves.mapped("index"), list(range(len(leaves))))
        self.assertEqual(leaves.mapped("entry_hash")[-5:], entries.mapped("entry_hash"))
        self.assertEqual(log.size, len(leaves))


@tagged("post_install", "-at_install")
class TestEvidenceCopy(KeepingCommon):
    """A restored copy of the database: Odoo gives it another identity, and evidence goes on."""

    def setUp(self):
        super().setUp()
        self.approve()
        self.old_log = self.put_in_log()
        self.Checkpoint = self.env["milestone.billing.evidence.checkpoint"]
        self.old_checkpoint = self.Checkpoint._make(self.old_log)
        self.old_count = len(self.line.evidence_ids)
        self.env["ir.config_parameter"].set_param("database.uuid", str(uuid.uuid4()))

    def put_in_log(self):
        """Give the log of the newest entry, with that entry in it."""
        log_id = self.line.evidence_ids[-1].log_id
        log = self.env["milestone.billing.evidence.log"].search([("log_id", "=", log_id)])
        self.env["milestone.billing.evidence.leaf"]._sequence(log)
        return log

    def test_chain_goes_on_in_a_new_log(self):
        head = self.line.evidence_ids[-1]
        entry = self.log_some(count=1)
        body = entry._get_body()
        self.assertEqual((body["prev"], entry.seq), (head.entry_hash, head.seq + 1))
        log = self.put_in_log()
        self.assertNotEqual((log.log_id, log.origin), (self.old_log.log_id, self.old_log.origin))
        self.assertEqual(log.company_ref, self.old_log.company_ref)
        self.assertEqual(log.size, 1)
        checkpoint = self.Checkpoint._make(log)
        self.assertTrue(checkpoint.note.startswith(f"{log.origin}\n1\n"))
        self.assertEqual(self.old_log.size, self.old_checkpoint.size, "the old log stays as it was")
        result = self.line.verify_evidence()
        self.assertEqual((result["ok"], result["state"]), (True, "approved"), result["problems"])

    def test_bundle_and_nightly_check_of_the_copy_are_good(self):
        self.log_some(count=2)
        self.log_some(self.other_line, count=1)
        items = self.check(self.export())
        self.assertEqual(verify.exit_status(items), 1, items)
        warned = [(item.item, item.message) for item in items if item.verdict == verify.WARN]
        self.assertEqual(warned, [("log", f"{self.old_count} entries have no proof")], "the old log has them")
        count = len(self.line.evidence_ids)
        proved = count - self.old_count
        self.assertIn(("log", verify.OK, f"{proved} of {count} entries proved in the company log"), items)
        self.put_in_log()
        Check = self.env["milestone.billing.evidence.check"].sudo()
        Check.search([]).date_end = Datetime.now()
        Check._cron_verify()
        check = Check.search([], limit=1)
        self.assertEqual((check.problem_count, check.note), (0, False))

    def test_copy_publishes_nothing_in_the_name_of_the_original(self):
        self.env["ir.config_parameter"].set_param("database.uuid", self.old_log.database_uuid)
        self.log_some(count=1)
        self.env["ir.config_parameter"].set_param("database.uuid", str(uuid.uuid4()))
        entry = self.log_some(self.other_line, count=1)
        with patch.object(self.env.cr, "commit", self.env.flush_all):
            self.env["milestone.billing.evidence.leaf"]._sequence_committed(is_published=True)
        self.assertGreater(self.old_log.size, self.old_checkpoint.size, "what waited has its place")
        published = self.Checkpoint.search([("id", ">", self.old_checkpoint.id)])
        self.assertEqual(published.mapped("log_id"), [entry.log_id])

    @mute_logger(CHECK_LOGGER)
    def test_edited_copy_is_found(self):
        self.log_some(count=1)
        entry = self.line.evidence_ids[0]
        self.tamper("UPDATE milestone_billing_evidence SET type = 'x.y' WHERE id = %s", entry.id)
        self.assertEqual(self.line.verify_evidence()["first_bad_seq"], entry.seq)


@tagged("post_install", "-at_install")
class TestEvidenceUninstall(KeepingCommon):
    def test_uninstalling_is_refused_while_evidence_is_within_its_period(self):
        self.log_some()
        with self.assertRaises(UserError):
            uninstall_hook(self.env)
        self.env["ir.config_parameter"].set_param(EXPORTED_PARAMETER, "2026-11-01")
        uninstall_hook(self.env)

    def test_evidence_past_its_period_does_not_hinder(self):
        self.tamper("DELETE FROM milestone_billing_evidence")
        with self.at(days_ago=4000):
            self.log_some()
        uninstall_hook(self.env)

    def test_users_without_rights_see_no_checks(self):
        user = new_test_user(self.env, "evidence_nobody", "base.group_user")
        with self.assertRaises(AccessError):
            self.env["milestone.billing.evidence.check"].sudo().with_user(user).search([])
