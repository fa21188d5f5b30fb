import json

from odoo.addons.milestone_billing.tests.common import MilestoneBillingCommon
from odoo.tests import tagged

from .common import CryptoCommon


@tagged("post_install", "-at_install")
class TestMilestone(CryptoCommon, MilestoneBillingCommon):
    """A stage's invoice paid in stablecoins: evidence, and the next stage only at finality."""

    def test_receipt_is_in_the_evidence_of_its_milestone_and_pays_it_at_finality(self):
        order = self.create_order()
        line = order.milestone_line_ids[0]
        line.action_complete()
        invoice = line.invoice_ids
        if invoice.state == "draft":
            invoice.action_post()
        transaction = self.create_transaction(invoice)
        payment = self.env["milestone.billing.crypto.payment"].sudo()._ensure_for(transaction)
        payment._choose(self.usdc)
        self.pay(payment)
        self.watch(1)
        self.assertEqual(payment.state, "seen")
        self.assertNotEqual(line.invoice_status, "paid")
        self.watch(2)
        self.assert_paid(payment)
        line.invalidate_recordset()
        self.assertEqual(line.invoice_status, "paid")
        entries = line.sudo().evidence_ids.filtered(lambda entry: entry.type == "payment.tx")
        data = [json.loads(entry.body)["data"] for entry in entries]
        booked = [entry for entry in data if entry.get("tx_hash") == payment.transfer_ids.tx_hash]
        self.assertEqual([entry["state"] for entry in booked], ["booked"])
        self.assertEqual(booked[0]["base_units"], payment.transfer_ids.value)
        self.assertTrue(line.sudo().verify_evidence()["ok"])
