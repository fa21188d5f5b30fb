"""Cash rounding on documents of milestones: beside the milestone on a line of its own, never in its tax."""

import random

from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_money_corners import MoneyCornerCommon


@tagged("post_install", "-at_install")
class TestCashRounding(MoneyCornerCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company.milestone_invoice_posting = "draft"
        parts = cls.tax_10.invoice_repartition_line_ids | cls.tax_10.refund_repartition_line_ids
        parts.filtered(lambda part: part.repartition_type == "tax").account_id = cls.tax_account
        Rounding = cls.env["account.cash.rounding"]
        accounts = {"profit_account_id": cls.revenue.id, "loss_account_id": cls.revenue.id}
        cls.on_tax = Rounding.create({"name": "Coins", "rounding": 0.05, "strategy": "biggest_tax"})
        cls.on_line = Rounding.create(
            {"name": "Five", "rounding": 0.05, "strategy": "add_invoice_line", **accounts}
        )

    def create_random_order(self, rng, tax):
        """An advance, two stages and a final invoice with retainage, at prices that no coin pays."""
        prices = [round(rng.uniform(50, 2000), 2) for _place in range(3)]
        order = self.create_order(
            shares=(20, rng.randint(10, 30), rng.randint(10, 30), 0),
            lines=[
                self.prepare_line(price, tax)
                for price, tax in zip(prices, (self.tax_20, self.tax_10, self.tax_20), strict=True)
            ],
            confirm=False,
        )
        order.milestone_line_ids[0].kind = "deposit"
        order.milestone_schedule_id.write(
            {
                "retainage_percent": round(rng.uniform(2, 15), 2),
                "retainage_base": "net",
                "retainage_tax": tax,
                "deposit_mode": "advance",
                "deposit_recovery": rng.choice(["final", "prorata"]),
            }
        )
        order.action_confirm()
        return order

    def post_rounded(self, move, rounding):
        """Post a document with a rounding; one that would change its tax is refused, and posted without."""
        move.invoice_cash_rounding_id = rounding
        changed = move.line_ids.filtered(lambda item: item.display_type == "rounding" and item.tax_line_id)
        if not changed:
            move.action_post()
            return False
        with self.assertRaisesRegex(UserError, "“Coins” changes the tax of “"), self.env.cr.savepoint():
            move.action_post()
        move.invoice_cash_rounding_id = False
        self.assertFalse(move.line_ids.filtered(lambda item: item.display_type == "rounding"))
        move.action_post()
        return True

    def bill_all(self, order, rounding):
        """Bill, credit in part, bill again and release, each with the rounding; the ledger agrees after every step."""
        schedule, refused = order.milestone_schedule_id, 0
        for line in order.milestone_line_ids:
            line.action_complete()
            refused += self.post_rounded(line._get_live_invoice(), rounding)
            self.assertTiedOut(order)
        final = order.milestone_line_ids[-1]
        credit = final._get_live_invoice()._reverse_moves()
        item = credit.invoice_line_ids.filtered(
            lambda item: (
                item.display_type == "product"
                and not item.milestone_retainage
                and not item.sale_line_ids.is_downpayment
            )
        )[0]
        item.write({"quantity": 1.0, "price_unit": 3.33})
        refused += self.post_rounded(credit, rounding)
        self.assertTiedOut(order)
        final.action_complete()
        refused += self.post_rounded(final._get_live_invoice(), rounding)
        self.assertTiedOut(order)
        for percent in (37, 100):
            answer = schedule.release_retainage(percent=percent)
            release = self.env["account.move"].browse(answer["invoice_id"])
            refused += self.post_rounded(release, rounding)
            self.assertTiedOut(order)
        self.assertEqual(self.balance(self.retainage, order), 0.0)
        self.assertEqual(schedule.amount_retained, 0.0)
        return refused

    def assertTaxIsThatOfOrder(self, order):
        taxes = order.milestone_line_ids.invoice_ids.line_ids.filtered("tax_line_id")
        self.assertAlmostEqual(-sum(taxes.mapped("balance")), order.amount_tax, places=2)

    def test_rounding_of_the_tax_is_refused_or_changes_nothing(self):
        rng, refused = random.Random(5), 0
        for tax in ("now", "release") * 2:
            with self.subTest(tax=tax):
                order = self.create_random_order(rng, tax)
                refused += self.bill_all(order, self.on_tax)
                self.assertTaxIsThatOfOrder(order)
        self.assertGreater(refused, 4, "amounts that no coin pays were among them")

    def test_rounding_by_a_line_stays_beside_the_milestones(self):
        rng = random.Random(50)
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                order = self.create_random_order(rng, tax)
                self.assertEqual(self.bill_all(order, self.on_line), 0)
                moves = order.milestone_line_ids.invoice_ids
                for move in moves:
                    steps = move.amount_total / 0.05
                    self.assertAlmostEqual(steps, round(steps), 4, f"{move.name} {move.milestone_document}")
                    totals = move.tax_totals
                    self.assertAlmostEqual(totals["total_amount_currency"], move.amount_total, places=2)
                rounding = moves.line_ids.filtered(lambda item: item.display_type == "rounding")
                self.assertTrue(rounding)
                self.assertTaxIsThatOfOrder(order)
