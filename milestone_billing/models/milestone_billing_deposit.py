"""Advances: deposits on the down payment account, recovered by later milestones."""

from fractions import Fraction

from odoo import Command, api, fields, models
from odoo.exceptions import UserError

from ..tools import allocation


class SaleOrderLine(models.Model):
    _inherit = "sale.order.line"

    milestone_deposit_id = fields.Many2one(
        "milestone.billing.line",
        string="Deposit Milestone",
        readonly=True,
        copy=False,
        index="btree_not_null",
        ondelete="cascade",
        help="This down payment belongs to a milestone; the schedule deducts it.",
    )

    def _compute_tax_ids(self):
        """Override of `sale`: a deposit keeps the taxes of the order lines that it stands for."""
        deposits = self.filtered("milestone_deposit_id")
        result = super(SaleOrderLine, self - deposits)._compute_tax_ids()
        for line in deposits:
            line.tax_ids = line.tax_ids
        return result


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    amount_advance = fields.Monetary(
        string="Advance to Recover",
        compute="_compute_amount_advance",
        help="Untaxed advance that is billed and not yet recovered.",
    )

    @api.depends(
        "line_ids.allocation_ids.move_id",
        "line_ids.allocation_ids.opening_id",
        "line_ids.recovery_ids.amount_untaxed",
    )
    def _compute_amount_advance(self):
        for schedule in self:
            billed = schedule._get_advance_allocations()
            recovered = schedule.line_ids.recovery_ids
            schedule.amount_advance = sum(billed.mapped("amount_untaxed")) - sum(
                recovered.mapped("amount_untaxed")
            )

    def _get_advance_allocations(self):
        return self.line_ids.allocation_ids.filtered(
            lambda alloc: alloc.move_id.milestone_is_advance or alloc.opening_id.is_advance
        )

    def _get_unrecovered(self, deposit=None):
        """Give what is left to recover of the billed advances.

        :param deposit: only this deposit.
        :return: ``{deposit: {order line: {part: units}}}``
        :rtype: dict
        """
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        lines, left = deposit or self.line_ids, {}
        rows = [
            (alloc.line_id, alloc, 1) for alloc in self._get_advance_allocations() if alloc.line_id in lines
        ]
        rows += [(row.deposit_id, row, -1) for row in self.line_ids.recovery_ids if row.deposit_id in lines]
        for line, row, sign in rows:
            column = left.setdefault(line, {}).setdefault(row.order_line_id, {})
            for part, units in row._get_units(digits).items():
                column[part] = column.get(part, 0) + sign * units
        return left

    def write(self, vals):
        """Extend: how deposits are booked stays while one is billed."""
        if "deposit_mode" in vals:
            for schedule in self.filtered(lambda schedule: schedule.deposit_mode != vals["deposit_mode"]):
                billed = sum(schedule._get_advance_allocations().mapped("amount_untaxed"))
                if not schedule.currency_id.is_zero(billed) or schedule.line_ids.recovery_ids:
                    raise UserError(
                        self.env._(
                            "A deposit of %s is billed already. Credit it before you change how deposits are booked.",
                            schedule.order_id.name,
                        )
                    )
        return super().write(vals)


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    recovery_ids = fields.One2many(
        "milestone.billing.recovery", "line_id", string="Recovered Deposits", readonly=True, copy=False
    )

    # === BILLING AN ADVANCE ===

    def _get_open_advances(self):
        """Gather, for orders whose deposits are advances, what is left to recover and what is still open.

        :return: ``{schedule: {"left": {deposit: {order line: units}}, "open": milestones}}``
        :rtype: dict
        """
        return {
            schedule: {"left": schedule._get_unrecovered(), "open": schedule.line_ids._filter_open()}
            for schedule in self.schedule_id
            if schedule.deposit_mode == "advance"
        }

    def _filter_open(self):
        """Keep the stages that still have something to bill."""
        return self.filtered(
            lambda line: line._is_planned_on_order() and line.allocation_ids._filter_planned()
        )

    def _is_advance(self, advances):
        """Tell whether the next document of this milestone is an advance, which later stages recover.

        A deposit that comes after all other stages has nothing to be recovered by, so it is an ordinary one, and
        so is one that pays money back.

        :param dict advances: see `_get_open_advances`.
        """
        self.ensure_one()
        book = advances.get(self.schedule_id)
        if self.kind != "deposit" or not book or self._get_planned_net() <= 0:
            return False
        return bool(book["open"].filtered(lambda line: line.kind != "deposit"))

    def _prepare_advance_values(self, book):
        """Give the values of an advance: down payments of the order, one for each set of taxes.

        :param dict book: what is left to recover of this schedule; the advance is added.
        :rtype: dict
        """
        line = self._in_client_language()
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        planned = line.allocation_ids._filter_planned()
        columns = {alloc.order_line_id: alloc._get_units(digits) for alloc in planned}
        book["left"][self] = {key: dict(units) for key, units in columns.items()}
        book["open"] -= self
        commands = [
            Command.create(line._prepare_down_payment_values(down_payment, columns, 1))
            for down_payment in line._create_down_payments(columns)
        ]
        return {
            **line._prepare_head_values(),
            "milestone_is_advance": True,
            "invoice_line_ids": [Command.create(line._prepare_section_values()), *commands],
        }

    def _create_down_payments(self, columns):
        """Create the order's down payment lines of this deposit, one for each set of taxes.

        Those of an earlier invoice of the deposit that was cancelled or credited serve again.
        """
        order = self.order_id.sudo()
        order._create_down_payment_section_line_if_needed()
        sequence = max(order.order_line.mapped("sequence"), default=10) + 1
        values_list, found = [], self._get_down_payments(columns).sudo()
        for place, (taxes, members) in enumerate(self._group_by_taxes(columns).items()):
            amounts = self._sum_amounts(members)
            if known := found.filtered(lambda line, taxes=taxes: line.tax_ids == taxes):
                with order._keep_unlocked():
                    known.price_unit = self._get_down_payment_price(taxes, amounts)
                continue
            values_list.append(
                {
                    "order_id": order.id,
                    "is_downpayment": True,
                    "product_uom_qty": 0.0,
                    "price_unit": self._get_down_payment_price(taxes, amounts),
                    "tax_ids": [Command.set(taxes.ids)],
                    "sequence": sequence + place,
                    "milestone_deposit_id": self.id,
                }
            )
        OrderLine = self.env["sale.order.line"].sudo().with_context(sale_no_log_for_new_lines=True)
        return found | OrderLine.create(values_list)

    @api.model
    def _group_by_taxes(self, columns):
        groups = {}
        for order_line, units in columns.items():
            groups.setdefault(order_line.tax_ids, {})[order_line] = units
        return groups

    def _sum_amounts(self, columns):
        """Add up units of several order lines as the amounts of one invoice line.

        :rtype: dict
        """
        total, exempt = {}, frozenset()
        for order_line, units in columns.items():
            exempt |= order_line._get_exempt_tax_ids()
            for part, count in units.items():
                total[part] = total.get(part, 0) + count
        total.setdefault("net", 0)
        Schedule = self.env["milestone.billing.schedule"]
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        return Schedule._prepare_allocation_amounts(total, self.currency_id, digits, exempt)

    @api.model
    def _get_down_payment_price(self, taxes, amounts):
        included = taxes.flatten_taxes_hierarchy().filtered("price_include")
        by_tax = amounts["tax_amounts"]
        return amounts["amount_untaxed"] + sum(
            float(by_tax[str(tax.id)]["tax"]) for tax in included if str(tax.id) in by_tax
        )

    def _prepare_down_payment_values(self, down_payment, columns, sign):
        """Give the invoice line of a down payment: billed with sign 1, deducted with sign -1.

        :param down_payment: the order's down payment line.
        :param dict columns: what is billed or deducted, by order line.
        :rtype: dict
        """
        members = {key: units for key, units in columns.items() if key.tax_ids == down_payment.tax_ids}
        amounts = self._sum_amounts(members)
        price_unit = self._get_down_payment_price(down_payment.tax_ids, amounts)
        values = down_payment._prepare_invoice_line(
            sequence=8000 if sign < 0 else 1,
            name=self._get_down_payment_name(sign),
            quantity=1.0,
            price_unit=price_unit,
            extra_tax_data=self._prepare_tax_data(amounts, 1.0, price_unit, down_payment.discount),
            account_id=self._get_booked_account(down_payment, sign)
            or self._get_down_payment_account(next(iter(members), down_payment)).id,
        )
        if sign < 0:
            self._negate_line_values(values)
        return values

    def _get_down_payment_name(self, sign):
        if sign > 0:
            return self.env._("Deposit of %s", self.order_id.name)
        if names := ", ".join(self._get_advance_invoices().mapped("name")):
            return self.env._("Deposit deducted, %s", names)
        if references := ", ".join(self.opening_ids.filtered("is_advance").mapped("reference")):
            return self.env._("Deposit deducted, %s", references)
        return self.env._("Deposit deducted, %s", self.reference)

    def _get_booked_account(self, down_payment, sign):
        """Give the account to deduct a deposit from: where its invoice booked it, whatever is set up since.

        :rtype: int | bool
        """
        if sign > 0:
            return False
        moves = down_payment.sudo().invoice_lines.move_id.filtered(
            lambda move: (
                move.milestone_is_advance
                and move.milestone_document == "stage"
                and any(units["net"] for units in move._get_uncredited_columns().values())
            )
        )
        newest = moves.sorted("id")[-1:]
        return (
            newest
            and down_payment.sudo().invoice_lines.filtered(lambda item: item.move_id == newest).account_id.id
        )

    def _get_down_payment_account(self, order_line):
        product_accounts = order_line.product_id.product_tmpl_id.get_product_accounts(
            fiscal_pos=self.order_id.fiscal_position_id
        )
        return (
            self.company_id.downpayment_account_id
            or product_accounts.get("downpayment")
            or product_accounts.get("income")
            or self.env["account.account"]
        )

    # === RECOVERY ===

    def _recover_from(self, advances):
        """Take from the advances what the next document of this milestone recovers.

        The last open stage recovers everything; others their share, when recovery is pro rata.

        :param dict advances: see `_get_open_advances`; lowered in place.
        :return: ``{deposit: {order line: {part: units}}}``
        :rtype: dict
        """
        self.ensure_one()
        book, taken = advances.get(self.schedule_id), {}
        if not book or self.kind in ("deposit", "retainer", "retainage_release"):
            return taken
        share = self._get_recovery_share(book["open"])
        book["open"] -= self
        for deposit, columns in book["left"].items() if share else ():
            part = _take(columns, share)
            if any(any(units.values()) for units in part.values()):
                taken[deposit] = part
        return taken

    def _get_recovery_share(self, open_stages):
        stages = open_stages.filtered(lambda line: line.kind not in ("deposit", "retainer"))
        if stages <= self:
            return Fraction(1)
        if self.schedule_id.deposit_recovery != "prorata":
            return Fraction(1) if self.kind == "final" else Fraction(0)
        nets = {line: Fraction(str(line._get_planned_net())) for line in stages | self}
        total = sum(nets.values())
        return min(max(nets[self] / total, Fraction(0)), Fraction(1)) if total else Fraction(0)

    def _get_planned_net(self):
        planned = self.allocation_ids._filter_planned()
        return sum(planned.mapped("amount_untaxed"))

    def _prepare_recovery_lines(self, taken):
        """Give the values of the invoice lines that deduct recovered advances.

        :rtype: list[dict]
        """
        return [
            # In the language of the new invoice. pylint: disable-next=context-overridden
            deposit.with_context(self.env.context)._prepare_down_payment_values(down_payment, columns, -1)
            for deposit, columns in taken.items()
            for down_payment in deposit._get_down_payments(columns)
        ]

    def _get_down_payments(self, columns):
        """Give this deposit's down payment lines of the order for some order lines.

        :rtype: sale.order.line
        """
        tax_sets = [order_line.tax_ids for order_line in columns]
        lines = self.order_id.order_line.filtered(
            lambda line: line.milestone_deposit_id == self and line.tax_ids in tax_sets
        )
        return lines.filtered(
            lambda line: line == lines.filtered(lambda other: other.tax_ids == line.tax_ids)[-1:]
        )

    @api.model
    def _keep_recovered(self, moves, recovered):
        """Keep what each document recovers of which advance."""
        values_list = [
            {
                "deposit_id": deposit.id,
                "line_id": move.milestone_line_id.id,
                "move_id": move.id,
                "order_line_id": order_line.id,
                **deposit._sum_amounts({order_line: units}),
            }
            for move, taken in zip(moves, recovered, strict=True)
            for deposit, columns in taken.items()
            for order_line, units in columns.items()
            if any(units.values())
        ]
        self.env["milestone.billing.recovery"].sudo().create(values_list)

    def _check_not_recovered(self):
        """Refuse to take a deposit back that later documents have recovered."""
        found = self.env["milestone.billing.recovery"].sudo().search([("deposit_id", "in", self.ids)])
        for line, rows in found.grouped("deposit_id").items():
            if not line.currency_id.is_zero(sum(rows.mapped("amount_untaxed"))):
                raise UserError(
                    self.env._(
                        "Deposit “%(deposit)s” is deducted on %(invoices)s already. Delete or credit that first.",
                        deposit=line.name,
                        invoices=", ".join(sorted(set(rows.move_id.mapped("display_name")))),
                    )
                )


def _take(columns, share):
    """Take a share off columns, the net rounded down, and give the part that was taken.

    :param dict columns: ``{order line: {part: units}}``, lowered in place.
    :param Fraction share: above 0, at most 1.
    :rtype: dict
    """
    total = sum(units["net"] for units in columns.values())
    wanted = int(total * share)
    parts = allocation.plan(
        [
            allocation.Column(key, units["net"], {name: units[name] for name in units if name != "net"})
            for key, units in columns.items()
        ],
        [allocation.Row("taken", wanted), allocation.Row("rest", total - wanted)]
        if share < 1
        else [allocation.Row("taken", total)],
    )
    for key, units in columns.items():
        for name in units:
            units[name] -= parts["taken"][key].get(name, 0)
    return parts["taken"]
