from odoo import api, fields, models
from odoo.tools import SQL


class MilestoneBillingEvidenceValue(models.Model):
    """A personal value of an entry; the entry itself holds a salted commitment to it only.

    Erasing deletes value and salt, and the chain stays verifiable.
    """

    _name = "milestone.billing.evidence.value"
    _description = "Personal Value of an Evidence Entry"
    _inherit = "milestone.billing.evidence.protected"
    _log_access = False
    _order = "chain_id, seq, name"
    _erasable_columns = ("salt", "value")

    entry_id = fields.Integer(string="Entry ID", required=True, readonly=True, aggregator=None)
    chain_id = fields.Char(required=True, readonly=True)
    seq = fields.Integer(string="Number", required=True, readonly=True, aggregator=None)
    name = fields.Char(required=True, readonly=True)
    salt = fields.Char(readonly=True, groups=fields.NO_ACCESS)
    value = fields.Text(readonly=True)
    company_ref = fields.Integer(string="Company ID", readonly=True, aggregator=None)
    erased_at = fields.Char(string="Erased (UTC)", readonly=True)

    _entry_name_unique = models.UniqueIndex("(entry_id, name)", "An entry has a value of one name once.")
    _chain_index = models.Index("(chain_id, seq)")

    @api.model
    def _insert(self, entries):
        """Insert the personal values of new entries by one statement.

        :param entries: (entry id, built entry, company id) triples.
        """
        rows = [
            (entry_id, entry.body["chain_id"], entry.body["seq"], company_id, *value)
            for entry_id, entry, company_id in entries
            for value in entry.values
        ]
        if rows:
            self.env.cr.execute(
                SQL(
                    """
                    INSERT INTO milestone_billing_evidence_value (entry_id, chain_id, seq, company_ref, name, salt, value)
                    SELECT * FROM unnest(
                        %s::int[], %s::text[], %s::int[], %s::int[], %s::text[], %s::text[], %s::text[])
                    """,
                    *(list(column) for column in zip(*rows, strict=True)),
                )
            )

    @api.model
    def _get_disclosable(self, entries):
        """Give the values of entries that are not erased, with salts; who sees which is decided by the caller."""
        domain = [("entry_id", "in", entries.ids), ("erased_at", "=", False)]
        return self.sudo().search(domain)

    @api.model
    def _erase_rows(self, value_ids, now=None):
        """Delete value and salt of these rows; the caller records it by `pii.erased`.

        :param str now: UTC, as that entry says in `erased_at`.
        :return: what was erased, as (chain id, sequence number, name).
        """
        self.env.cr.execute(
            SQL(
                """
                UPDATE milestone_billing_evidence_value SET salt = NULL, value = NULL, erased_at = %s
                 WHERE id = ANY(%s) AND erased_at IS NULL RETURNING chain_id, seq, name
                """,
                now or self.env["milestone.billing.evidence"]._get_now(),
                list(value_ids),
            )
        )
        self.invalidate_model(["salt", "value", "erased_at"])
        return self.env.cr.fetchall()
