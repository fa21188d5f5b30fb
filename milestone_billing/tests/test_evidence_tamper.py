"""Every column of every table of evidence, every row and every file beside it: changed, gone, doubled, exchanged."""

import secrets
import tempfile
import time
from unittest.mock import patch

from odoo.fields import Datetime
from odoo.tests import tagged
from odoo.tools import config, mute_logger

from ..models.milestone_billing_approval_decision import Visitor
from .common_approval import ApprovalCommon
from .test_evidence_keeping import CHECK_LOGGER, KeepingCommon

# Numbers of rows in this database, which nothing refers to; and the name of the database, by which a copy is told
# from its original: changing it makes a copy, whose evidence goes on in a log of its own.
FREE_COLUMNS = {
    "milestone_billing_evidence": {"id"},
    "milestone_billing_evidence_value": {"id"},
    "milestone_billing_evidence_snapshot": {"id"},
    "milestone_billing_evidence_leaf": {"id"},
    "milestone_billing_evidence_checkpoint": {"id"},
    "milestone_billing_evidence_anchor": {"id"},
    "milestone_billing_evidence_head": {"id"},
    "milestone_billing_evidence_log": {"id", "database_uuid"},
    "milestone_billing_evidence_certificate": {"create_uid", "create_date", "write_uid", "write_date"},
}


class TamperCommon(KeepingCommon, ApprovalCommon):
    """A milestone with something in every table: approved, certified, partly erased, in a signed and anchored log."""

    def setUp(self):
        super().setUp()
        key = tempfile.NamedTemporaryFile()  # noqa: SIM115 - it lives as long as the test
        self.addCleanup(key.close)
        key.write(bytes(range(32)).hex().encode())
        key.flush()
        self.startPatcher(patch.dict(config.options, {"milestone_billing_evidence_key": key.name}))
        self.approval = self.create_submitted(proof=[("site.txt", b"finished")])
        self.line = self.approval.line_id
        self.approval.link_ids._send()
        self.decide(self.approval)
        value = self.Value.search([("chain_id", "=", self.line.evidence_uuid), ("name", "=", "client_tz")])
        found = {self.line.evidence_uuid: {"values": value.ids, "snapshots": []}}
        self.Erasure._erase(found, basis="retention")
        self.certificate = self.line._get_certificate()
        self.log = self.env["milestone.billing.evidence.log"].search(
            [("log_id", "=", self.line.evidence_ids[-1].log_id)]
        )
        for _turn in range(2):
            self.env["milestone.billing.evidence.leaf"]._sequence(self.log)
            checkpoint = self.env["milestone.billing.evidence.checkpoint"]._make(self.log)
            self.env["milestone.billing.evidence.anchor"]._record(
                checkpoint, "email", f"<{checkpoint.size}@x>", checkpoint.digest
            )
        self.env["milestone.billing.evidence.leaf"]._sequence(self.log)
        self.env["milestone.billing.evidence.check"].sudo().search([]).date_end = Datetime.now()
        self.env.flush_all()

    def decide(self, approval, kind="approve", **form):
        """Take the decision of the first approver, as the page would."""
        seat = approval.seat_ids[:1]
        visitor = Visitor(
            seat=seat,
            pii={"actor_name": seat.partner_id.name, "ip": "203.0.113.7", "client_tz": "Europe/Paris"},
            link_uuid=seat.link_ids[:1].uuid,
            presented_at=time.time(),
        )
        values = {
            "snapshot_sha256": approval.snapshot_sha256,
            "consent_sha256": approval._get_consent_sha256(),
            "accept": "1",
            "typed_name": "Zoe Client",
            "idempotency_key": secrets.token_urlsafe(24),
            **form,
        }
        outcome = approval._decide(kind, visitor, values)
        self.assertEqual(outcome.code, "recorded")

    def find(self):
        """Give what the button and the nightly run say, one sentence a line."""
        found = [item["message"] for item in self.line.verify_evidence()["problems"]]
        Check = self.env["milestone.billing.evidence.check"].sudo()
        Check._cron_verify()
        return "\n".join([*found, Check.search([], limit=1).note or ""]).strip()

    def assert_found(self, query, *parameters, text=""):
        """Check that a change by SQL is found, that what is said names it, and that it is good again without it."""
        with self.env.cr.savepoint() as savepoint:
            self.tamper(query, *parameters)
            found = self.find()
            self.assertTrue(found, f"not found: {query}")
            self.assertIn(text, found, query)
            savepoint.rollback()
        self.env.invalidate_all()

    def get_rows(self, table):
        """Give (id, what has to be named) of the rows that the sample has in a table."""
        short = table.removeprefix("milestone_billing_evidence").removeprefix("_")
        name, owner = {
            "": ("'entry ' || seq", "chain_id"),
            "value": ("'entry ' || seq", "chain_id"),
            "snapshot": ("left(sha256, 12)", "chain_id"),
            "head": ("'end of the chain'", "chain_id"),
            "certificate": ("number", "chain_id"),
            "leaf": ("'entry ' || seq", "chain_id"),
            "checkpoint": ("'checkpoint'", "log_id"),
            "anchor": ("reference", "log_id"),
            "log": ("'log'", "log_id"),
        }[short]
        wanted = self.line.evidence_uuid if owner == "chain_id" else self.log.log_id
        self.execute(f"SELECT id, {name} FROM {table} WHERE {owner} = %s ORDER BY id", wanted)
        return self.env.cr.fetchall()

    def get_columns(self, table):
        """Give the columns of a table that count as evidence, with their types."""
        self.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s ORDER BY 1",
            table,
        )
        free = FREE_COLUMNS.get(table, set())
        return [(name, kind) for name, kind in self.env.cr.fetchall() if name not in free]


