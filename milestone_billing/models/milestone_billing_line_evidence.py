"""Evidence of what happens to a milestone: writing, reading and checking its chain."""

from odoo import api, fields, models

# Steps of the state machine that no other part of this addon records; the rest have entries of their own.
TRANSITION_EVENTS = {
    "approve_unasked": "approval.not_required",
    "cancel": "milestone.cancelled",
    "reopen": "milestone.reopened",
    "restore": "milestone.reopened",
}

MESSAGE_COUNT_MAX = 5


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

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

    def _transition(self, event, extra=None):
        """Extend the state machine: steps that nothing else records get their entry here."""
        before = {line.id: line.state for line in self}
        result = super()._transition(event, extra)
        if event in TRANSITION_EVENTS:
            self._log_evidence(TRANSITION_EVENTS[event], data=lambda line: {"state_before": before[line.id]})
        return result

    def verify_evidence(self):
        """Check the evidence of one milestone: hashes, order, personal values, state and place in the company log.

        :return: `ok`, `entries` (how many), `head` (last hash), `first_bad_seq` (or None) and `problems`, a list of
            `{"seq", "kind", "verdict", "message"}`; warnings are listed too and leave `ok` true.
        :rtype: dict
        """
        self.ensure_one()
        self.check_access("read")
        return self.env["milestone.billing.evidence"].sudo()._verify_chain(self.evidence_uuid)

    def action_verify_evidence(self):
        """Check the evidence and tell the result in a few words."""
        return self._get_verdict_action(self.verify_evidence())

    @api.model
    def _get_verdict_action(self, result):
        """Give the notification that tells what a check of evidence found.

        :param dict result: of `verify_evidence`.
        :rtype: dict
        """
        if result["ok"]:
            message = self.env._("%s entries verified, nothing was changed.", result["entries"])
        else:
            message = "\n".join(item["message"] for item in result["problems"][:MESSAGE_COUNT_MAX])
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "title": self.env._("Evidence is intact")
                if result["ok"]
                else self.env._("Evidence was changed"),
                "message": message,
                "type": "success" if result["ok"] else "danger",
                "sticky": not result["ok"],
            },
        }
