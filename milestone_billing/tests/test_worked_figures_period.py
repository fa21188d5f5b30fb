"""Period ends as the standards have them: contract assets and liabilities, journal items line by line."""

from datetime import date

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, new_test_user, tagged

from .test_worked_figures_deposit import DepositCommon


class PeriodEndCommon(DepositCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.asset = cls.company._get_milestone_contract_account("asset")
        cls.liability = cls.company._get_milestone_contract_account("liability")

    @classmethod
    def create_contract(cls, total, *billed, **values):
        """Create an order that bills some fixed amounts and the rest at the end."""
        order = cls.create_order(shares=[1] * (len(billed) + 1), prices=(total,), confirm=False, **values)
        for line, amount in zip(order.milestone_line_ids, billed, strict=False):
            line.write({"amount_type": "fixed", "amount_fixed": amount})
        order.action_confirm()
        return order

    def bill(self, line, day):
        """Complete a milestone and issue its invoice with the date of a day."""
        self.company.milestone_invoice_posting = "draft"
        line.action_complete()
        line.invoice_ids.invoice_date = day
        line.invoice_ids._post()
        return line.invoice_ids

    def close(self, orders, day, reversal_day=None, **earned):
        """Draft the period-end entries of orders as the screen does.

        :return: the entries, without their reversals.
        """
        schedules = orders.milestone_schedule_id
        wizard = (
            self.env["milestone.billing.period.end"]
            .with_context(active_model=schedules._name, active_ids=schedules.ids)
            .create({"date": day, **({"reversal_date": reversal_day} if reversal_day else {})})
        )
        wizard.line_ids.write(earned)
        wizard.action_draft_entries()
        return schedules.period_entry_ids.filtered(
            lambda move: not move.reversed_entry_id and move.date == day
        )

    def assertBalances(self, order, day, **expected):
        """Compare what an order has moved on accounts up to a day; accounts are named as attributes of the test."""
        documents = order.milestone_line_ids.invoice_ids | order.milestone_schedule_id.period_entry_ids
        items = documents.line_ids.filtered(
            lambda item: item.date <= day and item.parent_state == "posted" and item.account_id
        )
        found = {
            name: self.company.currency_id.round(
                sum(items.filtered(lambda item, name=name: item.account_id == self[name]).mapped("balance"))
            )
            for name in expected
        }
        self.assertEqual(found, expected, day)

    def __getitem__(self, name):
        return getattr(self, name)


@tagged("post_install", "-at_install")
class TestWorkedFiguresPeriod(PeriodEndCommon):
    def test_over_billed_by_fifty_thousand_is_a_liability(self):
        order = self.create_contract(1000000.0, 550000.0)
        self.bill(order.milestone_line_ids[0], date(2024, 1, 20))
        entry = self.close(order, date(2024, 1, 31), cost_to_date=425000.0, cost_total=850000.0)
        self.assertItems(entry, (self.revenue, 50000, 0), (self.liability, 0, 50000))
        self.assertEqual(entry.state, "draft")
        entry._post()
        reversal = entry.reversal_move_ids
        self.assertEqual((reversal.state, reversal.date), ("posted", date(2024, 2, 1)))
        self.assertItems(reversal, (self.liability, 50000, 0), (self.revenue, 0, 50000))
        self.assertBalances(order, date(2024, 1, 31), revenue=-500000.0, liability=-50000.0, asset=0.0)
        self.assertBalances(order, date(2024, 2, 1), revenue=-550000.0, liability=0.0, asset=0.0)

    def test_under_billed_by_fifty_thousand_is_an_asset(self):
        order = self.create_contract(1000000.0, 450000.0)
        self.bill(order.milestone_line_ids[0], date(2024, 1, 20))
        entry = self.close(order, date(2024, 1, 31), cost_to_date=425000.0, cost_total=850000.0)
        self.assertItems(entry, (self.asset, 50000, 0), (self.revenue, 0, 50000))
        entry._post()
        self.assertBalances(order, date(2024, 1, 31), revenue=-500000.0, liability=0.0, asset=50000.0)

    def test_over_and_under_billed_contracts_are_not_offset(self):
        over, under = self.create_contract(1000000.0, 550000.0), self.create_contract(1000000.0, 450000.0)
        self.bill(over.milestone_line_ids[0], date(2024, 1, 20))
        self.bill(under.milestone_line_ids[0], date(2024, 1, 20))
        entries = self.close(over + under, date(2024, 1, 31), earned_percent=50.0)
        self.assertEqual(len(entries), 2)
        by_schedule = entries.grouped("milestone_period_schedule_id")
        self.assertItems(
            by_schedule[over.milestone_schedule_id], (self.revenue, 50000, 0), (self.liability, 0, 50000)
        )
        self.assertItems(
            by_schedule[under.milestone_schedule_id], (self.asset, 50000, 0), (self.revenue, 0, 50000)
        )

    def test_ifrs_15_cancellable_contract_has_no_entry_before_the_money(self):
        """IE198-IE199: due 31 January, paid 1 March, delivered 31 March."""
        self.company.milestone_invoice_posting = "draft"
        order = self.create_contract(1000.0)
        line = order.milestone_line_ids
        line.action_complete()
        invoice = line.invoice_ids
        self.assertBalances(order, date(2024, 1, 31), receivable=0.0, revenue=0.0, liability=0.0)
        invoice.invoice_date = date(2024, 3, 1)
        invoice._post()
        self.pay_on(invoice, date(2024, 3, 1))
        entry = self.close(order, date(2024, 3, 1), date(2024, 3, 31), amount_earned=0.0)
        self.assertItems(entry, (self.revenue, 1000, 0), (self.liability, 0, 1000))
        entry._post()
        # 1 March: Dr Cash 1,000, Cr Contract liability 1,000; nothing is left on the receivable.
        self.assertBalances(order, date(2024, 3, 1), revenue=0.0, liability=-1000.0)
        self.assertEqual(invoice.amount_residual, 0.0)
        # 31 March: Dr Contract liability 1,000, Cr Revenue 1,000.
        self.assertItems(entry.reversal_move_ids, (self.liability, 1000, 0), (self.revenue, 0, 1000))
        self.assertBalances(order, date(2024, 3, 31), revenue=-1000.0, liability=0.0)

    def test_ifrs_15_non_cancellable_contract_shows_receivable_and_liability(self):
        """IE200-IE204: Dr Receivable, Cr Contract liability when due; cash; revenue on delivery."""
        order = self.create_contract(1000.0)
        invoice = self.bill(order.milestone_line_ids, date(2024, 1, 31))
        entry = self.close(order, date(2024, 1, 31), date(2024, 3, 31), amount_earned=0.0)
        entry._post()
        self.assertBalances(
            order, date(2024, 1, 31), receivable=1000.0, revenue=0.0, liability=-1000.0, asset=0.0
        )
        payment = self.pay_on(invoice, date(2024, 3, 1))
        cash = payment.move_id.line_ids.filtered(lambda item: item.account_id != self.receivable)
        self.assertItems(payment.move_id, (cash.account_id, 1000, 0), (self.receivable, 0, 1000))
        self.assertItems(entry.reversal_move_ids, (self.liability, 1000, 0), (self.revenue, 0, 1000))
        self.assertBalances(order, date(2024, 3, 31), revenue=-1000.0, liability=0.0)

    def test_ifrs_15_example_39_product_a_is_a_contract_asset_until_b(self):
        """A and B for 1,000; A comes first and is worth 400; nothing is due before B is delivered."""
        order = self.create_contract(1000.0)
        entry = self.close(order, date(2024, 1, 31), date(2024, 2, 20), earned_percent=40.0)
        self.assertItems(entry, (self.asset, 400, 0), (self.revenue, 0, 400))
        entry._post()
        invoice = self.bill(order.milestone_line_ids, date(2024, 2, 20))
        # With B: Dr Receivable 1,000, Cr Contract asset 400, Cr Revenue 600.
        moves = invoice | entry.reversal_move_ids
        day = {
            account.code: self.company.currency_id.round(
                sum(
                    moves.line_ids.filtered(lambda item, one=account: item.account_id == one).mapped(
                        "balance"
                    )
                )
            )
            for account in (self.receivable, self.asset, self.revenue)
        }
        self.assertEqual(
            day, {self.receivable.code: 1000.0, self.asset.code: -400.0, self.revenue.code: -600.0}
        )
        self.assertBalances(order, date(2024, 2, 20), asset=0.0, revenue=-1000.0, receivable=1000.0)

    def test_infor_billed_but_unearned_until_recognised(self):
        """Bill 10,000 with 5 % retention against unearned; recognise; release touches neither."""
        order = self.create_contract(10000.0)
        order.milestone_schedule_id.retainage_percent = 5.0
        invoice = self.bill(order.milestone_line_ids, date(2024, 1, 31))
        entry = self.close(order, date(2024, 1, 31), date(2024, 2, 29), amount_earned=0.0)
        entry._post()
        self.assertItems(
            invoice, (self.receivable, 9500, 0), (self.retainage, 500, 0), (self.revenue, 0, 10000)
        )
        self.assertBalances(
            order, date(2024, 1, 31), receivable=9500.0, retainage=500.0, liability=-10000.0, revenue=0.0
        )
        self.assertItems(entry.reversal_move_ids, (self.liability, 10000, 0), (self.revenue, 0, 10000))
        self.company.milestone_invoice_posting = "always"
        release = self.env["account.move"].browse(
            order.milestone_schedule_id.release_retainage()["invoice_id"]
        )
        self.assertItems(release, (self.receivable, 500, 0), (self.retainage, 0, 500))

    def pay_on(self, move, day):
        """Pay a posted invoice in full on a day.

        :return: the payment.
        """
        return (
            self.env["account.payment.register"]
            .with_context(active_model="account.move", active_ids=move.ids)
            .create({"payment_date": day})
            ._create_payments()
        )


@tagged("post_install", "-at_install")
class TestPeriodEnd(PeriodEndCommon):
    def test_second_period_starts_from_the_invoices_again(self):
        order = self.create_contract(1000.0, 300.0)
        self.close(order, date(2024, 1, 31), earned_percent=20.0)._post()
        self.bill(order.milestone_line_ids[0], date(2024, 2, 10))
        entry = self.close(order, date(2024, 2, 29), earned_percent=50.0)
        self.assertItems(entry, (self.asset, 200, 0), (self.revenue, 0, 200))

    def test_an_entry_that_is_not_reversed_yet_counts(self):
        order = self.create_contract(1000.0)
        self.close(order, date(2024, 1, 31), date(2024, 4, 1), earned_percent=20.0)
        entry = self.close(order, date(2024, 2, 29), date(2024, 4, 1), earned_percent=50.0)
        self.assertItems(entry, (self.asset, 300, 0), (self.revenue, 0, 300))

    def test_advance_is_a_liability_already_and_no_revenue(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        deposit = order.milestone_line_ids[0]
        self.bill(deposit, date(2024, 1, 10))
        entry = self.close(order, date(2024, 1, 31), earned_percent=10.0)
        self.assertItems(entry, (self.asset, 1000, 0), (self.revenue, 0, 1000))

    def test_revenue_is_spread_over_the_income_accounts_of_the_contract(self):
        other = self.revenue.copy({"code": "400999", "name": "Other income"})
        product = self.env["product.product"].create(
            {"name": "Hosting", "type": "service", "property_account_income_id": other.id}
        )
        lines = [
            Command.create({"product_id": item.id, "price_unit": price, "tax_ids": [Command.clear()]})
            for item, price in ((self.service, 2000.0), (product, 1000.0))
        ]
        order = self.create_order(shares=(50, 50), lines=lines)
        entry = self.close(order, date(2024, 1, 31), amount_earned=100.0)
        self.assertItems(entry, (self.asset, 100, 0), (self.revenue, 0, 66.67), (other, 0, 33.33))

    def test_foreign_currency_balances_in_both_currencies(self):
        currency = self.setup_other_currency("EUR", rates=[("2020-01-01", 3.0)])
        pricelist = self.env["product.pricelist"].create({"name": "EUR", "currency_id": currency.id})
        order = self.create_contract(1000.0, pricelist_id=pricelist.id)
        entry = self.close(order, date(2024, 1, 31), amount_earned=100.0)
        self.assertItems(entry, (self.asset, 33.33, 0), (self.revenue, 0, 33.33))
        asset = entry.line_ids.filtered(lambda item: item.account_id == self.asset)
        self.assertEqual((asset.currency_id, asset.amount_currency), (currency, 100.0))

    def test_nothing_earned_differently_is_nothing_to_enter(self):
        order = self.create_contract(1000.0, 300.0)
        self.bill(order.milestone_line_ids[0], date(2024, 1, 10))
        with self.assertRaisesRegex(UserError, "nothing to enter"):
            self.close(order, date(2024, 1, 31))

    def test_one_entry_for_a_contract_and_a_day(self):
        order = self.create_contract(1000.0)
        entry = self.close(order, date(2024, 1, 31), earned_percent=20.0)
        with self.assertRaisesRegex(UserError, "already"):
            self.close(order, date(2024, 1, 31), earned_percent=40.0)
        (entry | entry.reversal_move_ids).unlink()
        self.assertTrue(self.close(order, date(2024, 1, 31), earned_percent=40.0))

    def test_reversal_is_not_posted_before_its_entry(self):
        order = self.create_contract(1000.0)
        entry = self.close(order, date(2024, 1, 31), earned_percent=20.0)
        with self.assertRaisesRegex(UserError, "Post that one"):
            entry.reversal_move_ids._post()
        (entry | entry.reversal_move_ids)._post()
        self.assertEqual(set((entry | entry.reversal_move_ids).mapped("state")), {"posted"})

    def test_reversal_comes_after_the_period(self):
        order = self.create_contract(1000.0)
        with self.assertRaisesRegex(UserError, "after the period end"):
            self.close(order, date(2024, 1, 31), date(2024, 1, 31), earned_percent=20.0)

    def test_only_managers_close_a_period(self):
        order = self.create_contract(1000.0)
        manager = new_test_user(
            self.env,
            "period_manager",
            "milestone_billing.milestone_billing_group_billing_manager",
            company_id=self.company.id,
            company_ids=[Command.set(self.company.ids)],
        )
        PeriodEnd = self.env["milestone.billing.period.end"].with_context(
            active_model="milestone.billing.schedule", active_ids=order.milestone_schedule_id.ids
        )
        with self.assertRaises(AccessError):
            PeriodEnd.with_user(self.billing_user).create({})
        wizard = PeriodEnd.with_user(manager).create({"date": date(2024, 1, 31)})
        wizard.line_ids.earned_percent = 25.0
        wizard.action_draft_entries()
        self.assertEqual(order.milestone_schedule_id.period_entry_count, 2)

    def test_screen_shows_the_position_while_it_is_open(self):
        order = self.create_contract(1000000.0, 450000.0)
        self.bill(order.milestone_line_ids[0], date(2024, 1, 20))
        form = Form(
            self.env["milestone.billing.period.end"].with_context(
                active_model="milestone.billing.schedule", active_ids=order.milestone_schedule_id.ids
            )
        )
        form.date = date(2024, 1, 31)
        self.assertEqual(form.reversal_date, date(2024, 2, 1))
        with form.line_ids.edit(0) as line:
            self.assertEqual((line.amount_difference, line.position), (0.0, "even"))
            line.cost_to_date = 425000.0
            line.cost_total = 850000.0
            self.assertEqual(line.earned_percent, 50.0)
            self.assertEqual((line.amount_difference, line.position), (50000.0, "under"))
        wizard = form.save()
        self.assertEqual(wizard.line_ids.amount_difference, 50000.0)
