"""The guided end of a contract: each choice, its entries, and nothing half done."""

from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged

from .test_worked_figures_deposit import DepositCommon


class EndCommon(DepositCommon):
    def open_end(self, order):
        action = order.action_end_milestones()
        return self.env[action["res_model"]].browse(action["res_id"])

    def end(self, order, **choices):
        wizard = self.open_end(order)
        if "retainage" in choices:
            wizard.retainage_choice = choices.pop("retainage")
        for name, choice in choices.items():
            wizard.row_ids.filtered(lambda row, name=name: row.kind == name)[f"{name}_choice"] = choice
        wizard.reason = "The client stops the project."
        wizard.action_end()
        return wizard

    def kinds(self, wizard):
        return [(row.kind, row.amount_untaxed, row.amount_open) for row in wizard.row_ids.sorted("id")]

    def assertEnded(self, order):
        schedule = order.milestone_schedule_id
        self.assertEqual(order.state, "cancel")
        self.assertTrue(schedule.ended_on)
        self.assertEqual(schedule.tie_out()["differences"], [])
        self.assertFalse(order.milestone_line_ids.allocation_ids._filter_planned())
        self.assertFalse(order.milestone_line_ids.filtered(lambda line: line.state == "planned"))
        self.assertFalse(order.milestone_line_ids.invoice_ids.filtered(lambda move: move.state == "draft"))
        statement = schedule.get_statement()
        self.assertEqual(statement["contract_sum"], statement["completed_to_date"])
        self.assertEqual(statement["balance_to_finish"], statement["retainage"])
        rows = schedule._get_schedule_of_values()
        for column, name in (("scheduled_value", "contract_sum"), ("completed_to_date", "completed_to_date")):
            self.assertAlmostEqual(sum(float(row[column]) for row in rows), float(statement[name]), 2)
        for line in order.milestone_line_ids:
            entries = line.evidence_ids.filtered(lambda entry: entry.type == "contract.ended")
            self.assertLessEqual(len(entries), 1)
            self.assertTrue(line.verify_evidence()["ok"])
        self.assertIn("The contract has ended", order.message_ids[0].body)


