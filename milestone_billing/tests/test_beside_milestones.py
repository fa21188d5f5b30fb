"""What stands beside the milestones of an order: deliveries, time sheets, sections, options, and other documents."""

from odoo import Command, fields
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_worked_figures_retainage import RetainageCommon


@tagged("post_install", "-at_install")
class TestBesideMilestones(RetainageCommon):
    """What a schedule owns is billed by it alone; the rest goes Odoo's usual way, and nothing is billed twice."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.goods = cls.env["product.product"].create(
            {
                "name": "Cable",
                "type": "consu",
                "invoice_policy": "delivery",
                "list_price": 100.0,
                "taxes_id": [Command.clear()],
            }
        )

    def assertInvoiced(self, order):
        """Every document together, milestones or not, comes to the order."""
        moves = order.invoice_ids.filtered(lambda move: move.state == "posted")
        for name in ("amount_untaxed", "amount_tax", "amount_total"):
            self.assertEqual(order.currency_id.compare_amounts(sum(moves.mapped(name)), order[name]), 0, name)
        self.assertEqual(order.invoice_status, "invoiced")

    def test_delivered_goods_are_billed_by_delivery(self):
        order = self.create_order(
            lines=[
                self.prepare_line(10000.0, self.tax_20),
                self.prepare_line(100.0, self.tax_20, 5.0, product_id=self.goods.id),
            ]
        )
        work, goods = order.order_line
        self.assertEqual(order.order_line.mapped("is_milestone_billed"), [True, False])
        self.assertEqual(order.milestone_schedule_id.amount_contract, 10000.0)
        order.milestone_line_ids[:2].action_complete()
        goods.qty_delivered = 2.0
        usual = order._create_invoices()
        self.assertEqual(usual.invoice_line_ids.sale_line_ids, goods)
        self.assertEqual(usual.amount_untaxed, 200.0)
        usual._post()
        self.assertFalse(usual.milestone_line_id)
        with self.assertRaises(UserError):
            order._create_invoices()
        order.milestone_line_ids[2:].action_complete()
        goods.qty_delivered = 5.0
        order._create_invoices()._post()
        self.assertEqual((work.qty_invoiced, goods.qty_invoiced), (1.0, 5.0))
        self.assertInvoiced(order)
        self.assertTrue(order.milestone_schedule_id.tie_out()["ok"])

    def test_returned_goods_are_credited_the_usual_way(self):
        """What comes back after its invoice is credited by “Create Invoice”, and takes nothing of a milestone back."""
        order = self.create_order(
            lines=[
                self.prepare_line(10000.0, self.tax_20),
                self.prepare_line(100.0, self.tax_20, 5.0, product_id=self.goods.id),
            ]
        )
        work, goods = order.order_line
        order.milestone_line_ids[:2].action_complete()
        goods.qty_delivered = 2.0
        order._create_invoices()._post()
        goods.qty_delivered = 1.0
        credit = order._create_invoices(final=True)
        self.assertEqual((credit.move_type, credit.amount_untaxed), ("out_refund", 100.0))
        self.assertEqual(credit.invoice_line_ids.sale_line_ids, goods)
        self.assertFalse(credit.milestone_line_id)
        credit._post()
        self.assertEqual((work.qty_invoiced, goods.qty_invoiced), (0.5, 1.0))
        order.milestone_line_ids[2:].action_complete()
        goods.qty_delivered = 5.0
        order._create_invoices()._post()
        self.assertEqual((work.qty_invoiced, goods.qty_invoiced), (1.0, 5.0))
        self.assertEqual(order.invoice_status, "invoiced")
        self.assertTrue(order.milestone_schedule_id.tie_out()["ok"])

    def test_time_sheets_are_billed_by_the_hour(self):
        if "hr_timesheet" not in self.env.registry._init_modules or not self.env.registry.get("hr.employee"):
            self.skipTest("time sheets are not installed")
        hours = self.env["product.product"].create(
            {
                "name": "Support",
                "type": "service",
                "service_policy": "delivered_timesheet",
                "service_tracking": "task_in_project",
                "taxes_id": [Command.clear()],
                "uom_id": self.env.ref("uom.product_uom_hour").id,
            }
        )
        order = self.create_order(
            lines=[
                self.prepare_line(10000.0, self.tax_20),
                self.prepare_line(90.0, self.tax_20, 10.0, product_id=hours.id),
            ]
        )
        work, support = order.order_line
        self.assertEqual(order.order_line.mapped("is_milestone_billed"), [True, False])
        employee = self.env["hr.employee"].sudo().create({"name": "Ada", "company_id": self.company.id})
        self.env["account.analytic.line"].sudo().create(
            {
                "name": "Help",
                "project_id": support.project_id.id or support.task_id.project_id.id,
                "task_id": support.task_id.id,
                "employee_id": employee.id,
                "unit_amount": 3.0,
            }
        )
        order.milestone_line_ids[0].action_complete()
        usual = order._create_invoices()
        self.assertEqual((usual.invoice_line_ids.sale_line_ids, usual.amount_untaxed), (support, 270.0))
        order.milestone_line_ids[1:].action_complete()
        self.assertEqual(work.qty_invoiced, 1.0)
        self.assertTrue(order.milestone_schedule_id.tie_out()["ok"])

    def test_sections_notes_options_and_units(self):
        dozen = self.env.ref("uom.product_uom_dozen")
        option = {"is_optional": True} if "is_optional" in self.env["sale.order.line"]._fields else {}
        order = self.create_order(
            shares=(33.33, 33.33, 33.34),
            lines=[
                Command.create({"display_type": "line_section", "name": "Building", "sequence": 1}),
                self.prepare_line(99.99, self.tax_20, 2.0, product_uom_id=dozen.id, sequence=2),
                Command.create({"display_type": "line_note", "name": "Without paint", "sequence": 3}),
                self.prepare_line(-10.01, self.tax_20, sequence=4),
                Command.create({"display_type": "line_section", "name": "Options", "sequence": 5, **option}),
                self.prepare_line(77.77, self.tax_20, 0.0, sequence=6),
            ],
        )
        priced = order.order_line.filtered(lambda line: not line.display_type)
        self.assertEqual(priced.mapped("is_milestone_billed"), [True] * 3)
        order.milestone_line_ids.action_complete()
        self.assertConserved(order)
        self.assertBilledEqualsOrder(order)
        self.assertTrue(order.milestone_schedule_id.tie_out()["ok"])
        billed = order.milestone_line_ids.invoice_ids.invoice_line_ids.sale_line_ids
        self.assertEqual(billed, priced[:2], "sections, notes and options that nobody took are not billed")
        self.assertEqual(priced[0].qty_invoiced, 2.0)

    def create_discount(self, computation):
        return self.env["account.payment.term"].create(
            {
                "name": f"2/7 Net 30, {computation}",
                "early_discount": True,
                "discount_percentage": 2.0,
                "discount_days": 7,
                "early_pay_discount_computation": computation,
                "line_ids": [Command.create({"value": "percent", "value_amount": 100, "nb_days": 30})],
            }
        )

    def test_early_payment_discount_leaves_the_order_billed_exactly(self):
        for computation in ("included", "excluded"):
            term = self.create_discount(computation)
            order = self.create_order(prices=(999.99,), taxes=self.tax_20, payment_term_id=term.id)
            order.milestone_line_ids.action_complete()
            self.assertBilledEqualsOrder(order)
            self.assertTrue(order.milestone_schedule_id.tie_out()["ok"], computation)
            self.assertConserved(order)

    def test_payment_term_in_parts_keeps_the_retainage_apart(self):
        term = self.env["account.payment.term"].create(
            {
                "name": "30 % now, the rest in 60 days",
                "line_ids": [
                    Command.create({"value": "percent", "value_amount": 30, "nb_days": 0}),
                    Command.create({"value": "percent", "value_amount": 70, "nb_days": 60}),
                ],
            }
        )
        order = self.create_retained_order(self.tax_20, retainage_due_days=180)
        order.payment_term_id = term
        order.milestone_line_ids[0].action_complete()
        invoice = order.milestone_line_ids[0].invoice_ids
        self.assertItems(
            invoice,
            (self.receivable, 900, 0),
            (self.receivable, 1800, 0),
            (self.retainage, 300, 0),
            (self.revenue, 0, 2500),
            (self.tax_account, 0, 500),
        )
        self.assertEqual(invoice.invoice_date_due, fields.Date.add(invoice.invoice_date, days=60))

    # === NUMBERS ===

    def test_numbers_follow_one_another_and_drafts_burn_none(self):
        """Deposit, stages, release: one series, in the order of posting; what is deleted leaves no gap."""
        self.company.milestone_invoice_posting = "draft"
        order = self.create_order(taxes=self.tax_20, confirm=False)
        order.milestone_line_ids[0].kind = "deposit"
        order.milestone_schedule_id.write({"deposit_mode": "advance", "retainage_percent": 10.0})
        order.action_confirm()
        deposit, first, second, final = order.milestone_line_ids
        order.milestone_line_ids.action_complete()
        second.invoice_ids.unlink()
        first.invoice_ids.button_cancel()
        (first + second).action_complete()
        numbers = []
        for line in (deposit, first, second, final):
            line._get_live_invoice()._post()
            numbers.append(line._get_live_invoice())
        release = self.env["account.move"].browse(
            order.milestone_schedule_id.release_retainage()["invoice_id"]
        )
        release._post()
        numbers.append(release)
        self.assertEqual(len({(move.journal_id, move.sequence_prefix) for move in numbers}), 1)
        start = numbers[0].sequence_number
        self.assertEqual([move.sequence_number for move in numbers], list(range(start, start + len(numbers))))
        self.assertRegex(first.reference, r"^\w+-M02$")
