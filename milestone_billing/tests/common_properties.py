"""Random orders and schedules on a real database: how they are drawn, built and compared with the ledger.

`MILESTONE_PROPERTY_EXAMPLES` says how many histories of events are played, and in proportion how many of the cheaper
cases; `MILESTONE_PROPERTY_SEED` draws others than every day's. `setup/test properties` sets both.
"""

import os
from decimal import Decimal

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from odoo import Command

from .test_worked_figures_deposit import DepositCommon

EXAMPLES = int(os.environ.get("MILESTONE_PROPERTY_EXAMPLES", "25"))
SEED = os.environ.get("MILESTONE_PROPERTY_SEED")
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
        "steps": st.sampled_from([(), (), (), ((50, 5.0, 0.0),), ((30, 8.0, 50.0), (70, 0.0, 100.0))]),
        "cap": st.sampled_from([0.0, 0.0, 25.0]),
        "stop": st.sampled_from([0.0, 0.0, 60.0]),
        "chosen": st.booleans(),
        "approval": st.sampled_from([False, False, False, True]),
        "discount": st.sampled_from([0.0, 0.0, 2.0]),
    }
)
METHODS = ("round_per_line", "round_globally")


def many_cases(factor=1):
    """Run a property on random cases: the same ones every day, those of a seed on demand.

    :param int factor: cases for each history of events that is played.
    """

    def decorate(test):
        profile = settings(
            max_examples=EXAMPLES * factor,
            deadline=None,
            derandomize=not SEED,
            database=None,
            print_blob=bool(SEED),
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        return profile(seed(int(SEED))(test) if SEED else test)

    return decorate


class PropertyCommon(DepositCommon):
    """Five currencies, eight sets of taxes, and orders as they are drawn."""

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
            payment_term_id=self.build_term(schedule["discount"]).id,
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
                    "approval_required": schedule["approval"],
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
                "retainage_cap": schedule["cap"],
                "retainage_stop_percent": schedule["stop"],
                "retainage_step_ids": [
                    Command.create({"completion": completion, "percent": rate, "release_percent": back})
                    for completion, rate, back in schedule["steps"]
                ],
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

    def build_term(self, percent):
        """Create payment terms with an early discount that lowers the tax of every invoice, or give none."""
        Term = self.env["account.payment.term"]
        if not percent:
            return Term
        return Term.create(
            {
                "name": f"{percent} %",
                "early_discount": True,
                "discount_percentage": percent,
                "discount_days": 7,
                "early_pay_discount_computation": "mixed",
                "line_ids": [Command.create({"value": "percent", "value_amount": 100, "nb_days": 30})],
            }
        )

    def stages(self, order):
        return order.milestone_line_ids.filtered(lambda line: line.kind != "retainage_release")

    # === COMPARING ===

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
        self._add_billed_before(order, ledger)
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

    def _add_billed_before(self, order, ledger):
        """Count what outside invoices have billed as if it stood in the ledger."""
        for alloc in order.milestone_schedule_id._get_openings().allocation_ids:
            ledger["net"] = ledger.get("net", 0.0) + alloc.amount_untaxed
            for tax_id, amounts in (alloc.tax_amounts or {}).items():
                if int(tax_id) not in alloc.order_line_id._get_exempt_tax_ids():
                    ledger[int(tax_id)] = ledger.get(int(tax_id), 0.0) + float(amounts["tax"])
