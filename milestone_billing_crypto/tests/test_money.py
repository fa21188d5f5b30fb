from datetime import timedelta

from odoo import Command, fields
from odoo.addons.milestone_billing.tests.common import MilestoneBillingCommon
from odoo.exceptions import ValidationError
from odoo.tests import tagged

from .common import MILLION, XPUB, CryptoCommon
from .common_checkout import CheckoutCommon


class MoneyCommon(CryptoCommon):
    """Invoices as customers have them: in any currency, with terms, changed while their payment is on its way."""

    def set_rate(self, currency, rate, company=None, days=0):
        """Set the rate of a day, so many days ago; today's is replaced."""
        company, day = company or self.company, fields.Date.today() - timedelta(days=days)
        currency.active = True
        rates = self.env["res.currency.rate"]
        place = [("currency_id", "=", currency.id), ("company_id", "=", company.id), ("name", "=", day)]
        rates.search(place).unlink()
        rates.create({"currency_id": currency.id, "name": day, "rate": rate, "company_id": company.id})

    def offer(self, invoice, amount=None, provider=None):
        """Return a payment of an invoice whose payer has chosen a token."""
        transaction = self.create_transaction(invoice, provider)
        transaction.amount = amount or transaction.amount
        payment = self.env["milestone.billing.crypto.payment"].sudo()._ensure_for(transaction)
        payment._choose(self.usdc)
        return payment

    def pay_by_bank(self, invoice, amount):
        """Pay a part of an invoice in another way."""
        wizard = self.env["account.payment.register"].with_context(
            active_model="account.move", active_ids=invoice.ids
        )
        wizard.create({"amount": amount})._create_payments()

    def create_invoice_with_terms(self, amount=1500.0, currency=None, **terms):
        """Return a posted invoice with payment terms."""
        invoice = self.create_invoice(amount, currency=currency)
        invoice.button_draft()
        invoice.invoice_payment_term_id = self.env["account.payment.term"].create({"name": "Terms", **terms})
        invoice.action_post()
        return invoice

    def create_discounted(self, **values):
        """Return a posted invoice that is 2 % less within ten days."""
        line = Command.create({"value": "percent", "value_amount": 100, "nb_days": 30})
        terms = {"early_discount": True, "discount_percentage": 2, "discount_days": 10, "line_ids": [line]}
        return self.create_invoice_with_terms(**terms, **values)

    def create_instalments(self):
        """Return a posted invoice of 1,500, 450 of which are due now."""
        parts = ((30, 0), (70, 30))
        lines = [
            Command.create({"value": "percent", "value_amount": share, "nb_days": days})
            for share, days in parts
        ]
        return self.create_invoice_with_terms(line_ids=lines)

    def balances_of(self, payment):
        """Return the journal items of all booked receipts: account -> balance."""
        result = {}
        for line in payment.transfer_ids.move_id.line_ids:
            result[line.account_id] = result.get(line.account_id, 0) + line.balance
        return result


