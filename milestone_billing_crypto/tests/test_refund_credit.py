from odoo import Command
from odoo.exceptions import UserError, ValidationError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger
from odoo.tools.safe_eval import safe_eval
from psycopg2 import IntegrityError

from .common import MILLION, CryptoCommon

MANAGER = "milestone_billing_crypto.milestone_billing_crypto_group_manager,account.group_account_invoice"


@tagged("post_install", "-at_install")
class TestRefundCredit(CryptoCommon):
    """A refund settles a credit note of its own customer who paid, and no other."""

    def setUp(self):
        super().setUp()
        self.payment = self.create_payment(1500)
        self.pay_and_settle(self.payment)

    def credit(self, amount=200, **values):
        """Return a posted credit note of the customer."""
        note = self.env["account.move"].create(
            {
                "move_type": "out_refund",
                "partner_id": self.partner_a.id,
                "invoice_date": "2024-01-01",
                "currency_id": self.env.ref("base.USD").id,
                "invoice_line_ids": [Command.create({"name": "x", "price_unit": amount, "tax_ids": False})],
                **values,
            }
        )
        note.action_post()
        return note

    def refund(self, **values):
        """Return a refund of 200."""
        return self.env["milestone.billing.crypto.refund"].create(
            {"payment_id": self.payment.id, "token_id": self.usdc.id, "amount": 200, **values}
        )

    @mute_logger("odoo.sql_db")
    def test_amount_is_positive(self):
        for amount in (-1, 0):
            draft = self.env["milestone.billing.crypto.refund"].new(
                {"payment_id": self.payment.id, "token_id": self.usdc.id, "amount": amount}
            )
            self.assertEqual(draft.base_units, "0")
            with self.assertRaisesRegex(IntegrityError, "amount_positive"), self.env.cr.savepoint():
                self.refund(amount=amount)

    def test_credit_note_of_another_customer_company_or_kind_is_refused(self):
        refund, good = self.refund(), self.credit()
        draft = self.credit()
        draft.button_draft()
        other_company = self.env["res.company"].create({"name": "Other"})
        elsewhere = self.credit()
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE account_move SET company_id = %s WHERE id = %s", [other_company.id, elsewhere.id]
        )
        elsewhere.invalidate_recordset()
        bad = (
            self.credit(partner_id=self.partner_b.id),
            draft,
            elsewhere,
            self.invoice_of(self.payment),
        )
        manager = new_test_user(self.env, "crypto_creditor", groups=MANAGER)
        for note in bad:
            for record in (refund, refund.with_user(manager)):
                with self.assertRaisesRegex(ValidationError, "customer who paid"):
                    record.credit_note_id = note.id
                record.invalidate_recordset()
            with self.assertRaisesRegex(ValidationError, "customer who paid"):
                self.refund(credit_note_id=note.id)
        refund.with_user(manager).credit_note_id = good.id
        self.assertEqual(refund.credit_note_id, good)
        self.assertEqual(self.offered(refund), good, "the form offers no other")

    def offered(self, refund):
        """Return the credit notes that the form offers."""
        names = {"company_id": refund.company_id.id, "partner_id": refund.partner_id.id}
        domain = safe_eval(refund._fields["credit_note_id"].domain, names)
        return self.env["account.move"].search(domain)

    def test_credit_note_is_settled_also_on_another_receivable_account(self):
        account = self.partner_a.property_account_receivable_id
        self.partner_a.property_account_receivable_id = account.copy({"name": "Receivable B"})
        note = self.credit()
        self.partner_a.property_account_receivable_id = account
        refund = self.refund(credit_note_id=note.id)
        refund.sudo()._confirm_address(self.payers[7])
        refund.tx_hash = self.usdc_contract.send("transfer", self.payers[7], 200 * MILLION, sender=1)
        self.evm.mine(4)
        refund.action_find()
        self.assertEqual((refund.state, note.amount_residual), ("done", 0))
        self.assertIn(note.payment_state, ("paid", "in_payment"))

    def test_booked_refund_is_history(self):
        refund = self.refund()
        refund.sudo()._confirm_address(self.payers[7])
        refund.tx_hash = self.usdc_contract.send("transfer", self.payers[7], 200 * MILLION, sender=1)
        self.evm.mine(4)
        refund.action_find()
        for values in ({"credit_note_id": self.credit().id}, {"tx_hash": "0x" + "ab" * 32}, {"gas_cost": 9}):
            with self.assertRaises(UserError):
                refund.write(values)
