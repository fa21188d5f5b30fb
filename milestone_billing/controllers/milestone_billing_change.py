"""The page on which a client approves or declines a change order."""

import time

from odoo import SUPERUSER_ID
from odoo.http import Controller, request, route
from odoo.tools import formatLang

from ..tools.approval_rules import LEVELS, REFUSALS
from .visit import GRANT_HOURS, get_session_tag, go, page, read_http, read_pii

WRONG_PER_QUARTER_MAX = 10
TEXT_SIZE_MAX = 4000


class MilestoneBillingChangePage(Controller):
    """Nothing is written by a GET; the secret of the mail is exchanged for a grant of this session."""

    @route("/mc/<string:link_uuid>", type="http", auth="public", methods=["GET"], sitemap=False)
    def change_link(self, link_uuid, k="", **_kwargs):
        """Show who asks, and a button."""
        link = self._find_link(link_uuid)
        company = (link.company_id or request.env.company).sudo()
        values = {"link_id": link_uuid, "secret": k, "company": company, "is_refused": False}
        return page("milestone_billing.portal_change_link", values, referrer="no-referrer")

    @route("/mc/<string:link_uuid>/open", type="http", auth="public", methods=["POST"], sitemap=False)
    def change_link_open(self, link_uuid, k="", **_kwargs):
        """Exchange the secret for a grant, and go on to the clean address."""
        link, user = self._find_link(link_uuid), request.env.user
        right = link and link._has_secret(k)
        if not right or (not user._is_public() and user.partner_id != link.partner_id):
            return self._refuse_link(link_uuid)
        grants = dict(request.session.get("milestone_change_grants") or {})
        grants[link.change_id.uuid] = {"link": link.uuid, "at": int(time.time())}
        request.session["milestone_change_grants"] = grants
        link.change_id._log("link.opened", **self._make_visit(link, "/mc/<link_uuid>/open"))
        return go(f"/my/changes/{link.change_id.uuid}")

    @route(
        "/my/changes/<string:uuid>", type="http", auth="public", methods=["GET"], website=True, sitemap=False
    )
    def change_page(self, uuid, problem=None, **_kwargs):
        """Show the change as it was frozen."""
        change, link = self._enter(uuid)
        if not change:
            return self._refuse_page()
        return self._render(change, link, problem if problem in REFUSALS else None)

    @route(
        "/my/changes/<string:uuid>/<any(approve, decline):kind>",
        type="http",
        auth="public",
        methods=["POST"],
        website=True,
        sitemap=False,
    )
    def change_decide(self, uuid, kind, **form):
        """Take the decision of an approver."""
        change, link = self._enter(uuid)
        if not link:
            return self._refuse_page()
        values = {
            name: (form.get(name) or "")[:TEXT_SIZE_MAX].replace("\x00", "")
            for name in ("snapshot_sha256", "accept", "typed_name", "reason")
        }
        visit = self._make_visit(link, "/my/changes/<uuid>/<kind>")
        outcome = link.with_user(SUPERUSER_ID)._decide(kind, values, self._get_level(), visit)
        suffix = "" if outcome == "recorded" else f"?problem={outcome}"
        return go(f"/my/changes/{change.uuid}{suffix}")

    # === HELPERS ===

    def _find_link(self, link_uuid):
        Link = request.env["milestone.billing.change.link"].sudo()
        return Link.search([("uuid", "=", link_uuid)], limit=1) if len(link_uuid) == 36 else Link

    def _enter(self, uuid):
        """Find the change order of an address, and the seat of the visitor.

        :return: the change and the link, in sudo; both empty for strangers, only the link for colleagues who read.
        """
        Change = request.env["milestone.billing.change"].sudo()
        nobody = request.env["milestone.billing.change.link"].sudo()
        change = Change.search([("uuid", "=", uuid)], limit=1)
        links, user = change._get_active_links(), request.env.user
        grant = (request.session.get("milestone_change_grants") or {}).get(uuid)
        if grant and time.time() - grant["at"] < GRANT_HOURS * 3600:
            link = links.filtered(lambda item: item.uuid == grant["link"])
            if link and (user._is_public() or user.partner_id == link.partner_id):
                return change, link
        if not change or user._is_public():
            return Change, nobody
        if user._is_internal():
            return (
                (change, nobody)
                if change.with_user(user).sudo(False).has_access("read")
                else (Change, nobody)
            )
        own = links.filtered(lambda item: item.partner_id == user.partner_id)
        is_colleague = user.partner_id.commercial_partner_id == change.partner_id.commercial_partner_id
        return (change, own) if own or (is_colleague and change.state != "draft") else (Change, nobody)

    def _get_level(self):
        return LEVELS[0] if request.env.user._is_public() else LEVELS[1]

    def _make_visit(self, link, route_name):
        is_public = request.env.user._is_public()
        return {
            "actor_kind": "link_holder" if is_public else "portal_user",
            "auth": {"session_tag": get_session_tag(), "method": ["link"] if is_public else ["password"]},
            "http": read_http(route_name),
            "pii": read_pii(link.partner_id),
        }

    def _render(self, change, link, problem):
        change = change.with_context(lang=change.partner_id.lang or request.env.lang)
        currency = change.currency_id
        values = {
            "change": change,
            "money": lambda text: formatLang(change.env, float(text), currency_obj=currency),
            "snapshot": change._get_snapshot(),
            "link": link,
            "problem": problem,
            "can_decide": link and change.state == "proposed" and not link.decision,
        }
        status = REFUSALS.get(problem, 200)
        return page("milestone_billing.portal_change_page", values, status=status)

    def _refuse_link(self, link_uuid):
        key = f"change,{link_uuid[:36]},{read_pii().get('ip', '')}"
        allowed = request.env["milestone.billing.attempt"]._take("link_wrong", key, WRONG_PER_QUARTER_MAX, 15)
        values = {
            "link_id": link_uuid,
            "secret": "",
            "company": request.env.company.sudo(),
            "is_refused": True,
        }
        status = 404 if allowed else 429
        return page("milestone_billing.portal_change_link", values, status=status, referrer="no-referrer")

    def _refuse_page(self):
        values = {"link_id": "", "secret": "", "company": request.env.company.sudo(), "is_refused": True}
        return page("milestone_billing.portal_change_link", values, status=404)
