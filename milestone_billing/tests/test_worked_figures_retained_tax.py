"""Tax on the retained part that is billed with its release, journal items line by line."""

from odoo import Command, fields
from odoo.exceptions import UserError, ValidationError
from odoo.tests import tagged

from .test_worked_figures_retainage import RetainageCommon


class RetainedTaxCommon(RetainageCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tax_10 = cls.create_booked_tax("VAT 10 %", 10.0)
        cls.included = cls.create_booked_tax("GST 18 %", 18.0, price_include_override="tax_included")
        parts = cls.create_booked_tax("Part 5 %", 5.0) + cls.create_booked_tax("Part 2.5 %", 2.5)
        cls.group = cls.env["account.tax"].create(
            {"name": "Group", "amount_type": "group", "children_tax_ids": [Command.set(parts.ids)]}
        )

    @classmethod
    def create_booked_tax(cls, name, amount, **values):
        """Create a tax that is booked on the account of taxes."""
        tax = cls.create_tax(name, amount, **values)
        parts = tax.invoice_repartition_line_ids | tax.refund_repartition_line_ids
        parts.filtered(lambda part: part.repartition_type == "tax").account_id = cls.tax_account
        return tax

    def create_deferred_order(self, taxes=None, **values):
        return self.create_retained_order(
            self.tax_20 if taxes is None else taxes,
            **{"retainage_base": "net", "retainage_tax": "release", **values},
        )

    def create_mixed_order(self, retainage_percent=10.0):
        """An order with several taxes: included, two at once, a group, none, and a discount line."""
        both, no_tax = self.tax_20 + self.tax_10, self.env["account.tax"]
        taxes = (self.tax_20, self.tax_10, both, self.included, self.group, no_tax, self.tax_10)
        prices = (33.33, 100.01, 7.07, 59.99, 41.17, 12.12, -5.55)
        lines = [self.prepare_line(price, tax, 3.0) for price, tax in zip(prices, taxes, strict=True)]
        order = self.create_order(lines=lines, shares=(33.33, 22.22, 11.11, 33.34), confirm=False)
        order.milestone_schedule_id.write(
            {
                "retainage_percent": retainage_percent,
                "retainage_base": "net",
                "retainage_tax": "release",
            }
        )
        order.action_confirm()
        return order

    def release(self, order, **how):
        answer = order.milestone_schedule_id.release_retainage(**how)
        return self.env["account.move"].browse(answer["invoice_id"])

    def assertTiedOut(self, order):
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])
        self.assertConserved(order)

    def assertLedgerIsOrder(self, order):
        """All documents together are the order: revenue, and each tax with its base."""
        moves = order.milestone_line_ids.invoice_ids.filtered(lambda move: move.state == "posted")
        net, taxes, bases = 0.0, {}, {}
        for item in moves.line_ids:
            if item.display_type == "tax":
                taxes[item.tax_line_id] = taxes.get(item.tax_line_id, 0.0) - item.amount_currency
                bases[item.tax_line_id] = bases.get(item.tax_line_id, 0.0) - item.tax_base_amount
            elif item.display_type == "product":
                net -= item.amount_currency
        currency, expected, expected_bases = order.currency_id, {}, {}
        for units in order.milestone_schedule_id._get_order_columns(order).values():
            for part, count in units.items():
                tax = self.env["account.tax"].browse(int(part[1:])) if part[0] in "tb" else None
                target = {"t": expected, "b": expected_bases}.get(part[0])
                if target is not None:
                    target[tax] = target.get(tax, 0.0) + count * currency.rounding
        self.assertEqual(currency.compare_amounts(net, order.amount_untaxed), 0)
        for tax in {**taxes, **expected}:
            self.assertAlmostEqual(taxes.get(tax, 0.0), expected.get(tax, 0.0), 2, tax.name)
        return bases, expected_bases


