"""What is left of an order is planned again: after other amounts, changes, and milestones that were given up and come back."""

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_worked_figures_deposit import DepositCommon


@tagged("post_install", "-at_install")
class TestPlanAgain(DepositCommon):
    def create_fixed_order(self):
        """A fixed deposit, half of the price, and what is left."""
        order = self.create_order(shares=(0, 50, 0), taxes=self.tax_20, confirm=False)
        order.milestone_line_ids[0].write({"amount_type": "fixed", "amount_fixed": 3000.0})
        order.action_confirm()
        return order

    def amounts(self, order):
        return order.milestone_line_ids.mapped("amount_untaxed")

    def assertAllBilled(self, order):
        """Bill what is open; every document is above zero, and together they are the order."""
        order.milestone_line_ids.filtered(lambda line: line.state == "planned").action_complete()
        self.assertEqual(set(order.milestone_line_ids.invoice_ids.mapped("move_type")), {"out_invoice"})
        self.assertConserved(order)
        self.assertBilledEqualsOrder(order)
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])

    # === ANOTHER AMOUNT ===

    def test_amount_above_the_share_is_taken_off_all_others(self):
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids[0].complete(amount=9000)
        self.assertEqual(self.amounts(order), [9000.0, 500.0, 500.0, 0.0])
        self.assertAllBilled(order)

    def test_whole_order_at_once_leaves_nothing(self):
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids[0].complete(amount=10000)
        self.assertEqual(self.amounts(order), [10000.0, 0.0, 0.0, 0.0])
        self.assertAllBilled(order)

    def test_fixed_amounts_of_others_are_not_given_away(self):
        order = self.create_fixed_order()
        with self.assertRaisesRegex(UserError, "at most.*7,000.00"):
            order.milestone_line_ids[1].complete(amount=7000.01)
        order.milestone_line_ids[1].complete(amount=7000)
        self.assertEqual(self.amounts(order), [3000.0, 7000.0, 0.0])

    def test_percentage_raised_after_the_confirmation_stays_within_the_order(self):
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids[1].percent = 90.0
        self.assertEqual(sum(self.amounts(order)), 10000.0)
        self.assertGreaterEqual(min(self.amounts(order)), 0.0)
        self.assertAllBilled(order)

    # === THE ORDER GROWS BESIDE FIXED AMOUNTS ===

    def test_growth_keeps_the_proportion_of_share_and_rest(self):
        order = self.create_fixed_order()
        self.assertEqual(self.amounts(order), [3000.0, 5000.0, 2000.0])
        order.order_line = [self.prepare_line(700.0, self.tax_20)]
        self.assertEqual(self.amounts(order), [3000.0, 5500.0, 2200.0])
        self.assertAllBilled(order)

    def test_change_in_a_milestone_of_its_own_moves_no_other(self):
        order = self.create_fixed_order()
        order.milestone_line_ids[0].action_complete()
        result = order.milestone_schedule_id.propose_change(
            [{"product_id": self.service.id, "name": "Extra", "price_unit": 100.0}]
        )
        self.env["milestone.billing.change"].sudo().browse(result["change_id"])._finish({})
        self.assertEqual(self.amounts(order), [3000.0, 5000.0, 2000.0, 100.0])

    def test_rest_of_nothing_takes_what_is_added(self):
        order = self.create_order(shares=(60, 40, 0), taxes=self.tax_20)
        order.milestone_line_ids[:2].action_complete()
        order.order_line = [self.prepare_line(700.0, self.tax_20)]
        self.assertEqual(self.amounts(order), [6000.0, 4000.0, 700.0])
        self.assertAllBilled(order)

    # === GIVEN UP, AND TAKEN UP AGAIN ===

    def test_restored_milestone_bills_again_what_was_credited(self):
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids.action_complete()
        last = order.milestone_line_ids[-1]
        last.invoice_ids._reverse_moves(cancel=True)
        last.action_cancel()
        last.action_restore()
        self.assertEqual(self.amounts(order), [2500.0] * 4)
        last.action_complete()
        self.assertEqual(last._get_live_invoice().amount_untaxed, 2500.0)
        self.assertConserved(order)
        self.assertBilledEqualsOrder(order)

    def test_restored_milestone_bills_the_part_that_was_credited(self):
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids.action_complete()
        last = order.milestone_line_ids[-1]
        credit = last.invoice_ids._reverse_moves()
        credit.invoice_line_ids.filtered(lambda item: item.display_type == "product").price_unit = 4000.0
        credit._post()
        last.action_cancel()
        self.assertEqual(order.milestone_amount_billed, 9000.0)
        self.assertEqual(order.milestone_schedule_id.amount_billed, 9000.0)
        last.action_restore()
        self.assertEqual(self.amounts(order), [2500.0] * 4)
        last.action_complete()
        self.assertEqual(last._get_live_invoice().amount_untaxed, 1000.0)
        self.assertConserved(order)
        self.assertBilledEqualsOrder(order)

    def test_chosen_lines_come_back_with_their_milestone(self):
        order = self.create_order(prices=(3000.0, 7000.0), confirm=False)
        line = order.milestone_line_ids[1]
        line.write(
            {
                "allocation_mode": "lines",
                "allocation_ids": [Command.create({"order_line_id": order.order_line[0].id, "percent": 50})],
            }
        )
        order.action_confirm()
        for is_billed in (False, True):
            if is_billed:
                line.action_complete()
                line.invoice_ids._reverse_moves(cancel=True)
            line.action_cancel()
            self.assertEqual(line.amount_untaxed, 0.0)
            line.action_restore()
            self.assertEqual(line.amount_untaxed, 1500.0)
            self.assertConserved(order)

    def test_credited_order_is_taken_up_again(self):
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids[:2].action_complete()
        order.milestone_line_ids[0].invoice_ids._reverse_moves(cancel=True)
        order.action_cancel()
        order.action_draft()
        self.assertEqual(self.amounts(order), [2500.0] * 4)
        order.action_confirm()
        self.assertEqual(self.amounts(order), [2500.0] * 4)
        order.milestone_line_ids.filtered(lambda line: line.state == "planned").action_complete()
        self.assertConserved(order)
        self.assertBilledEqualsOrder(order)

    def test_rounding_of_what_is_billed_does_not_refuse_the_order(self):
        order = self.create_order(prices=(100.01,), confirm=False)
        order.milestone_line_ids[-1].write({"amount_type": "percent", "percent": 25.0})
        order.action_confirm()
        order.milestone_line_ids[0].action_complete()
        order.action_cancel()
        order.action_draft()
        order.action_confirm()
        self.assertAllBilled(order)

    # === CHOSEN LINES ===

    def test_order_line_that_is_chosen_twice_is_refused(self):
        order = self.create_order(prices=(1000.0, 2000.0), shares=(0, 0, 0), confirm=False)
        for line in order.milestone_line_ids[:2]:
            line.write(
                {
                    "allocation_mode": "lines",
                    "allocation_ids": [
                        Command.create({"order_line_id": order.order_line[0].id, "percent": 60})
                    ],
                }
            )
        with self.assertRaisesRegex(UserError, "“Stage 1”, “Stage 2” choose 120 % of “Website” together"):
            order.action_confirm()
        order.milestone_line_ids[1].allocation_ids.percent = 40
        order.action_confirm()
        self.assertEqual(self.amounts(order), [600.0, 400.0, 2000.0])
