"""What is left of the hours a client paid ahead."""

from odoo.addons.portal.controllers.portal import CustomerPortal
from odoo.fields import Domain
from odoo.http import request, route

from .visit import page, refuse_file, send_report, take_download


class MilestoneRetainerPortal(CustomerPortal):
    """The pages below `/my/retainers`; portal users have no rights on the models."""

    def _prepare_home_portal_values(self, counters):
        """Override of `portal` to count the retainers of the user's company."""
        values = super()._prepare_home_portal_values(counters)
        if "milestone_retainer_count" in counters:
            Retainer = request.env["milestone.billing.retainer"].sudo()
            values["milestone_retainer_count"] = Retainer.search_count(self._get_retainer_domain(), limit=1)
        return values

    def _get_retainer_domain(self):
        partner = request.env.user.partner_id.commercial_partner_id
        return Domain("enrolment_id.partner_id.commercial_partner_id", "=", partner.id)

    @route("/my/retainers", type="http", auth="user", methods=["GET"], website=True, sitemap=False)
    def my_retainers(self, **_kwargs):
        """List the retainers of the user's company with their periods."""
        retainers = request.env["milestone.billing.retainer"].sudo().search(self._get_retainer_domain())
        values = {
            **self._prepare_portal_layout_values(),
            "statements": [retainer._prepare_statement() for retainer in retainers],
            "page_name": "retainers",
        }
        return page("milestone_billing.portal_retainers", values)

    @route(
        "/my/retainers/<int(max=2147483647):retainer_id>/statement.pdf",
        type="http",
        auth="user",
        methods=["GET"],
        website=True,
        sitemap=False,
    )
    def my_retainer_statement(self, retainer_id, **_kwargs):
        """Send the statement of a retainer of the user's company as a paper."""
        Retainer = request.env["milestone.billing.retainer"].sudo()
        retainer = Retainer.search(self._get_retainer_domain() & Domain("id", "=", retainer_id), limit=1)
        if not retainer:
            return page("milestone_billing.portal_closed", {}, status=404)
        if not take_download(retainer, request.env.user):
            return refuse_file(429)
        return send_report("milestone_billing.action_report_retainer", retainer, f"{retainer.name}.pdf")
