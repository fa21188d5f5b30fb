"""Advances in a currency that moves: what they are worth on their account, journal items line by line."""

from unittest.mock import patch

from odoo import Command
from odoo.tests import tagged

from .test_end import EndCommon
from .test_worked_figures_deposit import DepositCommon


class AdvanceRateCommon(DepositCommon):
    """The company's dollar buys 2, then 4, then 5 and at last 10 of the order's currency."""

    RATES = (("2020-01-01", 2.0), ("2026-02-01", 4.0), ("2026-03-01", 5.0), ("2026-04-01", 10.0))
    DAYS = ("2026-01-15", "2026-02-15", "2026-03-15", "2026-04-15")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.foreign = cls.setup_other_currency("EUR", rates=list(cls.RATES))
        cls.pricelist = cls.env["product.pricelist"].create({"name": "EUR", "currency_id": cls.foreign.id})
        cls.company.milestone_invoice_posting = "draft"

    def create_foreign_order(self, shares=(25, 75), taxes=None, confirm=True, **values):
        taxes = self.tax_20 if taxes is None else taxes
        order = self.create_deposit_order(
            shares=shares, taxes=taxes, pricelist_id=self.pricelist.id, confirm=False, **values
        )
        if confirm:
            order.action_confirm()
        return order

    def bill(self, line, day):
        """Complete a milestone and post its invoice on a day."""
        line.action_complete()
        move = line._get_live_invoice()
        move.invoice_date = day
        move.action_post()
        return move

    def bill_all(self, order):
        return [self.bill(line, day) for line, day in zip(order.milestone_line_ids, self.DAYS, strict=False)]

    def reverse(self, move, day, **values):
        credit = move._reverse_moves([{"invoice_date": day, **values}])
        credit.action_post()
        return credit

    def assertBoth(self, move, *expected):
        """Compare journal items with ``(account, amount in the order's currency, balance)``, in any order."""
        items = [
            (item.account_id.code, round(item.amount_currency, 3), round(item.balance, 2))
            for item in move.line_ids
            if item.account_id and (item.amount_currency or item.balance)
        ]
        self.assertEqual(
            sorted(items),
            sorted((account.code, float(amount), float(bal)) for account, amount, bal in expected),
        )

    def get_advance_items(self, order):
        items = order.order_line.filtered("milestone_deposit_id").invoice_lines
        return items.filtered(lambda item: item.parent_state == "posted")

    def assertNothingLeft(self, order):
        items = self.get_advance_items(order)
        self.assertEqual(round(sum(items.mapped("amount_currency")), 3), 0.0)
        self.assertEqual(round(sum(items.mapped("balance")), 2), 0.0)
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])
        if order.state == "sale":
            self.assertConserved(order)


