from odoo import Command, api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tools import formatLang

from ..tools.context import drop_defaults
from ..tools.money import to_units


class MilestoneBillingEnrolment(models.Model):
    """A customer who is charged on demand: one open-ended order, and what may be charged to it."""

    _name = "milestone.billing.enrolment"
    _description = "On-Demand Billing"
    _inherit = ["mail.thread"]
    _order = "partner_id, id"
    _check_company_auto = True

    name = fields.Char(required=True, default=lambda self: self.env._("Work on demand"))
    active = fields.Boolean(default=True)
    partner_id = fields.Many2one("res.partner", string="Customer", required=True, index=True, tracking=True)
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company, index=True
    )
    currency_id = fields.Many2one(related="order_id.currency_id", store=True)
    product_id = fields.Many2one(
        "product.product",
        string="Service",
        required=True,
        domain="[('type', '=', 'service'), ('sale_ok', '=', True)]",
        help="What is charged; its taxes and its income account are used.",
    )
    project_id = fields.Many2one("project.project", check_company=True, index="btree_not_null")
    order_id = fields.Many2one(
        "sale.order",
        string="Open-Ended Order",
        readonly=True,
        copy=False,
        index=True,
        ondelete="restrict",
        help="Made with the first save; every charge adds a line to it.",
    )
    amount_default = fields.Monetary(string="Default Amount", tracking=True, help="Untaxed.")
    can_override = fields.Boolean(
        string="Other Amounts Allowed",
        default=True,
        tracking=True,
        help="Else only the default amount is charged.",
    )
    cap_charge = fields.Monetary(string="Cap per Charge", tracking=True, help="Untaxed. 0 means no cap.")
    cap_total = fields.Monetary(string="Cap in All", tracking=True, help="Untaxed. 0 means no cap.")
    approval_required = fields.Boolean(
        string="Client Approval", default=lambda self: self.env.company.milestone_approval_required
    )
    line_ids = fields.One2many(related="order_id.milestone_line_ids", string="Charges")
    amount_charged = fields.Monetary(string="Charged", compute="_compute_amount_charged")
    amount_left = fields.Monetary(string="Left", compute="_compute_amount_charged")

    _caps_positive = models.Constraint(
        "CHECK (cap_charge >= 0 AND cap_total >= 0 AND amount_default >= 0)",
        "Amounts and caps of on-demand billing cannot be negative.",
    )
    _order_unique = models.UniqueIndex(
        "(order_id)", "This order belongs to another customer's on-demand billing."
    )

    @api.depends(
        "order_id.milestone_line_ids.amount_untaxed", "order_id.milestone_line_ids.state", "cap_total"
    )
    def _compute_amount_charged(self):
        for enrolment in self:
            lines = enrolment.order_id.milestone_line_ids.filtered(lambda line: line.state != "cancelled")
            enrolment.amount_charged = sum(lines.mapped("amount_untaxed"))
            enrolment.amount_left = enrolment.cap_total and enrolment.cap_total - enrolment.amount_charged

    @api.constrains("amount_default", "can_override", "cap_charge")
    def _check_default(self):
        for enrolment in self:
            if not enrolment.can_override and not enrolment.amount_default:
                raise ValidationError(
                    self.env._("Enter the default amount of “%s”, or allow other amounts.", enrolment.name)
                )
            if enrolment.cap_charge and enrolment.amount_default > enrolment.cap_charge:
                raise ValidationError(
                    self.env._(
                        "The default amount of “%s” is above its cap per charge. Lower the amount or raise the cap.",
                        enrolment.name,
                    )
                )

    # === CRUD ===

    @api.model_create_multi
    def create(self, vals_list):
        """Open the order on which is charged, one for each enrolment."""
        if any(vals.get("order_id") for vals in vals_list) and not self.env.su:
            raise AccessError(self.env._("The open-ended order is made by the system and stays."))
        context = drop_defaults(self.env.context, {"order_id"})
        model = self.with_context(context)  # pylint: disable=context-overridden
        enrolments = super(MilestoneBillingEnrolment, model).create(vals_list)
        for enrolment in enrolments:
            if not enrolment.order_id:
                enrolment._open_order()
        return enrolments

    def write(self, vals):
        """Refuse another order, customer or company."""
        if "order_id" in vals and not self.env.su:
            raise AccessError(self.env._("The open-ended order is made by the system and stays."))
        if not self.env.su:
            self._check_stays_with_order(vals)
        return super().write(vals)

    def _check_stays_with_order(self, vals):
        """Refuse another customer or company: the order, its invoices and what was paid belong to these.

        :raise AccessError: naming the enrolment.
        """
        for enrolment in self.filtered("order_id"):
            if any(
                name in vals and vals[name] != enrolment[name].id for name in ("partner_id", "company_id")
            ):
                raise AccessError(
                    self.env._(
                        "“%s” has an order of its customer already. Archive it and make a new one instead.",
                        enrolment.name,
                    )
                )

    def _open_order(self):
        """Make and confirm the order that charges are added to."""
        self.ensure_one()
        order = (
            self.env["sale.order"]
            .with_company(self.company_id)
            .create(
                {
                    "partner_id": self.partner_id.id,
                    "company_id": self.company_id.id,
                    "project_id": self.project_id.id,
                    "origin": self.name,
                    "require_signature": False,
                    "require_payment": False,
                }
            )
        )
        order._ensure_milestone_schedule()
        order.action_confirm()
        order.milestone_schedule_id.sudo()._freeze()
        self.sudo().order_id = order

    # === CHARGING ===

    def action_open_charge(self):
        """Open the wizard that charges this customer."""
        self.ensure_one()
        action = self.env["ir.actions.actions"]._for_xml_id(
            "milestone_billing.milestone_billing_charge_action"
        )
        return {**action, "context": {"default_enrolment_id": self.id}}

    def charge(self, amount=None, description=None, name=None, idempotency_key=None):
        """Charge the customer now: a milestone, its draft invoice, and the submission as of any other.

        :param amount: untaxed, number or decimal text; the default amount without.
        :param str description: what was done; the client reads it.
        :param str name: title of the milestone, e.g. ``Phase 2``.
        :param str idempotency_key: the same key with the same arguments gives the same answer.
        :return: ``{"id", "state", "invoice_id", "amount_total"}`` of the milestone.
        :rtype: dict
        :raise UserError: above a cap, for a locked amount, or for an enrolment that is archived.
        """
        self.ensure_one()
        self._check_may_charge()
        return self.env["milestone.billing.idempotency"]._answer_once(
            idempotency_key,
            "charge",
            [self.id, amount, description, name],
            lambda: (
                self.sudo()._charge(self._read_amount(amount), description, name)._get_completion_answer()
            ),
        )

    def _check_may_charge(self):
        if self.env.su:
            return
        self.check_access("write")
        if not self.env.user.has_group("milestone_billing.milestone_billing_group_billing_user"):
            raise AccessError(
                self.env._("Only billing users may charge customers. Ask your billing manager.")
            )

    def _read_amount(self, amount):
        """Read and check the amount of a charge, as far as it does not depend on other charges.

        :rtype: float
        """
        if amount is None:
            amount = self.amount_default
        try:
            units = to_units(amount, self.currency_id.rounding)
        except ArithmeticError:
            raise ValidationError(
                self.env._("“%s” is not an amount. Send a decimal number.", amount)
            ) from None
        value = self.currency_id.round(units * self.currency_id.rounding)
        if value <= 0:
            raise UserError(self.env._("Enter an amount above zero."))
        if not self.can_override and self.currency_id.compare_amounts(value, self.amount_default):
            raise UserError(
                self.env._(
                    "The amount of “%(name)s” is fixed at %(amount)s. Charge that, or allow other amounts first.",
                    name=self.name,
                    amount=self._format(self.amount_default),
                )
            )
        return value

    def _charge(self, amount, description, name, kind="progress"):
        """Add a line to the order and a milestone that bills it, and complete it.

        :rtype: milestone.billing.line
        """
        if not self.active:
            raise UserError(self.env._("“%s” is archived. Restore it to charge again.", self.name))
        self.order_id.milestone_schedule_id._lock()
        self._check_caps(amount)
        title = name or (description or self.name).split("\n")[0][:120]
        line = self._create_charge_line(amount, description or title, title, kind)
        line._complete(trigger="charge")
        return line

    def _create_charge_line(self, amount, description, title, kind):
        """Add a line to the order and a milestone that bills exactly this line.

        The order has no sum of its own: what is charged is what was agreed, and no change of it.

        :rtype: milestone.billing.line
        """
        schedule = self.order_id.milestone_schedule_id.sudo()
        before = schedule.amount_contract
        order_line = self._add_order_line(amount, description)
        # What the order grows by, which global rounding may make another unit than the line's own subtotal.
        schedule.amount_frozen = self.currency_id.round(
            schedule.amount_frozen + schedule.amount_contract - before
        )
        return self.env["milestone.billing.line"].create(
            {
                "order_id": self.order_id.id,
                "project_id": self.project_id.id,
                "name": title,
                "description": description,
                "kind": kind,
                "amount_type": "fixed",
                "amount_fixed": order_line.price_subtotal,
                "allocation_mode": "lines",
                "allocation_ids": [Command.create({"order_line_id": order_line.id, "percent": 100.0})],
                "approval_required": self.approval_required,
                "sequence": max(self.order_id.milestone_line_ids.mapped("sequence"), default=0) + 10,
            }
        )

    def _check_caps(self, amount):
        compare = self.currency_id.compare_amounts
        if self.cap_charge and compare(amount, self.cap_charge) > 0:
            raise UserError(
                self.env._(
                    "%(amount)s is above the cap of %(cap)s per charge. Charge less, or have the cap raised.",
                    amount=self._format(amount),
                    cap=self._format(self.cap_charge),
                )
            )
        if self.cap_total and compare(self.amount_charged + amount, self.cap_total) > 0:
            raise UserError(
                self.env._(
                    "%(left)s of the cap of %(cap)s is left, %(amount)s cannot be charged. Charge less, or have the cap raised.",
                    left=self._format(self.amount_left),
                    cap=self._format(self.cap_total),
                    amount=self._format(amount),
                )
            )

    def _add_order_line(self, amount, description):
        order = self.order_id
        known = order.order_line
        values = {
            "product_id": self.product_id.id,
            "name": description,
            "product_uom_qty": 1.0,
            "price_unit": amount,
            "discount": 0.0,
            "is_milestone_billed": True,
        }
        with order._keep_unlocked():
            order.write({"order_line": [Command.create(values)]})
        return order.order_line - known

    def _format(self, amount):
        return formatLang(self.env, amount, currency_obj=self.currency_id)


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def action_cancel(self):
        """Extend: what a cancelled charge has added to its open-ended order goes with it."""
        result = super().action_cancel()
        self._filter_charges()._set_charged(0.0)
        return result

    def action_restore(self):
        """Extend: a restored charge stands on its order again, as far as the caps let it.

        :raise UserError: above a cap.
        """
        self._check_may_bill()
        for line in self._filter_charges().filtered(lambda line: line.state == "cancelled"):
            line.schedule_id._lock()
            line.order_id.sudo().milestone_enrolment_ids._check_caps(line.amount_fixed)
            line._set_charged(1.0)
        return super().action_restore()

    def _filter_charges(self):
        """Keep the milestones of open-ended orders that bill an order line of their own, and nothing of it now."""
        return self.filtered(
            lambda line: (
                line.allocation_mode == "lines"
                and line.schedule_id._is_open_ended()
                and line.currency_id.is_zero(sum(line._get_billed_allocations().mapped("amount_untaxed")))
            )
        )

    def _set_charged(self, quantity):
        """Put what charges have added on their orders, or take it off: nobody else bills it.

        :param float quantity: 1 or 0.
        """
        for line in self.sudo():
            schedule, order_line = line.schedule_id, line.allocation_ids.order_line_id
            before = schedule.amount_contract
            with line.order_id._keep_unlocked():
                order_line.write({"product_uom_qty": quantity, "price_unit": order_line.price_unit})
            schedule.amount_frozen = line.currency_id.round(
                schedule.amount_frozen + schedule.amount_contract - before
            )
            schedule._replan()


class SaleOrder(models.Model):
    _inherit = "sale.order"

    milestone_enrolment_ids = fields.One2many(
        "milestone.billing.enrolment",
        "order_id",
        groups="milestone_billing.milestone_billing_group_billing_user,milestone_billing.milestone_billing_group_auditor",
    )

    def action_charge_milestone(self):
        """Open the wizard that charges the customer of this order now."""
        self.ensure_one()
        return self.env["milestone.billing.charge"]._open(
            {
                "default_partner_id": self.partner_id.id,
                "default_enrolment_id": self.milestone_enrolment_ids[:1].id,
            }
        )


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def _is_open_ended(self):
        """Tell whether the order grows by charges: what they add was agreed by enrolling, and is no change order.

        :rtype: bool
        """
        self.ensure_one()
        return bool(self.order_id.sudo().milestone_enrolment_ids)


class ProjectProject(models.Model):
    _inherit = "project.project"

    def action_charge_milestone(self):
        """Open the wizard that charges the customer of this project now."""
        self.ensure_one()
        context = {"default_partner_id": self.partner_id.id, "default_project_id": self.id}
        return self.env["milestone.billing.charge"]._open(context)
