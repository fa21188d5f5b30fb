"""Random orders, schedules and events on the real database: the invariants hold after every step.

The number of examples is set by the environment variable ``MILESTONE_PROPERTY_EXAMPLES``; the default takes
about two minutes. Examples are derandomised, so a failure comes back with the next run.
"""

import logging
import os
from decimal import Decimal

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_worked_figures_deposit import DepositCommon

_logger = logging.getLogger(__name__)
EXAMPLES = int(os.environ.get("MILESTONE_PROPERTY_EXAMPLES", "25"))
PROFILE = {
    "max_examples": EXAMPLES,
    "deadline": None,
    "derandomize": True,
    "database": None,
    "phases": (Phase.generate,),
    "suppress_health_check": list(HealthCheck),
}
CURRENCIES = ("USD", "JPY", "KWD", "CHF", "EUR")
TAX_SETS = ("none", "vat", "included", "group", "fixed", "vat+fixed", "compound", "reverse")

AMOUNTS = st.decimals(min_value="0.01", max_value="9999", places=2)
ORDER_LINES = st.lists(
    st.tuples(
        AMOUNTS,
        st.sampled_from([Decimal("1"), Decimal("3"), Decimal("0.33"), Decimal("12.12"), Decimal("7")]),
        st.sampled_from([Decimal("0"), Decimal("7.5"), Decimal("33.33"), Decimal("100")]),
        st.sampled_from(TAX_SETS),
        st.sampled_from([1, 1, 1, 1, -1]),
    ),
    min_size=1,
    max_size=4,
)
SCHEDULES = st.fixed_dictionaries(
    {
        "weights": st.lists(st.integers(1, 9), min_size=1, max_size=5),
        "deposit": st.sampled_from([None, "instalment", "final", "prorata"]),
        "retainage": st.sampled_from([0.0, 0.0, 5.0, 10.0, 33.33]),
        "base": st.sampled_from(["net", "gross"]),
        "tax": st.sampled_from(["now", "release"]),
        "method": st.sampled_from(["stage", "to_date"]),
        "chosen": st.booleans(),
    }
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "complete",
                "complete",
                "complete",
                "complete_all",
                "delete",
                "cancel",
                "credit",
                "credit_part",
                "credit_draft",
                "quantity",
                "price",
                "add_line",
                "cancel_line",
                "restore_line",
                "release",
                "pay",
                "rate",
            ]
        ),
        st.integers(0, 5),
        st.integers(1, 99),
    ),
    min_size=2,
    max_size=8,
)


