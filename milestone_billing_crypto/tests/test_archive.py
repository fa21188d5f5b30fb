from datetime import timedelta

from odoo import Command, fields
from odoo.exceptions import UserError
from odoo.tests import tagged

from .common import MILLION, CryptoCommon


@tagged("post_install", "-at_install")
class TestArchive(CryptoCommon):
    """What is taken out of use leaves nothing behind that waits for it."""

    def assert_refused(self, words):
        """Archiving the network is refused with these words, and it goes on being read."""
        with self.assertRaisesRegex(UserError, words):
            self.chain.active = False
        self.chain.invalidate_recordset(["active"])
        self.assertTrue(self.chain.active)
        self.assertIn(self.chain, self.chain._find_watched())

    def stop_offering(self):
        """Let no provider send payers to the network any more."""
        other = self.chain.copy({"name": "Other", "evm_id": 424242})
        token = self.usdc.copy({"chain_id": other.id, "verified_on": fields.Datetime.now()})
        self.provider.crypto_token_ids = [Command.set(token.ids)]

    def end_watch(self, payment):
        """Let the days of close watch be over."""
        payment.address_id._update({"watch_until": fields.Datetime.now() - timedelta(days=1)})

    def test_network_is_archived_only_when_nothing_waits_there(self):
        payment = self.create_payment(1500)
        self.assert_refused("takes payments")
        self.stop_offering()
        self.assert_refused("Payers were given prices")
        self.pay(payment)
        self.watch()
        self.end_watch(payment)
        self.assert_refused("Receipts on Local that are not final.*: 1.")
        self.watch(3)
        self.assert_paid(payment)
        self.chain.active = False
        self.assertNotIn(self.chain, self.chain._find_watched())

    def test_receipt_that_waits_for_a_person_keeps_its_network(self):
        self.provider.crypto_late_policy = "hold"
        payment = self.create_payment(1500)
        payment.quote_id.expires_on = "2020-01-01"
        self.pay(payment)
        self.watch(9)
        self.stop_offering()
        self.end_watch(payment)
        self.assert_refused("wait for a person")
        payment.transfer_ids.action_ignore()
        self.chain.active = False

    def test_receipt_that_is_not_taken_out_of_the_books_yet_keeps_its_network(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment)
        self.stop_offering()
        self.end_watch(payment)
        payment.transfer_ids._update({"state": "orphaned"})
        self.assert_refused("not booked")
        payment.transfer_ids.sudo()._settle()
        self.chain.active = False

    def test_refund_that_is_to_be_sent_keeps_its_network(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1700 * MILLION)
        refund = self.env["milestone.billing.crypto.refund"].create(
            {"payment_id": payment.id, "token_id": self.usdc.id, "amount": 200}
        )
        self.stop_offering()
        self.assert_refused("refund")
        refund.sudo()._confirm_address(self.payers[7])
        self.assert_refused("refund")
        refund.action_cancel()
        self.chain.active = False

    def test_sweep_that_is_not_booked_keeps_its_network(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment)
        address = payment.address_id.address
        self.evm.rpc("anvil_impersonateAccount", address)
        self.evm.pay_coin(address, 10**17)
        data = self.usdc_contract.data("transfer", self.payers[8], 1500 * MILLION)
        self.evm.send({"from": address, "to": self.usdc_contract.address, "data": data, "gas": hex(200_000)})
        self.watch(9)
        sent = self.env["milestone.billing.crypto.transfer"].search([("sender", "=", address)])
        sweep = self.env["milestone.billing.crypto.sweep"].browse(sent.action_sweep()["res_id"])
        self.stop_offering()
        self.assert_refused("sweep")
        sweep.action_cancel()
        self.chain.active = False

    def test_network_that_is_used_again_is_read_from_where_it_was_left(self):
        payment = self.create_payment(1500)
        self.stop_offering()
        self.end_watch(payment)
        self.chain.active = False
        self.pay(payment)
        self.evm.mine(200)
        self.chain.active = True
        self.provider.crypto_token_ids = [Command.set(self.usdc.ids)]
        payment.address_id._watch_closely()
        self.watch()
        self.assert_paid(payment)

    def test_network_without_a_node_is_not_shown_as_up_to_date(self):
        payment = self.create_payment(1500)
        self.watch()
        self.assertEqual(self.chain.watch_state, "ok")
        url = self.proxy.url
        self.chain.node_ids.active = False
        self.assertIn(self.chain, self.chain._find_watched())
        self.watch()
        self.assertEqual(self.chain.watch_state, "error")
        self.assertIn("No node", self.chain.last_error)
        self.assertTrue(payment._prepare_page()["trouble"], "the payer is told")
        self.chain.node_ids = [Command.create({"url": url})]
        self.pay_and_settle(payment)
        self.assert_paid(payment)

    def test_token_taken_off_the_list_is_read_for_refunds_and_what_came_unasked(self):
        payment = self.create_payment(1500)
        self.pay(payment, 100 * 10**18, contract=self.dai_contract)
        self.watch(3)
        self.assertEqual(payment.transfer_ids.token_id, self.dai)
        self.dai.active = False
        address = payment.address_id.address
        self.evm.rpc("anvil_impersonateAccount", address)
        self.evm.pay_coin(address, 10**17)
        data = self.dai_contract.data("transfer", self.payers[7], 100 * 10**18)
        self.evm.send({"from": address, "to": self.dai_contract.address, "data": data, "gas": hex(200_000)})
        self.watch(9)
        sent = self.env["milestone.billing.crypto.transfer"].search(
            [("sender", "=", address), ("token_id", "=", self.dai.id)]
        )
        self.assertEqual((sent.direction, sent.state), ("out", "final"))
        self.chain._sweep()
        balance = self.env["milestone.billing.crypto.balance"].search(
            [("address_id", "=", payment.address_id.id), ("token_id", "=", self.dai.id)]
        )
        self.assertIn(balance.state, (False, "ok"))
