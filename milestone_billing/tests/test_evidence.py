import json

import psycopg2
from odoo import SUPERUSER_ID
from odoo.exceptions import AccessError
from odoo.tests import tagged
from odoo.tools import mute_logger

from ..models.milestone_billing_evidence_protected import APPEND
from ..tools import verify
from .common import MilestoneBillingCommon

TABLES = (
    "milestone_billing_evidence",
    "milestone_billing_evidence_value",
    "milestone_billing_evidence_snapshot",
    "milestone_billing_evidence_leaf",
    "milestone_billing_evidence_checkpoint",
    "milestone_billing_evidence_anchor",
)


class EvidenceCommon(MilestoneBillingCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Evidence = cls.env["milestone.billing.evidence"]
        cls.order = cls.create_order(shares=(25, 25, 50))
        cls.line, cls.other_line, cls.last_line = cls.order.milestone_line_ids

    def execute(self, query, *parameters):
        """Run SQL as the attacker of a test would."""
        self.env.flush_all()
        self.env.cr.execute(query, parameters)

    def tamper(self, query, *parameters):
        """Run SQL with the triggers out of the way, as the owner of the tables can."""
        for table in TABLES:
            self.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        self.execute(query, *parameters)
        for table in TABLES:
            self.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_guard")
            self.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_guard_truncate")
        self.env.invalidate_all()

    def log_some(self, line=None, count=5, **values):
        """Append harmless events to a chain."""
        line = line or self.line
        return self.Evidence.concat(
            *(line._log_evidence("review.presented", data={"turn": turn}, **values) for turn in range(count))
        )


@tagged("post_install", "-at_install")
class TestEvidenceAppend(EvidenceCommon):
    def test_entries_chain_and_verify(self):
        entries = self.log_some(pii={"actor_name": "Zoë Client", "ip": "203.0.113.7"})
        self.assertEqual(self.line.evidence_ids[-5:], entries)
        seqs = self.line.evidence_ids.mapped("seq")
        self.assertEqual(seqs, list(range(len(seqs))))
        for before, after in zip(self.line.evidence_ids, self.line.evidence_ids[1:], strict=False):
            self.assertEqual(after._get_body()["prev"], before.entry_hash)
        result = self.line.verify_evidence()
        self.assertEqual((result["ok"], result["problems"]), (True, []))
        self.assertEqual((result["entries"], result["head"]), (len(seqs), entries[-1].entry_hash))
        self.assertIsNone(result["first_bad_seq"])

    def test_body_holds_no_personal_value_and_no_database_id(self):
        entry = self.line._log_evidence(
            "link.opened", pii={"actor_name": "Zoë Client", "actor_email": "z@c.example"}
        )
        body = entry._get_body()
        self.assertNotIn("Zoë", entry.body)
        self.assertNotIn("z@c.example", entry.body)
        self.assertEqual(body["chain_id"], self.line.evidence_uuid)
        self.assertEqual(body["actor_ref"], self.env.user.partner_id.milestone_evidence_ref)
        self.assertEqual(body["actor_kind"], "internal_user")
        values = self.env["milestone.billing.evidence.value"].search([("entry_id", "=", entry.id)])
        self.assertEqual(sorted(values.mapped("value")), ["Zoë Client", "z@c.example"])

    def test_entries_name_what_they_are_about(self):
        entry = self.line._log_evidence("link.opened")
        self.assertEqual(entry.owner_reference, self.line.reference)
        log = self.env["milestone.billing.evidence.log"].search([("log_id", "=", entry.log_id)])
        self.env["milestone.billing.evidence.leaf"]._sequence(log)
        checkpoint = self.env["milestone.billing.evidence.checkpoint"]._make(log)
        self.env["milestone.billing.evidence.anchor"]._record(checkpoint, "email", "<about@x>")
        last = self.env["milestone.billing.evidence"].search([("chain_id", "=", log.log_id)])[-1]
        self.assertEqual((last.type, last.owner_reference), ("anchor.recorded", "Company log"))

    def test_one_call_for_many_lines_takes_few_statements(self):
        lines = self.create_order(shares=[1] * 40).milestone_line_ids
        lines._log_evidence("milestone.completed", pii={"ip": "203.0.113.7"})
        self.env.flush_all()
        with self.assertQueryCount(3):
            entries = lines._log_evidence("milestone.completed", pii={"ip": "203.0.113.7"})
        self.assertEqual(entries.mapped("chain_id"), lines.mapped("evidence_uuid"))
        self.assertTrue(all(line.verify_evidence()["ok"] for line in lines))

    def test_several_events_of_one_chain_in_one_call_keep_their_order(self):
        event = {"chain_id": self.line.evidence_uuid, "company": self.company}
        types = [f"test.step_{letter}" for letter in "abc"]
        entries = self.Evidence._append([{**event, "type": event_type} for event_type in types])
        self.assertEqual(entries.mapped("type"), types)
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_data_may_be_a_function_of_the_line(self):
        lines = self.line + self.other_line
        entries = lines._log_evidence("test.case", data=lambda line: {"reference": line.reference})
        self.assertEqual(
            [entry._get_body()["data"]["reference"] for entry in entries], lines.mapped("reference")
        )

    def test_bad_event_writes_nothing(self):
        before = self.Evidence.search_count([])
        for values in ({"data": {"amount": 1.5}}, {"pii": {"shoe_size": "44"}}, {"pii": {"to": "a\x00"}}):
            with self.assertRaises(verify.EvidenceError):
                (self.other_line + self.line)._log_evidence("test.case", **values)
        self.assertEqual(self.Evidence.search_count([]), before)

    def test_lost_head_is_rebuilt_from_the_entries(self):
        self.log_some()
        self.execute(
            "DELETE FROM milestone_billing_evidence_head WHERE chain_id = %s", self.line.evidence_uuid
        )
        self.log_some()
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_copy_of_the_database_starts_a_log_of_its_own(self):
        first = self.log_some(count=1).log_id
        self.assertEqual(self.log_some(count=1).log_id, first)
        self.env["ir.config_parameter"].set_param("database.uuid", "another")
        second = self.log_some(count=1).log_id
        self.assertNotEqual(second, first)
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_companies_have_logs_of_their_own(self):
        company = self.env["res.company"].create({"name": "Second"})
        event = {"chain_id": "11111111-1111-4111-8111-111111111111", "company": company, "type": "test.case"}
        entry = self.Evidence._append([event])
        self.assertEqual(entry.company_ref, company.id)
        self.assertNotEqual(entry.log_id, self.log_some(count=1).log_id)

    def test_system_is_the_actor_without_a_user(self):
        line = self.line.with_user(SUPERUSER_ID)
        self.assertEqual(line._log_evidence("test.case")._get_body()["actor_kind"], "system")

    def test_completing_without_approval_says_that_none_was_asked(self):
        self.line.action_complete()
        self.assertIn("approval.not_required", self.line.evidence_ids.mapped("type"))
        result = self.line.verify_evidence()
        self.assertEqual((result["ok"], result["state"]), (True, "approved"), result)


@tagged("post_install", "-at_install")
class TestEvidenceGuards(EvidenceCommon):
    def setUp(self):
        super().setUp()
        Snapshot = self.env["milestone.billing.evidence.snapshot"]
        Snapshot._freeze([(self.line, {"nonce": "00", "v": 1, "title": "Stage"})])
        self.entries = self.log_some(pii={"ip": "203.0.113.7"})
        log = self.env["milestone.billing.evidence.log"].search([("log_id", "=", self.entries[0].log_id)])
        self.env["milestone.billing.evidence.leaf"]._sequence(log)
        checkpoint = self.env["milestone.billing.evidence.checkpoint"]._make(log)
        self.env["milestone.billing.evidence.anchor"]._record(checkpoint, "email", "<1@x>")

    @mute_logger("odoo.sql_db")
    def test_database_refuses_every_change(self):
        for table in TABLES:
            column = "log_id" if table.split("_")[-1] in ("leaf", "checkpoint", "anchor") else "chain_id"
            for query in (
                f"UPDATE {table} SET {column} = {column}",
                f"DELETE FROM {table}",
                f"TRUNCATE {table}",
                f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1 ON CONFLICT (id) DO UPDATE SET id = 1",
            ):
                refused = self.assertRaises(psycopg2.errors.InsufficientPrivilege)
                with self.subTest(query=query), refused, self.env.cr.savepoint():
                    self.execute(query)

    @mute_logger("odoo.sql_db")
    def test_replica_mode_of_a_superuser_does_not_switch_the_triggers_off(self):
        with self.assertRaises(psycopg2.errors.InsufficientPrivilege), self.env.cr.savepoint():
            self.execute("SET LOCAL session_replication_role = replica")
            self.execute("DELETE FROM milestone_billing_evidence")

    @mute_logger("odoo.sql_db")
    def test_erasing_is_the_only_change_of_a_value(self):
        table = "milestone_billing_evidence_value"
        refused = (
            "salt = NULL",
            "value = 'forged'",
            "salt = NULL, value = 'forged', erased_at = 'now'",
            "salt = NULL, value = NULL, erased_at = NULL",
            "salt = NULL, value = NULL, erased_at = 'now', name = 'to'",
        )
        for change in refused:
            is_refused = self.assertRaises(psycopg2.errors.InsufficientPrivilege)
            with self.subTest(change=change), is_refused, self.env.cr.savepoint():
                self.execute(f"UPDATE {table} SET {change}")
        self.execute(f"UPDATE {table} SET salt = NULL, value = NULL, erased_at = 'now'")
        with self.assertRaises(psycopg2.errors.InsufficientPrivilege), self.env.cr.savepoint():
            self.execute(f"UPDATE {table} SET erased_at = 'later'")

    def test_switched_off_trigger_is_reported(self):
        self.assertEqual(self.Evidence._get_missing_guards(), [])
        self.execute(
            "ALTER TABLE milestone_billing_evidence DISABLE TRIGGER milestone_billing_evidence_guard"
        )
        self.assertEqual(self.Evidence._get_missing_guards(), ["milestone_billing_evidence_guard"])
        self.Evidence.init()
        self.assertEqual(self.Evidence._get_missing_guards(), [])

    def test_nobody_creates_writes_or_deletes_through_the_orm(self):
        models = [name for name in self.env if name.startswith("milestone.billing.evidence.")]
        models = [
            name
            for name in models
            if name.split(".")[-1] in ["value", "snapshot", "leaf", "checkpoint", "anchor"]
        ]
        for name in ["milestone.billing.evidence", *models]:
            for env in (self.env, self.env(su=True), self.env(user=self.billing_user.id)):
                Model = env[name]
                record = Model.browse(self.env[name].sudo().search([], limit=1).id)
                self.assertTrue(record)
                with self.subTest(model=name, user=env.user.login):
                    self.assertRaises(AccessError, Model.create, {"log_id": "x"})
                    self.assertRaises(AccessError, record.write, {"log_id": "x"})
                    self.assertRaises(AccessError, record.unlink)
                    self.assertRaises(AccessError, record.copy)
                    forged = Model.with_context(milestone_evidence_append=True)
                    self.assertRaises(AccessError, forged.create, {"log_id": "x"})

    def test_sentinel_does_not_survive_json(self):
        self.assertRaises(TypeError, json.dumps, {"milestone_evidence_append": APPEND})

    def test_salts_are_read_by_nobody(self):
        value = self.env["milestone.billing.evidence.value"].search([], limit=1)
        with self.assertRaises(AccessError):
            value.read(["salt"])
        self.assertNotIn("salt", value.read()[0])

    def test_who_reads_what(self):
        auditor = self._new_user("auditor", "milestone_billing.milestone_billing_group_auditor")
        nobody = self._new_user("nobody", "base.group_user")
        entries, values = self.entries, self.env["milestone.billing.evidence.value"].search([])
        self.assertTrue(
            entries.with_user(auditor).read(["body"]) and values.with_user(auditor).read(["value"])
        )
        self.assertTrue(entries.with_user(self.billing_user).read(["body"]))
        for records, user in ((values, self.project_user), (values, self.billing_user), (entries, nobody)):
            with self.assertRaises(AccessError):
                records.with_user(user).read(["chain_id"])

    def test_project_users_read_of_the_milestones_that_they_see(self):
        project = self.env["project.project"].sudo().create({"name": "Site"})
        Evidence, chain = self.Evidence.with_user(self.project_user), self.line.evidence_uuid
        for value, is_visible in (
            (False, False),
            ({"privacy_visibility": "employees"}, True),
            ({"privacy_visibility": "followers"}, False),
        ):
            if value:
                project.write(value)
                self.line.project_id = project
            self.env.invalidate_all()
            with self.subTest(value=value):
                self.assertEqual(bool(Evidence.search_count([("chain_id", "=", chain)])), is_visible)
                self.assertEqual(self.entries.with_user(self.project_user).has_access("read"), is_visible)

    def test_other_companies_read_nothing(self):
        auditor = self._new_user("auditor", "milestone_billing.milestone_billing_group_auditor")
        company = self.env["res.company"].create({"name": "Second"})
        auditor.write({"company_ids": [(6, 0, company.ids)], "company_id": company.id})
        self.assertFalse(self.Evidence.with_user(auditor).search([("id", "in", self.entries.ids)]))

    def _new_user(self, login, group):
        from odoo.tests import new_test_user

        user = new_test_user(self.env, f"evidence_{login}", group)
        user.write({"company_ids": [(4, self.company.id)], "company_id": self.company.id})
        return user


@tagged("post_install", "-at_install")
class TestEvidenceAndHosts(EvidenceCommon):
    def test_user_and_contact_of_an_event_can_be_deleted(self):
        from odoo.tests import new_test_user

        user = new_test_user(self.env, "leaver", "milestone_billing.milestone_billing_group_billing_user")
        user.write({"company_ids": [(4, self.company.id)], "company_id": self.company.id})
        self.line.with_user(user).sudo()._log_evidence("test.case", pii={"actor_name": user.name})
        partner = user.partner_id
        user.unlink()
        partner.unlink()
        self.env.flush_all()
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_merging_contacts_changes_no_evidence(self):
        twin = self.env["res.partner"].create({"name": "Zoe Client", "email": "zoe2@client.example"})
        self.line._log_evidence(
            "link.opened", actor_kind="link_holder", actor_ref=twin.milestone_evidence_ref
        )
        before = self.line.evidence_ids.mapped("entry_hash")
        wizard = self.env["base.partner.merge.automatic.wizard"].create({})
        wizard._merge((twin + self.contact).ids, self.contact)
        self.assertFalse(twin.exists())
        self.assertEqual(self.line.evidence_ids.mapped("entry_hash"), before)
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_upgrade_keeps_evidence_and_triggers(self):
        self.log_some()
        for name in ("", ".value", ".snapshot", ".leaf", ".checkpoint", ".anchor"):
            model = self.env[f"milestone.billing.evidence{name}"]
            model._auto_init()
            model.init()
            self.assertEqual(model._get_missing_guards(), [])
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_evidence_has_no_foreign_keys_and_no_log_columns(self):
        tables = [*TABLES, "milestone_billing_evidence_head", "milestone_billing_evidence_log"]
        self.execute(
            "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND (conrelid = ANY(%s::regclass[])"
            " OR confrelid = ANY(%s::regclass[]))",
            tables,
            tables,
        )
        self.assertEqual(self.env.cr.fetchall(), [])
        self.execute(
            "SELECT table_name FROM information_schema.columns WHERE table_name = ANY(%s)"
            " AND column_name IN ('create_uid', 'write_uid', 'create_date', 'write_date')",
            tables,
        )
        self.assertEqual(self.env.cr.fetchall(), [])

    def test_contacts_have_references_of_their_own(self):
        partners = self.env["res.partner"].search([])
        refs = partners.mapped("milestone_evidence_ref")
        self.assertTrue(all(refs))
        self.assertEqual(len(set(refs)), len(refs))
        self.assertNotEqual(self.contact.copy().milestone_evidence_ref, self.contact.milestone_evidence_ref)
