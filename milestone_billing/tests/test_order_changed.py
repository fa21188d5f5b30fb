"""The order changes after it was billed: billed stages never move, and what cannot be is refused with its figure."""

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_worked_figures_deposit import DepositCommon


@tagged("post_install", "-at_install")
class TestOrderChanged(DepositCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.order = cls.create_order(taxes=cls.tax_20)
        cls.schedule = cls.order.milestone_schedule_id
        cls.order.milestone_line_ids[0].action_complete()

    def amounts(self):
        return self.order.milestone_line_ids.mapped("amount_untaxed")

    def assertRight(self, *amounts):
        self.assertEqual(self.amounts(), list(amounts))
        self.assertConserved(self.order)
        self.assertEqual(self.schedule.tie_out()["differences"], [])
        self.order.milestone_line_ids.filtered(lambda line: line.state == "planned").action_complete()
        self.assertBilledEqualsOrder(self.order)
        self.assertEqual(self.schedule.amount_over_billed, 0.0)

    def test_what_is_shown_of_open_stages_is_what_they_bill(self):
        """Spread anew after the second stage was billed, the third would be 2,854.17."""
        order = self.create_order(prices=(1250.0, 10000.0))
        lines = order.milestone_line_ids
        lines[0].action_complete()
        order.order_line[0].price_unit = 1375.0
        lines[1].action_complete()
        shown = lines.mapped("amount_untaxed")
        self.assertEqual([round(amount, 2) for amount in shown], [2812.5, 2854.17, 2854.16, 2854.17])
        lines[2:].action_complete()
        self.assertEqual(
            [round(move.amount_untaxed, 2) for move in lines.invoice_ids.sorted("id")],
            [round(amount, 2) for amount in shown],
        )

    def test_quantity_up_is_spread_over_open_stages(self):
        self.order.order_line.product_uom_qty = 1.3
        self.assertRight(2500.0, 3500.0, 3500.0, 3500.0)
        self.assertEqual(self.order.order_line.qty_invoiced, 1.3)

    def test_quantity_down_is_spread_over_open_stages(self):
        self.order.order_line.product_uom_qty = 0.7
        self.assertRight(2500.0, 1500.0, 1500.0, 1500.0)

    def test_price_changes_open_stages_only(self):
        self.order.order_line.price_unit = 10000.01
        self.assertEqual(self.order.milestone_line_ids[0].invoice_ids.amount_untaxed, 2500.0)
        self.assertRight(2500.0, 2500.0, 2500.01, 2500.0)

    def test_new_line_is_spread_with_its_tax(self):
        self.order.order_line = [self.prepare_line(300.0, self.tax_20)]
        self.assertRight(2500.0, 2600.0, 2600.0, 2600.0)

    def test_line_that_is_not_billed_can_be_taken_to_zero(self):
        self.order.order_line = [self.prepare_line(300.0, self.tax_20)]
        self.order.order_line[1].product_uom_qty = 0.0
        self.assertRight(2500.0, 2500.0, 2500.0, 2500.0)

    def test_billed_line_is_not_removed(self):
        with self.assertRaisesRegex(UserError, "billed by a milestone"), self.env.cr.savepoint():
            self.order.order_line.unlink()
        with self.assertRaisesRegex(UserError, "2,500.00.*0.00"), self.env.cr.savepoint():
            self.order.order_line.product_uom_qty = 0.0

    def test_below_what_is_billed_is_refused_with_the_figure(self):
        for values in ({"price_unit": 2499.99}, {"product_uom_qty": 0.2}, {"discount": 80.0}):
            with self.assertRaisesRegex(UserError, "2,500.00"), self.env.cr.savepoint():
                self.order.order_line.write(values)
        self.env.invalidate_all()
        self.order.order_line.price_unit = 2500.0
        self.assertRight(2500.0, 0.0, 0.0, 0.0)

    def test_currency_of_a_confirmed_order_stays(self):
        euro = self.env.ref("base.EUR")
        euro.active = True
        pricelist = self.env["product.pricelist"].create({"name": "Euro", "currency_id": euro.id})
        with self.assertRaises(UserError):
            self.order.pricelist_id = pricelist
        self.assertEqual(self.order.currency_id, self.schedule.currency_id)

    def test_taxes_of_a_billed_line_stay(self):
        tax_7 = self.create_tax("VAT 7 %", 7.0)
        for values in ({"tax_ids": [Command.set(tax_7.ids)]}, {"is_milestone_billed": False}):
            with self.assertRaisesRegex(UserError, "with the taxes it had"), self.env.cr.savepoint():
                self.order.order_line.write(values)
        self.env.invalidate_all()
        self.order.order_line.write({"tax_ids": [Command.set(self.tax_20.ids)]})
        self.assertRight(2500.0, 2500.0, 2500.0, 2500.0)

    def test_taxes_change_once_the_stage_is_credited(self):
        tax_7 = self.create_tax("VAT 7 %", 7.0)
        self.order.milestone_line_ids[0].invoice_ids._reverse_moves(cancel=True)
        self.order.milestone_line_ids[0].action_cancel()
        self.order.order_line.tax_ids = tax_7
        self.order.milestone_line_ids.filtered(lambda line: line.state == "planned").action_complete()
        live = self.order.milestone_line_ids.invoice_ids.filtered("milestone_claim")
        self.assertEqual(sum(live.mapped("amount_tax")), 700.0)

    def test_over_billed_is_shown_with_its_figure(self):
        self.order.milestone_line_ids.filtered(lambda line: line.state == "planned").action_complete()
        self.order.order_line = [self.prepare_line(-500.0, self.tax_20)]
        self.assertEqual(self.schedule.amount_over_billed, 500.0)
        self.assertEqual(self.order.milestone_amount_over_billed, 500.0)
        self.assertEqual(self.schedule.get_statement()["balance_to_finish"], "-500.00")
        last = self.order.milestone_line_ids[-1]
        credit = last.invoice_ids._reverse_moves(cancel=True)
        self.assertEqual(credit.state, "posted")
        self.assertEqual(self.schedule.amount_over_billed, 0.0)

    def test_drafts_count_as_billed_until_they_are_deleted(self):
        self.company.milestone_invoice_posting = "draft"
        self.order.milestone_line_ids[1].action_complete()
        with self.assertRaisesRegex(UserError, "5,000.00"), self.env.cr.savepoint():
            self.order.order_line.price_unit = 4000.0
        self.env.invalidate_all()
        self.order.milestone_line_ids[1].invoice_ids.unlink()
        self.order.order_line.price_unit = 4000.0
        self.assertEqual(self.amounts(), [2500.0, 500.0, 500.0, 500.0])

    def test_release_is_known_by_its_name(self):
        order = self.create_retained_order(self.tax_20)
        order.milestone_line_ids[0].action_complete()
        result = order.milestone_schedule_id.release_retainage()
        release = self.env["account.move"].browse(result["invoice_id"])
        line = release.milestone_line_id
        self.assertEqual(release.milestone_label, f"Retainage release ({line.reference})")
        self.assertFalse(line.position_label)
        self.assertEqual(order.milestone_line_ids[0]._get_invoice_label(), "Milestone 1 of 4: Stage 1")

    def test_documents_keep_the_number_of_milestones_they_were_made_with(self):
        """A milestone that a change order adds counts from then on: banner, lines and paper of a draft stay as one."""
        self.company.milestone_invoice_posting = "draft"
        order = self.create_order()
        second = order.milestone_line_ids[1]
        second.action_complete()
        draft = second.invoice_ids
        # As if the draft was made before: everything in a test happens at the same moment.
        self.env.cr.execute(
            "UPDATE account_move SET create_date = create_date - interval '1 day' WHERE id = %s", [draft.id]
        )
        self.env.cr.execute(
            "UPDATE milestone_billing_line SET create_date = create_date - interval '2 days' WHERE order_id = %s",
            [order.id],
        )
        self.env.invalidate_all()
        change = order.milestone_schedule_id.propose_change(
            [{"product_id": self.service.id, "name": "Extra", "price_unit": 50.0}]
        )
        self.env["milestone.billing.change"].sudo().browse(change["change_id"])._finish({})
        self.assertEqual(second.position_label, "2 of 5")
        label = f"Milestone 2 of 4: Stage 2 ({second.reference})"
        self.assertEqual(draft.milestone_label, label)
        section = draft.invoice_line_ids.filtered(lambda item: item.display_type == "line_section")
        self.assertEqual(section.name, label)
        paper = draft._get_milestone_paper()
        self.assertEqual((paper["label"], len(paper["rows"])), ("Milestone 2 of 4: Stage 2", 4))
        self.assertEqual(second._prepare_snapshot_milestone()["of"], 4)
        third = order.milestone_line_ids[2]
        third.action_complete()
        self.assertTrue(third.invoice_ids.milestone_label.startswith("Milestone 3 of 5: Stage 3"))
        draft._post()
        credit = draft._reverse_moves(cancel=True)
        self.assertEqual(credit.milestone_label, label)


@tagged("post_install", "-at_install")
class TestChargesInTheStatement(DepositCommon):
    def test_charges_on_demand_are_the_contract_and_no_change_of_it(self):
        self.service.taxes_id = self.tax_20
        enrolment = self.env["milestone.billing.enrolment"].create(
            {
                "partner_id": self.client_company.id,
                "company_id": self.company.id,
                "product_id": self.service.id,
                "amount_default": 500.0,
                "approval_required": False,
            }
        )
        schedule = enrolment.order_id.milestone_schedule_id
        for amount in (500.0, 99.99):
            enrolment.charge(amount, "Work done")
        statement = schedule.get_statement()
        self.assertEqual(
            {name: statement[name] for name in ("contract_sum_original", "change_orders", "contract_sum")},
            {"contract_sum_original": "599.99", "change_orders": "0.00", "contract_sum": "599.99"},
        )
        enrolment._refund(99.99, "Not used")
        statement = schedule.get_statement()
        self.assertEqual((statement["contract_sum"], statement["change_orders"]), ("500.00", "0.00"))
        self.assertEqual(schedule.tie_out()["differences"], [])
        self.assertConserved(enrolment.order_id)
        result = schedule.propose_change(
            [{"product_id": self.service.id, "name": "Extra", "price_unit": 50.0}]
        )
        self.env["milestone.billing.change"].sudo().browse(result["change_id"])._finish({})
        self.assertEqual(schedule.get_statement()["change_orders"], "50.00")
