from odoo.http import Controller, request, route

from .visit import go, only_by_post, page

CHOICES = ("", "email", "sms", "none")


class MilestoneBillingReminderController(Controller):
    """Where clients choose how they are reminded; opening the page changes nothing."""

    _page_url = "/milestones/reminders/<string:token>"

    @route(_page_url, type="http", auth="public", methods=["GET"], website=True, sitemap=False)
    def milestone_reminders(self, token, saved=None, **_kwargs):
        """Show the present choice to the holder of a signed link."""
        partner = request.env["milestone.billing.reminder"]._find_partner_of_token(token)
        return self._render(partner, token, bool(saved))

    @route(_page_url, type="http", auth="public", methods=["POST"], website=True, sitemap=False)
    def milestone_reminders_save(self, token, preference="", **_kwargs):
        """Keep the choice of the holder of a signed link."""
        only_by_post()
        partner = request.env["milestone.billing.reminder"]._find_partner_of_token(token)
        if not partner:
            return self._render(partner, token, False)
        if preference in CHOICES:
            partner.milestone_reminder_preference = preference or False
        return go(f"/milestones/reminders/{token}?saved=1")

    @route("/my/milestones/reminders", type="http", auth="user", methods=["GET"], website=True, sitemap=False)
    def milestone_my_reminders(self, **_kwargs):
        """Lead a person with an account to the same page."""
        Reminder = request.env["milestone.billing.reminder"]
        return go(Reminder._get_stop_url(request.env.user.partner_id))

    def _render(self, partner, token, saved):
        values = {"partner": partner, "token": token, "saved": saved}
        status = 200 if partner else 404
        response = page("milestone_billing.milestone_billing_reminder_page", values, status, "no-referrer")
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
        return response
