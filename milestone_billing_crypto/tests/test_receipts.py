from odoo import Command
from odoo.tests import tagged

from ..const import PRIVATE_NODES_PARAMETER
from .common import MILLION, CryptoCommon
from .evm.node import CHAIN_ID, Anvil


@tagged("post_install", "-at_install")
class TestReceipts(CryptoCommon):
    """From tokens on the network to journal entries, on a real node."""

    def lines_of(self, payment):
        """Return the journal items of all booked receipts: account -> balance."""
        result = {}
        for line in payment.transfer_ids.move_id.line_ids:
            result[line.account_id] = result.get(line.account_id, 0) + line.balance
        return result

    def test_exact_payment_is_booked_when_final_and_not_before(self):
        payment = self.create_payment(1500)
        self.assertEqual(payment.quote_id.base_units, str(1500 * MILLION))
        self.assertEqual(payment.transaction_id.state, "pending")
        self.pay(payment)
        self.watch()
        self.assertEqual((payment.state, payment.transfer_ids.state), ("seen", "seen"))
        self.assertEqual(payment.transfer_ids.confirmations, 1)
        self.assertEqual(self.invoice_of(payment).payment_state, "not_paid")
        self.watch(1)
        self.assertEqual(payment.state, "seen")
        self.watch(1)
        self.assert_paid(payment)
        transfer = payment.transfer_ids
        self.assertEqual(transfer.match_kind, "quoted")
        self.assertEqual(transfer.amount_value, 1500)
        journal = self.usdc.journal_id
        self.assertEqual(transfer.move_id.journal_id, journal)
        receivable = self.partner_a.property_account_receivable_id
        self.assertEqual(self.lines_of(payment), {journal.default_account_id: 1500, receivable: -1500})
        self.assertEqual(transfer.transaction_id.payment_id.state, "paid")
        self.assertTrue(transfer.transaction_id.payment_id.is_matched)

    def test_two_partial_payments_pay_the_invoice(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 600 * MILLION)
        invoice = self.invoice_of(payment)
        self.assertEqual(
            (payment.state, invoice.payment_state, invoice.amount_residual), ("partial", "partial", 900)
        )
        self.assertEqual(payment.quote_id._missing_units(), 900 * MILLION)
        self.assertEqual(payment.transaction_id.state, "pending")
        self.pay_and_settle(payment, 900 * MILLION)
        self.assert_paid(payment)
        self.assertEqual(len(payment.transaction_id.child_transaction_ids), 2)
        self.assertFalse(payment.transaction_id.payment_id, "only the receipts have payments")

    def test_two_transfers_in_one_block_and_two_in_one_transaction_are_all_counted(self):
        payment = self.create_payment(1500)
        self.pay(payment, 300 * MILLION, mine=False)
        self.pay(payment, 300 * MILLION, sender=1, mine=False)
        self.usdc_contract.send("fan", payment.address_id.address, 5, 3, 300 * MILLION)
        self.watch(3)
        self.assertEqual(len(payment.transfer_ids), 5)
        self.assert_paid(payment)

    def test_overpayment_stays_as_the_customers_credit(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1700 * MILLION)
        self.assert_paid(payment)
        self.assertEqual(payment.exception_state, "over")
        self.assertEqual(payment.transfer_ids.amount_excess, 200)
        receivable = self.partner_a.property_account_receivable_id
        credit = payment.transfer_ids.move_id.line_ids.filtered(lambda line: line.account_id == receivable)
        self.assertEqual(credit.amount_residual, -200)

    def test_shortage_within_tolerance_goes_to_its_account(self):
        payment = self.create_payment(1500)
        self.provider.crypto_tolerance_max = 2
        self.pay_and_settle(payment, 1498_500000)
        self.assert_paid(payment)
        self.assertEqual(payment.exception_state, "under")
        lines = self.lines_of(payment)
        self.assertEqual(lines[self.tolerance_account], 1.5)
        self.assertEqual(lines[self.usdc.journal_id.default_account_id], 1498.5)

    def test_worked_figure_short_by_forty_cents_inside_the_tolerance(self):
        """Dr Crypto clearing 2,699.60, Dr Payment differences 0.40, Cr AR 2,700."""
        payment = self.create_payment(2700)
        self.provider.crypto_tolerance_max = 1
        self.pay_and_settle(payment, 2699_600000)
        self.assert_paid(payment)
        self.assertEqual(
            {account: balance for account, balance in self.lines_of(payment).items() if balance},
            {
                self.usdc.journal_id.default_account_id: 2699.6,
                self.tolerance_account: 0.4,
                self.partner_a.property_account_receivable_id: -2700.0,
            },
        )
        self.assertEqual(self.invoice_of(payment).amount_residual, 0)

    def test_shortage_above_tolerance_stays_open(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment, 1498_000000)
        self.assertEqual(payment.state, "partial")
        self.assertEqual(self.invoice_of(payment).amount_residual, 2)

    def test_tolerance_is_of_the_whole_amount_also_for_the_last_part(self):
        payment = self.create_payment(1500)
        self.provider.crypto_tolerance_max = 2
        self.pay_and_settle(payment, 750 * MILLION)
        self.pay_and_settle(payment, 748_600000)
        self.assert_paid(payment)
        self.assertEqual(self.lines_of(payment)[self.tolerance_account], 1.4)

    def test_parts_of_a_cent_add_up(self):
        payment = self.create_payment(100)
        for units in (33_333333, 33_333333, 33_333334):
            self.pay(payment, units)
        self.watch(3)
        self.assert_paid(payment)
        self.assertEqual((payment.exception_state, payment.amount_received), ("none", 100))
        self.assertEqual(sorted(payment.transfer_ids.mapped("amount_value")), [33.33, 33.33, 33.34])

    def test_invoice_on_another_receivable_account_is_paid_all_the_same(self):
        payment = self.create_payment(1500)
        other = self.partner_a.property_account_receivable_id.copy({"name": "Receivable B"})
        self.partner_a.property_account_receivable_id = other
        self.pay_and_settle(payment)
        self.assert_paid(payment)

    def test_eighteen_decimals(self):
        payment = self.create_payment(1234.56, token=self.dai)
        self.assertEqual(payment.quote_id.base_units, str(123456 * 10**16))
        self.pay_and_settle(payment, contract=self.dai_contract)
        self.assert_paid(payment)

    def test_token_without_return_value_and_with_a_fee(self):
        self.provider.crypto_token_ids += self.usdt
        payment = self.create_payment(1000, token=self.usdt)
        self.usdt_contract.send("set", 2, False)
        self.addCleanup(self.usdt_contract.send, "set", 0, False)
        self.pay_and_settle(payment, 1000 * MILLION, contract=self.usdt_contract)
        self.assertEqual(
            payment.transfer_ids.mapped("value"), [str(998 * MILLION)], "what arrived, not what was sent"
        )
        self.assertEqual(self.invoice_of(payment).amount_residual, 2)

    def test_late_payment_is_accepted_at_the_rate_of_receipt(self):
        payment = self.create_payment(1500)
        payment.quote_id.expires_on = "2020-01-01"
        self.pay_and_settle(payment)
        self.assert_paid(payment)
        self.assertEqual((payment.transfer_ids.match_kind, payment.exception_state), ("late", "late"))

    def test_late_payment_is_held_when_the_policy_says_so(self):
        self.provider.crypto_late_policy = "hold"
        payment = self.create_payment(1500)
        payment.quote_id.expires_on = "2020-01-01"
        self.pay_and_settle(payment)
        self.assertEqual((payment.exception_state, payment.transfer_ids.booking_state), ("held", "held"))
        self.assertEqual(self.invoice_of(payment).payment_state, "not_paid")
        payment.transfer_ids.action_accept()
        self.watch()
        self.assert_paid(payment)

    def test_wrong_token_is_found_and_accepted_by_one_click(self):
        payment = self.create_payment(1500, token=self.usdc)
        self.pay_and_settle(payment, 1500 * 10**18, contract=self.dai_contract)
        transfer = payment.transfer_ids
        self.assertEqual((transfer.match_kind, transfer.booking_state), ("wrong_token", "held"))
        transfer.action_accept()
        self.watch()
        self.assert_paid(payment)
        self.assertEqual(transfer.move_id.journal_id, self.dai.journal_id)

    def test_payment_on_another_network_is_found_and_accepted_by_one_click(self):
        other = Anvil(chain_id=CHAIN_ID + 1)
        self.addCleanup(other.stop)
        contract = other.deploy_token("USDC", 6)
        contract.send("mint", other.accounts()[0], 5000 * MILLION)
        origins = (self.proxy.origin, self.evm.origin, other.origin)
        self.env["ir.config_parameter"].set_param(PRIVATE_NODES_PARAMETER, ",".join(origins))
        chain = self.chain.copy({"name": "Other", "evm_id": CHAIN_ID + 1})
        chain.node_ids = [Command.create({"url": other.url})]
        token = self.usdc.copy({"chain_id": chain.id, "contract": contract.address})
        token.action_verify()
        payment = self.create_payment(1500)
        chain._watch()
        contract.send("transfer", payment.address_id.address, 1500 * MILLION)
        other.mine(3)
        chain._watch()
        transfer = payment.transfer_ids
        self.assertEqual((transfer.chain_id, transfer.token_id), (chain, token))
        self.assertEqual((transfer.match_kind, transfer.booking_state), ("wrong_network", "held"))
        self.assertEqual((payment.exception_state, payment.state), ("held", "waiting"))
        transfer.action_accept()
        other.mine(8)
        chain._watch()
        self.assert_paid(payment)
        self.assertEqual(transfer.move_id.journal_id, token.journal_id)
        self.assertNotEqual(token.journal_id, self.usdc.journal_id)

    def test_quote_in_another_token_of_the_same_payment_still_counts(self):
        payment = self.create_payment(1500, token=self.usdc)
        payment._choose(self.dai)
        self.pay_and_settle(payment, 1500 * MILLION)
        self.assert_paid(payment)

    def test_foreign_currency_invoice_is_paid_exactly_and_the_difference_is_booked(self):
        rate = self.create_euro_rate(0.9)
        payment = self.create_payment(1000, currency=rate.currency_id)
        self.assertEqual(payment.quote_id.base_units, "1111111112", "rounded up to what can be typed")
        dai = self.create_payment(1000, token=self.dai, currency=rate.currency_id).quote_id
        self.assertEqual(dai.base_units, str(1111111112 * 10**12), "six decimals of a token with eighteen")
        rate.rate = 0.88  # the day's rate moves after the price was locked
        self.pay_and_settle(payment)
        self.assert_paid(payment)
        lines = self.lines_of(payment)
        self.assertAlmostEqual(lines[self.usdc.journal_id.default_account_id], 1111.11)
        exchange = self.company.expense_currency_exchange_account_id
        self.assertAlmostEqual(lines[exchange], round(1000 / 0.88, 2) - 1111.11)

    def test_company_in_the_invoices_currency_keeps_the_wallet_in_its_peg(self):
        company = self.setup_other_company(currency_id=self.env.ref("base.EUR").id)["company"]
        usd = self.env.ref("base.USD")
        self.env["res.currency.rate"].create(
            {"currency_id": usd.id, "name": "2024-01-01", "rate": 1.25, "company_id": company.id}
        )
        journal = self.usdc.with_company(company)._get_wallet_journal(company)
        self.assertEqual(journal.currency_id, usd)
        self.assertEqual(
            journal.inbound_payment_method_line_ids.payment_account_id, journal.default_account_id
        )

    def test_booking_twice_books_once(self):
        payment = self.create_payment(1500)
        self.pay_and_settle(payment)
        move = payment.transfer_ids.move_id
        for _attempt in range(3):
            self.watch(1)
            self.env["milestone.billing.crypto.transfer"].sudo()._settle()
            payment.transfer_ids._book()
        self.assertEqual(payment.transfer_ids.move_id, move)
        self.assertEqual(len(payment.transaction_id.child_transaction_ids), 1)

    def test_large_amount_waits_for_the_finalized_block(self):
        self.provider.crypto_finalized_from = 1500  # from this amount on
        payment = self.create_payment(1500)
        self.pay(payment)
        self.watch(5)
        self.assertEqual(payment.state, "seen", "confirmed, but not finalized")
        self.watch(8)
        self.assert_paid(payment)

    def test_money_sent_before_the_cycle_knew_the_address_is_found(self):
        payment = self.create_payment(1500)
        payment.address_id._update({"watch_until": "2020-01-01"})
        self.pay(payment)
        self.watch()  # reads past the block without the address, as a cycle that began before the offer
        self.assertFalse(payment.transfer_ids)
        payment.address_id._update({"watch_until": payment.quote_id.expires_on})
        self.watch(3)
        self.assert_paid(payment)

    def test_payer_may_choose_another_way_only_while_nothing_was_sent(self):
        payment = self.create_payment(1500)
        payment._withdraw()
        self.assertEqual(payment.transaction_id.state, "cancel")
        self.pay_and_settle(payment, 1500 * MILLION)
        self.assert_paid(payment)

    def test_failed_booking_is_shown_and_tried_again(self):
        payment = self.create_payment(1500)
        journal = self.usdc.journal_id
        journal.inbound_payment_method_line_ids.payment_account_id.active = False
        journal.default_account_id.active = False
        other = self.create_payment(100)
        self.pay(payment)
        self.pay(other)
        with self.assertLogs("odoo.addons.milestone_billing_crypto", "WARNING"):
            self.watch(3)
        self.assertTrue(payment.transfer_ids.booking_error)
        self.assertEqual(payment.transfer_ids.booking_state, "none")
        journal.default_account_id.active = True
        self.watch()
        self.assert_paid(payment)
        self.assertFalse(payment.transfer_ids.booking_error)
