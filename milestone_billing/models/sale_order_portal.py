"""The schedule as the client sees it on the order page."""

from odoo import models
from odoo.tools import format_date


class SaleOrder(models.Model):
    _inherit = "sale.order"

    def _prepare_milestone_timeline(self, user):
        """Give one row of the timeline for each milestone: what, when, how much, how far.

        Links lead to the review for a person who may read it, and else to the issued invoice.

        :param user: who looks; the record itself may come from an access token.
        :rtype: list[dict]
        """
        self.ensure_one()
        order = self.sudo()
        lines = order.milestone_line_ids.filtered(lambda line: line._is_planned_on_order())
        lines = lines.sorted(lambda line: (line.sequence, line.id))
        readable = self._get_readable_approvals(lines, user)
        return [order._prepare_timeline_row(line, readable) for line in lines]

    def _get_readable_approvals(self, lines, user):
        """Give the current submissions that the visitor may open without a personal link."""
        current = (
            self.env["milestone.billing.approval"]
            .sudo()
            .union(*(line._get_current_approval() for line in lines))
        )
        if user._is_public():
            return current.browse()
        return current.with_user(user).sudo(False)._filtered_access("read").sudo()

    def _prepare_timeline_row(self, line, readable):
        approval, invoice = line._get_current_approval(), line._get_live_invoice()
        is_issued = invoice.state == "posted"
        url = invoice.get_portal_url() if is_issued else False
        if approval in readable and approval.state not in ("superseded", "cancelled"):
            url = f"/my/milestones/{approval.uuid}"
        return {
            "line": line,
            "when": line._get_when_text(),
            "share": line._get_share_text(),
            "due": format_date(self.env, invoice.invoice_date_due) if is_issued else "",
            "url": url,
            "gate": line._get_gate_words(),
            **line._get_client_status(),
        }


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _get_gate_words(self):
        """Tell the client, kindly, that the work for this milestone starts with a payment.

        :rtype: str
        """
        self.ensure_one()
        if self.state != "planned" or self.schedule_id.gate != "block" or not self._get_gate_obstacle():
            return ""
        return self.env._("We start as soon as “%s” is paid.", self._get_previous_line().name)
