import logging
import uuid
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import AccessError

from ..tools.approval_rules import needed_approvals, required_level
from ..tools.transitions import APPROVAL_TRANSITIONS, TransitionError, next_state
from .milestone_billing_line_state import INTERNAL_WRITE

_logger = logging.getLogger(__name__)

APPROVAL_STATES = [
    ("requested", "Requested"),
    ("approved", "Approved"),
    ("changes_requested", "Changes requested"),
    ("declined", "Declined"),
    ("expired", "Expired"),
    ("superseded", "Superseded"),
    ("cancelled", "Cancelled"),
    ("contested", "Contested"),
    ("deemed_accepted", "Deemed accepted"),
]
LEVEL_SELECTION = [
    ("L1", "Personal link"),
    ("L2", "Link and code, or portal login"),
    ("L3", "Portal login with a second factor"),
    ("L4", "Own key over the submission"),
]


class MilestoneBillingApproval(models.Model):
    """One round of asking the client for a decision on a milestone, with what was asked frozen."""

    _name = "milestone.billing.approval"
    _description = "Milestone Submission"
    _inherit = "milestone.billing.turn"
    _order = "line_id, revision desc"
    _rec_name = "uuid"

    line_id = fields.Many2one(
        "milestone.billing.line",
        string="Milestone",
        required=True,
        index=True,
        ondelete="restrict",
        readonly=True,
    )
    order_id = fields.Many2one(related="line_id.order_id", store=True, index=True, precompute=True)
    company_id = fields.Many2one(related="line_id.company_id", store=True, index=True, precompute=True)
    partner_id = fields.Many2one(related="line_id.partner_id", store=True, index=True, precompute=True)
    revision = fields.Integer(required=True, readonly=True)
    state = fields.Selection(APPROVAL_STATES, default="requested", required=True, readonly=True, index=True)
    uuid = fields.Char(required=True, readonly=True, default=lambda self: str(uuid.uuid4()))

    # What was asked
    move_id = fields.Many2one(
        "account.move", string="Draft Invoice", readonly=True, index="btree_not_null", ondelete="set null"
    )
    currency_id = fields.Many2one(related="line_id.currency_id")
    amount_total = fields.Monetary(readonly=True, help="Total, tax included, as it was submitted.")
    snapshot_sha256 = fields.Char(string="Snapshot SHA-256", readonly=True)
    content_sha256 = fields.Char(string="Invoice Content SHA-256", readonly=True)
    attachment_ids = fields.Many2many(
        "ir.attachment",
        "milestone_billing_approval_proof_rel",
        "approval_id",
        "attachment_id",
        string="Submitted Proof",
        readonly=True,
    )
    lang = fields.Char(readonly=True)

    # Who has to decide, frozen with it
    quorum = fields.Integer(string="Approvals Needed", default=1, readonly=True)
    level_required = fields.Selection(
        LEVEL_SELECTION, string="Assurance Required", default="L1", readonly=True, required=True
    )
    is_deemed_acceptance = fields.Boolean(
        string="Counts as Accepted When Expired",
        readonly=True,
        help="The company's policy when it was submitted: without an answer in time the work counts as accepted.",
    )
    expires_on = fields.Datetime(readonly=True)
    seat_ids = fields.One2many("milestone.billing.approval.seat", "approval_id", string="Approvers")
    link_ids = fields.One2many("milestone.billing.approval.link", "approval_id", string="Links")
    decision_ids = fields.One2many("milestone.billing.approval.decision", "approval_id", string="Decisions")

    # Result
    decided_on = fields.Datetime(readonly=True)
    level = fields.Selection(
        LEVEL_SELECTION, string="Assurance Reached", readonly=True, help="The lowest of all who approved."
    )
    has_reservations = fields.Boolean(readonly=True)
    is_on_behalf = fields.Boolean(
        string="Recorded by Staff", readonly=True, help="A phone or paper approval that staff recorded."
    )
    paper_id = fields.Many2one(
        "ir.attachment",
        readonly=True,
        index="btree_not_null",
        ondelete="set null",
        help="The document of an approval that staff recorded; it stays as it is.",
    )
    contested_on = fields.Datetime(readonly=True)

    _revision_unique = models.UniqueIndex(
        "(line_id, revision)", "This revision of the milestone was already submitted."
    )
    _uuid_unique = models.UniqueIndex("(uuid)", "Two submissions cannot share an identifier.")
    _open_unique = models.UniqueIndex(
        "(line_id) WHERE state = 'requested'", "The milestone is already with the client."
    )
    _quorum_positive = models.Constraint("CHECK (quorum > 0)", "At least one approval is needed.")

    # === COMPUTE ===

    @api.depends("line_id.display_name", "revision")
    def _compute_display_name(self):
        for approval in self:
            approval.display_name = self.env._(
                "%(milestone)s, revision %(revision)s",
                milestone=approval.line_id.display_name,
                revision=approval.revision,
            )

    # === CRUD ===

    @api.model_create_multi
    def create(self, vals_list):
        """Refuse submissions that are not made by sending."""
        self._check_internal()
        return super().create(vals_list)

    def write(self, vals):
        """Refuse changes but by the steps of a submission."""
        self._check_internal()
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise AccessError(self.env._("Submissions are kept. Cancel the milestone instead."))

    @api.model
    def _check_internal(self):
        if self.env.context.get("milestone_internal_write") is not INTERNAL_WRITE:
            raise AccessError(
                self.env._("Submissions change by their own steps only: send, decide, withdraw.")
            )

    def _internal(self):
        """Give these records in an environment that may write; callers have checked that it may be done."""
        return self.sudo().with_context(milestone_internal_write=INTERNAL_WRITE)

    # === STATE ===

    def _lock(self):
        """Take the row locks, so that two decisions on the same submission never overlap."""
        self.env.cr.execute(
            "SELECT id FROM milestone_billing_approval WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [self.ids]
        )

    def _transition(self, event, extra=None):
        """Move submissions along their table; those that may not move stay as they are.

        :param str event: an event of `tools/transitions.py`.
        :param dict extra: further values to write with the state.
        :return: those that moved.
        :rtype: milestone.billing.approval
        """
        by_target = {}
        for approval in self:
            try:
                target = next_state(approval.state, event, APPROVAL_TRANSITIONS)
            except TransitionError as error:
                _logger.info("submission %s: %s", approval.uuid, error)
                continue
            by_target[target] = by_target.get(target, self.browse()) + approval
        for target, approvals in by_target.items():
            approvals._internal().write({"state": target, **(extra or {})})
        return self.browse().union(*by_target.values())

    # === ASKING ===

    @api.model
    def _request(self, lines):
        """Open a new submission for each milestone: frozen content, seats of the approvers, queued links.

        :param lines: milestones whose drafts exist.
        :rtype: milestone.billing.approval
        """
        lines.approval_ids.filtered(lambda approval: approval.state == "requested")._supersede(
            "submitted again"
        )
        lines.approval_ids.filtered("ask_again_on")._internal().ask_again_on = False
        # The index sees one open submission for each milestone: the old one must be closed there first.
        self.flush_model(["state"])
        approvals = self._internal().create([self._prepare_values(line) for line in lines])
        self.env["milestone.billing.approval.seat"].sudo().create(
            [values for approval in approvals for values in approval._prepare_seat_values()]
        )
        approvals._freeze()
        approvals._queue_links()
        return approvals.with_env(self.env)

    @api.model
    def _prepare_values(self, line):
        """Give the values of a new submission of a milestone.

        :rtype: dict
        """
        company, move = line.company_id, line._get_live_invoice()
        amount = line._get_company_amount(move)
        return {
            "line_id": line.id,
            "revision": max(line.sudo().approval_ids.mapped("revision"), default=0) + 1,
            "move_id": move.id,
            "amount_total": move.amount_total,
            "attachment_ids": [fields.Command.set(line.sudo().proof_ids.ids)],
            "lang": line.partner_id.lang or self.env.lang or "en_US",
            "quorum": line._get_needed_approvals(amount),
            "level_required": line._get_required_level(amount),
            "is_deemed_acceptance": company.milestone_deemed_acceptance,
            "expires_on": company._get_milestone_deadline(company.milestone_link_days),
        }

    def _prepare_seat_values(self):
        self.ensure_one()
        return [{"approval_id": self.id, **values} for values in self.line_id._get_approver_values()]

    def _queue_links(self):
        """Queue a personal link for each approver; a job makes the secrets and the mails after commit."""
        self.env["milestone.billing.approval.link"]._queue(self.seat_ids)

    # === WITHDRAWING ===

    def _cancel_open(self, reason):
        """Withdraw the submissions that still wait for the client.

        :param str reason: recorded with it.
        """
        cancelled = self.sudo()._transition("cancel")
        cancelled._log("request.cancelled", data={"reason": reason})
        cancelled.link_ids._revoke(reason)

    def _supersede(self, reason, fields=()):
        """Replace submissions whose content changed; what was approved before does not carry over.

        :param str reason: recorded with it.
        :param list fields: names of what was changed, as far as they are known.
        """
        replaced, more = self.sudo()._transition("supersede"), {"fields": list(fields)} if fields else {}
        replaced._log(
            "request.superseded",
            data=lambda approval: {"reason": reason, "new_revision": approval.revision + 1, **more},
        )
        replaced.link_ids._revoke(reason, keep_readable=True)

    # === EVIDENCE ===

    def _log(self, event_type, data=None, **more):
        """Record an event on the chains of these submissions' milestones, one append for all.

        :param data: values, or a function of the submission that gives them.
        :return: the entries, in the order of the submissions.
        """
        if not self:
            return None
        events = [
            {
                "chain_id": approval.line_id.evidence_uuid,
                "company": approval.company_id,
                "type": event_type,
                "data": data(approval) if callable(data) else data or {},
                **more,
                "subject": {**approval._get_subject(), **more.get("subject", {})},
            }
            for approval in self.sudo()
        ]
        return self.env["milestone.billing.evidence"].sudo()._append(events)

    def _get_subject(self):
        self.ensure_one()
        subject = {
            "request_id": self.uuid,
            "revision": self.revision,
            "snapshot_sha256": self.snapshot_sha256 or None,
        }
        return {name: value for name, value in subject.items() if value is not None}


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _get_approvers(self):
        """Give who is asked: the schedule's approvers, else the customer of the order; nobody who is archived.

        :rtype: list[tuple[res.partner, str, float]]
        """
        self.ensure_one()
        return self.sudo().schedule_id._get_active_approvers()

    def _get_approver_values(self):
        return [
            {"partner_id": partner.id, "role": role, "amount_limit": limit}
            for partner, role, limit in self._get_approvers()
        ]

    def _get_company_amount(self, move):
        """Give the total of a draft in company currency, today.

        :rtype: Decimal
        """
        company = self.company_id
        amount = move.currency_id._convert(
            move.amount_total, company.currency_id, company, company._get_milestone_today()
        )
        return Decimal(str(amount))

    def _get_needed_approvals(self, amount):
        """Give how many approvers have to approve an amount.

        :param Decimal amount: total in company currency.
        :rtype: int
        """
        second = self.company_id.milestone_second_approver_above
        is_second_needed = bool(second and amount > Decimal(str(second)))
        return needed_approvals(self.schedule_id.quorum, len(self._get_approvers()), is_second_needed)

    def _get_required_level(self, amount):
        company = self.company_id
        passkey = company.milestone_passkey_above
        return required_level(
            amount,
            Decimal(str(company.milestone_level2_above)),
            Decimal(str(passkey)) if passkey else None,
        )

    def _get_obstacle(self):
        """Override to refuse a milestone whose approvers can never reach the number of approvals needed."""
        return super()._get_obstacle() or self._get_quorum_obstacle()

    def _get_quorum_obstacle(self):
        if not self.approval_required:
            return False
        if not self._get_approvers():
            return self._get_nobody_sentence()
        if not self.schedule_id.approver_ids:
            return False
        able = [
            limit
            for _partner, _role, limit in self._get_approvers()
            if not limit or limit >= self.amount_total
        ]
        needed = needed_approvals(self.schedule_id.quorum, len(self._get_approvers()))
        if len(able) >= needed:
            return False
        return self.env._(
            "“%(name)s” needs %(needed)s approvals, but only %(able)s approvers may approve its amount. "
            "Raise a limit or add an approver on the schedule.",
            name=self.name,
            needed=needed,
            able=len(able),
        )

    def _get_nobody_sentence(self):
        schedule = self.sudo().schedule_id
        people = schedule.approver_ids.partner_id or schedule.order_id.partner_id
        return self.env._(
            "Nobody is left to approve “%(name)s”, since these contacts are archived: %(people)s. Restore one of them, "
            "or name another approver on the schedule.",
            name=self.name,
            people=", ".join(people.mapped("name")),
        )


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def _get_active_approvers(self):
        """Give the approvers of this schedule, else the customer of its order, without archived contacts.

        :return: contact, role and limit of each.
        :rtype: list[tuple[res.partner, str, float]]
        """
        self.ensure_one()
        approvers = self.approver_ids
        seats = [(item.partner_id, item.role or "", item.amount_limit) for item in approvers]
        found = seats if approvers else [(self.order_id.partner_id, "", 0.0)]
        return [seat for seat in found if seat[0].active]
