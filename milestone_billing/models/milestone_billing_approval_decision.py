import hashlib
import secrets
import uuid
from datetime import UTC, datetime
from typing import NamedTuple

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import AccessError, UserError

from ..tools.approval_rules import (
    CLOSED_STATES,
    KEY_PATTERN,
    LEVELS,
    REFUSALS,
    fingerprint,
    meets_level,
)
from ..tools.verify import canonical, tagged_hash
from .milestone_billing_approval import LEVEL_SELECTION
from .milestone_billing_line_state import INTERNAL_WRITE

EVENTS = {
    "approve": "approval.granted",
    "changes": "approval.changes_requested",
    "decline": "approval.declined",
}
TRANSITIONS = {"changes": "request_changes", "decline": "decline"}
REFUSALS_PER_HOUR_MAX = 20
REASON_CODES = ("not_done", "quality", "amount", "wrong_person", "other")
TEXT_SIZE_MAX = 4000
RESERVATIONS_MAX = 20


class Visitor(NamedTuple):
    """Who decides, and how we know: filled by the portal from session and request, never from the form."""

    seat: models.BaseModel
    actor_kind: str = "link_holder"
    level: str = "L1"
    methods: tuple = ("link",)
    auth: dict = {}
    http: dict = {}
    pii: dict = {}
    link_uuid: str = ""
    presented_at: float = 0.0
    reading_s: int = 0
    files_opened: int = 0
    locale: str = ""


class Outcome(NamedTuple):
    """What became of an attempt: `recorded`, or the reason of the refusal, and the HTTP status that says it."""

    code: str
    status: int = 200


class MilestoneBillingApprovalDecision(models.Model):
    """What one approver decided; one for each approver and submission."""

    _name = "milestone.billing.approval.decision"
    _description = "Approver's Decision"
    _order = "id"
    _rec_name = "decision"

    approval_id = fields.Many2one(
        "milestone.billing.approval", required=True, readonly=True, index=True, ondelete="restrict"
    )
    company_id = fields.Many2one(related="approval_id.company_id", store=True, index=True)
    partner_id = fields.Many2one(
        "res.partner", string="Approver", required=True, readonly=True, ondelete="restrict"
    )
    decision = fields.Selection(
        [
            ("approve", "Approved"),
            ("approve_with_reservations", "Approved with reservations"),
            ("changes", "Changes requested"),
            ("decline", "Declined"),
        ],
        required=True,
        readonly=True,
    )
    level = fields.Selection(LEVEL_SELECTION, readonly=True)
    reason_code = fields.Char(readonly=True)
    reason = fields.Text(readonly=True, help="The reason, or the reservations, in the client's words.")
    idempotency_key = fields.Char(readonly=True)
    fingerprint = fields.Char(readonly=True, help="SHA-256 of what was decided.")
    event_id = fields.Char(string="Evidence Event", readonly=True)

    _approver_unique = models.UniqueIndex(
        "(approval_id, partner_id)", "This approver has already decided about this submission."
    )
    _key_unique = models.UniqueIndex(
        "(approval_id, partner_id, idempotency_key)", "This answer was already recorded."
    )

    @api.model_create_multi
    def create(self, vals_list):
        """Refuse decisions that nobody took."""
        self._check_internal()
        return super().create(vals_list)

    def write(self, vals):
        """Refuse to change a decision."""
        self._check_internal()
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise AccessError(self.env._("Decisions of the client are kept."))

    @api.model
    def _check_internal(self):
        if self.env.context.get("milestone_internal_write") is not INTERNAL_WRITE:
            raise AccessError(
                self.env._("Decisions are made by the client and cannot be entered or changed.")
            )


