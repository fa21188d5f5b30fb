import uuid

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..tools.context import drop_defaults
from ..tools.money import to_float

LINE_KINDS = [
    ("deposit", "Deposit"),
    ("progress", "Progress"),
    ("final", "Final"),
    ("retainage_release", "Retainage release"),
    ("retainer", "Retainer"),
    ("change", "Change order"),
]
TRIGGERS = [
    ("manual", "By hand"),
    ("order_confirmed", "Order confirmed"),
    ("project_milestone", "Project milestone reached"),
    ("task_stage", "Task reaches a billing stage"),
    ("previous_paid", "Previous milestone paid"),
    ("date", "On a date"),
]
AMOUNT_TYPES = [("percent", "Percent"), ("fixed", "Fixed"), ("remainder", "Remainder")]
LINE_STATES = [
    ("planned", "Planned"),
    ("submitted", "With the client"),
    ("changes_requested", "Changes requested"),
    ("approved", "Approved"),
    ("cancelled", "Cancelled"),
]
# Written by buttons and the engine only.
INTERNAL_FIELDS = {
    "state",
    "completed_on",
    "is_on_hold",
    "number",
    "evidence_uuid",
    "gate_opened_on",
    "gate_opened_by_id",
    "gate_reason",
    "triggered_on",
    "triggered_by_id",
    "reopened_on",
}
CLOSED_FIELDS = INTERNAL_FIELDS - {"number"}
# They follow from the order and its documents; who sees a milestone, gates and limits go by them.
DERIVED_FIELDS = {
    "company_id",
    "currency_id",
    "partner_id",
    "user_id",
    "reference",
    "invoice_status",
    "amount_untaxed",
    "amount_tax",
    "amount_total",
    "amount_billed",
}
PLAN_FIELDS = {"sequence", "kind", "amount_type", "percent", "amount_fixed", "allocation_mode", "schedule_id"}


