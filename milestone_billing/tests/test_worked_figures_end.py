"""Deposits whose contract ends or is cancellable, as the accounting rules have them, journal items line by line."""

from datetime import date

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_end import EndCommon


@tagged("post_install", "-at_install")
class TestWorkedFiguresEnd(EndCommon):
    """Entry 10: the contract is cancelled after M1, the deposit of 3,000.00 is refunded, earned or kept."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.penalties = cls.env["account.account"].create(
            {
                "name": "Penalties",
                "code": "758100",
                "account_type": "income_other",
                "company_ids": [Command.set(cls.company.ids)],
            }
        )

    def create_paid_deposit(self, **values):
        """The running case up to M1: the deposit is billed and paid, M1 is billed."""
        order = self.create_deposit_order(**{"taxes": self.tax_20, **values})
        deposit, first = order.milestone_line_ids[:2]
        deposit.action_complete()
        self.pay(deposit.invoice_ids)
        first.action_complete()
        return order, deposit, deposit.invoice_ids

    def end_with_penalty(self, order, tax):
        """End a contract and keep its deposit as a penalty.

        :return: the invoice of the penalty.
        """
        known = self.env["account.move"].search([])
        wizard = self.open_end(order)
        wizard.row_ids.filtered(lambda row: row.kind == "deposit").deposit_choice = "forfeit"
        wizard.write({"forfeit_account_id": self.penalties.id, "forfeit_tax": tax})
        self.assertTrue(wizard.has_forfeit)
        wizard.action_end()
        self.assertEnded(order)
        return (self.env["account.move"].search([]) - known).filtered(
            lambda move: move.move_type == "out_invoice" and move.amount_total
        )

    def assertPaidOut(self, refund, amount):
        """Dr AR, Cr Bank."""
        self.pay(refund)
        payment = refund.line_ids.matched_debit_ids.debit_move_id.move_id
        bank = payment.line_ids.account_id - self.receivable
        self.assertItems(payment, (self.receivable, amount, 0), (bank, 0, amount))
        self.assertEqual(refund.amount_residual, 0.0)

    def test_case_10_deposit_is_refunded_and_paid_out(self):
        order, deposit, invoice = self.create_paid_deposit()
        self.end(order, deposit="credit")
        refund = deposit.invoice_ids - invoice
        self.assertItems(
            refund, (self.advances, 2500, 0), (self.tax_account, 500, 0), (self.receivable, 0, 3000)
        )
        self.assertPaidOut(refund, 3000)
        self.assertEqual(self.balance(self.advances, order), 0.0)

    def test_case_10_deposit_is_kept_as_earned_work(self):
        """Dr CL, Cr Revenue; the tax was due with the deposit and stays."""
        order, _deposit, _invoice = self.create_paid_deposit()
        self.end(order, deposit="earn")
        self.assertEnded(order)
        earned = order.milestone_line_ids.sorted("id")[-1].invoice_ids
        self.assertItems(earned, (self.advances, 2500, 0), (self.revenue, 0, 2500))
        self.assertEqual((earned.amount_untaxed, earned.amount_tax, earned.amount_total), (0.0, 0.0, 0.0))
        self.assertEqual(self.balance(self.advances, order), 0.0)
        self.assertEqual(self.balance(self.revenue, order), -5000.0)
        self.assertEqual(self.balance(self.tax_account, order), -1000.0)

    def test_case_10_deposit_is_kept_as_a_penalty_that_is_taxed(self):
        """In all: Dr CL 2,500, Cr Penalties 2,500; the tax moves from the deposit to the penalty."""
        order, deposit, invoice = self.create_paid_deposit()
        penalty = self.end_with_penalty(order, "keep")
        credit = deposit.invoice_ids - invoice
        self.assertItems(
            credit, (self.advances, 2500, 0), (self.tax_account, 500, 0), (self.receivable, 0, 3000)
        )
        self.assertItems(
            penalty, (self.receivable, 3000, 0), (self.penalties, 0, 2500), (self.tax_account, 0, 500)
        )
        self.assertEqual((credit + penalty).mapped("amount_residual"), [0.0, 0.0])
        self.assertEqual(self.balance(self.advances, order), 0.0)
        self.assertEqual(self.balance(self.revenue, order), -2500.0, "a penalty is no work of the contract")

    def test_case_10_deposit_is_kept_as_a_penalty_that_is_not_taxed(self):
        """In all: Dr CL 2,500, Dr VAT 500, Cr Penalties 3,000."""
        order, deposit, invoice = self.create_paid_deposit()
        penalty = self.end_with_penalty(order, "credit")
        credit = deposit.invoice_ids - invoice
        self.assertItems(
            credit, (self.advances, 2500, 0), (self.tax_account, 500, 0), (self.receivable, 0, 3000)
        )
        self.assertItems(penalty, (self.receivable, 3000, 0), (self.penalties, 0, 3000))
        self.assertEqual((credit + penalty).mapped("amount_residual"), [0.0, 0.0])

    def test_penalty_of_a_deposit_that_was_not_paid_is_still_owed(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        order.milestone_line_ids[:2].action_complete()
        invoice = order.milestone_line_ids[0].invoice_ids
        penalty = self.end_with_penalty(order, "keep")
        self.assertEqual((invoice.amount_residual, penalty.amount_residual), (0.0, 3000.0))
        self.assertEqual(penalty.invoice_origin, order.name)
        self.assertFalse(penalty.milestone_line_id)

    def test_penalty_is_exact_with_several_taxes_and_a_part_that_was_earned(self):
        included = self.tax_20.copy(
            {"name": "7 incl", "amount": 7.0, "price_include_override": "tax_included"}
        )
        for method in ("round_per_line", "round_globally"):
            self.company.tax_calculation_rounding_method = method
            order = self.create_deposit_order(
                recovery="prorata",
                lines=[
                    self.prepare_line(33.33, self.tax_20, 3.0),
                    self.prepare_line(100.01, included),
                    self.prepare_line(-5.55, included),
                ],
            )
            deposit, first = order.milestone_line_ids[:2]
            deposit.action_complete()
            self.pay(deposit.invoice_ids)
            first.action_complete()
            invoice = deposit.invoice_ids
            penalty = self.end_with_penalty(order, "keep")
            credit = deposit.invoice_ids - invoice
            self.assertEqual(
                (penalty.amount_untaxed, penalty.amount_tax, penalty.amount_total),
                (credit.amount_untaxed, credit.amount_tax, credit.amount_total),
            )
            self.assertEqual((credit + penalty).mapped("amount_residual"), [0.0, 0.0])

    def test_penalty_needs_an_account(self):
        order, deposit, invoice = self.create_paid_deposit()
        wizard = self.open_end(order)
        wizard.row_ids.filtered(lambda row: row.kind == "deposit").deposit_choice = "forfeit"
        wizard.forfeit_account_id = False
        with self.assertRaisesRegex(UserError, "Choose the income account"):
            wizard.action_end()
        self.env.invalidate_all()
        self.assertEqual((order.state, deposit.invoice_ids), ("sale", invoice))


@tagged("post_install", "-at_install")
class TestWorkedFiguresCancellable(EndCommon):
    def test_case_1c_deposit_of_a_cancellable_contract_is_entered_with_the_money(self):
        """No entry while it is a request; with the cash Dr Bank 3,000, Cr CL 2,500, Cr VAT 500."""
        self.company.milestone_invoice_posting = "draft"
        order = self.create_deposit_order(taxes=self.tax_20)
        deposit = order.milestone_line_ids[0]
        deposit.action_complete()
        request = deposit.invoice_ids
        self.assertEqual(request.state, "draft")
        for account in (self.receivable, self.advances, self.tax_account):
            self.assertEqual(self.balance(account, order), 0.0, account.code)
        request.invoice_date = date(2024, 3, 1)
        request._post()
        self.pay(request)
        payment = request.line_ids.matched_credit_ids.credit_move_id.move_id
        total = {}
        for item in (request | payment).line_ids:
            total[item.account_id] = total.get(item.account_id, 0.0) + item.balance
        bank = payment.line_ids.account_id - self.receivable
        self.assertEqual(
            {account: amount for account, amount in total.items() if amount},
            {bank: 3000.0, self.advances: -2500.0, self.tax_account: -500.0},
        )
