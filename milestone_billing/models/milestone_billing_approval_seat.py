from odoo import api, fields, models


class MilestoneBillingApprovalSeat(models.Model):
    """A person who is asked in one submission, with role and limit as they were then."""

    _name = "milestone.billing.approval.seat"
    _description = "Approver of a Submission"
    _order = "id"
    _rec_name = "partner_id"

    approval_id = fields.Many2one(
        "milestone.billing.approval", required=True, readonly=True, index=True, ondelete="cascade"
    )
    company_id = fields.Many2one(related="approval_id.company_id", store=True, index=True, precompute=True)
    currency_id = fields.Many2one(related="approval_id.currency_id")
    partner_id = fields.Many2one(
        "res.partner", string="Contact", required=True, readonly=True, index=True, ondelete="restrict"
    )
    role = fields.Char(readonly=True)
    amount_limit = fields.Monetary(string="Limit", readonly=True)
    email_state = fields.Selection(
        [("queued", "Queued"), ("sent", "Sent"), ("failed", "Failed"), ("no_address", "No e-mail address")],
        compute="_compute_link_figures",
    )
    opened_on = fields.Datetime(compute="_compute_link_figures")
    answer = fields.Selection(
        [
            ("approve", "Approved"),
            ("approve_with_reservations", "Approved with reservations"),
            ("changes", "Changes requested"),
            ("decline", "Declined"),
            ("waiting", "Asked"),
            ("none", "Did not answer"),
        ],
        compute="_compute_answer",
    )
    link_ids = fields.One2many("milestone.billing.approval.link", "seat_id")

    _approval_partner_unique = models.UniqueIndex(
        "(approval_id, partner_id)", "A contact can be asked only once in the same submission."
    )

    @api.depends("link_ids.state", "link_ids.opened_on")
    def _compute_link_figures(self):
        for seat in self.sudo():
            seat.email_state = seat.link_ids[:1].state or False
            seat.opened_on = min((link.opened_on for link in seat.link_ids if link.opened_on), default=False)

    @api.depends("approval_id.state", "approval_id.decision_ids.decision")
    def _compute_answer(self):
        for seat in self.sudo():
            silent = "waiting" if seat.approval_id.state == "requested" else "none"
            seat.answer = seat._get_decision().decision or silent

    def _get_decision(self):
        """Give what this approver decided, if anything.

        :rtype: milestone.billing.approval.decision
        """
        self.ensure_one()
        return self.sudo().approval_id.decision_ids.filtered(lambda item: item.partner_id == self.partner_id)

    def _get_decision_label(self):
        """Give the decision in words, for the receipt.

        :rtype: str
        """
        decision = self._get_decision()
        labels = dict(decision._fields["decision"]._description_selection(self.env))
        return labels.get(decision.decision, "")

    def _get_actor_ref(self):
        self.ensure_one()
        return self.sudo().partner_id.milestone_evidence_ref
