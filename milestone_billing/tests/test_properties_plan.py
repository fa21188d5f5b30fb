"""Random orders and schedules: planned and billed to the last unit, by many cheap cases."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from ..tools.money import fraction, to_units
from .common_properties import CURRENCIES, METHODS, ORDER_LINES, SCHEDULES, PropertyCommon, many_cases


@tagged("post_install", "-at_install", "milestone_properties")
class TestPropertiesPlan(PropertyCommon):
    def new_order(self, currency, lines, weights):
        """Make an order in memory, as a form does: nothing is written, so a case is cheap."""
        whole = sum(weights)
        return self.env["sale.order"].new(
            {
                "partner_id": self.client_company.id,
                "company_id": self.company.id,
                "pricelist_id": self.pricelists[currency].id,
                "currency_id": self.currencies[currency].id,
                "order_line": [
                    Command.create(
                        {
                            "product_id": self.service.id,
                            "name": "Work",
                            "price_unit": float(price * sign),
                            "product_uom_qty": float(quantity),
                            "discount": float(discount),
                            "tax_ids": [Command.set(self.taxes[taxes].ids)],
                        }
                    )
                    for price, quantity, discount, taxes, sign in lines
                ],
                "milestone_line_ids": [
                    Command.create(
                        {
                            "name": f"Stage {place}",
                            "sequence": place,
                            "amount_type": "remainder" if place == len(weights) - 1 else "percent",
                            "percent": round(100 * weight / whole, 4),
                        }
                    )
                    for place, weight in enumerate(weights)
                ],
            }
        )

    @many_cases(40)
    @given(
        st.sampled_from(CURRENCIES),
        st.sampled_from(METHODS),
        ORDER_LINES,
        st.lists(st.integers(1, 9), min_size=1, max_size=5),
    )
    def test_plan_uses_an_order_up(self, currency, method, lines, weights):
        """Every part of every order line is planned to the last unit, and no stage is off by more than one."""
        self.company.tax_calculation_rounding_method = method
        order = self.new_order(currency, lines, weights)
        Schedule = self.env["milestone.billing.schedule"]
        parts, difference = Schedule._get_plan(order)
        trail = (currency, method, lines, weights)
        columns = Schedule._get_order_columns(order)
        rounding = order.currency_id.rounding
        self.assertEqual(
            sum(units["net"] for units in columns.values()), to_units(order.amount_untaxed, rounding), trail
        )
        if difference:
            return  # a remainder below zero: such a schedule cannot be confirmed, see test_schedule
        for key, units in columns.items():
            for part, count in units.items():
                planned = sum(by_line[key].get(part, 0) for by_line in parts.values())
                self.assertEqual(planned, count, (part, *trail))
        self.assertStagesAreTheirShares(parts, columns, trail)

    def assertStagesAreTheirShares(self, parts, columns, trail):
        total = sum(units["net"] for units in columns.values())
        for line, by_line in parts.items():
            if line.amount_type != "percent":
                continue
            exact = Fraction(total) * fraction(line.percent) / 100
            planned = sum(units["net"] for units in by_line.values())
            self.assertLessEqual(abs(planned - exact), 1, trail)

    @many_cases(2)
    @given(st.sampled_from(CURRENCIES), st.sampled_from(METHODS), ORDER_LINES, SCHEDULES)
    def test_bills_are_the_order(self, currency, method, lines, schedule):
        """All stages billed in one call: the ledger is the order, per tax, and ties out."""
        trail = (currency, method, lines, schedule)
        with self.env.cr.savepoint() as savepoint:
            self.company.tax_calculation_rounding_method = method
            order = self.build(currency, lines, {**schedule, "approval": False})
            try:
                order.action_confirm()
            except UserError:
                order = None
            if order:
                order.milestone_line_ids.action_complete()
                if order.milestone_schedule_id.amount_retained:
                    order.milestone_schedule_id.release_retainage()
                self.assertLedgerIsOrder(order, trail)
                result = order.milestone_schedule_id.tie_out()
                self.assertTrue(result["ok"], f"{trail}\n{result['differences']}")
            savepoint.rollback()
        self.env.invalidate_all()
