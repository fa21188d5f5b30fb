"""The review page and the decision."""

import secrets
import time

from odoo import http
from odoo.http import request

from ..models.milestone_billing_approval_decision import REASON_CODES, RESERVATIONS_MAX
from .passkey import WEBAUTHN_SIZE_MAX, ask_passkey, take_passkey_nonce
from .visit import (
    GRANTS_MAX,
    as_text,
    find_visit,
    get_session_tag,
    go,
    make_visitor,
    name_device,
    only_by_post,
    page,
    read_presentation,
    read_text,
    seal,
    sign_presentation,
    take_turn,
)

URL = "/my/milestones"
PRESENTED_AGAIN_SECONDS = 30 * 60


class Review(http.Controller):
    """Routes below `/my/milestones/<uuid>`."""

    # === PAGES ===

    @http.route(
        f"{URL}/<string:uuid>", type="http", auth="public", methods=["GET"], website=True, sitemap=False
    )
    def review(self, uuid, **_kwargs):
        """Show the frozen submission, or the state it is in."""
        visit = self._enter(uuid)
        if not visit:
            return self._closed_door()
        self._log_presented(visit)
        return self._render(visit, "milestone_billing.portal_review")

    @http.route(
        f"{URL}/<string:uuid>/<any(approve,changes,decline):step>",
        type="http",
        auth="public",
        methods=["GET"],
        website=True,
        sitemap=False,
    )
    def review_step(self, uuid, step, **_kwargs):
        """Show the second step of a decision: its form."""
        visit = self._enter(uuid)
        if not visit:
            return self._closed_door()
        if visit.approval._get_state_refusal() or not self._may_decide(visit):
            return go(f"{URL}/{visit.approval.uuid}")
        self._log_presented(visit)
        return self._render(visit, f"milestone_billing.portal_{step}")

    @http.route(
        f"{URL}/<string:uuid>/displayed",
        type="http",
        auth="public",
        methods=["POST"],
        website=True,
        sitemap=False,
    )
    def displayed(self, uuid, **form):
        """Take what the page tells about itself: how long it was visible, whether its end was reached."""
        only_by_post()
        visit = self._enter(uuid)
        if not visit:
            return self._closed_door()
        presented = read_presentation(visit.approval, form.get("presentation"))
        Attempt = request.env["milestone.billing.attempt"]
        key = f"{visit.approval.id},{get_session_tag()}"
        if presented and visit.seat and Attempt._take("displayed", key, 4, 60):
            seconds = as_text(form.get("visible_s"))
            visit.approval._log_visit_apart(
                "review.displayed",
                make_visitor(visit, f"{URL}/<uuid>/displayed", presented, form),
                data={
                    "visible_s": min(int(seconds), 86400) if seconds.isdecimal() and len(seconds) < 9 else 0,
                    "reached_end": form.get("reached_end") == "1",
                },
            )
        return seal(request.make_response("", status=204))

    # === DECISIONS ===

    @http.route(
        f"{URL}/<string:uuid>/otp", type="http", auth="public", methods=["POST"], website=True, sitemap=False
    )
    def otp(self, uuid, channel="email", **form):
        """Send a one-time code to the approver and come back to the form."""
        visit = self._enter_in_turn(uuid)
        if not visit:
            return self._closed_door()
        if visit.approval._get_state_refusal() or not self._may_decide(visit):
            return go(f"{URL}/{visit.approval.uuid}")
        channel = channel if channel in ("email", "sms") else "email"
        Code = request.env["milestone.billing.approval.code"]
        sent_to = Code._issue(visit.seat, channel)
        if sent_to:
            visitor = make_visitor(visit, f"{URL}/<uuid>/otp")
            data = {"channel": channel, "attempt": Code._count_sent(visit.seat)}
            visit.approval._log_visit("auth.otp_sent", visitor, data=data)
        values = self._read_form("approve", form) | {"sent_to": sent_to, "is_sent_failed": not sent_to}
        return self._render(
            visit, "milestone_billing.portal_approve", status=200 if sent_to else 429, **values
        )

    @http.route(
        f"{URL}/<string:uuid>/<any(approve,changes,decline):step>",
        type="http",
        auth="public",
        methods=["POST"],
        website=True,
        sitemap=False,
    )
    def decide(self, uuid, step, **form):
        """Take a decision; the result is a page of its own, so that reloading it does nothing."""
        visit = self._enter_in_turn(uuid)
        if not visit:
            return self._closed_door()
        values = self._read_form(step, form)
        presented = read_presentation(visit.approval, form.get("presentation"))
        if form.get("webauthn") and visit.kind == "portal_user":
            nonce = take_passkey_nonce(visit.approval)
            values |= {"webauthn": read_text(form["webauthn"], WEBAUTHN_SIZE_MAX), "passkey_nonce": nonce}
        visitor = make_visitor(visit, f"{URL}/<uuid>/{step}", presented, form)
        outcome = visit.approval._decide(step, visitor, values)
        if outcome.code == "recorded":
            return go(f"{URL}/{visit.approval.uuid}")
        visit.approval.invalidate_recordset()
        template = f"milestone_billing.portal_{step}"
        if visit.approval._get_state_refusal() or not self._may_decide(visit):
            template = "milestone_billing.portal_review"
        return self._render(visit, template, status=outcome.status, refusal=outcome.code, **values)

    # === HELPERS ===

    def _enter(self, uuid):
        visit = find_visit(uuid)
        if visit:
            request.update_context(lang=visit.approval.lang)
            visit = visit._replace(approval=visit.approval.with_env(request.env(su=True)))
        return visit

    def _enter_in_turn(self, uuid):
        """Enter to write something: one after the other, so that nobody answers to what is over by then."""
        only_by_post()
        visit = self._enter(uuid)
        if visit:
            take_turn(visit.approval)
            visit = self._enter(uuid)
        return visit

    def _closed_door(self):
        """Say the same to everybody who may not see it, whether it exists or not."""
        return page("milestone_billing.portal_closed", {}, status=403)

    def _may_decide(self, visit):
        return bool(visit.seat and not visit.seat._get_decision())

    def _read_form(self, step, form):
        """Read the fields of a decision: trimmed and limited, those of the chosen step only."""
        values = {
            "snapshot_sha256": read_text(form.get("snapshot_sha256"), 64),
            # One more than a key may have: a longer one is refused, not shortened.
            "idempotency_key": read_text(form.get("idempotency_key"), 65),
        }
        if step != "approve":
            code = form.get("reason_code")
            files = request.httprequest.form.getlist("file")[:100]
            return values | {
                "reason": read_text(form.get("reason")),
                "reason_code": code if code in REASON_CODES else "other",
                "files": [read_text(item, 36) for item in files],
            }
        notes = [read_text(note) for note in request.httprequest.form.getlist("reservation")]
        notes = [line.strip() for note in notes for line in note.splitlines() if line.strip()]
        return values | {
            "accept": "1" if form.get("accept") == "1" else "",
            "consent_sha256": read_text(form.get("consent_sha256"), 64),
            "typed_name": read_text(form.get("typed_name"), 200),
            "reservations": notes[:RESERVATIONS_MAX],
            "otp": read_text(form.get("otp"), 12),
        }

    def _render(self, visit, template, status=200, **values):
        approval = visit.approval
        context = {
            **approval._prepare_review_values(visit.seat),
            "visit": visit,
            "refusal": False,
            "presentation": sign_presentation(approval),
            "idempotency_key": secrets.token_urlsafe(24),
            "may_decide": self._may_decide(visit),
            "page_name": "milestone_review",
            "passkey_options": self._ask_passkey(visit) if template.endswith("portal_approve") else False,
        }
        values.pop("snapshot_sha256", None)
        if values.get("refusal") not in ("otp_required", "consent_missing", "reason_missing", "busy"):
            values.pop("idempotency_key", None)
        response = page(template, context | {"form": values} | values, status=status)
        return response if visit.kind == "internal_user" else name_device(response, approval.company_id)

    def _ask_passkey(self, visit):
        if visit.kind != "portal_user" or not visit.seat:
            return False
        return ask_passkey(visit.approval, visit.seat.partner_id)

    def _log_presented(self, visit):
        """Record that the page was shown: once per session and snapshot in half an hour, and not for staff."""
        approval = visit.approval
        if not visit.seat or approval.state != "requested" or request.httprequest.method == "HEAD":
            return
        seen = dict(request.session.get("milestone_seen") or {})
        item = seen.get(approval.uuid) or {}
        if (
            item.get("snapshot") == approval.snapshot_sha256
            and time.time() - item["last"] < PRESENTED_AGAIN_SECONDS
        ):
            return
        first = item.get("at") if item.get("snapshot") == approval.snapshot_sha256 else None
        seen[approval.uuid] = {
            "snapshot": approval.snapshot_sha256,
            "at": first or time.time(),
            "last": time.time(),
        }
        newest = sorted(seen.items(), key=lambda item: item[1]["last"])[-GRANTS_MAX:]
        request.session["milestone_seen"] = dict(newest)
        approval._log_visit_apart(
            "review.presented",
            make_visitor(visit, f"{URL}/<uuid>"),
            data={"locale": request.env.lang or "", "html_sha256": approval._get_html_sha256(visit.seat)},
        )
