"""Erasing personal data: by retention class each night, or for one person on request; never under legal hold."""

from collections import defaultdict

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import SQL

from ..tools.retention import IDENTITY, NETWORK, PII_CLASS, REFUSED_TYPES, TECHNICAL
from .milestone_billing_line_state import INTERNAL_WRITE

CHAIN_CHUNK = 200
# Events of keeping the evidence itself; they do not prolong anything.
OWN_TYPES = (
    "anchor.recorded",
    "certificate.issued",
    "dispute.exported",
    "integrity.failed",
    "legal_hold.released",
    "legal_hold.set",
    "pii.erased",
)
# Milestones and change orders of an order have chains of their own, and its life is that of all of them.
CHAINS_OF_ORDERS = SQL(
    "(SELECT order_id, evidence_uuid FROM milestone_billing_line"
    " UNION ALL SELECT order_id, evidence_uuid FROM milestone_billing_change)"
)


class MilestoneBillingEvidenceErasure(models.AbstractModel):
    _name = "milestone.billing.evidence.erasure"
    _description = "Erasure of Personal Evidence"

    # === BY RETENTION ===

    @api.model
    def _cron_erase(self):
        """Erase what is past its period, company by company, one `pii.erased` per chain and run."""
        cron = self.env["ir.cron"]
        for company in self.env["res.company"].sudo().search([]):  # pylint: disable=no-search-all
            while found := self._find_due(company):
                self._erase(found, basis="retention")
                if not cron._commit_progress(len(found)):
                    return
            self._erase_device_logs(company)

    @api.model
    def _find_due(self, company):
        """Find what is past its period in at most a chunk of chains.

        :return: chain id to `{"values": [value ids], "snapshots": [snapshot ids]}`.
        """
        found = defaultdict(lambda: {"values": [], "snapshots": []})
        for part, query in (
            ("values", self._get_due_values_query(company)),
            ("snapshots", self._get_due_snapshots_query(company)),
        ):
            self.env.cr.execute(query)
            for record_id, chain_id in self.env.cr.fetchall():
                if chain_id in found or len(found) < CHAIN_CHUNK:
                    found[chain_id][part].append(record_id)
        return dict(found)

    @api.model
    def _get_cutoff(self, days):
        """Give the time before which events are older than a number of days, as evidence writes it."""
        moment = fields.Datetime.subtract(fields.Datetime.now(), days=days)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    @api.model
    def _get_due_values_query(self, company):
        """Find the personal values whose period is over.

        The period counts from the event. Network data of a paid milestone waits for the last payment, and identities
        for the last event of the order; addresses of refused attempts go with the technical data.
        """
        names = {
            item: [name for name, own in PII_CLASS.items() if own is item]
            for item in (IDENTITY, NETWORK, TECHNICAL)
        }
        identity = self._get_cutoff(company.milestone_retention_identity_days)
        network = self._get_cutoff(company.milestone_retention_network_days)
        technical = self._get_cutoff(company.milestone_retention_technical_days)
        return SQL(
            """
            SELECT value.id, value.chain_id
              FROM milestone_billing_evidence_value AS value
              JOIN milestone_billing_evidence AS entry ON entry.id = value.entry_id
             WHERE value.erased_at IS NULL AND entry.company_ref = %(company)s AND NOT %(held)s
               AND (  (value.name = ANY(%(technical_names)s) AND entry.occurred_at < %(technical)s)
                   OR (value.name = ANY(%(network_names)s) AND entry.type = ANY(%(refused)s)
                       AND entry.occurred_at < %(technical)s)
                   OR (value.name = ANY(%(network_names)s) AND entry.occurred_at < %(network)s AND NOT EXISTS (
                       SELECT 1 FROM milestone_billing_evidence AS paid
                        WHERE paid.chain_id = value.chain_id AND paid.type = 'payment.confirmed'
                          AND paid.occurred_at >= %(network)s))
                   OR (value.name = ANY(%(identity_names)s) AND entry.occurred_at < %(identity)s AND NOT %(active)s))
          ORDER BY value.chain_id
            """,
            company=company.id,
            held=self._get_held_condition(SQL("value.chain_id")),
            active=self._get_active_condition(SQL("value.chain_id"), identity),
            technical_names=names[TECHNICAL],
            network_names=names[NETWORK],
            identity_names=names[IDENTITY],
            refused=list(REFUSED_TYPES),
            technical=technical,
            network=network,
            identity=identity,
        )

    @api.model
    def _get_due_snapshots_query(self, company):
        cutoff = self._get_cutoff(company.milestone_retention_financial_days)
        return SQL(
            """
            SELECT snapshot.id, snapshot.chain_id FROM milestone_billing_evidence_snapshot AS snapshot
             WHERE snapshot.erased_at IS NULL AND snapshot.company_ref = %s AND snapshot.occurred_at < %s
               AND NOT %s AND NOT %s
          ORDER BY snapshot.chain_id
            """,
            company.id,
            cutoff,
            self._get_held_condition(SQL("snapshot.chain_id")),
            self._get_active_condition(SQL("snapshot.chain_id"), cutoff),
        )

    @api.model
    def _get_held_condition(self, chain):
        """Give the condition that a chain is under legal hold, by its last event about it."""
        return SQL(
            """
            COALESCE((SELECT hold.type = 'legal_hold.set' FROM milestone_billing_evidence AS hold
                       WHERE hold.chain_id = %s AND hold.type IN ('legal_hold.set', 'legal_hold.released')
                    ORDER BY hold.seq DESC LIMIT 1), FALSE)
            """,
            chain,
        )

    @api.model
    def _get_active_condition(self, chain, cutoff):
        """Give the condition that something happened on the chain, or on the same order, since a time."""
        return SQL(
            """
            EXISTS (SELECT 1 FROM milestone_billing_evidence AS later
                     WHERE later.occurred_at >= %s AND later.type <> ALL(%s) AND (
                           later.chain_id = %s OR later.chain_id IN (
                           SELECT sibling.evidence_uuid FROM %s AS sibling WHERE sibling.order_id IN (
                           SELECT own.order_id FROM %s AS own WHERE own.evidence_uuid = %s))))
            """,
            cutoff,
            list(OWN_TYPES),
            chain,
            CHAINS_OF_ORDERS,
            CHAINS_OF_ORDERS,
            chain,
        )

    # === ON REQUEST ===

    @api.model
    def _erase_person(self, partner, ticket, companies=None):
        """Erase what the evidence of some companies knows of a contact, where no legal hold stands against it.

        :param str ticket: the request this answers; recorded with the erasure.
        :param companies: whose evidence; all of them by default.
        :return: how many chains had something to erase.
        """
        companies = companies or self.env["res.company"].sudo().search([])  # pylint: disable=no-search-all
        ref = partner.sudo().milestone_evidence_ref
        self.env.cr.execute(
            SQL(
                """
                SELECT value.id, value.chain_id
                  FROM milestone_billing_evidence_value AS value
                  JOIN milestone_billing_evidence AS entry ON entry.id = value.entry_id
                 WHERE value.erased_at IS NULL AND NOT %s AND entry.company_ref = ANY(%s)
                   AND %s IN (entry.body::json ->> 'actor_ref', entry.body::json -> 'data' ->> 'approver_ref')
                """,
                self._get_held_condition(SQL("value.chain_id")),
                companies.ids,
                ref,
            )
        )
        found = defaultdict(lambda: {"values": [], "snapshots": []})
        for value_id, chain_id in self.env.cr.fetchall():
            found[chain_id]["values"].append(value_id)
        self._erase(dict(found), basis="request", ticket=ticket)
        if not self._is_held(partner):
            self._erase_devices_of(partner)
        return len(found)

    # === DOING IT ===

    @api.model
    def _erase(self, found, basis, ticket=None):
        """Erase values and snapshots, record it by one event a chain, and remove documents that repeat them.

        :param dict found: as `_find_due` gives it.
        :param str basis: code of the legal basis: `retention` or `request`.
        """
        Snapshot = self.env["milestone.billing.evidence.snapshot"].sudo()
        lines = self.env["milestone.billing.line"].sudo().search([("evidence_uuid", "in", list(found))])
        snapshots = Snapshot.browse([item for part in found.values() for item in part["snapshots"]])
        value_ids = [item for part in found.values() for item in part["values"]]
        written, now = self._read_written(value_ids), self.env["milestone.billing.evidence"]._get_now()
        lines._erase_documents(snapshots)
        self.env["milestone.billing.change"].sudo()._erase_change_documents(snapshots)
        rows = self.env["milestone.billing.evidence.value"].sudo()._erase_rows(value_ids, now)
        for name in ("milestone.billing.approval.link", "milestone.billing.change.link"):
            self.env[name]._erase_mails(rows, snapshots)
        self._blank_copies(written)
        by_snapshot = snapshots.grouped("chain_id")
        snapshots._erase(now)
        events = [
            self._prepare_event(
                chain_id,
                [(seq, name) for chain, seq, name in rows if chain == chain_id],
                by_snapshot.get(chain_id, Snapshot).mapped("sha256"),
                {"basis": basis, "erased_at": now, **({"ticket": ticket} if ticket else {})},
            )
            for chain_id in found
        ]
        self.env["milestone.billing.evidence"].sudo()._append(events)

    @api.model
    def _prepare_event(self, chain_id, erased, snapshots, data):
        names = defaultdict(list)
        for seq, name in sorted(erased):
            names[seq].append(name)
        return {
            "chain_id": chain_id,
            "type": "pii.erased",
            "actor_kind": "system",
            "data": {
                **data,
                "erased": [{"seq": seq, "names": found} for seq, found in names.items()],
                "snapshots": sorted(snapshots),
            },
        }


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _erase_documents(self, snapshots):
        """Remove documents that repeat erased data; certificates are issued anew from what is left.

        Extensions remove theirs: mails, messages, signature images.

        :param snapshots: `milestone.billing.evidence.snapshot` which are erased as a whole, still readable.
        """
        domain = [("chain_id", "in", self.mapped("evidence_uuid"))]
        self.env["milestone.billing.evidence.certificate"].sudo().search(domain).unlink()
        for line in self:
            line._erase_files(snapshots.filtered(lambda item, line=line: item.chain_id == line.evidence_uuid))

    def _erase_files(self, snapshots):
        """Remove the files of erased submissions, and the papers that staff recorded; other submissions keep theirs."""
        self.ensure_one()
        gone = snapshots.filtered("body")._get_file_hashes()
        rest = self.env["milestone.billing.evidence.snapshot"].sudo()
        rest = rest.search([("chain_id", "=", self.evidence_uuid), ("body", "!=", False)]) - snapshots
        gone -= rest._get_file_hashes()
        if not rest and snapshots:
            gone |= self._get_paper_hashes()
        if gone:
            files = (self._get_evidence_attachments() | self._get_papers()).sudo()
            files = files.with_context(milestone_internal_write=INTERNAL_WRITE)
            files.filtered(lambda file: any(file._has_sha256(digest) for digest in gone)).unlink()

    def _get_papers(self):
        """Give the files that lie with this milestone and are no proof of work."""
        domain = [("res_model", "=", self._name), ("res_id", "=", self.id), ("res_field", "=", False)]
        return self.env["ir.attachment"].sudo().search(domain)


class ResPartner(models.Model):
    _inherit = "res.partner"

    def action_erase_milestone_evidence(self, ticket):
        """Erase what milestone evidence knows of a contact, on their request; it stays verifiable.

        What other companies of this database keep is erased by people who may act for them.

        :param str ticket: the request this answers.
        :return: `{"chains": how many milestones had something to erase}`.
        :rtype: dict
        """
        self.ensure_one()
        self.check_access("write")
        if not self.env.user.has_group("milestone_billing.milestone_billing_group_billing_manager"):
            raise AccessError(
                self.env._("Only billing managers may erase personal evidence. Ask one of them.")
            )
        if not (ticket or "").strip():
            raise UserError(self.env._("Enter the number of the request for erasure; it is recorded."))
        Erasure, companies = self.env["milestone.billing.evidence.erasure"], self.env.user.company_ids
        return {"chains": Erasure._erase_person(self, ticket.strip(), companies)}
