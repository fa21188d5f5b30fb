"""The part of the nightly check that looks at company logs: triggers, places, checkpoints."""

import re

from odoo import fields, models
from odoo.tools import SQL

from ..tools.evidence_tables import check_checkpoint
from ..tools.merkle import dump_frontier
from ..tools.verify import extend_frontier, frontier_root, leaf_hash
from .milestone_billing_evidence_check import MESSAGE_COUNT_MAX
from .milestone_billing_evidence_leaf import LATE_SECONDS

HASH_FORM = re.compile(r"[0-9a-f]{64}")
LEAF_CHUNK = 5000
CHECKPOINT_CHUNK = 1000


class MilestoneBillingEvidenceCheck(models.Model):
    _inherit = "milestone.billing.evidence.check"

    def _verify_logs(self):
        """Check triggers, and each log against its entries and checkpoints."""
        for name in self.env:
            model = self.env[name]
            if getattr(model, "_erasable_columns", None) is not None and not model._abstract:
                for guard in model._get_missing_guards():
                    self._report_log(None, f"the trigger {guard} is missing or switched off")
        for message in self._find_strays():
            self._report_log(None, message)
        for log in self.env["milestone.billing.evidence.log"].sudo().search([]):  # pylint: disable=no-search-all
            for message in (*self._find_log_gaps(log), *self._find_forks(log), *self._find_log_problems(log)):
                self._report_log(log, message)

    def _report_log(self, log, message):
        """Record a broken company log on the company's own chain, once for each finding."""
        self._note(message)
        if log:
            company = self.env["res.company"].browse(log.company_ref).exists() or self.env.company
            self._log_failure(log.log_id, company, {"first_bad_seq": None, "kind": "log", "message": message})

    # === ROWS ===

    def _find_strays(self):
        """Find rows that name a log which is not there: nothing else would look at them."""
        for table, noun in (("leaf", "places"), ("checkpoint", "checkpoints"), ("anchor", "anchors")):
            self.env.cr.execute(
                SQL(
                    """
                    SELECT stray.log_id, count(*) FROM %s AS stray WHERE NOT EXISTS (
                           SELECT 1 FROM milestone_billing_evidence_log AS log WHERE log.log_id = stray.log_id)
                  GROUP BY stray.log_id ORDER BY stray.log_id LIMIT %s
                    """,
                    SQL.identifier(f"milestone_billing_evidence_{table}"),
                    MESSAGE_COUNT_MAX,
                )
            )
            for log_id, count in self.env.cr.fetchall():
                yield f"{count} {noun} name the log {log_id}, which is not there"

    def _find_log_gaps(self, log):
        """Find entries that stay out of the log, and places of the log whose entry is gone."""
        self.env.cr.execute(
            SQL(
                """
                SELECT count(*), min(entry.chain_id || ', entry ' || entry.seq)
                  FROM milestone_billing_evidence AS entry
                 WHERE entry.log_id = %s AND entry.occurred_at < %s AND NOT EXISTS (
                       SELECT 1 FROM milestone_billing_evidence_leaf AS leaf WHERE leaf.entry_hash = entry.entry_hash)
                """,
                log.log_id,
                self._get_late_time(),
            )
        )
        late, first = self.env.cr.fetchone()
        if late:
            yield (
                f"{late} entries have been waiting for their place for more than {LATE_SECONDS // 60} minutes, "
                f"the first: chain {first}"
            )
        self.env.cr.execute(
            SQL(
                """
                SELECT leaf.index, leaf.chain_id, leaf.seq FROM milestone_billing_evidence_leaf AS leaf
             LEFT JOIN milestone_billing_evidence AS entry ON entry.entry_hash = leaf.entry_hash
                 WHERE leaf.log_id = %s AND entry.id IS NULL ORDER BY leaf.index LIMIT %s
                """,
                log.log_id,
                MESSAGE_COUNT_MAX,
            )
        )
        for index, chain_id, seq in self.env.cr.fetchall():
            yield f"the entry at place {index} (chain {chain_id}, entry {seq}) is gone"

    def _get_late_time(self):
        moment = fields.Datetime.subtract(fields.Datetime.now(), seconds=LATE_SECONDS)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _find_log_problems(self, log):
        """Compare the row of a log with its name and the number of its checkpoints."""
        if not log.origin.endswith(f"/mbev1/{log.log_id}"):
            yield f"the log {log.log_id} is called {log.origin}"
        count = self.env["milestone.billing.evidence.checkpoint"].sudo()._count(log.log_id)
        if count != log.checkpoint_count:
            yield f"{count} checkpoints are there, {log.checkpoint_count} were made"

    # === TREE ===

    def _find_forks(self, log):
        """Recompute the tree in one pass and compare it with every checkpoint and with the recorded size."""
        checkpoints = self._iterate_checkpoints(log.log_id)
        wanted, recorded = next(checkpoints, None), log.size
        frontier, size = [], 0
        for index, entry_hash, occurred_at in self._iterate_leaves(log.log_id):
            if index != size:
                yield f"place {size} of the log is missing"
                return
            if not HASH_FORM.fullmatch(entry_hash):
                yield f"place {index} of the log holds no hash"
                return
            extend_frontier(frontier, leaf_hash(entry_hash))
            size += 1
            while wanted and wanted["size"] <= size:
                root = frontier_root(frontier).hex()
                yield from self._find_checkpoint_problems(log, wanted, root, occurred_at)
                wanted = next(checkpoints, None)
        if wanted:
            recorded = max([recorded, wanted["size"], *(row["size"] for row in checkpoints)])
        if recorded != size:
            yield f"the log has {size} places, {recorded} were recorded"
        elif dump_frontier(frontier) != (log.frontier or ""):
            yield "the recorded end of the log is not that of its places"

    def _find_checkpoint_problems(self, log, row, root, last_entry_at):
        size = row["size"]
        if row["root"] != root:
            yield f"the log does not have the root that the checkpoint of size {size} signed"
        for text in check_checkpoint(row, log.origin, last_entry_at):
            yield f"the checkpoint of size {size}: {text}"

    def _iterate_leaves(self, log_id):
        """Walk through the leaves of a log, with the time of their entries, by chunks."""
        last = -1
        while True:
            self.env.cr.execute(
                SQL(
                    """
                    SELECT leaf.index, leaf.entry_hash, entry.occurred_at
                      FROM milestone_billing_evidence_leaf AS leaf
                 LEFT JOIN milestone_billing_evidence AS entry ON entry.entry_hash = leaf.entry_hash
                     WHERE leaf.log_id = %s AND leaf.index > %s ORDER BY leaf.index LIMIT %s
                    """,
                    log_id,
                    last,
                    LEAF_CHUNK,
                )
            )
            rows = self.env.cr.fetchall()
            yield from rows
            if len(rows) < LEAF_CHUNK:
                return
            last = rows[-1][0]

    def _iterate_checkpoints(self, log_id):
        """Yield checkpoints in the order of their size, each with the time of the next one."""
        last = -1
        while True:
            self.env.cr.execute(
                SQL(
                    """
                    SELECT size, root, note, digest, public_key, occurred_at, next_at FROM (
                           SELECT *, lead(occurred_at) OVER (ORDER BY size) AS next_at
                             FROM milestone_billing_evidence_checkpoint WHERE log_id = %s) AS checkpoint
                     WHERE size > %s ORDER BY size LIMIT %s
                    """,
                    log_id,
                    last,
                    CHECKPOINT_CHUNK,
                )
            )
            rows = self.env.cr.dictfetchall()
            for row in rows:
                row["next_at"] = row["next_at"] or self.env["milestone.billing.evidence"]._get_now()
                yield row
            if len(rows) < CHECKPOINT_CHUNK:
                return
            last = rows[-1]["size"]
