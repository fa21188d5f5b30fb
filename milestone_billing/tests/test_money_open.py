"""Reversals of negative milestones, branches, foreign currency, cash rounding, and what a caller's context may not say."""

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from .test_money_corners import MoneyCornerCommon


@tagged("post_install", "-at_install")
class TestMoneyOpen(MoneyCornerCommon):
    def get_release(self, order):
        moves = order.milestone_line_ids.invoice_ids
        return moves.filtered(lambda move: move.milestone_document == "release")

    # === NEGATIVE MILESTONES ===

    def create_negative_order(self, **schedule):
        """Two order lines, of which the second takes more away than the first one's share: a stage below zero."""
        order = self.create_order(
            shares=(50, 50),
            lines=[self.prepare_line(1000.0, self.tax_20), self.prepare_line(-200.0, self.tax_20)],
            confirm=False,
        )
        order.milestone_line_ids[0].write(
            {
                "allocation_mode": "lines",
                "allocation_ids": [
                    Command.create({"order_line_id": order.order_line[1].id, "percent": 100.0})
                ],
            }
        )
        order.milestone_schedule_id.write(schedule)
        order.action_confirm()
        return order

    def test_negative_milestone_is_reversed_and_billed_again(self):
        order = self.create_negative_order()
        negative, rest = order.milestone_line_ids
        negative.action_complete()
        move = negative.invoice_ids
        self.assertEqual((move.move_type, move.state, move.amount_total), ("out_refund", "posted", 240.0))
        back = move._reverse_moves([{"invoice_date": "2026-01-31"}])
        back.action_post()
        self.assertEqual((back.move_type, back.milestone_document), ("out_invoice", "credit"))
        self.assertTrue(move.milestone_credited)
        self.assertEqual(negative.amount_billed, 0.0)
        self.assertTiedOut(order)
        (negative + rest).action_complete()
        again = negative.invoice_ids.filtered("milestone_claim")
        self.assertEqual((again.move_type, again.amount_total), ("out_refund", 240.0))
        self.assertEqual(sum(order.invoice_ids.mapped("amount_total_signed")), 960.0)
        self.assertTiedOut(order)

    def test_negative_milestone_with_retainage_is_reversed(self):
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                order = self.create_negative_order(
                    retainage_percent=10.0, retainage_base="net", retainage_tax=tax
                )
                negative, rest = order.milestone_line_ids
                (negative + rest).action_complete()
                back = negative.invoice_ids._reverse_moves([{"invoice_date": "2026-01-31"}])
                back.action_post()
                self.assertEqual(negative.amount_billed, 0.0)
                self.assertTiedOut(order)
                back.button_draft()
                back.unlink()
                self.assertTiedOut(order)

    def test_reversal_of_a_negative_milestone_is_withdrawn(self):
        order = self.create_negative_order()
        negative = order.milestone_line_ids[0]
        negative.action_complete()
        back = negative.invoice_ids._reverse_moves()
        back.action_post()
        back.button_draft()
        self.assertFalse(negative.invoice_ids.filtered("milestone_credited"))
        self.assertTiedOut(order)

    # === A RELEASE IS PRINTED ===

    def test_release_is_printed_while_its_stage_is_in_draft_again(self):
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                order = self.create_order(taxes=self.tax_20, confirm=False)
                order.milestone_schedule_id.write(
                    {"retainage_percent": 10.0, "retainage_base": "net", "retainage_tax": tax}
                )
                order.action_confirm()
                stages = order.milestone_line_ids[:2]
                stages.action_complete()
                order.milestone_schedule_id.release_retainage()
                release = self.get_release(order)
                before = release._get_retainage_sheet()
                stages[0].invoice_ids.button_draft()
                after = release._get_retainage_sheet()
                self.assertEqual(after["totals"], before["totals"])
                self.assertEqual(len(after["rows"]), 2)

    # === TAXES OF A DRAFT ===

    def test_tax_of_zero_is_not_taken_off_a_draft(self):
        tax_0 = self.tax_20.copy({"name": "Exempt", "amount": 0.0})
        order = self.create_order(taxes=tax_0, confirm=False)
        self.company.milestone_invoice_posting = "draft"
        order.action_confirm()
        line = order.milestone_line_ids[0]
        line.action_complete()
        move = line.invoice_ids
        item = move.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        item.tax_ids = False
        with self.assertRaisesRegex(UserError, "other taxes"):
            move.action_post()
        item.tax_ids = tax_0
        move.action_post()
        self.assertEqual(move.state, "posted")

    # === CASH ROUNDING, CURRENCIES ===

    def test_cash_rounding_stays_beside_the_milestone(self):
        rounding = self.env["account.cash.rounding"].create(
            {
                "name": "Five",
                "rounding": 0.05,
                "strategy": "add_invoice_line",
                "profit_account_id": self.revenue.id,
                "loss_account_id": self.revenue.id,
            }
        )
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                self.company.milestone_invoice_posting = "draft"
                order = self.create_order(taxes=self.tax_20, prices=(999.97,), confirm=False)
                order.milestone_schedule_id.write(
                    {"retainage_percent": 10.0, "retainage_base": "net", "retainage_tax": tax}
                )
                order.action_confirm()
                stages = order.milestone_line_ids
                stages.action_complete()
                stages.invoice_ids.invoice_cash_rounding_id = rounding
                stages.invoice_ids.action_post()
                for move in stages.invoice_ids:
                    due = move.line_ids.filtered(lambda item: item.display_type == "payment_term")
                    self.assertAlmostEqual(sum(due.mapped("balance")), move.amount_total, places=2)
                    self.assertAlmostEqual(round(move.amount_total * 20) / 20, move.amount_total, places=2)
                self.assertTiedOut(order)
                order.milestone_schedule_id.release_retainage()
                release = self.get_release(order)
                release.action_post()
                self.assertAlmostEqual(self.balance(self.retainage, order), 0.0, places=2)
                self.assertTiedOut(order)

    def test_retainage_in_a_foreign_currency_clears_in_both(self):
        currency = self.setup_other_currency(
            "EUR", rates=[("2020-01-01", 3.0), ("2026-02-01", 2.7), ("2026-03-01", 2.3)]
        )
        pricelist = self.env["product.pricelist"].create({"name": "EUR", "currency_id": currency.id})
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                self.company.milestone_invoice_posting = "draft"
                order = self.create_order(
                    taxes=self.tax_20, prices=(1000.01,), confirm=False, pricelist_id=pricelist.id
                )
                order.milestone_schedule_id.write(
                    {"retainage_percent": 10.0, "retainage_base": "net", "retainage_tax": tax}
                )
                order.action_confirm()
                stages = order.milestone_line_ids
                stages.action_complete()
                days = ["2026-01-15", "2026-02-15", "2026-03-15", "2026-03-16"]
                for line, day in zip(stages, days, strict=True):
                    line.invoice_ids.invoice_date = day
                stages.invoice_ids.action_post()
                self.assertTiedOut(order)
                order.milestone_schedule_id.release_retainage()
                release = self.get_release(order)
                release.invoice_date = "2026-03-20"
                release.action_post()
                items = order.milestone_line_ids.invoice_ids.line_ids.filtered("milestone_retainage")
                self.assertEqual({item.currency_id for item in items}, {currency})
                self.assertEqual(currency.round(sum(items.mapped("amount_currency"))), 0.0)
                self.assertEqual(set(items.mapped("amount_residual")), {0.0})
                differences = (
                    items.matched_debit_ids.exchange_move_id | items.matched_credit_ids.exchange_move_id
                )
                ledger = items | differences.line_ids.filtered(lambda item: item.account_id == self.retainage)
                self.assertEqual(self.company.currency_id.round(sum(ledger.mapped("balance"))), 0.0)
                self.assertTiedOut(order)

    # === COMPANIES ===

    def test_branch_bills_with_accounts_and_taxes_of_its_parent(self):
        branch = self.env["res.company"].create(
            {
                "name": "Branch",
                "parent_id": self.company.id,
                "milestone_approval_required": False,
                "milestone_invoice_posting": "always",
            }
        )
        self.env.cr.precommit.run()  # loads what a branch has of the chart of accounts
        self.env.user.company_ids += branch
        user = self.billing_user
        user.write({"company_ids": [Command.set(branch.ids)], "company_id": branch.id})
        order = self.create_order(taxes=self.tax_20, confirm=False, company_id=branch.id)
        order.milestone_line_ids[0].kind = "deposit"
        order.milestone_schedule_id.write({"retainage_percent": 10.0, "deposit_mode": "advance"})
        order.action_confirm()
        lines = order.milestone_line_ids
        lines.with_user(user).with_company(branch).action_complete()
        moves = order.milestone_line_ids.invoice_ids
        self.assertEqual(set(moves.mapped("state")), {"posted"})
        self.assertEqual(moves.company_id, branch)
        held = moves.line_ids.filtered("milestone_retainage")
        self.assertEqual(held.account_id, self.retainage)
        order.milestone_schedule_id.with_user(user).with_company(branch).release_retainage()
        release = order.milestone_line_ids.invoice_ids - moves
        self.assertEqual((release.company_id, release.milestone_document), (branch, "release"))
        if release.state == "draft":
            release.with_user(user).action_post()
        self.assertEqual(set(held.mapped("amount_residual")), {0.0})
        self.assertTiedOut(order)

    def test_cron_bills_in_the_company_of_each_order(self):
        data = self.setup_other_company()
        other, tax = data["company"], data["default_tax_sale"]
        other.write({"milestone_approval_required": False, "milestone_invoice_posting": "always"})
        self.env.user.company_ids += other
        orders = self.create_order(taxes=self.tax_20, confirm=False)
        orders += self.create_order(taxes=tax, confirm=False, company_id=other.id)
        for order in orders:
            order.milestone_schedule_id.retainage_percent = 10.0
            order.milestone_line_ids[0].write({"trigger": "date", "trigger_date": "2020-01-01"})
            order.action_confirm()
        cron = self.env.ref("base.user_root")
        Line = self.env["milestone.billing.line"].with_user(cron).with_context(allowed_company_ids=[1])
        with self.no_commits():
            Line._cron_complete_due()
        for order in orders:
            move = order.milestone_line_ids[0].invoice_ids
            self.assertEqual((move.company_id, move.state), (order.company_id, "posted"))
            self.assertEqual(move.journal_id.company_id, order.company_id)
            self.assertEqual(move.line_ids.account_id.company_ids, order.company_id)
            self.assertTiedOut(order.with_company(order.company_id))

    # === WHAT A CALL MAY NOT SAY ===

    def test_context_says_nothing_about_milestones(self):
        order = self.create_order(confirm=False)
        values = {"order_id": order.id, "name": "More", "amount_type": "fixed", "amount_fixed": 1.0}
        context = {"default_state": "approved", "default_invoice_status": "paid", "default_is_on_hold": True}
        Line = self.env["milestone.billing.line"].with_user(self.billing_user)
        line = Line.with_context(**context).create(values)
        self.assertEqual((line.state, line.invoice_status, line.is_on_hold), ("planned", "none", False))
        for name, value in (("invoice_status", "paid"), ("amount_billed", 5.0)):
            with self.subTest(name=name), self.assertRaises(AccessError):
                Line.create({**values, name: value})

    def test_context_says_nothing_about_documents_and_schedules(self):
        order = self.create_order()
        bookkeeper = self.billing_user
        bookkeeper.group_ids += self.env.ref("account.group_account_invoice")
        Move = self.env["account.move"].with_user(bookkeeper).with_company(self.company)
        move = Move.with_context(
            default_milestone_document="stage", default_milestone_line_id=order.milestone_line_ids[0].id
        ).create({"move_type": "out_invoice", "partner_id": self.client_company.id})
        self.assertFalse(move.milestone_document)
        self.assertFalse(move.milestone_claim)
        plain = self.env["sale.order"].create({"partner_id": self.client_company.id})
        Schedule = self.env["milestone.billing.schedule"].with_user(bookkeeper)
        schedule = Schedule.with_context(default_is_frozen=True).create({"order_id": plain.id})
        self.assertFalse(schedule.is_frozen)

    def test_context_says_nothing_about_changes(self):
        order = self.create_order()
        context = {"default_state": "approved", "default_is_applied": True, "default_amount_total": 5.0}
        Change = self.env["milestone.billing.change"].with_user(self.billing_user).with_context(**context)
        change = Change.create({"order_id": order.id, "name": "More"})
        self.assertEqual((change.state, change.is_applied, change.amount_total), ("draft", False, 0.0))
        change._write_internal({"state": "declined"})
        Position = self.env["milestone.billing.change.line"].with_user(self.billing_user)
        with self.assertRaises(UserError):
            Position.with_context(default_change_id=change.id).create(
                {"product_id": self.service.id, "name": "Late", "quantity": 1.0, "price_unit": 1.0}
            )

    def test_context_says_nothing_about_parts_and_outside_invoices(self):
        order = self.create_order(confirm=False)
        line, posted = order.milestone_line_ids[0], self.create_order()
        line.allocation_mode = "lines"
        posted.milestone_line_ids[0].action_complete()
        context = {"default_move_id": posted.invoice_ids.id, "default_amount_untaxed": 77.0}
        Allocation = self.env["milestone.billing.allocation"].with_user(self.billing_user)
        part = Allocation.with_context(**context).create(
            {"line_id": line.id, "order_line_id": order.order_line.id, "percent": 25.0}
        )
        self.assertFalse(part.move_id)
        self.assertNotEqual(part.amount_untaxed, 77.0)
        Opening = self.env["milestone.billing.opening"].with_context(default_is_booked=True, default_step=99)
        opening = Opening.create(
            {
                "line_id": order.milestone_line_ids[1].id,
                "reference": "OLD-1",
                "date": "2025-01-31",
                "amount_untaxed": 100.0,
            }
        )
        self.assertEqual((opening.is_booked, opening.step), (False, 0))

    def test_context_names_no_order_of_an_enrolment(self):
        order = self.create_order()
        Enrolment = self.env["milestone.billing.enrolment"].with_user(self.billing_user)
        enrolment = Enrolment.with_context(default_order_id=order.id).create(
            {
                "partner_id": self.client_company.id,
                "company_id": self.company.id,
                "product_id": self.service.id,
            }
        )
        self.assertTrue(enrolment.order_id)
        self.assertNotEqual(enrolment.order_id, order)
