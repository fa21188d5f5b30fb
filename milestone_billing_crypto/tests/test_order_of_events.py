import gzip
from unittest.mock import patch

from odoo import Command, fields
from odoo.exceptions import UserError, ValidationError
from odoo.tests import tagged
from odoo.tools import mute_logger

from ..tools.reading import CALLS_PER_BATCH
from .common import MILLION, XPUB, CryptoCommon

MODELS = "odoo.addons.milestone_billing_crypto.models"


@tagged("post_install", "-at_install")
class TestOrderOfEvents(CryptoCommon):
    """Whatever comes between offer, receipt and booking: the money is counted once, and the page says the truth."""

    def pay_by_bank(self, invoice, amount):
        """Pay a part of an invoice in another way."""
        wizard = self.env["account.payment.register"].with_context(
            active_model="account.move", active_ids=invoice.ids
        )
        wizard.create({"amount": amount})._create_payments()

    # === THE INVOICE IS PAID OTHERWISE MEANWHILE === #

    def test_second_checkout_of_a_paid_invoice_is_the_customers_credit(self):
        invoice = self.create_invoice(1500)
        Payment = self.env["milestone.billing.crypto.payment"].sudo()
        first, second = (Payment._ensure_for(self.create_transaction(invoice)) for _number in range(2))
        for payment in first + second:
            payment._choose(self.usdc)
            self.pay(payment)
        self.watch(3)
        self.assertEqual((first.state, first.exception_state), ("paid", "none"))
        self.assertEqual((second.state, second.exception_state), ("paid", "over"))
        self.assertEqual((second.transfer_ids.amount_covered, second.transfer_ids.amount_excess), (0, 1500))
        self.assertEqual(invoice.amount_residual, 0)
        self.assertIn("credit", second._prepare_page()["status"]["text"])
        self.assertEqual(second.action_ask_refund()["context"]["default_amount"], 1500)

    def test_bank_transfer_between_receipt_and_finality_leaves_a_credit(self):
        payment = self.create_payment(1500)
        self.pay(payment)
        self.watch()
        self.pay_by_bank(self.invoice_of(payment), 1000)
        self.watch(3)
        self.assertEqual((payment.state, payment.exception_state), ("paid", "over"))
        self.assertEqual(payment.transfer_ids.amount_excess, 1000)
        self.assertEqual(payment.transaction_id.state, "done")
        self.assertEqual(self.invoice_of(payment).amount_residual, 0)

    def test_shortage_within_tolerance_also_of_what_the_bank_left_open(self):
        payment = self.create_payment(1500)
        self.pay_by_bank(self.invoice_of(payment), 1000)
        self.provider.crypto_tolerance_max = 2
        payment._choose(self.usdc)
        self.assertEqual(payment.quote_id.base_units, str(500 * MILLION))
        self.pay_and_settle(payment, 499 * MILLION)
        self.assertEqual((payment.state, payment.exception_state), ("paid", "under"))
        self.assertEqual(payment.transfer_ids.amount_write_off, 1)
        self.assertEqual(self.invoice_of(payment).amount_residual, 0)

    # === REORGANISATION === #

    def test_booked_payment_that_moves_to_another_block_pays_again_in_one_cycle(self):
        payment = self.create_payment(1500)
        tx_hash = self.pay_and_settle(payment)
        self.assert_paid(payment)
        before = payment.transfer_ids
        self.evm.reorg(4, [(tx_hash, 0)])
        self.watch(4)
        after = payment.transfer_ids - before
        self.assertEqual((before.booking_state, after.booking_state), ("reversed", "booked"))
        self.assertEqual((after.amount_covered, after.amount_excess), (1500, 0))
        self.assert_paid(payment)
        self.assertEqual(payment.exception_state, "none")

    # === ADDRESSES === #

    def test_address_of_an_open_invoice_is_never_offered_again(self):
        payment = self.create_payment(10)
        address = payment.address_id
        address._update({"assigned_on": "2020-01-01"})
        self.assertNotEqual(self.create_payment(10).address_id, address)
        self.pay_by_bank(self.invoice_of(payment), 10)
        self.assertEqual(self.create_payment(10).address_id, address)

    def test_payment_whose_address_went_to_another_gets_a_new_one(self):
        first = self.create_payment(10)
        address, invoice = first.address_id, self.invoice_of(first)
        address._update({"assigned_on": "2020-01-01"})
        invoice.button_cancel()
        second = self.create_payment(20)
        self.assertEqual(second.address_id, address)
        invoice.button_draft()
        invoice.action_post()
        self.assertFalse(first._prepare_page()["ask"], "the page asks for no money on another's address")
        first._choose(self.usdc)
        self.assertNotEqual(first.address_id, address)
        self.assertEqual(address.payment_id, second)
        self.pay(first)
        self.pay(second)
        self.watch(3)
        self.assert_paid(first)
        self.assert_paid(second)

    def test_second_wallet_with_the_same_key_skips_what_is_listed(self):
        self.create_payment(10)
        index = self.wallet.next_index
        again = self._create_wallet({"mode": "xpub", "xpub_key": XPUB})
        again.next_index = index - 1
        self.provider.crypto_wallet_id = again
        payment = self.create_payment(10)
        self.assertEqual((payment.address_id.wallet_id, payment.address_id.index), (again, index))

    def test_missed_payment_is_found_although_a_new_price_was_asked_later(self):
        payment = self.create_payment(1500)
        self.pay(payment)
        self.evm.mine(600)
        self.chain._restart()
        long_ago = fields.Datetime.subtract(fields.Datetime.now(), minutes=12)
        payment.quote_id.quoted_on = long_ago
        payment._choose(self.usdc)
        self.watch()
        self.assertFalse(payment.transfer_ids)
        self.chain._sweep()
        self.watch()
        self.assertEqual(len(payment.transfer_ids), 1, "a payment, not what was there before")
        self.assert_paid(payment)

    def test_watcher_goes_on_while_a_missed_payment_is_looked_up(self):
        missed, other = self.create_payment(1500), self.create_payment(200)
        self.proxy.rule = lambda call, result: [] if call["method"] == "eth_getLogs" else result
        self.pay(missed)
        self.watch(1)
        self.proxy.reset()
        Chain, happened = type(self.chain), []
        find, lock = Chain._find_transfers, Chain._lock_cursor

        def find_slowly(chain, *args):
            found = find(chain, *args)
            self.pay(other)
            chain._read_once()  # the watcher, in between
            return found

        def lock_after(chain, cursor):
            happened.append("lock")
            return lock(chain, cursor)

        with (
            patch.object(Chain, "_find_transfers", find_slowly),
            patch.object(Chain, "_lock_cursor", lock_after),
            patch.object(
                self.env.registry["ir.cron"], "_commit_progress", lambda *_args: happened.append("commit")
            ),
        ):
            self.chain._sweep(commit=True)
        self.assertEqual(happened[-3:], ["commit", "lock", "commit"], "a fresh look, and no lock kept")
        self.assertEqual((len(missed.transfer_ids), len(other.transfer_ids)), (1, 1))
        balances = self.env["milestone.billing.crypto.balance"].search([])
        self.assertEqual(set(balances.mapped("state")), {"ok"}, "what came since is not held against it")
        self.watch(3)
        self.assert_paid(missed)
        self.assert_paid(other)

    def test_wallet_that_payers_are_sent_to_cannot_be_archived(self):
        with self.assertRaisesRegex(UserError, "Choose another wallet"):
            self.wallet.active = False
        self.provider.crypto_wallet_id = self._create_wallet(
            {"mode": "fixed", "fixed_address": f"0x{CryptoCommon.index + 7 * 10**6:040x}"}
        )
        self.wallet.active = False

    def test_asking_again_on_a_shared_address_keeps_the_amount(self):
        self.provider.crypto_wallet_id = self._create_wallet(
            {"mode": "fixed", "fixed_address": f"0x{CryptoCommon.index + 8 * 10**6:040x}"}
        )
        self.create_payment(1500)
        payment = self.create_payment(1500)
        for _time in range(3):
            payment._choose(self.usdc)
        self.assertEqual(set(payment.quote_ids.mapped("base_units")), {"1500000001"})
        self.assertEqual(payment.quote_ids.filtered("is_reserved"), payment.quote_id)
        self.pay_and_settle(payment)
        self.assert_paid(payment)

    def test_provider_that_is_switched_off_names_no_more_prices_and_still_takes_what_was_sent(self):
        payment = self.create_payment(1500)
        self.provider.state = "disabled"
        with self.assertRaisesRegex(UserError, "not offered"):
            payment._choose(self.usdc)
        self.pay_and_settle(payment)
        self.assert_paid(payment)

    # === QUOTES === #

    def test_new_price_pays_in_full_although_an_older_one_still_runs(self):
        rate = self.create_euro_rate(0.9)
        for later in (0.95, 0.85):
            rate.rate = 0.9
            payment = self.create_payment(1000, currency=rate.currency_id)
            rate.rate = later
            payment._choose(self.usdc)
            self.pay_and_settle(payment)
            self.assert_paid(payment)
            self.assertEqual(
                (payment.exception_state, payment.transfer_ids.amount_value), ("none", 1000), later
            )

    def test_part_counts_for_the_newest_quote_and_the_page_asks_for_the_rest(self):
        payment = self.create_payment(1500)
        payment._choose(self.usdc)
        self.pay(payment, 600 * MILLION)
        self.watch()
        self.assertEqual(payment.transfer_ids.quote_id, payment.quote_id)
        self.assertEqual(payment._prepare_page()["ask"]["amount"], "900.00")

    def test_token_taken_off_the_list_is_still_read_for_who_has_its_price(self):
        payment = self.create_payment(1500, token=self.dai)
        self.dai.active = False
        self.pay_and_settle(payment, contract=self.dai_contract)
        self.assert_paid(payment)
        self.chain._sweep()
        balance = self.env["milestone.billing.crypto.balance"].search(
            [("address_id", "=", payment.address_id.id)]
        )
        self.assertEqual((balance.token_id, balance.state), (self.dai, "ok"))

    # === PEOPLE === #

    def test_payment_is_free_again_when_its_held_receipt_goes_to_another(self):
        first, second = self.create_payment(1500), self.create_payment(700)
        self.pay_and_settle(first, 700 * 10**18, contract=self.dai_contract)
        transfer = first.transfer_ids
        self.assertEqual(first.exception_state, "held")
        transfer.action_assign(second.id)
        self.assertEqual((first.exception_state, first.state), ("none", "waiting"))
        self.assertTrue(first._is_wanting())
        self.watch()
        self.assert_paid(second)

    def test_tolerance_cannot_be_allowed_without_its_account(self):
        self.provider.write({"crypto_tolerance_per_mille": 0, "crypto_tolerance_account_id": False})
        with self.assertRaises(ValidationError):
            self.provider.crypto_tolerance_per_mille = 1

    # === SMALL THINGS THAT ADD UP === #

    def test_dust_is_no_payment(self):
        payment = self.create_payment(1500)
        self.pay(payment, 1)
        self.pay(payment, 10**12, contract=self.dai_contract)
        self.watch(3)
        dust = self.env["milestone.billing.crypto.transfer"].search(
            [("address_id", "=", payment.address_id.id)]
        )
        self.assertEqual((len(dust), set(dust.mapped("booking_state"))), (2, {"ignored"}))
        self.assertEqual((payment.state, payment.exception_state), ("waiting", "none"))
        self.assertTrue(payment._prepare_page()["ask"], "a stranger cannot keep the payer from paying")
        self.pay_and_settle(payment)
        self.assert_paid(payment)

    def test_parts_of_a_cent_are_no_difference_in_the_proof(self):
        for _number in range(2):
            self.pay_and_settle(self.create_payment(100), 100_004000)
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        proof.action_prove()
        line = proof.line_ids.filtered(lambda one: one.token_id == self.usdc)
        self.assertEqual(
            (line.chain_amount, line.ledger_amount, line.rounding_amount, line.unexplained_amount),
            (200.01, 200, 0.01, 0),
        )
        self.assertTrue(proof.is_proven)

    def test_hundreds_of_receipts_become_final_in_batches_that_nodes_take(self):
        payment = self.create_payment(1500)
        for _number in range(5):
            self.pay(payment, MILLION)
        self.proxy.requests.clear()
        with patch(f"{MODELS}.milestone_billing_crypto_chain_finality.CALLS_PER_BATCH", 2, create=True):
            self.watch(2)
        self.assertEqual(set(payment.transfer_ids.mapped("state")), {"final"})
        asked = [[call["method"] for call in batch] for batch in self.proxy.requests]
        self.assertEqual(max(batch.count("eth_getTransactionReceipt") for batch in asked), 2)

    def test_look_for_the_fork_is_asked_in_batches_that_nodes_take(self):
        self.watch(130)
        self.evm.reorg(2)
        self.proxy.requests.clear()
        self.watch()
        self.assertEqual(self.chain.watch_state, "ok")
        self.assertLessEqual(max(map(len, self.proxy.requests)), CALLS_PER_BATCH)

    # === REFUNDS === #

    @mute_logger("odoo.sql_db")
    def test_one_transaction_may_hold_two_refunds_but_each_only_once(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1700 * MILLION)
        Refund = self.env["milestone.billing.crypto.refund"].sudo()
        values = {"payment_id": payment.id, "token_id": self.usdc.id, "amount": 50}
        first, second, third = Refund.create([values] * 3)
        done = {"state": "done", "tx_hash": "0x" + "ab" * 32}
        first.write({**done, "payout_address": self.payers[5]})
        second.write({**done, "payout_address": self.payers[6]})
        self.env.flush_all()
        with self.assertRaises(Exception) as caught, self.env.cr.savepoint():
            third.write({**done, "payout_address": self.payers[5].upper().replace("0X", "0x")})
            self.env.flush_all()
        self.assertIn("tx_hash_unique", str(caught.exception))

    # === LIES === #

    def test_words_that_no_database_stores_do_not_keep_the_next_node_from_being_asked(self):
        payment = self.create_payment(1500)
        self.pay(payment)
        self.chain.node_ids = [Command.create({"url": self.evm.url, "sequence": 20})]
        topics = {"topics": ["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef", 5, 6]}
        huge = {"number": "0x" + "f" * 60}

        def changed(method, change):
            def rule(call, result):
                if call["method"] != method:
                    return result
                if isinstance(result, list):
                    return [{**one, **change} for one in result]
                return result and {**result, **change}

            return rule

        def refuse(call, result):
            raise self.proxy.Refuse("no\x00 more \ud800")

        for rule, body in (
            (refuse, None),
            (changed("eth_getLogs", topics), None),
            (changed("eth_getLogs", {"logIndex": "0x" + "f" * 60}), None),
            (changed("eth_getBlockByNumber", huge), None),
            (lambda call, result: "\x00" if call["method"] == "eth_chainId" else result, None),
            (None, b"[" * 100000),
            (None, b'[{"id": []}, {"id": []}]'),
        ):
            self.proxy.reset()
            self.proxy.rule, self.proxy.body = rule, body
            self.node.write({"retry_after": False, "last_error": False})
            self.evm.mine()
            self.watch()
            self.env.flush_all()
            self.assertTrue(self.node.last_error)
            self.assertEqual((self.chain.watch_state, self.chain.cursor_block), ("ok", self.evm.head()))
        self.assertEqual(len(payment.transfer_ids), 1)

    def test_comparison_refuses_an_answer_that_cannot_be_used_with_a_sentence(self):
        payment = self.create_payment(1500)
        self.proxy.rule = lambda call, result: [] if call["method"] == "eth_getLogs" else result
        self.pay(payment)
        self.watch(1)
        for change in ({"data": "0x"}, {"blockHash": "0x" + "ee" * 32}):
            self.proxy.rule = lambda call, result, change=change: (
                [{**one, **change} for one in result] if call["method"] == "eth_getLogs" else result
            )
            with self.assertRaisesRegex(UserError, "cannot be used"):
                self.chain._sweep()
            self.assertFalse(payment.transfer_ids)

    def test_answer_that_is_packed_twice_is_not_unpacked(self):
        self.proxy.body = gzip.compress(gzip.compress(b"[" + b" " * 10**6))
        self.proxy.headers = {"Content-Encoding": "gzip, gzip"}
        self.watch()
        self.assertIn("encoding", self.node.last_error)
