"""The page on which a client approves or declines a change order."""

import secrets
import time

from odoo import SUPERUSER_ID
from odoo.http import Controller, request, route

from ..tools.approval_rules import LEVELS, REFUSALS
from .passkey import WEBAUTHN_SIZE_MAX, ask_passkey, take_passkey_nonce
from .review import PRESENTED_AGAIN_SECONDS
from .visit import (
    GRANT_HOURS,
    GRANTS_MAX,
    get_session_tag,
    go,
    is_uuid,
    name_device,
    only_by_post,
    page,
    read_http,
    read_pii,
    read_presentation,
    read_text,
    refuse_file,
    send_report,
    sign_presentation,
    take_download,
    take_turn,
)

URL = "/my/changes"


class MilestoneBillingChangePage(Controller):
    """Routes below `/my/changes/<uuid>`; nothing is decided by a GET."""

    # === PAGES ===

    @route(f"{URL}/<string:uuid>", type="http", auth="public", methods=["GET"], website=True, sitemap=False)
    def change_page(self, uuid, **_kwargs):
        """Show the change as it was frozen."""
        change, link = self._enter(uuid)
        if not change:
            return self._closed_door()
        self._log_presented(change, link)
        return self._render(change, link)

    @route(
        f"{URL}/<string:uuid>/change.pdf",
        type="http",
        auth="public",
        methods=["GET"],
        website=True,
        sitemap=False,
    )
    def change_paper(self, uuid, **_kwargs):
        """Send the change order as a paper, to who may see its page."""
        change, link = self._enter(uuid)
        if not change:
            return self._closed_door()
        if not take_download(change, link or request.env.user):
            return refuse_file(429)
        return send_report("milestone_billing.action_report_change", change, f"{change.reference}.pdf")

    # === DECISIONS ===

    @route(
        f"{URL}/<string:uuid>/otp", type="http", auth="public", methods=["POST"], website=True, sitemap=False
    )
    def change_code(self, uuid, channel="email", **form):
        """Send a one-time code to the approver and come back to the form."""
        change, link = self._enter_in_turn(uuid)
        if not change:
            return self._closed_door()
        if not link or change.state != "proposed" or link.decision:
            return go(f"{URL}/{change.uuid}")
        channel = channel if channel in ("email", "sms") else "email"
        Code = request.env["milestone.billing.change.code"]
        sent_to = Code._issue(link, channel)
        if sent_to:
            data = {"channel": channel, "attempt": Code._count_sent(link)}
            change._log("auth.otp_sent", data=data, **self._make_visit(link, "otp"))
        kept = {"sent_to": sent_to, "is_sent_failed": not sent_to}
        return self._render(change, link, 200 if sent_to else 429, form=self._read_form(form) | kept)

    @route(
        f"{URL}/<string:uuid>/<any(approve, decline):kind>",
        type="http",
        auth="public",
        methods=["POST"],
        website=True,
        sitemap=False,
    )
    def change_decide(self, uuid, kind, **form):
        """Take the decision of an approver; the result is a page of its own, so that reloading it does nothing."""
        change, link = self._enter_in_turn(uuid)
        if not change or not link:
            return self._closed_door(status=403 if change else 404)
        values = self._read_form(form)
        values["presented_at"] = read_presentation(change, form.get("presentation"))
        if form.get("webauthn") and not request.env.user._is_public():
            nonce = take_passkey_nonce(change)
            values |= {"webauthn": read_text(form["webauthn"], WEBAUTHN_SIZE_MAX), "passkey_nonce": nonce}
        visit = self._make_visit(link, kind, values["presented_at"], form)
        outcome = link.with_user(SUPERUSER_ID)._decide(kind, values, self._get_level(), visit)
        if outcome == "recorded":
            return go(f"{URL}/{change.uuid}")
        change.invalidate_recordset()
        return self._render(change, link, REFUSALS[outcome], outcome, values)

    # === HELPERS ===

    def _read_form(self, form):
        return {
            "snapshot_sha256": read_text(form.get("snapshot_sha256"), 64),
            # One more than a key may have: a longer one is refused, not shortened.
            "idempotency_key": read_text(form.get("idempotency_key"), 65),
            "accept": "1" if form.get("accept") == "1" else "",
            "typed_name": read_text(form.get("typed_name"), 200),
            "reason": read_text(form.get("reason")),
            "otp": read_text(form.get("otp"), 12),
        }

    def _enter_in_turn(self, uuid):
        """Enter to write something: one after the other, so that nobody answers to what is over by then."""
        only_by_post()
        change, link = self._enter(uuid)
        if change:
            take_turn(change)
            change, link = self._enter(uuid)
        return change, link

    def _enter(self, uuid):
        """Find the change order of an address, and the seat of the visitor.

        :return: the change and the link, in sudo; both empty for strangers, the link for colleagues who only read.
        """
        Change = request.env["milestone.billing.change"].sudo()
        nobody = request.env["milestone.billing.change.link"].sudo()
        change = Change.search([("uuid", "=", uuid)], limit=1) if is_uuid(uuid) else Change
        links, user = change._get_active_links(), request.env.user
        # Staff decide nothing here, even where they stand among the approvers.
        link = nobody if user._is_internal() else self._find_granted(links, uuid)
        if not link and (not change or not change._is_readable_by(user)):
            return Change, nobody
        if not link and not user._is_internal():
            link = links.filtered(lambda item: item.partner_id == user.partner_id)
        use_change_lang(link, change)
        env = request.env(su=True)
        return change.with_env(env), link.with_env(env)

    def _find_granted(self, links, uuid):
        grant, user = find_change_grant(uuid), request.env.user
        link = links.filtered(lambda item: item.uuid == grant.get("link"))
        if not link or link._get_problem() not in (False, "too_late"):
            return links.browse()
        # When somebody else is logged in, whose click it is would be in doubt.
        return link if user._is_public() or user.partner_id == link.partner_id else links.browse()

    def _get_level(self):
        return LEVELS[0] if request.env.user._is_public() else LEVELS[1]

    def _make_visit(self, link, step="", presented_at=0.0, form=None):
        name = f"{URL}/<uuid>/{step}" if step else f"{URL}/<uuid>"
        return make_change_visit(link, name, find_change_grant(link.change_id.uuid), presented_at, form)

    def _log_presented(self, change, link):
        """Record that the page was shown: once per session and snapshot in half an hour, and not for staff."""
        if not link or change.state != "proposed" or request.httprequest.method == "HEAD":
            return
        seen = dict(request.session.get("milestone_change_seen") or {})
        key = f"{change.uuid},{change.snapshot_sha256[:16]}"
        if time.time() - seen.get(key, 0) < PRESENTED_AGAIN_SECONDS:
            return
        newest = sorted({**seen, key: int(time.time())}.items(), key=lambda item: item[1])[-GRANTS_MAX:]
        request.session["milestone_change_seen"] = dict(newest)
        data = {"locale": request.env.lang or ""}
        change._log_apart("review.presented", data=data, **self._make_visit(link))

    def _render(self, change, link, status=200, problem=None, form=None):
        """Show the page of a change order, with its form for an approver who has not decided."""
        user, can_decide = request.env.user, bool(link and change.state == "proposed" and not link.decision)
        level = change._get_required_level() if can_decide else ""
        reader = link.partner_id or (user.partner_id if user._is_portal() else None)
        values = {
            **change._prepare_page_values(reader),
            "link": link,
            "problem": problem,
            "can_decide": can_decide,
            "needs_code": can_decide and user._is_public() and level == "L2",
            "needs_passkey": can_decide and level == "L4",
            "passkey_options": can_decide and user._is_portal() and ask_passkey(change, link.partner_id),
            "has_phone": bool(link and link.partner_id.phone),
            "presentation": sign_presentation(change) if can_decide else "",
            "idempotency_key": secrets.token_urlsafe(24),
            "form": form or {},
            "page_name": "change",
        }
        response = page("milestone_billing.portal_change_page", values, status=status)
        return response if user._is_internal() else name_device(response, change.company_id)

    def _closed_door(self, status=404):
        """Say the same to everybody who may not see it, whether it exists or not."""
        return page("milestone_billing.portal_closed", {}, status=status)


