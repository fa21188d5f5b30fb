"""The client's list of change orders, and its card on the portal's home page."""

from odoo.addons.portal.controllers.portal import CustomerPortal
from odoo.addons.portal.controllers.portal import pager as portal_pager
from odoo.fields import Domain
from odoo.http import request, route

from .visit import page

ITEMS_PER_PAGE = 40


class MilestoneChangePortal(CustomerPortal):
    """The list below `/my/changes`."""

    def _prepare_home_portal_values(self, counters):
        """Override of `portal` to count change orders, and those that wait for the client."""
        values = super()._prepare_home_portal_values(counters)
        Change, domain = request.env["milestone.billing.change"].sudo(), self._get_change_domain()
        if "milestone_change_waiting_count" in counters:
            waiting = domain & Domain("state", "=", "proposed")
            values["milestone_change_waiting_count"] = Change.search_count(waiting)
        if "milestone_change_count" in counters:
            values["milestone_change_count"] = Change.search_count(domain, limit=1)
        return values

    def _get_change_domain(self):
        """Give the change orders that the user's own company has seen: portal users have no rights on the model."""
        partner = request.env.user.partner_id.commercial_partner_id
        seen = Domain("snapshot_sha256", "!=", False) & Domain("state", "not in", ["draft", "cancelled"])
        return Domain("partner_id", "child_of", partner.id) & seen

    @route(
        ["/my/changes", "/my/changes/page/<int:number>"],
        type="http",
        auth="user",
        methods=["GET"],
        website=True,
        sitemap=False,
    )
    def portal_my_changes(self, number=1, **_kwargs):
        """List the change orders of the user's company, the newest first."""
        Change, domain = request.env["milestone.billing.change"].sudo(), self._get_change_domain()
        total = Change.search_count(domain)
        pager = portal_pager(url="/my/changes", total=total, page=number, step=ITEMS_PER_PAGE)
        changes = Change.search(domain, order="id desc", limit=ITEMS_PER_PAGE, offset=pager["offset"])
        values = {
            **self._prepare_portal_layout_values(),
            "change_rows": [change._prepare_list_row(request.env.user) for change in changes],
            "pager": pager,
            "page_name": "changes",
            "default_url": "/my/changes",
        }
        return page("milestone_billing.portal_my_changes", values)
