from odoo import api, fields, models
from odoo.tools import SQL

from ..tools.verify import canonical, parse_strict, snapshot_hash


class MilestoneBillingEvidenceSnapshot(models.Model):
    """What exactly the client was asked to approve: the bytes, kept once, erasable only as a whole."""

    _name = "milestone.billing.evidence.snapshot"
    _description = "Frozen Submission"
    _inherit = "milestone.billing.evidence.protected"
    _log_access = False
    _rec_name = "sha256"
    _erasable_columns = ("body",)

    sha256 = fields.Char(string="SHA-256", required=True, readonly=True)
    chain_id = fields.Char(required=True, readonly=True, index=True)
    company_ref = fields.Integer(string="Company ID", readonly=True, aggregator=None)
    body = fields.Text(readonly=True, help="The exact text that is hashed.")
    occurred_at = fields.Char(string="Frozen (UTC)", required=True, readonly=True)
    erased_at = fields.Char(string="Erased (UTC)", readonly=True)

    _sha256_unique = models.UniqueIndex("(sha256)", "A snapshot is kept once.")

    @api.model
    def _freeze(self, snapshots, now=None):
        """Keep snapshots for ever as they are.

        :param list snapshots: (milestone, snapshot dictionary) pairs; each snapshot holds a fresh `nonce`.
        :param str now: UTC, as the entry about it says in `frozen_at`.
        :return: their hashes, in the order given.
        :raise EvidenceError: for a float, or what else the canonical form does not know.
        """
        now = now or self.env["milestone.billing.evidence"]._get_now()
        values = []
        for line, snapshot in snapshots:
            exact = canonical(snapshot)
            values.append(
                {
                    "sha256": snapshot_hash(exact),
                    "chain_id": line.evidence_uuid,
                    "company_ref": line.company_id.id,
                    "body": exact.decode(),
                    "occurred_at": now,
                }
            )
        self._with_append().create(values)
        return [vals["sha256"] for vals in values]

    @api.model
    def _get_content(self, sha256):
        """Give a snapshot as a dictionary; None when it was erased or never was.

        :raise EvidenceError: when the stored bytes do not match the hash.
        """
        record = self.sudo().search([("sha256", "=", sha256)], limit=1)
        return record._parse() if record.body else None

    def _parse(self):
        self.ensure_one()
        exact = self.body.encode()
        if snapshot_hash(exact) != self.sha256:
            raise ValueError(
                self.env._("The stored submission %s does not match its hash.", self.sha256[:12])
            )
        return parse_strict(exact)

    def _get_file_hashes(self):
        """Give the hashes of the files which these snapshots show.

        :rtype: set[str]
        """
        return {item.get("sha256") for snapshot in self for item in snapshot._parse().get("files", ())}

    def _erase(self, now=None):
        """Delete the bytes of snapshots as a whole; the caller records it by `pii.erased`.

        :param str now: UTC, as that entry says in `erased_at`.
        """
        self.env.cr.execute(
            SQL(
                """
                UPDATE milestone_billing_evidence_snapshot SET body = NULL, erased_at = %s
                 WHERE id = ANY(%s) AND erased_at IS NULL
                """,
                now or self.env["milestone.billing.evidence"]._get_now(),
                self.ids,
            )
        )
        self.invalidate_recordset(["body", "erased_at"])