@tagged("post_install", "-at_install")
class TestMoney(MoneyCommon):
    # === CURRENCIES === #

    def test_currencies_without_and_with_three_decimals(self):
        self.provider.crypto_tolerance_max = 5
        for code, rate, amount, asked, short in (
            ("JPY", 151.37, 123457, "815597543", 45),
            ("KWD", 0.30713, 1234.567, "4019688732", 0.092),
        ):
            currency = self.env.ref(f"base.{code}")
            self.set_rate(currency, rate)
            payment = self.offer(self.create_invoice(amount, currency=currency))
            self.assertEqual(payment.quote_id.base_units, asked)
            self.set_rate(currency, rate * 1.02)
            self.pay_and_settle(payment)
            self.assert_paid(payment)
            self.assertEqual((payment.exception_state, payment.transfer_ids.amount_value), ("none", amount))
            self.set_rate(currency, rate)
            payment = self.offer(self.create_invoice(amount, currency=currency))
            self.pay_and_settle(payment, int(asked) - 300000)
            self.assert_paid(payment)
            self.assertEqual(payment.transfer_ids.amount_write_off, short)
            self.assertEqual(self.balances_of(payment)[self.tolerance_account], 0.3)

    def set_up_other_company(self):
        """Return the data of a company in euros with the same key, and its provider."""
        data = self.setup_other_company(currency_id=self.env.ref("base.EUR").id)
        company = data["company"]
        wallet = self.env["milestone.billing.crypto.wallet"].create(
            {"name": "W", "is_test": True, "company_id": company.id, "mode": "xpub", "xpub_key": XPUB}
        )
        wallet.action_confirm()
        provider = self.provider.sudo().copy({"company_id": company.id})
        account = data["default_account_expense"].copy({"name": "Payment differences"})
        provider.write(
            {
                "state": "test",
                "crypto_wallet_id": wallet.id,
                "crypto_token_ids": [Command.set(self.usdc.ids)],
                "crypto_tolerance_account_id": account.id,
                "crypto_finalized_from": 100000,
            }
        )
        return data, provider

    def create_foreign_invoice(self, data, currency, amount=1000):
        """Return an invoice of another company, issued five days ago."""
        line = {
            "name": "Build",
            "price_unit": amount,
            "tax_ids": False,
            "account_id": data["default_account_revenue"].id,
        }
        invoice = self.env["account.move"].create(
            {
                "move_type": "out_invoice",
                "partner_id": self.partner_a.id,
                "invoice_date": fields.Date.today() - timedelta(days=5),
                "currency_id": currency.id,
                "company_id": data["company"].id,
                "journal_id": data["default_journal_sale"].id,
                "invoice_line_ids": [Command.create(line)],
            }
        )
        invoice.action_post()
        return invoice

    def test_one_company_pays_another_from_its_receiving_address(self):
        first = self.create_payment(1500)
        self.pay_and_settle(first)
        data, provider = self.set_up_other_company()
        dollar = self.env.ref("base.USD")
        self.set_rate(dollar, 1.10, data["company"], days=5)
        payment = self.offer(self.create_foreign_invoice(data, dollar), provider=provider)
        self.assertNotEqual(payment.address_id, first.address_id, "one key, no address twice")
        address = first.address_id.address
        self.evm.rpc("anvil_impersonateAccount", address)
        self.evm.pay_coin(address, 10**17)
        call = self.usdc_contract.data("transfer", payment.address_id.address, 1000 * MILLION)
        self.evm.send({"from": address, "to": self.usdc_contract.address, "data": call, "gas": hex(200_000)})
        self.watch(3)
        self.assert_paid(payment)
        self.assertEqual(payment.transfer_ids.company_id, data["company"])
        self.chain._sweep()
        balances = self.env["milestone.billing.crypto.balance"].sudo().search([])
        mine = balances.filtered(lambda one: one.address_id in first.address_id + payment.address_id)
        self.assertEqual(set(mine.mapped("state")), {"ok"})

    def test_invoice_in_a_third_currency_is_paid_whatever_the_rates_do(self):
        data, provider = self.set_up_other_company()
        company, pound, dollar = data["company"], self.env.ref("base.GBP"), self.env.ref("base.USD")
        for pounds, dollars in ((0.85, 1.10), (0.80, 1.15), (0.90, 1.05)):
            self.set_rate(pound, 0.85, company, days=5)
            self.set_rate(dollar, 1.10, company, days=5)
            self.set_rate(pound, 0.85, company)
            self.set_rate(dollar, 1.10, company)
            invoice = self.create_foreign_invoice(data, pound)
            payment = self.offer(invoice, provider=provider)
            self.assertEqual(payment.quote_id.base_units, "1294117648")
            self.set_rate(pound, pounds, company)
            self.set_rate(dollar, dollars, company)
            self.pay_and_settle(payment)
            self.assert_paid(payment)
            receivable = payment.transfer_ids.move_id.line_ids.filtered(
                lambda line: line.account_id.account_type == "asset_receivable"
            )
            self.assertEqual((receivable.amount_residual, receivable.amount_residual_currency), (0, 0))
            journal = self.usdc.with_company(company).journal_id
            wallet_line = payment.transfer_ids.move_id.line_ids.filtered(
                lambda line, journal=journal: line.account_id == journal.default_account_id
            )
            self.assertEqual(
                (wallet_line.currency_id, wallet_line.amount_currency), (dollar, 1294.12), "the quantity"
            )

    def test_refund_is_proposed_in_the_currency_of_the_token(self):
        yen = self.env.ref("base.JPY")
        self.set_rate(yen, 150)
        payment = self.offer(self.create_invoice(150000, currency=yen))
        self.pay_and_settle(payment, 1020 * MILLION)
        self.assertEqual(payment.transfer_ids.amount_excess, 3000)
        self.assertEqual(payment.action_ask_refund()["context"]["default_amount"], 20)
        payment = self.offer(self.create_invoice(150000, currency=yen))
        self.pay_and_settle(payment)
        self.assertEqual(payment.action_ask_refund()["context"]["default_amount"], 1000)

    # === TERMS === #

    def test_early_discount_is_taken_when_paid_in_time_by_the_block(self):
        payment = self.offer(self.create_discounted(), 1470)
        self.pay_and_settle(payment)
        self.assert_paid(payment)
        loss = self.company.account_journal_early_pay_discount_loss_account_id
        self.assertEqual(self.balances_of(payment)[loss], 30)
        self.assertEqual(payment.transfer_ids.amount_covered, 1470)
        late = self.offer(self.create_discounted(), 1470)
        terms = self.invoice_of(late).line_ids.filtered(lambda line: line.display_type == "payment_term")
        terms.discount_date = fields.Date.today() - timedelta(days=1)
        self.pay_and_settle(late)
        self.assertEqual(self.invoice_of(late).amount_residual, 30, "too late for the discount")

    def test_early_discount_of_a_foreign_invoice_and_of_a_shortage_within_tolerance(self):
        euro = self.env.ref("base.EUR")
        self.set_rate(euro, 0.8)
        payment = self.offer(self.create_discounted(currency=euro), 1470)
        self.set_rate(euro, 0.75)
        self.provider.crypto_tolerance_max = 2
        self.pay_and_settle(payment, int(payment.quote_id.base_units) - MILLION)
        self.assert_paid(payment)
        self.assertEqual(payment.exception_state, "under")
        loss = self.company.account_journal_early_pay_discount_loss_account_id
        self.assertGreater(self.balances_of(payment)[loss], 37)

    def test_instalment_that_the_bank_paid_is_not_asked_again(self):
        invoice = self.create_instalments()
        payment = self.offer(invoice, 450)
        self.pay_by_bank(invoice, 450)
        self.assertTrue(payment._is_settled_otherwise())
        self.assertFalse(payment._prepare_page()["ask"])
        self.pay_and_settle(payment)
        self.assertEqual((payment.state, payment.exception_state), ("paid", "none"))
        self.assertEqual(payment.transfer_ids.amount_covered, 450, "it pays a part of the next one")
        self.assertEqual(invoice.amount_residual, 600)

    def test_instalment_that_is_overpaid_leaves_no_credit(self):
        invoice = self.create_instalments()
        payment = self.offer(invoice, 450)
        self.pay_and_settle(payment, 500 * MILLION)
        self.assertEqual((payment.state, payment.exception_state), ("paid", "none"))
        self.assertEqual((payment.transfer_ids.amount_covered, payment.transfer_ids.amount_excess), (500, 0))
        self.assertEqual(invoice.amount_residual, 1000)
        second = self.offer(invoice)
        self.assertEqual(second.quote_id.base_units, str(1000 * MILLION))

    # === WHAT BECOMES OF THE INVOICE === #

    def test_money_for_a_cancelled_or_credited_invoice_is_the_customers_credit(self):
        cancelled, credited = self.offer(self.create_invoice(1500)), self.offer(self.create_invoice(1500))
        self.invoice_of(cancelled).button_cancel()
        invoice = self.invoice_of(credited)
        self.env["account.move.reversal"].with_context(
            active_model="account.move", active_ids=invoice.ids
        ).create({"journal_id": invoice.journal_id.id}).refund_moves()
        invoice.reversal_move_ids.action_post()
        for payment in cancelled + credited:
            self.assertFalse(payment._prepare_page()["ask"])
            self.pay_and_settle(payment)
            transfer = payment.transfer_ids
            self.assertEqual((payment.state, payment.exception_state), ("paid", "over"))
            self.assertEqual((transfer.amount_covered, transfer.amount_excess), (0, 1500))

    def test_invoice_that_was_reset_and_changed_asks_what_it_says_now(self):
        payment = self.offer(self.create_invoice(1500))
        invoice = self.invoice_of(payment)
        invoice.button_draft()
        invoice.invoice_line_ids.price_unit = 1200
        invoice.action_post()
        payment._choose(self.usdc)
        self.assertEqual(payment.quote_id.base_units, str(1200 * MILLION))
        self.pay_and_settle(payment)
        self.assert_paid(payment)

    # === REFUNDS === #

    def test_refund_is_of_the_same_mode_and_customer(self):
        payment = self.offer(self.create_invoice(1500))
        self.pay_and_settle(payment)
        refunds = self.env["milestone.billing.crypto.refund"]
        values = {"payment_id": payment.id, "token_id": self.usdc.id, "amount": 1}
        other = self.env["account.move"].create(
            {
                "move_type": "out_refund",
                "partner_id": self.partner_b.id,
                "invoice_line_ids": [Command.create({"name": "x", "price_unit": 1, "tax_ids": False})],
            }
        )
        other.action_post()
        with self.assertRaisesRegex(ValidationError, "customer who paid"):
            refunds.create({**values, "credit_note_id": other.id})
        payment.transaction_id.sudo().is_live = True
        with self.assertRaisesRegex(ValidationError, "mode"):
            refunds.create(values)


