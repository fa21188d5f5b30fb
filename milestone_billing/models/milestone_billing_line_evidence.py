"""Evidence of what happens to a milestone: writing, reading and checking its chain."""

from odoo import fields, models
from odoo.addons.project.models.project_task import CLOSED_STATES
from odoo.tools import SQL

from ..tools.verify import Problem

# Steps of the state machine that no other part of this addon records; the rest have entries of their own.
TRANSITION_EVENTS = {
    "approve_unasked": "approval.not_required",
    "cancel": "milestone.cancelled",
    "reinstate": "milestone.reinstated",
    "reopen": "milestone.reopened",
    "restore": "milestone.reopened",
}


class MilestoneBillingLine(models.Model):
    _name = "milestone.billing.line"
    _inherit = ["milestone.billing.line", "milestone.billing.evidence.owner"]

    evidence_ids = fields.One2many(
        "milestone.billing.evidence",
        compute="_compute_evidence_ids",
        groups="milestone_billing.milestone_billing_group_project_user,"
        "milestone_billing.milestone_billing_group_auditor",
    )

    def _compute_evidence_ids(self):
        """Not stored and without dependencies: entries come from SQL, so `_log_evidence` drops the cache."""
        entries = self.env["milestone.billing.evidence"].search(
            [("chain_id", "in", self.mapped("evidence_uuid"))]
        )
        by_chain = entries.grouped("chain_id")
        for line in self:
            line.evidence_ids = by_chain.get(line.evidence_uuid, False)

    # === EVIDENCE ===

    def _log_evidence(self, event_type, data=None, pii=None, subject=None, **more):
        """Record one event on the chain of each milestone, with one append for all of them.

        `data`, `pii`, `subject` and each of `more` may be a function of the milestone.

        :param str event_type: as in the list of events, such as `milestone.completed`.
        :param dict data: type-specific values; amounts as strings.
        :param dict pii: personal values by name, kept apart and erasable.
        :param dict subject: which request, snapshot, invoice and link it is about.
        :param more: `auth`, `http`, `actor_kind`, `actor_ref`; without an actor, the user is it.
        :return: the entries, in the order of the milestones.
        """
        parts = {"data": data, "pii": pii, "subject": subject, **more}
        events = []
        for line in self:
            values = {name: part(line) if callable(part) else part for name, part in parts.items()}
            values = {name: value for name, value in values.items() if value is not None}
            events.append(
                {"chain_id": line.evidence_uuid, "company": line.company_id, "type": event_type, **values}
            )
        entries = self.env["milestone.billing.evidence"]._append(events)
        self.invalidate_recordset(["evidence_ids"], flush=False)
        return entries

    def _log_completed(self, trigger):
        """Record that milestones were completed, with the state of their tasks at that time.

        :param str trigger: what caused it; None for a trigger that came before: whoever caused it is the actor.
        """
        tasks = self._count_evidence_tasks()
        actors = {} if trigger else self._get_triggering_actors()
        self._log_evidence(
            "milestone.completed",
            data=lambda line: {**line._prepare_trigger_data(trigger), **tasks.get(line.id, {})},
            actor_kind=lambda line: actors.get(line, {}).get("actor_kind"),
            actor_ref=lambda line: actors.get(line, {}).get("actor_ref"),
        )

    def _prepare_trigger_data(self, trigger):
        self.ensure_one()
        if trigger:
            return {"trigger": trigger}
        moment = f"{fields.Datetime.to_string(self.triggered_on).replace(' ', 'T')}.000000Z"
        return {"trigger": self.trigger, "triggered_at": moment}

    def _count_evidence_tasks(self):
        """Count the tasks of milestones, closed ones among them, and name the stages they stand in.

        :return: values for the evidence by milestone id; nothing for milestones without tasks.
        :rtype: dict[int, dict]
        """
        lines = self.filtered("project_id")
        if not lines:
            return {}
        self.env["project.task"].flush_model(
            ["milestone_billing_line_id", "milestone_id", "stage_id", "state"]
        )
        lines.flush_recordset(["project_milestone_id"])
        self.env.cr.execute(
            SQL(
                """
                SELECT line_id, count(*), count(*) FILTER (WHERE state IN %s),
                       array_agg(DISTINCT stage_id ORDER BY stage_id) FILTER (WHERE stage_id IS NOT NULL)
                  FROM (SELECT milestone_billing_line_id AS line_id, id, state, stage_id FROM project_task
                         WHERE active AND milestone_billing_line_id IN %s
                         UNION
                        SELECT line.id, task.id, task.state, task.stage_id FROM milestone_billing_line AS line
                          JOIN project_task AS task ON task.milestone_id = line.project_milestone_id
                         WHERE task.active AND line.id IN %s) AS task
              GROUP BY line_id
                """,
                tuple(CLOSED_STATES),
                lines._ids,
                lines._ids,
            )
        )
        return {
            line_id: {"tasks_total": total, "tasks_closed": closed, "stage_ids": stages or []}
            for line_id, total, closed, stages in self.env.cr.fetchall()
        }

    def _transition(self, event, extra=None):
        """Extend the state machine: steps that nothing else records get their entry here."""
        before = {line.id: line.state for line in self}
        result = super()._transition(event, extra)
        if event in TRANSITION_EVENTS:
            self._log_evidence(TRANSITION_EVENTS[event], data=lambda line: {"state_before": before[line.id]})
        return result

    # === DOCUMENTS ===

    def _find_document_problems(self, is_deep=False):
        """Compare the documents that stand outside the chain with it: files that were shown, mails that were sent.

        :param bool is_deep: read every file; else only see whether one of that size is there.
        :return: `tools.verify.Problem` items.
        """
        problems = super()._find_document_problems(is_deep)
        Link = self.env["milestone.billing.approval.link"]
        for line in self:
            problems += [Problem(None, "file", text) for text in line._find_file_problems(is_deep)]
            problems += [
                Problem(seq, "mail", text) for seq, text in Link._find_mail_problems(line.evidence_uuid)
            ]
        return problems

    def _find_file_problems(self, is_deep):
        """Find files of snapshots that are not there, or not as they were shown."""
        self.ensure_one()
        rows = self.env["milestone.billing.evidence.snapshot"]._fetch_rows(self.evidence_uuid)
        # One whose bytes were changed is named by the check of the chain, and shows nothing.
        wanted = {
            (item.get("sha256"), item.get("size")): item.get("name")
            for snapshot in self.env["milestone.billing.evidence"]._parse_snapshots(rows).values()
            for item in snapshot.get("files", ())
        }
        files = self._get_evidence_attachments() if wanted else ()
        for (digest, size), name in wanted.items():
            found = [file for file in files if size is None or file.file_size == size]
            if not found:
                yield f"the file “{name}”, which was shown, is gone or has another size"
            elif is_deep and not any(file._has_sha256(digest) for file in found):
                yield f"the file “{name}” is not as it was shown"
