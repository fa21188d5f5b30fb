import logging

from odoo import api, fields, models
from odoo.tools import SQL

from ..tools.verify import extend_frontier, frontier_root, leaf_hash
from .milestone_billing_evidence_leaf import LATE_SECONDS

_logger = logging.getLogger(__name__)
CHAIN_CHUNK = 100
LEAF_CHUNK = 5000
MESSAGE_COUNT_MAX = 20


class MilestoneBillingEvidenceCheck(models.Model):
    """One nightly run over all evidence: what was checked, what was found."""

    _name = "milestone.billing.evidence.check"
    _description = "Evidence Verification"
    _order = "id desc"

    date_start = fields.Datetime(string="Started", readonly=True, default=fields.Datetime.now)
    date_end = fields.Datetime(string="Finished", readonly=True)
    chain_count = fields.Integer(string="Chains", readonly=True)
    entry_count = fields.Integer(string="Entries", readonly=True)
    problem_count = fields.Integer(string="Problems", readonly=True)
    position = fields.Char(readonly=True, help="The last chain that was checked; the run goes on after it.")
    note = fields.Text(string="Findings", readonly=True)

    def _compute_display_name(self):
        for check in self:
            check.display_name = fields.Datetime.to_string(check.date_start)

    @api.model
    def _cron_verify(self):
        """Check all chains and logs; works in chunks and goes on where it stopped."""
        check = self.search([("date_end", "=", False)], limit=1) or self.create({})
        cron = self.env["ir.cron"]
        while chains := check._get_next_chains():
            check._verify_chains(chains)
            if not cron._commit_progress(len(chains), remaining=check._count_remaining()):
                return
        check._verify_logs()
        check.date_end = fields.Datetime.now()
        cron._commit_progress(1, remaining=0)

    def _get_next_chains(self):
        """Give the next chains by their heads and by their entries, so that deleting a head hides nothing."""
        self.env.cr.execute(
            SQL(
                """
                (SELECT chain_id FROM milestone_billing_evidence_head WHERE chain_id > %(position)s
                  ORDER BY chain_id LIMIT %(limit)s)
                UNION
                (SELECT DISTINCT chain_id FROM milestone_billing_evidence WHERE chain_id > %(position)s
                  ORDER BY chain_id LIMIT %(limit)s)
                ORDER BY chain_id LIMIT %(limit)s
                """,
                position=self.position or "",
                limit=CHAIN_CHUNK,
            )
        )
        return [chain_id for (chain_id,) in self.env.cr.fetchall()]

    def _count_remaining(self):
        domain = [("chain_id", ">", self.position or "")]
        return self.env["milestone.billing.evidence.head"].sudo().search_count(domain) + 1

    def _verify_chains(self, chains):
        Evidence = self.env["milestone.billing.evidence"].sudo()
        entry_count = 0
        for chain_id in chains:
            result = Evidence._verify_chain(chain_id)
            entry_count += result["entries"]
            if not result["ok"]:
                self._report(chain_id, result)
        self.chain_count += len(chains)
        self.entry_count += entry_count
        self.position = chains[-1]

    # === COMPANY LOGS ===

    def _verify_logs(self):
        """Check triggers, and each log against its entries and checkpoints."""
        for name in self.env:
            model = self.env[name]
            if getattr(model, "_erasable_columns", None) is not None and not model._abstract:
                for guard in model._get_missing_guards():
                    self._report_log(None, f"the trigger {guard} is missing or switched off")
        for log in self.env["milestone.billing.evidence.log"].sudo().search([]):  # pylint: disable=no-search-all
            for message in (*self._find_log_gaps(log), *self._find_forks(log)):
                self._report_log(log, message)

    def _find_log_gaps(self, log):
        """Find entries that stay out of the log, and places of the log whose entry is gone."""
        self.env.cr.execute(
            SQL(
                """
                SELECT count(*) FROM milestone_billing_evidence AS entry
                 WHERE entry.log_id = %s AND entry.occurred_at < %s AND NOT EXISTS (
                       SELECT 1 FROM milestone_billing_evidence_leaf AS leaf WHERE leaf.entry_hash = entry.entry_hash)
                """,
                log.log_id,
                self._get_late_time(),
            )
        )
        late = self.env.cr.fetchone()[0]
        if late:
            yield f"{late} entries have been waiting for their place for more than {LATE_SECONDS // 60} minutes"
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

    def _find_forks(self, log):
        """Recompute the tree in one pass and compare it with every checkpoint and with the recorded size."""
        Checkpoint = self.env["milestone.billing.evidence.checkpoint"].sudo()
        checkpoints = {item.size: item for item in Checkpoint.search([("log_id", "=", log.log_id)])}
        frontier, size = [], 0
        for index, entry_hash in self._iterate_leaves(log.log_id):
            if index != size:
                yield f"place {size} of the log is missing"
                return
            extend_frontier(frontier, leaf_hash(entry_hash))
            size += 1
            checkpoint = checkpoints.pop(size, None)
            if checkpoint and checkpoint.root != frontier_root(frontier).hex():
                yield f"the log does not have the root that the checkpoint of size {size} signed"
        if checkpoints or log.size != size:
            yield f"the log has {size} places, {max([log.size, *checkpoints])} were recorded"

    def _iterate_leaves(self, log_id):
        last = -1
        while True:
            self.env.cr.execute(
                SQL(
                    """
                    SELECT index, entry_hash FROM milestone_billing_evidence_leaf
                     WHERE log_id = %s AND index > %s ORDER BY index LIMIT %s
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

    # === ALARM ===

    def _report(self, chain_id, result):
        """Record a broken chain on itself, once for each finding, and call somebody."""
        problem = next(item for item in result["problems"] if item["verdict"] == "FAIL")
        data = {"first_bad_seq": result["first_bad_seq"], "kind": problem["kind"]}
        line = self.env["milestone.billing.line"].sudo().search([("evidence_uuid", "=", chain_id)], limit=1)
        company = line.company_id or self.env.company
        self._note(f"{line.reference or chain_id}: {problem['message']}")
        self._log_failure(chain_id, company, data)
        if line:
            self._schedule_alarm(line, problem["message"])

    def _report_log(self, log, message):
        """Record a broken company log on the company's own chain, once for each finding."""
        self._note(message)
        if log:
            company = self.env["res.company"].browse(log.company_ref).exists() or self.env.company
            self._log_failure(log.log_id, company, {"first_bad_seq": None, "kind": "log", "message": message})

    def _note(self, message):
        _logger.error("Evidence verification: %s", message)
        lines = (self.note or "").splitlines()
        self.problem_count += 1
        if len(lines) < MESSAGE_COUNT_MAX:
            self.note = "\n".join([*lines, message])

    def _log_failure(self, chain_id, company, data):
        Evidence = self.env["milestone.billing.evidence"].sudo()
        domain = [("chain_id", "=", chain_id), ("type", "=", "integrity.failed")]
        known = Evidence.search(domain, order="seq desc", limit=1)
        if not known or known._get_body()["data"] != data:
            event = {"chain_id": chain_id, "company": company, "type": "integrity.failed", "data": data}
            Evidence._append([{**event, "actor_kind": "system"}])

    def _schedule_alarm(self, line, message):
        """Put an urgent activity on the milestone for a billing manager of its company, unless one is open."""
        group = self.env.ref("milestone_billing.milestone_billing_group_billing_manager")
        managers = group.sudo().all_user_ids.filtered(
            lambda user: line.company_id in user.company_ids and not user.share and user.active
        )
        summary = self.env._("Evidence check failed")
        if not managers or line.activity_ids.filtered(lambda activity: activity.summary == summary):
            return
        line.activity_schedule(
            "mail.mail_activity_data_warning",
            summary=summary,
            note=self.env._(
                "The evidence of this milestone was changed outside the application: %s", message
            ),
            user_id=managers[0].id,
        )