@tagged("post_install", "-at_install")
class TestMoneyOfMilestones(MoneyCommon, CheckoutCommon, MilestoneBillingCommon):
    def create_stage(self, retainage=0):
        """Return the issued invoice of a first stage."""
        order = self.create_order(confirm=False)
        order.milestone_schedule_id.retainage_percent = retainage
        order.action_confirm()
        order.milestone_line_ids[0].action_complete()
        return order.milestone_line_ids[0].invoice_ids

    def test_what_is_held_back_is_not_asked_for(self):
        self.invoice = self.create_stage(retainage=10)
        self.assertEqual((self.invoice.amount_residual, self.invoice._get_milestone_due_now()), (2500, 2250))
        payment, _page = self.enter()
        self.assertEqual(payment.amount, 2250)
        self.choose(payment)
        self.assertEqual(payment.quote_id.base_units, str(2250 * MILLION))
        self.pay_and_settle(payment)
        self.assertEqual((payment.state, payment.exception_state), ("paid", "none"))
        self.assertEqual(self.invoice.amount_residual, 250)

    def test_what_is_held_back_is_not_asked_for_when_the_bank_paid_the_rest(self):
        self.invoice = self.create_stage(retainage=10)
        payment, _page = self.enter()
        self.choose(payment)
        self.pay_by_bank(self.invoice, 2250)
        self.assertEqual(self.invoice.amount_residual, 250)
        self.assertIn("This invoice is settled", self.open(payment._checkout_url()).text)

    def test_early_discount_and_instalment_are_asked_for_without_javascript(self):
        self.invoice = self.create_discounted()
        self.assertEqual(self.enter()[0].amount, 1470)
        self.invoice = self.create_instalments()
        self.assertEqual(self.enter()[0].amount, 450)

    def test_stage_that_is_being_paid_otherwise_is_not_begun_again(self):
        self.invoice = self.create_stage()
        other = self.create_transaction(self.invoice)
        other.sudo().milestone_session_tag = "of somebody else"
        self.open(self.invoice.get_portal_url())
        page = self.open(
            f"/my/invoices/{self.invoice.id}/stablecoin",
            {"access_token": self.invoice._portal_ensure_token()},
        )
        self.assertIn(f"/my/invoices/{self.invoice.id}", page.url)
        self.assertEqual(self.invoice.transaction_ids, other)

    def test_receipt_never_issues_a_stage_that_was_taken_back(self):
        invoice = self.create_stage()
        payment = self.offer(invoice)
        invoice.button_draft()
        self.pay_and_settle(payment)
        self.assertEqual(invoice.state, "draft")
        self.assertEqual((payment.transfer_ids.booking_state, payment.exception_state), ("booked", "over"))
        self.assertEqual(payment.transfer_ids.amount_excess, 2500)
        line = invoice.milestone_line_id
        self.assertEqual(len(line.activity_ids), 1, "somebody is told")
        bodies = line.sudo().evidence_ids.filtered(lambda one: one.type == "payment.tx").mapped("body")
        self.assertIn(payment.transfer_ids.tx_hash, "".join(bodies))
