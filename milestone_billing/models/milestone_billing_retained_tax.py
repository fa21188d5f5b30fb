"""Tax on what is held back that is billed with the release: set up, held back, and released.

The stage invoice then deducts what is held back by an invoice line with the same taxes, on the retainage account, so
that base and tax of the document are those of what is due now. The release bills the line again, with its tax.
"""

from odoo import Command, api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..tools import retained_tax
from ..tools.money import amount_text, to_float, to_text, to_units

RETAINAGE_TAXES = [("now", "With the milestone"), ("release", "With the release")]


class ResCompany(models.Model):
    _inherit = "res.company"

    milestone_retainage_tax = fields.Selection(
        RETAINAGE_TAXES,
        string="Tax on Retainage",
        default="now",
        required=True,
        help="When the tax on what clients hold back is billed in new schedules.",
    )


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    milestone_retainage_tax = fields.Selection(
        related="company_id.milestone_retainage_tax", readonly=False, required=True
    )


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    retainage_tax = fields.Selection(
        RETAINAGE_TAXES,
        string="Tax on Retainage",
        compute="_compute_retainage_tax",
        store=True,
        readonly=False,
        precompute=True,
        required=True,
        tracking=True,
        help="With the milestone: its invoice has the whole tax, and the release has none. With the release: the invoice "
        "has the tax on what is due now, and the release bills the rest. Which of them applies is a matter of tax law.",
    )

    @api.depends("order_id")
    def _compute_retainage_tax(self):
        for schedule in self:
            company = schedule.order_id.company_id or self.env.company
            schedule.retainage_tax = schedule.retainage_tax or company.milestone_retainage_tax

    # === WHAT CANNOT BE DONE RIGHT IS REFUSED ===

    @api.model_create_multi
    def create(self, vals_list):
        """Extend: retainage whose tax waits for the release is counted on the net amount."""
        orders = self.env["sale.order"]
        for vals in vals_list:
            company = orders.browse(vals.get("order_id")).company_id or self.env.company
            if (vals.get("retainage_tax") or company.milestone_retainage_tax) == "release":
                vals.setdefault("retainage_base", "net")
        return super().create(vals_list)

    def write(self, vals):
        """Extend: when the tax is billed stays while retainage is held."""
        if "retainage_tax" in vals:
            self.filtered(lambda schedule: schedule.retainage_tax != vals["retainage_tax"])._check_none_held()
        return super().write(vals)

    def _check_none_held(self):
        for schedule in self.sudo():
            held = sum(schedule._get_documents().mapped("amount_retained"))
            held += sum(schedule._get_openings().mapped("amount_retained"))
            if not schedule.currency_id.is_zero(held):
                raise UserError(
                    self.env._(
                        "Retainage of %s is billed already. Release or credit it before you change when its tax is billed.",
                        schedule.order_id.name,
                    )
                )

    @api.onchange("retainage_tax")
    def _onchange_retainage_tax(self):
        if self.retainage_tax == "release":
            self.retainage_base = "net"

    @api.constrains(
        "retainage_tax", "retainage_base", "retainage_percent", "retainage_method", "retainage_step_ids"
    )
    def _check_retainage_base(self):
        for schedule in self.filtered(lambda schedule: schedule._defers_tax()):
            if schedule.retainage_base != "net":
                raise ValidationError(
                    self.env._(
                        "%s holds back a part of the amount with tax, so this tax cannot wait for the release. Choose the "
                        "net amount as base of the retainage, or bill its tax with the milestone.",
                        schedule.order_id.name,
                    )
                )

    def _has_retainage(self):
        self.ensure_one()
        return bool(self.retainage_percent or self.retainage_step_ids or self.retainage_method == "to_date")

    def _defers_tax(self):
        """Tell whether the tax on what is held back waits for the release."""
        self.ensure_one()
        return self.retainage_tax == "release" and self._has_retainage()

    def _check_retained_taxes(self):
        """Refuse orders with taxes that cannot wait for the release.

        :raise UserError: naming the tax and what to do.
        """
        for schedule in self.sudo().filtered(lambda schedule: schedule._defers_tax()):
            lines = schedule.order_id.order_line.filtered("is_milestone_billed")
            lines.tax_ids.flatten_taxes_hierarchy()._check_can_wait_for_release()

    # === WHAT IS HELD ===

    def _get_retained_pot(self, moves):
        """Add up what documents hold back and gave back, with its tax, the oldest first.

        :param moves: documents of this schedule.
        :return: units by document and taxes, see `tools/retained_tax.py`.
        :rtype: dict
        """
        self.ensure_one()
        pot = {}
        for move in moves.sorted(lambda move: (move.milestone_step, move.id)):
            retained_tax.add(pot, move._get_retained_parts())
        return pot

    def _prepare_retained_parts(self, parts):
        """Give parts as a document stores them.

        :param dict parts: units by document and taxes.
        :rtype: list[dict]
        """
        return [
            {"document": document, "taxes": list(taxes), **self._prepare_retained_amounts(taxes, units)}
            for (document, taxes), units in parts.items()
        ]

    def _prepare_retained_amounts(self, taxes, units):
        currency, exempt = self.currency_id, self._get_exempt_ids_of(taxes)
        amounts = self._prepare_allocation_amounts(units, currency, 0, exempt)
        return {
            "net": to_text(units["net"], currency.rounding),
            "tax": amount_text(amounts["amount_tax"], currency.rounding),
            "tax_amounts": amounts["tax_amounts"],
        }

    @api.model
    def _get_exempt_ids_of(self, taxes):
        records = self.env["account.tax"].browse(taxes).flatten_taxes_hierarchy()
        return frozenset(records.filtered("has_negative_factor").ids)


