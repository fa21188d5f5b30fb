"""The client's list of milestones and its card on the portal's home page."""

from odoo import http
from odoo.addons.portal.controllers.portal import CustomerPortal
from odoo.addons.portal.controllers.portal import pager as portal_pager
from odoo.http import request

from .visit import page

ITEMS_PER_PAGE = 40


class MilestonePortal(CustomerPortal):
    """The list below `/my/milestones`."""

    def _prepare_home_portal_values(self, counters):
        """Override of `portal` to count what waits for the client."""
        values = super()._prepare_home_portal_values(counters)
        if not request.env["milestone.billing.approval"].has_access("read"):
            return values
        Line, user = request.env["milestone.billing.line"].sudo(), request.env.user
        if "milestone_waiting_count" in counters:
            values["milestone_waiting_count"] = len(Line._search_waiting_seats(user))
        if "milestone_count" in counters:
            values["milestone_count"] = Line.search_count(Line._get_client_domain(user), limit=1)
        return values

    @http.route(
        ["/my/milestones", "/my/milestones/page/<int:number>"],
        type="http",
        auth="user",
        methods=["GET"],
        website=True,
        sitemap=False,
    )
    def portal_my_milestones(self, number=1, **_kwargs):
        """List the milestones of the user's company: waiting first, then open to pay, to come, done."""
        if not request.env["milestone.billing.approval"].has_access("read"):
            return request.redirect("/my")
        Line, user = request.env["milestone.billing.line"].sudo(), request.env.user
        total = Line.search_count(Line._get_client_domain(user))
        pager = portal_pager(url="/my/milestones", total=total, page=number, step=ITEMS_PER_PAGE)
        lines = Line._search_for_client(user, offset=pager["offset"], limit=ITEMS_PER_PAGE)
        values = {
            **self._prepare_portal_layout_values(),
            "rows": lines._prepare_client_rows(user),
            "pager": pager,
            "page_name": "milestones",
            "default_url": "/my/milestones",
        }
        return page("milestone_billing.portal_my_milestones", values)