@tagged("post_install", "-at_install", "milestone_properties")
class TestProperties(DepositCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.currencies = {name: cls._activate_currency(name) for name in CURRENCIES}
        cls.currencies["CHF"].rounding = 0.05
        cls.pricelists = {
            name: cls.env["product.pricelist"].create({"name": name, "currency_id": currency.id})
            for name, currency in cls.currencies.items()
        }
        cls.taxes = cls._create_tax_sets()

    @classmethod
    def _activate_currency(cls, name):
        currency = cls.env["res.currency"].with_context(active_test=False).search([("name", "=", name)])
        currency.active = True
        rate = {"JPY": 151.2345, "KWD": 0.307, "CHF": 0.88, "EUR": 0.92}.get(name)
        if rate:
            cls.env["res.currency.rate"].create(
                {"currency_id": currency.id, "rate": rate, "name": "2020-01-01", "company_id": cls.company.id}
            )
        return currency

    @classmethod
    def _create_tax_sets(cls):
        def tax(name, **values):
            record = cls.env["account.tax"].create(
                {"name": name, "type_tax_use": "sale", "company_id": cls.company.id, **values}
            )
            parts = record.invoice_repartition_line_ids | record.refund_repartition_line_ids
            parts.filtered(lambda part: part.repartition_type == "tax").account_id = cls.tax_account
            return record

        included = tax("10 incl", amount=10.0, price_include_override="tax_included")
        fixed = tax("Fee", amount=0.35, amount_type="fixed")
        first, second = tax("Part 5", amount=5.0), tax("Part 2.5", amount=2.5)
        group = tax("Group", amount_type="group", children_tax_ids=[Command.set((first + second).ids)])
        compound = tax("Eco 3", amount=3.0, include_base_amount=True, sequence=1)
        reverse = tax(
            "Reverse",
            amount=21.0,
            invoice_repartition_line_ids=cls._get_reverse_repartition(),
            refund_repartition_line_ids=cls._get_reverse_repartition(),
        )
        return {
            "none": cls.env["account.tax"],
            "vat": cls.tax_20,
            "included": included,
            "group": group,
            "fixed": fixed,
            "vat+fixed": cls.tax_20 + fixed,
            "compound": compound + cls.tax_20,
            "reverse": reverse,
        }

    @classmethod
    def _get_reverse_repartition(cls):
        return [
            Command.create({"repartition_type": "base"}),
            Command.create({"repartition_type": "tax", "factor_percent": 100}),
            Command.create({"repartition_type": "tax", "factor_percent": -100}),
        ]

    # === BUILDING ===

    def build(self, currency, lines, schedule):
        order = self.create_order(
            shares=(),
            lines=[
                Command.create(
                    {
                        "product_id": self.service.id,
                        "price_unit": float(price * sign),
                        "product_uom_qty": float(quantity),
                        "discount": float(discount),
                        "tax_ids": [Command.set(self.taxes[taxes].ids)],
                    }
                )
                for price, quantity, discount, taxes, sign in lines
            ],
            pricelist_id=self.pricelists[currency].id,
            confirm=False,
        )
        weights, whole = schedule["weights"], sum(schedule["weights"])
        order.milestone_line_ids = [
            Command.create(
                {
                    "name": f"Stage {place + 1}",
                    "sequence": 10 * place,
                    "amount_type": "remainder" if place == len(weights) - 1 else "percent",
                    "percent": round(100 * weight / whole, 4),
                    "approval_required": False,
                    "kind": "deposit"
                    if schedule["deposit"] and not place and len(weights) > 1
                    else "progress",
                }
            )
            for place, weight in enumerate(weights)
        ]
        advance = schedule["deposit"] in ("final", "prorata")
        order.milestone_schedule_id.write(
            {
                "deposit_mode": "advance" if advance else "instalment",
                "deposit_recovery": schedule["deposit"] if advance else "final",
                "retainage_percent": schedule["retainage"],
                "retainage_base": "net" if schedule["tax"] == "release" else schedule["base"],
                "retainage_tax": schedule["tax"],
                "retainage_method": schedule["method"],
            }
        )
        if schedule["chosen"] and len(weights) > 2:
            order.milestone_line_ids[1].write(
                {
                    "allocation_mode": "lines",
                    "allocation_ids": [
                        Command.create({"order_line_id": order.order_line[0].id, "percent": 40.0})
                    ],
                }
            )
        return order

    # === EVENTS ===

    def happen(self, order, event, place, amount):
        """Let one event happen; what is refused must leave everything as it was."""
        try:
            with self.env.cr.savepoint():
                getattr(self, f"do_{event}")(order, place, amount)
                self.env.flush_all()
        except UserError as refusal:
            self.env.invalidate_all()
            _logger.debug("%s refused: %s", event, refusal)

    def add_missing_stage(self, order):
        """What was added to an order after its last stage needs a stage of its own, as the schedule says."""
        if order.milestone_schedule_id.amount_difference and not self.has_open(order):
            order.milestone_line_ids = [
                Command.create({"name": "Added", "amount_type": "remainder", "sequence": 900})
            ]

    def pick(self, records, place):
        return records[place % len(records)] if records else records

    def stages(self, order):
        return order.milestone_line_ids.filtered(lambda line: line.kind != "retainage_release")

    def do_complete(self, order, place, _amount):
        self.pick(self.stages(order), place).action_complete()

    def do_complete_all(self, order, _place, _amount):
        self.stages(order).filtered(lambda line: line.state == "planned").action_complete()

    def documents(self, order, *states):
        return order.milestone_line_ids.invoice_ids.filtered(
            lambda move: move.state in states and move.milestone_claim
        ).sorted("id")

    def do_delete(self, order, place, _amount):
        self.pick(self.documents(order, "draft"), place).unlink()

    def do_cancel(self, order, place, _amount):
        move = self.pick(self.documents(order, "draft", "posted"), place)
        if move.state == "posted":
            move.button_draft()
        move.button_cancel()

    def do_credit(self, order, place, _amount):
        move = self.pick(self.documents(order, "posted"), place)
        if move:
            move._reverse_moves(cancel=True)

    def do_credit_part(self, order, place, amount):
        move = self.pick(self.documents(order, "posted"), place)
        if not move or move.milestone_document != "stage":
            return
        refund = move._reverse_moves()
        for item in refund.invoice_line_ids.filtered(lambda item: item.display_type == "product"):
            item.price_unit = round(item.price_unit * amount / 100, 2)
        refund._post()

    def do_credit_draft(self, order, place, _amount):
        credits = order.milestone_line_ids.invoice_ids.filtered(
            lambda move: move.milestone_document == "credit"
        )
        self.pick(credits.sorted("id"), place).button_draft()

    def order_lines(self, order):
        return order.order_line.filtered("is_milestone_billed")

    def do_quantity(self, order, place, amount):
        self.pick(self.order_lines(order), place).product_uom_qty = amount / 7

    def do_price(self, order, place, amount):
        self.pick(self.order_lines(order), place).price_unit = amount * 13.37

    def do_add_line(self, order, place, amount):
        order.order_line = [
            Command.create(
                {
                    "product_id": self.service.id,
                    "price_unit": amount * 1.01,
                    "tax_ids": [Command.set(self.taxes[TAX_SETS[place % len(TAX_SETS)]].ids)],
                }
            )
        ]

    def do_cancel_line(self, order, place, _amount):
        self.pick(self.stages(order), place).action_cancel()

    def do_restore_line(self, order, _place, _amount):
        self.stages(order).filtered(lambda line: line.state == "cancelled").action_restore()

    def do_release(self, order, _place, amount):
        order.milestone_schedule_id.release_retainage(percent=amount)

    def do_pay(self, order, place, _amount):
        move = self.pick(self.documents(order, "posted"), place)
        if (
            move
            and move.payment_state == "not_paid"
            and move.move_type == "out_invoice"
            and move.amount_residual
        ):
            self.pay(move)

    def do_rate(self, order, _place, amount):
        order.milestone_schedule_id.retainage_percent = amount / 10

    # === INVARIANTS ===

    def check(self, order, trail):
        schedule = order.milestone_schedule_id
        result = schedule.tie_out()
        self.assertTrue(result["ok"], f"{trail}\n{result['differences']}")
        live = order.milestone_line_ids.invoice_ids.filtered("milestone_claim")
        self.assertEqual(len(live), len(live.milestone_line_id), trail)
        self.assertGreaterEqual(schedule.amount_retained, 0.0, trail)
        if self.has_open(order):
            total = sum(self.stages(order).mapped("amount_untaxed"))
            compared = order.currency_id.compare_amounts(total, schedule.amount_contract)
            self.assertEqual(compared, 0, trail)

    def has_open(self, order):
        return bool(self.stages(order).filtered(lambda line: line.state == "planned"))

    def finish(self, order, trail):
        """Bill and post everything that is open; then the ledger is the order, per tax."""
        self.stages(order).filtered(lambda line: line.state == "cancelled").action_restore()
        order.milestone_line_ids.invoice_ids.filtered(
            lambda move: move.state == "draft" and move.milestone_document
        )._post()
        for _round in range(3):
            self.stages(order).filtered(lambda line: line.state == "planned").action_complete()
            order.milestone_line_ids.invoice_ids.filtered(
                lambda move: move.state == "draft" and move.milestone_document
            )._post()
        self.check(order, trail)
        schedule = order.milestone_schedule_id
        if schedule.retainage_tax == "now":
            self.assertLedgerIsOrder(order, trail)
        if schedule.amount_retained:
            schedule.release_retainage()
            order.milestone_line_ids.invoice_ids.filtered(
                lambda move: move.state == "draft" and move.milestone_document
            )._post()
            self.assertEqual(schedule.amount_retained, 0.0, trail)
            self.check(order, trail)
        self.assertLedgerIsOrder(order, trail)

    def assertLedgerIsOrder(self, order, trail):
        moves = order.milestone_line_ids.invoice_ids.filtered(
            lambda move: move.state == "posted" and move.milestone_document
        )
        currency, ledger, expected = order.currency_id, {}, {}
        for item in moves.line_ids:
            if item.display_type == "tax":
                key = item.tax_line_id.id
            elif item.display_type == "product" and not item.milestone_retainage:
                key = "net"
            else:
                continue
            ledger[key] = ledger.get(key, 0.0) - item.amount_currency
        columns = order.milestone_schedule_id._get_order_columns(order)
        for order_line, units in columns.items():
            for part, count in units.items():
                key = int(part[1:]) if part[0] == "t" else part
                if part == "net" or (part[0] == "t" and key not in order_line._get_exempt_tax_ids()):
                    expected[key] = expected.get(key, 0.0) + count * currency.rounding
        for key in {**ledger, **expected}:
            self.assertEqual(
                currency.compare_amounts(ledger.get(key, 0.0), expected.get(key, 0.0)),
                0,
                f"{key}: {ledger.get(key)} {expected.get(key)} {trail}",
            )

    # === PROPERTIES ===

    @settings(**PROFILE)
    @given(
        st.sampled_from(CURRENCIES),
        st.sampled_from(["round_per_line", "round_globally"]),
        st.sampled_from(["always", "draft"]),
        ORDER_LINES,
        SCHEDULES,
        EVENTS,
    )
    def test_invariants_hold_after_every_event(self, currency, method, posting, lines, schedule, events):
        trail = (currency, method, posting, lines, schedule)
        with self.env.cr.savepoint() as savepoint:
            self.company.tax_calculation_rounding_method = method
            self.company.milestone_invoice_posting = posting
            order = self.build(currency, lines, schedule)
            try:
                order.action_confirm()
            except UserError:
                order = None
            done = []
            for event in events if order else ():
                self.happen(order, *event)
                done.append(event)
                self.add_missing_stage(order)
                self.check(order, (*trail, done))
            if order:
                self.finish(order, (*trail, events))
            savepoint.rollback()
        self.env.invalidate_all()
