import csv
import io
from datetime import timedelta
from unittest.mock import patch

import openpyxl
from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import HttpCase, new_test_user, tagged

from ..tools.address import to_checksum
from .common import MILLION, CryptoCommon

MANAGER = "milestone_billing_crypto.milestone_billing_crypto_group_manager"


@tagged("post_install", "-at_install")
class TestWalletBooks(CryptoCommon, HttpCase):
    """Balances, proof of wallet, refunds and exports agree with the network."""

    def test_money_that_a_lying_node_hid_is_found_by_the_balance_check(self):
        payment = self.create_payment(1500)
        self.proxy.rule = lambda call, result: [] if call["method"] == "eth_getLogs" else result
        self.pay(payment)
        self.watch(5)
        self.assertFalse(payment.transfer_ids)
        self.chain._sweep()
        balance = self.env["milestone.billing.crypto.balance"].search(
            [("address_id", "=", payment.address_id.id)]
        )
        self.assertEqual((balance.state, balance.base_units), ("unexplained", str(1500 * MILLION)))
        self.proxy.reset()
        self.chain._sweep()
        self.assertEqual(balance.state, "ok")
        self.watch(1)
        self.assert_paid(payment)

    def test_late_payment_long_after_the_close_watch_is_found(self):
        payment = self.create_payment(1500)
        payment.quote_id.expires_on = "2020-01-01"
        payment.address_id._update({"watch_until": "2020-02-01"})
        self.pay(payment)
        self.watch(5)
        self.assertFalse(payment.transfer_ids)
        with patch.object(self.env.registry["ir.cron"], "_commit_progress"):  # a test does not commit
            self.chain.action_check_balances()
        self.watch()
        self.assert_paid(payment)
        self.assertEqual(payment.transfer_ids.match_kind, "late")

    def test_balance_check_asks_in_batches_and_writes_only_what_exists(self):
        payments = [self.create_payment(10) for _number in range(5)]
        self.pay_and_settle(payments[0])
        self.proxy.requests.clear()
        self.chain._sweep()
        self.assertLessEqual(len(self.proxy.requests), 6)
        self.assertEqual(self.env["milestone.billing.crypto.balance"].search_count([]), 1)

    def test_a_thousand_balances_are_one_call(self):
        self.chain.multicall_contract = self.evm.deploy("Balances").address
        payments = [self.create_payment(10 + number) for number in range(9)]
        for payment in payments[:3]:
            self.pay(payment)
        self.watch(3)
        self.proxy.requests.clear()
        self.chain._sweep()
        calls = [call["method"] for batch in self.proxy.requests for call in batch]
        self.assertEqual((calls.count("eth_call"), len(self.proxy.requests)), (1, 2))
        balances = self.env["milestone.billing.crypto.balance"].search([("is_empty", "=", False)])
        self.assertEqual(
            sorted(balances.mapped("base_units"), key=int), [str((10 + n) * MILLION) for n in range(3)]
        )
        self.chain.multicall_contract = "0x" + "9" * 40
        self.chain._sweep()
        self.assertEqual(set(balances.mapped("state")), {"ok"}, "no contract there: asked one by one")

    def test_balances_of_a_chain_that_changes_meanwhile_are_refused(self):
        self.pay_and_settle(self.create_payment(10))
        seen = []

        def change(call, result):
            if call["method"] == "eth_getBlockByNumber":
                seen.append(call)
                return {**result, "hash": f"0x{len(seen):064x}"}
            return result

        self.proxy.rule = change
        with self.assertRaisesRegex(UserError, "cannot be used"):
            self.chain._sweep()

    def test_proof_of_wallet_has_no_difference_and_shows_one(self):
        paid, seen = self.create_payment(1500), self.create_payment(200)
        self.pay_and_settle(paid)
        self.pay(seen)
        self.watch()
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        proof.action_prove()
        line = proof.line_ids.filtered(lambda one: one.token_id == self.usdc)
        self.assertEqual((line.chain_amount, line.ledger_amount, line.waiting_amount), (1700, 1500, 200))
        self.assertTrue(proof.is_proven)
        self.assertEqual(
            proof.block_hash, self.evm.rpc("eth_getBlockByNumber", hex(proof.block_number), False)["hash"]
        )
        self.env["account.move"].create(
            {
                "journal_id": self.usdc.journal_id.id,
                "line_ids": [
                    Command.create({"account_id": self.usdc.journal_id.default_account_id.id, "credit": 3}),
                    Command.create({"account_id": self.tolerance_account.id, "debit": 3}),
                ],
            }
        ).action_post()
        proof.action_prove()
        self.assertEqual(sorted(proof.line_ids.mapped("unexplained_amount")), [0, 3])
        self.assertFalse(proof.is_proven)

    def test_proof_has_money_that_waits_in_a_token_without_a_journal(self):
        payment = self.create_payment(300)
        self.pay_and_settle(payment, 300 * MILLION, contract=self.usdt_contract)
        self.assertEqual(payment.exception_state, "held")
        self.assertFalse(self.usdt.journal_id)
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        proof.action_prove()
        line = proof.line_ids.filtered(lambda one: one.token_id == self.usdt)
        self.assertEqual(
            (line.chain_amount, line.waiting_amount, line.ledger_amount, line.unexplained_amount),
            (300, 300, 0, 0),
        )
        self.assertEqual(proof.display_name, f"Local, block {proof.block_number}")

    def test_proof_lists_each_address(self):
        payments = [self.create_payment(amount) for amount in (100, 250)]
        for payment in payments:
            self.pay_and_settle(payment)
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        proof.action_prove()
        rows = {row.address_id: row for row in proof.balance_ids}
        for payment, amount in zip(payments, (100, 250), strict=True):
            row = rows[payment.address_id]
            self.assertEqual((row.chain_units, row.is_explained), (str(amount * MILLION), True))
        self.assertEqual(len(proof.balance_ids), 2, "nothing there, nothing listed")

    def test_money_that_waits_for_a_person_is_in_the_proof_and_dropped_money_is_not(self):
        held, dropped = self.create_payment(300), self.create_payment(400)
        self.pay_and_settle(held, 300 * 10**18, contract=self.dai_contract)
        self.watch(3)
        self.pay(dropped)
        self.watch()
        self.evm.reorg(2)
        self.watch(1)
        self.assertEqual(dropped.transfer_ids.state, "orphaned")
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        proof.action_prove()
        lines = {line.token_id: line for line in proof.line_ids}
        self.assertEqual((lines[self.dai].chain_amount, lines[self.dai].waiting_amount), (300, 300))
        self.assertEqual((lines[self.usdc].chain_amount, lines[self.usdc].waiting_amount), (0, 0))
        self.assertTrue(proof.is_proven)

    def imported(self):
        """Return a payment on an address that held 40 USDC before it was imported."""
        address = f"0x{CryptoCommon.index + 9 * 10**6:040x}"
        self.usdc_contract.send("transfer", address, 40 * MILLION)
        self.evm.mine(600)
        self.watch()
        self.provider.crypto_wallet_id = self._create_wallet({"mode": "fixed", "fixed_address": address})
        return self.create_payment(1500)

    def test_what_an_imported_address_held_before_is_no_payment_and_no_alarm(self):
        payment = self.imported()
        self.pay_and_settle(payment)
        self.assert_paid(payment)
        self.chain._sweep()
        balance = self.env["milestone.billing.crypto.balance"].search(
            [("address_id", "=", payment.address_id.id)]
        )
        self.assertEqual(
            (balance.state, balance.opening_units, balance.base_units),
            ("ok", str(40 * MILLION), str(1540 * MILLION)),
        )
        self.assertFalse(self.chain.activity_ids)
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        proof.action_prove()
        line = proof.line_ids.filtered(lambda one: one.token_id == self.usdc)
        self.assertEqual(
            (line.chain_amount, line.opening_amount, line.ledger_amount, line.unexplained_amount),
            (1540, 40, 1500, 0),
        )
        self.assertTrue(proof.is_proven)

    def test_a_manager_says_what_was_there_before_when_the_node_has_forgotten(self):
        payment = self.imported()

        def forget(call, result):
            if call["method"] == "eth_call" and int(call["params"][1], 16) < self.chain.cursor_block:
                raise self.proxy.Refuse("missing trie node")
            return result

        self.proxy.rule = forget
        self.watch()
        self.chain._sweep()
        balance = self.env["milestone.billing.crypto.balance"].search(
            [("address_id", "=", payment.address_id.id)]
        )
        self.assertEqual((balance.state, balance.difference_text), ("unexplained", "40.00 USDC"))
        self.assertTrue(self.chain.activity_ids)
        user = new_test_user(
            self.env, "crypto_reader", groups="milestone_billing_crypto.milestone_billing_crypto_group_user"
        )
        manager = new_test_user(self.env, "crypto_opener", groups=MANAGER)
        with self.assertRaises(AccessError):
            balance.with_user(user).action_note_opening()
        balance.with_user(manager).action_note_opening()
        self.assertEqual((balance.state, balance.opening_units), ("ok", str(40 * MILLION)))
        self.assertIn("crypto_opener", payment.address_id.wallet_id.message_ids[0].body)
        with self.assertRaises(UserError):
            balance.with_user(manager).action_note_opening()
        self.chain._sweep()
        self.assertEqual(balance.state, "ok")

    # === REFUNDS === #

    def test_refund_sent_from_our_address_is_found_by_itself_and_undone_with_its_block(self):
        payment, refund = self.overpaid()
        refund.sudo()._confirm_address(self.payers[7])
        address = payment.address_id.address
        self.evm.rpc("anvil_impersonateAccount", address)
        self.evm.pay_coin(address, 10**17)
        data = self.usdc_contract.data("transfer", self.payers[7], 200 * MILLION)
        self.evm.send({"from": address, "to": self.usdc_contract.address, "data": data, "gas": hex(200_000)})
        self.watch(9)
        self.assertEqual(refund.state, "done")
        self.assertTrue(refund.account_payment_id)
        transfer = self.env["milestone.billing.crypto.transfer"].search([("refund_id", "=", refund.id)])
        self.assertEqual((transfer.tx_hash, transfer.booking_state), (refund.tx_hash, "booked"))
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        proof.action_prove()
        self.assertTrue(proof.is_proven)
        self.evm.reorg(11)
        self.watch(1)
        self.assertEqual((refund.state, refund.tx_hash), ("confirmed", False))
        self.assertEqual(refund.account_payment_id.state, "canceled")
        self.assertEqual((transfer.state, transfer.booking_state), ("orphaned", "reversed"))
        self.assertTrue(self.chain.activity_ids)

    def overpaid(self):
        """Return a payment with 200 too much, and a refund request for it."""
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1700 * MILLION)
        action = payment.action_ask_refund()
        values = {name.removeprefix("default_"): value for name, value in action["context"].items()}
        return payment, self.env["milestone.billing.crypto.refund"].create(values)

    def test_only_the_very_transfer_is_taken_for_a_refund(self):
        payment, refund = self.overpaid()
        refund.sudo()._confirm_address(self.payers[7])
        address = payment.address_id.address
        self.evm.rpc("anvil_impersonateAccount", address)
        self.evm.pay_coin(address, 10**17)
        self.dai_contract.send("transfer", address, 500 * 10**18)

        def send(contract, to, units):
            tx = {"from": address, "to": contract.address, "data": contract.data("transfer", to, units)}
            return self.evm.send({**tx, "gas": hex(200_000)})

        send(self.usdc_contract, self.payers[7], 200 * MILLION)  # before the payer confirmed, see below
        self.watch(9)
        self.assertEqual(refund.state, "done")
        before = self.env["milestone.billing.crypto.transfer"].search([("refund_id", "=", refund.id)])
        again = refund.copy({"payment_id": payment.id})
        again.sudo()._confirm_address(self.payers[7])
        before._update({"booking_state": "ignored", "refund_id": False})
        again.sudo().confirmed_on = before.block_time + timedelta(minutes=2, seconds=1)
        self.evm.skip_time(5)
        send(self.usdc_contract, self.payers[7], 199 * MILLION)
        send(self.usdc_contract, self.payers[6], 200 * MILLION)
        send(self.dai_contract, self.payers[7], 200 * MILLION)
        self.watch(9)
        self.assertEqual(
            again.state, "confirmed", "earlier, less, to another, in another token: not this refund"
        )

    def test_page_speaks_of_a_credit_until_a_refund_is_asked(self):
        payment, refund = self.overpaid()
        self.assertFalse(payment._prepare_status("paid")["text"])
        refund.action_cancel()
        self.assertIn("kept as your credit", payment._prepare_status("paid")["text"])

    def test_refund_goes_where_the_payer_says_and_settles_the_credit(self):
        payment, refund = self.overpaid()
        self.assertEqual((refund.amount, refund.base_units), (200, str(200 * MILLION)))
        with self.assertRaises(UserError):
            refund.action_find()
        self.authenticate(None, None)
        page = self.url_open(payment._checkout_url()).text
        self.assertIn("Needs your address", page)
        token = page.split('name="csrf_token" value="')[1].split('"')[0]
        data = {"csrf_token": token, "refund_id": str(refund.id), "address": "0x123"}
        page = self.url_open(payment._checkout_url() + "/refund", data=data).text
        self.assertIn("not an address", page)
        own = {**data, "address": payment.address_id.checksum}
        self.assertIn("our own address", self.url_open(payment._checkout_url() + "/refund", data=own).text)
        payout = to_checksum(self.payers[7])
        page = self.url_open(payment._checkout_url() + "/refund", data={**data, "address": payout}).text
        self.assertIn("Will be sent to you", page)
        self.assertEqual(refund.amount_text, "200.00 USDC")
        self.assertEqual((refund.state, refund.payout_address), ("confirmed", payout))
        with self.assertRaises(UserError):
            refund.amount = 300
        refund.tx_hash = self.usdc_contract.send("transfer", payout, 199 * MILLION, sender=1)
        self.evm.mine(5)
        with self.assertRaises(UserError):
            refund.action_find()
        refund.tx_hash = self.usdc_contract.send("transfer", payout, 200 * MILLION, sender=1)
        with self.assertRaises(UserError):
            refund.action_find()
        self.evm.mine(5)
        refund.action_find()
        self.assertEqual(refund.state, "done")
        self.assertEqual(refund.account_payment_id.journal_id, self.usdc.journal_id)
        page = self.url_open(payment._checkout_url()).text
        self.assertIn("Sent to you", page)
        self.assertIn(f"https://explorer.example/tx/{refund.tx_hash}", page)
        receivable = self.partner_a.property_account_receivable_id
        lines = payment.transfer_ids.move_id.line_ids.filtered(lambda line: line.account_id == receivable)
        self.assertEqual(lines.amount_residual, 0)

    def test_address_of_a_refund_cannot_be_set_by_a_colleague(self):
        _payment, refund = self.overpaid()
        manager = new_test_user(
            self.env, "crypto_refunder", groups=f"{MANAGER},account.group_account_invoice"
        )
        with self.assertRaises(Exception) as caught:
            refund.with_user(manager).write({"payout_address": "0x" + "1" * 40})
        self.assertIn("Only the payer", str(caught.exception))

    # === EXPORTS === #

    def test_exports_keep_all_digits_and_hold_no_formula(self):
        payment = self.create_payment(1234.56, token=self.dai)
        self.pay_and_settle(payment, contract=self.dai_contract)
        new_test_user(
            self.env,
            "crypto_exporter",
            groups=f"{MANAGER},account.group_account_invoice",
            password="crypto_exporter",
        )
        self.authenticate("crypto_exporter", "crypto_exporter")
        response = self.url_open("/milestone_billing_crypto/receipts.csv")
        rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
        row = next(row for row in rows if row["transaction"] == payment.transfer_ids.tx_hash)
        self.assertEqual(row["base_units"], "1234560000000000000000")
        self.assertEqual((row["amount"], row["value"], row["currency"]), ("1234.56", "1234.56", "USD"))
        self.assertEqual(row["invoice"], self.invoice_of(payment).name)
        self.assertEqual(row["journal_entry"], payment.transfer_ids.move_id.name)
        sheet = openpyxl.load_workbook(
            io.BytesIO(self.url_open("/milestone_billing_crypto/receipts.xlsx").content)
        ).active
        self.assertEqual(sheet.max_row, len(rows) + 1)
        self.assertTrue(all(cell.data_type in ("s", "inlineStr", "n") for line in sheet for cell in line))
        self.chain._sweep()
        sweep = self.url_open("/milestone_billing_crypto/sweep.csv").text
        self.assertIn(payment.address_id.checksum, sweep)
        self.assertEqual(self.url_open("/milestone_billing_crypto/receipts.exe").status_code, 404)
        self.authenticate(None, None)
        self.assertNotIn(
            payment.transfer_ids.tx_hash, self.url_open("/milestone_billing_crypto/receipts.csv").text
        )
