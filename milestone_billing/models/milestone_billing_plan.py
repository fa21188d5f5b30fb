"""The one place that asks the allocation engine what each milestone bills of each order line."""

from fractions import Fraction

from odoo import api, models

from ..tools import allocation
from ..tools.money import fraction, less, round_half_up, to_float, to_text, to_units


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    # === COLUMNS: WHAT AN ORDER IS MADE OF ===

    @api.model
    def _get_order_columns(self, order):
        """Break an order down into whole units per order line that its schedule bills.

        The amounts come from the tax engine for the whole order at once, so that global rounding gives
        each line the same cents as the order itself.

        :param order: one `sale.order`, also a new one of a form.
        :return: ``{order line: {"net": units, "qty": units, "t<tax id>": units, "b<tax id>": units}}``
        :rtype: dict
        """
        AccountTax = self.env["account.tax"]
        lines = order._get_priced_lines()
        base_lines = [line._prepare_base_line_for_taxes_computation() for line in lines]
        # What an early discount lowers the tax by, paid early or not: two lines of `sale` for each order line.
        discounts = order._add_base_lines_for_early_payment_discount()
        AccountTax._add_tax_details_in_base_lines(base_lines + discounts, order.company_id)
        AccountTax._round_base_lines_tax_details(base_lines + discounts, order.company_id)
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        rows = [[line] for line in base_lines]
        for place, discount in enumerate(discounts):
            rows[place // 2].append(discount)
        columns = [
            self._get_row_units(row, line.product_uom_qty, digits)
            for line, row in zip(lines, rows, strict=True)
        ]
        self._fit_to_order(columns, rows)
        by_line = zip(lines, columns, strict=True)
        return {line: units for line, units in by_line if line.is_milestone_billed}

    @api.model
    def _get_row_units(self, row, quantity, digits, rounding=None):
        """Read an order line as whole units, what its early discount takes off net and taxes included.

        :param list row: base line of the order line, and those of its discount.
        :rtype: dict
        """
        units = self._get_base_line_units(row[0], quantity, digits, rounding)
        for discount in row[1:]:
            for part, count in self._get_base_line_units(discount, 0, digits, rounding).items():
                if part[0] in "nt":
                    units[part] = units.get(part, 0) + count
        return units

    @api.model
    def _fit_to_order(self, columns, rows):
        """Let whole units add up to the order's totals where the currency rounds to more than its decimals.

        The tax engine spreads what global rounding leaves over in decimals: in steps of 0.05 its lines may be 4.73 and
        4.74, which round to more than their sum.

        :param list columns: units of each order line; changed in place.
        :param list rows: the base lines of each order line, all of the order.
        """
        currency = rows[0][0]["currency_id"] if rows else self.env["res.currency"]
        fine = 10**-currency.decimal_places
        step = to_units(currency.rounding, fine) if rows else 1
        if step == 1:
            return
        exact = [self._get_row_units(row, 0, 0, fine) for row in rows]
        for part in {part for units in exact for part in units} - {"qty"}:
            having = [place for place, units in enumerate(exact) if part in units]
            wishes = [Fraction(exact[place][part], step) for place in having]
            fitted = allocation.apportion(round_half_up(sum(wishes)), wishes)
            for place, count in zip(having, fitted, strict=True):
                columns[place][part] = count

    @api.model
    def _get_base_line_units(self, base_line, quantity, digits, rounding=None):
        """Read the rounded amounts of one base line of the tax engine as whole units.

        :param rounding: of these units; that of the currency by default.
        :rtype: dict
        """
        rounding = rounding or base_line["currency_id"].rounding
        details = base_line["tax_details"]
        net = to_units(
            details["total_excluded_currency"] + details["delta_total_excluded_currency"], rounding
        )
        units = {"net": net, "qty": to_units(quantity, 10**-digits)}
        for tax_data in details["taxes_data"]:
            if tax_data["is_reverse_charge"]:
                continue
            tax_id = tax_data["tax"]._origin.id or tax_data["tax"].id
            units[f"t{tax_id}"] = to_units(tax_data["tax_amount_currency"], rounding)
            units[f"b{tax_id}"] = to_units(tax_data["base_amount_currency"], rounding)
        return units

    # === PLAN ===

    @api.model
    def _get_plan(self, order):
        """Ask the engine what each open milestone of an order bills of each order line.

        Billed milestones never move: what their allocations hold is taken off the order first, and only the
        rest is spread over the open milestones.

        :param order: one `sale.order`, also a new one of a form.
        :return: ``(parts, difference)``: ``{line: {order line: {part: units}}}`` for open milestones, and
            the units by which the schedule exceeds (+) or misses (-) the order.
        :rtype: tuple[dict, int]
        """
        columns = self._get_order_columns(order)
        lines = order.milestone_line_ids.filtered(lambda line: line._is_planned_on_order())
        lines = lines.sorted(lambda line: (line.sequence, line._origin.id or 0))
        left = self._get_unbilled_columns(order, columns)
        open_lines = lines.filtered(lambda line: line._is_open_in_plan())
        total = sum(column["net"] for column in columns.values())
        wishes = self._get_wishes(open_lines, columns, left)
        targets, difference = self._get_targets(order, open_lines, total, left, wishes)
        if difference:
            shares = [Fraction(target, total) if total else Fraction(0) for target in targets]
            return {
                line: {key: self._scale(column, share) for key, column in columns.items()}
                for line, share in zip(open_lines, shares, strict=True)
            }, difference
        rows = [
            allocation.Row(line, target, wishes.get(line))
            for line, target in zip(open_lines, targets, strict=True)
        ]
        engine_columns = [
            allocation.Column(key, units["net"], {part: u for part, u in units.items() if part != "net"})
            for key, units in left.items()
        ]
        return allocation.plan(engine_columns, rows), 0

    @api.model
    def _scale(self, column, share):
        return {part: int(units * share) for part, units in column.items()}

    @api.model
    def _get_unbilled_columns(self, order, columns):
        """Take what billed milestones hold off the columns of an order.

        :rtype: dict
        """
        left = {line: dict(units) for line, units in columns.items()}
        by_id = {line._origin.id or line.id: line for line in left}
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        for line in order.milestone_line_ids:
            for alloc in line._get_fixed_allocations():
                column = left.get(by_id.get(alloc.order_line_id.id))
                if column is None:
                    continue
                for part, units in alloc._get_units(digits).items():
                    column[part] = column.get(part, 0) - units
        return left

    @api.model
    def _get_wishes(self, open_lines, columns, left):
        """Find what milestones that choose their order lines want of each, before limits.

        A percentage to date is less what is billed of the line and what the milestones before it take.

        :param open_lines: open milestones in billing order.
        :param dict columns: columns of the whole order.
        :param dict left: unbilled columns of the order.
        :return: ``{milestone: {order line: units}}``, only milestones that choose.
        :rtype: dict
        """
        taken = {key: units["net"] - left[key]["net"] for key, units in columns.items()}
        wishes = {}
        total = sum(units["net"] for units in columns.values())
        for line in open_lines:
            if not line._chooses_order_lines():
                kind, value = line._get_target_row(total, line.currency_id.rounding)
                for key, units in columns.items() if total and kind != "remainder" else ():
                    taken[key] += round_half_up(Fraction(value * units["net"], total))
                continue
            wishes[line] = {}
            for key, share in line._get_chosen_shares(columns).items():
                units = round_half_up(share * columns[key]["net"])
                if line.allocation_mode == "lines":
                    units = less(units, line._get_billed_units(key))
                else:
                    units = (
                        max(units - taken[key], 0) if columns[key]["net"] > 0 else min(units - taken[key], 0)
                    )
                taken[key] += units
                wishes[line][key] = units
        return wishes

    @api.model
    def _get_targets(self, order, open_lines, total, left, wishes):
        """Find the net target of each open milestone.

        A frozen schedule was checked when the order was confirmed, so its last share absorbs the rounding.
        When the order has changed since, what is left is spread again over the open shares.

        :rtype: tuple[list[int], int]
        """
        rounding = order.currency_id.rounding
        room = sum(column["net"] for column in left.values())
        rows = [
            ("fixed", sum(wishes[line].values())) if line in wishes else line._get_target_row(total, rounding)
            for line in open_lines
        ]
        if not rows:
            return [], -room
        frozen = order.milestone_schedule_id.filtered("is_frozen")
        if not frozen:
            targets, difference = allocation.row_targets(room, rows)
            if 0 < abs(difference) <= len(order.milestone_line_ids._get_billed_allocations().line_id):
                # What is billed was rounded: the shares that are left make up the rest but for that.
                targets, difference = allocation.row_targets(room, rows, absorb=True)
            return self._with_negative_remainder(rows, targets, difference, room)
        agreed = to_units(frozen.amount_frozen, rounding)
        if agreed != total:
            return self._spread_again(order, open_lines, rows, room, agreed)
        targets, difference = allocation.row_targets(room, rows, absorb=True)
        if self._passes_room(rows, targets, room):
            return self._spread_again(order, open_lines, rows, room, agreed)
        return self._with_negative_remainder(rows, targets, difference, room)

    @api.model
    def _passes_room(self, rows, targets, room):
        """Tell whether shares ask for more than is left, so that another one would have to give money back."""
        left = room - sum(value for kind, value in rows if kind == "fixed")
        if left * room < 0:
            return False  # fixed amounts alone pass it, which is told as a difference
        return any(
            kind != "fixed" and (target * room < 0 or (target and not room))
            for (kind, _value), target in zip(rows, targets, strict=True)
        )

    @api.model
    def _with_negative_remainder(self, rows, targets, difference, room):
        """Report a remainder that would have to be negative as what the schedule exceeds the order by."""
        for (kind, _value), target in zip(rows, targets, strict=True):
            if kind == "remainder" and target * room < 0:
                return targets, -target
        return targets, difference

    @api.model
    def _spread_again(self, order, open_lines, rows, room, agreed):
        """Spread what is left over the open shares and the remainder, by what they were of the order as agreed."""
        fixed = sum(value for kind, value in rows if kind == "fixed")
        rest = self._get_rest_percent(order, dict(zip(open_lines, rows, strict=True)), agreed)
        weights = [
            line._get_open_percent(agreed)
            if kind == "share"
            else rest
            if kind == "remainder"
            else Fraction(0)
            for line, (kind, _value) in zip(open_lines, rows, strict=True)
        ]
        if not sum(weights):
            weights = [Fraction(kind == "remainder") for kind, _value in rows]
        if not sum(weights):
            return [value for _kind, value in rows], fixed - room
        parts = allocation.spread(room - fixed, weights)
        targets = [
            value if kind == "fixed" else part for (kind, value), part in zip(rows, parts, strict=True)
        ]
        return targets, sum(targets) - room

    @api.model
    def _get_rest_percent(self, order, rows, agreed):
        """Say which percentage of the order as agreed its remainder was: without shares, and without fixed amounts.

        What change orders bill in milestones of their own came later, and is no part of it.

        :param dict rows: rows of the engine by open milestone.
        :param int agreed: net units of the order as confirmed.
        :rtype: Fraction
        """
        rounding, rest = order.currency_id.rounding, Fraction(100)
        for line in order.milestone_line_ids.filtered(lambda line: line._is_planned_on_order()):
            if line._is_share():
                rest -= fraction(line.percent)
            elif line.amount_type != "remainder" and line.kind != "change" and agreed:
                billed = to_units(sum(line._get_fixed_allocations().mapped("amount_untaxed")), rounding)
                rest -= Fraction(100 * (rows[line][1] if line in rows else billed), agreed)
        return max(rest, Fraction(0))

    # === WRITING THE PLAN DOWN ===

    def _on_order_changed(self):
        """Follow a change of the order: spread the open milestones again."""
        self._replan()

    def _replan(self):
        """Write the plan of confirmed orders down as planned allocations.

        Called whenever an order or an open milestone has changed; billed allocations stay as they are.
        """
        values_list, stale = [], self.env["milestone.billing.allocation"]
        frozen = self.filtered("is_frozen")
        # Who bills at the same moment goes first or second: what is added must not wait on a stage that is just billed.
        frozen._lock()
        for schedule in frozen:
            parts, difference = self._get_plan(schedule.order_id)
            excess = to_float(max(difference, 0), schedule.currency_id.rounding)
            if excess != schedule.amount_excess:
                schedule.sudo().amount_excess = excess
            for line, by_order_line in parts.items():
                new_values, line_stale = line._sync_planned_allocations(by_order_line)
                values_list += new_values
                stale += line_stale
        stale.sudo().unlink()
        return self.env["milestone.billing.allocation"].sudo().create(values_list)

    @api.model
    def _prepare_allocation_amounts(self, units, currency, digits, exempt_tax_ids=()):
        """Turn the units of one part into the amounts that an allocation stores.

        :param dict units: ``{"net", "qty", "t<id>", "b<id>"}``.
        :param exempt_tax_ids: ids of taxes that do not add to the total (reverse charge).
        :rtype: dict
        """
        rounding = currency.rounding
        tax_ids = [part[1:] for part in units if part[0] == "t"]
        tax_units = sum(units[f"t{tax_id}"] for tax_id in tax_ids if int(tax_id) not in exempt_tax_ids)
        return {
            "quantity": to_float(units.get("qty", 0), 10**-digits),
            "amount_untaxed": to_float(units["net"], rounding),
            "amount_tax": to_float(tax_units, rounding),
            "tax_amounts": {
                tax_id: {
                    "tax": to_text(units[f"t{tax_id}"], rounding),
                    "base": to_text(units.get(f"b{tax_id}", units["net"]), rounding),
                }
                for tax_id in tax_ids
            },
        }
