import json
from unittest.mock import patch

from odoo.tests import tagged

from ..tools import verify
from .test_evidence import EvidenceCommon


@tagged("post_install", "-at_install")
class TestEvidenceTampering(EvidenceCommon):
    def setUp(self):
        super().setUp()
        self.entries = self.log_some(pii={"actor_name": "Zoë", "ip": "203.0.113.7"}, count=6)
        self.first = self.entries[0].seq
        log = self.env["milestone.billing.evidence.log"].search([("log_id", "=", self.entries[0].log_id)])
        self.env["milestone.billing.evidence.leaf"]._sequence(log)
        self.env.flush_all()

    def assert_found(self, seq, kind):
        result = self.line.verify_evidence()
        self.assertFalse(result["ok"])
        self.assertEqual(result["first_bad_seq"], seq, result["problems"])
        self.assertIn(kind, [problem["kind"] for problem in result["problems"]], result["problems"])

    def test_any_changed_column_is_found_and_named(self):
        entry = self.entries[2]
        changes = {
            "body": entry.body.replace('"turn":2', '"turn":3'),
            "entry_hash": "0" * 64,
            "type": "review.displayed",
            "occurred_at": "2020-01-01T00:00:00.000000Z",
            "log_id": "x",
        }
        kinds = {"body": "hash", "entry_hash": "hash"}
        for column, value in changes.items():
            with self.subTest(column=column), self.env.cr.savepoint() as savepoint:
                self.tamper(
                    f"UPDATE milestone_billing_evidence SET {column} = %s WHERE id = %s", value, entry.id
                )
                self.assert_found(entry.seq, kinds.get(column, "column"))
                savepoint.rollback()

    def test_any_changed_field_of_a_body_is_found_and_named(self):
        entry = self.entries[3]
        body = entry._get_body()
        for name in body:
            with self.subTest(name=name), self.env.cr.savepoint() as savepoint:
                changed = json.dumps(
                    {**body, name: "x"}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
                )
                self.tamper(
                    "UPDATE milestone_billing_evidence SET body = %s WHERE id = %s", changed, entry.id
                )
                self.assert_found(entry.seq, "hash")
                savepoint.rollback()

    def test_rewritten_entry_with_a_fitting_hash_is_found(self):
        entry = self.entries[2]
        body = verify.canonical({**entry._get_body(), "data": {"turn": 99}})
        self.tamper(
            "UPDATE milestone_billing_evidence SET body = %s, entry_hash = %s WHERE id = %s",
            body.decode(),
            verify.entry_hash(body),
            entry.id,
        )
        self.assert_found(entry.seq, "log")
        self.assertIn("prev", [problem["kind"] for problem in self.line.verify_evidence()["problems"]])

    def test_deleted_entry_is_found(self):
        self.tamper("DELETE FROM milestone_billing_evidence WHERE id = %s", self.entries[2].id)
        self.assert_found(self.first + 2, "seq")

    def test_swapped_entries_are_found(self):
        one, two = self.entries[1:3]
        self.tamper("UPDATE milestone_billing_evidence SET seq = -1 WHERE id = %s", one.id)
        self.tamper("UPDATE milestone_billing_evidence SET seq = %s WHERE id = %s", self.first + 1, two.id)
        self.tamper("UPDATE milestone_billing_evidence SET seq = %s WHERE id = %s", self.first + 2, one.id)
        self.assert_found(self.first + 1, "column")

    def test_inserted_entry_is_found(self):
        self.execute(
            "INSERT INTO milestone_billing_evidence (chain_id, seq, type, occurred_at, entry_hash, body, log_id)"
            " SELECT chain_id, seq + 100, type, occurred_at, repeat('0', 64), body, log_id"
            " FROM milestone_billing_evidence WHERE id = %s",
            self.entries[0].id,
        )
        self.assert_found(self.first + 6, "head")

    def test_truncated_chain_is_found_even_when_the_head_follows(self):
        last = self.entries[-1]
        before = self.entries[-2]
        self.tamper("DELETE FROM milestone_billing_evidence WHERE id = %s", last.id)
        self.assert_found(self.first + 5, "truncated")
        self.tamper(
            "UPDATE milestone_billing_evidence_head SET seq = %s, hash = %s WHERE chain_id = %s",
            self.first + 4,
            before.entry_hash,
            self.line.evidence_uuid,
        )
        self.assert_found(self.first + 5, "log")

    def test_changed_or_deleted_value_is_found(self):
        value = self.env["milestone.billing.evidence.value"].search(
            [("entry_id", "=", self.entries[1].id)], limit=1
        )
        with self.env.cr.savepoint() as savepoint:
            self.tamper("UPDATE milestone_billing_evidence_value SET value = 'Eve' WHERE id = %s", value.id)
            self.assert_found(self.first + 1, "pii")
            savepoint.rollback()
        self.tamper("DELETE FROM milestone_billing_evidence_value WHERE id = %s", value.id)
        self.assert_found(self.first + 1, "pii")

    def test_erasure_off_the_record_is_found(self):
        value = self.env["milestone.billing.evidence.value"].search(
            [("entry_id", "=", self.entries[1].id)], limit=1
        )
        value._erase_rows(value.ids)
        self.assert_found(self.first + 1, "pii")

    def test_other_chains_stay_good(self):
        self.tamper("DELETE FROM milestone_billing_evidence WHERE id = %s", self.entries[2].id)
        self.log_some(self.other_line)
        self.assertTrue(self.other_line.verify_evidence()["ok"])

    def test_chain_longer_than_a_page_is_checked_whole(self):
        with patch("odoo.addons.milestone_billing.models.milestone_billing_evidence_verify.PAGE_SIZE", 2):
            self.assertTrue(self.line.verify_evidence()["ok"])
            self.tamper(
                "UPDATE milestone_billing_evidence SET type = 'x.y' WHERE id = %s", self.entries[-1].id
            )
            self.assert_found(self.first + 5, "column")
