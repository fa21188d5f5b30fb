"""Orders of events that nobody plans: what is credited, withdrawn, cancelled or drafted in between."""

from datetime import timedelta

from odoo import Command, fields
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_end import EndCommon
from .test_money_corners import MoneyCornerCommon


class EventOrderCommon(EndCommon, MoneyCornerCommon):
    def credit(self, move, price=None, post=True, **values):
        """Credit a document whole, or its first line by an amount."""
        today = fields.Date.context_today(move)
        credit = move._reverse_moves([{"invoice_date": today, **values}])
        if price is not None:
            self.first_item(credit).write({"quantity": 1.0, "price_unit": price})
        if post:
            credit.action_post()
        return credit

    def first_item(self, move):
        return move.invoice_line_ids.filtered(lambda item: item.display_type == "product")[0]

    def create_net_order(self, **values):
        return self.create_retained_order(taxes=self.tax_20, retainage_base="net", **values)

    def get_release(self, order):
        moves = order.milestone_line_ids.invoice_ids.sorted("id")
        return moves.filtered(lambda move: move.milestone_document == "release")[-1:]

    def get_open_retainage(self, order):
        """Give what is open on the retainage account by document."""
        moves = order.milestone_line_ids.invoice_ids.filtered(lambda move: move.state == "posted")
        items = moves.line_ids.filtered(lambda item: item.milestone_retainage and item.amount_residual)
        return {item.move_id: item.amount_residual for item in items}


