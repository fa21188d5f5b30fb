"""Chains of documents as accounting rules and published examples have them, journal items line by line."""

from odoo import Command
from odoo.tests import tagged

from ..tools.statement import LINES
from .test_change import ChangeCommon
from .test_worked_figures_deposit import DepositCommon
from .test_worked_figures_retainage import RetainageCommon


@tagged("post_install", "-at_install")
class TestWorkedFiguresChain(DepositCommon):
    def test_four_quarters_and_what_was_billed_before(self):
        order = self.create_order()
        for line in order.milestone_line_ids:
            line.action_complete()
            self.assertItems(line.invoice_ids, (self.receivable, 2500, 0), (self.revenue, 0, 2500))
        statement = order.milestone_schedule_id.get_statement(order.milestone_line_ids[-1])
        self.assertEqual((statement["previously_billed"], statement["current_due"]), ("7500.00", "2500.00"))
        self.assertEqual(self.balance(self.revenue, order), -10000.0)

    def test_deposit_with_tax_due_on_payment(self):
        """Entry 1b: Dr AR, Cr CL, Cr tax pending; with the money Dr tax pending, Cr tax."""
        pending = self.env["account.account"].create(
            {
                "name": "Tax pending",
                "code": "445740",
                "account_type": "liability_current",
                "reconcile": True,
                "company_ids": [Command.set(self.company.ids)],
            }
        )
        self.company.tax_exigibility = True
        self.tax_20.write({"tax_exigibility": "on_payment", "cash_basis_transition_account_id": pending.id})
        order = self.create_deposit_order(taxes=self.tax_20)
        deposit = order.milestone_line_ids[0]
        deposit.action_complete()
        self.assertItems(
            deposit.invoice_ids, (self.receivable, 3000, 0), (self.advances, 0, 2500), (pending, 0, 500)
        )
        self.pay(deposit.invoice_ids)
        moved = deposit.invoice_ids.tax_cash_basis_created_move_ids.line_ids.filtered(
            lambda item: item.account_id in pending + self.tax_account
        )
        self.assertEqual(
            {item.account_id: (item.debit, item.credit) for item in moved},
            {pending: (500.0, 0.0), self.tax_account: (0.0, 500.0)},
        )

    def test_deposit_and_release_are_paid(self):
        """Entries 2 and 7: Dr Bank, Cr AR."""
        order = self.create_deposit_order(taxes=self.tax_20)
        order.milestone_schedule_id.retainage_percent = 10
        order.milestone_line_ids.action_complete()
        release = self.env["account.move"].browse(
            order.milestone_schedule_id.release_retainage()["invoice_id"]
        )
        for move, amount in ((order.milestone_line_ids[0].invoice_ids, 3000), (release, 900)):
            self.pay(move)
            items = move.line_ids.filtered(
                lambda item: item.account_id == self.receivable
            ).matched_credit_ids.credit_move_id.move_id
            bank = items.line_ids.account_id - self.receivable
            self.assertEqual(len(bank), 1)
            self.assertItems(items, (bank, amount, 0), (self.receivable, 0, amount))
            self.assertEqual(move.payment_state, move._get_invoice_in_payment_state())

    def test_erpnext_advance_of_half_books_tax_once(self):
        order = self.create_deposit_order(shares=(50, 50), prices=(100.0,), taxes=self.tax_20)
        order.milestone_line_ids.action_complete()
        deposit, final = order.milestone_line_ids.invoice_ids.sorted("id")
        self.assertItems(deposit, (self.receivable, 60, 0), (self.advances, 0, 50), (self.tax_account, 0, 10))
        self.assertItems(
            final,
            (self.receivable, 60, 0),
            (self.revenue, 0, 100),
            (self.advances, 50, 0),
            (self.tax_account, 0, 10),
        )

    def test_austrian_final_invoice_by_journal_item(self):
        order = self.create_order(prices=(9000000.0,), shares=(1, 1, 1, 1), taxes=self.tax_20, confirm=False)
        nets = (1500000, 2000000, 3000000, 2500000)
        for line, amount in zip(order.milestone_line_ids, nets[:3], strict=False):
            line.write({"amount_type": "fixed", "amount_fixed": amount})
        order.action_confirm()
        order.milestone_line_ids.action_complete()
        for line, net in zip(order.milestone_line_ids, nets, strict=True):
            self.assertItems(
                line.invoice_ids,
                (self.receivable, net * 6 // 5, 0),
                (self.revenue, 0, net),
                (self.tax_account, 0, net // 5),
            )
        self.assertEqual(self.balance(self.receivable, order), 10800000.0)

    def test_austrian_final_invoice_that_deducts_one_advance(self):
        """The same contract with its instalments as advances: the last invoice deducts them and their tax."""
        order = self.create_order(prices=(9000000.0,), shares=(1, 1, 1, 1), taxes=self.tax_20, confirm=False)
        for line, amount in zip(order.milestone_line_ids, (1500000, 2000000, 3000000), strict=False):
            line.write({"amount_type": "fixed", "amount_fixed": amount, "kind": "deposit"})
        order.milestone_schedule_id.deposit_mode = "advance"
        order.action_confirm()
        for line in order.milestone_line_ids:
            line.action_complete()
        final = order.milestone_line_ids[-1].invoice_ids
        self.assertRecordValues(
            final, [{"amount_untaxed": 2500000.0, "amount_tax": 500000.0, "amount_total": 3000000.0}]
        )
        self.assertItems(
            final,
            (self.receivable, 3000000, 0),
            (self.advances, 1500000, 0),
            (self.advances, 2000000, 0),
            (self.advances, 3000000, 0),
            (self.revenue, 0, 9000000),
            (self.tax_account, 0, 500000),
        )

    def test_dolibarr_situations_by_journal_item(self):
        order = self.create_order(shares=(25, 25, 50), prices=(2500.0,), taxes=self.tax_20)
        order.milestone_line_ids.action_complete()
        for line, (net, tax) in zip(
            order.milestone_line_ids, ((625, 125), (625, 125), (1250, 250)), strict=True
        ):
            self.assertItems(
                line.invoice_ids,
                (self.receivable, net + tax, 0),
                (self.revenue, 0, net),
                (self.tax_account, 0, tax),
            )
        self.assertEqual(self.balance(self.tax_account, order), -500.0)


@tagged("post_install", "-at_install")
class TestWorkedFiguresChangeOrder(ChangeCommon, RetainageCommon):
    def test_change_order_is_no_entry_until_it_is_billed(self):
        """Entry 9: no entry on approval; the ceiling rises; billed as a stage."""
        self.extra.property_account_income_id = self.revenue
        change = self.propose({"product_id": self.extra.id, "price_unit": 1000.0})
        count = self.env["account.move"].search_count([])
        self.assertEqual(self.decide(change), "recorded")
        self.assertEqual(self.env["account.move"].search_count([]), count)
        self.assertEqual(self.schedule.get_statement()["contract_sum"], "11000.00")
        change.milestone_line_id.approval_required = False
        change.milestone_line_id.action_complete()
        self.assertItems(
            change.milestone_line_id.invoice_ids,
            (self.receivable, 1200, 0),
            (self.revenue, 0, 1000),
            (self.tax_account, 0, 200),
        )


@tagged("post_install", "-at_install")
class TestApplicationChain(RetainageCommon):
    """Progress by order line, ten percent retainage, a change order in between: only the inputs are given."""

    def create_contract(self, *applications):
        """Create an order of 1,000,000.00 whose milestones bill percentages to date, the last one the rest."""
        order = self.create_order(
            shares=[1] * (len(applications) + 1),
            prices=(100000.0, 200000.0, 500000.0, 200000.0),
            confirm=False,
        )
        for line, percents in zip(order.milestone_line_ids, applications, strict=False):
            line.write(
                {
                    "allocation_mode": "progress",
                    "allocation_ids": [
                        Command.create({"order_line_id": order_line.id, "percent": percent})
                        for order_line, percent in zip(order.order_line, percents, strict=True)
                        if percent
                    ],
                }
            )
        order.milestone_schedule_id.retainage_percent = 10.0
        order.action_confirm()
        return order

    def assertStatement(self, schedule, *expected):
        statement = schedule.get_statement()
        self.assertEqual([statement[name] for name in LINES], [f"{amount:.2f}" for amount in expected])

    def assertValues(self, schedule, *expected):
        rows = schedule._get_schedule_of_values()
        columns = ("previous", "this_period", "completed_to_date", "balance", "retainage")
        self.assertEqual(
            [[row[name] for name in columns] for row in rows],
            [[f"{amount:.2f}" for amount in row] for row in expected],
        )

    def test_three_applications_a_change_order_and_the_release(self):
        order = self.create_contract((10, 50, 0, 0), (40, 100, 30, 0))
        schedule, (first, second, last) = order.milestone_schedule_id, order.milestone_line_ids
        first.action_complete()
        self.assertItems(
            first.invoice_ids,
            (self.receivable, 99000, 0),
            (self.retainage, 11000, 0),
            (self.revenue, 0, 10000),
            (self.revenue, 0, 100000),
        )
        self.assertStatement(schedule, 1000000, 0, 1000000, 110000, 11000, 99000, 0, 99000, 901000)
        order.order_line = [self.prepare_line(50000.0)]
        second.action_complete()
        self.assertItems(
            second.invoice_ids,
            (self.receivable, 252000, 0),
            (self.retainage, 28000, 0),
            (self.revenue, 0, 30000),
            (self.revenue, 0, 100000),
            (self.revenue, 0, 150000),
        )
        self.assertStatement(schedule, 1000000, 50000, 1050000, 390000, 39000, 351000, 99000, 252000, 699000)
        self.assertValues(
            schedule,
            (10000, 30000, 40000, 60000, 4000),
            (100000, 100000, 200000, 0, 20000),
            (0, 150000, 150000, 350000, 15000),
            (0, 0, 0, 200000, 0),
            (0, 0, 0, 50000, 0),
        )
        last.action_complete()
        self.assertStatement(
            schedule, 1000000, 50000, 1050000, 1050000, 105000, 945000, 351000, 594000, 105000
        )
        release = self.env["account.move"].browse(schedule.release_retainage()["invoice_id"])
        self.assertItems(release, (self.receivable, 105000, 0), (self.retainage, 0, 105000))
        self.assertStatement(schedule, 1000000, 50000, 1050000, 1050000, 0, 1050000, 945000, 105000, 0)
        self.assertTrue(schedule.tie_out()["ok"])

    def test_no_line_is_billed_above_its_scheduled_value(self):
        order = self.create_contract((100, 0, 0, 0), (100, 10, 0, 0))
        order.milestone_line_ids[:2].action_complete()
        rows = order.milestone_schedule_id._get_schedule_of_values()
        self.assertEqual(
            [(row["completed_to_date"], row["percent"]) for row in rows],
            [("100000.00", "100.00"), ("20000.00", "10.00"), ("0.00", "0.00"), ("0.00", "0.00")],
        )

    def test_chain_with_lower_percentage_takes_nothing_back_by_itself(self):
        """A percentage below what is billed bills nothing of that line: billed stages never move."""
        order = self.create_contract((50, 0, 0, 0), (40, 20, 0, 0))
        order.milestone_line_ids[:2].action_complete()
        second = order.milestone_line_ids[1].invoice_ids
        self.assertEqual(second.amount_untaxed, 40000.0)
        self.assertItems(
            second, (self.receivable, 36000, 0), (self.retainage, 4000, 0), (self.revenue, 0, 40000)
        )
