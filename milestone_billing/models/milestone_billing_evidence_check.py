import logging

from odoo import api, fields, models
from odoo.tools import SQL

_logger = logging.getLogger(__name__)
CHAIN_CHUNK = 100
MESSAGE_COUNT_MAX = 20


class MilestoneBillingEvidenceCheck(models.Model):
    """One nightly run over all evidence: what was checked, what was found."""

    _name = "milestone.billing.evidence.check"
    _description = "Evidence Verification"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    # Who reads it may close the alarm; there is nothing to write.
    _mail_post_access = "read"
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
        check._raise_alarm()
        cron._commit_progress(1, remaining=0)

    def _get_next_chains(self):
        """Give the next chains that any table names, so that deleting the rows of one hides nothing."""
        tables = ("_head", "", "_value", "_snapshot", "_leaf")
        parts = SQL(" UNION ").join(
            SQL(
                "(SELECT DISTINCT chain_id FROM %s WHERE chain_id > %s ORDER BY chain_id LIMIT %s)",
                SQL.identifier(f"milestone_billing_evidence{table}"),
                self.position or "",
                CHAIN_CHUNK,
            )
            for table in tables
        )
        self.env.cr.execute(SQL("%s ORDER BY chain_id LIMIT %s", parts, CHAIN_CHUNK))
        return [chain_id for (chain_id,) in self.env.cr.fetchall()]

    def _count_remaining(self):
        domain = [("chain_id", ">", self.position or "")]
        return self.env["milestone.billing.evidence.head"].sudo().search_count(domain) + 1

    def _verify_chains(self, chains):
        """Verify some chains and note how far this check came."""
        Evidence = self.env["milestone.billing.evidence"].sudo()
        lines = self.env["milestone.billing.line"].sudo().search([("evidence_uuid", "in", chains)])
        by_chain = lines.grouped("evidence_uuid")
        entry_count = 0
        for chain_id in chains:
            result = Evidence._verify_chain(chain_id)
            entry_count += result["entries"]
            line = by_chain.get(chain_id, lines.browse())
            problems = [item for item in result["problems"] if item["verdict"] == "FAIL"]
            problems += [item._asdict() for item in line._find_document_problems()]
            if problems:
                self._report(chain_id, line, problems, result["first_bad_seq"])
        self.chain_count += len(chains)
        self.entry_count += entry_count
        self.position = chains[-1]
        # What was read of these chains is not needed for the next ones.
        self.env.flush_all()
        self.env.invalidate_all()

    # === FINDINGS ===

    def _report(self, chain_id, line, problems, first_bad_seq):
        """Record a broken chain on itself, once for each finding, and call somebody."""
        owner = line or self.env["milestone.billing.change"].sudo().search([("evidence_uuid", "=", chain_id)])
        problem = problems[0]
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        self._note(f"{owner.reference if owner else chain_id}: {problem['message']}{more}")
        data = {"first_bad_seq": first_bad_seq, "kind": problem["kind"]}
        is_new = self._log_failure(chain_id, owner.company_id or self._find_company(chain_id), data)
        if line and is_new:
            self._schedule_alarm(line, problem["message"])

    @api.model
    def _find_company(self, chain_id):
        head = (
            self.env["milestone.billing.evidence.head"].sudo().search([("chain_id", "=", chain_id)], limit=1)
        )
        return self.env["res.company"].browse(head.company_ref).exists() or self.env.company

    def _note(self, message):
        _logger.error("Evidence verification: %s", message)
        lines = (self.note or "").splitlines()
        self.problem_count += 1
        if len(lines) < MESSAGE_COUNT_MAX:
            self.note = "\n".join([*lines, message])

    def _log_failure(self, chain_id, company, data):
        """Record a finding on its chain, unless it is there already.

        :return: whether it is new.
        :rtype: bool
        """
        Evidence = self.env["milestone.billing.evidence"].sudo()
        known = Evidence.search([("chain_id", "=", chain_id), ("type", "=", "integrity.failed")])
        if data in [entry._get_part("data") for entry in known]:
            return False
        event = {"chain_id": chain_id, "company": company, "type": "integrity.failed", "data": data}
        Evidence._append([{**event, "actor_kind": "system"}])
        return True

    # === ALARM ===

    @api.model
    def _get_managers(self, company):
        """Give the billing managers of a company."""
        group = self.env.ref("milestone_billing.milestone_billing_group_billing_manager")
        return group.sudo().all_user_ids.filtered(
            lambda user: company in user.company_ids and not user.share and user.active
        )

    def _schedule_alarm(self, line, message):
        """Put an urgent activity on the milestone for a billing manager of its company, unless one is open."""
        managers = self._get_managers(line.company_id)
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

    def _raise_alarm(self):
        """Call a billing manager of each company when a run found something, unless the same alarm is still open."""
        if not self.problem_count:
            return
        companies = self.env["res.company"].sudo().search([])  # pylint: disable=no-search-all
        managers = self.env["res.users"].union(*(self._get_managers(company)[:1] for company in companies))
        last = self.search([("id", "<", self.id)], limit=1)
        if last.note == self.note:
            # Known since the last run. An open alarm moves on to this one; one that was closed is not raised again.
            managers = last.activity_ids.user_id
            last.activity_unlink(["mail.mail_activity_data_warning"])
        for user in managers:
            self.activity_schedule(
                "mail.mail_activity_data_warning",
                summary=self.env._("Evidence check failed"),
                note=self.env._("The nightly check of the evidence found %s problems.", self.problem_count),
                user_id=user.id,
            )
