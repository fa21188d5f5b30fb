"""What the client's pages and the paper show of a change order: the frozen snapshot, and where it stands."""

from odoo import models
from odoo.tools import format_date, formatLang

STATUS_COLORS = {
    "proposed": "primary",
    "approved": "success",
    "contested": "danger",
}


class MilestoneBillingChange(models.Model):
    _inherit = "milestone.billing.change"

    def _prepare_page_values(self, reader=None):
        """Give what the page and the paper show, in the language of the environment.

        A draft has no snapshot yet: the team sees it as it would be frozen now.

        :param reader: the contact who looks; nobody for the paper and for staff.
        :rtype: dict
        """
        self.ensure_one()
        change = self.sudo()
        return {
            "change": change,
            "company": change.company_id,
            "res_company": change.company_id,
            "snapshot": change._get_snapshot() or change._prepare_content(),
            "money": change._format_text,
            "status": change._get_client_status(reader),
            "status_sentence": change._get_status_sentence(),
            "approve_label": change._get_approve_label(),
        }

    def _get_approve_label(self):
        """Give the text of the button that approves, exactly as it is shown.

        :rtype: str
        """
        amount = formatLang(self.env, self.amount_total, currency_obj=self.currency_id)
        return self.env._("Approve %s", amount)

    def _format_text(self, text):
        """Write an amount of the snapshot with its currency, in the reader's format.

        :param text: decimal text.
        :rtype: str
        """
        return formatLang(self.env, float(text or 0), currency_obj=self.currency_id)

    def _get_client_status(self, reader=None):
        """Say how far the change is, in one word and one colour for the client.

        :param reader: the contact who looks: what waits for a colleague does not wait for them.
        :rtype: dict
        """
        words = {
            "proposed": self.env._("Waiting for you"),
            "approved": self.env._("Approved"),
            "declined": self.env._("Declined"),
            "contested": self.env._("Being clarified"),
            "expired": self.env._("Time over"),
        }
        label = words.get(self.state) or self.env._("Withdrawn")
        waiting = self.sudo()._get_active_links().filtered(lambda link: not link.decision).partner_id
        if self.state == "proposed" and reader and reader not in waiting:
            return {"code": self.state, "label": self.env._("With your colleagues"), "color": "light"}
        return {"code": self.state, "label": label, "color": STATUS_COLORS.get(self.state, "light")}

    def _get_status_sentence(self):
        """Say in words where this change stands.

        :rtype: str
        """
        when = self._format_moment(self.decided_on)
        names = ", ".join(self.link_ids.filtered("decision").partner_id.mapped("name"))
        if self.state == "proposed":
            return self._get_waiting_sentence()
        if self.state == "approved" and names:
            return self.env._(
                "Approved by %(names)s on %(when)s. Order and milestones are changed.", names=names, when=when
            )
        if self.state == "approved":
            return self.env._("Approved on paper or by phone, recorded on %s. The order is changed.", when)
        if self.state == "declined":
            return self.env._("%(names)s declined on %(when)s. Nothing changes.", names=names, when=when)
        if self.state == "expired":
            return self.env._("The time to decide has run out. Write to us, and we send it again.")
        if self.state == "contested":
            return self.env._("This decision is being clarified. What it bills waits until then.")
        return self.env._("This offer was withdrawn. You need not do anything.")

    def _get_waiting_sentence(self):
        day = format_date(self.env, self.expires_on)
        granted = len(self.link_ids.filtered(lambda link: link.decision == "approve" and not link.is_revoked))
        needed = (self._get_snapshot() or {}).get("quorum", 1)
        if needed > 1:
            return self.env._(
                "%(count)s of %(needed)s approvals. Open until %(date)s.",
                count=granted,
                needed=needed,
                date=day,
            )
        return self.env._("Nothing changes before you approve. Open until %s.", day)

    def _prepare_list_row(self, user):
        """Give one line of a list of change orders.

        :rtype: dict
        """
        self.ensure_one()
        return {
            "change": self,
            "url": f"/my/changes/{self.uuid}" if self._is_readable_by(user) else False,
            "name": f"{self.reference}: {self.name}",
            "order": self.order_id.name,
            "amount": formatLang(self.env, self.amount_untaxed, currency_obj=self.currency_id),
            "date": self.env._("answer by %s", format_date(self.env, self.expires_on))
            if self.state == "proposed"
            else format_date(self.env, self.decided_on or self.expires_on),
            **self._get_client_status(user.partner_id if user._is_portal() else None),
        }

    def _is_readable_by(self, user):
        """Tell whether a logged-in person may open the page: staff by their rights, clients of the company.

        :rtype: bool
        """
        if user._is_public():
            return False
        if user._is_internal():
            return self.with_user(user).sudo(False).has_access("read")
        partner = user.partner_id
        is_colleague = partner.commercial_partner_id == self.partner_id.commercial_partner_id
        is_approver = partner in self._get_active_links().partner_id
        return is_approver or (is_colleague and self.state != "draft")


class SaleOrder(models.Model):
    _inherit = "sale.order"

    def _prepare_change_rows(self, user):
        """Give one row for each change order that the client has seen; links only for who may open them.

        :param user: who looks; the record itself may come from an access token.
        :rtype: list[dict]
        """
        self.ensure_one()
        changes = self.sudo().milestone_schedule_id.change_ids.filtered(
            lambda change: change.snapshot_sha256 and change.state not in ("draft", "cancelled")
        )
        return [change._prepare_list_row(user) for change in changes.sorted("number")]
