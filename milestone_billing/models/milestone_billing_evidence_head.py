from odoo import api, fields, models
from odoo.tools import SQL

from ..tools.evidence_chain import EMPTY_HEAD, Head


class MilestoneBillingEvidenceHead(models.Model):
    """The end of each chain, and its lock. It can be rebuilt from the entries, so it is not evidence itself."""

    _name = "milestone.billing.evidence.head"
    _description = "End of an Evidence Chain"
    _log_access = False
    _rec_name = "chain_id"

    chain_id = fields.Char(required=True, readonly=True)
    seq = fields.Integer(string="Last Entry", required=True, readonly=True, aggregator=None)
    hash = fields.Char(string="Last Hash", required=True, readonly=True)
    company_ref = fields.Integer(string="Company ID", required=True, readonly=True, aggregator=None)

    _chain_unique = models.UniqueIndex("(chain_id)", "A chain has one end.")

    @api.model
    def _lock(self, companies):
        """Lock the heads of chains in the order of their ids, making those that are missing.

        :param dict companies: chain id to company record, or None where it is not known.
        :return: chain id to `{"head", "company_ref", "log_id"}`.
        """
        found = self._select_for_update(companies)
        missing = companies.keys() - found.keys()
        if missing:
            found |= self._insert_missing({chain_id: companies[chain_id] for chain_id in missing})
        if missing := companies.keys() - found.keys():
            found |= self._select_for_update(missing)
        Log, logs = self.env["milestone.billing.evidence.log"], {}
        for locked in found.values():
            company = locked["company_ref"]
            logs[company] = logs.get(company) or locked["log_id"] or Log._get_or_create(company)
            locked["log_id"] = locked["log_id"] or logs[company]
        return found

    @api.model
    def _select_for_update(self, chain_ids):
        self.env.cr.execute(
            SQL(
                """
                SELECT head.chain_id, head.seq, head.hash, head.company_ref, log.log_id
                  FROM milestone_billing_evidence_head AS head
             LEFT JOIN milestone_billing_evidence_log AS log
                    ON log.company_ref = head.company_ref AND log.database_uuid = %s
                 WHERE head.chain_id = ANY(%s)
              ORDER BY head.chain_id
                   FOR UPDATE OF head
                """,
                self.env["milestone.billing.evidence.log"]._get_database_uuid(),
                list(chain_ids),
            )
        )
        return self._fetch_locked()

    @api.model
    def _fetch_locked(self):
        return {
            chain_id: {"head": Head(seq, last_hash), "company_ref": company_ref, "log_id": log_id}
            for chain_id, seq, last_hash, company_ref, log_id in self.env.cr.fetchall()
        }

    @api.model
    def _insert_missing(self, companies):
        """Insert heads; one whose row was lost goes on after the entries that are there.

        :return: the heads that were inserted, and so are locked; others were inserted meanwhile by somebody else.
        """
        refs = self._find_company_refs(companies)
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO milestone_billing_evidence_head AS head (chain_id, seq, hash, company_ref)
                SELECT new.chain_id, COALESCE(last.seq, %s), COALESCE(last.entry_hash, %s), new.company_ref
                  FROM unnest(%s::text[], %s::int[]) AS new (chain_id, company_ref)
             LEFT JOIN LATERAL (
                       SELECT seq, entry_hash FROM milestone_billing_evidence AS entry
                        WHERE entry.chain_id = new.chain_id ORDER BY seq DESC LIMIT 1) AS last ON TRUE
              ORDER BY new.chain_id
           ON CONFLICT (chain_id) DO NOTHING
             RETURNING head.chain_id, head.seq, head.hash, head.company_ref, (
                       SELECT log_id FROM milestone_billing_evidence_log AS log
                        WHERE log.company_ref = head.company_ref AND log.database_uuid = %s)
                """,
                *EMPTY_HEAD,
                list(refs),
                list(refs.values()),
                self.env["milestone.billing.evidence.log"]._get_database_uuid(),
            )
        )
        return self._fetch_locked()

    @api.model
    def _find_company_refs(self, companies):
        """Complete chains whose company the caller did not give from their milestones; else it is the present one."""
        refs = {chain_id: company.id for chain_id, company in companies.items() if company}
        unknown = companies.keys() - refs.keys()
        if unknown:
            lines = (
                self.env["milestone.billing.line"]
                .sudo()
                .search_fetch([("evidence_uuid", "in", list(unknown))])
            )
            refs |= {line.evidence_uuid: line.company_id.id for line in lines}
        return {chain_id: refs.get(chain_id, self.env.company.id) for chain_id in companies}
