"""Checking chains where they are kept; the rules are those of `tools/verify.py` and `tools/evidence_tables.py`."""

import hashlib

from odoo import api, models
from odoo.tools import SQL

from ..tools.evidence_tables import TableVerifier
from ..tools.verify import (
    FAIL,
    ZERO_HASH,
    ChainVerifier,
    PiiVerifier,
    Problem,
    Replay,
    parse_strict,
    snapshot_hash,
)

PAGE_SIZE = 1000
PROBLEM_COUNT_MAX = 100
CURSOR = SQL("milestone_billing_evidence_cursor")
# What `tools/verify.py` compares with the body; the other columns are compared with other rows.
BODY_COLUMNS = ("chain_id", "seq", "type", "occurred_at", "log_id", "entry_hash")


class MilestoneBillingEvidence(models.Model):
    _inherit = "milestone.billing.evidence"

    @api.model
    def _verify_chain(self, chain_id):
        """Check one chain, read by a cursor of the database, so that memory does not grow with its length.

        :rtype: dict
        """
        self.env.flush_all()
        snapshots = self.env["milestone.billing.evidence.snapshot"]._fetch_rows(chain_id)
        parsed = self._parse_snapshots(snapshots)
        chain, pii, tables = ChainVerifier(Replay(parsed.get), chain_id), PiiVerifier(), TableVerifier()
        problems, company = [], None
        for row, values in self._iterate_chain(chain_id):
            company = company or row["log_company"]
            body, found = chain.feed(row["body"].encode(), {column: row[column] for column in BODY_COLUMNS})
            problems += found + tables.check_company(row)
            # An entry that stands in a foreign place is named once; its values belong to the place it came from.
            if body and body["seq"] == row["seq"]:
                problems += self._verify_entry(row, body, values, pii, tables)
        problems += [
            Problem(seq, "pii", f"entry {seq}: the value of {name} is gone, and no erasure is on record")
            for seq, name in pii.unexplained()
        ]
        problems += tables.check_erasures() + tables.check_snapshots(snapshots, company)
        problems += self._verify_documents(chain_id, tables, company)
        problems += self._verify_end(chain, company)
        return self._prepare_verdict(chain, problems)

    @api.model
    def _verify_entry(self, row, body, values, pii, tables):
        """Check the personal values of an entry whose body can be read, and note what it says about other rows."""
        seq = row["seq"]
        try:
            return self._verify_people(row, body, values, pii, tables)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            return [Problem(seq, "body", f"entry {seq}: the body cannot be read: {error}")]

    @api.model
    def _verify_people(self, row, body, values, pii, tables):
        tables.feed(body)
        kept = {
            name: (value["salt"], value["value"])
            for name, value in values.items()
            if value["erased_at"] is None
        }
        return pii.feed(body, kept) + tables.check_values(row, body, values)

    @api.model
    def _parse_snapshots(self, rows):
        return {
            row["sha256"]: parse_strict(row["body"].encode())
            for row in rows
            if row["body"] and snapshot_hash(row["body"].encode()) == row["sha256"]
        }

    @api.model
    def _prepare_verdict(self, chain, problems):
        failed = [problem for problem in problems if problem.verdict == FAIL]
        numbers = [problem.seq for problem in failed if problem.seq is not None]
        return {
            "ok": not failed,
            "entries": chain.count,
            "head": chain.head if chain.count else None,
            "first_bad_seq": min(numbers, default=None),
            "state": chain.replay.state(),
            "problems": [problem._asdict() for problem in problems[:PROBLEM_COUNT_MAX]],
        }

    # === READING ===

    @api.model
    def _iterate_chain(self, chain_id):
        """Yield each entry's columns with its personal values, in the order of the chain."""
        self.env.cr.execute(
            SQL(
                """
                DECLARE %s NO SCROLL CURSOR FOR
                SELECT entry.id, entry.chain_id, entry.seq, entry.type, entry.occurred_at, entry.log_id,
                       entry.entry_hash, entry.body, entry.company_ref, log.company_ref AS log_company
                  FROM milestone_billing_evidence AS entry
             LEFT JOIN milestone_billing_evidence_log AS log ON log.log_id = entry.log_id
                 WHERE entry.chain_id = %s ORDER BY entry.seq
                """,
                CURSOR,
                chain_id,
            )
        )
        try:
            while rows := self._fetch_page():
                values = self._fetch_values(chain_id, rows[0]["seq"], rows[-1]["seq"])
                for row in rows:
                    yield row, values.get(row["seq"], {})
        finally:
            self.env.cr.execute(SQL("CLOSE %s", CURSOR))

    @api.model
    def _fetch_page(self):
        self.env.cr.execute(SQL("FETCH FORWARD %s FROM %s", PAGE_SIZE, CURSOR))
        return self.env.cr.dictfetchall()

    @api.model
    def _fetch_values(self, chain_id, first, last):
        self.env.cr.execute(
            SQL(
                """
                SELECT seq, name, entry_id, company_ref, salt, value, erased_at
                  FROM milestone_billing_evidence_value
                 WHERE chain_id = %s AND seq BETWEEN %s AND %s
                """,
                chain_id,
                first,
                last,
            )
        )
        result = {}
        for row in self.env.cr.dictfetchall():
            result.setdefault(row["seq"], {})[row["name"]] = row
        return result

    # === THE END OF THE CHAIN, AND ITS ROWS ELSEWHERE ===

    @api.model
    def _verify_end(self, chain, company):
        """Find a truncated or exchanged end: by the head, and by the leaves, which are kept elsewhere."""
        problems = []
        self.env.cr.execute(
            SQL(
                "SELECT seq, hash, company_ref FROM milestone_billing_evidence_head WHERE chain_id = %s",
                chain.chain_id,
            )
        )
        head_seq, head_hash, head_company = self.env.cr.fetchone() or (-1, ZERO_HASH, company)
        missing, beyond = head_seq + 1 > chain.next_seq, head_seq + 1 < chain.next_seq
        if missing:
            message = f"entry {chain.next_seq} to {head_seq} is missing"
            problems.append(Problem(chain.next_seq, "truncated", message))
        elif beyond or head_hash != chain.head:
            seq = head_seq + 1 if beyond else max(head_seq, 0)
            problems.append(Problem(seq, "head", "the recorded end of the chain is not its last entry"))
        if company and head_company != company:
            problems.append(Problem(None, "head", "the recorded end of the chain names another company"))
        return problems + self._verify_leaves(chain) + self._verify_loose_values(chain)

    @api.model
    def _verify_leaves(self, chain):
        """Compare the places in the company log: those that name this chain, and those that hold its hashes."""
        self.env.cr.execute(
            SQL(
                """
                SELECT leaf.seq, entry.id IS NOT NULL
                  FROM milestone_billing_evidence_leaf AS leaf
             LEFT JOIN milestone_billing_evidence AS entry
                    ON entry.chain_id = leaf.chain_id AND entry.seq = leaf.seq
                 WHERE leaf.chain_id = %(chain)s AND entry.entry_hash IS DISTINCT FROM leaf.entry_hash
             UNION ALL
                SELECT entry.seq, TRUE
                  FROM milestone_billing_evidence AS entry
                  JOIN milestone_billing_evidence_leaf AS leaf ON leaf.entry_hash = entry.entry_hash
                 WHERE entry.chain_id = %(chain)s
                   AND (leaf.chain_id, leaf.seq, leaf.log_id) <> (entry.chain_id, entry.seq, entry.log_id)
              ORDER BY 1 LIMIT %(limit)s
                """,
                chain=chain.chain_id,
                limit=PROBLEM_COUNT_MAX,
            )
        )
        return [
            Problem(
                seq,
                "log",
                f"entry {seq} {'differs from the company log' if found else 'is in the log, but gone'}",
            )
            for seq, found in self.env.cr.fetchall()
        ]

    @api.model
    def _verify_loose_values(self, chain):
        """Find personal values of entries that are not there."""
        self.env.cr.execute(
            SQL(
                """
                SELECT value.seq, value.name FROM milestone_billing_evidence_value AS value
                 WHERE value.chain_id = %s AND NOT EXISTS (
                       SELECT 1 FROM milestone_billing_evidence AS entry
                        WHERE entry.chain_id = value.chain_id AND entry.seq = value.seq)
              ORDER BY value.seq, value.name LIMIT %s
                """,
                chain.chain_id,
                PROBLEM_COUNT_MAX,
            )
        )
        return [
            Problem(seq, "pii", f"entry {seq}: {name} is kept for an entry that is not there")
            for seq, name in self.env.cr.fetchall()
        ]

    @api.model
    def _verify_documents(self, chain_id, tables, company):
        """Check certificates and anchors that belong to the chain."""
        certificates = self.env["milestone.billing.evidence.certificate"]._fetch_rows(chain_id)
        anchors = self.env["milestone.billing.evidence.anchor"]._fetch_rows(chain_id)
        return tables.check_certificates(certificates, company) + tables.check_anchors(anchors)


