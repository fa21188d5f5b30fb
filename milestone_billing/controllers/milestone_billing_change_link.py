"""The way in to a change order by mail: nothing is written by a GET; the secret is exchanged for a grant."""

import time

from odoo import SUPERUSER_ID
from odoo.http import Controller, request, route

from .milestone_billing_change import find_change_link, make_change_visit, use_change_lang
from .visit import GRANTS_MAX, as_text, go, only_by_post, page, read_pii, take_click, take_turn

WRONG_PER_QUARTER_MAX = 10
STATUS = {"wrong": 404, "rate_limited": 429, "expired": 410, "too_late": 410, "revoked": 410}


class MilestoneBillingChangeLink(Controller):
    """Routes below `/mc/`."""

    @route("/mc/<string:link_uuid>", type="http", auth="public", methods=["GET"], sitemap=False)
    def change_link(self, link_uuid, k="", **_kwargs):
        """Show who asks, and a button; an invited user who is logged in goes straight on."""
        link, user = find_change_link(link_uuid), request.env.user
        if link and not link.is_revoked and not user._is_public() and user.partner_id == link.partner_id:
            return go(f"/my/changes/{link.change_id.uuid}")
        return self._answer(link, link_uuid, "open", secret=k)

    @route("/mc/<string:link_uuid>/open", type="http", auth="public", methods=["POST"], sitemap=False)
    def change_link_open(self, link_uuid, k="", **_kwargs):
        """Exchange the secret for a grant, and go on to the clean address."""
        link, user = self._check(link_uuid, k), request.env.user
        if not link:
            return self._refuse(link_uuid, "wrong")
        if not user._is_public() and user.partner_id != link.partner_id:
            return self._refuse(link_uuid, "logged_in", link)
        problem = link._get_problem()
        if problem:
            return self._refuse(link_uuid, problem, link, k)
        grant = self._add_grant(link, k)
        if take_click("link_opened", link):
            visit = make_change_visit(link, "/mc/<link_uuid>/open", grant)
            link.change_id._log("link.opened", data={"link_id": link.uuid}, **visit)
        return go(f"/my/changes/{link.change_id.uuid}")

    @route("/mc/<string:link_uuid>/renew", type="http", auth="public", methods=["POST"], sitemap=False)
    def change_link_renew(self, link_uuid, k="", **_kwargs):
        """Send a fresh link to the same address, for the holder of one that ran out."""
        link = self._check(link_uuid, k)
        if not link:
            return self._refuse(link_uuid, "wrong")
        if not link._renew():
            return self._refuse(link_uuid, "not_renewed", link)
        return self._answer(link, link_uuid, "renewed")

    @route("/mc/<string:link_uuid>/not-me", type="http", auth="public", methods=["GET"], sitemap=False)
    def change_not_me(self, link_uuid, k="", **_kwargs):
        """Ask whether it was really somebody else."""
        return self._answer(find_change_link(link_uuid), link_uuid, "not-me", secret=k)

    @route("/mc/<string:link_uuid>/not-me", type="http", auth="public", methods=["POST"], sitemap=False)
    def change_not_me_confirm(self, link_uuid, k="", **_kwargs):
        """Freeze the change and tell the team."""
        link = self._check(link_uuid, k)
        if not link:
            return self._refuse(link_uuid, "wrong")
        if link.is_revoked:
            return self._refuse(link_uuid, "revoked", link)
        use_change_lang(link)
        visit = make_change_visit(link, "/mc/<link_uuid>/not-me", self._make_grant(link, k))
        link.change_id.with_user(SUPERUSER_ID)._contest(link, visit)
        return self._answer(link, link_uuid, "contested")

    # === HELPERS ===

    def _check(self, link_uuid, secret):
        """Give the link if the secret is right, in its turn. Wrong ones are counted, but never shut the right one out.

        :return: the link, or an empty set.
        """
        only_by_post()
        link = find_change_link(link_uuid)
        if not link or not link._has_secret(as_text(secret)):
            return link.browse()
        take_turn(link.change_id)
        return link

    def _make_grant(self, link, secret):
        return {
            "link": link.uuid,
            "partner": link.partner_id.id,
            "at": int(time.time()),
            "proof": link._get_link_proof(secret),
        }

    def _add_grant(self, link, secret):
        """Let this session review the change order of a link, as its approver."""
        grants = dict(request.session.get("milestone_change_grants") or {})
        grants[link.change_id.uuid] = self._make_grant(link, secret)
        newest = sorted(grants.items(), key=lambda item: item[1]["at"])[-GRANTS_MAX:]
        request.session["milestone_change_grants"] = dict(newest)
        return grants[link.change_id.uuid]

    def _refuse(self, link_uuid, problem, link=None, secret=""):
        """Answer that the link does not open: the words differ, the page says what to do next."""
        if problem == "wrong":
            known = find_change_link(link_uuid)
            key = f"change,{known.uuid or 'unknown'},{read_pii().get('ip', '')}"
            Attempt = request.env["milestone.billing.attempt"]
            if not Attempt._take("link_wrong", key, WRONG_PER_QUARTER_MAX, 15):
                problem = "rate_limited"
        return self._answer(link, link_uuid, "refused", secret, problem, STATUS.get(problem, 403))

    def _answer(self, link, link_uuid, action, secret="", problem=None, status=200):
        use_change_lang(link)
        company = (link.company_id if link else request.env.company).sudo()
        values = {"link_id": link_uuid, "secret": secret, "company": company, "action": action}
        values["problem"] = problem
        return page("milestone_billing.portal_change_link", values, status=status, referrer="no-referrer")
