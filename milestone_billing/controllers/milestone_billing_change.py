"""The page on which a client approves or declines a change order."""

import time

from odoo import SUPERUSER_ID
from odoo.http import Controller, request, route

from ..tools.approval_rules import LEVELS, REFUSALS
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
    send_report,
)

WRONG_PER_QUARTER_MAX = 10
TEXT_SIZE_MAX = 4000
PRESENTED_AGAIN_SECONDS = 30 * 60


class MilestoneBillingChangePage(Controller):
    """Nothing is written by a GET; the secret of the mail is exchanged for a grant of this session."""

    @route("/mc/<string:link_uuid>", type="http", auth="public", methods=["GET"], sitemap=False)
    def change_link(self, link_uuid, k="", **_kwargs):
        """Show who asks, and a button."""
        link = self._find_link(link_uuid)
        company = (link.company_id or request.env.company).sudo()
        self._use_lang(link)
        values = {"link_id": link_uuid, "secret": k, "company": company, "action": "open"}
        return page("milestone_billing.portal_change_link", values, referrer="no-referrer")

    @route("/mc/<string:link_uuid>/open", type="http", auth="public", methods=["POST"], sitemap=False)
    def change_link_open(self, link_uuid, k="", **_kwargs):
        """Exchange the secret for a grant, and go on to the clean address."""
        only_by_post()
        link, user = self._find_link(link_uuid), request.env.user
        right = link and link._has_secret(k)
        if not right or (not user._is_public() and user.partner_id != link.partner_id):
            return self._refuse_link(link_uuid)
        grants = dict(request.session.get("milestone_change_grants") or {})
        grants[link.change_id.uuid] = {"link": link.uuid, "at": int(time.time())}
        request.session["milestone_change_grants"] = grants
        link.change_id._log("link.opened", **self._make_visit(link, "/mc/<link_uuid>/open"))
        return go(f"/my/changes/{link.change_id.uuid}")

    @route("/mc/<string:link_uuid>/not-me", type="http", auth="public", methods=["GET"], sitemap=False)
    def change_not_me(self, link_uuid, k="", **_kwargs):
        """Ask whether it was really somebody else."""
        link = self._find_link(link_uuid)
        self._use_lang(link)
        company = (link.company_id or request.env.company).sudo()
        values = {"link_id": link_uuid, "secret": k, "company": company, "action": "not-me"}
        return page("milestone_billing.portal_change_link", values, referrer="no-referrer")

    @route("/mc/<string:link_uuid>/not-me", type="http", auth="public", methods=["POST"], sitemap=False)
    def change_not_me_confirm(self, link_uuid, k="", **_kwargs):
        """Freeze the change and tell the team."""
        only_by_post()
        link = self._find_link(link_uuid)
        if not link or not link._has_secret(k):
            return self._refuse_link(link_uuid)
        self._use_lang(link)
        change = link.change_id.with_user(SUPERUSER_ID)
        change._contest(link, self._make_visit(link, "/mc/<link_uuid>/not-me"))
        values = {"link_id": link_uuid, "company": link.company_id, "action": "contested"}
        return page("milestone_billing.portal_change_link", values, referrer="no-referrer")

    @route(
        "/my/changes/<string:uuid>", type="http", auth="public", methods=["GET"], website=True, sitemap=False
    )
    def change_page(self, uuid, problem=None, **_kwargs):
        """Show the change as it was frozen."""
        change, link = self._enter(uuid)
        if not change:
            return self._refuse_page()
        self._log_presented(change, link)
        return self._render(change, link, problem if problem in REFUSALS else None)

    @route(
        "/my/changes/<string:uuid>/change.pdf",
        type="http",
        auth="public",
        methods=["GET"],
        website=True,
        sitemap=False,
    )
    def change_paper(self, uuid, **_kwargs):
        """Send the change order as a paper, to who may see its page."""
        change, _link = self._enter(uuid)
        if not change:
            return self._refuse_page()
        return send_report("milestone_billing.action_report_change", change, f"{change.reference}.pdf")

    @route(
        "/my/changes/<string:uuid>/otp",
        type="http",
        auth="public",
        methods=["POST"],
        website=True,
        sitemap=False,
    )
    def change_code(self, uuid, channel="email", **form):
        """Send a one-time code to the approver and come back to the form."""
        only_by_post()
        change, link = self._enter(uuid)
        if not link or change.state != "proposed" or link.decision:
            return go(f"/my/changes/{uuid}") if change else self._refuse_page()
        channel = channel if channel in ("email", "sms") else "email"
        sent_to = request.env["milestone.billing.change.code"]._issue(link, channel)
        if sent_to:
            visit = self._make_visit(link, "/my/changes/<uuid>/otp")
            change._log("auth.otp_sent", data={"channel": channel}, **visit)
        kept = {"typed_name": self._read(form, "typed_name"), "accept": form.get("accept") == "1"}
        kept |= {"sent_to": sent_to, "is_sent_failed": not sent_to}
        return self._render(change, link, None, 200 if sent_to else 429, kept)

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
        only_by_post()
        change, link = self._enter(uuid)
        if not link:
            return self._refuse_page()
        names = ("snapshot_sha256", "accept", "typed_name", "reason", "otp")
        values = {name: self._read(form, name) for name in names}
        visit = self._make_visit(link, "/my/changes/<uuid>/<kind>")
        outcome = link.with_user(SUPERUSER_ID)._decide(kind, values, self._get_level(), visit)
        suffix = "" if outcome == "recorded" else f"?problem={outcome}"
        return go(f"/my/changes/{change.uuid}{suffix}")

    # === HELPERS ===

    @staticmethod
    def _read(form, name):
        text = (form.get(name) or "")[:TEXT_SIZE_MAX].replace("\x00", "")
        return text.encode("utf-8", "replace").decode()

    def _use_lang(self, link):
        lang = link.partner_id.lang or link.change_id.partner_id.lang if link else None
        if lang:
            request.update_context(lang=lang)

    def _log_presented(self, change, link):
        """Record that the page was shown: once per session and snapshot in half an hour, and not for staff."""
        if not link or change.state != "proposed":
            return
        seen = dict(request.session.get("milestone_change_seen") or {})
        key = f"{change.uuid},{change.snapshot_sha256[:16]}"
        if time.time() - seen.get(key, 0) < PRESENTED_AGAIN_SECONDS:
            return
        newest = sorted({**seen, key: int(time.time())}.items(), key=lambda item: item[1])[-GRANTS_MAX:]
        request.session["milestone_change_seen"] = dict(newest)
        visit = self._make_visit(link, "/my/changes/<uuid>")
        change._log("review.presented", data={"locale": request.env.lang or ""}, **visit)

    def _find_link(self, link_uuid):
        Link = request.env["milestone.billing.change.link"].sudo()
        return Link.search([("uuid", "=", link_uuid)], limit=1) if is_uuid(link_uuid) else Link

    def _enter(self, uuid):
        """Find the change order of an address, and the seat of the visitor.

        :return: the change and the link, in sudo; both empty for strangers, only the link for colleagues who read.
        """
        Change = request.env["milestone.billing.change"].sudo()
        nobody = request.env["milestone.billing.change.link"].sudo()
        change = Change.search([("uuid", "=", uuid)], limit=1) if is_uuid(uuid) else Change
        links, user = change._get_active_links(), request.env.user
        grant = (request.session.get("milestone_change_grants") or {}).get(uuid)
        if grant and time.time() - grant["at"] < GRANT_HOURS * 3600:
            link = links.filtered(lambda item: item.uuid == grant["link"])
            if link and (user._is_public() or user.partner_id == link.partner_id):
                return change, link
        if not change or user._is_public():
            return Change, nobody
        # Staff decide nothing here, even where they stand among the approvers.
        own = links.filtered(lambda item: item.partner_id == user.partner_id and not user._is_internal())
        return (change, own) if change._is_readable_by(user) else (Change, nobody)

    def _get_level(self):
        return LEVELS[0] if request.env.user._is_public() else LEVELS[1]

    def _make_visit(self, link, route_name):
        is_public = request.env.user._is_public()
        return {
            "actor_kind": "link_holder" if is_public else "portal_user",
            "actor_ref": link.partner_id.milestone_evidence_ref,
            "subject": {"link_id": link.uuid},
            "auth": {"session_tag": get_session_tag(), "method": ["link"] if is_public else ["password"]},
            "http": read_http(route_name),
            "pii": read_pii(link.partner_id, company=link.company_id),
        }

    def _render(self, change, link, problem, status=None, form=None):
        person = link.partner_id if link else change.partner_id
        request.update_context(lang=person.lang or change.partner_id.lang or request.env.lang)
        change = change.with_env(request.env(su=True))
        can_decide = bool(link and change.state == "proposed" and not link.decision)
        values = {
            **change._prepare_page_values(),
            "link": link,
            "problem": problem,
            "can_decide": can_decide,
            "needs_code": can_decide and request.env.user._is_public() and link._get_required_level() == "L2",
            "has_phone": bool(link and link.partner_id.phone),
            "form": form or {},
            "page_name": "change",
        }
        status = status or REFUSALS.get(problem, 200)
        return name_device(
            page("milestone_billing.portal_change_page", values, status=status), change.company_id
        )

    def _refuse_link(self, link_uuid):
        key = f"change,{link_uuid[:36]},{read_pii().get('ip', '')}"
        allowed = request.env["milestone.billing.attempt"]._take("link_wrong", key, WRONG_PER_QUARTER_MAX, 15)
        return self._refuse_page(status=404 if allowed else 429, referrer="no-referrer")

    def _refuse_page(self, status=404, referrer="same-origin"):
        values = {"link_id": "", "secret": "", "company": request.env.company.sudo(), "action": "refused"}
        return page("milestone_billing.portal_change_link", values, status=status, referrer=referrer)