# === WHO ===


def find_change_link(link_uuid):
    """Find the link of an address, or an empty set."""
    Link = request.env["milestone.billing.change.link"].sudo()
    return Link.search([("uuid", "=", link_uuid)], limit=1) if is_uuid(link_uuid) else Link


def find_change_grant(uuid):
    """Give the grant of this session for a change order, unless it is too old.

    :rtype: dict
    """
    grant = (request.session.get("milestone_change_grants") or {}).get(uuid) or {}
    return grant if time.time() - grant.get("at", 0) < GRANT_HOURS * 3600 else {}


def use_change_lang(link, change=None):
    """Answer in the language of the approver, else of the customer."""
    change = change or (link.change_id if link else None)
    lang = (link.partner_id.lang if link else None) or (change.partner_id.lang if change else None)
    if lang:
        request.update_context(lang=lang)


def make_change_visit(link, route_name, grant, presented_at=0.0, form=None):
    """Give what the evidence tells about a visitor: who, how we know, from where.

    :rtype: dict
    """
    # Logged in as somebody else, it is the mail that speaks, and not that account.
    is_own = request.env.user.partner_id == link.partner_id
    auth = {"session_tag": get_session_tag(), "method": ["password"] if is_own else ["link"]}
    if grant:
        auth |= {"grant_age_s": max(0, int(time.time() - grant["at"])), "link_proof": grant["proof"]}
    return {
        "actor_kind": "portal_user" if is_own else "link_holder",
        "actor_ref": link.partner_id.milestone_evidence_ref,
        "subject": {"link_id": link.uuid},
        "auth": auth,
        "http": read_http(route_name, presented_at),
        "pii": read_pii(link.partner_id, form, link.company_id),
    }