class AccountTax(models.Model):
    _inherit = "account.tax"

    def _check_can_wait_for_release(self):
        """Refuse taxes whose part on what is held back cannot be billed with the release.

        :raise UserError: naming the tax and what to do.
        """
        for tax in self:
            if tax.tax_exigibility == "on_payment":
                raise UserError(
                    self.env._(
                        "Tax “%s” becomes due with the payment, so it cannot wait for the release of retainage as well. "
                        "Bill the tax on retainage with the milestone.",
                        tax.name,
                    )
                )
            parts = tax.invoice_repartition_line_ids | tax.refund_repartition_line_ids
            if parts.filtered(lambda part: part.repartition_type == "tax" and not part.account_id):
                raise UserError(
                    self.env._(
                        "Tax “%s” has no account of its own, so its part on retainage would be booked as retainage. Set "
                        "the account of the tax, or bill the tax on retainage with the milestone.",
                        tax.name,
                    )
                )


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    # === HOLDING BACK ===

    def _get_retained_pots(self):
        """Gather what is held of schedules whose tax waits for the release, drafts included.

        :return: ``{schedule: pot}``
        :rtype: dict
        """
        return {
            schedule: schedule._get_retained_pot(schedule._get_documents())
            for schedule in self.schedule_id
            if schedule.retainage_tax == "release"
        }

    def _hold_back(self, values, retained, pots):
        """Let a new document hold back, or give back, retainage.

        :param dict values: of the new document; changed in place.
        :param int retained: units that the client holds back; negative when it gives back.
        :param dict pots: see `_get_retained_pots`; changed in place.
        """
        values["amount_retained"] = to_float(retained, self.currency_id.rounding)
        self.schedule_id._get_retainage_account()
        sign = -1 if values["move_type"] == "out_refund" else 1
        pot = pots.get(self.schedule_id)
        if pot is not None:
            parts = self._get_retained_parts(retained, pot)
            retained_tax.add(pot, parts)
            self._add_taxed_retainage(values, parts, sign)
        elif retained * sign < 0:
            line = self._in_client_language()
            line_values = line._prepare_retainage_line_values(abs(values["amount_retained"]), 9000)
            values["invoice_line_ids"].append(Command.create(line_values))

    def _get_retained_parts(self, retained, pot):
        """Split what the next document holds back by its taxes, or take what it gives back out of the pot.

        :rtype: dict
        """
        self.schedule_id._check_retained_taxes()
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        columns = {}
        for alloc in self.allocation_ids._filter_planned():
            units = {name: count for name, count in alloc._get_units(digits).items() if name != "qty"}
            retained_tax.add(columns, {tuple(alloc.order_line_id.tax_ids.ids): units})
        if retained < 0 <= sum(units["net"] for units in columns.values()):
            return retained_tax.negate(retained_tax.take(pot, -retained))
        key = f"{self.id}-{self.schedule_id.lock_version}"
        return {(key, taxes): units for taxes, units in retained_tax.split(columns, retained).items()}

    def _add_taxed_retainage(self, values, parts, sign):
        """Add parts to the values of a document: what it stores, and the lines that deduct or bill them.

        :param dict parts: units by document and taxes, positive where they are held back.
        :param int sign: -1 on a credit note.
        """
        line = self._in_client_language()
        values["milestone_retained_parts"] = self.schedule_id._prepare_retained_parts(parts)
        lines = [
            line._prepare_taxed_retainage_values(
                taxes, {name: -sign * units[name] for name in units}, 9000 + place
            )
            for place, (taxes, units) in enumerate(retained_tax.by_taxes(parts).items())
        ]
        values.setdefault("invoice_line_ids", []).extend(Command.create(line_values) for line_values in lines)

    def _prepare_taxed_retainage_values(self, taxes, units, sequence):
        """Give the invoice line that deducts what is held back, or bills what is released, with its taxes.

        :param tuple taxes: ids of the taxes of the line.
        :param dict units: what the line adds to its document; negative to deduct.
        :rtype: dict
        """
        Schedule, records = self.env["milestone.billing.schedule"], self.env["account.tax"].browse(taxes)
        negative = units["net"] < 0
        size = {name: -count for name, count in units.items()} if negative else units
        exempt = Schedule._get_exempt_ids_of(taxes)
        amounts = Schedule._prepare_allocation_amounts(size, self.currency_id, 2, exempt)
        price_unit = self._get_down_payment_price(records, amounts)
        values = {
            **self._prepare_retainage_line_values(price_unit, sequence),
            "tax_ids": [Command.set(records.ids)],
            "extra_tax_data": self._prepare_tax_data(amounts, 1.0, price_unit),
        }
        if negative:
            values["name"] = self.env._("Retained until its release, %s", self.order_id.name)
            self._negate_line_values(values)
        return values

    # === RELEASING ===

    def _prepare_release_parts(self):
        """Give the parts that a release takes now out of what is held, with a negative sign.

        :rtype: dict
        """
        schedule = self.schedule_id
        pot = schedule._get_retained_pot(schedule._get_held_documents())
        return retained_tax.negate(retained_tax.take(pot, self._get_planned_release_units()))

    def _get_planned_release_tax_units(self):
        """Give the tax that a planned release would bill."""
        if self.schedule_id.retainage_tax != "release":
            return 0
        parts = self.schedule_id._prepare_retained_parts(self._prepare_release_parts())
        return -sum(to_units(part["tax"], self.currency_id.rounding) for part in parts)
