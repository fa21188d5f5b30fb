"""More corners of the money: deposits, what was billed before, the plan, and other companies."""

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_money_corners import MoneyCornerCommon


@tagged("post_install", "-at_install")
class TestDepositCorners(MoneyCornerCommon):
    def test_final_stage_recovers_the_deposit_though_others_are_open(self):
        order = self.create_deposit_order(taxes=self.tax_20, confirm=False)
        order.milestone_line_ids[2].kind = "final"
        order.action_confirm()
        order.milestone_line_ids[:2].action_complete()
        self.assertEqual(order.milestone_schedule_id.amount_advance, 2500.0)
        order.milestone_line_ids[2].action_complete()
        self.assertEqual(order.milestone_schedule_id.amount_advance, 0.0)
        self.assertEqual(order.milestone_line_ids[2].invoice_ids.amount_untaxed, 2500.0)
        self.assertEqual(self.balance(self.advances, order), 0.0)
        order.milestone_line_ids[3].action_complete()
        self.assertBilledEqualsOrder(order)

    def test_stage_that_pays_back_recovers_nothing_pro_rata(self):
        order = self.create_deposit_order(
            shares=(25, 10, 65), taxes=self.tax_20, recovery="prorata", confirm=False
        )
        back = order.milestone_line_ids[1]
        back.write({"kind": "change", "amount_type": "fixed", "amount_fixed": -1000.0})
        order.action_confirm()
        order.milestone_line_ids[0].action_complete()
        back.action_complete()
        self.assertEqual(
            (back.invoice_ids.move_type, back.invoice_ids.amount_untaxed), ("out_refund", 1000.0)
        )
        self.assertEqual(order.milestone_schedule_id.amount_advance, 2500.0)
        order.milestone_line_ids[2].action_complete()
        self.assertEqual(order.milestone_schedule_id.amount_advance, 0.0)
        self.assertBilledEqualsOrder(order)
        self.assertTiedOut(order)

    def test_deposit_of_an_order_that_pays_back_is_no_advance(self):
        order = self.create_deposit_order(prices=(-1000.0,), taxes=self.tax_20)
        order.milestone_line_ids[0].action_complete()
        move = order.milestone_line_ids[0].invoice_ids
        self.assertEqual((move.move_type, move.amount_untaxed), ("out_refund", 250.0))
        self.assertFalse(move.milestone_is_advance)
        order.milestone_line_ids[1:].action_complete()
        self.assertBilledEqualsOrder(order)
        self.assertTiedOut(order)

    def test_deposit_after_all_stages_is_no_advance(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        order.milestone_line_ids[1:].action_complete()
        order.milestone_line_ids[0].action_complete()
        move = order.milestone_line_ids[0].invoice_ids
        self.assertFalse(move.milestone_is_advance)
        self.assertEqual(self.balance(self.advances, order), 0.0)
        self.assertBilledEqualsOrder(order)

    def test_deposit_may_go_once_its_recovery_is_credited(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        order.milestone_line_ids.action_complete()
        deposit = order.milestone_line_ids[0]
        order.milestone_line_ids[-1].invoice_ids._reverse_moves(cancel=True)
        deposit.invoice_ids.button_draft()
        deposit.invoice_ids.button_cancel()
        self.assertEqual((deposit.state, deposit.invoice_ids.state), ("planned", "cancel"))
        self.assertEqual(order.milestone_schedule_id.amount_advance, 0.0)
        self.assertTiedOut(order)

    def test_retainers_recover_no_deposit(self):
        order = self.create_deposit_order(shares=(25, 25, 50), recovery="prorata", confirm=False)
        order.milestone_line_ids[1].kind = "retainer"
        order.action_confirm()
        order.milestone_line_ids[:2].action_complete()
        self.assertEqual(order.milestone_schedule_id.amount_advance, 2500.0)
        order.milestone_line_ids[2].action_complete()
        self.assertEqual(order.milestone_schedule_id.amount_advance, 0.0)
        self.assertBilledEqualsOrder(order)

    def test_limit_of_deposits_bears_one_cent(self):
        self.company.write({"milestone_deposit_policy": "refuse", "milestone_deposit_limit": 30.0})
        for amount, is_refused in ((30.01, False), (30.02, True)):
            order = self.create_deposit_order(shares=(30, 70), prices=(100.0,), confirm=False)
            order.milestone_line_ids[0].write({"amount_type": "fixed", "amount_fixed": amount})
            if is_refused:
                with self.assertRaisesRegex(UserError, "The limit is 30"):
                    order.action_confirm()
            else:
                order.action_confirm()

    # === GIVEN BACK ===

    def test_refund_leaves_out_the_rate_that_is_recovered(self):
        order = self.create_order_with_one_rate_credited()
        answer = order.milestone_line_ids[0].refund_deposit()
        refund = self.env["account.move"].browse(answer["credit_note_id"])
        self.assertEqual((refund.amount_untaxed, refund.amount_tax), (250.0, 50.0))
        self.assertFalse(self.get_unrecovered(order))
        self.assertTiedOut(order)

    def test_issued_stage_is_no_deposit_to_refund(self):
        order = self.create_deposit_order()
        order.milestone_line_ids[1].action_complete()
        with self.assertRaisesRegex(UserError, "has no issued deposit invoice"):
            order.milestone_line_ids[1].refund_deposit()

    def test_drafted_deposit_is_one_open_position(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_deposit_order()
        deposit = order.milestone_line_ids[0]
        deposit.action_complete()
        positions = order.milestone_schedule_id._get_end_positions()
        self.assertEqual([row["kind"] for row in positions if row["line_id"] == deposit.id], ["draft"])
        deposit.invoice_ids._post()
        positions = order.milestone_schedule_id._get_end_positions()
        self.assertEqual([row["kind"] for row in positions if row["line_id"] == deposit.id], ["deposit"])

    def test_retainage_held_elsewhere_is_not_credited_here(self):
        order = self.create_retained_order()
        first, second = order.milestone_line_ids[:2]
        self.env["milestone.billing.opening"].create(
            {
                "line_id": first.id,
                "reference": "OLD-1",
                "date": "2025-01-31",
                "amount_untaxed": 2500.0,
                "amount_retained": 250.0,
            }
        )
        second.action_complete()
        with self.assertRaisesRegex(UserError, "held on invoices from before"):
            order.milestone_schedule_id._credit_retainage()

    def test_part_of_an_invoice_is_split_to_the_last_unit(self):
        order = self.create_order(
            shares=(33.33, 66.67),
            lines=[
                self.prepare_line(price, taxes)
                for price, taxes in ((33.33, self.tax_20), (77.77, self.tax_10), (0.07, self.tax_20))
            ],
        )
        order.milestone_line_ids[0].action_complete()
        invoice = order.milestone_line_ids[0].invoice_ids
        for held in range(1, 400, 7):
            parts = invoice._split_held(held)
            total = sum(values["amount_untaxed"] + values["amount_tax"] for values in parts.values())
            self.assertEqual(round(100 * total), held)

    def test_retainage_of_before_is_within_the_base_of_the_retainage(self):
        order = self.create_retained_order(self.tax_20, retainage_base="net")
        values = {"line_id": order.milestone_line_ids[0].id, "reference": "OLD-1", "date": "2025-01-31"}
        with self.assertRaisesRegex(UserError, "cannot be held back"):
            self.env["milestone.billing.opening"].create(
                {**values, "amount_untaxed": 2500.0, "amount_retained": 2500.01}
            )

    def test_last_open_milestone_bills_what_is_left(self):
        order = self.create_order()
        order.milestone_line_ids[:3].action_complete()
        last = order.milestone_line_ids[3]
        with self.assertRaisesRegex(UserError, "is the last open milestone and bills what is left"):
            last.complete(amount="2000.00")
        self.assertEqual(last.complete(amount="2500.00")[0]["amount_total"], 2500.0)

    # === PLAN ===

    def test_cancelled_share_leaves_its_part_to_the_remainder(self):
        order = self.create_order()
        first, cancelled, third, rest = order.milestone_line_ids
        cancelled.action_cancel()
        order.order_line.price_unit = 12000.0
        self.assertEqual((first + third + rest).mapped("amount_untaxed"), [3000.0, 3000.0, 6000.0])

    def test_milestone_beyond_the_shares_is_a_difference(self):
        """What passes the remainder is taken off the shares; what they cannot give is told, with them as agreed."""
        order = self.create_order()
        more = self.env["milestone.billing.line"].create(
            {"order_id": order.id, "name": "More", "amount_type": "fixed", "amount_fixed": 3000.0}
        )
        self.assertEqual(order.milestone_schedule_id.amount_difference, 0.0)
        amounts = (order.milestone_line_ids - more).mapped("amount_untaxed")
        self.assertEqual((amounts[-1], round(sum(amounts), 2)), (0.0, 7000.0))
        more.amount_fixed = 10500.0
        self.assertEqual(order.milestone_schedule_id.amount_difference, 8000.0)

    def test_billed_part_stays_after_its_credit_note(self):
        order = self.create_order(confirm=False)
        line = order.milestone_line_ids[0]
        line.write(
            {
                "allocation_mode": "lines",
                "allocation_ids": [Command.create({"order_line_id": order.order_line.id, "percent": 25.0})],
            }
        )
        order.action_confirm()
        line.action_complete()
        line.invoice_ids._reverse_moves(cancel=True)
        billed = line._get_billed_allocations()[:1].with_user(self.billing_user)
        with self.assertRaisesRegex(UserError, "is billed and does not move any more"):
            billed.percent = 30.0

    def test_billed_line_cannot_turn_its_sign(self):
        order = self.create_order()
        order.milestone_line_ids[0].action_complete()
        with self.assertRaisesRegex(UserError, "Milestones have billed"):
            order.order_line.price_unit = -10000.0

    # === BILLING ===

    def test_what_is_left_to_invoice_is_exact(self):
        order = self.create_order(shares=(33.33, 66.67), prices=(0.10,), taxes=self.tax_20)
        order.milestone_line_ids[0].action_complete()
        self.assertEqual(order.milestone_line_ids[0].invoice_ids.amount_total, 0.04)
        self.assertAlmostEqual(order.order_line.amount_to_invoice, 0.08, places=6)

    def test_stage_with_a_negative_net_may_still_be_an_invoice(self):
        order = self.create_order(
            shares=(50, 50),
            lines=[self.prepare_line(10.0, self.tax_20), self.prepare_line(-10.5)],
        )
        order.milestone_line_ids.action_complete()
        moves = order.milestone_line_ids.invoice_ids
        self.assertEqual(set(moves.mapped("move_type")), {"out_invoice"})
        self.assertEqual(round(sum(moves.mapped("amount_total")), 2), 1.5)
        self.assertBilledEqualsOrder(order)

    def test_cancelled_milestone_is_left_out(self):
        order = self.create_order()
        order.milestone_line_ids[1].action_cancel()
        order.milestone_line_ids[:2].action_complete()
        self.assertEqual(order.milestone_line_ids[:2].mapped("state"), ["approved", "cancelled"])
        self.assertFalse(order.milestone_line_ids[1].invoice_ids)

    def test_milestone_with_the_client_is_not_cancelled_under_its_draft(self):
        order = self.create_order(confirm=False)
        order.milestone_line_ids.approval_required = True
        order.action_confirm()
        line = order.milestone_line_ids[0]
        line.action_complete()
        self.assertEqual(line.state, "submitted")
        with self.assertRaisesRegex(UserError, "has an invoice"):
            line.action_cancel()

    def test_limit_is_that_of_the_company_of_the_order(self):
        other = self.env["res.company"].create({"name": "Other", "milestone_deposit_limit": 50.0})
        self.env.user.company_ids += other
        self.company.milestone_deposit_limit = 30.0
        schedule = self.create_deposit_order().milestone_schedule_id.with_company(other)
        self.assertEqual(schedule._get_deposit_limit_units(), 300000)

    def test_documents_are_booked_in_the_company_of_the_order(self):
        other = self.env["res.company"].create({"name": "Other"})
        self.env.user.company_ids += other
        self.company.downpayment_account_id = False
        order = self.create_deposit_order()
        for line in order.milestone_line_ids[:2]:
            line.sudo().with_company(other)._complete(trigger="date")
            items = line.invoice_ids.line_ids.filtered(lambda item: item.display_type == "product")
            self.assertEqual((line.invoice_ids.company_id, items.account_id), (self.company, self.revenue))

    def test_retainage_is_booked_in_the_company_of_the_order(self):
        """Somebody works in two companies and is in the other one at the moment."""
        other = self.setup_other_company()["company"]
        self.env.user.company_ids += other
        order = self.create_order(taxes=self.tax_20, confirm=False)
        order.milestone_schedule_id.retainage_percent = 10.0
        order.action_confirm()
        line = order.milestone_line_ids[0]
        line.with_context(allowed_company_ids=[other.id, self.company.id]).action_complete()
        accounts = line.invoice_ids.line_ids.account_id
        self.assertEqual(accounts, self.receivable + self.retainage + self.revenue + self.tax_account)
        schedule = order.milestone_schedule_id
        schedule.with_context(allowed_company_ids=[other.id, self.company.id]).release_retainage()
        release = order.milestone_line_ids.invoice_ids - line.invoice_ids
        self.assertEqual(release.line_ids.account_id, self.receivable + self.retainage)
        self.assertEqual(release.company_id, self.company)

    def test_what_is_left_to_invoice_of_a_line_is_its_price_less_what_is_billed(self):
        """A third of one piece is no quantity of two decimals: 0.33 x 1,200.00 would leave 804.00."""
        order = self.create_order(shares=(33.33, 66.67), prices=(1000.0,), taxes=self.tax_20)
        order.milestone_line_ids[0].action_complete()
        self.assertEqual(order.order_line.amount_invoiced, 399.96)
        self.assertEqual(round(order.order_line.amount_to_invoice, 2), 800.04)
        order.order_line.price_unit = 1100.0
        self.assertEqual(round(order.order_line.amount_to_invoice, 2), 920.04)

    def test_tie_out_compares_what_was_billed_before(self):
        order = self.create_order()
        opening = self.env["milestone.billing.opening"].create(
            {
                "line_id": order.milestone_line_ids[0].id,
                "reference": "OLD-1",
                "date": "2025-01-31",
                "amount_untaxed": 2500.0,
            }
        )
        self.assertTiedOut(order)
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE milestone_billing_opening SET amount_untaxed = 2400 WHERE id = %s", [opening.id]
        )
        self.env.invalidate_all()
        differences = order.milestone_schedule_id.tie_out()["differences"]
        self.assertIn("opening", [row["check"] for row in differences])
