"""The company changes how it rounds taxes while contracts run: each keeps what was agreed."""

from odoo.exceptions import AccessError
from odoo.tests import tagged

from .test_worked_figures_deposit import DepositCommon

METHODS = ("round_per_line", "round_globally")
# 21 % of the small lines: four times 0.02, or together 0.07.
PRICES = (0.08, 0.08, 0.08, 0.08, 10.0)


@tagged("post_install", "-at_install")
class TestTaxRounding(DepositCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tax_21 = cls.create_tax("VAT 21 %", 21.0)
        cls.tax_21_in = cls.create_tax("VAT 21 % in", 21.0, price_include_override="tax_included")

    def create_rounded_order(self, method, taxes, **values):
        self.company.tax_calculation_rounding_method = method
        return self.create_deposit_order(prices=PRICES, taxes=taxes, **values)

    def change_setting(self, order):
        """Round otherwise from now on."""
        self.env.flush_all()
        method = self.company.tax_calculation_rounding_method
        self.company.tax_calculation_rounding_method = METHODS[method == METHODS[0]]
        self.env.invalidate_all()
        return order

    def assertTiedOut(self, order):
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])
        self.assertConserved(order)

    def test_setting_changed_in_a_running_contract(self):
        for method, taxes, total, billed in (
            ("round_per_line", self.tax_21, 12.5, 2),
            ("round_globally", self.tax_21, 12.49, 2),
            ("round_per_line", self.tax_21_in, 10.32, 1),
            ("round_globally", self.tax_21_in, 10.32, 3),
            ("round_globally", self.tax_21, 12.49, 4),
        ):
            with self.subTest(method=method, taxes=taxes.name, billed=billed):
                order = self.create_rounded_order(method, taxes)
                tax = order.amount_tax
                self.assertEqual(order.amount_total, total)
                order.milestone_line_ids[:billed].action_complete()
                self.change_setting(order)
                self.assertTiedOut(order)
                order.milestone_line_ids[billed:].action_complete()
                self.assertTiedOut(order)
                self.assertEqual(order.amount_tax, tax)
                self.assertBilledEqualsOrder(order)

    def test_order_that_changes_afterwards_keeps_its_rounding(self):
        order = self.create_rounded_order("round_per_line", self.tax_21)
        order.milestone_line_ids[:2].action_complete()
        self.change_setting(order)
        order.order_line.filtered(lambda line: line.price_unit == 10.0).price_unit = 20.0
        self.assertEqual(order.amount_tax, 4.28)
        order.order_line = [self.prepare_line(0.08, self.tax_21)]
        self.assertEqual(order.amount_tax, 4.3)
        self.assertEqual(order.tax_totals["tax_amount_currency"], 4.3)
        self.assertTiedOut(order)
        order.milestone_line_ids.filtered(lambda line: line.state == "planned").action_complete()
        self.assertTiedOut(order)
        self.assertBilledEqualsOrder(order)

    def test_credit_note_and_second_invoice_after_the_change(self):
        order = self.create_rounded_order("round_globally", self.tax_21)
        order.milestone_line_ids.action_complete()
        self.change_setting(order)
        final = order.milestone_line_ids[3]
        final.invoice_ids._reverse_moves(cancel=True)
        self.assertTiedOut(order)
        final.action_complete()
        self.assertTiedOut(order)
        self.assertBilledEqualsOrder(order)

    def test_quotation_from_before_the_change_is_billed_as_it_was_shown(self):
        order = self.create_rounded_order("round_per_line", self.tax_21, confirm=False)
        self.assertEqual(order.amount_tax, 2.18)
        self.change_setting(order).action_confirm()
        self.assertEqual(order.milestone_schedule_id.tax_rounding_method, "round_per_line")
        order.milestone_line_ids.action_complete()
        self.assertEqual(order.amount_tax, 2.18)
        self.assertTiedOut(order)
        self.assertBilledEqualsOrder(order)

    def test_other_orders_and_later_ones_follow_the_setting(self):
        plain = self.env["sale.order"].create({"partner_id": self.client_company.id})
        running = self.create_rounded_order("round_globally", self.tax_21)
        self.change_setting(running)
        plain.order_line = [self.prepare_line(price, self.tax_21) for price in PRICES]
        later = self.create_rounded_order("round_per_line", self.tax_21)
        self.assertEqual((plain.amount_tax, running.amount_tax, later.amount_tax), (2.18, 2.17, 2.18))
        self.assertEqual(later.milestone_schedule_id.tax_rounding_method, "round_per_line")

    def test_order_that_is_taken_up_again_takes_the_setting_of_then(self):
        order = self.create_rounded_order("round_globally", self.tax_21)
        order._action_cancel()
        order.action_draft()
        self.assertFalse(order.milestone_schedule_id.tax_rounding_method)
        self.change_setting(order)
        order.order_line[0].price_unit = 0.09
        order.action_confirm()
        self.assertEqual(order.milestone_schedule_id.tax_rounding_method, "round_per_line")
        self.assertTiedOut(order)

    def test_rounding_is_written_by_confirming_alone(self):
        schedule = self.create_rounded_order("round_globally", self.tax_21).milestone_schedule_id
        with self.assertRaises(AccessError):
            schedule.with_user(self.billing_user).tax_rounding_method = "round_per_line"
