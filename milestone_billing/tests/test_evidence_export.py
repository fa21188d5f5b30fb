import base64
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from datetime import date
from pathlib import Path
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import config, mute_logger
from pypdf import PdfReader, PdfWriter

from ..tools import dispute, verify
from .test_evidence import EvidenceCommon

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
REQUEST = "55555555-5555-4555-8555-555555555555"


def make_pdf(pages):
    """Return an empty file of some pages."""
    writer, result = PdfWriter(), io.BytesIO()
    for _page in range(pages):
        writer.add_blank_page(100, 100)
    writer.write(result)
    return result.getvalue()


class ExportCommon(EvidenceCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.photo = cls.env["ir.attachment"].create(
            {"name": "site.txt", "raw": b"finished", "res_model": cls.line._name, "res_id": cls.line.id}
        )
        # Long ago, so that it prolongs no retention period.
        past = patch.object(
            cls.env.registry["milestone.billing.evidence"],
            "_get_now",
            lambda model: "2010-01-01T00:00:00.000000Z",
        )
        with past:
            cls.line.proof_ids = cls.photo
        cls.client_ref = cls.contact.milestone_evidence_ref

    def setUp(self):
        super().setUp()
        # Printing is tested in one place; elsewhere a file is enough, and much faster.
        printing = patch.object(
            self.env.registry["milestone.billing.evidence.certificate"],
            "_render",
            lambda *args, **kw: make_pdf(pages=1),
        )
        timeline = patch.object(
            self.env.registry["milestone.billing.line"], "_render_timeline", lambda line: make_pdf(pages=2)
        )
        self.startPatcher(printing)
        self.startPatcher(timeline)

    def approve(self, line=None, **pii):
        """Put the events of an approval on a line's chain, as the portal writes them."""
        line = line or self.line
        import hashlib

        snapshot = {
            "v": 1,
            "kind": "milestone_snapshot",
            "nonce": "00112233445566778899aabbccddeeff",
            "request_id": REQUEST,
            "revision": 1,
            "milestone": {
                "title": line.name,
                "description_text": "All done",
                "completed_at": "2026-03-15T10:00:00.000000Z",
            },
            "client": {"name": "Client Ltd"},
            "amount_total": "2500.00",
            "currency": "USD",
            "approvers": [
                {"actor_ref": self.client_ref, "role": "client", "limit": "5000.00", "currency": "USD"}
            ],
            "quorum": 1,
            "consent": {"id": "std", "version": 1, "text": "I approve."},
            "notice": {"text": "We record your name."},
            "files": [
                {
                    "file_uuid": "f1",
                    "name": "site.txt",
                    "sha256": hashlib.sha256(b"finished").hexdigest(),
                    "size": 8,
                }
            ],
        }
        sha256 = self.env["milestone.billing.evidence.snapshot"]._freeze([(line, snapshot)])[0]
        subject = {"request_id": REQUEST, "revision": 1, "snapshot_sha256": sha256}
        who = {"actor_kind": "link_holder", "actor_ref": self.client_ref, "subject": subject}
        data = {"revision": 1, "snapshot_sha256": sha256, "expires_at": "2099-01-01T00:00:00.000000Z"}
        line._log_evidence("request.created", data=data, subject=subject, pii={"actor_name": "Staff Member"})
        line._log_evidence(
            "request.sent", actor_kind="system", subject=subject, pii={"to": "zoe@client.example"}
        )
        values = {
            "actor_name": "Zoë Client",
            "typed_name": "Zoë",
            "ip": "203.0.113.7",
            "device_id": "d1",
            **pii,
        }
        line._log_evidence(
            "approval.granted",
            **who,
            auth={"level": "L1", "method": ["link"]},
            pii=values,
            data={"amount_total": "2500.00"},
        )
        line._log_evidence("request.approved", actor_kind="system", subject=subject)
        return sha256

    def export(self, line=None, **options):
        """Export and open a bundle."""
        result = (line or self.line).export_evidence(**options)
        self.assertTrue(result["filename"].endswith(".zip"))
        return zipfile.ZipFile(io.BytesIO(base64.b64decode(result["content"])))

    def check(self, bundle, **options):
        """Run the verifier on a bundle."""
        return verify.BundleVerifier(bundle, **options).run()


@tagged("post_install", "-at_install")
class TestEvidenceExport(ExportCommon):
    def test_bundle_is_checked_by_the_script_inside_it(self):
        self.approve()
        result = self.line.export_evidence()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, result["filename"])
            path.write_bytes(base64.b64decode(result["content"]))
            with zipfile.ZipFile(path) as bundle:
                bundle.extract("verify/verify.py", folder)
            command = [sys.executable, "-I", f"{folder}/verify/verify.py", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertRegex(done.stdout, r"OK +state +recomputed from the events: state approved")
        self.assertRegex(done.stdout, r"OK +proof +site.txt")
        self.assertRegex(done.stdout, r"OK +certificate")

    def test_same_evidence_gives_the_same_bytes(self):
        self.approve()
        first = self.line.export_evidence()
        self.other_line._log_evidence("test.case")
        self.env["milestone.billing.evidence.leaf"]._sequence(self._get_log())
        self.assertTrue(self.line.export_evidence() == first, "two exports of the same evidence differ")

    def _get_log(self):
        log_id = self.line.evidence_ids[-1].log_id
        return self.env["milestone.billing.evidence.log"].search([("log_id", "=", log_id)])

    def test_all_files_of_the_layout_are_there(self):
        sha256 = self.approve()
        names = set(self.export().namelist())
        wanted = {
            "README.txt",
            "manifest.json",
            "certificate.pdf",
            f"snapshot/{sha256}.json",
            "chain/entries.jsonl",
            "chain/values.jsonl",
            "chain/hashes.txt",
            "log/inclusion.json",
            "log/consistency.json",
            "proof/f1_site.txt",
            "verify/verify.py",
        }
        self.assertLessEqual(wanted, names)
        self.assertEqual(len([name for name in names if name.startswith(("consent/", "notice/"))]), 2)

    def test_every_entry_is_proved_in_the_company_log(self):
        self.approve()
        items = self.check(self.export())
        count = len(self.line.evidence_ids)
        self.assertIn(("log", verify.OK, f"{count} of {count} entries proved in the company log"), items)

    def test_checkpoint_is_signed_when_the_server_has_a_key(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(range(32)).hex().encode())
            file.flush()
            with patch.dict(config.options, {"milestone_billing_evidence_key": file.name}):
                self.approve()
                items = self.check(self.export())
        self.assertIn(("signature", verify.OK), {(item.item, item.verdict) for item in items})

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_evidence_checkpoint")
    def test_unusable_key_file_leaves_checkpoints_unsigned(self):
        with patch.dict(config.options, {"milestone_billing_evidence_key": "/nonexistent"}):
            self.approve()
            items = self.check(self.export())
        self.assertIn(("signature", verify.NOT_PROVIDED), {(item.item, item.verdict) for item in items})

    def test_anchored_checkpoint_comes_with_its_consistency_proof(self):
        self.approve()
        self.export()
        self.other_line._log_evidence("test.case")
        log = self._get_log()
        self.env["milestone.billing.evidence.leaf"]._sequence(log)
        checkpoint = self.env["milestone.billing.evidence.checkpoint"]._make(log)
        mail = f"Subject: anchor\nContent-Type: text/plain\n\n{checkpoint.digest}\n"
        self.env["milestone.billing.evidence.anchor"]._record(checkpoint, "email", "<1@x>", mail)
        items = self.check(self.export())
        self.assertEqual(verify.exit_status(items), 0, items)
        found = {(item.item, item.verdict, item.message.partition(" ")[0]) for item in items}
        self.assertIn(("log", verify.OK, "from"), found)
        self.assertIn("anchor", {item.item for item in items if item.verdict == verify.OK})
        company_chain = self.Evidence.search([("chain_id", "=", log.log_id)])
        self.assertEqual(company_chain.mapped("type"), ["anchor.recorded"])
        self.assertTrue(self.Evidence._verify_chain(log.log_id)["ok"])

    def test_signatures_of_keys_are_never_passed_over(self):
        self.approve()
        items = self.check(self.export())
        self.assertIn(("keys", verify.NOT_PROVIDED, "no wallet signature is enclosed"), items)
        self.line._log_evidence("test.case", pii={"wallet_json": '{"signature":"0x00"}'})
        content = base64.b64decode(self.line.export_evidence()["content"])
        items = self.check(zipfile.ZipFile(io.BytesIO(content)))
        found = [item for item in items if item.item == "keys" and "wallet.json" in item.message]
        self.assertEqual([item.verdict for item in found], [verify.OK])
        self.assertIn("wallet", {item.item for item in items}, "the signature has a verdict of its own")
        forged = zipfile.ZipFile(
            io.BytesIO(content.replace(b'"assertions":[{"entry":', b'"assertions":[{"entrx":'))
        )
        self.assertIn("keys", {item.item for item in self.check(forged) if item.verdict == verify.FAIL})

    def test_empty_chain_exports(self):
        line = self.env["milestone.billing.line"].create(
            {"order_id": self.order.id, "name": "New", "percent": 0}
        )
        self.assertFalse(line.evidence_ids)
        items = self.check(self.export(line))
        self.assertIn("there are no entries", [item.message for item in items])


@tagged("post_install", "-at_install")
class TestEvidenceReaders(ExportCommon):
    def _values(self, bundle):
        lines = bundle.read("chain/values.jsonl").splitlines()
        return {(item["name"], item["value"]) for item in map(json.loads, lines)}

    def test_client_copy_has_his_data_and_not_that_of_staff_or_others(self):
        self.approve()
        other = self.client_company.milestone_evidence_ref
        self.line._log_evidence(
            "link.opened",
            actor_kind="link_holder",
            actor_ref=other,
            pii={"ip": "198.51.100.9", "actor_name": "Max"},
        )
        _name, content = self.line._export_evidence("client", self.client_ref)
        bundle = zipfile.ZipFile(io.BytesIO(content))
        values = self._values(bundle)
        self.assertIn(("ip", "203.0.113.7"), values)
        self.assertIn(("actor_name", "Max"), values)
        self.assertNotIn(("ip", "198.51.100.9"), values)
        self.assertNotIn(("actor_name", "Staff Member"), values)
        items = self.check(bundle)
        self.assertEqual(verify.exit_status(items), 0, items)
        self.assertIn(("pii", verify.NOT_PROVIDED), {(item.item, item.verdict) for item in items})

    def test_team_gets_names_and_no_addresses(self):
        self.approve()
        bundle = self.export(self.line.with_user(self.billing_user))
        values = {name for name, _value in self._values(bundle)}
        self.assertIn("typed_name", values)
        self.assertFalse(values & {"ip", "device_id", "to"})
        self.assertNotIn("dispute/stripe_evidence.json", bundle.namelist())

    def test_wider_copies_need_the_right_and_a_reason_and_are_recorded(self):
        self.approve()
        with self.assertRaises(AccessError):
            self.line.with_user(self.billing_user).export_evidence(variant="full", reason="case 1")
        for reason in (None, "", "  "):
            with self.assertRaises(UserError):
                self.line.export_evidence(variant="dispute", reason=reason)
        with self.assertRaises(UserError):
            self.line.export_evidence(variant="everything")
        bundle = self.export(variant="full", reason="case 1")
        last = self.line.evidence_ids[-1]
        self.assertEqual((last.type, last._get_body()["data"]["variant"]), ("dispute.exported", "full"))
        self.assertIn("dispute/visa_ce3.json", bundle.namelist())
        self.assertEqual(verify.exit_status(self.check(bundle)), 0)
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_export_checks_who_may_read_the_milestone(self):
        from odoo.tests import new_test_user

        nobody = new_test_user(self.env, "nobody_export", "base.group_user")
        for call in ("export_evidence", "verify_evidence"):
            with self.assertRaises(AccessError):
                getattr(self.line.with_user(nobody), call)()

    def test_wizard_makes_the_copy_with_the_users_own_rights(self):
        self.approve()
        Wizard = self.env["milestone.billing.evidence.export"]
        wizard = Wizard.create({"line_id": self.line.id, "variant": "dispute", "reason": "dp_1"})
        self.assertEqual(wizard.action_export()["res_id"], wizard.id)
        self.assertTrue(zipfile.is_zipfile(io.BytesIO(base64.b64decode(wizard.content))))
        mine = Wizard.with_user(self.billing_user).create({"line_id": self.line.id})
        self.assertRaises(AccessError, mine.copy({"variant": "full", "reason": "x"}).action_export)
        mine.action_export()
        self.assertTrue(mine.filename.endswith(".zip"))

    def test_button_tells_the_result(self):
        self.approve()
        self.assertEqual(self.line.action_verify_evidence()["params"]["type"], "success")
        self.tamper(
            "UPDATE milestone_billing_evidence SET type = 'x.y' WHERE id = %s", self.line.evidence_ids[0].id
        )
        params = self.line.action_verify_evidence()["params"]
        self.assertEqual(params["type"], "danger")
        self.assertIn("entry 0", params["message"])

    def test_dispute_fields_come_from_the_evidence(self):
        self.approve(account_id="zoe")
        bundle = self.export(variant="dispute", reason="dp_1")
        stripe = json.loads(bundle.read("dispute/stripe_evidence.json"))["evidence"]
        self.assertEqual(stripe["customer_name"], "Zoë Client")
        self.assertEqual(stripe["customer_purchase_ip"], "203.0.113.7")
        self.assertEqual(stripe["customer_email_address"], "zoe@client.example")
        self.assertEqual(stripe["service_date"], "2026-03-15")
        self.assertIn("2500.00 USD", stripe["uncategorized_text"])
        self.assertIn("approval.granted", stripe["access_activity_log"])
        visa = json.loads(bundle.read("dispute/visa_ce3.json"))
        self.assertFalse(visa["qualifies"])

    def test_dispute_copy_keeps_to_the_pages_that_card_schemes_take(self):
        self.approve()
        many = patch.object(
            self.env.registry["milestone.billing.evidence.certificate"],
            "_render",
            lambda *args, reader="client", **kw: make_pdf(pages=30 if reader == "dispute" else 1),
        )
        with many:
            bundle = self.export(variant="dispute", reason="dp_1")
        stripe = json.loads(bundle.read("dispute/stripe_evidence.json"))
        named = {name: stripe["evidence"][name] for name in ("customer_signature", "uncategorized_file")}
        self.assertEqual(
            named,
            {"customer_signature": "dispute/certificate.pdf", "uncategorized_file": "dispute/timeline.pdf"},
        )
        pages = {
            name: len(PdfReader(io.BytesIO(bundle.read(f"dispute/{name}.pdf"))).pages)
            for name in ("certificate", "timeline")
        }
        self.assertEqual(pages, {"certificate": 8, "timeline": 2})
        self.assertEqual((stripe["limits"]["pages"], stripe["limits"]["is_within"]), (18, True))
        sizes = [len(bundle.read(f"dispute/{name}.pdf")) for name in ("certificate", "timeline")]
        self.assertEqual(stripe["limits"]["bytes"], 2 * sizes[0] + sizes[1])

    def test_short_copy_is_not_touched(self):
        self.approve()
        bundle = self.export(variant="dispute", reason="dp_1")
        self.assertEqual(bundle.read("dispute/certificate.pdf"), make_pdf(pages=1))

    def test_earlier_milestones_of_the_client_are_found_for_visa(self):
        self.approve(account_id="zoe")
        for line in (self.other_line, self.last_line):
            line._write_internal({"invoice_status": "paid"})
            self.approve(line, account_id="zoe")
            line._log_evidence("payment.confirmed", actor_kind="system", data={"amount": "2500.00"})
        purchases = self.line._get_prior_purchases()
        self.assertEqual(
            {item.reference for item in purchases}, {self.other_line.reference, self.last_line.reference}
        )
        story = self.env["milestone.billing.evidence.certificate"]._get_story(self.line)
        old = [item._replace(paid_on=date(2026, 1, 1)) for item in purchases]
        visa = dispute.visa_ce3(self.line._prepare_purchase(story), old, date(2026, 7, 1))
        self.assertTrue(visa["qualifies"])