@tagged("post_install", "-at_install")
class TestEvidenceTamper(TamperCommon):
    @mute_logger(CHECK_LOGGER)
    def test_the_sample_is_good_and_fills_every_table(self):
        self.assertEqual(self.find(), "")
        for table in FREE_COLUMNS:
            self.assertTrue(self.get_rows(table), table)

    @mute_logger(CHECK_LOGGER)
    def test_every_changed_column_is_found(self):
        other_company = self.env["res.company"].create({"name": "Other"})
        for table in FREE_COLUMNS:
            columns = self.get_columns(table)
            self.assertGreater(len(columns), 2)
            for row_id, _name in self.pick(self.get_rows(table)):
                for column, kind in columns:
                    is_text = kind in ("text", "character varying")
                    change = (
                        f"COALESCE({column}, '') || 'x'" if is_text else f"COALESCE({column}, 0) + 100000"
                    )
                    if column == "company_id":
                        change = str(other_company.id)
                    with self.subTest(table=table, column=column, row=row_id):
                        self.assert_found(f"UPDATE {table} SET {column} = {change} WHERE id = %s", row_id)

    def pick(self, rows):
        """Give the first, the middle and the last of rows."""
        return [rows[place] for place in sorted({0, len(rows) // 2, len(rows) - 1})]

    @mute_logger(CHECK_LOGGER)
    def test_every_deleted_row_is_found_and_named(self):
        for table in FREE_COLUMNS:
            for row_id, name in self.get_rows(table):
                with self.subTest(table=table, row=name):
                    # A place in the log is named by its place.
                    text = "place" if table.endswith("_leaf") else name
                    self.assert_found(f"DELETE FROM {table} WHERE id = %s", row_id, text=text)

    @mute_logger(CHECK_LOGGER)
    def test_every_table_cut_short_or_emptied_is_found(self):
        for table in FREE_COLUMNS:
            ids = [row_id for row_id, _name in self.get_rows(table)]
            for cut in ids[len(ids) // 2 :], ids:
                with self.subTest(table=table, count=len(cut)):
                    self.assert_found(f"DELETE FROM {table} WHERE id = ANY(%s)", cut)

    @mute_logger(CHECK_LOGGER)
    def test_every_inserted_row_is_found(self):
        changes = {
            "milestone_billing_evidence": {"seq": "seq + 1000", "entry_hash": "repeat('0', 64)"},
            "milestone_billing_evidence_value": {"name": "'xff_raw'"},
            "milestone_billing_evidence_snapshot": {"sha256": "repeat('0', 64)"},
            "milestone_billing_evidence_head": {"chain_id": "'x'"},
            "milestone_billing_evidence_certificate": {"number": "number || '0'"},
            "milestone_billing_evidence_leaf": {"index": "index + 1000", "entry_hash": "repeat('0', 64)"},
            "milestone_billing_evidence_checkpoint": {"size": "size - 1"},
            "milestone_billing_evidence_anchor": {"reference": "'<2@x>'"},
        }
        for table, change in changes.items():
            (row_id, _name) = self.get_rows(table)[0]
            columns = [name for name, _kind in self.get_columns(table) if name != "id"]
            values = ", ".join(change.get(name, name) for name in columns)
            with self.subTest(table=table):
                self.assert_found(
                    f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} WHERE id = %s",
                    row_id,
                )

    @mute_logger(CHECK_LOGGER)
    def test_rows_that_exchange_a_column_are_found(self):
        parts = ("", "_value", "_leaf", "_checkpoint", "_anchor")
        for table in [f"milestone_billing_evidence{part}" for part in parts]:
            rows = self.get_rows(table)
            one, two = rows[0][0], rows[-1][0]
            for column, kind in self.get_columns(table):
                self.execute(f"SELECT count(DISTINCT {column}) FROM {table} WHERE id IN %s", (one, two))
                if self.env.cr.fetchone()[0] < 2 or column == "id":
                    continue
                if (table, column) == ("milestone_billing_evidence_checkpoint", "occurred_at"):
                    continue  # seconds apart, which clocks of two hosts can be
                aside = "'aside'" if kind in ("text", "character varying") else "-100000"
                with self.subTest(table=table, column=column):
                    self.assert_found(
                        f"""
                        CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT id, {column} FROM {table} WHERE id IN %s;
                        UPDATE {table} SET {column} = {aside} WHERE id = %s;
                        UPDATE {table} SET {column} = (SELECT {column} FROM kept WHERE id = %s) WHERE id = %s;
                        UPDATE {table} SET {column} = (SELECT {column} FROM kept WHERE id = %s) WHERE id = %s;
                        DROP TABLE kept
                        """,
                        (one, two),
                        one,
                        one,
                        two,
                        two,
                        one,
                    )

    @mute_logger(CHECK_LOGGER)
    def test_every_field_of_every_body_is_found_and_named(self):
        import json

        for entry in self.line.evidence_ids:
            body = entry._get_body()
            for name in body:
                changed = json.dumps(
                    {**body, name: "x"}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
                )
                with self.subTest(seq=entry.seq, name=name), self.env.cr.savepoint() as savepoint:
                    self.tamper(
                        "UPDATE milestone_billing_evidence SET body = %s WHERE id = %s", changed, entry.id
                    )
                    result = self.line.verify_evidence()
                    self.assertFalse(result["ok"])
                    self.assertEqual(result["problems"][0]["seq"], entry.seq, result["problems"])
                    savepoint.rollback()
                self.env.invalidate_all()

    # === BESIDE THE TABLES ===

    @mute_logger(CHECK_LOGGER)
    def test_a_changed_file_or_mail_is_found(self):
        photo, link = self.approval.attachment_ids, self.approval.link_ids[:1]
        cases = (
            (
                "UPDATE ir_attachment SET store_fname = NULL, db_datas = 'Finished' WHERE id = %s",
                photo.id,
                "shown",
            ),
            ("UPDATE ir_attachment SET file_size = 3 WHERE id = %s", photo.id, "site.txt"),
            ("DELETE FROM ir_attachment WHERE id = %s", photo.id, "site.txt"),
            (
                "UPDATE milestone_billing_approval_link SET mail_copy = 'x' WHERE id = %s",
                link.id,
                "mail is not",
            ),
            (
                "UPDATE milestone_billing_approval_link SET mail_copy = NULL WHERE id = %s",
                link.id,
                "mail is gone",
            ),
        )
        for query, row_id, text in cases:
            with self.subTest(query=query):
                self.assert_found(query, row_id, text=text)

    @mute_logger(CHECK_LOGGER)
    def test_a_changed_certificate_file_is_found(self):
        domain = [("res_model", "=", self.certificate._name), ("res_id", "=", self.certificate.id)]
        file = self.env["ir.attachment"].sudo().search([*domain, ("res_field", "=", "pdf")])
        self.assert_found(
            "UPDATE ir_attachment SET store_fname = NULL, db_datas = 'forged' WHERE id = %s",
            file.id,
            text=self.certificate.number,
        )
