"""Billed before: invoices of a contract that were issued elsewhere, before it was billed here."""

from datetime import datetime, time

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import formatLang

from ..tools import allocation
from ..tools.context import drop_defaults
from ..tools.money import amount_text, to_units
from .milestone_billing_line_state import INTERNAL_WRITE

# What booking writes, and what a booked row still lets people write.
PROTECTED = {"is_booked", "is_advance", "step", "amount_tax"}
FREE = {"is_paid"}


class MilestoneBillingOpening(models.Model):
    """One invoice of another system that bills a part of a milestone.

    It is no document of this ledger and makes none. Booking it moves planned allocations of its milestone under
    it, so that they count as billed; on a quotation it waits for the confirmation. Opening balances (advances,
    retainage) come into the ledger by the accountant's own entry.
    """

    _name = "milestone.billing.opening"
    _description = "Billed Before"
    _rec_name = "reference"
    _order = "date, id"

    line_id = fields.Many2one(
        "milestone.billing.line", string="Milestone", required=True, index=True, ondelete="cascade"
    )
    schedule_id = fields.Many2one(related="line_id.schedule_id", store=True, index=True)
    order_id = fields.Many2one(related="line_id.order_id", store=True, index=True)
    company_id = fields.Many2one(related="line_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="line_id.currency_id")
    reference = fields.Char(string="Invoice Number", required=True, help="Number of the outside invoice.")
    date = fields.Date(string="Invoice Date", required=True)
    amount_untaxed = fields.Monetary(string="Untaxed", required=True)
    amount_tax = fields.Monetary(
        string="Tax", readonly=True, help="The tax of the part of the order that this invoice billed."
    )
    amount_total = fields.Monetary(string="Total", compute="_compute_amount_total")
    amount_retained = fields.Monetary(
        string="Retained", help="What the client still holds back of this invoice."
    )
    is_paid = fields.Boolean(
        string="Paid", default=True, help="Paid there, but for what is held back; shown on the final invoice."
    )
    is_advance = fields.Boolean(
        string="Advance", readonly=True, help="A deposit that later milestones recover."
    )
    is_booked = fields.Boolean(
        string="Counts", readonly=True, help="It counts as billed as soon as the order is confirmed."
    )
    step = fields.Integer(readonly=True, help="Place among the billing steps of the order.")
    allocation_ids = fields.One2many("milestone.billing.allocation", "opening_id", readonly=True)

    _retained_positive = models.Constraint(
        "CHECK (amount_retained >= 0)", "What is held back of an outside invoice cannot be negative."
    )

    @api.depends("amount_untaxed", "amount_tax")
    def _compute_amount_total(self):
        for opening in self:
            opening.amount_total = opening.amount_untaxed + opening.amount_tax

    # === CRUD ===

    @api.model_create_multi
    def create(self, vals_list):
        """Enter outside invoices; on confirmed orders they count at once.

        :raise AccessError: for anybody but billing managers.
        :raise UserError: when one does not fit its milestone.
        """
        self._check_may_enter()
        if not self.env.su and any(PROTECTED & vals.keys() for vals in vals_list):
            raise AccessError(self.env._("Enter number, date and amounts; the rest follows from them."))
        context = drop_defaults(self.env.context, PROTECTED)
        model = self.with_context(context)  # pylint: disable=context-overridden
        openings = super(MilestoneBillingOpening, model).create(vals_list)
        openings.line_id.check_access("write")
        openings._check_amounts()
        openings.filtered("schedule_id.is_frozen")._book()
        return openings

    def write(self, vals):
        """Refuse to change what counts; a row that waits for the confirmation must fit."""
        if vals.keys() - FREE and self.env.context.get("milestone_internal_write") is not INTERNAL_WRITE:
            self._check_may_enter()
            if PROTECTED & vals.keys() or self.filtered("is_booked"):
                raise UserError(
                    self.env._("What counts as billed before is not changed. Remove it and enter it again.")
                )
        result = super().write(vals)
        if vals.keys() & {"amount_untaxed", "amount_retained", "line_id"}:
            self._check_amounts()
        return result

    def unlink(self):
        """Take outside invoices back, as long as nothing later depends on them.

        :raise UserError: when a later document shows one as billed before.
        """
        self._check_may_enter()
        self.filtered("is_booked").sudo()._unbook()
        return super().unlink()

    def _check_may_enter(self):
        if self.env.su or self.env.user.has_group(
            "milestone_billing.milestone_billing_group_billing_manager"
        ):
            return
        raise AccessError(
            self.env._("Only billing managers may enter or remove what was billed before. Ask one of them.")
        )

    def action_remove(self):
        """Take these outside invoices back."""
        self.unlink()
        return True

    # === CHECKS ===

    def _check_amounts(self):
        """Refuse what does not fit: a milestone that is billed here, or more than is open of it."""
        for opening in self.filtered(lambda opening: not opening.is_booked):
            line = opening.line_id.sudo()
            line._check_takes_opening()
            rounding = opening.currency_id.rounding
            units, left = to_units(opening.amount_untaxed, rounding), line._get_open_units(opening)
            if units * left <= 0 or abs(units) > abs(left):
                raise UserError(
                    self.env._(
                        "%(left)s of “%(milestone)s” is open, so %(amount)s cannot have been billed before. Enter "
                        "the untaxed amount of the outside invoice.",
                        left=opening._format(left * rounding),
                        milestone=line.name,
                        amount=opening._format(opening.amount_untaxed),
                    )
                )

    def _check_retained(self):
        """Refuse retainage above its base, and any where its tax waits for a release here."""
        for opening in self.filtered("amount_retained"):
            if opening.schedule_id.retainage_tax == "release":
                raise UserError(
                    self.env._(
                        "The tax on the retainage of %s waits for its release. What is held of an outside invoice is "
                        "released with its tax where it was billed: enter it without retainage.",
                        opening.order_id.name,
                    )
                )
            gross = opening.schedule_id.retainage_base == "gross"
            base = opening.amount_total if gross else opening.amount_untaxed
            if opening.currency_id.compare_amounts(opening.amount_retained, abs(base)) > 0:
                raise UserError(
                    self.env._(
                        "Invoice %(reference)s is over %(base)s, so %(retained)s of it cannot be held back. Enter what is still held.",
                        reference=opening.reference,
                        base=opening._format(base),
                        retained=opening._format(opening.amount_retained),
                    )
                )

    def _check_removable(self):
        for opening in self:
            later = opening.schedule_id.line_ids.invoice_ids.filtered(
                lambda move, step=opening.step: move.milestone_claim and move.milestone_step > step
            )
            if later:
                raise UserError(
                    self.env._(
                        "%(invoices)s came after “%(reference)s” and counts it as billed before. Delete the draft or "
                        "credit the invoice first.",
                        invoices=", ".join(later.mapped("display_name")),
                        reference=opening.reference,
                    )
                )

    def _format(self, amount):
        return formatLang(self.env, amount, currency_obj=self.currency_id)

    # === BOOKING ===

    def _book(self):
        """Let outside invoices of confirmed orders count as billed; no document is made.

        :raise UserError: when one does not fit its milestone.
        """
        for schedule, openings in self.sudo().grouped("schedule_id").items():
            schedule._lock()
            for opening in openings.sorted(lambda opening: (opening.date, opening.id)):
                opening._check_amounts()
                opening._book_one(schedule.lock_version)
            openings._check_retained()
            openings.line_id._finish_openings(openings)

    def _book_one(self, step):
        line = self.line_id
        is_advance = line._is_advance(line._get_open_advances())
        taken = self._take_planned()
        values = {"is_booked": True, "is_advance": is_advance, "step": step}
        self._write_internal({**values, "amount_tax": sum(self.allocation_ids.mapped("amount_tax"))})
        if is_advance:
            line._create_down_payments(taken)
        line._log_evidence("invoice.billed_before", data=self._prepare_evidence_data())

    def _take_planned(self):
        """Move the billed part of the planned allocations under this invoice.

        :return: units by order line.
        :rtype: dict
        """
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        planned = self.line_id.allocation_ids._filter_planned()
        columns = {alloc.order_line_id: alloc._get_units(digits) for alloc in planned}
        wanted = to_units(self.amount_untaxed, self.currency_id.rounding)
        if wanted == sum(units["net"] for units in columns.values()):
            planned.opening_id = self
            return columns
        taken = allocation.take(columns, wanted)
        self.env["milestone.billing.allocation"].create(
            [{**values, "opening_id": self.id} for values in self.line_id._prepare_allocation_values(taken)]
        )
        for alloc in planned:
            alloc._set_units(_subtract(columns[alloc.order_line_id], taken[alloc.order_line_id]), digits)
        return taken

    def _unbook(self):
        """Plan again what these invoices billed."""
        self._check_removable()
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        for opening in self:
            line = opening.line_id
            line.schedule_id._lock()
            planned = {alloc.order_line_id: alloc for alloc in line.allocation_ids._filter_planned()}
            for alloc in opening.allocation_ids:
                if same := planned.get(alloc.order_line_id):
                    same._set_units(_subtract(same._get_units(digits), alloc._get_units(digits), -1), digits)
                    alloc.unlink()
                else:
                    alloc.opening_id = False
            line._log_evidence("invoice.billed_before_removed", data=opening._prepare_evidence_data())
            line._forget_opening(opening)
        self._write_internal({"is_booked": False, "is_advance": False, "amount_tax": 0.0})
        self.line_id._reopen()
        self.schedule_id._replan()

    def _write_internal(self, vals):
        return self.sudo().with_context(milestone_internal_write=INTERNAL_WRITE).write(vals)

    def _prepare_evidence_data(self):
        rounding = self.currency_id.rounding
        return {
            "invoice_ref": self.reference,
            "date": self.date.isoformat(),
            "currency": self.currency_id.name,
            **{
                name: amount_text(self[name], rounding)
                for name in ("amount_untaxed", "amount_tax", "amount_total", "amount_retained")
            },
        }


class MilestoneBillingAllocation(models.Model):
    _inherit = "milestone.billing.allocation"

    def _set_units(self, units, digits):
        self.ensure_one()
        exempt = self.order_line_id._get_exempt_tax_ids()
        Schedule = self.env["milestone.billing.schedule"]
        self.sudo().write(Schedule._prepare_allocation_amounts(units, self.currency_id, digits, exempt))


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    opening_ids = fields.One2many("milestone.billing.opening", "line_id", string="Billed Before", copy=False)

    def action_open_cut_over(self):
        """Open the wizard that enters what was billed of these milestones before."""
        return self.env["milestone.billing.cut.over"]._open(self.schedule_id[:1], self)

    def _check_takes_opening(self):
        """Refuse outside invoices for a milestone that is billed, asked about or cancelled here."""
        if self.kind == "retainage_release":
            raise UserError(
                self.env._(
                    "“%s” releases retainage and bills no work. Enter what is held back with the milestone that was "
                    "billed.",
                    self.name,
                )
            )
        if self.state != "planned":
            raise UserError(
                self.env._(
                    "“%s” is billed, with the client or cancelled here. Withdraw that first, then enter what was "
                    "billed before.",
                    self.name,
                )
            )

    def _get_open_units(self, opening):
        """Give the net units of this milestone that an outside invoice may bill.

        :param opening: the invoice itself, which does not count.
        """
        rounding = self.currency_id.rounding
        if self.schedule_id.is_frozen:
            planned = self.allocation_ids._filter_planned()
            return to_units(sum(planned.mapped("amount_untaxed")), rounding)
        others = self.opening_ids - opening
        return to_units(self.amount_untaxed - sum(others.mapped("amount_untaxed")), rounding)

    def _finish_openings(self, openings):
        """Tell the team, and close the milestones that are wholly billed before."""
        for line in self:
            own = openings.filtered(lambda opening, line=line: opening.line_id == line)
            text = ", ".join(
                f"{opening.reference}: {opening._format(opening.amount_untaxed)}" for opening in own
            )
            line.message_post(body=self.env._("Billed before, without an entry here: %s", text))
            if line.allocation_ids._filter_planned().filtered(lambda alloc: alloc._bills_anything()):
                continue
            day = max(own.mapped("date"))
            line._transition("approve_unasked", {"completed_on": datetime.combine(day, time(12))})
            line.project_milestone_id.filtered(lambda milestone: not milestone.is_reached).is_reached = True

    def _forget_opening(self, opening):
        """Tell the team, and take away the order's down payment lines of an advance that does not count any more."""
        self.message_post(body=self.env._("No longer billed before: %s", opening.reference))
        if opening.is_advance:
            self.order_id.order_line.filtered(
                lambda line: line.milestone_deposit_id == self and not line.invoice_lines
            ).unlink()


def _subtract(units, other, sign=1):
    parts = {**units, **other}
    return {part: units.get(part, 0) - sign * other.get(part, 0) for part in parts}
