"""Time stamps of the company log, from a real authority on this machine: good answers, and everything else."""

import base64
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, ValidationError
from odoo.tests import new_test_user, tagged
from odoo.tools import config, mute_logger

from .. import transport
from ..tools import timestamp, verify
from .local_authority import LocalAuthority, LocalAuthorityServer
from .test_evidence_keeping import KeepingCommon

NOTHING_THERE = "http://127.0.0.1:9/tsr"


class StampCommon(KeepingCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.authority = LocalAuthority()
        cls.addClassCleanup(cls.authority.close)
        cls.Stamp = cls.env["milestone.billing.evidence.stamp"].sudo()
        cls.Anchor = cls.env["milestone.billing.evidence.anchor"]

    def setUp(self):
        super().setUp()
        self.server = LocalAuthorityServer(self.authority)
        self.addCleanup(self.server.stop)
        self.company.milestone_stamp_url = self.server.url
        self.approve()
        # Now, so that an export adds no entry that no anchor covers.
        self.line._get_certificate()
        self.log = self.env["milestone.billing.evidence.log"].search(
            [("log_id", "=", self.line.evidence_ids[-1].log_id)]
        )
        self.grow()

    def grow(self):
        """Let the log take in what was recorded, and publish it."""
        self.env["milestone.billing.evidence.leaf"]._sequence(self.log)
        return self.env["milestone.billing.evidence.checkpoint"]._make(self.log)

    def run_cron(self):
        """Run the job, as if all that waits were due; give the newest request."""
        self.Stamp.search([("state", "=", "queued")]).next_attempt_on = fields.Datetime.now()
        self.Stamp._cron_stamp()
        return self.Stamp.search([("log_id", "=", self.log.log_id)], limit=1)

    def answer_with(self, change):
        """Let the authority err: `change` makes another answer of the good one."""
        self.server.answer = lambda query: (200, change(query), {})

    def reply_to(self, digest=None, nonce=None):
        """Give a good answer to another question than ours."""

        def reply(query):
            asked = timestamp.tsp.TimeStampReq.load(query)
            known = asked["message_imprint"]["hashed_message"].native.hex(), asked["nonce"].native
            return self.authority.reply(timestamp.build_request(digest or known[0], nonce or known[1]))

        return reply


@tagged("post_install", "-at_install")
class TestEvidenceStamp(StampCommon):
    def test_checkpoint_is_stamped_and_anchored(self):
        stamp = self.run_cron()
        self.assertEqual((stamp.state, stamp.last_error, stamp.attempt_count), ("done", False, 1))
        headers, query = self.server.received[0]
        self.assertEqual(headers["Content-Type"], "application/timestamp-query")
        self.assertEqual(verify.read_time_query(query)[0], stamp.digest)
        self.assertEqual(int.from_bytes(verify.read_time_query(query)[1]), int(stamp.nonce, 16))
        anchor = self.Anchor.search([("log_id", "=", self.log.log_id), ("kind", "=", "rfc3161")])
        self.assertEqual((anchor.digest, anchor.size), (stamp.digest, stamp.size))
        self.assertIn("Throw-away Authority, number", anchor.reference)
        self.assertEqual(anchor.reference, stamp.reference)
        read = timestamp.read_response(base64.b64decode(anchor.payload), stamp.digest, int(stamp.nonce, 16))
        self.assertLess(abs((read.time.replace(tzinfo=None) - fields.Datetime.now()).total_seconds()), 60)
        recorded = self.env["milestone.billing.evidence"].search(
            [("chain_id", "=", self.log.log_id), ("type", "=", "anchor.recorded")]
        )
        self.assertEqual(recorded[-1]._get_body()["data"]["kind"], "rfc3161")

    def test_nothing_is_asked_without_an_authority(self):
        self.company.milestone_stamp_url = False
        self.assertFalse(self.run_cron())
        self.assertFalse(self.server.received)

    def test_trace_of_a_stamp_alone_asks_for_no_other(self):
        self.run_cron()
        self.grow()
        self.run_cron()
        self.assertEqual(len(self.server.received), 1)
        self.line._log_evidence("link.opened")
        self.grow()
        self.assertEqual(self.run_cron().state, "done")
        self.assertEqual(len(self.server.received), 2)

    def test_copy_of_the_database_stamps_nothing_of_the_original(self):
        self.env["ir.config_parameter"].sudo().set_param("database.uuid", "a copy")
        self.assertFalse(self.run_cron())

    def test_wrong_answers_are_named_and_nothing_is_lost(self):
        cases = (
            ("something else", self.reply_to(digest="ab" * 32)),
            ("another question", self.reply_to(nonce=5)),
            ("is no time stamp", lambda query: b"<html>Welcome</html>"),
            ("is no time stamp", lambda query: self.authority.reply(query)[:-9]),
            ("refuses: rejection", lambda query: self.authority.reply(self.make_weak_request())),
            (
                "signature of the stamp is wrong",
                lambda query: self.break_signature(self.authority.reply(query)),
            ),
            ("larger than", lambda query: b"x" * 100_000),
        )
        for place, (text, change) in enumerate(cases, 1):
            with self.subTest(text=text):
                self.answer_with(change)
                stamp = self.run_cron()
                self.assertIn(text, stamp.last_error)
                self.assertEqual((stamp.state, stamp.attempt_count), ("queued", place))
                stamp.attempt_count = place
        self.assertFalse(self.Anchor.search([("kind", "=", "rfc3161")]))
        stamp.attempt_count = 1
        self.server.answer = self.server.answer_well
        self.assertEqual(self.run_cron().state, "done")

    @staticmethod
    def break_signature(answer):
        return answer[:-20] + bytes([answer[-20] ^ 1]) + answer[-19:]

    @staticmethod
    def make_weak_request():
        imprint = {"hash_algorithm": {"algorithm": "sha1"}, "hashed_message": bytes(20)}
        return timestamp.tsp.TimeStampReq({"version": "v1", "message_imprint": imprint, "nonce": 1}).dump()

    def test_server_that_errs_hangs_redirects_or_is_gone(self):
        self.server.answer = lambda query: (500, b"", {})
        self.assertIn("answered 500", self.run_cron().last_error)
        self.server.answer = lambda query: (302, b"", {"Location": self.server.url})
        self.assertIn("answered 302", self.run_cron().last_error)
        self.assertEqual(len(self.server.received), 2, "a redirect is not followed")
        self.server.pause, self.server.answer = 0.05, self.server.answer_well
        with patch.object(transport, "ANSWER_SECONDS_MAX", 0.3):
            self.assertIn("the answer takes too long", self.run_cron().last_error)
        self.server.pause = 0
        self.company.milestone_stamp_url = NOTHING_THERE
        self.assertIn("cannot be reached", self.run_cron().last_error)
        self.company.milestone_stamp_url = self.server.url
        self.server.answer = self.server.answer_well
        self.assertEqual(self.run_cron().state, "done")

    def test_inner_addresses_are_refused(self):
        for url in (
            "http://169.254.169.254/",
            "https://10.0.0.1/tsr",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
        ):
            with self.subTest(url=url):
                self.company.milestone_stamp_url = url
                self.assertIn("refused (private)", self.run_cron().last_error)
                self.Stamp.search([]).attempt_count = 0
        with patch.dict(config.options, {"test_enable": False}):
            self.company.milestone_stamp_url = self.server.url
            self.assertIn("refused (private)", self.run_cron().last_error)
        self.assertFalse(self.server.received)

    def test_addresses_that_are_none_are_refused_at_entry(self):
        for url in ("ftp://x/", "https://user:pw@stamps.example/", "not an address", "https://x.example/#f"):
            with self.subTest(url=url), self.assertRaises(ValidationError):
                self.company.milestone_stamp_url = url
        self.company.milestone_stamp_url = "http://stamps.example/tsr"

    def test_after_the_last_try_a_manager_is_called_and_can_ask_again(self):
        manager = new_test_user(
            self.env,
            "stamp_manager",
            groups="base.group_user,milestone_billing.milestone_billing_group_billing_manager",
            company_id=self.company.id,
            company_ids=[(6, 0, self.company.ids)],
        )
        self.company.milestone_stamp_url = NOTHING_THERE
        for _try in range(8):
            stamp = self.run_cron()
        self.assertEqual((stamp.state, stamp.next_attempt_on), ("failed", False))
        self.assertEqual(len(stamp.activity_ids), 1)
        self.assertEqual(self.run_cron(), stamp, "what was given up is not asked for by itself")
        user = new_test_user(self.env, "stamp_user", groups="base.group_user")
        with self.assertRaises(AccessError):
            stamp.with_user(user).action_ask_again()
        self.company.milestone_stamp_url = self.server.url
        stamp.with_user(manager).action_ask_again()
        self.assertEqual(self.run_cron().state, "done")
        self.assertFalse(stamp.activity_ids)

    def test_who_reads_requests_and_anchors(self):
        self.run_cron()
        other = self.env["res.company"].create({"name": "Other"})
        groups = "base.group_user,milestone_billing.milestone_billing_group_auditor"
        auditor = new_test_user(
            self.env,
            "stamp_auditor",
            groups=groups,
            company_id=self.company.id,
            company_ids=[(6, 0, self.company.ids)],
        )
        stranger = new_test_user(
            self.env, "stamp_stranger", groups=groups, company_id=other.id, company_ids=[(6, 0, other.ids)]
        )
        for model in ("stamp", "anchor", "checkpoint", "leaf"):
            records = self.env[f"milestone.billing.evidence.{model}"]
            domain = [("log_id", "=", self.log.log_id)]
            with self.subTest(model=model):
                self.assertTrue(records.with_user(auditor).search(domain))
                self.assertFalse(records.with_user(stranger).search(domain))
        with self.assertRaises(AccessError):
            self.Stamp.with_user(auditor).search([]).write({"state": "done"})
        with self.assertRaises(AccessError):
            self.Stamp.with_user(auditor).create({"company_id": self.company.id})

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_evidence_check")
    def test_changed_token_in_the_database_is_found(self):
        self.run_cron()
        self.tamper(
            "UPDATE milestone_billing_evidence_anchor SET payload = 'AAAA' WHERE log_id = %s AND kind = 'rfc3161'",
            self.log.log_id,
        )
        self.env["milestone.billing.evidence.check"].sudo()._cron_verify()
        note = self.env["milestone.billing.evidence.check"].sudo().search([], limit=1).note
        self.assertIn("payload_sha256", note)


@tagged("post_install", "-at_install")
class TestEvidenceStampBundle(StampCommon):
    def test_bundle_holds_stamp_question_and_certificates_and_they_verify(self):
        self.run_cron()
        bundle = self.export(variant="full", reason="D-1")
        names = [name for name in bundle.namelist() if name.startswith("anchors/rfc3161/")]
        self.assertEqual(sorted(Path(name).suffix for name in names), [".cer", ".cer", ".tsq", ".tsr"])
        items = self.check(bundle, authority=self.authority.root)
        self.assertEqual({item.verdict for item in items if item.item == "anchor"}, {verify.OK}, items)
        self.assertIn("by the given authority", str(items))
        self.assertNotIn(verify.FAIL, {item.verdict for item in items}, items)

    def test_script_of_the_bundle_checks_the_stamp(self):
        self.run_cron()
        content = base64.b64decode(self.line.export_evidence()["content"])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "evidence.zip")
            path.write_bytes(content)
            with zipfile.ZipFile(path) as bundle:
                bundle.extract("verify/verify.py", folder)
            command = [
                sys.executable,
                "-I",
                f"{folder}/verify/verify.py",
                str(path),
                "--tsa-ca",
                self.authority.root,
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(
            done.stdout, r"OK +anchor +anchors/rfc3161/\S+\.tsr: stamped at \d+Z by the given authority"
        )

    def test_mail_and_stamp_of_different_sizes_are_both_in_it(self):
        self.run_cron()
        self.other_line._log_evidence("link.opened")
        self.grow()
        self.company.milestone_anchor_email = "evidence@elsewhere.example"
        self.Anchor.sudo()._cron_mail_checkpoints()
        bundle = self.export()
        folders = {name.split("/")[1] for name in bundle.namelist() if name.startswith("anchors/")}
        self.assertEqual(folders, {"mail", "rfc3161"})
        self.assertNotIn(verify.FAIL, {item.verdict for item in self.check(bundle)}, self.check(bundle))

    def test_what_another_module_recorded_badly_is_bundled_and_fails(self):
        checkpoint = self.grow()
        self.Anchor._record(checkpoint, "rfc3161", "no stamp", base64.b64encode(b"nonsense").decode())
        items = self.check(self.export())
        self.assertIn(("anchor", verify.FAIL), {(item.item, item.verdict) for item in items})
