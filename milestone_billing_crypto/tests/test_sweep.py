from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import new_test_user, tagged

from ..report.milestone_billing_crypto_export import HEADINGS, receipt_rows
from .common import MILLION, CryptoCommon


@tagged("post_install", "-at_install")
class TestSweep(CryptoCommon):
    """What the merchant moved on is booked, with its gas; nothing else can be passed off as a sweep."""

    def setUp(self):
        super().setUp()
        self.target = self.company_data["default_account_assets"].copy({"name": "Exchange"})
        self.target.account_type = "asset_current"
        self.gas_account = self.tolerance_account.copy({"name": "Network fees"})
        self.coin_account = self.target.copy({"name": "Coin for fees"})
        self.provider.write(
            {
                "crypto_gas_account_id": self.gas_account.id,
                "crypto_gas_source_account_id": self.coin_account.id,
            }
        )

    def swept(self, amount=1500):
        """Pay an invoice, move the tokens out of the address as a wallet does, and return that transfer."""
        payment = self.create_payment(amount)
        self.pay_and_settle(payment)
        address = payment.address_id.address
        self.evm.rpc("anvil_impersonateAccount", address)
        self.evm.pay_coin(address, 10**17)
        tx = {
            "from": address,
            "to": self.usdc_contract.address,
            "data": self.usdc_contract.data("transfer", self.payers[8], amount * MILLION),
            "gas": hex(200_000),
        }
        self.evm.send(tx)
        self.watch(9)
        return self.env["milestone.billing.crypto.transfer"].search(
            [("sender", "=", address), ("direction", "=", "out")]
        )

    def sweep_of(self, transfers):
        """Make the sweep of transfers as the button does."""
        return self.env["milestone.billing.crypto.sweep"].browse(transfers.action_sweep()["res_id"])

    def test_sweep_moves_the_money_in_the_books_and_books_its_gas(self):
        transfer = self.swept()
        self.assertEqual((transfer.state, transfer.booking_state), ("final", "ignored"))
        sweep = self.sweep_of(transfer)
        self.assertEqual((sweep.amount, sweep.date, sweep.state), (1500, transfer.block_time.date(), "draft"))
        self.assertGreater(float(sweep.gas_text), 0, "read from the network")
        with self.assertRaisesRegex(UserError, "target account"):
            sweep.action_book()
        sweep.write({"target_account_id": self.target.id, "gas_cost": 0.42})
        sweep.action_book()
        journal = self.usdc.journal_id
        self.assertEqual(
            {line.account_id: line.balance for line in sweep.move_id.line_ids},
            {self.target: 1500, journal.default_account_id: -1500},
        )
        self.assertEqual(
            {line.account_id: line.balance for line in sweep.gas_move_id.line_ids},
            {self.gas_account: 0.42, self.coin_account: -0.42},
        )
        self.assertIn("ETH", sweep.gas_move_id.ref)
        row = dict(zip(HEADINGS, next(receipt_rows(transfer)), strict=True))
        self.assertEqual(
            (row["journal_entry"], row["sweep_or_refund"], row["gas"], row["gas_coin"], row["gas_cost"]),
            (sweep.move_id.name, sweep.name, sweep.gas_text, "ETH", "0.42"),
        )
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        proof.action_prove()
        self.assertTrue(proof.is_proven)
        with self.assertRaises(UserError):
            sweep.action_book()
        with self.assertRaises(UserError):
            transfer.action_sweep()

    def test_sweep_that_the_network_dropped_is_taken_out_of_the_books(self):
        transfer = self.swept()
        sweep = self.sweep_of(transfer)
        sweep.write({"target_account_id": self.target.id, "gas_cost": 1})
        sweep.action_book()
        self.evm.reorg(11)
        self.watch(1)
        self.assertEqual(
            (transfer.state, transfer.booking_state, sweep.state), ("orphaned", "reversed", "reversed")
        )
        self.assertEqual({sweep.move_id.state, sweep.gas_move_id.state}, {"cancel"})

    def test_only_sent_final_unbooked_transfers_are_swept(self):
        payment = self.create_payment(100)
        self.pay_and_settle(payment)
        with self.assertRaises(UserError):
            payment.transfer_ids.action_sweep()
        with self.assertRaises(UserError):
            self.env["milestone.billing.crypto.transfer"].action_sweep()
        sweep = self.sweep_of(self.swept())
        transfer = sweep.transfer_ids
        sweep.action_cancel()
        self.assertFalse(sweep.exists())
        self.assertTrue(transfer._is_sweepable())

    def test_gas_without_accounts_is_refused_with_a_sentence(self):
        self.provider.write({"crypto_gas_account_id": False})
        sweep = self.sweep_of(self.swept())
        sweep.write({"target_account_id": self.target.id, "gas_cost": 1})
        with self.assertRaisesRegex(UserError, "accounts for network fees"):
            sweep.action_book()
        for values in ({"gas_text": "0.1 ETH"}, {"gas_cost": -1}):
            with self.assertRaises(ValidationError):
                sweep.write(values)

    def test_states_and_entries_cannot_be_written_over_the_network(self):
        sweep = self.sweep_of(self.swept())
        prefix = "milestone_billing_crypto.milestone_billing_crypto_group_"
        manager = new_test_user(
            self.env, "crypto_sweeper", groups=f"{prefix}manager,account.group_account_invoice"
        )
        user = new_test_user(self.env, "crypto_sweep_user", groups=f"{prefix}user")
        for values in ({"state": "booked"}, {"token_id": self.dai.id}, {"move_id": False}):
            with self.assertRaises(AccessError):
                sweep.with_user(manager).write(values)
        with self.assertRaises(AccessError):
            sweep.with_user(manager).create({"token_id": self.usdc.id, "company_id": self.company.id})
        with self.assertRaises(AccessError):
            sweep.with_user(user).action_book()
        sweep.with_user(manager).write({"target_account_id": self.target.id})
        sweep.with_user(manager).action_book()
        self.assertEqual(sweep.state, "booked")

    def test_sent_transfer_whose_block_comes_back_can_be_swept_again(self):
        transfer = self.swept()
        sweep = self.sweep_of(transfer)
        sweep.target_account_id = self.target
        sweep.action_book()
        transfer._update({"state": "orphaned"})
        transfer.sudo()._settle()
        self.assertEqual((sweep.state, transfer.booking_state), ("reversed", "reversed"))
        transfer.sudo()._revive()
        self.watch()
        self.assertEqual(transfer.state, "final")
        again = self.sweep_of(transfer)
        again.target_account_id = self.target
        again.action_book()
        self.assertEqual((again.state, again.amount), ("booked", 1500))

    def test_fee_of_a_transaction_that_holds_several_refunds_is_told_once(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1900 * MILLION)
        values = {"payment_id": payment.id, "token_id": self.usdc.id}
        first, second = self.env["milestone.billing.crypto.refund"].create(
            [{**values, "amount": amount} for amount in (100, 200)]
        )
        for refund in first + second:
            refund.sudo()._confirm_address(self.payers[7])
        tx_hash = self.usdc_contract.send("transfer", self.payers[7], 100 * MILLION, sender=1)
        self.evm.mine(4)
        first.tx_hash = tx_hash
        first.action_find()
        self.assertGreater(float(first.gas_text), 0)
        second.sudo()._read_gas([tx_hash])
        self.assertFalse(second.gas_text)

    def test_gas_of_a_refund_is_booked_with_it(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1700 * MILLION)
        refund = self.env["milestone.billing.crypto.refund"].create(
            {"payment_id": payment.id, "token_id": self.usdc.id, "amount": 200, "gas_cost": 0.3}
        )
        refund.sudo()._confirm_address(self.payers[7])
        refund.tx_hash = self.usdc_contract.send("transfer", self.payers[7], 200 * MILLION, sender=1)
        self.evm.mine(4)
        refund.action_find()
        self.assertGreater(float(refund.gas_text), 0)
        self.assertEqual(
            {line.account_id: line.balance for line in refund.gas_move_id.line_ids},
            {self.gas_account: 0.3, self.coin_account: -0.3},
        )
        manager = new_test_user(
            self.env,
            "crypto_refund_guard",
            groups="milestone_billing_crypto.milestone_billing_crypto_group_manager",
        )
        with self.assertRaises(AccessError):
            refund.with_user(manager).write({"state": "requested"})
        with self.assertRaises(AccessError):
            payment.with_user(manager).write({"state": "new"})