class MilestoneBillingLine(models.Model):
    _name = "milestone.billing.line"
    _description = "Milestone"
    _inherit = ["mail.thread", "mail.activity.mixin", "milestone.billing.amount.input.mixin"]
    _order = "order_id desc, sequence, id"
    _check_company_auto = True

    # Identity
    schedule_id = fields.Many2one("milestone.billing.schedule", required=True, index=True, ondelete="cascade")
    order_id = fields.Many2one("sale.order", required=True, index=True, ondelete="cascade")
    company_id = fields.Many2one(related="order_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="order_id.currency_id", store=True)
    partner_id = fields.Many2one(related="order_id.partner_id", store=True, index=True)
    user_id = fields.Many2one(related="order_id.user_id", store=True, string="Salesperson")
    number = fields.Integer(readonly=True, copy=False, help="Stable number within the order.")
    reference = fields.Char(compute="_compute_reference", store=True, index="trigram")
    sequence = fields.Integer(default=10)
    name = fields.Char(string="Milestone", required=True, tracking=True)
    description = fields.Text(
        string="Meaning of Done",
        help="What must be true for this milestone to be complete; the client reads it.",
    )
    evidence_uuid = fields.Char(
        string="Evidence Chain", readonly=True, copy=False, default=lambda self: str(uuid.uuid4())
    )

    # Links
    project_id = fields.Many2one(
        "project.project", compute="_compute_project_id", store=True, readonly=False, index="btree_not_null"
    )
    project_milestone_id = fields.Many2one(
        "project.milestone",
        index="btree_not_null",
        copy=False,
        domain="[('project_id', '=?', project_id)]",
        ondelete="set null",
    )
    task_ids = fields.One2many("project.task", "milestone_billing_line_id", string="Tasks")
    invoice_ids = fields.One2many("account.move", "milestone_line_id", string="Invoices", copy=False)
    allocation_ids = fields.One2many("milestone.billing.allocation", "line_id", copy=False)
    approval_ids = fields.One2many("milestone.billing.approval", "line_id", string="Submissions", copy=False)
    proof_ids = fields.Many2many(
        "ir.attachment",
        "milestone_billing_line_proof_rel",
        "line_id",
        "attachment_id",
        string="Proof of Work",
        copy=False,
        help="Photos, videos and documents that show the client what was done.",
    )

    # What and when
    kind = fields.Selection(LINE_KINDS, default="progress", required=True)
    trigger = fields.Selection(TRIGGERS, default="manual", required=True, tracking=True)
    trigger_date = fields.Date(string="Date", help="The milestone is completed on this day.")
    amount_type = fields.Selection(AMOUNT_TYPES, default="percent", required=True)
    percent = fields.Float(tracking=True)
    amount_fixed = fields.Monetary(tracking=True)
    allocation_mode = fields.Selection(
        [
            ("share", "Share of every line"),
            ("lines", "Chosen lines"),
            ("progress", "Percent complete to date"),
        ],
        default="share",
        required=True,
        help="Bill a share of every order line, only the lines chosen below, or for each line below what its "
        "percentage complete to date exceeds what is billed of it.",
    )
    approval_required = fields.Boolean(
        string="Client Approval",
        compute="_compute_approval_required",
        store=True,
        readonly=False,
        precompute=True,
        tracking=True,
    )
    proof_required = fields.Boolean(help="The milestone cannot be completed without proof of work.")
    po_required = fields.Boolean(
        string="Client PO Required", help="The milestone cannot be billed without the client's order number."
    )

    # Money
    amount_untaxed = fields.Monetary(string="Untaxed", compute="_compute_amounts", store=True)
    amount_tax = fields.Monetary(string="Tax", compute="_compute_amounts", store=True)
    amount_total = fields.Monetary(string="Total", compute="_compute_amounts", store=True)
    amount_billed = fields.Monetary(
        string="Billed", compute="_compute_amount_billed", store=True, help="Untaxed, credit notes deducted."
    )

    # State
    state = fields.Selection(
        LINE_STATES, default="planned", required=True, readonly=True, copy=False, tracking=True, index=True
    )
    completed_on = fields.Datetime(readonly=True, copy=False)
    is_on_hold = fields.Boolean(string="On Hold", readonly=True, copy=False, tracking=True)
    hold_reason = fields.Char(readonly=True, copy=False, tracking=True)
    invoice_status = fields.Selection(
        [
            ("none", "Not billed"),
            ("draft", "Draft"),
            ("posted", "To pay"),
            ("partial", "Partly paid"),
            ("paid", "Paid"),
            ("credited", "Credited"),
            ("before", "Billed before"),
        ],
        compute="_compute_invoice_status",
        store=True,
        index=True,
    )

    _number_unique = models.UniqueIndex("(order_id, number)", "This milestone number is taken on the order.")
    _evidence_unique = models.UniqueIndex("(evidence_uuid)", "Two milestones cannot share an evidence chain.")

    # === COMPUTE ===

    @api.depends("order_id.name", "number")
    def _compute_reference(self):
        for line in self:
            line.reference = f"{line.order_id.name}-M{line.number:02d}" if line.number else False

    @api.depends("reference", "name")
    def _compute_display_name(self):
        for line in self:
            line.display_name = f"{line.reference}: {line.name}" if line.reference else line.name

    @api.depends("order_id.project_id", "order_id.order_line.project_id", "project_milestone_id.project_id")
    def _compute_project_id(self):
        for line in self:
            order = line.order_id.sudo()
            line.project_id = (
                line.project_milestone_id.project_id
                or line.project_id
                or order.project_id
                or order.order_line.project_id[:1]
            )

    @api.depends("order_id")
    def _compute_approval_required(self):
        for line in self:
            company = line.order_id.company_id or self.env.company
            line.approval_required = line.approval_required or company.milestone_approval_required

    @api.depends(
        "sequence",
        "kind",
        "state",
        "amount_type",
        "percent",
        "amount_fixed",
        "allocation_mode",
        "allocation_ids.percent",
        "allocation_ids.amount_untaxed",
        "allocation_ids.amount_tax",
        "schedule_id.is_frozen",
        "order_id.currency_id",
        "order_id.payment_term_id",
        "order_id.milestone_line_ids.invoice_ids.amount_retained",
        "order_id.milestone_line_ids.invoice_ids",
        "order_id.milestone_line_ids.sequence",
        "order_id.milestone_line_ids.state",
        "order_id.milestone_line_ids.amount_type",
        "order_id.milestone_line_ids.percent",
        "order_id.milestone_line_ids.amount_fixed",
        "order_id.milestone_line_ids.allocation_mode",
        "order_id.order_line.price_subtotal",
        "order_id.order_line.price_total",
        "order_id.order_line.is_milestone_billed",
    )
    def _compute_amounts(self):
        """Take the amounts of agreed milestones from their allocations, which is what their invoices bill.

        Before the order is confirmed, and while a form is open, they are those of the plan as it would be now: once a part
        is billed, the rest spread anew could be another one by a unit than what was agreed.
        """
        for order, lines in self.grouped("order_id").items():
            if not order:
                lines.amount_untaxed = lines.amount_tax = lines.amount_total = 0.0
                continue
            releases = lines.filtered(lambda line: line.kind == "retainage_release")
            for line in releases:
                line._set_release_amounts()
            agreed = (lines - releases).filtered(
                lambda line: line.schedule_id.is_frozen and line == line._origin
            )
            for line in agreed:
                line._add_up_amounts(line.allocation_ids)
            if open_lines := lines - releases - agreed:
                parts = self.env["milestone.billing.schedule"]._get_plan(order)[0]
                for line in open_lines:
                    line._set_amounts(parts.get(line))

    def _set_release_amounts(self):
        """Set what a release asks for; it bills no work, so only the total is not zero."""
        invoice = self._get_live_invoice()
        self.amount_untaxed = self.amount_tax = 0.0
        self.amount_total = (
            invoice.amount_total
            if invoice
            else to_float(
                self._get_planned_release_units() + self._get_planned_release_tax_units(),
                self.currency_id.rounding,
            )
        )

    def _set_amounts(self, by_order_line):
        """Add up what is billed and planned of this milestone.

        :param by_order_line: its part of the plan; None where it is billed and no part of the plan any more.
        """
        Schedule = self.env["milestone.billing.schedule"]
        if by_order_line is None:
            self._add_up_amounts(self._get_fixed_allocations())
        else:
            amounts = [
                Schedule._prepare_allocation_amounts(units, self.currency_id, 2, line._get_exempt_tax_ids())
                for line, units in by_order_line.items()
            ]
            billed = self._get_billed_allocations()
            self.amount_untaxed = sum(values["amount_untaxed"] for values in amounts) + sum(
                billed.mapped("amount_untaxed")
            )
            self.amount_tax = sum(values["amount_tax"] for values in amounts) + sum(
                billed.mapped("amount_tax")
            )
            self.amount_total = self.amount_untaxed + self.amount_tax

    def _add_up_amounts(self, allocations):
        self.amount_untaxed = sum(allocations.mapped("amount_untaxed"))
        self.amount_tax = sum(allocations.mapped("amount_tax"))
        self.amount_total = self.amount_untaxed + self.amount_tax

    @api.depends(
        "allocation_ids.move_id",
        "allocation_ids.opening_id",
        "allocation_ids.amount_untaxed",
        "allocation_ids.move_id.state",
    )
    def _compute_amount_billed(self):
        for line in self:
            billed = line.allocation_ids.filtered(lambda a: a.opening_id or a.move_id.state == "posted")
            line.amount_billed = sum(billed.mapped("amount_untaxed"))

    @api.depends(
        "invoice_ids.state",
        "invoice_ids.payment_state",
        "invoice_ids.amount_residual",
        "invoice_ids.amount_retained",
        "invoice_ids.milestone_claim",
        "amount_billed",
        "state",
        "opening_ids.is_booked",
    )
    def _compute_invoice_status(self):
        for line in self:
            line.invoice_status = line._get_invoice_status()

    def _get_invoice_status(self):
        """Follow the document that bills this milestone now; without one, what became of the last."""
        # The documents of its allocations are read anyway; only a release, or a bill of nothing, has none of them.
        documents = self.allocation_ids.move_id.filtered("milestone_claim")
        claim = (documents or self.invoice_ids.filtered("milestone_claim"))[:1]
        if not claim:
            issued = self.invoice_ids.filtered(lambda move: move.state == "posted")
            # A release that is credited in part still asks for the rest.
            if "stage" in issued.mapped("milestone_document") or (
                "release" in issued.mapped("milestone_document")
                and self.currency_id.is_zero(sum(issued.mapped("amount_retained")))
            ):
                return "credited"
            return "before" if self.state == "approved" and self.opening_ids.filtered("is_booked") else "none"
        if claim.state == "draft":
            return "draft"
        if claim.payment_state in ("paid", "in_payment"):
            return "paid"
        if claim.amount_retained and claim._is_trade_settled():
            return "paid"
        if claim.payment_state == "partial":
            return "partial"
        return "posted"

    # === CONSTRAINTS ===

    @api.constrains("schedule_id", "order_id")
    def _check_schedule_order(self):
        for line in self:
            if line.schedule_id.order_id != line.order_id:
                raise ValidationError(
                    self.env._(
                        "Milestone “%s” belongs to the schedule of another order. Choose the schedule of its own order.",
                        line.name,
                    )
                )

    @api.constrains("amount_type", "amount_fixed", "percent", "kind")
    def _check_amount_inputs(self):
        """Override to look again when the kind changes."""
        return super()._check_amount_inputs()

    def _is_wrongly_negative(self):
        """Override: a change order may lower the contract, and an amount that is not used does no harm."""
        return self.amount_type == "fixed" and self.kind != "change" and super()._is_wrongly_negative()

    def _check_plan_inputs(self):
        """Refuse a schedule that no order can fit: two remainders, empty milestones, another company's order line."""
        live = self.filtered(lambda line: line.state != "cancelled")
        rests = live.filtered(
            lambda line: line.amount_type == "remainder" and line.kind != "retainage_release"
        )
        if len(rests) > 1:
            raise UserError(
                self.env._(
                    "Milestones “%(first)s” and “%(second)s” both take the remainder. Only one of them can.",
                    first=rests[0].name,
                    second=rests[1].name,
                )
            )
        for line in live:
            if line.amount_type == "percent" and not line.percent and line.allocation_mode == "share":
                raise UserError(
                    self.env._("Milestone “%s” has no percentage. Enter one or remove it.", line.name)
                )
        live._check_chosen_shares()

    # === CRUD ===

    @api.model_create_multi
    def create(self, vals_list):
        """Number the milestones of each order and plan its schedule again."""
        if not self.env.su and any(DERIVED_FIELDS & vals.keys() for vals in vals_list):
            self._check_internal_write()
        context = drop_defaults(self.env.context, CLOSED_FIELDS | DERIVED_FIELDS)
        model = self.with_context(context)  # pylint: disable=context-overridden
        model._complete_create_values(vals_list)
        lines = super(MilestoneBillingLine, model).create(vals_list)
        confirmed = lines.schedule_id.filtered(
            lambda item: item.order_id.state == "sale" and not item.is_frozen
        )
        if confirmed:
            # Milestones for an order that was confirmed without: they are agreed, too, or they would bill nothing.
            confirmed.sudo()._freeze()
            confirmed.sudo()._ensure_project_milestones()
        (lines.schedule_id - confirmed)._replan()
        lines._tell_why_moved(lambda names: self.env._("Added: %s.", names))
        return lines

    @api.model
    def _complete_create_values(self, vals_list):
        """Find the order, its schedule and the next number for new milestones; what buttons write starts empty."""
        Schedule = self.env["milestone.billing.schedule"]
        if any(
            vals[name] not in ("planned", False, None)
            for vals in vals_list
            for name in vals.keys() & CLOSED_FIELDS
        ):
            self._check_internal_write()
        for vals in vals_list:
            if vals.get("schedule_id") and not vals.get("order_id"):
                vals["order_id"] = Schedule.browse(vals["schedule_id"]).order_id.id
        orders = self.env["sale.order"].browse(
            {vals["order_id"] for vals in vals_list if vals.get("order_id")}
        )
        orders.check_access("write")
        orders._ensure_milestone_schedule()
        last = {order.id: max(order.milestone_line_ids.mapped("number"), default=0) for order in orders}
        for vals in vals_list:
            order_id = vals.get("order_id")
            if not order_id:
                continue
            last[order_id] += 1
            vals["number"] = last[order_id]
            vals["schedule_id"] = self.env["sale.order"].browse(order_id).milestone_schedule_id.id

    def write(self, vals):
        """Refuse what only steps write and what is billed; plan again what follows."""
        if vals.keys() & (INTERNAL_FIELDS | DERIVED_FIELDS):
            self._check_internal_write()
        if vals.keys() & (PLAN_FIELDS - {"sequence"}):
            self._check_not_billed()
        result = super().write(vals)
        if vals.keys() & PLAN_FIELDS:
            self.schedule_id._replan()
            self._tell_why_moved(lambda names: self.env._("Changed: %s.", names))
        return result

    def _check_not_billed(self):
        billed = self.filtered(lambda line: line._get_billed_allocations() and not line._is_open_in_plan())
        if billed:
            raise UserError(
                self.env._(
                    "Milestone “%s” is billed and does not move any more. Credit its invoice to change it.",
                    billed[0].name,
                )
            )

    @api.ondelete(at_uninstall=False)
    def _unlink_except_billed(self):
        for line in self:
            if line.invoice_ids or line._get_billed_allocations():
                raise UserError(
                    self.env._("Milestone “%s” has invoices. Cancel it instead of deleting it.", line.name)
                )
            if line.schedule_id.is_frozen and line.state != "cancelled":
                raise UserError(
                    self.env._(
                        "Milestone “%s” is part of a confirmed order. Cancel it instead of deleting it.",
                        line.name,
                    )
                )
