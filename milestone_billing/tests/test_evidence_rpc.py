from datetime import timedelta

from odoo import Command, fields
from odoo.tests import HttpCase, new_test_user, tagged
from odoo.tools import mute_logger

from .test_evidence import EvidenceCommon

MODELS = ("", ".value", ".snapshot", ".leaf", ".checkpoint", ".anchor", ".head", ".log")


@tagged("post_install", "-at_install")
class TestEvidenceRpc(EvidenceCommon, HttpCase):
    """What a caller over JSON-2 can do to evidence: read and check it, nothing else."""

    def setUp(self):
        super().setUp()
        self.entry = self.log_some(count=1, pii={"ip": "203.0.113.7"})
        Snapshot = self.env["milestone.billing.evidence.snapshot"]
        (sha256,) = Snapshot._freeze([(self.line, {"nonce": "00", "v": 1})])
        self.line._log_evidence("request.created", data={"revision": 1, "snapshot_sha256": sha256})
        log = self.env["milestone.billing.evidence.log"].search([("log_id", "=", self.entry.log_id)])
        self.env["milestone.billing.evidence.leaf"]._sequence(log)
        checkpoint = self.env["milestone.billing.evidence.checkpoint"]._make(log)
        self.env["milestone.billing.evidence.anchor"]._record(checkpoint, "email", "<1@x>")
        self.keys = {
            "manager": self._make_key("milestone_billing.milestone_billing_group_billing_manager"),
            "admin": self._make_key(
                "base.group_system,milestone_billing.milestone_billing_group_billing_manager"
            ),
            "nobody": self._make_key("base.group_user"),
        }

    def _make_key(self, groups):
        user = new_test_user(self.env, f"rpc_{groups.split('.')[-1]}_{len(groups)}", groups)
        user.write({"company_ids": [Command.link(self.company.id)], "company_id": self.company.id})
        keys = self.env["res.users.apikeys"].with_user(user).sudo()
        return keys._generate(None, "test", fields.Datetime.now() + timedelta(days=1))

    def call(self, who, model, method, **values):
        """Call a method over JSON-2 as one of the users."""
        return self.url_open(
            f"/json/2/{model}/{method}", json=values, headers={"Authorization": f"bearer {self.keys[who]}"}
        )

    @mute_logger("odoo.http", "odoo.addons.rpc.controllers.json2")
    def test_nobody_creates_changes_or_deletes(self):
        before = self.entry.read()[0]
        forged = {"milestone_evidence_append": True}
        for who in self.keys:
            for part in MODELS:
                model = f"milestone.billing.evidence{part}"
                ids = self.env[model].sudo().search([], limit=1).ids
                self.assertTrue(ids)
                calls = (
                    ("create", {"vals_list": [{"chain_id": "x"}], "context": forged}),
                    ("write", {"ids": ids, "vals": {"chain_id": "x"}, "context": forged}),
                    ("unlink", {"ids": ids, "context": forged}),
                    ("copy", {"ids": ids, "context": forged}),
                    ("load", {"fields": ["chain_id"], "data": [["x"]], "context": forged}),
                )
                for method, values in calls:
                    response = self.call(who, model, method, **values)
                    with self.subTest(who=who, model=model, method=method):
                        refused = response.status_code == 403 or (
                            method == "load" and not response.json().get("ids")
                        )
                        self.assertTrue(refused, (response.status_code, response.text[:200]))
        self.env.invalidate_all()
        self.assertEqual(self.entry.read()[0], before)
        self.assertTrue(self.line.verify_evidence()["ok"])

    @mute_logger("odoo.http", "odoo.addons.rpc.controllers.json2")
    def test_inner_methods_cannot_be_called(self):
        calls = (
            ("milestone.billing.evidence", "_append"),
            ("milestone.billing.evidence.value", "_erase_rows"),
            ("milestone.billing.evidence.value", "_get_disclosable"),
            ("milestone.billing.evidence.snapshot", "_freeze"),
            ("milestone.billing.evidence.erasure", "_cron_erase"),
            ("milestone.billing.line", "_log_evidence"),
            ("milestone.billing.line", "_export_evidence"),
        )
        for model, method in calls:
            with self.subTest(method=method):
                self.assertIn(self.call("admin", model, method).status_code, (403, 404))

    @mute_logger("odoo.http", "odoo.addons.rpc.controllers.json2")
    def test_verify_and_export_over_json(self):
        result = self.call("manager", "milestone.billing.line", "verify_evidence", ids=self.line.ids).json()
        self.assertEqual((result["ok"], result["first_bad_seq"]), (True, None))
        self.assertEqual(result["entries"], len(self.line.evidence_ids))
        result = self.call("manager", "milestone.billing.line", "export_evidence", ids=self.line.ids).json()
        self.assertEqual(sorted(result), ["content", "filename"])
        for method in ("verify_evidence", "export_evidence"):
            response = self.call("nobody", "milestone.billing.line", method, ids=self.line.ids)
            self.assertEqual(response.status_code, 403)

    @mute_logger("odoo.http", "odoo.addons.rpc.controllers.json2")
    def test_public_fields_are_read_and_salts_are_not(self):
        names = ["chain_id", "seq", "type", "body", "entry_hash", "occurred_at"]
        response = self.call(
            "manager", "milestone.billing.evidence", "read", ids=self.entry.ids, fields=names
        )
        self.assertEqual(response.json()[0]["entry_hash"], self.entry.entry_hash)
        response = self.call(
            "admin", "milestone.billing.evidence.value", "search_read", domain=[], fields=["salt"]
        )
        self.assertEqual(response.status_code, 403)