@tagged("post_install", "-at_install")
class TestWorkedFiguresRetainedTax(RetainedTaxCommon):
    def test_case_3u_tax_on_the_retained_part_at_release(self):
        order = self.create_deferred_order()
        order.milestone_line_ids[0].kind = "deposit"
        order.milestone_line_ids.action_complete()
        for line in order.milestone_line_ids[1:]:
            self.assertItems(
                line.invoice_ids,
                (self.receivable, 2700, 0),
                (self.retainage, 250, 0),
                (self.revenue, 0, 2500),
                (self.tax_account, 0, 450),
            )
            self.assertRecordValues(
                line.invoice_ids,
                [
                    {
                        "amount_untaxed": 2250.0,
                        "amount_tax": 450.0,
                        "amount_total": 2700.0,
                        "amount_retained": 250.0,
                    }
                ],
            )
        answer = order.milestone_schedule_id.release_retainage()
        self.assertEqual(answer["amount"], 900.0)
        release = self.env["account.move"].browse(answer["invoice_id"])
        self.assertItems(
            release, (self.receivable, 900, 0), (self.retainage, 0, 750), (self.tax_account, 0, 150)
        )
        self.assertEqual(self.balance(self.receivable, order), 12000.0)
        self.assertEqual(self.balance(self.retainage, order), 0.0)
        self.assertEqual(self.balance(self.revenue, order), -10000.0)
        self.assertEqual(self.balance(self.tax_account, order), -2000.0)
        self.assertBilledEqualsOrder(order)
        self.assertTiedOut(order)

    def test_tax_report_has_the_base_of_what_is_taxed(self):
        tag = self.env["account.account.tag"].create({"name": "Base", "applicability": "taxes"})
        for lines in (self.tax_20.invoice_repartition_line_ids, self.tax_20.refund_repartition_line_ids):
            lines.filtered(lambda part: part.repartition_type == "base").tag_ids = tag
        order = self.create_deferred_order(shares=(50, 50))
        order.milestone_line_ids.action_complete()

        def reported(moves):
            return -sum(moves.line_ids.filtered(lambda item: tag in item.tax_tag_ids).mapped("balance"))

        stages = order.milestone_line_ids.invoice_ids
        self.assertEqual([reported(move) for move in stages], [4500.0, 4500.0])
        self.assertEqual(
            [
                abs(move.line_ids.filtered(lambda item: item.display_type == "tax").tax_base_amount)
                for move in stages
            ],
            [4500.0, 4500.0],
        )
        release = self.release(order)
        self.assertEqual(reported(release), 1000.0)
        release._reverse_moves(cancel=True)
        self.assertEqual(reported(order.milestone_line_ids.invoice_ids), 9000.0)

    def test_totals_of_the_stage_and_of_the_release(self):
        order = self.create_deferred_order(shares=(50, 50))
        order.milestone_line_ids.action_complete()
        totals = order.milestone_line_ids[0].invoice_ids.tax_totals
        self.assertEqual(
            (totals["base_amount"], totals["tax_amount"], totals["total_amount"]), (4500.0, 900.0, 5400.0)
        )
        totals = self.release(order).tax_totals
        self.assertEqual(
            (totals["base_amount"], totals["tax_amount"], totals["total_amount"]), (1000.0, 200.0, 1200.0)
        )

    def test_order_statement_and_turnover_see_the_whole_work(self):
        order = self.create_deferred_order()
        order.milestone_line_ids[:2].action_complete()
        self.assertEqual(order.order_line.qty_invoiced, 0.5)
        self.assertEqual(order.order_line.untaxed_amount_invoiced, 5000.0)
        statement = order.milestone_schedule_id.get_statement()
        self.assertEqual(
            [statement[name] for name in ("completed_to_date", "retainage", "earned_less_retainage")],
            ["5000.00", "500.00", "4500.00"],
        )
        self.release(order)
        moves = order.milestone_line_ids.invoice_ids
        report = self.env["account.invoice.report"].search([("move_id", "in", moves.ids)])
        self.assertEqual(sum(report.mapped("price_subtotal")), 5000.0)
        self.env.flush_all()
        billed = self.env["milestone.billing.ledger"].search(
            [("order_id", "=", order.id), ("fact", "=", "billed")]
        )
        self.assertEqual(sum(billed.mapped("amount")), 5000.0)

    def test_customer_statement_of_stage_and_release(self):
        order = self.create_deferred_order(shares=(50, 50))
        order.milestone_line_ids[0].action_complete()
        self.release(order)
        rows = [row for row in order.milestone_schedule_id._get_account_rows() if row["move"]]
        self.assertEqual(
            [[row[name] for name in ("billed", "retained", "paid", "balance")] for row in rows],
            [["5900.00", "500.00", "0.00", "5400.00"], ["100.00", "-500.00", "0.00", "600.00"]],
        )

    def test_payment_of_what_is_due_pays_the_stage(self):
        order = self.create_deferred_order(shares=(50, 50), retainage_due_days=180)
        line = order.milestone_line_ids[0]
        line.action_complete()
        invoice = line.invoice_ids
        self.assertEqual(invoice._get_milestone_due_now(), 5400.0)
        held = invoice.line_ids.filtered("milestone_retainage")
        self.assertEqual(held.date_maturity, fields.Date.add(invoice.invoice_date, days=180))
        self.assertLess(invoice.invoice_date_due, held.date_maturity)
        self.pay(invoice)
        self.assertEqual(line.invoice_status, "paid")
        self.assertEqual(held.amount_residual, 500.0)
        release = self.release(order)
        self.assertEqual(held.amount_residual, 0.0)
        self.pay(release)
        self.assertEqual(set(order.milestone_line_ids[::2].mapped("invoice_status")), {"paid"})

    def test_release_pays_nothing_of_the_stage(self):
        order = self.create_deferred_order(shares=(50, 50))
        line = order.milestone_line_ids[0]
        line.action_complete()
        release = self.release(order)
        for move in line.invoice_ids + release:
            self.assertEqual((move.payment_state, move.amount_residual), ("not_paid", move.amount_total))
            self.assertFalse(move.invoice_payments_widget)
        self.assertEqual(line.invoice_status, "posted")

    def test_spectrum_draw_with_tax_at_release(self):
        order = self.create_deferred_order(shares=(90, 10), prices=(100000.0,), retainage_method="to_date")
        schedule, (first, second) = order.milestone_schedule_id, order.milestone_line_ids
        first.action_complete()
        self.assertItems(
            first.invoice_ids,
            (self.receivable, 97200, 0),
            (self.retainage, 9000, 0),
            (self.revenue, 0, 90000),
            (self.tax_account, 0, 16200),
        )
        schedule.retainage_percent = 5.0
        second.action_complete()
        self.assertItems(
            second.invoice_ids,
            (self.receivable, 16800, 0),
            (self.retainage, 0, 4000),
            (self.revenue, 0, 10000),
            (self.tax_account, 0, 2800),
        )
        schedule.retainage_percent = 0.0
        self.assertItems(
            self.release(order),
            (self.receivable, 6000, 0),
            (self.retainage, 0, 5000),
            (self.tax_account, 0, 1000),
        )
        self.assertBilledEqualsOrder(order)
        self.assertTiedOut(order)


