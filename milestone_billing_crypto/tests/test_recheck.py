from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.tests import tagged

from ..tools import finality
from .common import MILLION, CryptoCommon

RECHECK = "odoo.addons.milestone_billing_crypto.models.milestone_billing_crypto_chain_recheck"


class RecheckCase(CryptoCommon):
    """Reorganisations deeper than the kept blocks. The node forgets old states, so that few are kept here."""

    kept = 24

    def setUp(self):
        super().setUp()
        self.startPatcher(patch.object(finality, "HASHES_KEPT", self.kept))
        self.depth = self.kept + 20
        self.watch(20)  # so that nothing of the contracts and of other tests is replaced

    def lose(self, keep=(), more=0):
        """Replace more blocks than are kept, and let a person resume the network.

        :param keep: hashes of the transactions that stand in the new branch too, in its first block.
        """
        self.evm.reorg(self.depth + more, [(tx_hash, 0) for tx_hash in keep])
        self.watch(1)
        self.assertEqual(self.chain.watch_state, "stopped")
        self.chain.action_resume()

    def bury(self):
        """Let so many blocks follow that what is below is not among the kept ones; all of it is read."""
        self.watch(self.depth - 10)


@tagged("post_install", "-at_install")
class TestRecheckDeep(RecheckCase):
    """The same as deep as blocks are really kept."""

    kept = finality.HASHES_KEPT

    def test_seen_receipts_are_dropped_or_moved_and_the_payments_with_them(self):
        self.proxy.rule = lambda call, result: (
            None if "Receipt" in call["method"] else result
        )  # nothing is final yet
        dropped, moved = self.create_payment(1500), self.create_payment(700)
        self.pay(dropped)
        tx_hash = self.pay(moved, sender=1)
        self.bury()
        self.assertEqual((dropped.state, moved.state), ("seen", "seen"))
        before = moved.transfer_ids
        self.proxy.reset()
        self.lose([tx_hash])
        self.watch()
        self.assertEqual((dropped.transfer_ids.state, dropped.state), ("orphaned", "waiting"))
        self.assertEqual(dropped._prepare_page()["status"]["style"], "danger", "the payer is told")
        self.assertEqual(before.state, "orphaned")
        after = moved.transfer_ids - before
        self.assertEqual((after.tx_hash, after.state, after.booking_state), (tx_hash, "final", "booked"))
        self.assert_paid(moved)
        self.assertFalse(self.chain.recheck_block)
        self.pay_and_settle(dropped, sender=1)
        self.assert_paid(dropped)