@tagged("post_install", "-at_install")
class TestAdvanceRate(AdvanceRateCommon):
    # === DEDUCTED ===

    def test_final_invoice_deducts_at_the_rate_of_the_deposit(self):
        """The deposit of 2,500 stands at 1,250; so does the revenue it becomes. Tax and receivable are of the day."""
        order = self.create_foreign_order()
        deposit, final = self.bill_all(order)
        self.assertBoth(
            deposit,
            (self.receivable, 3000, 1500),
            (self.advances, -2500, -1250),
            (self.tax_account, -500, -250),
        )
        self.assertBoth(
            final,
            (self.receivable, 9000, 2250),
            (self.revenue, -10000, -3125),
            (self.advances, 2500, 1250),
            (self.tax_account, -1500, -375),
        )
        self.assertEqual((final.invoice_currency_rate, final.amount_untaxed_signed), (4.0, 1875.0))
        self.assertNothingLeft(order)
        self.assertBilledEqualsOrder(order)

    def test_pro_rata_recovery_takes_shares_and_the_last_the_rest(self):
        order = self.create_foreign_order(shares=(25, 25, 25, 25), recovery="prorata")
        deposit, first, second, final = self.bill_all(order)
        self.assertEqual(
            sum(deposit.line_ids.filtered(lambda i: i.account_id == self.advances).mapped("balance")), -1250
        )
        self.assertBoth(
            first,
            (self.receivable, 3000, 750),
            (self.revenue, -3333.33, -1041.67),
            (self.advances, 833.33, 416.67),
            (self.tax_account, -500, -125),
        )
        self.assertBoth(
            second,
            (self.receivable, 3000, 600),
            (self.revenue, -3333.33, -916.66),
            (self.advances, 833.33, 416.66),
            (self.tax_account, -500, -100),
        )
        self.assertBoth(
            final,
            (self.receivable, 3000, 300),
            (self.revenue, -3333.34, -666.67),
            (self.advances, 833.34, 416.67),
            (self.tax_account, -500, -50),
        )
        self.assertNothingLeft(order)

    def test_stages_posted_in_one_call_see_one_another(self):
        order = self.create_foreign_order(shares=(25, 25, 25, 25), recovery="prorata")
        order.milestone_line_ids.action_complete()
        moves = order.milestone_line_ids.invoice_ids.sorted("id")
        for move, day in zip(moves, self.DAYS, strict=True):
            move.invoice_date = day
        moves.action_post()
        balances = [item.balance for item in self.get_advance_items(order).sorted("move_id")]
        self.assertEqual(sorted(balances), [-1250.0, 416.66, 416.67, 416.67])
        self.assertNothingLeft(order)

    def test_document_without_a_date_takes_that_of_today(self):
        order = self.create_foreign_order()
        deposit, final = order.milestone_line_ids
        self.bill(deposit, "2026-01-15")
        final.action_complete()
        final.invoice_ids.action_post()
        self.assertEqual(final.invoice_ids.invoice_currency_rate, 10.0)
        self.assertBoth(
            final.invoice_ids,
            (self.receivable, 9000, 900),
            (self.revenue, -10000, -2000),
            (self.advances, 2500, 1250),
            (self.tax_account, -1500, -150),
        )
        self.assertNothingLeft(order)

    def test_rate_written_by_hand_is_kept(self):
        order = self.create_foreign_order()
        deposit, final = order.milestone_line_ids
        self.bill(deposit, "2026-01-15")
        final.action_complete()
        final.invoice_ids.invoice_currency_rate = 8.0
        final.invoice_ids.action_post()
        self.assertBoth(
            final.invoice_ids,
            (self.receivable, 9000, 1125),
            (self.revenue, -10000, -2187.5),
            (self.advances, 2500, 1250),
            (self.tax_account, -1500, -187.5),
        )
        self.assertNothingLeft(order)

    def test_each_set_of_taxes_keeps_its_base(self):
        """The base of a tax stays what the tax was computed of: the difference goes to the work of the same taxes."""
        tax_10 = self.create_tax("VAT 10 %", 10.0)
        parts = tax_10.invoice_repartition_line_ids | tax_10.refund_repartition_line_ids
        parts.filtered(lambda part: part.repartition_type == "tax").account_id = self.tax_account
        lines = [self.prepare_line(8000.0, self.tax_20), self.prepare_line(2000.0, tax_10)]
        order = self.create_foreign_order(lines=lines)
        _deposit, final = self.bill_all(order)
        for tax, base in ((self.tax_20, 1500.0), (tax_10, 375.0)):
            items = final.line_ids.filtered(lambda item, tax=tax: tax in item.tax_ids)
            lines = final.line_ids.filtered(lambda item, tax=tax: item.tax_line_id == tax)
            self.assertEqual(-sum(items.mapped("balance")), base, tax.name)
            self.assertEqual(-sum(lines.mapped("balance")), base * tax.amount / 100, tax.name)
        self.assertEqual(
            sorted(final.line_ids.filtered(lambda i: i.account_id == self.advances).mapped("balance")),
            [250.0, 1000.0],
        )
        self.assertNothingLeft(order)

    def test_retainage_is_held_at_the_rate_of_its_invoice(self):
        order = self.create_foreign_order(confirm=False)
        order.milestone_schedule_id.retainage_percent = 10
        order.action_confirm()
        _deposit, final = self.bill_all(order)
        self.assertBoth(
            final,
            (self.receivable, 8100, 2025),
            (self.retainage, 900, 225),
            (self.revenue, -10000, -3125),
            (self.advances, 2500, 1250),
            (self.tax_account, -1500, -375),
        )
        order.milestone_schedule_id.release_retainage()
        release = order.milestone_line_ids.invoice_ids.filtered(lambda m: m.milestone_document == "release")
        release.invoice_date = "2026-03-15"
        release.action_post()
        self.assertNothingLeft(order)

    def test_currencies_without_and_with_three_decimals(self):
        for code, rates, deposit_items, final_items in (
            ("JPY", (150.0, 149.0), (-2500, -16.67), (2500, 16.67)),
            ("KWD", (0.307, 0.311), (-2500, -8143.32), (2500, 8143.32)),
        ):
            with self.subTest(code):
                dates = ("2020-01-01", "2026-02-01")
                currency = self.setup_other_currency(code, rates=list(zip(dates, rates, strict=True)))
                pricelist = self.env["product.pricelist"].create({"name": code, "currency_id": currency.id})
                order = self.create_deposit_order(
                    shares=(25, 75), taxes=self.tax_20, pricelist_id=pricelist.id
                )
                for move, (amount, balance) in zip(
                    self.bill_all(order), (deposit_items, final_items), strict=True
                ):
                    item = move.line_ids.filtered(lambda item: item.account_id == self.advances)
                    self.assertEqual((item.amount_currency, item.balance), (amount, balance))
                self.assertNothingLeft(order)

    def test_order_in_the_company_currency_asks_for_no_rate(self):
        order = self.create_deposit_order(shares=(25, 75), taxes=self.tax_20)
        with patch.object(self.registry["account.move"], "_book_advances") as book:
            _deposit, final = self.bill_all(order)
        book.assert_not_called()
        self.assertItems(
            final,
            (self.receivable, 9000, 0),
            (self.revenue, 0, 10000),
            (self.advances, 2500, 0),
            (self.tax_account, 0, 1500),
        )

    # === DRAFTS, CREDIT NOTES, REFUNDS ===

    def test_reset_to_draft_and_posted_on_another_day(self):
        order = self.create_foreign_order()
        _deposit, final = self.bill_all(order)
        final.button_draft()
        final.invoice_date = "2026-03-15"
        final.action_post()
        self.assertBoth(
            final,
            (self.receivable, 9000, 1800),
            (self.revenue, -10000, -2750),
            (self.advances, 2500, 1250),
            (self.tax_account, -1500, -300),
        )
        before = final.line_ids.mapped("balance")
        final.button_draft()
        final.action_post()
        self.assertEqual(final.line_ids.mapped("balance"), before)
        self.assertNothingLeft(order)

    def test_credit_note_puts_back_what_was_deducted(self):
        order = self.create_foreign_order()
        _deposit, final = self.bill_all(order)
        credit = self.reverse(final, "2026-03-15")
        self.assertBoth(
            credit,
            (self.receivable, -9000, -1800),
            (self.revenue, 10000, 2750),
            (self.advances, -2500, -1250),
            (self.tax_account, 1500, 300),
        )
        again = self.bill(order.milestone_line_ids[1], "2026-04-15")
        self.assertBoth(
            again,
            (self.receivable, 9000, 900),
            (self.revenue, -10000, -2000),
            (self.advances, 2500, 1250),
            (self.tax_account, -1500, -150),
        )
        self.assertNothingLeft(order)

    def test_credit_note_in_part_and_the_rest_of_it(self):
        order = self.create_foreign_order()
        _deposit, final = self.bill_all(order)
        balances = []
        for share in (1 / 3, 1.0):
            credit = final._reverse_moves([{"invoice_date": "2026-03-15"}])
            left = {
                item: sum(
                    (final | final.reversal_move_ids - credit)
                    .line_ids.filtered(
                        lambda other, item=item: (
                            other.sale_line_ids == item.sale_line_ids and other.sale_line_ids
                        )
                    )
                    .mapped("amount_currency")
                )
                for item in credit.invoice_line_ids.filtered(lambda item: item.display_type == "product")
            }
            for item, amount in left.items():
                item.write({"quantity": 1.0, "price_unit": round(-amount * share, 2)})
            credit.action_post()
            balances.append(credit.line_ids.filtered(lambda i: i.account_id == self.advances).balance)
            self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])
        self.assertEqual(balances, [-416.67, -833.33])
        self.bill(order.milestone_line_ids[1], "2026-04-15")
        self.assertNothingLeft(order)

    def test_unearned_rest_is_refunded_at_its_own_rate(self):
        """Its tax goes back as it was billed, and its receivable settles the deposit's without a difference."""
        order = self.create_foreign_order(shares=(25, 25, 25, 25), recovery="prorata")
        stages = order.milestone_line_ids
        deposit, first = self.bill(stages[0], "2026-01-15"), self.bill(stages[1], "2026-02-15")
        refund = self.env["account.move"].browse(
            order.milestone_line_ids[0].refund_deposit()["credit_note_id"]
        )
        self.assertEqual(refund.invoice_currency_rate, 2.0)
        self.assertBoth(
            refund,
            (self.receivable, -2000, -1000),
            (self.advances, 1666.67, 833.33),
            (self.tax_account, 333.33, 166.67),
        )
        self.assertFalse((refund | deposit).line_ids.matched_debit_ids.exchange_move_id)
        self.assertNothingLeft(order)
        self.assertEqual(first.amount_total, 3000.0)

    def test_deposit_credited_whole_on_an_account_that_is_matched(self):
        self.advances.reconcile = True
        order = self.create_foreign_order()
        deposit = self.bill(order.milestone_line_ids[0], "2026-01-15")
        credit = self.reverse(deposit, "2026-03-15")
        self.assertBoth(
            credit,
            (self.receivable, -3000, -1500),
            (self.advances, 2500, 1250),
            (self.tax_account, 500, 250),
        )
        self.assertFalse((credit | deposit).line_ids.matched_debit_ids.exchange_move_id)
        self.assertNothingLeft(order)

    # === WHAT IS LEFT ===

    def issue_deposit_late(self):
        """Issue a deposit after the invoice that deducts it: there was no rate to take then."""
        order = self.create_foreign_order()
        order.milestone_line_ids.action_complete()
        deposit, final = (line.invoice_ids for line in order.milestone_line_ids)
        final.invoice_date = "2026-02-15"
        final.action_post()
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])
        deposit.invoice_date = "2026-03-15"
        deposit.action_post()
        return order, deposit, final

    def test_deposit_issued_after_its_deduction_is_told_and_put_right(self):
        order, _deposit, final = self.issue_deposit_late()
        schedule = order.milestone_schedule_id
        (row,) = schedule.tie_out()["differences"]
        self.assertEqual((row["check"], row["expected"], row["actual"]), ("advance", "0.00", "125.00"))
        self.assertEqual(row["currency_id"], self.company.currency_id.id)
        self.assertEqual(set(row["move_line_ids"]), set(self.get_advance_items(order).ids))
        self.assertIn(final.name, row["message"])
        action = schedule.action_tie_out()
        wizard = self.env[action["res_model"]].browse(action["res_id"])
        self.assertRecordValues(
            wizard.row_ids, [{"currency_id": self.company.currency_id.id, "amount_difference": 125.0}]
        )
        final.button_draft()
        final.action_post()
        self.assertBoth(
            final,
            (self.receivable, 9000, 2250),
            (self.revenue, -10000, -2375),
            (self.advances, 2500, 500),
            (self.tax_account, -1500, -375),
        )
        self.assertNothingLeft(order)

    def test_difference_that_is_matched_is_settled(self):
        order, _deposit, _final = self.issue_deposit_late()
        self.assertFalse(order.milestone_schedule_id.tie_out()["ok"])
        self.advances.reconcile = True
        self.get_advance_items(order).reconcile()
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])


