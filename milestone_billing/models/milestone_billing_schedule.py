from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ..tools.context import drop_defaults
from ..tools.money import to_float

# They follow from the order, or are written when it is confirmed or ends, by billing steps and by the tie-out.
PROTECTED = {
    "company_id",
    "currency_id",
    "partner_id",
    "amount_before",
    "is_frozen",
    "amount_frozen",
    "tax_rounding_method",
    "amount_excess",
    "position_history",
    "lock_version",
    "ended_on",
    "retainage_account_id",
    "tie_out_state",
    "tie_out_on",
    "tie_out_note",
}


class MilestoneBillingSchedule(models.Model):
    _name = "milestone.billing.schedule"
    _description = "Milestone Billing Schedule"
    _inherit = ["mail.thread"]
    _rec_name = "order_id"
    _order = "id desc"
    _check_company_auto = True

    order_id = fields.Many2one("sale.order", required=True, readonly=True, index=True, ondelete="cascade")
    company_id = fields.Many2one(related="order_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="order_id.currency_id", store=True)
    partner_id = fields.Many2one(related="order_id.partner_id", store=True, index=True)
    template_id = fields.Many2one("milestone.billing.template", readonly=True)
    line_ids = fields.One2many("milestone.billing.line", "schedule_id", string="Milestones")

    retainage_percent = fields.Float(
        string="Retainage (%)",
        digits=(16, 4),
        tracking=True,
        help="Part of each milestone that the client holds back until it is released.",
    )
    retainage_base = fields.Selection(
        [("net", "Net amount"), ("gross", "Amount with tax")], default="gross", required=True
    )
    deposit_mode = fields.Selection(
        [("instalment", "Share of the price"), ("advance", "Advance, recovered later")],
        string="Deposits",
        default="instalment",
        required=True,
        help="A share of the price is billed like any milestone. An advance goes to the down payment account and is "
        "deducted from later invoices.",
    )
    deposit_recovery = fields.Selection(
        [("final", "On the final invoice"), ("prorata", "Pro rata on each milestone")],
        default="final",
        required=True,
    )
    approver_ids = fields.One2many("milestone.billing.approver", "schedule_id", string="Approvers")
    quorum = fields.Integer(
        string="Approvals Needed",
        default=1,
        help="How many of the approvers must approve. 0 means all of them.",
    )
    gate = fields.Selection(
        [
            ("none", "Next milestone is always open"),
            ("warn", "Warn while the previous one is unpaid"),
            ("block", "Block while the previous one is unpaid"),
        ],
        string="Payment Gate",
        required=True,
        compute="_compute_company_settings",
        store=True,
        readonly=False,
        precompute=True,
        tracking=True,
    )
    is_frozen = fields.Boolean(
        string="Frozen",
        readonly=True,
        copy=False,
        help="The order is confirmed: billed milestones never move.",
    )
    amount_frozen = fields.Monetary(
        string="Planned Total",
        readonly=True,
        copy=False,
        help="Untaxed total of the order when it was confirmed.",
    )
    amount_excess = fields.Monetary(
        string="Planned above the Order",
        readonly=True,
        copy=False,
        help="What the milestones of a confirmed order exceed it by; none of them is billed before they fit.",
    )
    lock_version = fields.Integer(
        readonly=True, copy=False, help="Raised by every billing step, so that two of them never overlap."
    )
    amount_contract = fields.Monetary(
        string="Contract",
        compute="_compute_totals",
        compute_sudo=True,
        help="Untaxed total of the order lines billed by milestones.",
    )
    amount_difference = fields.Monetary(
        string="Difference",
        compute="_compute_totals",
        compute_sudo=True,
        help="What the milestones exceed (+) or miss (-) the order by.",
    )
    amount_over_billed = fields.Monetary(
        string="Over-Billed",
        compute="_compute_totals",
        compute_sudo=True,
        help="What the documents, drafts included, bill more than the order comes to now.",
    )
    amount_billed = fields.Monetary(string="Billed", compute="_compute_totals", compute_sudo=True)
    done_count = fields.Integer(compute="_compute_totals", compute_sudo=True)
    line_count = fields.Integer(compute="_compute_totals", compute_sudo=True)

    _order_unique = models.Constraint("UNIQUE (order_id)", "An order can have only one milestone schedule.")
    _retainage_range = models.Constraint(
        "CHECK (retainage_percent >= 0 AND retainage_percent < 100)",
        "Retainage must be at least 0 % and below 100 %.",
    )
    _quorum_positive = models.Constraint(
        "CHECK (quorum >= 0)", "The number of approvals needed cannot be negative."
    )

    @api.depends("order_id")
    def _compute_company_settings(self):
        for schedule in self:
            schedule.gate = schedule.gate or (schedule.order_id.company_id or self.env.company).milestone_gate

    @api.depends(
        "line_ids.amount_untaxed",
        "line_ids.state",
        "line_ids.amount_billed",
        "line_ids.allocation_ids.move_id",
        "order_id.order_line.price_subtotal",
    )
    def _compute_totals(self):
        for schedule in self:
            order, rounding = schedule.order_id, schedule.currency_id.rounding or 0.01
            columns = self._get_order_columns(order)
            schedule.amount_contract = to_float(sum(c["net"] for c in columns.values()), rounding)
            difference = self._get_plan(order)[1] if order.milestone_line_ids else 0
            schedule.amount_difference = to_float(difference, rounding)
            # Of a milestone that was cancelled after a credit note in part, the rest is still billed.
            schedule.amount_billed = sum(schedule.line_ids.mapped("amount_billed"))
            lines = schedule.line_ids.filtered(lambda line: line.state != "cancelled")
            schedule.amount_over_billed = schedule._get_over_billed()
            schedule.line_count = len(lines)
            schedule.done_count = len(lines.filtered(lambda line: line.state == "approved"))

    def _get_over_billed(self):
        billed = sum(self.line_ids._get_billed_allocations().mapped("amount_untaxed"))
        if not self.is_frozen or self.order_id.state != "sale":
            return 0.0
        return max(self.currency_id.round(billed - self.amount_contract), 0.0)

    # === CRUD ===

    @api.model_create_multi
    def create(self, vals_list):
        """Make schedules known to their orders."""
        self._check_not_protected(vals_list)
        context = drop_defaults(self.env.context, PROTECTED)
        model = self.with_context(context)  # pylint: disable=context-overridden
        schedules = super(MilestoneBillingSchedule, model).create(vals_list)
        for schedule in schedules:
            schedule.order_id.sudo().milestone_schedule_id = schedule
        return schedules

    def write(self, vals):
        """Refuse by hand what follows from confirming, billing and comparing."""
        self._check_not_protected([vals])
        if "order_id" in vals and not self.env.su:
            raise AccessError(
                self.env._("A milestone schedule stays with its order. Make one on the other order.")
            )
        return super().write(vals)

    @api.model
    def _check_not_protected(self, vals_list):
        if not self.env.su and any(PROTECTED & vals.keys() for vals in vals_list):
            raise AccessError(
                self.env._(
                    "These figures of a milestone schedule follow from its order and invoices. Change those instead."
                )
            )

    @api.ondelete(at_uninstall=False)
    def _unlink_except_billed(self):
        if self.line_ids._get_billed_allocations():
            raise UserError(
                self.env._("This schedule has billed milestones. Credit their invoices before you remove it.")
            )

    # === FREEZE ===

    def _check_fits_order(self):
        """Refuse a schedule whose milestones do not add up to the order, naming the difference."""
        for schedule in self:
            difference = schedule.amount_difference
            if schedule.currency_id.is_zero(difference):
                continue
            if difference > 0:
                raise UserError(schedule._get_excess_sentence(difference))
            raise UserError(
                self.env._(
                    "The milestones of %(order)s are %(amount)s short of the order (%(contract)s). "
                    "Raise a milestone or make the last one a remainder.",
                    order=schedule.order_id.name,
                    contract=schedule._format(schedule.amount_contract),
                    amount=schedule._format(-difference),
                )
            )

    def _get_excess_sentence(self, amount):
        values = {
            "order": self.order_id.name,
            "contract": self._format(self.amount_contract),
            "amount": self._format(amount),
        }
        if self.is_frozen:
            return self.env._(
                "The milestones of %(order)s exceed the order (%(contract)s) by %(amount)s. "
                "Cancel a milestone that is not billed, or agree on a change order.",
                **values,
            )
        return self.env._(
            "The milestones of %(order)s exceed the order (%(contract)s) by %(amount)s. "
            "Lower a milestone or make the last one a remainder.",
            **values,
        )

    def _check_can_freeze(self):
        """Refuse what cannot be agreed with the client.

        :raise UserError: naming what is wrong and what to do.
        """
        for schedule in self:
            schedule.line_ids._check_plan_inputs()
        self._check_fits_order()
        self._check_invoiced_by_milestones()
        self._check_retained_taxes()
        self._check_deposit_limit()

    def _check_invoiced_by_milestones(self):
        """Refuse to bill by milestones what an invoice beside them bills already.

        :raise UserError: naming the order line and the invoice.
        """
        self.sudo()._check_no_other_down_payment()
        for line in self.sudo().order_id.order_line.filtered("is_milestone_billed"):
            items = line.invoice_lines.filtered(
                lambda item: (
                    item.parent_state != "cancel"
                    and not item.move_id.milestone_document
                    and not item.move_id.reversed_entry_id.milestone_document
                )
            )
            if not line.currency_id.is_zero(sum(items.mapped("amount_currency"))):
                raise UserError(
                    self.env._(
                        "“%(line)s” is on invoice %(invoice)s already, so its milestones would bill it again. Credit "
                        "that invoice, or delete its draft.",
                        line=line.name,
                        invoice=", ".join(items.move_id.mapped("display_name")),
                    )
                )

    def _check_no_other_down_payment(self):
        """Refuse milestones beside a down payment of `sale`, which none of them deducts.

        :raise UserError: naming the invoice.
        """
        for line in self.order_id.order_line.filtered(
            lambda line: line.is_downpayment and not line.display_type and not line.milestone_deposit_id
        ):
            items = line.invoice_lines.filtered(lambda item: item.parent_state != "cancel")
            if not line.currency_id.is_zero(sum(items.mapped("amount_currency"))):
                raise UserError(
                    self.env._(
                        "%(order)s has a down payment on %(invoice)s, which its milestones do not deduct. Credit that "
                        "invoice, or delete its draft, and bill a deposit milestone instead.",
                        order=line.order_id.name,
                        invoice=", ".join(items.move_id.mapped("display_name")),
                    )
                )

    def _freeze(self):
        """Freeze the schedules of confirmed orders and write their allocations down."""
        self._keep_tax_rounding()
        self._check_can_freeze()
        for schedule in self:
            schedule.write({"is_frozen": True, "amount_frozen": schedule.amount_contract})
        self._on_order_changed()
        self._log_deposit_limit()

    def _unfreeze(self):
        """Open the schedules of orders that went back to quotation; planned allocations are dropped."""
        self.write(
            {
                "is_frozen": False,
                "amount_frozen": 0.0,
                "tax_rounding_method": False,
                "position_history": False,
            }
        )
        planned = self.line_ids.allocation_ids._filter_planned().filtered(lambda a: not a.percent)
        planned.sudo().unlink()

    def _lock(self):
        """Take the schedules' row locks so that billing steps on the same order run one after the other.

        The version is raised in the same statement: a transaction that waited for the lock then fails with a
        serialization error, which the server answers by running the whole request again on fresh data.
        """
        if not self:
            return
        self.env.cr.execute(
            """
            UPDATE milestone_billing_schedule SET lock_version = COALESCE(lock_version, 0) + 1
             WHERE id IN (SELECT id FROM milestone_billing_schedule WHERE id = ANY(%s) ORDER BY id FOR UPDATE)
            """,
            [self.ids],
        )
        self.invalidate_recordset(["lock_version"], flush=False)
