from odoo.http import Controller, request, route

from .visit import page


class MilestoneBillingRetainerPage(Controller):
    """What is left of the hours a client paid ahead."""

    @route("/my/retainers", type="http", auth="user", methods=["GET"], website=True, sitemap=False)
    def my_retainers(self, **_kwargs):
        """List the retainers of the user's company with their periods."""
        partner = request.env.user.partner_id.commercial_partner_id
        retainers = (
            request.env["milestone.billing.retainer"]
            .sudo()
            .search([("enrolment_id.partner_id.commercial_partner_id", "=", partner.id)])
        )
        return page("milestone_billing.portal_retainers", {"retainers": retainers, "page_name": "retainers"})
