"""The client's list of milestones and its card on the portal's home page."""

from odoo import http
from odoo.addons.portal.controllers.portal import CustomerPortal
from odoo.addons.portal.controllers.portal import pager as portal_pager
from odoo.fields import Domain
from odoo.http import request

from .visit import page

ITEMS_PER_PAGE = 40


class MilestonePortal(CustomerPortal):
    """The list below `/my/milestones`."""

    def _prepare_home_portal_values(self, counters):
        """Override of `portal` to count what waits for the client."""
        values = super()._prepare_home_portal_values(counters)
        Approval = request.env["milestone.billing.approval"]
        if not Approval.has_access("read"):
            return values
        if "milestone_waiting_count" in counters:
            values["milestone_waiting_count"] = Approval.search_count(
                self._get_milestone_domain() & Domain("state", "=", "requested")
            )
        if "milestone_count" in counters:
            values["milestone_count"] = Approval.search_count(self._get_milestone_domain(), limit=1)
        return values

    def _get_milestone_domain(self):
        """Give the submissions of the user's own company; the record rules apply as well."""
        partner = request.env.user.partner_id.commercial_partner_id
        return Domain("partner_id", "child_of", partner.id) & Domain(
            "state", "not in", ["superseded", "cancelled"]
        )

    @http.route(
        ["/my/milestones", "/my/milestones/page/<int:number>"],
        type="http",
        auth="user",
        methods=["GET"],
        website=True,
        sitemap=False,
    )
    def portal_my_milestones(self, number=1, **_kwargs):
        """List the submissions of the user's company: waiting first, then open to pay, then done."""
        Approval = request.env["milestone.billing.approval"]
        if not Approval.has_access("read"):
            return request.redirect("/my")
        domain = self._get_milestone_domain()
        total = Approval.search_count(domain)
        pager = portal_pager(url="/my/milestones", total=total, page=number, step=ITEMS_PER_PAGE)
        approvals = Approval.search(
            domain, order="portal_rank, id desc", limit=ITEMS_PER_PAGE, offset=pager["offset"]
        )
        values = {
            **self._prepare_portal_layout_values(),
            "rows": approvals.sudo()._prepare_list_rows(),
            "pager": pager,
            "page_name": "milestones",
            "default_url": "/my/milestones",
        }
        return page("milestone_billing.portal_my_milestones", values)
