import uuid
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError
from odoo.fields import Datetime
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

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
