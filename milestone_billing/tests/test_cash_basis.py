"""Taxes that fall due with the payment: what falls due on retained parts is what the client has paid of them."""

import random

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_worked_figures_retainage import RetainageCommon


class CashBasisCommon(RetainageCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pending = cls.env["account.account"].create(
            {
                "name": "Tax pending",
                "code": "445740",
                "account_type": "liability_current",
                "reconcile": True,
                "company_ids": [Command.set(cls.company.ids)],
            }
        )
        cls.company.tax_exigibility = True
        cls.tax_20.write(
            {"tax_exigibility": "on_payment", "cash_basis_transition_account_id": cls.pending.id}
        )

    def pay_part(self, moves, amount=None):
        """Pay posted documents, all of what is due on them or an amount."""
        wizard = (
            self.env["account.payment.register"]
            .with_context(active_model="account.move", active_ids=moves.ids)
            .create({"group_payment": True})
        )
        if amount is not None:
            wizard.amount = amount
        wizard._create_payments()
        return moves._get_reconciled_payments()

    def release(self, order, **how):
        answer = order.milestone_schedule_id.release_retainage(**how)
        return self.env["account.move"].browse(answer["invoice_id"])

    def get_entries(self, order):
        entries = self.env["account.move"].search([("tax_cash_basis_origin_move_id", "!=", False)])
        return entries.filtered(
            lambda entry: entry.tax_cash_basis_origin_move_id in order.milestone_line_ids.invoice_ids
        )

    def get_due(self, order):
        """Give the tax that has fallen due, and its base, as the tax report reads them."""
        items = self.get_entries(order).line_ids.filtered(lambda item: item.parent_state == "posted")
        tax = items.filtered(lambda item: item.account_id == self.tax_account)
        base = items.filtered(lambda item: item.tax_ids)
        rounded = self.company.currency_id.round
        return rounded(-sum(tax.mapped("balance"))), rounded(-sum(base.mapped("balance")))

    def assertDue(self, order, money, delta=0.0):
        """Of the money that came in, a sixth is tax at 20 %, and no more has fallen due."""
        tax, base = self.get_due(order)
        self.assertAlmostEqual(tax, money / 6.0, delta=delta + 0.0051, msg="tax that is due")
        self.assertAlmostEqual(base, money * 5 / 6.0, delta=delta + 0.0051, msg="its base")
        billed = sum(
            -item.balance
            for item in order.milestone_line_ids.invoice_ids.line_ids
            if item.account_id == self.pending and item.parent_state == "posted"
        )
        taken = sum(
            item.balance
            for item in self.get_entries(order).line_ids
            if item.account_id == self.pending and item.parent_state == "posted"
        )
        self.assertAlmostEqual(taken, tax, places=2)
        self.assertGreaterEqual(round(billed - taken, 2), 0.0)


@tagged("post_install", "-at_install")
class TestCashBasis(CashBasisCommon):
    def test_tax_on_what_is_held_falls_due_with_the_payment_of_the_release(self):
        for base, net_due in (("gross", 2700.0), ("net", 2750.0)):
            with self.subTest(base=base):
                order = self.create_retained_order(self.tax_20, retainage_base=base)
                line = order.milestone_line_ids[0]
                line.action_complete()
                self.assertItems(
                    line.invoice_ids,
                    (self.receivable, net_due, 0),
                    (self.retainage, 3000 - net_due, 0),
                    (self.revenue, 0, 2500),
                    (self.pending, 0, 500),
                )
                self.assertDue(order, 0)
                self.pay_part(line.invoice_ids, net_due)
                self.assertDue(order, net_due)
                release = self.release(order)
                self.assertDue(order, net_due)
                self.pay_part(release, 100.0)
                self.assertDue(order, net_due + 100)
                self.pay_part(release)
                self.assertDue(order, 3000)
                self.assertEqual(self.get_due(order), (500.0, 2500.0))

    def test_entry_bears_the_date_of_the_payment(self):
        order = self.create_retained_order(self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        self.pay_part(line.invoice_ids)
        release = self.release(order)
        day = release.invoice_date.replace(year=release.invoice_date.year + 1)
        wizard = self.env["account.payment.register"].with_context(
            active_model="account.move", active_ids=release.ids
        )
        wizard.create({"payment_date": day})._create_payments()
        entry = self.get_entries(order).sorted("id")[-1]
        self.assertEqual((entry.date, entry.ref), (day, line.invoice_ids.name))
        self.assertEqual(entry.tax_cash_basis_origin_move_id, line.invoice_ids)

    def test_release_before_the_stage_is_paid(self):
        order = self.create_retained_order(self.tax_20)
        stage = order.milestone_line_ids[0]
        stage.action_complete()
        release = self.release(order)
        self.assertDue(order, 0)
        self.pay_part(stage.invoice_ids)
        self.assertDue(order, 2700)
        self.pay_part(release)
        self.assertDue(order, 3000)

    def test_stage_after_its_release_is_paid(self):
        order = self.create_retained_order(self.tax_20)
        stage = order.milestone_line_ids[0]
        stage.action_complete()
        release = self.release(order)
        self.pay_part(release)
        self.assertDue(order, 300)
        self.pay_part(stage.invoice_ids)
        self.assertDue(order, 3000)

    def test_one_payment_of_stage_and_release(self):
        order = self.create_retained_order(self.tax_20)
        stage = order.milestone_line_ids[0]
        stage.action_complete()
        release = self.release(order)
        self.pay_part(stage.invoice_ids | release)
        self.assertDue(order, 3000)

    def test_payment_taken_off_and_matched_again(self):
        order = self.create_retained_order(self.tax_20)
        stage = order.milestone_line_ids[0]
        stage.action_complete()
        self.pay_part(stage.invoice_ids)
        release = self.release(order)
        self.pay_part(release)
        due = release.line_ids.filtered(lambda item: item.display_type == "payment_term")
        money = due.matched_credit_ids.credit_move_id
        due.remove_move_reconcile()
        self.assertDue(order, 2700)
        (due | money).reconcile()
        self.assertDue(order, 3000)

    def test_partial_releases_of_several_stages_with_amounts_that_do_not_divide(self):
        rng = random.Random(20)
        for _case in range(2):
            prices = [round(rng.uniform(10, 3000), 2) for _place in range(3)]
            order = self.create_retained_order(
                self.tax_20, prices=prices, retainage_percent=round(rng.uniform(1, 30), 2)
            )
            stages, money = order.milestone_line_ids, 0.0
            stages.action_complete()
            for percent in (rng.randint(10, 60), 50, 100):
                release = self.release(order, percent=percent)
                self.assertDue(order, money, 0.1)
                for share in (0.3, 1.0):
                    left = release.amount_residual
                    amount = round(left * share, 2)
                    self.pay_part(release, amount)
                    money += amount
                    self.assertDue(order, money, 0.1)
            for line in stages:
                due = line.invoice_ids._get_milestone_due_now()
                self.pay_part(line.invoice_ids, due)
                money += due
                self.assertDue(order, money, 0.1)
            self.assertEqual(self.get_due(order)[0], round(order.amount_tax, 2))
            self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])

    def test_retainage_given_back_with_new_work(self):
        """The second stage asks for its own work and for a part of what was held; each pays its own tax."""
        order = self.create_retained_order(
            self.tax_20, shares=(90, 10), prices=(100000.0,), retainage_method="to_date"
        )
        first, second = order.milestone_line_ids
        first.action_complete()
        self.pay_part(first.invoice_ids)
        self.assertDue(order, 97200)
        order.milestone_schedule_id.retainage_percent = 5.0
        second.action_complete()
        self.assertItems(
            second.invoice_ids,
            (self.receivable, 16800, 0),
            (self.retainage, 0, 4800),
            (self.revenue, 0, 10000),
            (self.pending, 0, 2000),
        )
        self.assertDue(order, 97200)
        self.pay_part(second.invoice_ids, 8400)
        self.assertDue(order, 97200 + 8400)
        self.pay_part(second.invoice_ids)
        self.assertDue(order, 114000)
        self.pay_part(self.release(order))
        self.assertDue(order, 120000)

    # === WHAT IS TAKEN BACK ===

    def test_release_that_is_credited_before_it_is_paid(self):
        order = self.create_retained_order(self.tax_20)
        stage = order.milestone_line_ids[0]
        stage.action_complete()
        self.pay_part(stage.invoice_ids)
        for cancel in (True, False):
            release = self.release(order)
            credit = release._reverse_moves(cancel=cancel)
            if not cancel:
                credit._post()
            self.assertDue(order, 2700)
        self.pay_part(self.release(order))
        self.assertDue(order, 3000)

    def test_release_that_is_credited_after_it_was_paid(self):
        order = self.create_retained_order(self.tax_20)
        stage = order.milestone_line_ids[0]
        stage.action_complete()
        self.pay_part(stage.invoice_ids)
        release = self.release(order)
        self.pay_part(release)
        credit = release._reverse_moves()
        credit._post()
        self.assertDue(order, 2700)
        again = self.release(order)
        self.assertDue(order, 2700)
        due = (credit | again).line_ids.filtered(lambda item: item.display_type == "payment_term")
        due.reconcile()
        self.assertDue(order, 3000)

    def test_release_that_is_credited_in_part(self):
        """Of 300 released, 100 are taken back: the 200 that are paid are the whole of what is left."""
        for first in ("credit", "half", "money"):
            with self.subTest(first=first):
                order = self.create_retained_order(self.tax_20)
                stage = order.milestone_line_ids[0]
                stage.action_complete()
                release = self.release(order)
                paid = {"credit": 0.0, "half": 100.0, "money": 300.0}[first]
                if paid:
                    self.pay_part(release, paid)
                self.assertDue(order, paid)
                credit = release._reverse_moves()
                credit.invoice_line_ids.price_unit = 100.0
                credit._post()
                self.assertDue(order, min(paid, 200.0))
                if release.amount_residual:
                    self.pay_part(release)
                self.assertDue(order, 200.0, 0.01)
                self.pay_part(stage.invoice_ids)
                self.assertDue(order, 2900.0, 0.01)
                self.pay_part(self.release(order))
                self.assertDue(order, 3000.0, 0.01)

    def test_stage_that_is_credited(self):
        order = self.create_retained_order(self.tax_20)
        stage = order.milestone_line_ids[0]
        stage.action_complete()
        credit = stage.invoice_ids._reverse_moves()
        credit.invoice_line_ids.write({"quantity": 1.0, "price_unit": 1000.0})
        credit._post()
        self.assertEqual(credit.amount_retained, -120.0)
        self.assertDue(order, 0)
        self.pay_part(stage.invoice_ids - credit)
        self.assertDue(order, 2700 - 1080)
        self.pay_part(self.release(order))
        self.assertDue(order, 1800)

    def test_release_in_draft_again(self):
        order = self.create_retained_order(self.tax_20)
        stage = order.milestone_line_ids[0]
        stage.action_complete()
        self.pay_part(stage.invoice_ids)
        release = self.release(order)
        self.pay_part(release, 150.0)
        release.button_draft()
        release.action_post()
        self.assertDue(order, 2850)
        release.button_draft()
        release.button_cancel()
        self.assertDue(order, 2700)
        self.pay_part(self.release(order))
        self.assertDue(order, 3000)

    def test_money_matched_with_a_release_in_draft(self):
        order = self.create_retained_order(self.tax_20)
        stage = order.milestone_line_ids[0]
        stage.action_complete()
        self.pay_part(stage.invoice_ids)
        release = self.release(order)
        payment = self.env["account.payment"].create(
            {
                "partner_id": self.client_company.id,
                "amount": 300.0,
                "payment_type": "inbound",
                "journal_id": self.company_data["default_journal_bank"].id,
            }
        )
        payment.action_post()
        release.button_draft()
        due = release.line_ids.filtered(lambda item: item.display_type == "payment_term")
        money = payment.move_id.line_ids.filtered(lambda item: item.account_id == self.receivable)
        (due | money).reconcile()
        self.assertDue(order, 2700)
        release.action_post()
        self.assertDue(order, 3000)

    def test_foreign_currency(self):
        currency = self.setup_other_currency("EUR", rates=[("2020-01-01", 2.0)])
        pricelist = self.env["product.pricelist"].create({"name": "EUR", "currency_id": currency.id})
        order = self.create_order(taxes=self.tax_20, confirm=False, pricelist_id=pricelist.id)
        order.milestone_schedule_id.retainage_percent = 10.0
        order.action_confirm()
        stage = order.milestone_line_ids[0]
        stage.action_complete()
        self.pay_part(stage.invoice_ids)
        self.assertDue(order, 1350)
        release = self.release(order)
        self.assertDue(order, 1350)
        self.pay_part(release)
        self.assertDue(order, 1500)

    # === WHAT CANNOT BE DONE ===

    def test_without_a_journal_the_payment_is_refused(self):
        order = self.create_retained_order(self.tax_20)
        order.milestone_line_ids[0].action_complete()
        release = self.release(order)
        self.company.tax_cash_basis_journal_id = False
        with self.assertRaisesRegex(UserError, "has no journal for taxes"):
            self.pay_part(release)
