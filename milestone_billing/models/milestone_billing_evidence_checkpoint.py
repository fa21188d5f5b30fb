import logging
from pathlib import Path

from odoo import api, fields, models
from odoo.tools import SQL, config

from ..tools.checkpoint import load_private_key, make_note, public_bytes
from ..tools.merkle import load_frontier
from ..tools.verify import frontier_root, parse_checkpoint

_logger = logging.getLogger(__name__)
KEY_OPTION = "milestone_billing_evidence_key"


class MilestoneBillingEvidenceCheckpoint(models.Model):
    """The state of a company's log at one size, signed when the server has a key outside the database."""

    _name = "milestone.billing.evidence.checkpoint"
    _description = "Evidence Log Checkpoint"
    _inherit = ["milestone.billing.evidence.protected", "milestone.billing.evidence.logged"]
    _log_access = False
    _order = "log_id, size desc"
    _rec_name = "digest"

    log_id = fields.Char(required=True, readonly=True)
    size = fields.Integer(required=True, readonly=True, aggregator=None)
    root = fields.Char(required=True, readonly=True, help="Root hash, 64 hex digits.")
    note = fields.Text(required=True, readonly=True, help="Signed note in the C2SP tlog-checkpoint format.")
    digest = fields.Char(
        required=True, readonly=True, help="SHA-256 of the three lines; this is what is anchored."
    )
    public_key = fields.Char(readonly=True, help="Ed25519 public key, 64 hex digits; empty when unsigned.")
    occurred_at = fields.Char(string="Made (UTC)", required=True, readonly=True)

    _size_unique = models.UniqueIndex("(log_id, size)", "A log has one checkpoint of a size.")

    @api.model
    def _make(self, log):
        """Make the checkpoint of a log at its present size; given again when it is there already."""
        size, frontier = log._lock_tail()
        known = self.sudo().search([("log_id", "=", log.log_id), ("size", "=", size)], limit=1)
        if known or not size:
            return known
        root, key = frontier_root(load_frontier(frontier)), self._load_key()
        note = make_note(log.origin, size, root, key)
        log._count_checkpoint()
        return self._with_append().create(
            {
                "log_id": log.log_id,
                "size": size,
                "root": root.hex(),
                "note": note,
                "digest": parse_checkpoint(note).digest,
                "public_key": public_bytes(key).hex() if key else False,
                "occurred_at": self.env["milestone.billing.evidence"]._get_now(),
            }
        )

    @api.model
    def _load_key(self):
        """Load the signing key from the file which the server's configuration names; None without one.

        The file lies outside the database, so that a rewritten database cannot sign its own history.
        """
        path = config.get(KEY_OPTION)
        if not path:
            return None
        try:
            return load_private_key(Path(path).read_bytes())
        except (OSError, ValueError):
            _logger.exception(
                "The evidence key of option %s cannot be used; checkpoints stay unsigned.", KEY_OPTION
            )
            return None

    @api.model
    def _count(self, log_id):
        """Count the checkpoints of a log."""
        return self.search_count([("log_id", "=", log_id)])

    @api.model
    def _get_covering(self, log_id, index):
        """Give the smallest checkpoint of a log that covers a place."""
        domain = [("log_id", "=", log_id), ("size", ">", index)]
        return self.sudo().search(domain, order="size", limit=1)

    @api.model
    def _get_newest(self, company):
        """Give the newest checkpoint of a company's log in this database; that of a copy's original is not ours."""
        Log = self.env["milestone.billing.evidence.log"].sudo()
        domain = [("company_ref", "=", company.id), ("database_uuid", "=", Log._get_database_uuid())]
        log = Log.search(domain, limit=1)
        return self.sudo().search([("log_id", "=", log.log_id)], limit=1)

    def _has_news(self, size):
        """Tell whether one checkpoint covers anything since a size but traces of anchors: those alone need no anchor.

        :param int size: of the log, when it was anchored last.
        :rtype: bool
        """
        self.ensure_one()
        self.env.cr.execute(
            SQL(
                """
                SELECT 1 FROM milestone_billing_evidence_leaf AS leaf
                  JOIN milestone_billing_evidence AS entry ON entry.entry_hash = leaf.entry_hash
                 WHERE leaf.log_id = %s AND leaf.index >= %s AND leaf.index < %s
                   AND entry.type <> 'anchor.recorded' LIMIT 1
                """,
                self.log_id,
                size,
                self.size,
            )
        )
        return bool(self.env.cr.fetchone())
