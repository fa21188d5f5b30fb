"""A milestone as its client sees it: how far it is, the list of all of them, and what happened so far."""

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL, format_date, formatLang

# Waiting for the client, to pay, in work, to come, done: the order of the client's list.
RANK_QUERY = """
    CASE WHEN {line}.invoice_status IN ('posted', 'partial') THEN 1
         WHEN {line}.invoice_status = 'paid' THEN 4
         WHEN {line}.state = 'submitted' AND EXISTS (
              SELECT 1 FROM milestone_billing_approval request
               WHERE request.line_id = {line}.id AND request.state = 'requested' AND request.expires_on > %s
         ) THEN 0
         WHEN {line}.state IN ('submitted', 'changes_requested') THEN 2
         WHEN {line}.state = 'approved' THEN 4
         ELSE 3 END
"""


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    # === HOW FAR ===

    def _prepare_steps(self, reader):
        """Give the stepper: every milestone of the order, and how far it is, in the client's words.

        :param reader: the contact who looks, or an empty set.
        :rtype: list[dict]
        """
        self.ensure_one()
        lines = self.order_id.sudo().milestone_line_ids.filtered(lambda line: line._is_planned_on_order())
        lines = lines.sorted(lambda line: (line.sequence, line.id)).with_context(lang=self.env.lang)
        return [
            {
                "line": line,
                "name": line.name,
                "is_current": line.id == self.id,
                **line._get_client_status_for(line._get_current_approval(), reader),
            }
            for line in lines
        ]

    def _get_client_status(self):
        """Say how far a milestone is, in one word and one colour for the client.

        :rtype: dict
        """
        self.ensure_one()
        words = {
            "paid": (self.env._("Paid"), "success"),
            "to_pay": (self.env._("To pay"), "warning"),
            "to_review": (self.env._("Waiting for you"), "primary"),
            "in_work": (self.env._("Being changed"), "info"),
            "declined": (self.env._("Declined"), "light"),
            "expired": (self.env._("Time over"), "light"),
            "approved": (self.env._("Approved"), "success"),
            "done": (self.env._("Done"), "success"),
            "contested": (self.env._("Being clarified"), "danger"),
            "cancelled": (self.env._("Cancelled"), "light"),
            "coming": (self.env._("Coming"), "light"),
        }
        code = self._get_client_status_code()
        label, color = words[code]
        return {"code": code, "label": label, "color": color}

    def _get_client_status_code(self):
        approval = self._get_current_approval()
        if self.state == "cancelled":
            return "cancelled"
        if approval.state == "contested":
            return "contested"
        if self.invoice_status == "paid":
            return "paid"
        if self.invoice_status in ("posted", "partial"):
            return "to_pay"
        if self.state == "approved":
            return "approved" if approval else "done"
        if self.state == "changes_requested":
            return "declined" if approval.state == "declined" else "in_work"
        if self.state == "submitted":
            status = approval._get_page_status() if approval else ""
            return {"requested": "to_review", "expired": "expired"}.get(status, "in_work")
        return "coming"

    # === LIST ===

    @api.model
    def _get_client_domain(self, user):
        """Give the milestones a client may see in the portal: those of the own company, and where the user decides.

        The milestones of quotations are on the quotation.

        :rtype: Domain
        """
        company = user.partner_id.commercial_partner_id
        own = Domain("partner_id", "child_of", company.id) & Domain("company_id", "in", user.company_ids.ids)
        asked = Domain("approval_ids.seat_ids.partner_id", "=", user.partner_id.id)
        begun = Domain("order_id.state", "=", "sale") | Domain("approval_ids", "!=", False)
        return (own | asked) & begun & Domain("state", "!=", "cancelled")

    @api.model
    def _search_waiting_seats(self, user):
        """Find where a user is asked and has not answered yet.

        :rtype: milestone.billing.approval.seat
        """
        asked = Domain("partner_id", "=", user.partner_id.id) & Domain("approval_id.state", "=", "requested")
        in_time = Domain("approval_id.expires_on", ">", fields.Datetime.now())
        seats = self.env["milestone.billing.approval.seat"].sudo().search(asked & in_time)
        return seats.filtered(lambda seat: not seat._get_decision())

    @api.model
    def _search_for_client(self, user, offset=0, limit=None):
        """Find the milestones of a client's list: waiting, to pay, in work, to come, done.

        :param user: whose list it is; the caller works with `sudo`.
        :rtype: milestone.billing.line
        """
        self.flush_model(["state", "invoice_status", "sequence", "order_id"])
        self.env["milestone.billing.approval"].flush_model(["state", "expires_on"])
        query = self._search(self._get_client_domain(user), offset=offset, limit=limit)
        alias = SQL.identifier(query.table)
        rank = SQL(RANK_QUERY.format(line=query.table), fields.Datetime.now())
        query.order = SQL(
            "%s, %s.order_id DESC, %s.sequence, %s.id",
            rank,
            alias,
            alias,
            alias,
        )
        return self.browse(query)

    def _prepare_client_rows(self, user):
        """Give one line of the client's list for each milestone.

        :param user: who looks.
        :rtype: list[dict]
        """
        approvals = self._get_current_approvals()
        # All at once: read one by one, each submission would ask for its own.
        approvals.seat_ids.fetch(["partner_id"])
        approvals.decision_ids.fetch(["partner_id"])
        current = {approval.line_id: approval for approval in approvals}
        return [
            {
                "url": line._get_client_url(current.get(line)),
                "project": line.project_id.name or line.order_id.name,
                "order": line.order_id.name,
                "name": line.name,
                "amount": formatLang(self.env, line.amount_total, currency_obj=line.currency_id),
                "when": line._get_client_when(current.get(line)),
                **line._get_client_status_for(current.get(line), user.partner_id),
            }
            for line in self
        ]

    def _get_client_url(self, approval):
        """Give where a line of the client's list leads: the review, the invoice, or the order."""
        if approval and approval.state not in ("superseded", "cancelled"):
            return f"/my/milestones/{approval.uuid}"
        invoice = self._get_live_invoice()
        return f"/my/invoices/{invoice.id}" if invoice.state == "posted" else f"/my/orders/{self.order_id.id}"

    def _get_client_status_for(self, approval, reader):
        """Say how far a milestone is to one reader: what waits for a colleague does not wait for them."""
        status = self._get_client_status()
        is_waiting = status["code"] == "to_review"
        if is_waiting and reader and reader not in approval._get_waiting_seats().partner_id:
            status |= {"label": self.env._("With your colleagues"), "color": "light"}
        return status

    def _get_client_when(self, approval):
        """Say the date that matters now: answer by, due on, expected."""
        code, invoice = self._get_client_status_code(), self._get_live_invoice()
        if code == "to_review":
            return self.env._("answer by %s", format_date(self.env, approval.expires_on))
        if code == "to_pay":
            return self.env._("due on %s", format_date(self.env, invoice.invoice_date_due))
        if code == "coming":
            return self._get_when_text()
        return format_date(self.env, invoice.invoice_date or (approval and approval.create_date)) or ""

    # === HISTORY ===

    def _prepare_history(self):
        """Give what happened between client and team about this milestone, oldest first.

        :return: day and sentence of each step.
        :rtype: list[tuple[str, str]]
        """
        self.ensure_one()
        events = []
        for approval in self.sudo().approval_ids.sorted("revision"):
            events += approval.with_env(self.env(su=True))._get_history_events()
        invoice = self._get_live_invoice()
        if invoice.state == "posted":
            when = fields.Datetime.to_datetime(invoice.invoice_date)
            events.append((when, self.env._("Invoice %s was issued.", invoice.name)))
        return [(format_date(self.env, when), sentence) for when, sentence in events]


class MilestoneBillingApproval(models.Model):
    _inherit = "milestone.billing.approval"

    def _get_history_events(self):
        """Give the steps of this submission in the client's words.

        :rtype: list[tuple[datetime, str]]
        """
        self.ensure_one()
        sentence = self.env._("Version %s was sent for review.", self.revision)
        events = [(self.create_date, sentence)]
        for decision in self.decision_ids:
            events.append((decision.create_date, self._get_decision_sentence(decision)))
        if self.is_on_behalf:
            given = self.env._("An approval on paper or by phone was recorded.")
            events.append((self.decided_on or self.write_date, given))
        if self.state == "expired":
            events.append((self.expires_on, self.env._("The time to answer was over.")))
        if self.contested_on:
            events.append((self.contested_on, self.env._("Somebody said: this was not me.")))
        return events

    def _get_decision_sentence(self, decision):
        name = decision.partner_id.name
        return {
            "approve": lambda: self.env._("%s approved.", name),
            "approve_with_reservations": lambda: self.env._("%s approved with reservations.", name),
            "changes": lambda: self.env._("%s asked for changes.", name),
            "decline": lambda: self.env._("%s declined.", name),
        }[decision.decision]()
