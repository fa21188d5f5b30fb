"""Ordinary things people do in Odoo beside billing milestones: nothing is billed twice, nothing gets lost or stuck."""

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from .test_worked_figures_deposit import DepositCommon


@tagged("post_install", "-at_install")
class TestOrdinaryOrders(DepositCommon):
    def test_orders_that_never_billed_are_deleted(self):
        quotation = self.create_order(confirm=False)
        quotation.milestone_line_ids[1].write(
            {
                "allocation_mode": "lines",
                "allocation_ids": [Command.create({"order_line_id": quotation.order_line.id, "percent": 50})],
            }
        )
        cancelled = self.create_order()
        self.env["milestone.billing.change"].create(
            {
                "order_id": cancelled.id,
                "name": "More",
                "line_ids": [Command.create({"order_line_id": cancelled.order_line.id, "quantity": 2.0})],
            }
        )
        cancelled.action_cancel()
        orders, lines = quotation | cancelled, (quotation | cancelled).milestone_line_ids
        orders.unlink()
        self.assertFalse(orders.exists() | lines.exists().order_id)

    def test_quotations_are_deleted_from_a_fresh_page(self):
        for shares in ((), (50, 50)):
            order = self.create_order(shares=shares, confirm=False)
            self.env.flush_all()
            self.env.invalidate_all()
            order.unlink()
            self.env.flush_all()
            self.assertFalse(order.exists())

    def test_billed_and_running_orders_are_kept(self):
        order = self.create_order()
        with self.assertRaisesRegex(UserError, "must first cancel"), self.env.cr.savepoint():
            order.unlink()
        self.assertConserved(order)
        order.milestone_line_ids[0].action_complete()
        order.action_cancel()
        with (
            self.assertRaisesRegex(UserError, "have invoices, so the order is kept"),
            self.env.cr.savepoint(),
        ):
            order.unlink()

    def test_opening_the_settings_of_a_schedule_leaves_plain_invoicing_alone(self):
        order = self.create_order(shares=(), confirm=False, taxes=self.tax_20)
        order.action_view_milestone_schedule()
        order.action_confirm()
        self.assertEqual(order._create_invoices().amount_untaxed, 10000.0)

    def test_milestones_of_a_confirmed_order_are_agreed_at_once(self):
        order = self.create_order(shares=(), taxes=self.tax_20)
        half = {"name": "Half", "percent": 50, "approval_required": False}
        with self.assertRaisesRegex(UserError, "5,000.00 short"), self.env.cr.savepoint():
            order.milestone_line_ids = [Command.create(half)]
        self.env.invalidate_all()
        rest = {"name": "Rest", "amount_type": "remainder", "approval_required": False}
        order.milestone_line_ids = [Command.create(half), Command.create(rest)]
        self.assertTrue(order.milestone_schedule_id.is_frozen)
        order.milestone_line_ids.action_complete()
        self.assertEqual(order.milestone_line_ids.invoice_ids.mapped("amount_total"), [6000.0, 6000.0])
        self.assertBilledEqualsOrder(order)

    def test_what_is_invoiced_already_gets_no_milestones(self):
        order = self.create_order(shares=(), taxes=self.tax_20)
        invoice = order._create_invoices()
        rest = {"name": "All", "amount_type": "remainder", "approval_required": False}
        with self.assertRaisesRegex(UserError, "milestones would bill it again"), self.env.cr.savepoint():
            order.milestone_line_ids = [Command.create(rest)]
        self.env.invalidate_all()
        invoice.unlink()
        order.milestone_line_ids = [Command.create(rest)]
        order.milestone_line_ids.action_complete()
        self.assertBilledEqualsOrder(order)

    def test_terms_of_what_is_billed_stay_in_a_quotation_too(self):
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids[0].action_complete()
        order.action_cancel()
        order.action_draft()
        tax_7 = self.create_tax("VAT 7 %", 7.0)
        for values in ({"tax_ids": [Command.set(tax_7.ids)]}, {"is_milestone_billed": False}):
            with self.assertRaisesRegex(UserError, "with the taxes it had"), self.env.cr.savepoint():
                order.order_line.write(values)
        with self.assertRaisesRegex(UserError, "2,500.00.*2,000.00"), self.env.cr.savepoint():
            order.order_line.price_unit = 2000.0

    def test_invoiced_quantity_follows_the_price(self):
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids.action_complete()
        self.assertEqual((order.invoice_status, order.order_line.qty_invoiced), ("invoiced", 1.0))
        order.order_line.price_unit = 20000.0
        self.assertEqual((order.invoice_status, order.order_line.qty_invoiced), ("no", 0.5))
        self.assertEqual(order.order_line.qty_invoiced_posted, 0.5)

    def test_expenses_that_are_billed_on_go_their_usual_way(self):
        order = self.create_order(taxes=self.tax_20)
        travel = self.env["product.product"].create(
            {
                "name": "Travel",
                "type": "service",
                "invoice_policy": "delivery",
                "expense_policy": "sales_price",
                "taxes_id": [Command.clear()],
            }
        )
        order.order_line = [Command.create({"product_id": travel.id, "price_unit": 55.0, "is_expense": True})]
        self.assertEqual(order.order_line.mapped("is_milestone_billed"), [True, False])
        self.assertEqual(order.milestone_schedule_id.amount_contract, 10000.0)

    def test_deposit_of_a_locked_order_is_billed_again_with_another_amount(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        deposit = order.milestone_line_ids[0]
        deposit.action_complete()
        deposit.invoice_ids._reverse_moves(cancel=True)
        deposit.action_cancel()
        order.order_line.filtered("is_milestone_billed").price_unit = 8000.0
        deposit.action_restore()
        order.action_lock()
        deposit.action_complete()
        self.assertTrue(order.locked)
        self.assertEqual(deposit._get_live_invoice().amount_untaxed, 2000.0)
        self.assertEqual(order.order_line.filtered("milestone_deposit_id").price_unit, 2000.0)

    def test_lines_of_a_billed_order_are_moved_although_rounding_went_to_one(self):
        self.company.tax_calculation_rounding_method = "round_globally"
        order = self.create_order(
            shares=(50, 50), lines=[self.prepare_line(10.01, self.tax_20, 0.33) for _line in range(4)]
        )
        order.milestone_line_ids.action_complete()
        for place, line in enumerate(order.order_line.sorted("id", reverse=True)):
            line.sequence = place
        order.order_line[0].discount = 0.0
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_line_events")
    def test_payment_stands_although_the_next_milestone_fails(self):
        order = self.create_order(taxes=self.tax_20)
        first, second = order.milestone_line_ids[:2]
        second.trigger = "previous_paid"
        first.action_complete()
        self.revenue.active = False
        self.pay(first.invoice_ids)
        self.assertEqual((first.invoice_status, second.state), ("paid", "planned"))
        self.assertFalse(second.invoice_ids)
        self.assertRegex(second.message_ids[0].body, "could not be completed.*is archived")
        self.revenue.active = True
        second.action_complete()
        self.assertEqual(second.invoice_status, "posted")

    def test_nobody_writes_what_confirming_and_billing_write(self):
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        groups = "sales_team.group_sale_salesman_all_leads,account.group_account_invoice"
        seller = new_test_user(
            self.env,
            "seller",
            groups,
            company_ids=[Command.set(self.company.ids)],
            company_id=self.company.id,
        )
        schedule, invoice = order.milestone_schedule_id.with_user(seller), line.invoice_ids.with_user(seller)
        for values in ({"is_frozen": False}, {"amount_frozen": 1.0}, {"order_id": self.create_order().id}):
            with self.assertRaises(AccessError), self.env.cr.savepoint():
                schedule.write(values)
        for values in (
            {"milestone_credited": True},
            {"milestone_document": False},
            {"milestone_line_id": False},
        ):
            with self.assertRaises(AccessError), self.env.cr.savepoint():
                invoice.write(values)
        with self.assertRaises(AccessError):
            self.env["account.move"].with_user(seller).create(
                {"move_type": "out_invoice", "milestone_line_id": line.id, "milestone_document": "stage"}
            )
        for values in ({"invoice_status": "paid"}, {"amount_untaxed": 1.0}):
            with self.assertRaises(AccessError), self.env.cr.savepoint():
                order.milestone_line_ids[1].with_user(seller).write(values)
        schedule.retainage_percent = 5.0
        invoice.ref = "Ours"

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_tie_out")
    def test_schedule_that_cannot_be_compared_does_not_stop_the_others(self):
        bad, good = self.create_order(), self.create_order()
        Schedule = type(self.env["milestone.billing.schedule"])
        tie_out = Schedule.tie_out

        def fail(schedule):
            if schedule.order_id == bad:
                raise ValueError("Broken")
            return tie_out(schedule)

        self.patch(Schedule, "tie_out", fail)
        with self.no_commits():
            self.env["milestone.billing.schedule"]._cron_tie_out()
        self.assertEqual(good.milestone_schedule_id.tie_out_state, "ok")
        self.assertEqual(bad.milestone_schedule_id.tie_out_state, "different")
        self.assertIn("Broken", bad.milestone_schedule_id.tie_out_note)

    def test_amounts_that_are_none_are_refused_in_words(self):
        line = self.create_order().milestone_line_ids[0]
        for amount in ("NaN", float("nan"), "Infinity", "ten"):
            with self.assertRaisesRegex(UserError, "is not an amount"):
                line.complete(amount=amount)


@tagged("post_install", "-at_install")
class TestOrdinaryInvoices(DepositCommon):
    def release(self, order):
        answer = order.milestone_schedule_id.release_retainage()
        return self.env["account.move"].browse(answer["invoice_id"])

    def create_draft(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids[0].action_complete()
        return order.milestone_line_ids[0].invoice_ids

    def test_retainage_is_not_paid_beside_its_release(self):
        order = self.create_retained_order(self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        invoice = line.invoice_ids
        self.pay(invoice)
        self.assertEqual((invoice.amount_residual, line.invoice_status), (300.0, "paid"))
        self.assertFalse(invoice._has_to_be_paid())
        self.assertRegex(invoice._get_milestone_payment_refusal(), "Nothing is due now")
        with self.assertRaisesRegex(UserError, "Release Retainage"), self.env.cr.savepoint():
            self.pay(invoice)
        payment = self.env["account.payment"].create(
            {
                "payment_type": "inbound",
                "partner_id": self.client_company.id,
                "amount": 300.0,
                "destination_account_id": self.retainage.id,
            }
        )
        payment.action_post()
        items = (payment.move_id | invoice).line_ids.filtered(lambda item: item.account_id == self.retainage)
        with self.assertRaisesRegex(UserError, "Release Retainage"), self.env.cr.savepoint():
            items.reconcile()
        release = self.release(order)
        self.pay(release)
        self.assertEqual((release.payment_state, invoice.payment_state), ("paid", "paid"))
        self.assertEqual(order.milestone_schedule_id.amount_retained, 0.0)

    def test_duplicates_bill_no_milestone(self):
        order = self.create_retained_order(self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        copy = line.invoice_ids.copy()
        self.assertFalse(copy.milestone_line_id or copy.milestone_label or copy.amount_retained)
        self.assertEqual(line.invoice_ids, line._get_live_invoice())
        release = self.release(order)
        with self.assertRaisesRegex(UserError, "without being a release"):
            release.copy()._post()

    def test_draft_in_another_currency_is_not_posted(self):
        draft = self.create_draft()
        euro = self.env.ref("base.EUR")
        euro.active = True
        draft.currency_id = euro
        with self.assertRaisesRegex(UserError, "is in EUR, its order in USD"):
            draft._post()

    def test_draft_with_another_tax_of_the_same_rate_is_not_posted(self):
        draft = self.create_draft()
        item = draft.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        item.tax_ids = self.tax_20.copy({"name": "Other 20 %"})
        with self.assertRaisesRegex(UserError, "with other taxes than the order"):
            draft._post()

    def test_invoice_of_a_milestone_on_hold_is_not_posted(self):
        draft = self.create_draft()
        draft.milestone_line_id.action_hold("The client objects")
        with (
            self.assertRaisesRegex(UserError, "is on hold: The client objects Resume"),
            self.env.cr.savepoint(),
        ):
            draft.action_post()
        draft.milestone_line_id.action_resume()
        draft.action_post()
        self.assertEqual(draft.state, "posted")

    def test_credited_invoice_is_not_cancelled_as_well(self):
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        invoice = line.invoice_ids
        credit = invoice._reverse_moves(cancel=True)
        line.action_complete()
        for name in ("button_cancel", "unlink"):
            refusal = f"is credited by {credit.name} already"
            with self.assertRaisesRegex(UserError, refusal), self.env.cr.savepoint():
                invoice.button_draft()
                getattr(invoice, name)()
        self.env.invalidate_all()
        self.assertEqual((line.state, invoice.state), ("approved", "posted"))
        self.assertConserved(order)

    def test_invoice_whose_retainage_was_released_is_not_cancelled(self):
        order = self.create_retained_order(self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        release = self.release(order)
        refusal = "300.00 of the retainage.*is released already"
        with self.assertRaisesRegex(UserError, refusal), self.env.cr.savepoint():
            line._get_live_invoice().button_cancel()
        self.env.invalidate_all()
        release._reverse_moves(cancel=True)
        line._get_live_invoice().button_cancel()
        self.assertEqual((line.state, order.milestone_schedule_id.amount_retained), ("planned", 0.0))

    def test_replacing_an_invoice_by_a_copy_is_left_to_the_milestone(self):
        order = self.create_order(taxes=self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        wizard = self.open_credit_wizard(line.invoice_ids)
        with self.assertRaisesRegex(UserError, "complete the milestone again"), self.env.cr.savepoint():
            wizard.modify_moves()
        wizard.refund_moves()
        self.assertEqual(wizard.new_move_ids.milestone_line_id, line)
        wizard.new_move_ids.action_post()
        self.assertEqual(line.state, "planned")

    def test_release_speaks_the_language_of_the_client(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        self.client_company.lang = "fr_FR"
        order = self.create_retained_order(self.tax_20)
        order.milestone_line_ids[0].action_complete()
        self.assertRegex(self.release(order).invoice_line_ids.name, "^Retenue de garantie")

    def test_discount_for_paying_early_is_not_granted_on_what_is_held_back(self):
        term = self.env["account.payment.term"].create(
            {
                "name": "2/7 Net 30",
                "early_discount": True,
                "discount_percentage": 2.0,
                "discount_days": 7,
                "early_pay_discount_computation": "included",
                "line_ids": [Command.create({"value": "percent", "value_amount": 100, "nb_days": 30})],
            }
        )
        order = self.create_order(taxes=self.tax_20, confirm=False, payment_term_id=term.id)
        order.milestone_schedule_id.retainage_percent = 10.0
        with self.assertRaisesRegex(UserError, "2/7 Net 30.*discount"), self.env.cr.savepoint():
            order.action_confirm()
        self.env.invalidate_all()
        order = self.create_retained_order(self.tax_20)
        with self.assertRaisesRegex(UserError, "2/7 Net 30.*discount"), self.env.cr.savepoint():
            order.payment_term_id = term

    def test_released_retainage_is_no_analytic_revenue(self):
        self.company.milestone_invoice_posting = "draft"
        plan = self.env["account.analytic.plan"].create(
            {
                "name": "Projects",
                "applicability_ids": [
                    Command.create({"business_domain": "invoice", "applicability": "mandatory"})
                ],
            }
        )
        account = self.env["account.analytic.account"].create({"name": "House", "plan_id": plan.id})
        self.env["account.analytic.distribution.model"].create(
            {"partner_id": self.client_company.id, "analytic_distribution": {str(account.id): 100}}
        )
        order = self.create_retained_order(self.tax_20)
        order.milestone_line_ids.action_complete()
        order.milestone_line_ids.invoice_ids.with_context(validate_analytic=True)._post()
        release = self.release(order)
        release.with_context(validate_analytic=True)._post()
        documents = order.milestone_line_ids.invoice_ids
        self.assertEqual(release.state, "posted")
        self.assertEqual(sum(documents.line_ids.analytic_line_ids.mapped("amount")), 10000.0)
