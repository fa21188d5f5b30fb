import logging

import psycopg2
from odoo import api, fields, models
from odoo.tools import SQL

from ..tools.merkle import dump_frontier, load_frontier
from ..tools.verify import extend_frontier, leaf_hash

_logger = logging.getLogger(__name__)
CHUNK_SIZE = 5000
LATE_SECONDS = 600


class MilestoneBillingEvidenceLeaf(models.Model):
    """The place of an entry in the log of its company."""

    _name = "milestone.billing.evidence.leaf"
    _description = "Place in the Evidence Log"
    _inherit = ["milestone.billing.evidence.protected", "milestone.billing.evidence.logged"]
    _log_access = False
    _order = "log_id, index"
    _rec_name = "entry_hash"

    log_id = fields.Char(required=True, readonly=True)
    index = fields.Integer(string="Place", required=True, readonly=True, aggregator=None)
    entry_hash = fields.Char(string="Hash", required=True, readonly=True)
    chain_id = fields.Char(required=True, readonly=True)
    seq = fields.Integer(string="Number", required=True, readonly=True, aggregator=None)

    _place_unique = models.UniqueIndex("(log_id, index)", "A place in the log is taken once.")
    _hash_unique = models.UniqueIndex("(entry_hash)", "An entry stands in the log once.")
    _chain_index = models.Index("(chain_id, seq)")

    @api.model
    def _sequence_committed(self, entry_ids=None, is_published=False):
        """Put committed entries into their logs, in transactions of their own; called after a commit and by cron.

        The advisory lock makes others wait; the commit behind it begins a transaction that sees what they did.
        Failing here fails nothing: the cron tries again, and the nightly check reports what stays out.

        :param list entry_ids: entries to look at, or None for all.
        :param bool is_published: make a checkpoint of a log that grew.
        """
        Checkpoint = self.env["milestone.billing.evidence.checkpoint"]
        cr = self.env.cr
        for log in self.env["milestone.billing.evidence.log"].sudo().search([]):  # pylint: disable=no-search-all
            cr.execute(SQL("SELECT pg_advisory_lock(hashtextextended(%s, 0))", log.log_id))
            cr.commit()  # pylint: disable=invalid-commit
            try:
                while self._sequence(log, entry_ids) == CHUNK_SIZE:
                    cr.commit()  # pylint: disable=invalid-commit
                # A copy of a database publishes nothing in the name of the one it comes from.
                if is_published and log.database_uuid == log._get_database_uuid():
                    Checkpoint._make(log)
                cr.commit()  # pylint: disable=invalid-commit
            except psycopg2.OperationalError:
                cr.rollback()
                _logger.warning(
                    "The evidence log %s could not be continued now; the cron tries again.", log.log_id
                )
            finally:
                cr.execute(SQL("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", log.log_id))

    @api.model
    def _sequence(self, log, entry_ids=None):
        """Put entries that are in no log yet into their log, at most a chunk of them, in this transaction.

        :return: how many.
        """
        size, frontier = log._lock_tail()
        chosen = SQL("AND entry.id = ANY(%s)", list(entry_ids)) if entry_ids is not None else SQL()
        self.env.cr.execute(
            SQL(
                """
                SELECT entry.entry_hash, entry.chain_id, entry.seq FROM milestone_billing_evidence AS entry
                 WHERE entry.log_id = %s AND entry.entry_hash ~ '^[0-9a-f]{64}$' %s AND NOT EXISTS (
                       SELECT 1 FROM milestone_billing_evidence_leaf AS leaf
                        WHERE leaf.entry_hash = entry.entry_hash)
              ORDER BY entry.id LIMIT %s
                """,
                log.log_id,
                chosen,
                CHUNK_SIZE,
            )
        )
        rows = self.env.cr.fetchall()
        if rows:
            self._insert(log, rows, size, load_frontier(frontier))
        return len(rows)

    @api.model
    def _insert(self, log, rows, size, frontier):
        for entry_hash, _chain_id, _seq in rows:
            extend_frontier(frontier, leaf_hash(entry_hash))
        hashes, chains, numbers = (list(column) for column in zip(*rows, strict=True))
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO milestone_billing_evidence_leaf (log_id, index, entry_hash, chain_id, seq)
                SELECT %s, * FROM unnest(%s::int[], %s::text[], %s::text[], %s::int[])
                """,
                log.log_id,
                list(range(size, size + len(rows))),
                hashes,
                chains,
                numbers,
            )
        )
        log._move_tail(size + len(rows), dump_frontier(frontier))

    @api.model
    def _get_hashes(self, log_id, size):
        """Give the entry hashes of the first leaves of a log, in order."""
        self.env.cr.execute(
            SQL(
                """
                SELECT entry_hash FROM milestone_billing_evidence_leaf
                 WHERE log_id = %s AND index < %s ORDER BY index
                """,
                log_id,
                size,
            )
        )
        return [entry_hash for (entry_hash,) in self.env.cr.fetchall()]

    @api.model
    def _cron_maintain_log(self):
        """Sequence what the post-commit hook missed and publish checkpoints."""
        self._sequence_committed(is_published=True)
