"""Checking chains where they are kept; the rules are those of `tools/verify.py`."""

from odoo import api, models
from odoo.tools import SQL

from ..tools.verify import FAIL, ZERO_HASH, ChainVerifier, PiiVerifier, Problem, Replay, snapshot_hash

PAGE_SIZE = 1000
PROBLEM_COUNT_MAX = 100


class MilestoneBillingEvidence(models.Model):
    _inherit = "milestone.billing.evidence"

    @api.model
    def _verify_chain(self, chain_id):
        """Check one chain page by page, so that memory does not grow with its length.

        :rtype: dict
        """
        Snapshot = self.env["milestone.billing.evidence.snapshot"]
        snapshots, problems = Snapshot._verify_chain(chain_id)
        chain, pii = ChainVerifier(Replay(snapshots.get), chain_id), PiiVerifier()
        for row, values in self._iterate_chain(chain_id):
            body, found = chain.feed(row.pop("body").encode(), row)
            problems += found
            # An entry that stands in a foreign place is named once; its values belong to the place it came from.
            problems += pii.feed(body, values) if body and body["seq"] == row["seq"] else []
        problems += [
            Problem(seq, "pii", f"entry {seq}: the value of {name} is gone, and no erasure is on record")
            for seq, name in pii.unexplained()
        ]
        problems += Snapshot._verify_erased(chain_id, pii.erased_snapshots)
        problems += self._verify_end(chain)
        return self._prepare_verdict(chain, problems)

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

    @api.model
    def _iterate_chain(self, chain_id):
        """Yield each entry's columns with its disclosed personal values, in the order of the chain."""
        last = -(2**31)
        while rows := self._fetch_page(chain_id, last):
            values = self._fetch_values(chain_id, rows[0]["seq"], rows[-1]["seq"])
            for row in rows:
                yield row, values.get(row["seq"], {})
            last = rows[-1]["seq"]

    @api.model
    def _fetch_page(self, chain_id, last):
        self.env.cr.execute(
            SQL(
                """
                SELECT chain_id, seq, type, occurred_at, log_id, entry_hash, body FROM milestone_billing_evidence
                 WHERE chain_id = %s AND seq > %s ORDER BY seq LIMIT %s
                """,
                chain_id,
                last,
                PAGE_SIZE,
            )
        )
        return self.env.cr.dictfetchall()

    @api.model
    def _fetch_values(self, chain_id, first, last):
        self.env.cr.execute(
            SQL(
                """
                SELECT seq, name, salt, value FROM milestone_billing_evidence_value
                 WHERE chain_id = %s AND seq BETWEEN %s AND %s AND erased_at IS NULL
                """,
                chain_id,
                first,
                last,
            )
        )
        result = {}
        for seq, name, salt, value in self.env.cr.fetchall():
            result.setdefault(seq, {})[name] = (salt, value)
        return result

    @api.model
    def _verify_end(self, chain):
        """Find a truncated or exchanged end: by the head, and by the leaves, which are kept elsewhere."""
        problems = []
        self.env.cr.execute(
            SQL("SELECT seq, hash FROM milestone_billing_evidence_head WHERE chain_id = %s", chain.chain_id)
        )
        head_seq, head_hash = self.env.cr.fetchone() or (-1, ZERO_HASH)
        missing, beyond = head_seq + 1 > chain.next_seq, head_seq + 1 < chain.next_seq
        if missing:
            message = f"entry {chain.next_seq} to {head_seq} is missing"
            problems.append(Problem(chain.next_seq, "truncated", message))
        elif beyond or head_hash != chain.head:
            seq = head_seq + 1 if beyond else max(head_seq, 0)
            problems.append(Problem(seq, "head", "the recorded end of the chain is not its last entry"))
        return problems + self._verify_leaves(chain)

    @api.model
    def _verify_leaves(self, chain):
        self.env.cr.execute(
            SQL(
                """
                SELECT leaf.seq, entry.id IS NOT NULL
                  FROM milestone_billing_evidence_leaf AS leaf
             LEFT JOIN milestone_billing_evidence AS entry
                    ON entry.chain_id = leaf.chain_id AND entry.seq = leaf.seq
                 WHERE leaf.chain_id = %s AND entry.entry_hash IS DISTINCT FROM leaf.entry_hash
              ORDER BY leaf.seq LIMIT %s
                """,
                chain.chain_id,
                PROBLEM_COUNT_MAX,
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


class MilestoneBillingEvidenceSnapshot(models.Model):
    _inherit = "milestone.billing.evidence.snapshot"

    @api.model
    def _verify_chain(self, chain_id):
        """Check the bytes of the snapshots of a chain.

        :return: parsed snapshots by hash, and problems.
        """
        snapshots, problems = {}, []
        for record in self.search([("chain_id", "=", chain_id), ("erased_at", "=", False)]):
            if record.body and snapshot_hash(record.body.encode()) == record.sha256:
                snapshots[record.sha256] = record._parse()
            else:
                problems.append(
                    Problem(None, "snapshot", f"snapshot {record.sha256[:12]} does not match its hash")
                )
        return snapshots, problems

    @api.model
    def _verify_erased(self, chain_id, on_record):
        """Find snapshots that are gone without an erasure on record, or were never kept."""
        self.env.cr.execute(
            SQL(
                """
                SELECT entry.seq, entry.body::json -> 'subject' ->> 'snapshot_sha256'
                  FROM milestone_billing_evidence AS entry
                 WHERE entry.chain_id = %s AND entry.type = 'request.created' ORDER BY entry.seq
                """,
                chain_id,
            )
        )
        wanted = {sha256: seq for seq, sha256 in self.env.cr.fetchall() if sha256}
        kept = set(self.search([("sha256", "in", list(wanted)), ("body", "!=", False)]).mapped("sha256"))
        return [
            Problem(seq, "snapshot", f"entry {seq}: the snapshot is gone, and no erasure is on record")
            for sha256, seq in wanted.items()
            if sha256 not in kept and sha256 not in on_record
        ]
