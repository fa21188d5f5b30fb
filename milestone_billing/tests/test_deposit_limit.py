"""How much deposits may ask for: no limit, a warning, or a refusal."""

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_worked_figures_deposit import DepositCommon


@tagged("post_install", "-at_install")
class TestDepositLimit(DepositCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company.write({"milestone_deposit_policy": "refuse", "milestone_deposit_limit": 30.0})

    def create_quotation(self, shares=(50, 50), deposits=1, **values):
        order = self.create_order(shares=shares, confirm=False, **values)
        order.milestone_line_ids[:deposits].kind = "deposit"
        return order

    def notes(self, order):
        return order.message_ids.filtered(lambda message: "deposits of" in (message.body or ""))

    def test_hard_limit_refuses_the_confirmation_with_figure_and_limit(self):
        order = self.create_quotation()
        with self.assertRaisesRegex(
            UserError, r"come to .*5,000\.00.*limit is 30 % of .*10,000\.00: .*3,000\.00"
        ):
            order.action_confirm()
        self.assertEqual(order.state, "draft")
        order.milestone_line_ids[0].percent = 30
        order.action_confirm()
        self.assertEqual(order.state, "sale")
        self.assertFalse(self.notes(order))

    def test_deposits_count_together(self):
        order = self.create_quotation(shares=(10, 10, 10.01, 69.99), deposits=3)
        with self.assertRaisesRegex(UserError, r"3,001\.00"):
            order.action_confirm()
        order.milestone_line_ids[2].action_cancel()
        order.action_confirm()
        self.assertEqual(order.state, "sale")

    def test_rounding_is_no_excess(self):
        order = self.create_quotation(shares=(30, 70), prices=(0.05, 33.33, 66.67))
        order.action_confirm()
        self.assertEqual(order.state, "sale")

    def test_soft_limit_shows_a_banner_and_leaves_a_note(self):
        self.company.milestone_deposit_policy = "warn"
        order = self.create_quotation()
        self.assertIn("3,000.00", order.milestone_deposit_note)
        order.action_confirm()
        self.assertEqual(order.state, "sale")
        self.assertIn("5,000.00", order.milestone_schedule_id.deposit_limit_note)
        self.assertEqual(len(self.notes(order)), 1)
        order.milestone_line_ids[0].action_complete()
        self.assertEqual(order.milestone_line_ids[0].invoice_ids.amount_untaxed, 5000.0)

    def test_no_limit_says_nothing(self):
        self.company.milestone_deposit_policy = "none"
        order = self.create_quotation()
        order.action_confirm()
        self.assertFalse(order.milestone_deposit_note)
        self.assertFalse(self.notes(order))

    def create_deposit_template(self):
        deposit = {
            "name": "Deposit",
            "kind": "deposit",
            "amount_type": "percent",
            "percent": 40.0,
            "approval_required": False,
        }
        return self.create_template(deposit, ("Rest", "remainder", 0.0))

    def create_empty_order(self):
        return self.env["sale.order"].create(
            {
                "partner_id": self.client_company.id,
                "order_line": [Command.create({"product_id": self.service.id, "price_unit": 1000.0})],
                "milestone_template_id": self.create_deposit_template().id,
            }
        )

    def test_template_above_the_limit_is_refused(self):
        order = self.create_empty_order()
        with self.assertRaisesRegex(UserError, r"come to .*400\.00"), self.cr.savepoint():
            order.action_apply_milestone_template()
        self.assertFalse(order.milestone_line_ids)

    def test_template_above_a_soft_limit_is_noted(self):
        self.company.milestone_deposit_policy = "warn"
        order = self.create_empty_order()
        order.action_apply_milestone_template()
        self.assertEqual(len(self.notes(order)), 1)
        self.assertEqual(len(order.milestone_line_ids), 2)

    def test_advance_above_the_limit_is_not_taken(self):
        order = self.create_deposit_order(shares=(30, 30, 40))
        first, second = order.milestone_line_ids[:2]
        first.action_complete()
        second.kind = "deposit"
        self.assertIn("6,000.00", second.blocked_reason)
        with self.assertRaisesRegex(UserError, r"6,000\.00.*3,000\.00"):
            second.action_complete()
        with self.assertRaisesRegex(UserError, r"6,000\.00.*3,000\.00"):
            second.complete()
        self.assertFalse(second.invoice_ids)
        second.kind = "progress"
        second.action_complete()
        self.assertEqual(second.invoice_status, "posted")

    def test_order_that_shrinks_holds_its_deposit_up(self):
        order = self.create_deposit_order(shares=(30, 70), confirm=False)
        deposit = order.milestone_line_ids[0]
        deposit.write({"amount_type": "fixed", "amount_fixed": 3000.0})
        order.action_confirm()
        order.order_line.price_unit = 8000.0
        with self.assertRaisesRegex(UserError, r"3,000\.00.*2,400\.00"):
            deposit.action_complete()

    def test_five_down_payments_of_thirty_percent_do_not_pass(self):
        order = self.create_deposit_order(shares=(30, 70))
        for _attempt in range(5):
            wizard = self.env["sale.advance.payment.inv"].create(
                {"sale_order_ids": order.ids, "advance_payment_method": "percentage", "amount": 30}
            )
            with self.assertRaisesRegex(UserError, "deposits included"):
                wizard.create_invoices()
        order.milestone_line_ids[0].action_complete()
        self.assertEqual(sum(order.invoice_ids.mapped("amount_untaxed")), 3000.0)

    def test_down_payments_taken_before_the_schedule_count(self):
        order = self.env["sale.order"].create(
            {
                "partner_id": self.client_company.id,
                "order_line": [self.prepare_line(10000.0)],
            }
        )
        order.action_confirm()
        self.env["sale.advance.payment.inv"].create(
            {"sale_order_ids": order.ids, "advance_payment_method": "percentage", "amount": 20}
        ).create_invoices()
        order.invoice_ids._post()
        order._action_cancel()
        order.action_draft()
        order.milestone_line_ids = [
            Command.create({"name": "Deposit", "kind": "deposit", "percent": 20.0}),
            Command.create({"name": "Rest", "amount_type": "remainder", "sequence": 20}),
        ]
        with self.assertRaisesRegex(UserError, r"4,000\.00.*3,000\.00"):
            order.milestone_schedule_id._check_deposit_limit()
        with self.assertRaisesRegex(UserError, "down payment on .*bill a deposit milestone instead"):
            order.action_confirm()

    def test_change_order_that_leaves_too_large_a_deposit(self):
        order = self.create_deposit_order(shares=(30, 70))
        order.milestone_line_ids[0].action_complete()
        website = order.order_line.filtered("is_milestone_billed")
        positions = [{"order_line_id": website.id, "price_unit": 5000.0}]
        propose = order.milestone_schedule_id.propose_change
        with self.assertRaisesRegex(UserError, r"3,000\.00.*30 % of .*5,000\.00: .*1,500\.00"):
            propose(positions, name="Smaller")
        self.company.milestone_deposit_policy = "warn"
        change = self.env["milestone.billing.change"].browse(propose(positions, name="Smaller")["change_id"])
        self.assertFalse(self.notes(order), "a proposal changes nothing yet")
        change.sudo()._finish({})
        self.assertEqual(order.amount_untaxed, 5000.0)
        self.assertEqual(len(self.notes(order)), 1)

    def test_ready_search_says_what_the_button_says(self):
        inside = self.create_deposit_order(shares=(30, 70))
        outside = self.create_deposit_order(shares=(30, 70))
        outside.milestone_line_ids[1].write({"kind": "deposit"})
        lines = (inside + outside).milestone_line_ids
        for policy in ("refuse", "warn", "none"):
            self.company.milestone_deposit_policy = policy
            lines.invalidate_recordset(["is_ready"])
            found = lines.search([("id", "in", lines.ids), ("is_ready", "=", True)])
            self.assertEqual(found, lines.filtered("is_ready"), policy)
            self.assertEqual(outside.milestone_line_ids[0] in found, policy != "refuse")
            self.assertIn(inside.milestone_line_ids[0], found)

    def test_limit_belongs_to_the_company_of_the_order(self):
        other = self.env["res.company"].create({"name": "Other"})
        self.assertEqual(other.milestone_deposit_policy, "none")
        self.env.user.company_ids += other
        order = self.create_quotation()
        with self.assertRaisesRegex(UserError, "limit is 30 %"):
            order.with_company(other).action_confirm()