@tagged("post_install", "-at_install")
class TestEnd(EndCommon):
    def test_each_open_position_is_shown_with_its_figures(self):
        order = self.create_deposit_order(shares=(20, 20, 20, 20, 20), taxes=self.tax_20)
        order.milestone_schedule_id.retainage_percent = 10
        deposit, first, second, third, last = order.milestone_line_ids
        (deposit + first + second).action_complete()
        self.pay(first.invoice_ids)
        self.company.milestone_invoice_posting = "draft"
        third.action_complete()
        wizard = self.open_end(order)
        self.assertEqual(
            self.kinds(wizard),
            [
                ("stage", 2000.0, 0.0),
                ("stage", 2000.0, 2160.0),
                ("draft", 2000.0, 0.0),
                ("deposit", 2000.0, 2400.0),
                ("retainage", 0.0, 480.0),
                ("unbilled", 2000.0, 0.0),
            ],
        )
        self.assertEqual(wizard.row_ids.filtered(lambda row: row.kind == "unbilled").line_id, last)
        self.assertTrue(order.milestone_needs_end)

    def test_wizard_keeps_what_is_chosen_in_its_lists(self):
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids[:2].action_complete()
        wizard = self.open_end(order)
        with Form(wizard) as form, form.stage_ids.edit(1) as row:
            row.stage_choice = "credit"
        self.assertEqual(
            wizard.row_ids.filtered(lambda row: row.kind == "stage").mapped("stage_choice"),
            ["keep", "credit"],
        )

    def test_unbilled_stages_and_drafts_are_cancelled_and_invoices_kept(self):
        order = self.create_order(taxes=self.tax_20)
        first, second, third, last = order.milestone_line_ids
        first.action_complete()
        self.company.milestone_invoice_posting = "draft"
        second.action_complete()
        self.end(order)
        self.assertEnded(order)
        self.assertRecordValues(
            first + second + third + last,
            [
                {"state": "approved", "invoice_status": "posted"},
                {"state": "cancelled", "invoice_status": "none"},
                {"state": "cancelled", "invoice_status": "none"},
                {"state": "cancelled", "invoice_status": "none"},
            ],
        )
        self.assertEqual(second.invoice_ids.state, "cancel")
        statement = order.milestone_schedule_id.get_statement()
        self.assertEqual((statement["contract_sum"], statement["change_orders"]), ("2500.00", "-7500.00"))
        changed = order.milestone_line_ids.filtered(
            lambda line: "contract.ended" in line.evidence_ids.mapped("type")
        )
        self.assertEqual(changed, second + third + last)
        self.assertIn("The client stops the project.", order.message_ids[0].body)

    def test_draft_is_posted_and_kept(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_order(taxes=self.tax_20)
        first = order.milestone_line_ids[0]
        first.action_complete()
        self.end(order, draft="post")
        self.assertEnded(order)
        self.assertEqual(first.invoice_ids.state, "posted")

    def test_unpaid_stage_is_credited_and_settled(self):
        order = self.create_order(taxes=self.tax_20)
        first, second = order.milestone_line_ids[:2]
        (first + second).action_complete()
        self.end(order, stage="credit")
        self.assertEnded(order)
        self.assertEqual((first + second).mapped("state"), ["cancelled", "cancelled"])
        self.assertEqual((first + second).mapped("invoice_status"), ["credited", "credited"])
        self.assertEqual(self.balance(self.receivable, order), 0.0)
        self.assertEqual(set(order.milestone_line_ids.invoice_ids.mapped("amount_residual")), {0.0})
        self.assertEqual(order.milestone_schedule_id.get_statement()["contract_sum"], "0.00")

    def test_paid_stage_that_is_credited_leaves_the_money_to_pay_back(self):
        order = self.create_order(taxes=self.tax_20)
        first = order.milestone_line_ids[0]
        first.action_complete()
        invoice = first.invoice_ids
        self.pay(invoice)
        self.end(order, stage="credit")
        self.assertEnded(order)
        credit = first.invoice_ids - invoice
        self.assertEqual((credit.move_type, credit.amount_residual), ("out_refund", 3000.0))
        self.assertIn(invoice.payment_state, ("paid", "in_payment"), "the payment stays where it was")

    def test_unearned_deposit_is_credited_with_its_tax(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        deposit, first = order.milestone_line_ids[:2]
        (deposit + first).action_complete()
        invoice = deposit.invoice_ids
        self.pay(invoice)
        self.end(order, deposit="credit")
        self.assertEnded(order)
        refund = deposit.invoice_ids - invoice
        self.assertItems(
            refund, (self.advances, 2500, 0), (self.tax_account, 500, 0), (self.receivable, 0, 3000)
        )
        self.assertEqual(self.balance(self.advances, order), 0.0)
        self.assertEqual(order.milestone_schedule_id.amount_advance, 0.0)

    def test_only_what_is_not_earned_of_a_deposit_is_credited(self):
        order = self.create_deposit_order(taxes=self.tax_20, recovery="prorata", prices=(3333.33, 6666.67))
        deposit, first = order.milestone_line_ids[:2]
        (deposit + first).action_complete()
        left = order.milestone_schedule_id.amount_advance
        self.assertEqual(left, 1666.67)
        self.end(order, deposit="credit")
        self.assertEnded(order)
        refund = deposit.invoice_ids.filtered(lambda move: move.move_type == "out_refund")
        self.assertEqual((refund.amount_untaxed, refund.amount_tax), (1666.67, 333.33))
        self.assertEqual(self.balance(self.advances, order), 0.0)
        self.assertEqual(self.balance(self.revenue, order), -3333.33)
        self.assertEqual(
            deposit.allocation_ids.move_id.filtered("milestone_is_advance")[:1].amount_residual, 1000.0
        )

    def test_deposit_kept_as_earned_becomes_revenue_without_tax(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        deposit, first = order.milestone_line_ids[:2]
        (deposit + first).action_complete()
        self.end(order, deposit="earn")
        self.assertEnded(order)
        earned = order.milestone_line_ids.filtered(
            lambda line: line.name == "Deposit kept as earned"
        ).invoice_ids
        self.assertEqual(earned.amount_total, 0.0)
        items = earned.line_ids.filtered(lambda item: item.account_id in self.advances + self.revenue)
        self.assertEqual(
            {item.account_id: item.balance for item in items}, {self.advances: 2500.0, self.revenue: -2500.0}
        )
        self.assertEqual(sum(earned.line_ids.filtered("tax_line_id").mapped("balance")), 0.0)
        self.assertEqual(self.balance(self.revenue, order), -5000.0)
        self.assertEqual(order.milestone_schedule_id.get_statement()["completed_to_date"], "5000.00")

    def test_retainage_is_asked_for(self):
        order = self.create_retained_order(self.tax_20)
        self.company.milestone_invoice_posting = "approval"
        order.milestone_line_ids[:2].action_complete()
        order.milestone_line_ids.invoice_ids._post()
        self.end(order, retainage="release")
        self.assertEnded(order)
        release = order.milestone_line_ids.filtered(lambda line: line.kind == "retainage_release").invoice_ids
        self.assertEqual((release.state, release.amount_total), ("posted", 600.0))
        self.assertEqual(self.balance(self.retainage, order), 0.0)

    def test_retainage_is_left_held_and_released_later(self):
        order = self.create_retained_order(self.tax_20)
        order.milestone_line_ids[:2].action_complete()
        self.end(order, retainage="keep")
        self.assertEnded(order)
        schedule = order.milestone_schedule_id
        self.assertEqual(self.balance(self.retainage, order), 600.0)
        self.assertEqual(schedule.get_statement()["balance_to_finish"], "500.00")
        self.assertEqual(schedule.release_retainage()["amount"], 600.0)
        self.assertEqual(schedule.tie_out()["differences"], [])

    def test_retainage_that_the_client_keeps_is_credited_with_its_tax(self):
        for base, net, tax in (("gross", 250.0, 50.0), ("net", 208.33, 41.67)):
            order = self.create_retained_order(self.tax_20, retainage_base=base)
            first = order.milestone_line_ids[0]
            first.action_complete()
            self.end(order, retainage="credit")
            self.assertEnded(order)
            credit = first.invoice_ids.filtered(lambda move: move.move_type == "out_refund")
            self.assertItems(
                credit,
                (self.revenue, net, 0),
                (self.tax_account, tax, 0),
                (self.retainage, 0, net + tax),
            )
            self.assertEqual(self.balance(self.retainage, order), 0.0)
            self.assertEqual(order.milestone_schedule_id.amount_retained, 0.0)

    def test_retainage_whose_tax_waits_is_not_credited_by_the_end(self):
        order = self.create_retained_order(self.tax_20, retainage_base="net", retainage_tax="release")
        order.milestone_line_ids[0].action_complete()
        with self.assertRaisesRegex(UserError, "Take from Retainage"):
            self.end(order, retainage="credit")
        self.env.invalidate_all()
        self.end(order, retainage="release")
        self.assertEnded(order)
        self.assertEqual(self.balance(self.retainage, order), 0.0)

    def test_odd_retainage_is_credited_to_the_last_unit(self):
        order = self.create_order(
            shares=(33.33, 66.67), prices=(33.33, 77.77, 0.07), taxes=self.tax_20, confirm=False
        )
        order.milestone_schedule_id.retainage_percent = 7.77
        order.action_confirm()
        order.milestone_line_ids[0].action_complete()
        self.end(order, retainage="credit")
        self.assertEnded(order)
        self.assertEqual(self.balance(self.retainage, order), 0.0)

    def test_everything_at_once_comes_to_nothing(self):
        order = self.create_deposit_order(taxes=self.tax_20, recovery="prorata")
        order.milestone_schedule_id.retainage_percent = 10
        order.milestone_line_ids[:3].action_complete()
        stages = order.milestone_line_ids[1:3].invoice_ids
        self.end(order, stage="credit", deposit="credit")
        self.assertEnded(order)
        for account in (self.advances, self.revenue, self.retainage, self.tax_account, self.receivable):
            self.assertEqual(self.balance(account, order), 0.0, account.code)
        self.assertEqual(set(stages.mapped("amount_residual")), {0.0})

    def test_refused_release_leaves_everything_as_it_was(self):
        order = self.create_retained_order(self.tax_20)
        first, second = order.milestone_line_ids[:2]
        (first + second).action_complete()
        project = self.env["project.project"].sudo().create({"name": "House"})
        self.env["project.task"].sudo().create(
            {
                "name": "Crack",
                "project_id": project.id,
                "milestone_billing_line_id": first.id,
                "is_milestone_defect": True,
            }
        )
        moves = self.env["account.move"].search_count([])
        entries = self.env["milestone.billing.evidence"].search_count([])
        wizard = self.open_end(order)
        wizard.row_ids.filtered(lambda row: row.line_id == second).stage_choice = "credit"
        with self.assertRaisesRegex(UserError, "open defects: Crack"):
            wizard.action_end()
        self.env.invalidate_all()
        self.assertEqual(self.env["account.move"].search_count([]), moves)
        self.assertEqual(self.env["milestone.billing.evidence"].search_count([]), entries)
        self.assertEqual((order.state, second.invoice_status), ("sale", "posted"))
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])

    def test_contract_that_changed_meanwhile_is_looked_at_again(self):
        order = self.create_order()
        order.milestone_line_ids[0].action_complete()
        wizard = self.open_end(order)
        order.milestone_line_ids[1].action_complete()
        with self.assertRaisesRegex(UserError, "has changed since"):
            wizard.action_end()

    def test_deposit_that_a_credited_stage_gives_back_is_decided_about(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        order.milestone_line_ids.action_complete()
        self.assertEqual(order.milestone_schedule_id.amount_advance, 0.0)
        wizard = self.open_end(order)
        final = order.milestone_line_ids[-1].invoice_ids
        wizard.row_ids.filtered(lambda row: row.move_id == final).stage_choice = "credit"
        with self.assertRaisesRegex(UserError, "is not earned any more"):
            wizard.action_end()
        self.assertEqual(order.state, "sale")


@tagged("post_install", "-at_install")
class TestEndAccess(EndCommon):
    def test_plain_cancellation_says_what_to_do_with_open_money(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        order.milestone_schedule_id.retainage_percent = 10
        order.milestone_line_ids[:2].action_complete()
        with self.assertRaisesRegex(UserError, r"2,500.00 not earned.*300.00 of retainage.*“End Contract”"):
            order.action_cancel()
        self.assertEqual(order.state, "sale")
        with self.assertRaises(UserError):
            order.with_context(milestone_internal_write=True).action_cancel()

    def test_plain_cancellation_keeps_invoices_and_cancels_drafts(self):
        order = self.create_order()
        order.milestone_line_ids[0].action_complete()
        order.action_cancel()
        self.assertEqual((order.state, order.milestone_line_ids[0].invoice_status), ("cancel", "posted"))

    def test_only_billing_users_end_a_contract(self):
        order = self.create_order()
        order.milestone_line_ids[0].action_complete()
        with self.assertRaises(AccessError):
            order.with_user(self.project_user).action_end_milestones()
        wizard = self.open_end(order)
        with self.assertRaises(AccessError):
            wizard.with_user(self.project_user).action_end()
        self.env["milestone.billing.end"].with_user(self.billing_user)._open(
            order.with_user(self.billing_user)
        )
        user_wizard = self.env["milestone.billing.end"].with_user(self.billing_user).search([], limit=1)
        user_wizard.action_end()
        self.assertEnded(order)

    def test_locked_and_unconfirmed_orders_are_refused(self):
        order = self.create_order(confirm=False)
        with self.assertRaisesRegex(UserError, "not confirmed"):
            order.action_end_milestones()
        order.action_confirm()
        order.milestone_line_ids[0].action_complete()
        order.action_lock()
        with self.assertRaisesRegex(UserError, "locked"):
            order.action_end_milestones()

    def test_order_taken_up_again_is_not_ended_any_more(self):
        order = self.create_order()
        order.milestone_line_ids[0].action_complete()
        self.end(order)
        order.action_draft()
        self.assertFalse(order.milestone_schedule_id.ended_on)
        order.milestone_line_ids.filtered(lambda line: line.state == "cancelled").action_restore()
        order.action_confirm()
        self.assertConserved(order)
        order.milestone_line_ids.filtered(lambda line: line.state == "planned").action_complete()
        self.assertBilledEqualsOrder(order)
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])