@tagged("post_install", "-at_install")
class TestAdvanceRateAtTheEnd(AdvanceRateCommon, EndCommon):
    def create_begun(self):
        """Bill the deposit of a contract, and a stage that deducts a third of it."""
        order = self.create_foreign_order(shares=(25, 25, 25, 25), recovery="prorata")
        for line, day in zip(order.milestone_line_ids[:2], self.DAYS, strict=False):
            self.bill(line, day)
        return order

    def test_deposit_kept_as_earned_is_revenue_at_its_own_rate(self):
        order = self.create_begun()
        self.end(order, deposit="earn")
        earned = order.milestone_line_ids.sorted("id")[-1].invoice_ids
        self.assertBoth(earned, (self.advances, 1666.67, 833.33), (self.revenue, -1666.67, -833.33))
        self.assertNothingLeft(order)

    def test_deposit_credited_at_the_end(self):
        order = self.create_begun()
        self.end(order, deposit="credit")
        self.assertNothingLeft(order)

    def test_deposit_kept_as_a_penalty_stays_at_its_own_rate(self):
        penalties = self.env["account.account"].create(
            {
                "name": "Penalties",
                "code": "758100",
                "account_type": "income_other",
                "company_ids": [Command.set(self.company.ids)],
            }
        )
        order = self.create_begun()
        known = self.env["account.move"].search([])
        wizard = self.open_end(order)
        wizard.row_ids.filtered(lambda row: row.kind == "deposit").deposit_choice = "forfeit"
        wizard.write({"forfeit_account_id": penalties.id, "forfeit_tax": "keep"})
        wizard.action_end()
        penalty = (self.env["account.move"].search([]) - known).filtered(
            lambda move: move.move_type == "out_invoice"
        )
        self.assertBoth(
            penalty,
            (self.receivable, 2000, 1000.01),
            (penalties, -1666.67, -833.34),
            (self.tax_account, -333.33, -166.67),
        )
        self.assertNothingLeft(order)
