"""Percent complete to date, order line by order line, as on a schedule of values, on the real database."""

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged

from .test_worked_figures_deposit import DepositCommon


class ProgressCommon(DepositCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tax_7 = cls.create_tax("VAT 7 %", 7.0)

    def create_progress_order(self, lines, *stages, confirm=True, **values):
        """Create an order whose stages but the last are percentages to date by order line; the last takes the rest."""
        order = self.create_order(
            shares=(),
            confirm=False,
            lines=[self.prepare_line(price, taxes, quantity) for price, quantity, taxes in lines],
            **values,
        )
        order.milestone_line_ids = [
            Command.create(
                {
                    "name": f"Month {place}",
                    "sequence": 10 * place,
                    "amount_type": "fixed",
                    "allocation_mode": "progress",
                    "approval_required": False,
                    "allocation_ids": [
                        Command.create({"order_line_id": order_line.id, "percent": percent})
                        for order_line, percent in zip(order.order_line, percents, strict=True)
                    ],
                }
            )
            for place, percents in enumerate(stages, start=1)
        ] + [
            Command.create(
                {"name": "Last", "sequence": 990, "amount_type": "remainder", "approval_required": False}
            )
        ]
        if confirm:
            order.action_confirm()
        return order

    def nets(self, move):
        items = move.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        return [-move.direction_sign * item.price_subtotal for item in items]

    def set_percent(self, line, *percents):
        """Enter percentages to date as people do, on the form of the milestone."""
        planned = line.allocation_ids._filter_planned().sorted("id")
        for alloc, percent in zip(planned, percents, strict=True):
            alloc.percent = percent


@tagged("post_install", "-at_install")
class TestProgress(ProgressCommon):
    def test_each_stage_bills_what_is_new_of_each_line(self):
        order = self.create_progress_order(
            [(6000.0, 1.0, self.tax_20), (3000.0, 1.0, self.tax_7), (1000.0, 1.0, self.tax_20 + self.tax_7)],
            (50, 0, 10),
            (80, 40, 10),
            (100, 60, 90),
        )
        first, second, third, last = order.milestone_line_ids
        expected = ([3000.0, 100.0], [1800.0, 1200.0], [1200.0, 600.0, 800.0], [1200.0, 100.0])
        for line, nets in zip(order.milestone_line_ids, expected, strict=True):
            line.action_complete()
            self.assertEqual(self.nets(line.invoice_ids), nets)
            self.assertConserved(order)
            self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])
        self.assertEqual(first.invoice_ids.amount_tax, 3000 * 0.2 + 100 * 0.27)
        self.assertEqual(second.invoice_ids.amount_tax, 1800 * 0.2 + 1200 * 0.07)
        rows = order.milestone_schedule_id._get_schedule_of_values(third)
        self.assertEqual([row["percent"] for row in rows], ["100.00", "60.00", "90.00"])
        self.assertEqual([row["this_period"] for row in rows], ["1200.00", "600.00", "800.00"])
        self.assertBilledEqualsOrder(order)
        self.assertEqual(order.order_line.mapped("qty_invoiced"), [1.0, 1.0, 1.0])
        self.assertEqual(last.invoice_ids.amount_untaxed, 1300.0)

    def test_rounding_both_ways_ends_at_the_order(self):
        lines = [
            (33.33, 3.0, self.tax_20),
            (0.07, 7.0, self.tax_7),
            (99.99, 0.33, self.tax_20 + self.tax_7),
            (-10.01, 1.0, self.tax_7),
        ]
        for method in ("round_per_line", "round_globally"):
            self.company.tax_calculation_rounding_method = method
            order = self.create_progress_order(
                lines, (33.33,) * 4, (66.67, 50, 99.99, 12.5), (66.67, 51, 100, 100)
            )
            for line in order.milestone_line_ids:
                line.action_complete()
                self.assertConserved(order)
                self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [], method)
            self.assertBilledEqualsOrder(order)

    def test_amounts_are_rounded_half_up_to_date_and_not_by_stage(self):
        order = self.create_progress_order([(0.05, 1.0, self.tax_20)], (10,), (30,), (50,))
        nets = order.milestone_line_ids.mapped("amount_untaxed")
        self.assertEqual(nets, [0.01, 0.01, 0.01, 0.02])

    def test_percentages_are_entered_after_the_order_is_confirmed(self):
        order = self.create_progress_order(
            [(6000.0, 1.0, self.tax_20), (4000.0, 1.0, self.tax_7)], (0, 0), (0, 0)
        )
        first, second, last = order.milestone_line_ids
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [0.0, 0.0, 10000.0])
        with Form(first.with_user(self.billing_user)) as form:
            for place, percent in enumerate((25.0, 10.0)):
                with form.allocation_ids.edit(place) as row:
                    row.percent = percent
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [1900.0, 0.0, 8100.0])
        first.action_complete()
        self.assertEqual(self.nets(first.invoice_ids), [1500.0, 400.0])
        self.set_percent(second, 50.0, 10.0)
        second.action_complete()
        self.assertEqual(self.nets(second.invoice_ids), [1500.0])
        last.action_complete()
        self.assertBilledEqualsOrder(order)
        self.assertConserved(order)

    def test_less_to_date_than_billed_bills_nothing_of_the_line(self):
        order = self.create_progress_order(
            [(6000.0, 1.0, self.tax_20), (4000.0, 1.0, self.tax_7)], (50, 50), (40, 75)
        )
        first, second, _last = order.milestone_line_ids
        (first + second).action_complete()
        self.assertEqual(self.nets(second.invoice_ids), [1000.0])
        self.assertConserved(order)

    def test_credit_of_a_stage_is_billed_again_by_itself(self):
        order = self.create_progress_order(
            [(3333.33, 1.0, self.tax_20), (6666.67, 1.0, self.tax_7)], (33.33, 10), (66.67, 50)
        )
        first, second, last = order.milestone_line_ids
        first.action_complete()
        amounts = (first.invoice_ids.amount_untaxed, first.invoice_ids.amount_tax)
        first.invoice_ids._reverse_moves(cancel=True)
        self.assertConserved(order)
        self.assertEqual(first.invoice_status, "credited")
        second.action_complete()
        self.assertEqual(
            second.invoice_ids.amount_untaxed, second.amount_untaxed, "the credit does not move other stages"
        )
        self.assertEqual(sum(self.nets(second.invoice_ids)), round(3333.33 * 0.3334 + 6666.67 * 0.4, 2))
        first.action_complete()
        live = first._get_live_invoice()
        self.assertEqual((live.amount_untaxed, live.amount_tax), amounts)
        last.action_complete()
        self.assertBilledEqualsOrder(order)
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])

    def test_part_credit_leaves_that_part_to_bill(self):
        order = self.create_progress_order([(1000.0, 1.0, self.tax_20)], (50,), (75,))
        first = order.milestone_line_ids[0]
        first.action_complete()
        credit = first.invoice_ids._reverse_moves()
        credit.invoice_line_ids.filtered(lambda item: item.display_type == "product").price_unit = 123.45
        credit._post()
        self.assertConserved(order)
        order.milestone_line_ids.action_complete()
        self.assertEqual(first._get_live_invoice().amount_untaxed, credit.amount_untaxed)
        self.assertBilledEqualsOrder(order)

    def test_deleted_draft_gives_the_percentages_back(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_progress_order(
            [(6000.0, 1.0, self.tax_20), (4000.0, 1.0, self.tax_7)], (50, 25), (100, 50)
        )
        first, second, _last = order.milestone_line_ids
        (first + second).action_complete()
        first.invoice_ids.unlink()
        # The second stage alone has reached these percentages, so the first bills more only with higher ones.
        self.assertEqual((first.state, first.amount_untaxed), ("planned", 0.0))
        self.assertConserved(order)
        self.set_percent(first, 100.0, 30.0)
        self.assertEqual(first.amount_untaxed, 3000.0 + 200.0)
        first.action_complete()
        order.milestone_line_ids.filtered(lambda line: line.state == "planned").action_complete()
        order.milestone_line_ids.invoice_ids._post()
        self.assertBilledEqualsOrder(order)

    def test_last_stage_takes_what_no_percentage_reached(self):
        order = self.create_progress_order(
            [(10.01, 1.0, self.tax_20), (20.02, 1.0, self.tax_7)], (100, 0), (100, 99.99)
        )
        order.milestone_line_ids.action_complete()
        # 99.99 % of 20.02 rounds to the whole line, so nothing is left.
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [10.01, 20.02, 0.0])
        self.assertBilledEqualsOrder(order)

    def test_retainage_follows_progress(self):
        order = self.create_progress_order([(6000.0, 1.0, self.tax_20)], (50,), confirm=False)
        order.milestone_schedule_id.retainage_percent = 10
        order.action_confirm()
        order.milestone_line_ids.action_complete()
        self.assertEqual(order.milestone_line_ids.invoice_ids.mapped("amount_retained"), [360.0, 360.0])

    def test_what_is_billed_before_counts_to_date(self):
        order = self.create_progress_order([(6000.0, 1.0, self.tax_20)], (25,), (50,))
        first, second, _last = order.milestone_line_ids
        self.env["milestone.billing.opening"].create(
            {"line_id": first.id, "reference": "A", "date": "2025-01-01", "amount_untaxed": 1500.0}
        )
        second.action_complete()
        self.assertEqual(second.invoice_ids.amount_untaxed, 1500.0)
        self.assertEqual(order.milestone_schedule_id._get_schedule_of_values(second)[0]["percent"], "50.00")


