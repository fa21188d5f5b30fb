from unittest.mock import patch

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged
from odoo.tools import mute_logger
from psycopg2 import IntegrityError

from ..tools.address import ZERO_ADDRESS
from .common import CryptoCommon

ETHER = 10**18
PRICE = 2500


@tagged("post_install", "-at_install")
class TestCoin(CryptoCommon):
    """The network's own coin, where a merchant lists it: found by balances, priced by its feed, booked at cost."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.feed = cls.evm.deploy("Feed")
        cls.multicall = cls.evm.deploy("Balances")
        cls.splitter = cls.evm.deploy("Splitter")
        cls.set_price(PRICE)
        cls.chain.multicall_contract = cls.multicall.address
        cls.coin = cls.env["milestone.billing.crypto.token"].create(
            {
                "symbol": "ETH",
                "name": "Ether",
                "chain_id": cls.chain.id,
                "is_native": True,
                "decimals": 18,
                "feed_contract": cls.feed.address,
                "peg_currency_id": cls.env.ref("base.USD").id,
            }
        )
        cls.coin.action_verify()
        cls.provider.crypto_token_ids = [Command.link(cls.coin.id)]

    @classmethod
    def set_price(cls, price):
        """Let the feed say a price, as of the newest block."""
        now = int(cls.evm.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        cls.feed.send("set", price * 10**8, now)

    def test_coin_is_quoted_by_its_feed_found_by_its_balance_and_booked_at_cost(self):
        payment = self.create_payment(1500, token=self.coin)
        quote = payment.quote_id
        self.assertEqual(quote.base_units, str(6 * ETHER // 10))
        self.assertIn("2500", quote.rate_source)
        request = quote._payment_request()
        self.assertEqual(
            (request["target"], request["data"], int(request["value"], 16)),
            (payment.address_id.checksum, "0x", 6 * ETHER // 10),
        )
        self.assertIn(f"?value={quote.base_units}", request["uri"])
        self.watch(1)
        tx_hash = self.evm.pay_coin(payment.address_id.address, int(quote.base_units))
        self.watch()
        transfer = payment.transfer_ids
        self.assertEqual((payment.state, transfer.state, transfer.tx_hash), ("seen", "seen", tx_hash))
        self.assertEqual((transfer.sender, transfer.log_index), (self.payers[0], -1))
        self.assertEqual(
            transfer.block_number, int(self.evm.rpc("eth_getTransactionReceipt", tx_hash)["blockNumber"], 16)
        )
        self.watch(3)
        self.assert_paid(payment)
        self.assertEqual((transfer.price, transfer.lot_cost), ("2500", 1500))
        journal = self.coin.journal_id
        self.assertEqual(transfer.move_id.journal_id, journal)
        line = transfer.move_id.line_ids.filtered(lambda one: one.account_id == journal.default_account_id)
        self.assertEqual(line.balance, 1500)

    def test_price_that_moved_is_a_rate_difference_and_the_lot_keeps_its_cost(self):
        payment = self.create_payment(1500, token=self.coin)
        self.set_price(2400)
        self.addCleanup(self.set_price, PRICE)
        self.evm.pay_coin(payment.address_id.address, int(payment.quote_id.base_units))
        self.watch(3)
        self.assert_paid(payment)
        self.assertEqual(payment.transfer_ids.lot_cost, 1440)
        balances = {line.account_id: line.balance for line in payment.transfer_ids.move_id.line_ids}
        self.assertEqual(balances[self.company.expense_currency_exchange_account_id], 60)

    def test_payment_by_a_contract_from_inside_is_found_without_a_transaction(self):
        payment, other = (self.create_payment(amount, token=self.coin) for amount in (500, 500))
        self.watch(1)
        total = 2 * int(payment.quote_id.base_units)
        self.splitter.send("split", payment.address_id.address, other.address_id.address, value=hex(total))
        self.watch(5)
        for one in (payment, other):
            self.assert_paid(one)
            self.assertEqual((one.transfer_ids.tx_hash, one.transfer_ids.sender), ("", ZERO_ADDRESS))
            self.assertIn("/block/", one.transfer_ids.explorer_link)

    def test_several_payments_between_two_cycles_are_each_found_in_their_block(self):
        payment = self.create_payment(1000, token=self.coin)
        self.watch(1)
        for units in (ETHER // 10, ETHER // 10, 2 * ETHER // 10):
            self.evm.pay_coin(payment.address_id.address, units)
            self.evm.mine(4)
        self.watch(3)
        self.assertEqual(len(payment.transfer_ids), 3)
        self.assertEqual(len(set(payment.transfer_ids.mapped("block_number"))), 3)
        self.assert_paid(payment)

    def test_money_sent_before_the_first_comparison_is_found(self):
        payment = self.create_payment(1000, token=self.coin)
        self.evm.pay_coin(payment.address_id.address, int(payment.quote_id.base_units))
        self.watch(3)
        self.assert_paid(payment)

    def test_blocks_replaced_between_reading_and_comparing_make_no_money(self):
        payment = self.create_payment(1000, token=self.coin)
        self.watch(1)
        self.evm.pay_coin(payment.address_id.address, int(payment.quote_id.base_units))
        self.watch()
        receipt = payment.transfer_ids
        self.assertEqual(receipt.state, "seen")
        self.evm.mine()
        self.chain._read_once()
        self.evm.reorg(3)
        self.chain._read_coin()
        self.watch(3)
        self.watch(3)
        moves = self.env["milestone.billing.crypto.transfer"].search(
            [("address_id", "=", payment.address_id.id)]
        )
        self.assertEqual(moves.mapped("state"), ["orphaned"])
        self.assertEqual((payment.state, self.invoice_of(payment).payment_state), ("waiting", "not_paid"))

    def test_comparison_begins_again_when_the_watcher_was_faster(self):
        payment = self.create_payment(1000, token=self.coin)
        self.watch(1)
        payment.address_id._update({"watch_until": "2020-01-01"})
        self.evm.pay_coin(payment.address_id.address, int(payment.quote_id.base_units))
        self.watch(1)
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        Chain, answers = type(self.chain), [False, False, False]
        lock = Chain._lock_cursor

        def lose_first(chain, cursor):
            return answers.pop() if answers else lock(chain, cursor)

        with (
            patch.object(Chain, "_lock_cursor", lose_first),
            patch.object(self.env.registry["ir.cron"], "_commit_progress"),
        ):
            with self.assertRaisesRegex(UserError, "being read just now"):
                proof.action_prove()
            self.chain._sweep(commit=True)
        balance = self.env["milestone.billing.crypto.balance"].search(
            [("address_id", "=", payment.address_id.id)]
        )
        self.assertEqual((len(payment.transfer_ids), balance.state), (1, "ok"))
        self.assertFalse(self.chain.activity_ids, "nobody is asked about what is explained")

    def test_reorganisation_drops_the_receipt_and_the_next_one_counts_once(self):
        payment = self.create_payment(1000, token=self.coin)
        self.watch(1)
        self.evm.pay_coin(payment.address_id.address, int(payment.quote_id.base_units))
        self.watch()
        self.assertEqual(payment.state, "seen")
        self.evm.reorg(2)
        self.watch(3)
        self.assertEqual((payment.state, payment.transfer_ids.state), ("waiting", "orphaned"))
        self.evm.pay_coin(payment.address_id.address, int(payment.quote_id.base_units), sender=1)
        self.watch(3)
        self.assert_paid(payment)
        self.assertEqual(payment.amount_received, 1000)

    def test_what_an_imported_address_held_before_is_no_payment(self):
        address = f"0x{CryptoCommon.index + 7 * 10**6:040x}"
        self.evm.pay_coin(address, 5 * ETHER)
        self.evm.mine(125)
        self.watch()
        self.provider.crypto_wallet_id = self._create_wallet({"mode": "fixed", "fixed_address": address})
        payment = self.create_payment(1000, token=self.coin)
        self.watch(2)
        self.assertFalse(self.env["milestone.billing.crypto.transfer"].search([("receiver", "=", address)]))
        self.evm.pay_coin(address, int(payment.quote_id.base_units))
        self.watch(3)
        self.assert_paid(payment)

    def test_gas_sent_to_a_paid_address_is_no_payment_and_no_alarm(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment)
        self.assert_paid(payment)
        self.evm.pay_coin(payment.address_id.address, ETHER // 100)
        self.watch(3)
        gas = payment.address_id.wallet_id.address_ids and self.env[
            "milestone.billing.crypto.transfer"
        ].search([("address_id", "=", payment.address_id.id), ("token_id", "=", self.coin.id)])
        self.assertEqual((gas.booking_state, gas.value), ("ignored", str(ETHER // 100)))
        self.assertEqual((payment.state, payment.exception_state), ("paid", "none"))

    def test_what_came_long_ago_is_worth_what_it_was_worth_then(self):
        payment = self.create_payment(1000, token=self.coin)
        self.watch(1)
        payment.quote_id.expires_on = "2020-01-01"
        payment.address_id._update({"watch_until": "2020-02-01"})
        self.set_price(2000)
        self.addCleanup(self.set_price, PRICE)
        self.evm.pay_coin(payment.address_id.address, ETHER // 2)
        self.set_price(3000)
        self.watch(3)
        self.chain._sweep()
        self.watch(1)
        transfer = payment.transfer_ids
        self.assertEqual((transfer.price, transfer.lot_cost, transfer.amount_value), ("2000", 1000, 1000))
        self.assertIn("1 ETH = 2000 USD", transfer.rate_source)
        self.assert_paid(payment)

    def test_what_came_long_ago_waits_for_a_person_when_its_price_is_forgotten(self):
        payment = self.create_payment(1000, token=self.coin)
        self.watch(1)
        payment.address_id._update({"watch_until": "2020-02-01"})
        self.evm.pay_coin(payment.address_id.address, 4 * ETHER // 10)
        self.watch(3)
        feed, found = self.feed.address.lower(), []

        def forget(call, result):
            to = call["params"][0].get("to", "").lower() if call["method"] == "eth_call" else ""
            if to == feed and call["params"][1] != "latest":
                raise self.proxy.Refuse("missing trie node")
            return result

        def age(call, result):
            if call["method"] == "eth_getBlockByNumber" and call["params"][1] is True:
                found.append(result["number"])
                return {**result, "timestamp": hex(int(result["timestamp"], 16) - 3 * 3600)}
            return forget(call, result)

        self.proxy.rule = age
        self.chain._sweep()
        transfer = payment.transfer_ids
        self.assertTrue(found)
        self.assertEqual((transfer.booking_state, transfer.lot_cost), ("held", 0))
        self.proxy.reset()
        transfer.action_accept()
        self.assertEqual((transfer.booking_state, transfer.price, transfer.lot_cost), ("none", "2500", 1000))

    # === PROOF AND LOTS === #

    def prove(self):
        """Return a fresh proof of the network's wallet, and its line of the coin."""
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        proof.action_prove()
        return proof, proof.line_ids.filtered(lambda line: line.token_id == self.coin)

    def test_proof_of_wallet_compares_the_coin_by_address_and_by_its_cost(self):
        first, second = (self.create_payment(amount, token=self.coin) for amount in (1000, 500))
        self.watch(1)
        for payment in (first, second):
            self.evm.pay_coin(payment.address_id.address, int(payment.quote_id.base_units))
        self.watch(3)
        self.set_price(9999)  # what it is worth today changes nothing: it stands in the books at cost
        self.addCleanup(self.set_price, PRICE)
        third = self.create_payment(9999, token=self.coin)
        self.evm.pay_coin(third.address_id.address, ETHER)
        self.watch()
        proof, line = self.prove()
        self.assertEqual(
            (line.ledger_amount, line.waiting_amount, line.chain_amount), (1500, 9999, 1500 + 9999)
        )
        self.assertEqual(line.chain_units, str(6 * ETHER // 10 + ETHER))
        self.assertEqual(line.quantity_text, "1.60 ETH")
        self.assertEqual(line.unexplained_amount, 0)
        rows = {row.address_id: row for row in proof.balance_ids if row.token_id == self.coin}
        for payment, units in ((first, 4), (second, 2), (third, 10)):
            row = rows[payment.address_id]
            self.assertEqual((row.chain_units, row.expected_units), (str(units * ETHER // 10),) * 2)
        self.assertTrue(proof.is_proven)
        onchain = int(self.evm.rpc("eth_getBalance", first.address_id.address, hex(proof.block_number)), 16)
        self.assertEqual(rows[first.address_id].chain_units, str(onchain))

    def test_proof_finds_coin_that_came_since_the_last_cycle(self):
        payment = self.create_payment(1000, token=self.coin)
        self.watch(1)
        payment.address_id._update({"watch_until": "2020-02-01"})
        self.evm.pay_coin(payment.address_id.address, ETHER // 10)
        self.watch(1)
        self.assertFalse(payment.transfer_ids)
        proof, line = self.prove()
        self.assertEqual((line.waiting_amount, line.unexplained_amount), (250, 0))
        self.assertTrue(proof.is_proven)

    def test_proof_shows_a_wrong_entry_and_a_quantity_that_nothing_explains(self):
        payment = self.create_payment(1000, token=self.coin)
        self.watch(1)
        self.evm.pay_coin(payment.address_id.address, int(payment.quote_id.base_units))
        self.watch(3)
        proof, line = self.prove()
        self.assertTrue(proof.is_proven)
        journal = self.coin.journal_id
        sides = ((journal.default_account_id, "credit"), (self.tolerance_account, "debit"))
        lines = [Command.create({"account_id": account.id, side: 7}) for account, side in sides]
        self.env["account.move"].create({"journal_id": journal.id, "line_ids": lines}).action_post()
        proof, line = self.prove()
        self.assertEqual((line.unexplained_amount, proof.is_proven), (7, False))
        balance = self.env["milestone.billing.crypto.balance"].search(
            [("address_id", "=", payment.address_id.id), ("token_id", "=", self.coin.id)]
        )
        balance.sudo().opening_units = str(ETHER // 100)
        proof, line = self.prove()
        row = proof.balance_ids.filtered(lambda one: one.address_id == payment.address_id)
        self.assertFalse(proof.is_proven)
        self.assertEqual(row.filtered(lambda one: one.token_id == self.coin).is_explained, False)

    def test_coin_leaves_at_what_its_receipts_cost_first_in_first_out(self):
        payment = self.create_payment(1000, token=self.coin)
        self.watch(1)
        address = payment.address_id.address
        self.evm.pay_coin(address, 2 * ETHER // 10)  # 500 at 2500
        self.watch(1)
        self.set_price(1000)
        self.addCleanup(self.set_price, PRICE)
        self.evm.pay_coin(address, 2 * ETHER // 10)  # 200 at 1000
        self.watch(3)
        self.assertEqual(sorted(payment.transfer_ids.mapped("lot_cost")), [200, 500])
        self.evm.rpc("anvil_impersonateAccount", address)
        fields = {"gas": hex(21000), "gasPrice": hex(10**9 * 100)}
        gas = 21000 * 10**11
        self.evm.send({"from": address, "to": self.payers[8], "value": hex(3 * ETHER // 10 - gas), **fields})
        self.watch(9)
        sent = self.env["milestone.billing.crypto.transfer"].search(
            [("address_id", "=", payment.address_id.id), ("direction", "=", "out")]
        )
        self.assertEqual((sent.state, int(sent.value)), ("final", 3 * ETHER // 10))
        proof, line = self.prove()
        self.assertEqual((line.sent_amount, line.unexplained_amount), (600, 0), "500 and half of 200")
        sweep = self.env["milestone.billing.crypto.sweep"].browse(sent.action_sweep()["res_id"])
        self.assertEqual((sweep.amount, sweep.gas_text), (600, False))
        target = self.company_data["default_account_assets"].copy({"account_type": "asset_current"})
        sweep.target_account_id = target
        sweep.action_book()
        balances = {one.account_id: one.balance for one in sweep.move_id.line_ids}
        self.assertEqual(balances, {target: 600, self.coin.journal_id.default_account_id: -600})
        proof, line = self.prove()
        self.assertEqual((line.ledger_amount, line.chain_amount, line.sent_amount), (100, 100, 0))
        self.assertTrue(proof.is_proven)

    def test_gas_for_tokens_has_no_cost_in_the_proof(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment)
        address = payment.address_id.address
        self.evm.pay_coin(address, ETHER // 100)
        self.watch(3)
        self.evm.rpc("anvil_impersonateAccount", address)
        data = self.usdc_contract.data("transfer", self.payers[8], 1500 * 10**6)
        self.evm.send({"from": address, "to": self.usdc_contract.address, "data": data, "gas": hex(200_000)})
        self.watch(9)
        self.coin._get_wallet_journal(self.company)
        proof, line = self.prove()
        self.assertEqual((line.chain_amount, line.ledger_amount, line.unexplained_amount), (0, 0, 0))
        self.assertGreater(int(line.chain_units), 0)
        self.assertTrue(proof.is_proven)

    def test_late_coin_is_found_by_the_daily_check(self):
        payment = self.create_payment(1000, token=self.coin)
        self.watch(1)
        payment.quote_id.expires_on = "2020-01-01"
        payment.address_id._update({"watch_until": "2020-02-01"})
        self.evm.pay_coin(payment.address_id.address, int(payment.quote_id.base_units))
        self.watch(3)
        self.assertFalse(payment.transfer_ids)
        self.chain._sweep()
        self.watch(1)
        self.assert_paid(payment)
        self.assertEqual(payment.transfer_ids.match_kind, "late")

    def test_without_a_multicall_contract_it_works_too(self):
        self.chain.multicall_contract = False
        payment = self.create_payment(1000, token=self.coin)
        self.watch(1)
        self.evm.pay_coin(payment.address_id.address, int(payment.quote_id.base_units))
        self.watch(3)
        self.assert_paid(payment)

    def test_coin_without_a_price_of_now_is_not_offered(self):
        self.coin.sudo().price_on = "2020-01-01"
        payment = self.create_payment(1000)
        self.assertNotIn(self.coin, payment._offered_tokens())
        with self.assertRaises(UserError):
            payment._choose(self.coin)

    def test_coin_needs_a_feed_and_is_listed_once(self):
        for values in (
            {"feed_contract": False},
            {"contract": self.usdc_contract.address},
            {"decimals": 6},
        ):
            with (
                self.assertRaises(IntegrityError),
                mute_logger("odoo.sql_db"),
                self.env.cr.savepoint(),
            ):
                self.coin.sudo().write(values)
                self.env.flush_all()
        with self.assertRaises(IntegrityError), mute_logger("odoo.sql_db"), self.env.cr.savepoint():
            self.coin.copy()
            self.env.flush_all()

    def test_refund_in_the_coin_is_found_by_its_hash(self):
        payment = self.create_payment(1000, token=self.coin)
        self.evm.pay_coin(payment.address_id.address, int(payment.quote_id.base_units))
        self.watch(3)
        refund = self.env["milestone.billing.crypto.refund"].create(
            {"payment_id": payment.id, "token_id": self.coin.id, "amount": 250}
        )
        self.assertEqual(refund.base_units, str(ETHER // 10))
        refund.sudo()._confirm_address(self.payers[6])
        refund.tx_hash = self.evm.pay_coin(self.payers[6], ETHER // 10, sender=1)
        self.evm.mine(4)
        refund.action_find()
        self.assertEqual((refund.state, refund.account_payment_id.amount), ("done", 250))
        self.assertTrue(float(refund.gas_text))

    def test_coin_that_the_receiver_refused_is_no_refund(self):
        payment = self.create_payment(1000, token=self.coin)
        refund = self.env["milestone.billing.crypto.refund"].create(
            {"payment_id": payment.id, "token_id": self.coin.id, "amount": 250}
        )
        refund.sudo()._confirm_address(self.feed.address)  # a contract that takes no coin
        tx_hash = self.evm.pay_coin(self.feed.address, ETHER // 10, sender=1, mine=False)
        self.evm.mine(9)
        self.assertEqual(self.evm.rpc("eth_getTransactionReceipt", tx_hash)["status"], "0x0")
        refund.tx_hash = tx_hash
        with self.assertRaisesRegex(UserError, "No final transfer"):
            refund.action_find()
        self.assertEqual((refund.state, refund.account_payment_id.ids), ("confirmed", []))