class MilestoneBillingApproval(models.Model):
    _inherit = "milestone.billing.approval"

    # === DECIDING ===

    def _decide(self, kind, visitor, form):
        """Take the decision of an approver, once.

        The same form sent twice has the same outcome. A refusal is returned and recorded, never raised: raising
        would roll its evidence back.

        :param str kind: `approve`, `changes` or `decline`.
        :param Visitor visitor: who decides.
        :param dict form: `snapshot_sha256`, `idempotency_key`, and for an approval `accept`, `consent_sha256`,
            `typed_name`, `reservations` (list), `otp`; else `reason_code` and `reason`.
        :rtype: Outcome
        """
        self.ensure_one()
        approval = self.with_user(SUPERUSER_ID).sudo().with_context(lang=self.lang)
        if not approval._try_lock():
            return Outcome("busy", REFUSALS["busy"])
        approval._lock()
        kept = approval._find_replay(kind, visitor, form)
        if kept:
            return kept
        visitor = approval._raise_level(kind, visitor, form)
        reason = approval._get_refusal(kind, visitor, form)
        if reason:
            return approval._refuse(reason, kind, visitor)
        decision = approval._record_decision(kind, visitor, form)
        approval._apply_decision(kind, decision, visitor)
        return Outcome("recorded")

    def _find_replay(self, kind, visitor, form):
        decision = visitor.seat._get_decision() if visitor.seat else None
        if not decision or decision.idempotency_key != form["idempotency_key"]:
            return None
        if decision.fingerprint == self._get_fingerprint(kind, form):
            return Outcome("recorded")
        return Outcome("key_reused", REFUSALS["key_reused"])

    @api.model
    def _get_fingerprint(self, kind, form):
        names = (
            "snapshot_sha256",
            "consent_sha256",
            "accept",
            "typed_name",
            "reservations",
            "reason_code",
            "reason",
        )
        return fingerprint({"kind": kind, **{name: form.get(name) or "" for name in names}})

    def _get_refusal(self, kind, visitor, form):
        """Find why this attempt cannot count, or False.

        :rtype: str | bool
        """
        reason = self._get_state_refusal() or self._get_person_refusal(visitor)
        if reason:
            return reason
        if self._is_stale(visitor, form):
            return "stale_snapshot"
        if self._get_drift():
            return "invoice_drift"
        if kind == "approve":
            return self._get_approve_refusal(visitor, form)
        return False if (form.get("reason") or "").strip() else "reason_missing"

    def _is_stale(self, visitor, form):
        """Tell whether a form is not one of ours for this submission: of another snapshot, never shown, or made up."""
        if form["snapshot_sha256"] != self.snapshot_sha256 or not visitor.presented_at:
            return True
        return not KEY_PATTERN.match(form["idempotency_key"])

    def _get_state_refusal(self):
        if self.state != "requested":
            return CLOSED_STATES[self.state]
        return "expired" if self.expires_on <= fields.Datetime.now() else False

    def _get_person_refusal(self, visitor):
        if visitor.actor_kind == "internal_user":
            return "self_approval"
        if not visitor.seat:
            return "not_approver"
        return "already_decided" if visitor.seat._get_decision() else False

    def _get_approve_refusal(self, visitor, form):
        consent = self._get_consent_sha256()
        if form.get("accept") != "1" or form.get("consent_sha256") != consent or not form.get("typed_name"):
            return "consent_missing"
        if self._is_over_limit(visitor.seat):
            return "over_limit"
        if meets_level(visitor.level, self.level_required):
            return False
        return "otp_required" if self.level_required == "L2" else "level_too_low"

    def _get_consent_sha256(self):
        """Give the hash of the sentence shown: plain SHA-256 of its text.

        :rtype: str
        """
        snapshot = self._get_snapshot() or {}
        return hashlib.sha256((snapshot.get("consent") or {}).get("text", "").encode()).hexdigest()

    def _raise_level(self, kind, visitor, form):
        """Redeem a code that came with the form, when that is all that is missing."""
        if (
            kind != "approve"
            or not form.get("otp")
            or self._get_refusal(kind, visitor, form) != "otp_required"
        ):
            return visitor
        Code = self.env["milestone.billing.approval.code"]
        data = Code._prepare_attempt(visitor.seat)
        code = Code._redeem(visitor.seat, form["otp"])
        self._log_visit("auth.otp_verified" if code else "auth.otp_failed", visitor, data=data)
        if not code:
            return visitor
        return visitor._replace(level="L2", methods=(*visitor.methods, f"otp_{code.channel}"))

    # === REFUSING ===

    def _refuse(self, reason, kind, visitor):
        """Record a refused attempt of somebody we know, within reason, and ask again when the draft has changed."""
        outcome = Outcome(reason, REFUSALS[reason])
        if visitor.actor_kind == "internal_user" and not visitor.seat:
            return outcome
        key = f"approval,{self.id},{visitor.seat.id or visitor.auth.get('session_tag', '')}"
        if not self.env["milestone.billing.attempt"]._take("refused", key, REFUSALS_PER_HOUR_MAX, 60):
            return Outcome("rate_limited", REFUSALS["rate_limited"])
        self._log_visit("approval.refused", visitor, data={"reason_code": reason, "decision": kind})
        is_waiting = reason == "superseded" and visitor.seat and self._is_asked_again_soon()
        if reason == "invoice_drift" or is_waiting:
            # The client is here and wants to answer: the new version goes out now.
            self._ask_again("content changed")
        return outcome

    # === RECORDING ===

    def _record_decision(self, kind, visitor, form):
        notes = form.get("reservations") or []
        values = {
            "approval_id": self.id,
            "partner_id": visitor.seat.partner_id.id,
            "decision": "approve_with_reservations" if notes and kind == "approve" else kind,
            "level": visitor.level if kind == "approve" else False,
            "reason_code": form.get("reason_code") if kind != "approve" else False,
            "reason": "\n".join(notes) if kind == "approve" else form.get("reason"),
            "idempotency_key": form["idempotency_key"],
            "fingerprint": self._get_fingerprint(kind, form),
        }
        Decision = self.env["milestone.billing.approval.decision"]
        decision = Decision.sudo().with_context(milestone_internal_write=INTERNAL_WRITE).create(values)
        prepare = self._prepare_granted if kind == "approve" else self._prepare_rejected
        data, pii = prepare(decision, visitor, form)
        decision.event_id = self._log_visit(EVENTS[kind], visitor, data=data, pii=pii)._get_body()["event_id"]
        return decision

    def _prepare_granted(self, decision, visitor, form):
        snapshot = self._get_snapshot() or {}
        notes = [
            {"id": str(uuid.uuid4()), "nonce": secrets.token_hex(16), "text": text}
            for text in form.get("reservations") or []
        ]
        data = {
            "decision": decision.decision,
            "button_label": self._get_approve_label(),
            "amount_total": snapshot.get("amount_total", ""),
            "currency": snapshot.get("currency", ""),
            "consent_sha256": form["consent_sha256"],
            "disclosure_sha256": self._get_notice_sha256(snapshot),
            "accept_checked": True,
            "presented_at": datetime.fromtimestamp(visitor.presented_at, UTC).strftime(
                "%Y-%m-%dT%H:%M:%S.%fZ"
            ),
            "reading_s": visitor.reading_s,
            "files_total": len(snapshot.get("files") or ()),
            "files_opened": visitor.files_opened,
            "approver_role": visitor.seat.role or "",
            "approver_limit": self.move_id._get_amount_text(visitor.seat.amount_limit)
            if visitor.seat.amount_limit
            else "",
            "quorum": f"{len(self._get_granted())}/{self.quorum}",
            "reservations": [
                {
                    "id": note["id"],
                    "sha256": tagged_hash("mbev1:reservation", (note["nonce"] + note["text"]).encode()),
                }
                for note in notes
            ],
            "idempotency_key": form["idempotency_key"],
            "locale": visitor.locale,
        }
        pii = {"typed_name": form["typed_name"]}
        if notes:
            pii["reservation_text"] = canonical(notes).decode()
        return data, pii

    def _prepare_rejected(self, decision, visitor, form):
        data = {
            "reason_code": form.get("reason_code") or "other",
            "files": [str(item) for item in form.get("files") or ()],
            "idempotency_key": form["idempotency_key"],
            "locale": visitor.locale,
        }
        return data, {"reason": form.get("reason") or ""}

    @api.model
    def _get_notice_sha256(self, snapshot):
        return hashlib.sha256((snapshot.get("notice") or {}).get("text", "").encode()).hexdigest()

    def _log_visit(self, event_type, visitor, data=None, pii=None):
        """Record what a visitor did, with how we know the person and from where.

        :return: the entry.
        """
        return self._log(event_type, data=data, **self._prepare_visit(visitor, pii))

    def _prepare_visit(self, visitor, pii=None):
        seat = visitor.seat
        return {
            "pii": {**visitor.pii, **(pii or {})},
            "subject": {"link_id": visitor.link_uuid} if visitor.link_uuid else {},
            "auth": {**visitor.auth, "level": visitor.level, "method": list(visitor.methods)},
            "http": visitor.http,
            "actor_kind": visitor.actor_kind,
            "actor_ref": seat._get_actor_ref() if seat else None,
        }

    def _log_visit_apart(self, event_type, visitor, data=None):
        """Record a look at the page in a short transaction of its own; see `_log_apart`."""
        self._log_apart(event_type, data=data, **self._prepare_visit(visitor))

    # === APPLYING ===

    def _get_granted(self):
        return self.decision_ids.filtered(lambda item: item.decision.startswith("approve"))

    def _apply_decision(self, kind, decision, visitor):
        """Draw the consequences: invoice, tasks, activities, receipt."""
        team = self._for_team()
        if kind == "approve":
            team._create_reservation_tasks(decision)
            if len(self._get_granted()) >= self.quorum:
                self._finish_approved({"granted_event_ids": self._get_granted().mapped("event_id")})
            else:
                team._notify_team_partly(decision)
        else:
            self._transition(TRANSITIONS[kind], {"decided_on": fields.Datetime.now()})
            self.line_id._transition("request_changes")
            team._notify_team_rejected(decision)
        self.env["milestone.billing.approval.link"]._queue(visitor.seat, purpose="receipt")

    def _finish_approved(self, data, event="request.approved"):
        """Close an approved submission: milestone approved, invoice issued as the company wants it.

        :param dict data: of the evidence entry.
        :param str event: `request.approved` or `request.deemed_accepted`.
        """
        granted = self._get_granted()
        levels = [level for level in granted.mapped("level") if level]
        values = {
            "decided_on": fields.Datetime.now(),
            "level": min(levels, key=LEVELS.index) if levels else False,
            "has_reservations": any(item.decision == "approve_with_reservations" for item in granted),
        }
        self._transition("deem" if event == "request.deemed_accepted" else "approve", values)
        self._log(event, data=data, actor_kind="system")
        self.line_id._transition("approve")
        self._issue_invoice()
        self._for_team()._notify_team_approved()

    def _issue_invoice(self):
        """Post the invoice; when accounting refuses, the approval stands and finance is told what to do."""
        try:
            with self.env.cr.savepoint():
                self.line_id.with_context(lang=self.env.user.lang)._on_approved()
        except UserError as refusal:
            self._for_team()._notify_team_not_issued(str(refusal))

    def _get_approve_label(self):
        """Give the text of the button that approves, exactly as it is shown.

        :rtype: str
        """
        return self.env._("Approve %s", self._format_amount())
