import uuid

from odoo import Command, api, fields, models
from odoo.exceptions import AccessError, UserError

from ..tools.context import drop_defaults
from ..tools.money import fraction
from .milestone_billing_line_state import INTERNAL_WRITE

PROTECTED = {
    "state",
    "number",
    "revision",
    "uuid",
    "reference",
    "amount_untaxed",
    "amount_tax",
    "amount_total",
    "schedule_id",
    "company_id",
    "currency_id",
    "partner_id",
    "user_id",
    "evidence_uuid",
    "snapshot_sha256",
    "milestone_line_id",
    "decided_on",
    "expires_on",
    "is_applied",
    "contested_on",
    "held_line_ids",
}
OPEN_STATES = ("draft", "proposed", "expired")


class MilestoneBillingChange(models.Model):
    """A change order: what changes in a confirmed order, approved by the client on a page of its own."""

    _name = "milestone.billing.change"
    _description = "Change Order"
    _inherit = ["mail.thread", "mail.activity.mixin", "milestone.billing.turn"]
    _order = "order_id desc, number desc"

    order_id = fields.Many2one("sale.order", required=True, index=True, ondelete="cascade")
    schedule_id = fields.Many2one(related="order_id.milestone_schedule_id", store=True, index=True)
    company_id = fields.Many2one(related="order_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="order_id.currency_id", store=True)
    partner_id = fields.Many2one(related="order_id.partner_id", store=True, index=True)
    user_id = fields.Many2one(related="order_id.user_id", store=True)
    number = fields.Integer(readonly=True, copy=False, help="Stable number within the order.")
    reference = fields.Char(compute="_compute_reference", store=True)
    name = fields.Char(string="Change", required=True, tracking=True)
    reason = fields.Text(help="What changes and why; the client reads it.")
    line_ids = fields.One2many("milestone.billing.change.line", "change_id", string="Positions", copy=True)
    billing = fields.Selection(
        [
            ("own", "In a milestone of its own"),
            ("spread", "With the open milestones"),
        ],
        string="Billed",
        default="own",
        required=True,
        help="A milestone of its own bills what is added. Otherwise the open milestones are spread again; so are "
        "reductions of lines that are in the order already.",
    )
    state = fields.Selection(
        [
            ("draft", "Draft"),
            ("proposed", "With the client"),
            ("approved", "Approved"),
            ("declined", "Declined"),
            ("expired", "No answer in time"),
            ("contested", "Contested"),
            ("cancelled", "Cancelled"),
        ],
        default="draft",
        required=True,
        readonly=True,
        copy=False,
        index=True,
        tracking=True,
    )
    revision = fields.Integer(readonly=True, copy=False, default=0)
    uuid = fields.Char(required=True, readonly=True, copy=False, default=lambda self: str(uuid.uuid4()))
    evidence_uuid = fields.Char(
        string="Evidence Chain", readonly=True, copy=False, default=lambda self: str(uuid.uuid4())
    )
    snapshot_sha256 = fields.Char(string="Snapshot SHA-256", readonly=True, copy=False)
    expires_on = fields.Datetime(readonly=True, copy=False)
    decided_on = fields.Datetime(readonly=True, copy=False)
    document = fields.Binary(
        string="Signed Document",
        attachment=True,
        copy=False,
        help="A phone or paper approval recorded by staff.",
    )
    link_ids = fields.One2many("milestone.billing.change.link", "change_id", string="Approvers", copy=False)
    milestone_line_id = fields.Many2one(
        "milestone.billing.line",
        string="Milestone",
        readonly=True,
        copy=False,
        ondelete="set null",
        help="The milestone that bills this change.",
    )
    amount_untaxed = fields.Monetary(string="Untaxed", compute="_compute_amounts", store=True, tracking=True)
    amount_tax = fields.Monetary(string="Tax", compute="_compute_amounts", store=True)
    amount_total = fields.Monetary(string="Total", compute="_compute_amounts", store=True)

    _number_unique = models.UniqueIndex(
        "(order_id, number)", "This change order number is taken on the order."
    )
    _uuid_unique = models.UniqueIndex("(uuid)", "Two change orders cannot share an identifier.")
    _chain_unique = models.UniqueIndex("(evidence_uuid)", "Two change orders cannot share an evidence chain.")

    @api.depends("order_id.name", "number")
    def _compute_reference(self):
        for change in self:
            change.reference = f"{change.order_id.name}-C{change.number:02d}" if change.number else False

    @api.depends("reference", "name")
    def _compute_display_name(self):
        for change in self:
            change.display_name = f"{change.reference}: {change.name}" if change.reference else change.name

    @api.depends("line_ids.amount_untaxed", "line_ids.amount_tax")
    def _compute_amounts(self):
        for change in self:
            change.amount_untaxed = sum(change.line_ids.mapped("amount_untaxed"))
            change.amount_tax = sum(change.line_ids.mapped("amount_tax"))
            change.amount_total = change.amount_untaxed + change.amount_tax

    # === CRUD ===

    @api.model_create_multi
    def create(self, vals_list):
        """Number the changes of each order, as far as the user may write it."""
        orders = self.env["sale.order"].browse(vals["order_id"] for vals in vals_list if vals.get("order_id"))
        orders.check_access("write")
        last = dict(self.sudo()._read_group([("order_id", "in", orders.ids)], ["order_id"], ["number:max"]))
        numbers = {order.id: number for order, number in last.items()}
        for vals in vals_list:
            if PROTECTED & vals.keys():
                self._check_internal_write()
            if vals.get("order_id"):
                vals["number"] = numbers[vals["order_id"]] = numbers.get(vals["order_id"], 0) + 1
        context = drop_defaults(self.env.context, PROTECTED)
        model = self.with_context(context)  # pylint: disable=context-overridden
        return super(MilestoneBillingChange, model).create(vals_list)

    def write(self, vals):
        """Refuse what follows from the steps, and any change of what the client has seen."""
        if PROTECTED & vals.keys():
            self._check_internal_write()
        elif {"line_ids", "order_id", "billing", "name", "reason"} & vals.keys():
            self._check_is_draft()
        if "document" in vals:
            self._check_document_open()
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_proposed(self):
        if self.filtered("snapshot_sha256"):
            raise UserError(self.env._("A change order that the client has seen is kept. Cancel it instead."))

    def _check_internal_write(self):
        if self.env.context.get("milestone_internal_write") is not INTERNAL_WRITE:
            raise AccessError(
                self.env._("A change order moves by its buttons only: propose, withdraw, cancel.")
            )

    def _write_internal(self, vals):
        return self.sudo().with_context(milestone_internal_write=INTERNAL_WRITE).write(vals)

    def _check_document_open(self):
        """Refuse another document once the change is decided: its hash is on record."""
        if self.env.context.get("milestone_internal_write") is INTERNAL_WRITE:
            return
        for change in self:
            if change.state == "approved":
                raise UserError(
                    self.env._(
                        "“%s” is approved: its document is part of the evidence and stays.", change.name
                    )
                )

    def _check_is_draft(self):
        for change in self:
            if change.state != "draft":
                raise UserError(
                    self.env._("“%s” is not a draft any more. Withdraw it, then change it.", change.name)
                )

    def _check_may_change(self):
        """Check that the user may propose and withdraw change orders.

        :raise AccessError: for anybody who may not write the order.
        """
        if not self.env.su:
            self.check_access("write")
            self.order_id.check_access("write")

    # === BUTTONS ===

    def action_propose(self):
        """Send change orders to the client's approvers."""
        self._check_may_change()
        self.sudo()._propose()
        return True

    def action_withdraw(self):
        """Take change orders back to draft; the client's links stop working.

        One without an answer in time goes back as well, and a contested one unless the order was changed by it:
        then it takes another change order.
        """
        self._check_may_change()
        proposed = self.filtered(
            lambda change: (
                change.state in ("proposed", "expired")
                or (change.state == "contested" and not change.is_applied)
            )
        )
        proposed.sudo()._close("request.superseded", "draft", {"reason": "withdrawn"})
        return True

    def action_cancel(self):
        """Cancel change orders that are not decided."""
        self._check_may_change()
        for change in self.sudo().filtered(lambda change: change.state in OPEN_STATES):
            if change.state != "draft":
                change._close("request.cancelled", "cancelled", {"reason": "cancelled"})
            else:
                change._write_internal({"state": "cancelled"})
        return True

    def action_view_client_page(self):
        """Open the page as the client sees it.

        :rtype: dict
        """
        self.ensure_one()
        self.check_access("read")
        return {"type": "ir.actions.act_url", "url": f"/my/changes/{self.uuid}", "target": "new"}

    def action_approve_on_behalf(self):
        """Record an approval that came by phone or on paper; the document is needed and the record says who."""
        self.ensure_one()
        self._check_may_bill()
        self.sudo()._approve_on_behalf()
        return True

    def _check_may_bill(self):
        self._check_may_change()
        if not self.env.su and not self.env.user.has_group(
            "milestone_billing.milestone_billing_group_billing_user"
        ):
            raise AccessError(self.env._("Only billing users may do this. Ask your billing manager."))


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    change_ids = fields.One2many("milestone.billing.change", "schedule_id", string="Change Orders")

    def propose_change(self, lines, name=None, reason=None, billing="own", idempotency_key=None):
        """Propose a change of a confirmed order to the client's approvers.

        :param list lines: positions, each with `order_line_id` (a line that changes) or `product_id` (a new
            line), and `quantity`, `price_unit` and `name` as far as they change.
        :param str name: title; the client reads it.
        :param str reason: what changes and why.
        :param str billing: `own` for a milestone of its own, `spread` for the open milestones.
        :param str idempotency_key: the same key with the same arguments gives the same answer.
        :return: ``{"change_id": int}``
        :rtype: dict
        :raise AccessError: for anybody who may not write the order.
        :raise UserError: for an order that is not confirmed, or a change that cannot be applied.
        """
        self.ensure_one()
        self.check_access("write")
        return self.env["milestone.billing.idempotency"]._answer_once(
            idempotency_key,
            "propose_change",
            [self.id, lines, name, reason, billing],
            lambda: {"change_id": self._propose_change(lines, name, reason, billing).id},
        )

    def _propose_change(self, lines, name, reason, billing):
        positions = [self._read_position(line) for line in lines] if isinstance(lines, list | tuple) else []
        change = self.env["milestone.billing.change"].create(
            {
                "order_id": self.order_id.id,
                "name": name or self.env._("Change of the order"),
                "reason": reason,
                "billing": billing,
                "line_ids": [Command.create(values) for values in positions],
            }
        )
        change.action_propose()
        return change

    @api.model
    def _read_position(self, line):
        """Read one position of a proposal as it was sent.

        :raise UserError: for what is no position.
        """
        if not isinstance(line, dict):
            raise UserError(self.env._("“%s” is no position. Send an object with its fields.", line))
        for name in ("quantity", "price_unit"):
            try:
                fraction(line.get(name, 0))
            except (ArithmeticError, ValueError):
                raise UserError(
                    self.env._("“%s” is not an amount. Send a decimal number.", line[name])
                ) from None
        for name in ("order_line_id", "product_id"):
            if not isinstance(line.get(name, False), int):
                raise UserError(self.env._("“%s” is no id. Send a whole number.", line[name]))
        allowed = {"order_line_id", "product_id", "quantity", "price_unit", "name"}
        return {name: value for name, value in line.items() if name in allowed}
