"""The way in by mail: a page that scanners cannot act on, and the exchange of the secret for a grant."""

from odoo import http
from odoo.http import request

from .visit import (
    Visit,
    add_grant,
    as_text,
    get_session_tag,
    go,
    is_uuid,
    make_visitor,
    only_by_post,
    page,
    read_http,
    read_pii,
    take_click,
    take_turn,
)

WRONG_PER_QUARTER_MAX = 10


class ReviewLink(http.Controller):
    """Routes below `/ma/`: nothing is written by GET or HEAD."""

    @http.route("/ma/<string:link_id>", type="http", auth="public", methods=["GET"], sitemap=False)
    def review_link(self, link_id, k="", **_kwargs):
        """Show who asks, and a button. No amounts, no names; an invited user who is logged in goes straight on."""
        link = self._find(link_id)
        user = request.env.user
        if link and not user._is_public() and user.partner_id == link.partner_id:
            return go(f"/my/milestones/{link.approval_id.uuid}")
        company = (link.company_id or request.env.company).sudo()
        self._use_lang(link)
        values = {"link_id": link_id, "secret": k, "company": company, "action": "open"}
        return page("milestone_billing.portal_review_link", values, referrer="no-referrer")

    @http.route("/ma/<string:link_id>/open", type="http", auth="public", methods=["POST"], sitemap=False)
    def review_link_open(self, link_id, k="", **_kwargs):
        """Exchange the secret for a grant in this session, and go on to the clean address."""
        link = self._check(link_id, k)
        if not link:
            return self._refuse(link_id, "wrong")
        self._use_lang(link)
        user = request.env.user
        if not user._is_public() and user.partner_id != link.partner_id:
            return self._refuse(link_id, "logged_in", link, k)
        problem = link._get_problem()
        if problem:
            return self._refuse(link_id, problem, link, k)
        add_grant(link, k)
        if take_click("link_opened", link):
            link._mark_opened(self._make_visitor(link, k, "/ma/<link_id>/open"))
        return go(f"/my/milestones/{link.approval_id.uuid}")

    @http.route("/ma/<string:link_id>/renew", type="http", auth="public", methods=["POST"], sitemap=False)
    def review_link_renew(self, link_id, k="", **_kwargs):
        """Send a fresh link to the same address, for the holder of one that ran out."""
        link = self._check(link_id, k)
        if not link:
            return self._refuse(link_id, "wrong")
        self._use_lang(link)
        if not link._renew():
            return self._refuse(link_id, "not_renewed", link, k)
        values = {"link_id": link_id, "company": link.company_id, "action": "renewed"}
        return page("milestone_billing.portal_review_link", values, referrer="no-referrer")

    @http.route("/ma/<string:link_id>/not-me", type="http", auth="public", methods=["GET"], sitemap=False)
    def not_me(self, link_id, k="", **_kwargs):
        """Ask whether it was really somebody else."""
        link = self._find(link_id)
        self._use_lang(link)
        company = (link.company_id or request.env.company).sudo()
        values = {"link_id": link_id, "secret": k, "company": company, "action": "not-me"}
        return page("milestone_billing.portal_review_link", values, referrer="no-referrer")

    @http.route("/ma/<string:link_id>/not-me", type="http", auth="public", methods=["POST"], sitemap=False)
    def not_me_confirm(self, link_id, k="", **_kwargs):
        """Freeze the decision and its payment, and tell the team."""
        link = self._check(link_id, k)
        if not link:
            return self._refuse(link_id, "wrong")
        self._use_lang(link)
        if link.revoked_on:
            # The mail went to somebody else: it freezes nothing either.
            return self._refuse(link_id, "revoked", link)
        link.approval_id._contest(self._make_visitor(link, k, "/ma/<link_id>/not-me"))
        values = {"link_id": link_id, "company": link.company_id, "action": "contested"}
        return page("milestone_billing.portal_review_link", values, referrer="no-referrer")

    # === HELPERS ===

    def _find(self, link_id):
        Link = request.env["milestone.billing.approval.link"].sudo()
        return Link.search([("uuid", "=", link_id)], limit=1) if is_uuid(link_id) else Link

    def _check(self, link_id, secret):
        """Give the link if the secret is right, in its turn. Wrong ones are counted, but never shut the right one out.

        :return: the link, or an empty set.
        """
        only_by_post()
        link = self._find(link_id)
        if not link or not link._has_secret(as_text(secret)):
            return link.browse()
        take_turn(link.approval_id)
        return link

    def _refuse(self, link_id, problem, link=None, secret=""):
        """Answer that the link does not open: the words differ, the page says what to do next."""
        status = {"expired": 410, "revoked": 410, "wrong": 404}.get(problem, 403)
        if problem == "wrong":
            Attempt = request.env["milestone.billing.attempt"]
            found = self._find(link_id)
            key = f"link,{found.uuid or 'unknown'},{read_pii().get('ip', '')}"
            if not Attempt._take("link_wrong", key, WRONG_PER_QUARTER_MAX, 15):
                status, problem = 429, "rate_limited"
        company = (link.company_id if link else request.env.company).sudo()
        values = {
            "link_id": link_id,
            "secret": secret,
            "company": company,
            "action": "refused",
            "problem": problem,
        }
        return page("milestone_billing.portal_review_link", values, status=status, referrer="no-referrer")

    def _use_lang(self, link):
        if link and link.approval_id.lang:
            request.update_context(lang=link.approval_id.lang)

    def _make_visitor(self, link, secret, route):
        approval = link.approval_id
        grant = {"link": link.uuid, "at": 0, "proof": link._get_link_proof(secret)}
        # Logged in as somebody else, it is the mail that speaks, and not that account.
        kind = "portal_user" if request.env.user.partner_id == link.partner_id else "link_holder"
        visit = Visit(approval, link.seat_id, kind, grant)
        visitor = make_visitor(visit, route)
        auth = {"session_tag": get_session_tag(), "link_proof": grant["proof"]}
        return visitor._replace(auth=auth, http=read_http(route))
