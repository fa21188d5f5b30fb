from odoo.tests import tagged

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestMainJob(MilestoneBillingCommon):
    """The seller's own example: 10,000.00 in four quarters."""

    def test_four_quarters_bill_and_pay_in_sequence(self):
        order = self.create_order(confirm=False)
        for line, name in zip(
            order.milestone_line_ids,
            ("Deposit at start", "Designs approved", "Build complete", "Launch"),
            strict=True,
        ):
            line.name = name
        order.action_confirm()
        self.assertRecordValues(
            order.milestone_line_ids, [{"amount_untaxed": 2500.0, "state": "planned"}] * 4
        )
        billed = self.env["account.move"]
        for place, line in enumerate(order.milestone_line_ids, start=1):
            line.action_complete()
            invoice = line.invoice_ids
            self.assertRecordValues(invoice, [{"state": "posted", "amount_total": 2500.0}])
            section = invoice.invoice_line_ids.filtered(lambda item: item.display_type == "line_section")
            self.assertIn(f"Milestone {place} of 4: {line.name}", section.name)
            self.assertEqual(line.invoice_status, "posted")
            self.pay(invoice)
            self.assertEqual(line.invoice_status, "paid")
            billed += invoice
            self.assertConserved(order)
        self.assertEqual(billed.mapped("name"), sorted(billed.mapped("name")))
        self.assertBilledEqualsOrder(order)
        self.assertEqual(order.invoice_status, "invoiced")
        self.assertEqual(order.order_line.qty_invoiced, 1.0)
        self.assertEqual(order.order_line.amount_to_invoice, 0.0)

    def test_next_milestone_opens_when_the_previous_one_is_paid(self):
        order = self.create_order(confirm=False)
        order.milestone_line_ids[1].trigger = "previous_paid"
        order.action_confirm()
        first, second = order.milestone_line_ids[:2]
        first.action_complete()
        self.assertEqual(second.state, "planned")
        self.pay(first.invoice_ids)
        self.assertEqual(second.state, "approved")
        self.assertEqual(second.invoice_ids.amount_total, 2500.0)

    def test_confirming_the_order_bills_the_deposit(self):
        order = self.create_order(confirm=False)
        order.milestone_line_ids[0].write({"trigger": "order_confirmed", "kind": "deposit"})
        order.action_confirm()
        self.assertEqual(order.milestone_line_ids[0].invoice_ids.amount_untaxed, 2500.0)