@tagged("post_install", "-at_install")
class TestRetainedTax(RetainedTaxCommon):
    def test_partial_releases_bill_the_tax_pro_rata_and_the_last_one_the_rest(self):
        order = self.create_deferred_order(prices=(1000.03,))
        order.milestone_line_ids.action_complete()
        releases = [self.release(order, **how) for how in ({"percent": 33.33}, {"amount": "33.34"}, {})]
        self.assertEqual([move.amount_untaxed for move in releases], [33.33, 33.34, 33.33])
        for move in releases:
            self.assertAlmostEqual(move.amount_tax, 0.2 * move.amount_untaxed, delta=0.011)
        self.assertBilledEqualsOrder(order)
        self.assertTiedOut(order)

    def test_several_taxes_add_up_to_the_order_for_each_tax(self):
        for method in ("round_per_line", "round_globally"):
            self.company.tax_calculation_rounding_method = method
            order = self.create_mixed_order(retainage_percent=7.5)
            for line in order.milestone_line_ids:
                line.action_complete()
                self.assertTiedOut(order)
            for percent in (10, 47, 100):
                self.release(order, percent=percent)
                self.assertTiedOut(order)
            self.assertEqual(order.milestone_schedule_id.amount_retained, 0.0)
            bases, expected = self.assertLedgerIsOrder(order)
            for tax in expected:
                self.assertAlmostEqual(bases.get(tax, 0.0), expected[tax], 2, tax.name)
            self.assertBilledEqualsOrder(order)

    def test_all_stages_in_one_call_with_a_rate_that_falls(self):
        order = self.create_deferred_order(
            retainage_method="to_date",
            retainage_step_ids=[Command.create({"completion": 60.0, "percent": 2.0})],
        )
        order.milestone_line_ids.action_complete()
        invoices = order.milestone_line_ids.invoice_ids.sorted("id")
        self.assertEqual(invoices.mapped("amount_retained"), [250.0, 250.0, -350.0, 50.0])
        self.assertItems(
            invoices[2],
            (self.receivable, 3420, 0),
            (self.retainage, 0, 350),
            (self.revenue, 0, 2500),
            (self.tax_account, 0, 570),
        )
        self.assertTiedOut(order)
        self.release(order)
        self.assertBilledEqualsOrder(order)
        self.assertTiedOut(order)

    def test_foreign_currency(self):
        currency = self.setup_other_currency("EUR", rounding=0.001)
        pricelist = self.env["product.pricelist"].create({"name": "EUR", "currency_id": currency.id})
        order = self.create_order(
            taxes=self.tax_20, prices=(1000.007,), pricelist_id=pricelist.id, confirm=False
        )
        order.milestone_schedule_id.write(
            {"retainage_percent": 10.0, "retainage_base": "net", "retainage_tax": "release"}
        )
        order.action_confirm()
        order.milestone_line_ids.action_complete()
        self.release(order, percent=50)
        self.release(order)
        self.assertBilledEqualsOrder(order)
        self.assertTiedOut(order)

    # === SETTINGS ===

    def test_company_default_for_new_schedules(self):
        self.company.milestone_retainage_tax = "release"
        order = self.create_order(confirm=False)
        self.assertRecordValues(
            order.milestone_schedule_id, [{"retainage_tax": "release", "retainage_base": "net"}]
        )
        self.company.milestone_retainage_tax = "now"
        order = self.create_order(confirm=False)
        self.assertRecordValues(
            order.milestone_schedule_id, [{"retainage_tax": "now", "retainage_base": "gross"}]
        )

    def test_gross_base_is_refused(self):
        order = self.create_order(confirm=False)
        with self.assertRaisesRegex(ValidationError, "Choose the net amount"):
            order.milestone_schedule_id.write({"retainage_percent": 10.0, "retainage_tax": "release"})

    def test_tax_due_on_payment_is_refused(self):
        self.company.tax_exigibility = True
        transition = self.tax_account.copy()
        transition.reconcile = True
        tax = self.create_booked_tax(
            "Cash 20 %", 20.0, tax_exigibility="on_payment", cash_basis_transition_account_id=transition.id
        )
        with self.assertRaisesRegex(UserError, "Cash 20 %.* becomes due with the payment"):
            self.create_deferred_order(tax)

    def test_tax_without_account_is_refused(self):
        tax = self.create_booked_tax("Bare", 20.0)
        tax.invoice_repartition_line_ids.account_id = False
        with self.assertRaisesRegex(UserError, "Bare.* has no account of its own"):
            self.create_deferred_order(tax)

    def test_tax_that_changed_after_the_confirmation_is_refused(self):
        order = self.create_deferred_order()
        self.tax_20.invoice_repartition_line_ids.account_id = False
        with self.assertRaisesRegex(UserError, "has no account of its own"):
            order.milestone_line_ids[0].action_complete()

    def test_setting_does_not_change_while_retainage_is_held(self):
        order = self.create_deferred_order()
        schedule = order.milestone_schedule_id
        order.milestone_line_ids[0].action_complete()
        with self.assertRaisesRegex(UserError, "is billed already"):
            schedule.retainage_tax = "now"
        self.release(order)
        schedule.retainage_tax = "now"
        order.milestone_line_ids[1].action_complete()
        self.assertItems(
            order.milestone_line_ids[1].invoice_ids,
            (self.receivable, 2750, 0),
            (self.retainage, 250, 0),
            (self.revenue, 0, 2500),
            (self.tax_account, 0, 500),
        )
        self.assertTiedOut(order)

    def test_reverse_charge(self):
        reverse = [
            Command.create({"repartition_type": "base"}),
            Command.create(
                {"repartition_type": "tax", "factor_percent": 100, "account_id": self.tax_account.id}
            ),
            Command.create(
                {"repartition_type": "tax", "factor_percent": -100, "account_id": self.tax_account.id}
            ),
        ]
        tax = self.create_tax(
            "Reverse", 21.0, invoice_repartition_line_ids=reverse, refund_repartition_line_ids=reverse
        )
        order = self.create_deferred_order(tax)
        order.milestone_line_ids.action_complete()
        self.assertEqual(order.milestone_line_ids[0].invoice_ids.amount_total, 2250.0)
        self.assertEqual(self.release(order).amount_total, 1000.0)
        self.assertBilledEqualsOrder(order)
        self.assertTiedOut(order)

    def test_quotation_tells_the_client(self):
        order = self.create_deferred_order()
        self.assertIn(
            "The tax on what you hold back is billed when it is released.", order._get_milestone_terms()
        )

    def test_planned_release_shows_what_it_will_ask_for(self):
        order, release = self.create_planned_release(
            self.tax_20, retainage_base="net", retainage_tax="release"
        )
        (order.milestone_line_ids - release).action_complete()
        self.assertEqual(release.amount_total, 1200.0)
        release.action_complete()
        self.assertItems(
            release.invoice_ids,
            (self.receivable, 1200, 0),
            (self.retainage, 0, 1000),
            (self.tax_account, 0, 200),
        )
