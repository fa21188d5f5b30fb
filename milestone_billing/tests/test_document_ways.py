"""The ways that accounting offers with a document: each ends right, or is refused in words and changes nothing."""

from odoo import Command
from odoo.exceptions import AccessError
from odoo.tests import new_test_user, tagged

from .test_money_event_orders import EventOrderCommon


class DocumentWaysCommon(EventOrderCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bookkeeper = new_test_user(
            cls.env,
            "ways_bookkeeper",
            "base.group_user,account.group_account_invoice",
            company_id=cls.company.id,
            company_ids=[Command.set(cls.company.ids)],
        )

    def bill_first(self, posting="always", **values):
        """Complete the first milestone of a new order; give it and its invoice."""
        self.company.milestone_invoice_posting = posting
        order = self.create_order(**{"taxes": self.tax_20, **values})
        order.milestone_line_ids[0].action_complete()
        return order.milestone_line_ids[0], order.milestone_line_ids[0].invoice_ids

    def get_product_items(self, move):
        return move.invoice_line_ids.filtered(lambda item: item.display_type == "product")

    def assertNoAccess(self, pattern, function, *args):
        with self.assertRaisesRegex(AccessError, pattern), self.env.cr.savepoint():
            function(*args)
        self.env.invalidate_all()


@tagged("post_install", "-at_install")
class TestDocumentState(DocumentWaysCommon):
    def test_cancelled_invoice_is_not_taken_up_again(self):
        line, move = self.bill_first("draft")
        move.button_cancel()
        self.assertRefused("was cancelled and bills “Stage 1” no more", move.button_draft)
        line.action_complete()
        self.assertRefused("Complete the milestone again", move.button_draft)
        self.assertEqual((move.state, line._get_live_invoice().state), ("cancel", "draft"))
        line._get_live_invoice().action_post()
        self.company.milestone_invoice_posting = "always"
        self.bill_the_rest(line.order_id)

    def test_cancelled_release_is_not_taken_up_again(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_retained_order(self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        line.invoice_ids.action_post()
        release = self.env["account.move"].browse(
            order.milestone_schedule_id.release_retainage()["invoice_id"]
        )
        release.button_cancel()
        self.assertRefused("was cancelled and bills “Retainage release” no more", release.button_draft)
        release.milestone_line_id.action_complete()
        again = release.milestone_line_id._get_live_invoice()
        again.action_post()
        self.assertEqual((release.milestone_line_id.state, again.amount_total), ("approved", 300.0))
        self.assertTiedOut(order)

    def test_state_is_written_by_the_buttons_alone(self):
        line, move = self.bill_first("draft")
        line.action_hold("The client objects")
        draft = move.with_user(self.bookkeeper)
        for state in ("posted", "cancel"):
            self.assertNoAccess("use “Confirm”", draft.write, {"state": state})
        draft.write({"state": "draft"})
        line.action_resume()
        draft.action_post()
        self.assertNoAccess("use “Confirm”", draft.write, {"state": "draft"})
        credit = self.credit(move, post=False).with_user(self.bookkeeper)
        self.assertNoAccess("use “Confirm”", credit.write, {"state": "posted"})
        credit.action_post()
        self.assertNoAccess("use “Confirm”", credit.write, {"state": "cancel"})
        self.assertEqual((line.state, line.invoice_status), ("planned", "credited"))
        self.assertTiedOut(line.order_id)

    def test_state_of_other_documents_is_as_ever(self):
        line, _move = self.bill_first()
        item = {"name": "Beside", "price_unit": 10.0, "tax_ids": [Command.clear()]}
        Move = self.env["account.move"].with_user(self.bookkeeper)
        values = {"move_type": "out_invoice", "partner_id": self.client_company.id}
        beside = Move.create({**values, "invoice_line_ids": [Command.create(item)]})
        beside.write({"state": "posted"})
        beside.write({"state": "cancel"})
        beside.button_draft()
        self.assertEqual(beside.state, "draft")
        item["sale_line_ids"] = [Command.link(line.order_id.order_line.id)]
        owned = Move.create({**values, "invoice_line_ids": [Command.create(item)]})
        self.assertRefused("billed by its milestones alone", owned.write, {"state": "posted"})

    def test_posted_items_keep_what_they_stand_for(self):
        self.company.milestone_invoice_posting = "always"
        order = self.create_retained_order(self.tax_20)
        order.milestone_line_ids[0].action_complete()
        move = order.milestone_line_ids[0].invoice_ids.with_user(self.bookkeeper)
        held = move.line_ids.filtered("milestone_retainage")
        work = self.get_product_items(move)
        for items, vals in (
            (held, {"milestone_retainage": False}),
            (work, {"milestone_retainage": True}),
            (work, {"sale_line_ids": [Command.clear()]}),
        ):
            self.assertNoAccess("is posted: which order line", items.write, vals)
        work.name = "Website, first quarter"
        self.assertTiedOut(order)

    def test_withdrawn_credit_note_leaves_its_milestone_billed(self):
        line, _move = self.bill_first(shares=(50, 50))
        order, last = line.order_id, line.order_id.milestone_line_ids[1]
        last.action_complete()
        credit = self.credit(last.invoice_ids)
        self.assertEqual((last.state, last.completed_on), ("planned", False))
        credit.button_draft()
        drafted_on = last.invoice_ids.sorted("id")[0].create_date.replace(microsecond=0)
        self.assertEqual((last.state, last.completed_on), ("approved", drafted_on))
        self.assertEqual(last.verify_evidence()["state"], "approved")
        self.assertEqual(last.evidence_ids[-1].type, "milestone.reinstated")
        order.order_line.price_unit = 11000.0
        self.assertFalse(last.allocation_ids._filter_planned())
        self.assertEqual(order.milestone_schedule_id.amount_difference, -1000.0)
        order.order_line.price_unit = 10000.0
        credit.unlink()
        self.bill_the_rest(order)

    def test_one_of_two_credit_notes_is_withdrawn(self):
        line, move = self.bill_first()
        self.credit(move, 0.3)
        second = self.credit(move, 0.2)
        second.button_draft()
        self.assertEqual((line.state, line.invoice_status), ("planned", "credited"))
        self.bill_the_rest(line.order_id)


@tagged("post_install", "-at_install")
class TestDocumentContent(DocumentWaysCommon):
    def create_two_taxes(self):
        other = self.tax_20.copy({"name": "Other 20 %"})
        lines = [self.prepare_line(1000.0, self.tax_20), self.prepare_line(3000.0, other)]
        _line, move = self.bill_first("draft", lines=lines)
        return move, other

    def test_taxes_are_not_swapped_between_lines(self):
        move, other = self.create_two_taxes()
        first, second = self.get_product_items(move)
        first.tax_ids, second.tax_ids = other, self.tax_20
        self.assertRefused("with other taxes than the order", move.action_post)
        first.tax_ids, second.tax_ids = self.tax_20, other
        move.action_post()
        self.assertTiedOut(move.milestone_line_id.order_id)

    def test_tax_does_not_move_to_another_tax(self):
        """Net and total are right, and each line has its taxes."""
        line, move = self.bill_first("draft", lines=[self.prepare_line(1000.0, self.tax_20 + self.tax_10)])
        self.move_tax(move, 5.0)
        self.assertRefused(r"VAT 20 % is .*55\.00, the milestone bills .*50\.00", move.action_post)
        self.move_tax(move, -5.0)
        move.action_post()
        self.assertTiedOut(line.order_id)

    def test_tie_out_names_the_tax(self):
        line, move = self.bill_first(lines=[self.prepare_line(1000.0, self.tax_20 + self.tax_10)])
        self.env.flush_all()
        for tax, amount in ((self.tax_20, -51.0), (self.tax_10, -24.0)):
            self.env.cr.execute(
                "UPDATE account_move_line SET amount_currency = %s, balance = %s WHERE move_id = %s AND tax_line_id = %s",
                [amount, amount, move.id, tax.id],
            )
        self.env.invalidate_all()
        found = line.schedule_id.tie_out()["differences"]
        self.assertEqual(
            [(row["check"], row["expected"], row["actual"], row["order_line_id"]) for row in found],
            [("document", "50.00", "51.00", False), ("document", "25.00", "24.00", False)],
        )
        self.assertIn("VAT 20 % differs from the milestone", found[0]["message"])

    def move_tax(self, move, amount):
        items = {item.tax_line_id: item for item in move.line_ids}
        move.write(
            {
                "line_ids": [
                    Command.update(item.id, {"amount_currency": item.amount_currency - sign * amount})
                    for item, sign in ((items[self.tax_20], 1), (items[self.tax_10], -1))
                ]
            }
        )

    def test_credit_note_of_nothing_is_not_issued(self):
        line, move = self.bill_first()
        credit = self.credit(move, 0.0, post=False)
        self.assertRefused("takes nothing back", credit._post)
        self.assertEqual((line.state, line._get_live_invoice()), ("approved", move))
        credit.unlink()
        self.bill_the_rest(line.order_id)

    def test_credit_note_of_an_invoice_of_nothing_is_issued(self):
        lines = [self.prepare_line(100.0, self.tax_20)]
        order = self.create_order(lines=lines, confirm=False)
        self.company.milestone_invoice_posting = "always"
        order.milestone_line_ids[0].write({"amount_type": "fixed", "amount_fixed": 0.0})
        order.action_confirm()
        line = order.milestone_line_ids[0]
        line.action_complete()
        self.assertEqual((line.invoice_ids.amount_total, line.state), (0.0, "approved"))
        line.invoice_ids._reverse_moves(cancel=True)
        self.assertEqual(line.state, "planned")
        self.assertTiedOut(order)

    def test_credit_note_bills_nothing(self):
        line, move = self.bill_first(prices=(4000.0, 6000.0))
        credit = self.credit(move, post=False)
        item = self.get_product_items(credit)[0]
        item.quantity = -item.quantity
        self.assertRefused(r"would bill .*1,000\.00 more of “Website”", credit._post)
        item.unlink()
        credit._post()
        self.assertEqual(line.amount_billed, 1000.0)
        self.bill_the_rest(line.order_id)

    def test_branch_does_not_issue_the_documents_of_its_parent(self):
        line, move = self.bill_first("draft", taxes=None)
        branch = self.env["res.company"].create({"name": "Branch", "parent_id": self.company.id})
        self.env.user.company_ids += branch
        companies = [self.company.id, branch.id]
        draft = move.with_context(allowed_company_ids=companies)
        draft.company_id = branch
        self.assertRefused("a document of .*Branch, its order one of", draft.action_post)
        draft.company_id = self.company
        draft.action_post()
        self.assertEqual((line.state, draft.company_id), ("approved", self.company))

    def test_deposit_credited_in_part_is_deducted_where_it_was_booked(self):
        self.company.milestone_invoice_posting = "always"
        order = self.create_deposit_order(taxes=self.tax_20)
        deposit = order.milestone_line_ids[0]
        deposit.action_complete()
        self.credit(deposit.invoice_ids, 0.3)
        self.company.downpayment_account_id = self.advances.copy({"code": "419199"})
        order.milestone_line_ids[1:].action_complete()
        self.assertEqual(self.balance(self.advances, order), 0.0)
        self.assertTiedOut(order)


@tagged("post_install", "-at_install")
class TestBookkeeper(DocumentWaysCommon):
    """Who keeps the books has no part in milestones: every step begins without what others have read."""

    def by_bookkeeper(self, move, *names):
        for name in names:
            self.env.flush_all()
            self.env.invalidate_all()
            result = getattr(move.with_user(self.bookkeeper), name)()
        return result

    def test_bookkeeper_takes_documents_every_way(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_deposit_order(taxes=self.tax_20, recovery="prorata")
        order.milestone_schedule_id.retainage_percent = 10.0
        for line in order.milestone_line_ids:
            line.action_complete()
            self.by_bookkeeper(line._get_live_invoice(), "action_post")
        line = order.milestone_line_ids[2]
        credit = self.by_bookkeeper(line._get_live_invoice(), "_reverse_moves")
        self.by_bookkeeper(credit, "action_post", "button_draft", "action_post", "button_cancel", "unlink")
        self.assertEqual((line.state, line.invoice_status), ("approved", "posted"))
        self.assertTiedOut(order)
        self.by_bookkeeper(line._get_live_invoice(), "button_draft", "button_cancel")
        self.assertEqual(line.state, "planned")
        line.action_complete()
        self.by_bookkeeper(line._get_live_invoice(), "unlink")
        line.action_complete()
        self.by_bookkeeper(line._get_live_invoice(), "action_post")
        self.assertTiedOut(order)
        self.assertBilledEqualsOrder(order)

    def test_bookkeeper_takes_releases_every_way(self):
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                self.company.milestone_invoice_posting = "draft"
                order = self.create_retained_order(self.tax_20, retainage_base="net", retainage_tax=tax)
                order.milestone_line_ids[0].action_complete()
                self.by_bookkeeper(order.milestone_line_ids[0].invoice_ids, "action_post")
                schedule = order.milestone_schedule_id
                schedule.release_retainage(percent=50)
                release = order.milestone_line_ids[-1].invoice_ids
                self.by_bookkeeper(release, "action_post")
                credit = self.by_bookkeeper(release, "_reverse_moves")
                self.by_bookkeeper(credit, "action_post", "button_draft", "unlink")
                self.assertEqual(schedule.amount_retained, 125.0)
                self.by_bookkeeper(release, "button_draft", "button_cancel")
                self.assertEqual(schedule.amount_retained, 250.0)
                schedule.release_retainage()
                self.by_bookkeeper(order.milestone_line_ids[-1].invoice_ids, "unlink")
                self.assertEqual(schedule.amount_retained, 250.0)
                self.assertTiedOut(order)


@tagged("post_install", "-at_install")
class TestDocumentPayment(DocumentWaysCommon):
    def test_payment_of_a_credited_invoice_opens_nothing(self):
        """Of what a milestone bills a part is to bill again, so the next one waits on."""
        for retainage in (0.0, 10.0):
            with self.subTest(retainage=retainage):
                order = self.create_order(taxes=self.tax_20, confirm=False)
                order.milestone_schedule_id.retainage_percent = retainage
                first, following = order.milestone_line_ids[:2]
                following.trigger = "previous_paid"
                order.action_confirm()
                first.action_complete()
                move = first.invoice_ids
                credit = self.credit(move, 0.3)
                move._settle_with(credit)
                self.pay(move)
                self.assertTrue(move._is_trade_settled())
                self.assertEqual((first.state, following.state), ("planned", "planned"))
                first.action_complete()
                self.pay(first._get_live_invoice())
                self.assertEqual(following.state, "approved")
                self.assertTiedOut(order)

    def test_credit_note_that_settles_its_invoice_pays_nothing_back(self):
        line, move = self.bill_first()
        credit = move._reverse_moves(cancel=True)
        self.assertEqual(credit.payment_state, "paid")
        self.assertNotIn("payment.refunded", line.evidence_ids.mapped("type"))
        line.action_complete()
        again = line._get_live_invoice()
        self.pay(again)
        self.pay(self.credit(again))
        self.assertEqual(line.evidence_ids.mapped("type").count("payment.refunded"), 1)

    def test_retainage_comes_off_the_last_due_line(self):
        term = self.env["account.payment.term"].create(
            {
                "name": "Half at once, half in 30 days",
                "line_ids": [
                    Command.create({"value": "percent", "value_amount": 50.0, "nb_days": days})
                    for days in (0, 30)
                ],
            }
        )
        order = self.create_order(taxes=self.tax_20, confirm=False, payment_term_id=term.id)
        order.milestone_schedule_id.retainage_percent = 10.0
        order.action_confirm()
        self.company.milestone_invoice_posting = "always"
        order.milestone_line_ids[0].action_complete()
        items = order.milestone_line_ids[0].invoice_ids.line_ids
        due = items.filtered(lambda item: item.display_type == "payment_term").sorted("date_maturity")
        self.assertEqual(due.mapped("balance"), [1500.0, 1200.0, 300.0])
        self.assertEqual(due.mapped("milestone_retainage"), [False, False, True])
        self.assertEqual(due[2].account_id, self.retainage)

    def test_draft_beside_the_milestones_is_no_stray(self):
        line, _move = self.bill_first()
        item = {"name": "Beside", "price_unit": 10.0, "tax_ids": [Command.clear()]}
        item["sale_line_ids"] = [Command.link(line.order_id.order_line.id)]
        beside = self.env["account.move"].create(
            {
                "move_type": "out_invoice",
                "partner_id": self.client_company.id,
                "invoice_line_ids": [Command.create(item)],
            }
        )
        self.assertEqual(line.schedule_id.tie_out()["differences"], [])
        self.assertRefused("billed by its milestones alone", beside.action_post)
