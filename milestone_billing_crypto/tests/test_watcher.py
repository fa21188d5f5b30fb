from unittest.mock import patch

from odoo.tests import tagged

from ..tools.reading import Reader
from .common import MILLION, CryptoCommon
from .evm.node import CHAIN_ID


@tagged("post_install", "-at_install")
class TestWatcher(CryptoCommon):
    """Reorganisations, crashes, and nodes that fail, lag, lie and limit."""

    def settled(self, amount=1500):
        """Return a paid payment and its receipt."""
        payment = self.create_payment(amount)
        self.pay_and_settle(payment)
        self.assert_paid(payment)
        return payment, payment.transfer_ids

    # === REORGANISATIONS === #

    def test_reorganisation_that_drops_a_payment(self):
        payment = self.create_payment(1500)
        self.pay(payment)
        self.watch()
        self.evm.reorg(1)
        self.watch(3)
        self.assertEqual((payment.state, payment.transfer_ids.state), ("waiting", "orphaned"))
        self.assertEqual(self.invoice_of(payment).payment_state, "not_paid")
        self.pay_and_settle(payment, sender=1)
        self.assert_paid(payment)

    def test_reorganisation_that_moves_a_payment_counts_it_once(self):
        payment = self.create_payment(1500)
        tx_hash = self.pay(payment)
        self.watch(1)
        before = payment.transfer_ids
        self.evm.reorg(2, [(tx_hash, 1)])
        self.watch(3)
        self.assertEqual(len(payment.transfer_ids), 2)
        self.assertEqual(before.state, "orphaned")
        after = payment.transfer_ids - before
        self.assertEqual((after.tx_hash, after.state), (before.tx_hash, "final"))
        self.assertNotEqual(after.block_hash, before.block_hash)
        self.assert_paid(payment)
        self.assertEqual(payment.amount_received, 1500)

    def test_same_transaction_with_another_log_index_counts_once(self):
        payment = self.create_payment(1500)
        tx_hash = self.pay(payment)
        self.watch()
        first = self.usdc_contract.send("transfer", self.payers[5], 1, sender=1)
        self.evm.reorg(2, [(first, 0), (tx_hash, 0)])
        self.watch(3)
        live = payment.transfer_ids.filtered(lambda transfer: transfer.state != "orphaned")
        self.assertEqual(len(live), 1)
        self.assert_paid(payment)

    def test_chain_that_becomes_shorter_than_what_was_read(self):
        snapshot = self.evm.rpc("evm_snapshot")
        payment = self.create_payment(1500)
        self.pay(payment)
        self.watch(1)
        cursor = self.chain.cursor_block
        self.evm.rpc("evm_revert", snapshot)
        self.evm.mine()
        self.assertLess(self.evm.head(), cursor)
        self.watch()
        self.assertEqual(payment.transfer_ids.state, "orphaned")
        self.assertLess(self.chain.cursor_block, cursor)
        self.pay_and_settle(payment, sender=1)
        self.assert_paid(payment)

    def test_deep_reorganisation_takes_a_booked_payment_out_of_the_ledger(self):
        payment, transfer = self.settled()
        move = transfer.move_id
        self.evm.reorg(4)
        self.watch(1)
        invoice = self.invoice_of(payment)
        self.assertEqual((transfer.state, transfer.booking_state), ("orphaned", "reversed"))
        self.assertEqual((invoice.payment_state, invoice.amount_residual), ("not_paid", 1500))
        self.assertEqual(payment.transaction_id.state, "pending")
        self.assertEqual(payment.exception_state, "reversed")
        self.assertFalse(move.exists().filtered(lambda one: one.state == "posted"))
        self.assertTrue(payment.activity_ids)
        self.pay_and_settle(payment, sender=1)
        self.assert_paid(payment)

    def test_block_that_comes_back_brings_its_payment_back(self):
        payment, transfer = self.settled()
        # The node first tells of another branch, then of the old one again (a flip-flop of two nodes).
        other = "0x" + "ee" * 32
        fork = transfer.block_number

        def lie(call, result):
            is_block = call["method"] == "eth_getBlockByNumber" and isinstance(result, dict)
            return {**result, "hash": other} if is_block and int(result["number"], 16) >= fork else result

        self.proxy.rule = lie
        self.watch()
        self.assertEqual((transfer.state, transfer.booking_state), ("orphaned", "reversed"))
        self.proxy.reset()
        self.watch()
        self.watch()
        self.assertEqual((transfer.state, transfer.booking_state), ("final", "booked"))
        self.assert_paid(payment)
        self.assertEqual(len(payment.transfer_ids), 1)

    def test_no_common_block_stops_the_network_and_a_person_resumes_it(self):
        self.watch(5)
        self.proxy.rule = lambda call, result: (
            {**result, "hash": "0x" + "dd" * 32}
            if call["method"] == "eth_getBlockByNumber" and isinstance(result, dict)
            else result
        )
        self.watch()
        self.assertEqual(self.chain.watch_state, "stopped")
        self.assertTrue(self.chain.activity_ids, "a person is asked")
        cursor = self.chain.cursor_block
        self.proxy.reset()
        self.watch(3)
        self.assertEqual((self.chain.watch_state, self.chain.cursor_block), ("stopped", cursor))
        self.chain.action_resume()
        payment = self.create_payment(100)
        self.pay_and_settle(payment)
        self.assert_paid(payment)

    # === CRASHES === #

    def test_crash_between_receipts_and_cursor_repeats_the_range_harmlessly(self):
        payment = self.create_payment(1500)
        self.pay(payment)
        Chain = type(self.chain)
        write = Chain.write

        def crash(chain, vals):
            if "cursor_block" in vals:
                raise RuntimeError("power cut")
            return write(chain, vals)

        with patch.object(Chain, "write", crash), self.assertRaises(RuntimeError), self.env.cr.savepoint():
            self.watch(3)
        self.assertFalse(payment.transfer_ids, "receipts and cursor are one transaction")
        self.watch()
        self.assert_paid(payment)

    def test_range_read_twice_records_once(self):
        payment = self.create_payment(1500)
        cursor, hashes = self.chain.cursor_block, self.chain.hashes
        self.pay_and_settle(payment)
        self.chain.write({"cursor_block": cursor, "hashes": hashes})
        self.watch(1)
        self.assertEqual(len(payment.transfer_ids), 1)
        self.assert_paid(payment)

    def test_reading_is_dropped_when_the_cursor_moved_meanwhile(self):
        payment = self.create_payment(1500)
        self.pay(payment)
        snapshot = self.chain._prepare_snapshot()
        reading = self.chain._ask_nodes(snapshot)
        self.assertEqual(len(reading.transfers), 1)
        self.watch(3)
        self.assertFalse(self.chain._lock_cursor(snapshot.cursor))
        self.assertEqual(len(payment.transfer_ids), 1)

    # === NODES THAT MISBEHAVE === #

    def assert_unchanged(self, state="error"):
        """A cycle on a bad answer changes nothing but the health."""
        cursor, hashes = self.chain.cursor_block, self.chain.hashes
        self.node.retry_after = False
        self.watch()
        self.assertEqual((self.chain.cursor_block, self.chain.hashes), (cursor, hashes))
        self.assertEqual(self.chain.watch_state, state)

    def test_node_that_lags_changes_nothing(self):
        self.watch(5)
        head = hex(self.chain.head_block - 3)

        def lag(call, result):
            if call["method"] == "eth_getBlockByNumber" and call["params"][0] == "latest":
                return self.evm.rpc("eth_getBlockByNumber", head, False)
            if call["method"] == "eth_getBlockByNumber" and call["params"][0].startswith("0x"):
                return result if int(call["params"][0], 16) <= int(head, 16) else None
            return result

        self.proxy.rule = lag
        self.assert_unchanged("lagging")

    def test_contradicting_answers_are_refused_as_a_whole(self):
        payment = self.create_payment(1500)
        self.pay(payment)
        other = "0x" + "ee" * 32

        def changed(method, **values):
            def rule(call, result):
                if call["method"] != method:
                    return result
                if isinstance(result, list):
                    return [{**entry, **values} for entry in result]
                wanted = call["params"][0]
                return (
                    {**result, **values}
                    if wanted.startswith("0x") and int(wanted, 16) == self.evm.head()
                    else result
                )

            return rule

        for rule in (
            changed("eth_getLogs", blockHash=other),
            changed("eth_getLogs", blockNumber=hex(10**6)),
            changed("eth_getLogs", data="0x"),
            changed("eth_getBlockByNumber", parentHash=other),
            lambda call, result: {} if call["method"] == "eth_getLogs" else result,
            lambda call, result: None if call["method"] == "eth_getBlockByNumber" else result,
        ):
            self.proxy.rule = rule
            self.assert_unchanged()
            self.assertFalse(payment.transfer_ids)
        self.proxy.reset()
        self.node.retry_after = False
        self.watch(3)
        self.assert_paid(payment)

    def test_other_network_stops_before_anything_is_believed(self):
        payment = self.create_payment(1500)
        self.pay(payment)
        self.proxy.requests.clear()
        self.proxy.rule = lambda call, result: "0x1" if call["method"] == "eth_chainId" else result
        self.assert_unchanged("stopped")
        self.assertEqual(len(self.proxy.requests), 1)
        self.assertFalse(payment.transfer_ids)
        self.assertFalse(payment._offered_tokens(), "nothing is sold on a network that is not read")

    def test_failed_and_foreign_transactions_never_become_final(self):
        payment = self.create_payment(1500)
        self.pay(payment)
        for changes in ({"status": "0x0"}, {"blockHash": "0x" + "ee" * 32}):
            self.proxy.rule = lambda call, result, changes=changes: (
                {**result, **changes} if call["method"] == "eth_getTransactionReceipt" else result
            )
            self.watch(3)
            self.assertEqual(payment.transfer_ids.state, "seen")
        self.proxy.reset()
        self.watch()
        self.assert_paid(payment)

    def test_limits_of_the_node_are_found_and_remembered(self):
        payment = self.create_payment(1500)
        self.pay(payment)
        self.evm.mine(60)

        def limit(call, result):
            if call["method"] == "eth_getLogs":
                query = call["params"][0]
                last = self.evm.head() if query["toBlock"] == "latest" else int(query["toBlock"], 16)
                if last - int(query["fromBlock"], 16) + 1 > 5:
                    raise self.proxy.Refuse("eth_getLogs is limited to a 5 block range")
            return result

        self.proxy.rule = limit
        self.watch()
        self.assert_paid(payment)
        self.assertEqual(self.chain.cursor_block, self.evm.head())
        self.assertLessEqual(self.node.span, 6)
        self.assertIn("Queries a minute", self.chain.quota_hint)

    def test_busy_broken_and_endless_answers_pause_the_node(self):
        for said, changes in (
            ("asks to wait", {"status": 429, "headers": {"Retry-After": "120"}}),
            ("refuses", {"status": 500}),
            ("refuses", {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}),
            ("cannot be used", {"body": b"<html>gateway</html>"}),
            ("cannot be used", {"body": b"[]"}),
        ):
            self.proxy.reset()
            for name, value in changes.items():
                setattr(self.proxy, name, value)
            self.assert_unchanged()
            self.assertTrue(self.node.retry_after)
            self.assertIn(said, self.chain.last_error)
        self.assertGreaterEqual(self.node.error_count, 5)
        self.proxy.reset()
        self.node.retry_after = False
        self.watch()
        self.assertEqual((self.chain.watch_state, self.node.error_count), ("ok", 0))

    def test_second_node_takes_over_and_is_asked_before_money_is_final(self):
        self.node.copy({"url": self.evm.url, "chain_id": self.chain.id, "sequence": 20})
        payment = self.create_payment(1500)
        self.proxy.status = 500
        self.pay_and_settle(payment)
        self.assert_paid(payment)
        self.assertTrue(self.node.error_count)

    def test_lying_second_opinion_keeps_money_from_being_final(self):
        honest = self.node.copy({"url": self.evm.url, "chain_id": self.chain.id, "sequence": 1})
        payment = self.create_payment(1500)
        self.proxy.rule = lambda call, result: (
            None if call["method"] == "eth_getTransactionReceipt" else result
        )
        self.pay_and_settle(payment)
        self.assertTrue(honest.last_ok_on)
        self.assertEqual(payment.transfer_ids.state, "seen")

    def test_days_without_a_node_lose_nothing(self):
        payment = self.create_payment(1500)
        self.proxy.status = 503
        self.pay(payment)
        self.evm.mine(400)
        for _cycle in range(3):
            self.node.retry_after = False
            self.watch()
        self.proxy.reset()
        self.node.retry_after = False
        self.chain.span_max = 100
        self.watch()
        self.assert_paid(payment)

    # === ATTACKS BY CONTRACT === #

    def test_spoofed_events_poison_and_nfts_are_no_money(self):
        payment = self.create_payment(1500)
        address = payment.address_id.address
        self.evm.deploy("Spoof").send("shout", self.payers[0], address, 1500 * MILLION)
        self.evm.deploy("LyingToken").send("transfer", address, 1500 * MILLION)
        self.evm.deploy("Nft").send("give", address, 1500 * MILLION)
        self.usdc_contract.send("transferFrom", self.payers[1], address, 0)
        self.watch(3)
        self.assertFalse(payment.transfer_ids)

    def test_listed_token_that_lies_is_found_by_the_balances(self):
        lying = self.evm.deploy("LyingToken")
        token = self.usdc.copy({"symbol": "LIE", "contract": lying.address})
        token.action_verify()
        self.provider.crypto_token_ids += token
        payment = self.create_payment(1500, token=token)
        lying.send("transfer", payment.address_id.address, 1500 * MILLION)
        self.watch()
        self.chain._sweep()
        balance = self.env["milestone.billing.crypto.balance"].search([("token_id", "=", token.id)])
        self.assertEqual((balance.state, balance.base_units), ("unexplained", "0"))
        self.assertTrue(self.chain.activity_ids)

    def test_hundreds_of_foreign_logs_are_not_recorded(self):
        payment = self.create_payment(1500)
        self.usdc_contract.send("fan", payment.address_id.address, 300, 1, 1500 * MILLION)
        self.watch(3)
        self.assertEqual(len(payment.transfer_ids), 1)
        self.assert_paid(payment)

    # === COST === #

    def test_one_request_a_cycle_whatever_the_number_of_payments(self):
        self.chain.scan_lag = 1
        payments = [self.create_payment(100 + number) for number in range(12)]
        self.watch(1)
        for _cycle in range(3):
            self.pay(payments[_cycle])
            self.proxy.requests.clear()
            self.chain._read_once()
            self.assertEqual(len(self.proxy.requests), 1)
            methods = [call["method"] for call in self.proxy.requests[0]]
            self.assertLessEqual(methods.count("eth_getLogs"), 4)
        self.assertEqual(
            len([one for one in payments if one.transfer_ids]), 2, "the newest block is left out"
        )
        self.chain._watch()
        self.proxy.requests.clear()
        self.chain._read_once()
        self.assertEqual(len(self.proxy.requests), 1, "nothing new is one request too")

    def test_more_open_addresses_than_one_request_holds(self):
        payment = self.create_payment(1500)
        self.pay(payment)
        snapshot = self.chain._prepare_snapshot()
        others = [f"0x{number:040x}" for number in range(1, 16000)]
        client = self.node._client()
        reading = Reader(client, snapshot._replace(addresses=[*others, *snapshot.addresses]), 100).read_next()
        self.assertEqual((reading.kind, len(reading.transfers)), ("ok", 1))
        self.assertLessEqual(client.requests, 4)

    def test_newest_block_that_no_database_stores_is_a_sentence(self):
        self.proxy.rule = lambda call, result: (
            "0xffffffffffff" if call["method"] == "eth_blockNumber" else result
        )
        self.chain.action_test_nodes()
        self.env.flush_all()
        self.assertIn("cannot be used", self.node.last_error)

    def test_node_that_refuses_an_open_end_is_asked_again(self):
        payment = self.create_payment(1500)

        def refuse(call, result):
            if call["method"] == "eth_getLogs" and call["params"][0]["toBlock"] == "latest":
                raise self.proxy.Refuse("no such thing here")
            return result

        self.proxy.rule = refuse
        self.pay_and_settle(payment)
        self.assert_paid(payment)

    def test_network_that_breaks_unforeseen_is_shown_and_the_others_are_read(self):
        self.create_payment(1500)
        other = self.chain.copy({"evm_id": CHAIN_ID + 1, "sequence": 99, "name": "Another"})
        seen = []

        def read(chain, commit=False):
            seen.append(chain.id)
            if chain == self.chain:
                raise ZeroDivisionError

        Chain = type(self.chain)
        with (
            patch.object(Chain, "_watch", read),
            patch.object(Chain, "_find_watched", lambda chain: self.chain + other),
            patch.object(self.env.cr, "rollback"),
            patch.object(self.env.registry["ir.cron"], "_commit_progress", return_value=60),
            self.assertLogs("odoo.addons.milestone_billing_crypto", "ERROR"),
        ):
            self.env["milestone.billing.crypto.chain"].sudo()._cron_watch()
        self.assertEqual(seen, [self.chain.id, other.id])
        self.assertEqual(self.chain.watch_state, "error")
        self.assertIn("ZeroDivisionError", self.chain.last_error)

    # === SECRETS === #

    def test_key_of_the_node_is_in_no_error_and_no_log(self):
        for changes in (
            {"status": 500},
            {"body": b'[{"error": "' + self.proxy.url.encode() + b'"}]'},
            {"status": 302},
        ):
            self.proxy.reset()
            for name, value in changes.items():
                setattr(self.proxy, name, value)
            self.node.retry_after = False
            with self.assertLogs("odoo", "DEBUG") as logs, self.assertLogs("urllib3", "DEBUG") as below:
                self.watch()
            logs.output.extend(below.output)
            texts = [self.chain.last_error or "", self.node.last_error or "", self.node.host, *logs.output]
            self.assertNotIn("SecretProviderKey", "\n".join(texts))
