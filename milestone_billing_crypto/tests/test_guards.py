from datetime import timedelta

from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import tagged

from .common import MILLION, CryptoCommon
from .evm.node import CHAIN_ID


@tagged("post_install", "-at_install")
class TestGuards(CryptoCommon):
    """Each condition that keeps money from being taken twice, for another one, or at a wrong rate, by itself."""

    def setUp(self):
        super().setUp()
        self.other_company = self.env["res.company"].create({"name": "Other"})

    def hold(self, amount=100):
        """Return a receipt that waits for a person, of a payment that came late."""
        self.provider.crypto_late_policy = "hold"
        payment = self.create_payment(amount)
        payment.quote_id.expires_on = "2020-01-01"
        self.pay_and_settle(payment)
        self.assertEqual(payment.transfer_ids.booking_state, "held")
        return payment.transfer_ids

    def move_to(self, record, company):
        """Let a record belong to another company, as no way over the models does."""
        self.env.flush_all()
        self.env.cr.execute(
            f'UPDATE "{record._table}" SET company_id = %s WHERE id = %s', [company.id, record.id]
        )
        record.invalidate_recordset(["company_id"])

    def send_out(self, payment, to, units):
        """Send tokens from a payment's address, as the merchant's wallet does; returns the recorded transfer."""
        address = payment.address_id.address
        self.evm.rpc("anvil_impersonateAccount", address)
        self.evm.pay_coin(address, 10**17)
        data = self.usdc_contract.data("transfer", to, units)
        self.evm.send({"from": address, "to": self.usdc_contract.address, "data": data, "gas": hex(200_000)})
        self.watch(9)
        return self.env["milestone.billing.crypto.transfer"].search(
            [("sender", "=", address), ("direction", "=", "out"), ("state", "=", "final")]
        )

    # === RECEIPTS === #

    def test_receipt_is_assigned_in_its_company_and_mode_only(self):
        transfer = self.hold().sudo()
        other = self.create_payment(200)
        self.move_to(other, self.other_company)
        with self.assertRaisesRegex(UserError, "in its company"):
            transfer.action_assign(other.id)
        self.move_to(other, self.company)
        other.transaction_id.sudo().is_live = True
        with self.assertRaisesRegex(UserError, "Test money"):
            transfer.action_assign(other.id)
        self.assertEqual((transfer.booking_state, other.amount_pending), ("held", 0))

    def test_receipt_that_is_booked_is_neither_accepted_assigned_nor_left_out(self):
        transfer, other = self.hold(), self.create_payment(100)
        transfer.action_accept()
        self.watch()
        self.assertEqual(transfer.booking_state, "booked")
        move = transfer.move_id
        for action in (
            transfer.action_accept,
            transfer.action_ignore,
            lambda: transfer.action_assign(other.id),
        ):
            with self.assertRaises(UserError):
                action()
        self.watch()
        self.assertEqual((transfer.booking_state, transfer.move_id), ("booked", move))
        self.assertNotEqual(transfer.payment_id, other)

    def test_late_receipt_is_worth_what_it_was_on_its_day_rounded_to_the_nearest(self):
        euro = self.env.ref("base.EUR")
        euro.active = True
        rates, today = self.env["res.currency.rate"], fields.Date.today()
        rates.search([("currency_id", "=", euro.id)]).unlink()
        for days, rate in ((0, 0.5), (3, 0.25)):
            day = today - timedelta(days=days)
            rates.create({"currency_id": euro.id, "name": day, "rate": rate, "company_id": self.company.id})
        payment = self.create_payment(100, currency=euro)
        self.pay_and_settle(payment, 1_010000)
        transfer = payment.transfer_ids
        value = transfer._prepare_value(payment, payment.quote_id, "late")["amount_value"]
        self.assertEqual(value, 0.51, "1.01 at 0.5 is 0.505")
        transfer._update({"block_time": transfer.block_time - timedelta(days=2)})
        value = transfer._prepare_value(payment, payment.quote_id, "late")["amount_value"]
        self.assertEqual(value, 0.25, "1.01 at 0.25 is 0.2525")

    def test_value_counts_what_came_for_the_same_quote_and_stands(self):
        payment = self.create_payment(100)
        for _number in range(2):
            self.pay(payment, 33_333333)
        self.watch()
        first, second = payment.transfer_ids.sorted("id")
        self.assertEqual((first.amount_value, second.amount_value), (33.33, 33.34))
        for values in ({"state": "orphaned"}, {"quote_id": False}):
            before = {name: first._fields[name].convert_to_write(first[name], first) for name in values}
            first._update(values)
            value = second._prepare_value(payment, payment.quote_id, "quoted")["amount_value"]
            self.assertEqual(value, 33.33, values)
            first._update(before)

    def test_amount_that_was_given_back_on_a_shared_address_matches_nobody(self):
        address = f"0x{CryptoCommon.index + 7 * 10**6:040x}"
        self.provider.crypto_wallet_id = self._create_wallet({"mode": "fixed", "fixed_address": address})
        payment = self.create_payment(1500)
        self.pay_and_settle(payment)
        self.assert_paid(payment)
        self.pay_and_settle(payment, 1500 * MILLION)
        again = self.env["milestone.billing.crypto.transfer"].search(
            [("receiver", "=", address), ("payment_id", "=", False)]
        )
        self.assertEqual((again.match_kind, again.booking_state), ("unmatched", "held"))

    # === REORGANISATIONS === #

    def test_reorganisation_drops_what_is_above_the_fork_on_its_network_only(self):
        kept, elsewhere = self.create_payment(100), self.create_payment(200)
        self.pay(kept)
        self.evm.mine()
        self.pay(elsewhere)
        self.watch()
        other = self.chain.copy({"name": "Other", "evm_id": CHAIN_ID + 1})
        elsewhere.transfer_ids._update({"chain_id": other.id})
        self.evm.reorg(2)
        self.watch(1)
        self.assertNotIn("orphaned", (kept + elsewhere).transfer_ids.mapped("state"))

    def test_common_block_that_is_dropped_afterwards_takes_its_receipt_along(self):
        payment = self.create_payment(100)
        self.pay(payment)
        self.watch(1)
        fork = payment.transfer_ids.block_number
        self.evm.reorg(1)
        self.assertTrue(self.chain._read_once())
        self.assertEqual((self.chain.cursor_block, payment.transfer_ids.state), (fork, "seen"))
        self.assertIn(str(fork), self.chain.hashes)
        self.evm.reorg(2)
        self.watch(3)
        self.assertEqual((payment.transfer_ids.state, payment.state), ("orphaned", "waiting"))

    def test_nothing_is_final_above_what_was_read_and_what_is_stays_so(self):
        payment = self.create_payment(100)
        self.pay(payment)
        self.watch()
        self.evm.mine(5)
        transfer = payment.transfer_ids
        self.chain.write({"head_block": transfer.block_number + 5, "cursor_block": transfer.block_number - 1})
        self.assertFalse(self.chain._find_deep_enough())
        self.chain.cursor_block = transfer.block_number
        self.assertEqual(self.chain._find_deep_enough(), transfer)

    # === REFUNDS === #

    def test_transfer_stands_for_a_refund_only_when_everything_fits(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1700 * MILLION)
        sent = self.send_out(payment, self.payers[7], 200 * MILLION)
        refund = self.env["milestone.billing.crypto.refund"].create(
            {"payment_id": payment.id, "token_id": self.usdc.id, "amount": 200}
        )
        refund = refund.sudo()
        refund._confirm_address(self.payers[7])
        confirmed_on = sent.block_time
        refund.confirmed_on = confirmed_on
        self.assertEqual(refund._find_transfer(), sent)
        sweep = self.env["milestone.billing.crypto.sweep"].sudo()
        sweep = sweep.create({"company_id": self.company.id, "token_id": self.usdc.id})
        for values in (
            {"booking_state": "booked"},
            {"sweep_id": sweep.id},
            {"state": "seen"},
            {"direction": "in"},
        ):
            before = {name: sent._fields[name].convert_to_write(sent[name], sent) for name in values}
            sent._update(values)
            self.assertFalse(refund._find_transfer(), values)
            sent._update(before)
        for values in (
            {"base_units": str(199 * MILLION)},
            {"payout_address": self.payers[6]},
            {"confirmed_on": confirmed_on + timedelta(minutes=3)},
        ):
            before = {name: refund[name] for name in values}
            refund.write(values)
            self.assertFalse(refund._find_transfer(), values)
            refund.write(before)
        self.move_to(sent, self.other_company)
        self.assertFalse(refund._find_transfer(), "of another company")
        self.move_to(sent, self.company)
        self.assertEqual(refund._find_transfer(), sent)

    def test_refund_that_was_agreed_is_not_changed_and_a_booked_one_not_cancelled(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1700 * MILLION)
        refund = self.env["milestone.billing.crypto.refund"].create(
            {"payment_id": payment.id, "token_id": self.usdc.id, "amount": 200}
        )
        refund.sudo()._confirm_address(self.payers[7])
        address = refund.payout_address
        with self.assertRaisesRegex(UserError, "no longer open"):
            refund.sudo()._confirm_address(self.payers[6])
        for values in ({"amount": 900}, {"token_id": self.dai.id}):
            with self.assertRaisesRegex(UserError, "has confirmed"):
                refund.write(values)
        self.assertEqual((refund.payout_address, refund.amount), (address, 200))
        refund.sudo().confirmed_on -= timedelta(minutes=5)
        self.send_out(payment, self.payers[7], 200 * MILLION)
        self.assertEqual(refund.state, "done")
        with self.assertRaisesRegex(UserError, "booked already"):
            refund.action_cancel()

    def test_entered_hash_takes_its_own_transfer_whenever_it_was_sent(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1900 * MILLION)
        refunds = self.env["milestone.billing.crypto.refund"].create(
            [{"payment_id": payment.id, "token_id": self.usdc.id, "amount": 200} for _number in range(2)]
        )
        for refund in refunds.sudo():
            refund._confirm_address(self.payers[7])
            refund.confirmed_on += timedelta(days=1)  # sent before the payer confirmed: only a person knows
        for _number in range(2):
            sent = self.send_out(payment, self.payers[7], 200 * MILLION).sorted("block_number")
        self.assertEqual(refunds.mapped("state"), ["confirmed", "confirmed"])
        first, second = refunds
        first.tx_hash = sent[1].tx_hash
        first.action_find()
        self.assertEqual((sent[1].refund_id, sent[1].booking_state), (first, "booked"))
        self.assertEqual((sent[0].refund_id.id, sent[0].booking_state), (False, "ignored"))
        second.tx_hash = sent[1].tx_hash
        with self.assertRaisesRegex(UserError, "stands for a sweep or another refund"):
            second.action_find()
        sweep = self.env["milestone.billing.crypto.sweep"].browse(sent[0].action_sweep()["res_id"])
        second.tx_hash = sent[0].tx_hash
        with self.assertRaisesRegex(UserError, "stands for a sweep or another refund"):
            second.action_find()
        sweep.action_cancel()
        second.action_find()
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        proof.action_prove()
        line = proof.line_ids.filtered(lambda one: one.token_id == self.usdc)
        self.assertEqual((line.sent_amount, line.ledger_amount, proof.is_proven), (0, 1500, True))

    def test_entered_hash_of_our_own_sending_waits_until_it_was_read(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1700 * MILLION)
        refund = self.env["milestone.billing.crypto.refund"].create(
            {"payment_id": payment.id, "token_id": self.usdc.id, "amount": 200}
        )
        refund.sudo()._confirm_address(self.payers[7])
        address = payment.address_id.address
        self.evm.rpc("anvil_impersonateAccount", address)
        self.evm.pay_coin(address, 10**17)
        data = self.usdc_contract.data("transfer", self.payers[7], 200 * MILLION)
        tx = {"from": address, "to": self.usdc_contract.address, "data": data, "gas": hex(200_000)}
        refund.tx_hash = self.evm.send(tx)
        self.evm.mine(5)
        with self.assertRaisesRegex(UserError, "No final transfer"):
            refund.action_find()
        self.watch()
        refund.action_find()
        sent = self.env["milestone.billing.crypto.transfer"].search([("refund_id", "=", refund.id)])
        self.assertEqual((refund.state, sent.booking_state), ("done", "booked"))

    # === RATES AND BOOKS === #

    def test_rate_of_another_company_or_a_later_day_is_none(self):
        peso, today = self.env.ref("base.MXN"), fields.Date.today()
        peso.active = True
        rates = self.env["res.currency.rate"]
        rates.search([("currency_id", "=", peso.id)]).unlink()
        for day, company in ((today, self.other_company), (today + timedelta(days=1), self.company)):
            values = {"currency_id": peso.id, "name": day, "rate": 18, "company_id": company.id}
            rates.create(values)
            self.assertFalse(self.provider._can_quote(peso), values)
        rates.create({"currency_id": peso.id, "name": today, "rate": 18, "company_id": self.company.id})
        self.assertTrue(self.provider._can_quote(peso))

    def test_proof_counts_what_waits_in_its_own_company_only(self):
        transfer = self.hold(300)
        proof = self.env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id})
        for company, waiting, is_proven in ((self.other_company, 0, False), (self.company, 300, True)):
            self.move_to(transfer, company)
            proof.action_prove()
            line = proof.line_ids.filtered(lambda one: one.token_id == self.usdc)
            self.assertEqual((line.waiting_amount, proof.is_proven), (waiting, is_proven))
