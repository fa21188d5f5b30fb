import hashlib
import uuid
from datetime import UTC, datetime
from decimal import Decimal

from odoo import api, fields, models

from ..tools.approval_rules import KEY_PATTERN, fingerprint, meets_level, within_limit
from .milestone_billing_approval_decision import REFUSALS_PER_HOUR_MAX


class MilestoneBillingChangeLink(models.Model):
    """One approver of a change order: the personal link, of which only the hash is kept, and the decision."""

    _name = "milestone.billing.change.link"
    _description = "Change Order Approver"
    _order = "id"
    _rec_name = "partner_id"

    change_id = fields.Many2one("milestone.billing.change", required=True, index=True, ondelete="cascade")
    company_id = fields.Many2one(related="change_id.company_id", store=True)
    currency_id = fields.Many2one(related="change_id.currency_id")
    partner_id = fields.Many2one("res.partner", string="Approver", required=True, ondelete="restrict")
    role = fields.Char()
    amount_limit = fields.Monetary()
    uuid = fields.Char(required=True, default=lambda self: str(uuid.uuid4()))
    secret_sha256 = fields.Char(groups="base.group_system")
    expires_on = fields.Datetime(readonly=True, help="The link of the latest mail opens the page until then.")
    state = fields.Selection(
        [("queued", "Queued"), ("sent", "Sent"), ("no_address", "No e-mail address")],
        default="queued",
        index=True,
    )
    receipt_sha256 = fields.Char(groups="base.group_system")
    receipt_state = fields.Selection([("queued", "Queued"), ("sent", "Sent")], index=True)
    is_revoked = fields.Boolean()
    is_closed = fields.Boolean(help="The change order is decided; the link may still be read.")
    decision = fields.Selection([("approve", "Approved"), ("decline", "Declined")])
    decided_on = fields.Datetime()
    failure = fields.Char(readonly=True, help="Why the mail was not delivered.")
    reason = fields.Text()
    idempotency_key = fields.Char(readonly=True)
    fingerprint = fields.Char(readonly=True, help="SHA-256 of what was decided.")
    event_id = fields.Char()

    _uuid_unique = models.UniqueIndex("(uuid)", "Two links cannot share an identifier.")

    def _revoke(self, keep_readable=False):
        self.write({"is_closed": True} if keep_readable else {"is_revoked": True})

    # === DECISION ===

    def _get_problem(self):
        """Tell why this link opens nothing now: `revoked`, `expired`, `too_late` to decide, or False.

        :rtype: str | bool
        """
        self.ensure_one()
        if self.is_revoked or not self.partner_id.sudo().active:
            return "revoked"
        if self.expires_on and self.expires_on > fields.Datetime.now():
            return False
        return "too_late" if self.change_id.state in ("proposed", "expired") else "expired"

    def _decide(self, kind, form, level, visit):
        """Take the decision of this approver, once. A refusal is returned and recorded, never raised.

        :param str kind: `approve` or `decline`.
        :param dict form: `snapshot_sha256`, `presented_at`, `idempotency_key`, `accept`, `typed_name`, `reason`, `otp`.
        :param str level: how sure we are who is there.
        :param dict visit: `auth`, `http`, `pii`, `actor_kind` of the evidence entries.
        :return: `recorded`, or the reason of the refusal.
        :rtype: str
        """
        self.ensure_one()
        change = self.change_id
        if not change._try_lock():
            return "busy"
        change._lock()
        kept = self._find_replay(kind, form)
        if kept:
            return kept
        level, visit = self._raise_level(kind, form, level, visit)
        refusal, actor = self._get_refusal(kind, form, level), self._prepare_actor(visit, level)
        if refusal:
            return self._refuse(refusal, kind, actor)
        self.write(
            {
                "decision": kind,
                "decided_on": fields.Datetime.now(),
                "reason": form.get("reason"),
                "idempotency_key": form["idempotency_key"],
                "fingerprint": self._get_fingerprint(kind, form),
            }
        )
        return (self._record_approval if kind == "approve" else self._record_decline)(form, actor)

    def _find_replay(self, kind, form):
        """Tell what became of a form that was sent before, or None."""
        if not self.decision or self.idempotency_key != form.get("idempotency_key"):
            return None
        return "recorded" if self.fingerprint == self._get_fingerprint(kind, form) else "key_reused"

    @api.model
    def _get_fingerprint(self, kind, form):
        names = ("snapshot_sha256", "accept", "typed_name", "reason")
        return fingerprint({"kind": kind, **{name: form.get(name) or "" for name in names}})

    def _refuse(self, refusal, kind, actor):
        """Record a refused attempt, within reason."""
        key = f"{self._name},{self.id}"
        if not self.env["milestone.billing.attempt"]._take("refused", key, REFUSALS_PER_HOUR_MAX, 60):
            return "rate_limited"
        self.change_id._log("approval.refused", data={"reason_code": refusal, "decision": kind}, **actor)
        return refusal

    def _prepare_actor(self, visit, level):
        return {
            **visit,
            "actor_ref": self.partner_id.milestone_evidence_ref,
            "subject": {"link_id": self.uuid},
            "auth": {**visit["auth"], "level": level},
        }

    def _raise_level(self, kind, form, level, visit):
        """Redeem a code that came with the form, when that is all that is missing.

        :return: the level, and the visit with what it was raised by.
        :rtype: tuple[str, dict]
        """
        if kind != "approve" or not form.get("otp") or self._get_refusal(kind, form, level) != "otp_required":
            return level, visit
        Code = self.env["milestone.billing.change.code"]
        data = Code._prepare_attempt(self)
        code = Code._redeem(self, form["otp"])
        self.change_id._log(
            "auth.otp_verified" if code else "auth.otp_failed",
            data=data,
            **self._prepare_actor(visit, level),
        )
        if not code:
            return level, visit
        methods = [*visit["auth"].get("method", ()), f"otp_{code.channel}"]
        return "L2", {**visit, "auth": {**visit["auth"], "method": methods}}

    def _get_refusal(self, kind, form, level):
        """Find why this attempt cannot count, or None.

        :rtype: str | None
        """
        refusal = self._get_state_refusal(form)
        if refusal:
            return refusal
        if kind == "decline":
            return None if (form.get("reason") or "").strip() else "reason_missing"
        return self._get_approve_refusal(form, level)

    def _get_state_refusal(self, form):
        change = self.change_id
        if change.state == "expired":
            return "expired"
        if change.state != "proposed" or self.is_revoked:
            return "superseded" if change.state in ("draft", "cancelled") else "already_decided"
        if self.decision:
            return "already_decided"
        if change.expires_on <= fields.Datetime.now():
            return "expired"
        return "stale_snapshot" if self._is_stale(form) else None

    def _is_stale(self, form):
        """Tell whether a form is not one of ours for this change: of another version, never shown, or made up."""
        if form.get("snapshot_sha256") != self.change_id.snapshot_sha256 or not form.get("presented_at"):
            return True
        return not KEY_PATTERN.match(form.get("idempotency_key") or "")

    def _get_approve_refusal(self, form, level):
        if form.get("accept") != "1" or not (form.get("typed_name") or "").strip():
            return "consent_missing"
        amount = Decimal(str(abs(self.change_id.amount_total)))
        if not within_limit(amount, Decimal(str(self.amount_limit))):
            return "over_limit"
        required = self.change_id._get_required_level()
        if meets_level(level, required):
            return None
        return "otp_required" if required == "L2" else "level_too_low"

    def _record_decline(self, form, actor):
        change, reason = self.change_id, form["reason"]
        actor["pii"] = {**actor["pii"], "reason": reason}
        data = {
            "reason_code": "other",
            "idempotency_key": form["idempotency_key"],
            "locale": self.env.lang or "",
        }
        change._log("approval.declined", data=data, **actor)
        change._decline(reason)
        change.link_ids._revoke(keep_readable=True)
        self._queue_receipt()
        return "recorded"

    def _record_approval(self, form, actor):
        change = self.change_id
        snapshot = change._get_snapshot()
        actor["pii"] = {**actor["pii"], "typed_name": form["typed_name"]}
        granted = change._get_active_links().filtered(lambda link: link.decision == "approve")
        data = self._prepare_granted(snapshot, form) | {"quorum": f"{len(granted)}/{snapshot['quorum']}"}
        self.event_id = change._log("approval.granted", data=data, **actor)._get_body()["event_id"]
        self._queue_receipt()
        if len(granted) < snapshot["quorum"]:
            change.message_post(
                body=self.env._("%s has approved; others still have to.", self.partner_id.name)
            )
            return "recorded"
        is_applied = change._finish({"granted_event_ids": granted.mapped("event_id")})
        return "recorded" if is_applied else "superseded"

    def _prepare_granted(self, snapshot, form):
        """Give what the evidence tells about an approval.

        :rtype: dict
        """
        presented = datetime.fromtimestamp(form["presented_at"], UTC)
        return {
            "decision": "approve",
            "button_label": self.change_id._get_approve_label(),
            "amount_total": snapshot["amount_total"],
            "currency": snapshot["currency"],
            "consent_sha256": hashlib.sha256(snapshot["consent"]["text"].encode()).hexdigest(),
            "accept_checked": True,
            "presented_at": presented.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "approver_role": self.role or "",
            "approver_limit": self.change_id._get_amount_text(self.amount_limit) if self.amount_limit else "",
            "idempotency_key": form["idempotency_key"],
            "locale": self.env.lang or "",
        }
