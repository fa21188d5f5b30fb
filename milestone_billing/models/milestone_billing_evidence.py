import json
import secrets
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from odoo import SUPERUSER_ID, api, fields, models
from odoo.fields import Domain
from odoo.modules.module import Manifest
from odoo.tools import SQL

from ..tools.evidence_chain import build_entry, next_head

CHUNK_SIZE = 2000
POSTCOMMIT_KEY = "milestone_billing_evidence"
GATHERED_KEY = "milestone_billing_evidence_gathered"


class MilestoneBillingEvidence(models.Model):
    """One event of a milestone's life, chained to the one before it by hash."""

    _name = "milestone.billing.evidence"
    _description = "Milestone Evidence Entry"
    _inherit = "milestone.billing.evidence.protected"
    _log_access = False
    _order = "chain_id, seq"
    _rec_name = "type"

    chain_id = fields.Char(required=True, readonly=True)
    seq = fields.Integer(string="Number", required=True, readonly=True, aggregator=None)
    type = fields.Char(string="Event", required=True, readonly=True)
    occurred_at = fields.Char(
        string="Time (UTC)",
        required=True,
        readonly=True,
        help="Kept as text, with microseconds, as it is hashed.",
    )
    body = fields.Text(required=True, readonly=True, help="The exact text that is hashed.")
    entry_hash = fields.Char(string="Hash", required=True, readonly=True)
    log_id = fields.Char(string="Company Log", required=True, readonly=True)
    company_ref = fields.Integer(string="Company ID", readonly=True, aggregator=None, index=True)
    owner_reference = fields.Char(
        string="About",
        compute="_compute_owner_reference",
        compute_sudo=True,
        help="The milestone or change order whose chain this is.",
    )

    is_visible = fields.Boolean(
        compute="_compute_is_visible",
        search="_search_is_visible",
        help="The user may see the milestone or change order whose chain this is.",
    )

    _chain_seq_unique = models.UniqueIndex(
        "(chain_id, seq)", "Two entries cannot take the same place in a chain."
    )
    _hash_unique = models.UniqueIndex("(entry_hash)", "An entry stands in the evidence once.")

    # === APPENDING ===

    @api.model
    def _append(self, events):
        """Append events to their chains, in this transaction.

        All heads are locked by one statement in the order of chains, so that two bulk calls cannot block each other.

        :param list events: dictionaries with `chain_id` and `type`, and as far as they apply `company` (a record;
            needed for the first entry of a chain that no milestone has), `actor_kind`, `actor_ref`, `subject`,
            `auth`, `http`, `data`, `pii` (name to plain value). Without an actor, the user of the environment is it.
        :return: the entries, in the order of the events; none within `_gather`.
        :raise EvidenceError: when an event does not follow the schema; nothing is written then.
        """
        gathered = self.env.cr.cache.get(GATHERED_KEY)
        if gathered is not None:
            actor = self._prepare_actor()
            gathered += [event if "actor_kind" in event else {**actor, **event} for event in events]
            return self.browse()
        if not events:
            return self.browse()
        companies = {event["chain_id"]: event.get("company") for event in events}
        heads = self.env["milestone.billing.evidence.head"]._lock(companies)
        actor, software, entries = self._prepare_actor(), self._get_software(), []
        for event in events:
            locked = heads[event["chain_id"]]
            values = {key: value for key, value in event.items() if key != "company"}
            values = {**(actor if "actor_kind" not in event else {}), **values, "log_id": locked["log_id"]}
            entry = build_entry(values, locked["head"], self._get_now(), software, secrets.token_bytes)
            locked["head"] = next_head(entry)
            entries.append((entry, locked["company_ref"]))
        ids = []
        for start in range(0, len(entries), CHUNK_SIZE):
            ids += self._insert_entries(entries[start : start + CHUNK_SIZE])
        self._sequence_after_commit(ids)
        return self.browse(ids)

    @api.model
    @contextmanager
    def _gather(self):
        """Append what is logged within the block by one append at its end; if the block fails, nothing of it.

        Only for blocks that undo nothing by savepoints: what was logged in between would stay.
        """
        cache = self.env.cr.cache
        if GATHERED_KEY in cache:
            yield
            return
        gathered = cache[GATHERED_KEY] = []
        try:
            yield
        finally:
            cache.pop(GATHERED_KEY, None)
        self._append(gathered)

    @api.model
    def _prepare_actor(self):
        """Give the user of the environment as an actor; a visitor without an account has to be named by the caller."""
        user = self.env.user
        if self.env.uid == SUPERUSER_ID or user._is_public():
            return {"actor_kind": "system"}
        kind = "internal_user" if user._is_internal() else "portal_user"
        return {"actor_kind": kind, "actor_ref": user.partner_id.sudo().milestone_evidence_ref}

    @api.model
    def _get_software(self):
        return f"milestone_billing/{Manifest.for_addon('milestone_billing')['version']}"

    @api.model
    def _get_now(self):
        """Give the server's UTC time as evidence writes it."""
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    @api.model
    def _insert_entries(self, entries):
        """Insert built entries and move the heads by one statement, the personal values by another.

        :param list entries: (entry, company id) pairs; the heads are locked.
        :return: ids in the order given.
        """
        names = ("chain_id", "seq", "type", "occurred_at")
        columns = [[entry.body[name] for entry, _company in entries] for name in names]
        columns += [[entry.hash for entry, _company in entries], [entry.text for entry, _company in entries]]
        columns += [
            [entry.body["log_id"] for entry, _company in entries],
            [company for _entry, company in entries],
        ]
        self.env.cr.execute(
            SQL(
                """
                WITH new AS (
                    SELECT * FROM unnest(
                        %s::text[], %s::int[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[]
                    ) WITH ORDINALITY
                    AS n (chain_id, seq, type, occurred_at, entry_hash, body, log_id, company_ref, place)
                ), moved AS (
                    UPDATE milestone_billing_evidence_head AS head SET seq = last.seq, hash = last.entry_hash
                      FROM (SELECT DISTINCT ON (chain_id) chain_id, seq, entry_hash
                              FROM new ORDER BY chain_id, seq DESC) AS last
                     WHERE head.chain_id = last.chain_id
                )
                INSERT INTO milestone_billing_evidence
                       (chain_id, seq, type, occurred_at, entry_hash, body, log_id, company_ref)
                SELECT chain_id, seq, type, occurred_at, entry_hash, body, log_id, company_ref FROM new ORDER BY place
                RETURNING id, chain_id, seq
                """,
                *columns,
            )
        )
        ids = {(chain_id, seq): entry_id for entry_id, chain_id, seq in self.env.cr.fetchall()}
        result = [ids[entry.body["chain_id"], entry.body["seq"]] for entry, _company in entries]
        self.env["milestone.billing.evidence.value"]._insert(
            (entry_id, entry, company) for entry_id, (entry, company) in zip(result, entries, strict=True)
        )
        return result

    @api.model
    def _sequence_after_commit(self, entry_ids):
        """Put entries into the company log once they are committed; a cron does it for those that this misses."""
        postcommit = self.env.cr.postcommit
        if POSTCOMMIT_KEY not in postcommit.data:
            postcommit.data[POSTCOMMIT_KEY] = []
            postcommit.add(
                partial(self._run_after_commit, self.env.registry, postcommit.data[POSTCOMMIT_KEY])
            )
        postcommit.data[POSTCOMMIT_KEY] += entry_ids

    @staticmethod
    def _run_after_commit(registry, entry_ids):
        with registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            env["milestone.billing.evidence.leaf"]._sequence_committed(entry_ids)

    # === READING ===

    def _get_body(self):
        """Give the parsed body of one entry."""
        self.ensure_one()
        return json.loads(self.body)

    def _get_part(self, name):
        """Give an object within the body of one entry, empty where somebody broke it: a check goes on after that.

        :param str name: `data`, `subject`, `auth` or `http`.
        :rtype: dict
        """
        self.ensure_one()
        try:
            part = json.loads(self.body)[name]
        except (ValueError, LookupError, TypeError):
            return {}
        return part if isinstance(part, dict) else {}

    @api.depends("type", "seq")
    def _compute_display_name(self):
        for entry in self:
            entry.display_name = f"{entry.seq}: {entry.type}"

    @api.depends("chain_id")
    def _compute_owner_reference(self):
        owners, chains = {}, set(self.mapped("chain_id"))
        for model in ("milestone.billing.line", "milestone.billing.change"):
            found = self.env[model].search_fetch(
                [("evidence_uuid", "in", chains)], ["evidence_uuid", "reference"]
            )
            owners |= {owner.evidence_uuid: owner.reference for owner in found}
        for entry in self:
            log = self.env._("Company log") if entry.chain_id == entry.log_id else False
            entry.owner_reference = owners.get(entry.chain_id) or log

    @api.depends("chain_id")
    @api.depends_context("uid")
    def _compute_is_visible(self):
        visible = self._get_visible_chains(Domain("evidence_uuid", "in", self.mapped("chain_id")))
        for entry in self:
            entry.is_visible = entry.chain_id in visible

    @api.model
    def _search_is_visible(self, operator, value):
        if operator != "in" or set(value) != {True}:
            return NotImplemented
        return Domain("chain_id", "in", self._get_visible_chains(Domain.TRUE))

    @api.model
    def _get_visible_chains(self, domain):
        """Give the chains of what the user may see; rules ask for it with all rights, which do not count here.

        :rtype: set[str]
        """
        chains = set()
        for name in ("milestone.billing.line", "milestone.billing.change"):
            owners = self.env[name].sudo(False)
            if owners.has_access("read"):
                chains.update(owners.search_fetch(domain, ["evidence_uuid"]).mapped("evidence_uuid"))
        return chains