@tagged("post_install", "-at_install")
class TestProgressEntry(ProgressCommon):
    def test_percentages_of_a_billed_stage_stay(self):
        order = self.create_progress_order([(6000.0, 1.0, self.tax_20)], (50,))
        first = order.milestone_line_ids[0]
        first.action_complete()
        with self.assertRaisesRegex(UserError, "is billed and does not move"):
            first.allocation_ids.percent = 60.0
        with self.assertRaisesRegex(UserError, "is billed and does not move"):
            first.allocation_ids.unlink()

    def test_amounts_and_documents_are_not_written_by_hand(self):
        order = self.create_progress_order([(6000.0, 1.0, self.tax_20)], (50,))
        alloc = order.milestone_line_ids[0].allocation_ids
        for values in ({"amount_untaxed": 1.0}, {"move_id": False}, {"opening_id": False}, {"quantity": 2.0}):
            with self.assertRaises(AccessError):
                alloc.write(values)
        with self.assertRaises(AccessError):
            self.env["milestone.billing.allocation"].create(
                {
                    "line_id": order.milestone_line_ids[1].id,
                    "order_line_id": order.order_line.id,
                    "amount_untaxed": 1.0,
                }
            )

    def test_shares_that_do_not_add_up_are_refused(self):
        order = self.create_progress_order([(6000.0, 1.0, self.tax_20)], (50,), (100,), confirm=False)
        order.milestone_line_ids[-1].unlink()
        order.action_confirm()
        last = order.milestone_line_ids[-1]
        with self.assertRaisesRegex(UserError, "600.00 short"), self.env.cr.savepoint():
            last.allocation_ids.percent = 90.0
        self.env.invalidate_all()
        self.assertConserved(order)