class MilestoneBillingEvidenceSnapshot(models.Model):
    _inherit = "milestone.billing.evidence.snapshot"

    @api.model
    def _fetch_rows(self, chain_id):
        """Give the rows of a chain as they stand in the database, past every cache."""
        self.env.cr.execute(
            SQL(
                """
                SELECT sha256, company_ref, body, occurred_at, erased_at FROM milestone_billing_evidence_snapshot
                 WHERE chain_id = %s ORDER BY id
                """,
                chain_id,
            )
        )
        return self.env.cr.dictfetchall()


class MilestoneBillingEvidenceAnchor(models.Model):
    _inherit = "milestone.billing.evidence.anchor"

    @api.model
    def _fetch_rows(self, log_id):
        """Give the rows of a log as they stand in the database; what was anchored is a hash."""
        self.env.cr.execute(
            SQL(
                """
                SELECT size, digest, kind, reference, payload, occurred_at FROM milestone_billing_evidence_anchor
                 WHERE log_id = %s ORDER BY id
                """,
                log_id,
            )
        )
        rows = self.env.cr.dictfetchall()
        for row in rows:
            row["payload_sha256"] = hashlib.sha256((row.pop("payload") or "").encode()).hexdigest()
        return rows


class MilestoneBillingEvidenceCertificate(models.Model):
    _inherit = "milestone.billing.evidence.certificate"

    @api.model
    def _fetch_rows(self, chain_id):
        """Give the certificates of a chain, each with the hash of its file, None where the file is gone."""
        self.env.cr.execute(
            SQL(
                """
                SELECT id, number, company_id, state, sha256, result_sha256
                  FROM milestone_billing_evidence_certificate
                 WHERE chain_id = %s ORDER BY id
                """,
                chain_id,
            )
        )
        rows = self.env.cr.dictfetchall()
        for row in rows:
            raw = self.browse(row["id"])._read_file()
            row["file_sha256"] = hashlib.sha256(raw).hexdigest() if raw else None
        return rows
