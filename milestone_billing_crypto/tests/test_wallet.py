from odoo.exceptions import UserError, ValidationError
from odoo.tests import tagged
from odoo.tools import mute_logger

from ..tools.address import to_checksum
from .common import MILLION, XPRV, XPUB, CryptoCommon

WORDS = "test test test test test test test test test test test junk"


@tagged("post_install", "-at_install")
class TestWallet(CryptoCommon):
    """Three ways to receive, and what a wallet never takes."""

    def use(self, wallet):
        """Let the provider use a wallet."""
        self.provider.crypto_wallet_id = wallet

    # === SECRETS === #

    def test_private_keys_and_seed_words_reach_neither_database_nor_log_nor_message(self):
        Wallet = self.env["milestone.billing.crypto.wallet"]
        for secret in (XPRV, WORDS, "0x" + "ab" * 32):
            for field in ("xpub_key", "fixed_address", "name"):
                with self.subTest(field), self.assertLogs("odoo", "DEBUG") as logs:
                    self.env["ir.config_parameter"].set_param("milestone_billing_crypto.probe", field)
                    self.env.flush_all()
                    with self.assertRaises(ValidationError) as caught:
                        Wallet.create({"name": "x", "mode": "xpub", field: secret})
                    with self.assertRaises(ValidationError):
                        self.wallet.write({field: secret})
                self.assertNotIn(secret, str(caught.exception))
                self.assertNotIn(secret, "\n".join(logs.output))
                with self.assertRaises(ValidationError):
                    self.wallet.message_post(body=f"<p>{secret}</p>")
        pool = self._create_wallet({"mode": "pool"})
        for secret in (WORDS, XPRV, "0x" + "ab" * 32):
            with self.assertRaises(ValidationError):
                pool.action_import_addresses(secret)

    def test_private_keys_are_refused_wherever_an_address_is_asked(self):
        payment = self.create_payment(100)
        self.pay_and_settle(payment)
        refund = self.env["milestone.billing.crypto.refund"].create(
            {"payment_id": payment.id, "token_id": self.usdc.id, "amount": 10}
        )
        line = self.env["milestone.billing.approver"]
        for secret in (XPRV, WORDS, WORDS.upper(), WORDS.replace(" ", ", "), "0x" + "ab" * 32):
            for attempt in (
                lambda secret=secret: self.usdc.sudo().write({"feed_contract": secret}),
                lambda secret=secret: self.usdc.sudo().write({"contract": secret}),
                lambda secret=secret: refund.sudo()._confirm_address(secret),
                lambda secret=secret: line.create({"wallet_address": secret}),
            ):
                with self.assertRaises(ValidationError) as caught:
                    attempt()
                self.assertIn("private key", str(caught.exception))
                self.assertNotIn(secret, str(caught.exception))
        refund.tx_hash = "0x" + "ab" * 32
        with self.assertRaises(ValidationError):
            refund.tx_hash = WORDS

    def test_each_bad_key_is_refused_with_its_reason(self):
        for text, words in (
            ("tpub" + XPUB[4:], "Bitcoin"),
            (XPUB[:-1] + "1", "checksum"),
            (XPUB[:50], "whole"),
        ):
            with self.assertRaisesRegex(ValidationError, words):
                self.env["milestone.billing.crypto.wallet"].create(
                    {"name": "x", "mode": "xpub", "xpub_key": text}
                )

    # === EXTENDED KEY === #

    def test_first_addresses_are_shown_before_the_wallet_is_used(self):
        wallet = self.env["milestone.billing.crypto.wallet"].create(
            {"name": "x", "mode": "xpub", "xpub_key": XPUB, "is_test": True}
        )
        self.assertEqual(len(wallet.preview.split("\n")), 3)
        with self.assertRaises(ValidationError):
            self.use(wallet)
        wallet.action_confirm()
        self.use(wallet)
        with self.assertRaises(UserError):
            wallet.xpub_key = XPUB

    def test_each_payment_has_an_address_of_its_own_and_the_gap_is_shown(self):
        self.wallet.last_paid_index = self.wallet.next_index - 1
        payments = [self.create_payment(10) for _number in range(3)]
        self.assertEqual(len({payment.address_id.address for payment in payments}), 3)
        self.assertEqual(self.wallet.unused_count, 3)
        self.pay_and_settle(payments[1])
        self.assertEqual(self.wallet.unused_count, 1)
        self.wallet.next_index += 30
        self.assertTrue(self.wallet.is_gap_reached)

    def test_opening_an_invoice_takes_no_address(self):
        index = self.wallet.next_index
        transaction = self.create_transaction(self.create_invoice())
        transaction.sudo()._get_specific_rendering_values({})
        self.assertEqual(self.wallet.next_index, index)

    def test_address_that_was_never_paid_is_offered_again_after_a_while(self):
        payment = self.create_payment(10)
        first = payment.address_id
        self.assertNotEqual(self.create_payment(10).address_id, first)
        self.invoice_of(payment).button_cancel()
        first.sudo()._update({"assigned_on": "2020-01-01"})
        self.assertEqual(self.create_payment(10).address_id, first)
        first.sudo()._update({"assigned_on": "2020-01-01"})
        self.pay_and_settle(first.payment_id)
        self.assert_paid(first.payment_id)
        self.assertNotEqual(self.create_payment(10).address_id, first)

    # === POOL === #

    def test_pool_is_imported_used_up_and_says_so(self):
        pool = self._create_wallet({"mode": "pool"})
        addresses = [to_checksum(f"0x{number:040x}") for number in range(11, 13)]
        text = "address,label\n" + "\n".join(f"{address},one" for address in addresses)
        self.assertEqual(pool.action_import_addresses(text), {"added": 2, "known": 0})
        self.assertEqual(pool.action_import_addresses(text), {"added": 0, "known": 2})
        pool.action_confirm()
        self.use(pool)
        self.assertEqual(self.create_payment(10).address_id.checksum, addresses[0])
        self.assertEqual(self.create_payment(10).address_id.checksum, addresses[1])
        with self.assertRaisesRegex(UserError, "No receiving address"):
            self.create_payment(10)
        pool.import_text = to_checksum(f"0x{99:040x}")
        self.assertEqual(pool.free_count, 1)
        pool.invalidate_recordset(["import_text"])
        self.assertFalse(pool.import_text, "what was pasted is not kept")
        with self.assertRaisesRegex(ValidationError, "private key"):
            pool.import_text = WORDS
        with self.assertRaisesRegex(ValidationError, "checksum"):
            pool.action_import_addresses("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD")

    # === ONE ADDRESS === #

    def fixed_wallet(self):
        """Return a wallet with one address, new for each test."""
        address = f"0x{CryptoCommon.index + 10**6:040x}"
        return self._create_wallet({"mode": "fixed", "fixed_address": address})

    def test_shared_address_tells_payments_apart_by_their_last_digits(self):
        self.use(self.fixed_wallet())
        first, second = self.create_payment(1500), self.create_payment(1500)
        self.assertEqual(first.address_id, second.address_id)
        self.assertEqual(
            (first.quote_id.base_units, second.quote_id.base_units), ("1500000000", "1500000001")
        )
        self.pay_and_settle(second)
        self.assert_paid(second)
        self.assertEqual(first.state, "waiting")
        self.pay_and_settle(first)
        self.assert_paid(first)
        third = self.create_payment(1500)
        self.assertEqual(third.quote_id.base_units, "1500000000", "amounts are given back")

    def test_other_amount_on_a_shared_address_goes_to_a_person(self):
        self.use(self.fixed_wallet())
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1499 * MILLION)
        transfer = self.env["milestone.billing.crypto.transfer"].search(
            [("address_id", "=", payment.address_id.id)]
        )
        self.assertEqual((transfer.match_kind, transfer.booking_state), ("unmatched", "held"))
        self.assertFalse(transfer.payment_id)
        wizard = self.env["milestone.billing.crypto.assign"].create(
            {"transfer_id": transfer.id, "payment_id": payment.id}
        )
        self.assertFalse(wizard.is_live)
        wizard.action_confirm()
        self.watch()
        self.assert_paid(payment)

    @mute_logger("odoo.sql_db")
    def test_database_keeps_two_open_payments_from_one_amount(self):
        self.use(self.fixed_wallet())
        quote = self.create_payment(1500).quote_id
        from psycopg2 import IntegrityError

        with self.assertRaises(IntegrityError), self.env.cr.savepoint():
            quote.copy()
            self.env.flush_all()