@tagged("post_install", "-at_install")
class TestEventOrders(EventOrderCommon):
    # === CREDIT NOTES ===

    def test_credit_notes_in_thirds_leave_nothing_held(self):
        order = self.create_retained_order(prices=(1200.0,), retainage_base="net", retainage_percent=3.3333)
        line = order.milestone_line_ids[0]
        line.action_complete()
        invoice = line.invoice_ids
        self.assertEqual(invoice.amount_retained, 10.0)
        credits = [self.credit(invoice, 100.0) for _third in range(3)]
        self.assertEqual([credit.amount_retained for credit in credits], [-3.33, -3.34, -3.33])
        self.assertEqual(order.milestone_schedule_id.amount_retained, 0.0)
        self.assertTiedOut(order)

    def test_nothing_is_credited_twice(self):
        order = self.create_net_order()
        stages = order.milestone_line_ids[:2]
        stages.action_complete()
        self.credit(stages[0].invoice_ids)
        with self.assertRaisesRegex(UserError, "2,500.00 more would be credited"), self.env.cr.savepoint():
            self.credit(stages[0].invoice_ids.filtered(lambda move: move.milestone_document == "stage"))
        with self.assertRaisesRegex(UserError, "0.01 more would be credited"), self.env.cr.savepoint():
            self.credit(stages[1].invoice_ids, 2500.01)
        self.assertTiedOut(order)

    def test_release_is_held_again_once(self):
        order = self.create_net_order()
        schedule = order.milestone_schedule_id
        order.milestone_line_ids[:2].action_complete()
        schedule.release_retainage(amount=250)
        release = self.get_release(order)
        with self.assertRaisesRegex(UserError, "150.00 more would be credited"), self.env.cr.savepoint():
            self.credit(release, 400.0)
        self.credit(release)
        self.assertEqual(schedule.amount_retained, 500.0)
        with self.assertRaisesRegex(UserError, "250.00 more would be credited"), self.env.cr.savepoint():
            self.credit(release)
        self.assertEqual(schedule.amount_retained, 500.0)
        self.assertTiedOut(order)

    def test_credit_note_is_of_the_kind_of_its_invoice(self):
        euro = self.setup_other_currency("EUR", rates=[("2020-01-01", 2.0)])
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        credit = self.credit(line.invoice_ids, post=False)
        credit.currency_id = euro
        with self.assertRaisesRegex(UserError, "is in EUR, the invoice in USD"):
            credit.action_post()
        credit.currency_id = order.currency_id
        item = self.first_item(credit)
        for taxes in (self.tax_10, self.env["account.tax"]):
            item.tax_ids = taxes
            with self.assertRaisesRegex(UserError, "other taxes"):
                credit.action_post()
        item.tax_ids = self.tax_20
        goodwill = {"name": "Goodwill", "price_unit": 100.0, "account_id": self.revenue.id}
        credit.invoice_line_ids = [Command.create({**goodwill, "tax_ids": [Command.set(self.tax_20.ids)]})]
        with self.assertRaisesRegex(UserError, "“Goodwill” is no line of"):
            credit.action_post()
        credit.invoice_line_ids.filtered(lambda item: item.name == "Goodwill").unlink()
        credit.action_post()
        self.assertEqual(line.amount_billed, 0.0)
        self.assertTiedOut(order)

    def test_credit_note_that_leaves_what_was_given_back(self):
        order = self.create_net_order(retainage_method="to_date")
        schedule = order.milestone_schedule_id
        first, second = order.milestone_line_ids[:2]
        first.action_complete()
        schedule.retainage_percent = 2.0
        second.action_complete()
        self.assertEqual(schedule.amount_retained, 100.0)
        credit = self.credit(second.invoice_ids, post=False)
        credit.invoice_line_ids.filtered("milestone_retainage").unlink()
        credit.action_post()
        self.assertEqual(credit.amount_retained, 0.0)
        self.assertEqual(schedule.amount_retained, 100.0)
        self.assertTiedOut(order)

    def test_two_credit_notes_posted_together_take_what_is_held(self):
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                order = self.create_net_order(retainage_tax=tax)
                line = order.milestone_line_ids[0]
                line.action_complete()
                order.milestone_schedule_id.release_retainage(amount=125)
                invoice = line.invoice_ids
                credits = self.credit(invoice, 1250.0, post=False) + self.credit(invoice, 1250.0, post=False)
                credits.action_post()
                self.assertEqual(set(credits.mapped("state")), {"posted"})
                self.assertEqual(sum(credits.mapped("amount_retained")), -125.0)
                self.assertEqual(order.milestone_schedule_id.amount_retained, 0.0)
                self.assertTiedOut(order)

    def test_quantity_comes_back_with_the_stage_that_deducted_a_deposit(self):
        door = self.env["product.product"].create(
            {"name": "Door", "type": "consu", "invoice_policy": "order"}
        )
        values = {"product_id": door.id, "price_unit": 100.0, "product_uom_qty": 8.0}
        lines = [Command.create({**values, "tax_ids": [Command.clear()]})]
        order = self.create_deposit_order(recovery="prorata", shares=(25, 25, 50), lines=lines)
        stages = order.milestone_line_ids
        stages.action_complete()
        for line in reversed(stages):
            self.credit(line.invoice_ids)
        planned = [line.allocation_ids._filter_planned().quantity for line in stages]
        self.assertEqual(planned, [2, 2, 4])
        self.assertFalse(any(any(units.values()) for units in self.get_left(order)))

    def get_left(self, order):
        left = order.milestone_schedule_id._get_unrecovered()
        return [units for columns in left.values() for units in columns.values()]

    # === RELEASES ===

    def test_draft_that_gives_back_is_not_issued_without_what_it_counted_on(self):
        order = self.create_net_order(retainage_method="to_date")
        self.company.milestone_invoice_posting = "draft"
        first, second = order.milestone_line_ids[:2]
        first.action_complete()
        order.milestone_schedule_id.retainage_percent = 2.0
        second.action_complete()
        first.invoice_ids.unlink()
        with self.assertRaisesRegex(UserError, "150.00 of retainage that is not held"):
            second.invoice_ids.action_post()

    def test_release_clears_what_a_withdrawn_credit_note_held(self):
        order = self.create_net_order()
        schedule = order.milestone_schedule_id
        order.milestone_line_ids[:2].action_complete()
        credit = self.credit(order.milestone_line_ids[0].invoice_ids)
        credit.button_draft()
        schedule.release_retainage()
        self.assertEqual(self.get_open_retainage(order), {})
        credit.unlink()
        self.assertEqual(self.get_open_retainage(order), {})
        self.assertTiedOut(order)

    def test_release_clears_the_next_invoice_when_its_own_is_cancelled(self):
        order = self.create_net_order()
        stages = order.milestone_line_ids[:3]
        stages.action_complete()
        first, _second, third = (line.invoice_ids for line in stages)
        order.milestone_schedule_id.release_retainage(amount=250)
        first.button_draft()
        first.button_cancel()
        self.assertEqual(self.get_open_retainage(order), {third: 250.0})
        self.end(order, retainage="credit")
        credits = order.milestone_line_ids.invoice_ids.filtered(lambda move: move.move_type == "out_refund")
        self.assertEqual(sum(credits.mapped("amount_total")), 250.0)
        self.assertEqual(self.get_open_retainage(order), {})

    def test_release_clears_the_next_invoice_when_its_own_is_deleted(self):
        order = self.create_net_order()
        stages = order.milestone_line_ids[:3]
        stages.action_complete()
        first, _second, third = (line.invoice_ids for line in stages)
        order.milestone_schedule_id.release_retainage(amount=250)
        first.button_draft()
        first.name = False
        first.unlink()
        self.assertEqual(self.get_open_retainage(order), {third: 250.0})

    def test_retainage_stays_on_its_account(self):
        other = self.retainage.copy({"code": "119999", "name": "Other Retainage"})
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                self.company.milestone_retainage_account_id = self.retainage
                order = self.create_net_order(retainage_tax=tax)
                order.milestone_line_ids[:2].action_complete()
                self.company.milestone_retainage_account_id = other
                order.milestone_line_ids[2].action_complete()
                self.credit(order.milestone_line_ids[0].invoice_ids)
                order.milestone_schedule_id.release_retainage()
                moves = order.milestone_line_ids.invoice_ids
                self.assertEqual(moves.line_ids.filtered("milestone_retainage").account_id, self.retainage)
                self.assertEqual(self.balance(self.retainage, order), 0.0)
                self.assertEqual(self.get_open_retainage(order), {})
                self.assertTiedOut(order)
        order = self.create_net_order()
        order.milestone_line_ids[0].action_complete()
        held = order.milestone_line_ids.invoice_ids.line_ids.filtered("milestone_retainage")
        self.assertEqual(held.account_id, other)

    def test_retainage_matched_by_another_entry_is_a_difference(self):
        order = self.create_net_order()
        order.milestone_line_ids[0].action_complete()
        held = order.milestone_line_ids.invoice_ids.line_ids.filtered("milestone_retainage")
        items = [
            {"account_id": self.retainage.id, "credit": 250.0, "partner_id": self.client_company.id},
            {"account_id": self.company_data["default_account_expense"].id, "debit": 250.0},
        ]
        entry = self.env["account.move"].create(
            {"move_type": "entry", "line_ids": [Command.create(item) for item in items]}
        )
        entry.action_post()
        written_off = entry.line_ids.filtered("credit")
        (held | written_off).reconcile()
        (difference,) = order.milestone_schedule_id.tie_out()["differences"]
        self.assertEqual((difference["expected"], difference["actual"]), ("250.00", "0.00"))
        self.assertEqual(difference["move_line_ids"], written_off.ids)
        self.assertIn(entry.name, difference["message"])
        written_off.remove_move_reconcile()
        self.assertTiedOut(order)

    # === PAPERS ===

    def test_paper_of_a_credited_invoice_reads_the_same(self):
        order = self.create_net_order()
        first, second = order.milestone_line_ids[:2]
        first.action_complete()
        invoice = first.invoice_ids
        before = invoice._get_milestone_paper()["statement"]
        second.action_complete()
        self.credit(invoice)
        self.assertEqual(invoice._get_milestone_paper()["statement"], before)
        first.action_complete()
        self.assertEqual(invoice._get_milestone_paper()["statement"], before)
        again = first.invoice_ids.filtered("milestone_claim")
        amounts = {row["key"]: row["amount"] for row in again._get_milestone_paper()["statement"]}
        self.assertEqual((amounts["completed_to_date"], amounts["current_due"]), (5000.0, 2250.0))

    # === THE END ===

    def test_retainage_of_a_drafted_release_is_decided_about(self):
        order = self.create_net_order()
        order.milestone_line_ids[0].action_complete()
        self.company.milestone_invoice_posting = "draft"
        order.milestone_schedule_id.release_retainage()
        with self.assertRaisesRegex(UserError, "250.00 of retainage"), self.env.cr.savepoint():
            order.action_cancel()
        wizard = self.end(order, retainage="credit")
        self.assertEqual(wizard.amount_retained, 250.0)
        self.assertEqual(order.milestone_schedule_id.amount_retained, 0.0)
        self.assertEnded(order)

    def test_drafted_release_is_kept_at_the_end(self):
        order = self.create_net_order()
        order.milestone_line_ids[0].action_complete()
        self.company.milestone_invoice_posting = "draft"
        order.milestone_schedule_id.release_retainage()
        self.end(order, draft="post", retainage="release")
        self.assertEqual(self.get_release(order).state, "posted")
        self.assertEqual(self.get_open_retainage(order), {})
        self.assertEnded(order)

    def test_draft_dated_ahead_is_kept_at_the_end(self):
        order = self.create_net_order()
        self.company.milestone_invoice_posting = "draft"
        line = order.milestone_line_ids[0]
        line.action_complete()
        invoice = line.invoice_ids
        invoice.invoice_date = fields.Date.context_today(invoice) + timedelta(days=30)
        invoice._post()
        self.assertEqual((invoice.state, invoice.auto_post), ("draft", "at_date"))
        self.end(order, draft="post")
        self.assertEqual(invoice.state, "posted")
        self.assertEnded(order)

    def test_refunded_deposit_leaves_no_invoice_of_nothing(self):
        for recovery in ("final", "prorata"):
            with self.subTest(recovery=recovery):
                order = self.create_deposit_order(taxes=self.tax_20, recovery=recovery)
                order.milestone_line_ids[:2].action_complete()
                self.end(order, deposit="credit")
                self.assertTrue(all(order.milestone_line_ids.invoice_ids.mapped("amount_total")))
                self.assertNotIn("Deposit kept as earned", order.milestone_line_ids.mapped("name"))
                self.assertEnded(order)

    def test_retainage_is_credited_where_something_is_left(self):
        order = self.create_retained_order(taxes=self.tax_20, retainage_base="net", prices=(4000.0, 6000.0))
        line = order.milestone_line_ids[0]
        line.action_complete()
        credit = self.credit(line.invoice_ids, post=False)
        credit.invoice_line_ids.filtered(lambda item: item.price_subtotal == 1500.0).unlink()
        credit.action_post()
        self.assertEqual(
            (credit.amount_untaxed, order.milestone_schedule_id.amount_retained), (1000.0, 150.0)
        )
        self.end(order, retainage="credit")
        last = order.milestone_line_ids.invoice_ids.sorted("id")[-1]
        self.assertEqual((last.amount_total, last.amount_retained), (150.0, -150.0))
        self.assertEnded(order)

    def test_retainer_of_an_ended_contract_is_closed(self):
        retainer = self.env["milestone.billing.retainer"].create(
            {
                "name": "Care",
                "partner_id": self.client_company.id,
                "company_id": self.company.id,
                "product_id": self.service.id,
                "amount_default": 1000.0,
                "hours_included": 10.0,
                "approval_required": False,
            }
        )
        retainer.action_bill_next()
        order = retainer.order_id
        self.end(order)
        moves = order.milestone_line_ids.invoice_ids
        retainer.action_close()
        self.assertEqual((retainer.state, retainer.period_ids.state), ("closed", "closed"))
        self.assertEqual(order.milestone_line_ids.invoice_ids, moves)
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])

    # === CALLS OVER THE API ===

    def test_what_is_no_amount_and_no_milestone_is_refused_in_words(self):
        order = self.create_net_order()
        schedule = order.milestone_schedule_id
        order.milestone_line_ids[0].action_complete()
        line = order.order_line.id
        with self.assertRaisesRegex(UserError, "“half” is not an amount"):
            schedule.release_retainage(percent="half")
        for value in ("first", [1], {"id": 1}, 2.5, True):
            with self.subTest(value=value), self.assertRaisesRegex(UserError, "is no milestone"):
                schedule.get_statement(value)
        for value in ([1], ["more"], [[1]]):
            with self.subTest(value=value), self.assertRaisesRegex(UserError, "is no position"):
                schedule.propose_change(value)
        for value in ("many", None, float("nan"), float("inf"), [1]):
            with self.subTest(value=value), self.assertRaisesRegex(UserError, "is not an amount"):
                schedule.propose_change([{"order_line_id": line, "quantity": value}])
        with self.assertRaisesRegex(UserError, "is no id"):
            schedule.propose_change([{"order_line_id": "first"}])
        for value in ("more", None, {"quantity": 1}, []):
            with self.subTest(value=value), self.assertRaisesRegex(UserError, "at least one position"):
                schedule.propose_change(value)

    # === CHANGE ORDERS ===

    def test_change_bills_what_global_rounding_makes_of_it(self):
        self.company.tax_calculation_rounding_method = "round_globally"
        included = self.env["account.tax"].create(
            {
                "name": "21 % included",
                "amount": 21.0,
                "price_include_override": "tax_included",
                "company_id": self.company.id,
            }
        )
        order = self.create_order(prices=(99.99, 33.33), taxes=included)
        order.milestone_line_ids.action_complete()
        positions = [
            {"order_line_id": line.id, "quantity": 1.0, "price_unit": price}
            for line, price in zip(order.order_line, (101.01, 102.01), strict=True)
        ]
        result = order.milestone_schedule_id.propose_change(positions, name="Dearer")
        self.env["milestone.billing.change"].browse(result["change_id"]).sudo()._finish({})
        line = order.milestone_line_ids.filtered(lambda line: line.kind == "change")
        line.action_complete()
        self.assertBilledEqualsOrder(order)
        self.assertTiedOut(order)