@tagged("post_install", "-at_install")
class TestRecheck(RecheckCase):
    """After a person resumed, each receipt is what the node says: it stands, stands elsewhere, or is dropped."""

    def test_booked_receipts_stay_move_or_leave_the_ledger(self):
        kept = self.create_payment(100)
        self.pay_and_settle(kept)
        self.evm.mine()
        dropped, moved = self.create_payment(1500), self.create_payment(700)
        self.pay(dropped)
        tx_hash = self.pay(moved, sender=1)
        self.bury()
        for payment in (kept, dropped, moved):
            self.assert_paid(payment)
        stays, before = kept.transfer_ids.move_id, moved.transfer_ids
        self.lose([tx_hash], more=-8)
        self.watch()
        self.assert_paid(kept)
        self.assertEqual((kept.transfer_ids.state, kept.transfer_ids.move_id), ("final", stays))
        self.assertEqual(
            (dropped.transfer_ids.booking_state, dropped.exception_state), ("reversed", "reversed")
        )
        self.assertEqual(self.invoice_of(dropped).amount_residual, 1500)
        self.assertTrue(dropped.activity_ids)
        after = moved.transfer_ids - before
        self.assertEqual((before.booking_state, after.booking_state), ("reversed", "booked"))
        self.assert_paid(moved)
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        proof.action_prove()
        self.assertTrue(proof.is_proven, "network and ledger agree to the last unit")

    def test_transaction_that_pays_above_the_new_cursor_is_left_to_the_watcher(self):
        self.chain.scan_lag = 2
        payment = self.create_payment(300)
        tx_hash = self.pay(payment)
        self.bury()
        payment.address_id._update({"watch_until": "2020-01-01"})
        raw = self.evm.rpc("eth_getRawTransactionByHash", tx_hash)
        self.evm.reorg(self.depth)
        self.watch(1)
        self.evm.rpc("eth_sendRawTransaction", raw)
        self.evm.mine()
        before = payment.transfer_ids
        self.chain.action_resume()
        self.watch()
        self.assertEqual((payment.transfer_ids, before.state), (before, "orphaned"))
        self.watch(5)
        self.assertEqual(len(payment.transfer_ids), 2)
        self.assert_paid(payment)

    def test_receipts_are_looked_up_in_portions_and_nothing_is_compared_or_booked_before(self):
        payments = [self.create_payment(100 + number) for number in range(5)]
        for payment in payments:
            self.pay(payment)
        self.bury()
        late = self.create_payment(50)
        self.pay(late)
        self.watch()
        for payment in payments:
            self.assert_paid(payment)
        with patch(f"{RECHECK}._BLOCKS_PER_CYCLE", 2):
            self.lose()
            self.assertEqual(self.chain.recheck_block, late.transfer_ids.block_number)
            for left in (4, 2, 0):
                self.watch()
                found = [payment for payment in payments if payment.transfer_ids.state == "final"]
                self.assertEqual(len(found), left)
                proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
                if left:
                    for compare in (self.chain._sweep, proof.action_prove):
                        with self.assertRaisesRegex(UserError, "looked up again"):
                            compare()
        self.assertEqual({payment.exception_state for payment in payments}, {"reversed"})
        self.assertEqual((self.chain.recheck_block, late.transfer_ids.state), (0, "orphaned"))

    def test_node_that_contradicts_itself_or_fails_decides_nothing(self):
        payment = self.create_payment(1500)
        self.pay(payment)
        self.bury()
        self.lose()
        number, own = payment.transfer_ids.block_number, payment.transfer_ids.block_hash

        def stale(call, result):
            if call["method"] == "eth_getTransactionReceipt":
                return {"blockHash": own, "blockNumber": hex(number), "status": "0x1", "logs": []}
            return result

        def broken(call, result):
            if call["method"] == "eth_getBlockByNumber" and call["params"][0] == hex(number):
                raise self.proxy.Refuse("no")
            return result

        def forgotten(call, result):
            return None if call["params"][:1] == [hex(number)] else result

        for rule, is_open in ((stale, True), (broken, True), (forgotten, False)):
            self.proxy.rule = rule
            self.chain.recheck_block = number
            self.watch()
            self.assertEqual(payment.transfer_ids.state, "final", rule)
            self.assertEqual(bool(self.chain.recheck_block), is_open, rule)
        self.proxy.reset()
        self.chain.recheck_block = number
        self.watch()
        self.assertEqual(payment.transfer_ids.state, "orphaned")

    def test_resuming_after_another_networks_answer_misses_nothing(self):
        payment = self.create_payment(1500)
        self.proxy.rule = lambda call, result: "0x1" if call["method"] == "eth_chainId" else result
        self.watch()
        self.assertEqual(self.chain.watch_state, "stopped")
        self.pay(payment)
        self.evm.mine(300)
        self.proxy.reset()
        self.chain.action_resume()
        self.watch()
        self.assert_paid(payment)
        self.assertFalse(self.chain.recheck_block)

    def test_resuming_while_the_node_still_answers_for_another_network_stays_stopped(self):
        self.proxy.rule = lambda call, result: "0x1" if call["method"] == "eth_chainId" else result
        self.watch()
        cursor = self.chain.cursor_block
        self.chain.action_resume()
        self.assertEqual((self.chain.watch_state, self.chain.cursor_block), ("stopped", cursor))
        self.assertIn("another network", self.chain.last_error)

    def test_balances_are_not_compared_with_receipts_of_a_branch_that_is_gone(self):
        payment = self.create_payment(1500)
        moved = self.pay(payment, 700 * MILLION)
        self.pay(payment, 300 * MILLION)
        self.bury()
        before = payment.transfer_ids
        self.assertEqual(set(before.mapped("booking_state")), {"booked"})
        self.evm.reorg(self.depth, [(moved, 0)])
        for _state in ("reorganisation not noticed", "stopped"):
            with self.assertRaisesRegex(UserError, "the chain changed"):
                self.chain._sweep()
            self.assertEqual(payment.transfer_ids, before, "nothing is counted twice")
            self.watch(1)
        self.assertEqual(self.chain.watch_state, "stopped")
        self.chain.action_resume()
        self.watch()
        self.chain._sweep()
        self.watch(3)
        live = payment.transfer_ids.filtered(lambda one: one.booking_state == "booked")
        self.assertEqual((live.tx_hash, payment.amount_received), (moved, 700))
        self.assertFalse(
            self.env["milestone.billing.crypto.balance"].search([("state", "!=", "ok")]),
            "what is recorded explains what is there",
        )

    def test_refund_of_a_lost_branch_is_found_again_where_it_stands(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1700 * MILLION)
        self.evm.mine()
        refund = self.env["milestone.billing.crypto.refund"].create(
            {"payment_id": payment.id, "token_id": self.usdc.id, "amount": 200}
        )
        refund.sudo()._confirm_address(self.payers[7])
        address = payment.address_id.address
        self.evm.rpc("anvil_impersonateAccount", address)
        self.evm.rpc("anvil_setBalance", address, hex(10**18))
        data = self.usdc_contract.data("transfer", self.payers[7], 200 * MILLION)
        sent = {"from": address, "to": self.usdc_contract.address, "data": data, "gas": hex(200_000)}
        self.evm.send(sent)
        self.bury()
        entry = refund.account_payment_id
        self.assertEqual(refund.state, "done")
        self.lose(more=-8)
        self.watch()
        self.assertEqual((refund.state, entry.state), ("confirmed", "canceled"))
        self.assert_paid(payment)
        self.evm.rpc("anvil_setBalance", address, hex(10**18))
        self.evm.send(sent)
        self.watch(10)
        self.assertEqual((refund.state, refund.account_payment_id.state), ("done", "paid"))
