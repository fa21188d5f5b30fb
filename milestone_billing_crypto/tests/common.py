from odoo import Command, fields
from odoo.addons.milestone_billing.tests.common import ReadyCompanyCommon
from odoo.tests import tagged

from ..const import PRIVATE_NODES_PARAMETER, PROVIDER_CODE
from .evm.node import CHAIN_ID, Anvil, FaultProxy, find_anvil

#: Account 7 of the published test mnemonic ("test ... junk"); it holds nothing.
XPUB = "xpub6Ce9NcJvTk37JBtr1eY9EsMZtMiNE1eTP4tmjVpfv5jBrmMxag6m2Vx99tzFbrPSgbYYCGJE82UetSJzNurv8JAzgEx2Duh3aa4p5ZW2gHX"
XPRV = "xprv9yeny6n2dNUp5hpNud18sjQqLKsspYvc1qyAw7R4MkCCyy2p38nWUhdfJe8u1n2WjghBaUwt4gPwiwtvNzSoygJFKeutcXPTyREhsaT4UcQ"
MILLION = 10**6


@tagged("post_install", "-at_install")
class CryptoCommon(ReadyCompanyCommon):
    """A company that takes three tokens on a real local node, read through a proxy that can be made to fail."""

    index = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not find_anvil():
            raise AssertionError("These tests need a local EVM node: run setup/evm_node or set MB_ANVIL.")
        cls.evm = Anvil()
        cls.addClassCleanup(cls.evm.stop)
        cls.proxy = FaultProxy(cls.evm)
        cls.addClassCleanup(cls.proxy.stop)
        cls.payers = cls.evm.accounts()
        cls.usdc_contract = cls.evm.deploy_token("USDC", 6)
        cls.dai_contract = cls.evm.deploy_token("DAI", 18)
        cls.usdt_contract = cls.evm.deploy("NoReturnToken")
        for contract, units in ((cls.usdc_contract, 6), (cls.dai_contract, 18), (cls.usdt_contract, 6)):
            for payer in cls.payers[:3]:
                contract.send("mint", payer, 10**7 * 10**units)
        cls._create_setup()

    @classmethod
    def _create_setup(cls):
        cls.env["ir.config_parameter"].set_param(
            PRIVATE_NODES_PARAMETER, f"{cls.proxy.origin},{cls.evm.origin}"
        )
        cls.company = cls.env.company
        cls.env.user.group_ids += cls.env.ref(
            "milestone_billing_crypto.milestone_billing_crypto_group_manager"
        )
        cls.chain = (
            cls.env["milestone.billing.crypto.chain"]
            .sudo()
            .create(
                {
                    "name": "Local",
                    "evm_id": CHAIN_ID,
                    "is_test": True,
                    "explorer_url": "https://explorer.example",
                    "block_time_ms": 1000,
                    "confirmations": 3,
                    "scan_lag": 0,
                    "node_ids": [Command.create({"url": cls.proxy.url})],
                }
            )
        )
        cls.node = cls.chain.node_ids
        usd = cls.env.ref("base.USD")
        tokens = [
            ("USDC", cls.usdc_contract, 6),
            ("DAI", cls.dai_contract, 18),
            ("USDT", cls.usdt_contract, 6),
        ]
        cls.usdc, cls.dai, cls.usdt = cls.tokens = cls.env["milestone.billing.crypto.token"].create(
            [
                {
                    "symbol": symbol,
                    "name": symbol,
                    "chain_id": cls.chain.id,
                    "contract": contract.address,
                    "decimals": decimals,
                    "peg_currency_id": usd.id,
                }
                for symbol, contract, decimals in tokens
            ]
        )
        cls.tokens.action_verify()
        cls.wallet = cls._create_wallet({"mode": "xpub", "xpub_key": XPUB})
        cls.tolerance_account = cls.company_data["default_account_expense"].copy(
            {"name": "Payment differences"}
        )
        cls.provider = cls.env["payment.provider"].search(
            [("code", "=", PROVIDER_CODE), ("company_id", "=", cls.company.id)], limit=1
        ) or cls.env.ref("milestone_billing_crypto.payment_provider_stablecoin").copy(
            {"company_id": cls.company.id}
        )
        cls.provider.write(
            {
                "state": "test",
                "crypto_wallet_id": cls.wallet.id,
                "crypto_token_ids": [Command.set((cls.usdc + cls.dai).ids)],
                "crypto_tolerance_account_id": cls.tolerance_account.id,
                "crypto_finalized_from": 100000,
                "is_published": True,
            }
        )
        cls.method = cls.env.ref("milestone_billing_crypto.payment_method_stablecoin")

    @classmethod
    def _create_wallet(cls, values):
        wallet = cls.env["milestone.billing.crypto.wallet"].create(
            {"name": "Studio wallet", "is_test": True, "company_id": cls.company.id, **values}
        )
        if wallet.mode != "pool":
            wallet.action_confirm()
        return wallet

    def setUp(self):
        super().setUp()
        self.addCleanup(self.proxy.reset)
        # The node keeps its blocks between tests, so each test has addresses of its own.
        self.env.flush_all()
        CryptoCommon.index += 100
        self.wallet.next_index = CryptoCommon.index
        self.evm.mine()
        self.chain._watch()  # the first cycle only notes where to begin

    # === FACTORIES === #

    def create_invoice(self, amount=1500.0, currency=None, date=None):
        """Return a posted invoice without tax."""
        invoice = self.env["account.move"].create(
            {
                "move_type": "out_invoice",
                "partner_id": self.partner_a.id,
                "invoice_date": date or fields.Date.today(),
                "currency_id": (currency or self.env.ref("base.USD")).id,
                "invoice_line_ids": [
                    Command.create(
                        {"name": "Milestone 2 of 4: Build complete", "price_unit": amount, "tax_ids": False}
                    )
                ],
            }
        )
        invoice.action_post()
        return invoice

    def create_transaction(self, invoice, provider=None):
        """Return a payment transaction as the portal makes it."""
        return self.env["payment.transaction"].create(
            {
                "provider_id": (provider or self.provider).id,
                "payment_method_id": self.method.id,
                "amount": invoice.amount_residual,
                "currency_id": invoice.currency_id.id,
                "partner_id": invoice.partner_id.id,
                "operation": "online_redirect",
                "invoice_ids": [Command.set(invoice.ids)],
                "reference": self.env["payment.transaction"]._compute_reference(
                    PROVIDER_CODE, prefix=invoice.name.replace("/", "-")
                ),
            }
        )

    def create_payment(self, amount=1500.0, token=None, **invoice_values):
        """Return a payment whose payer has chosen a token."""
        transaction = self.create_transaction(self.create_invoice(amount, **invoice_values))
        payment = (
            self.env["milestone.billing.crypto.payment"].sudo()._ensure_for(transaction)
        )  # as the cron and the page
        payment._choose(token or self.usdc)
        return payment

    def invoice_of(self, payment):
        """Return the invoice that a payment pays."""
        return payment.transaction_id.invoice_ids

    def create_euro_rate(self, value):
        """Return the one rate of the euro; it is old, and the provider takes it all the same."""
        euro = self.env.ref("base.EUR")
        euro.active = True
        rates = self.env["res.currency.rate"]
        rates.search([("currency_id", "=", euro.id)]).unlink()
        self.provider.crypto_rate_age_days = 10000
        return rates.create(
            {"currency_id": euro.id, "name": "2024-01-01", "rate": value, "company_id": self.company.id}
        )

    # === ON THE NETWORK === #

    def pay(self, payment, units=None, contract=None, sender=0, **more):
        """Send tokens to a payment's address, in base units (default: what was asked), in one new block."""
        contract = contract or self.usdc_contract
        units = units if units is not None else int(payment.quote_id.base_units)
        return contract.send("transfer", payment.address_id.address, units, sender=sender, **more)

    def watch(self, blocks=0):
        """Mine blocks and let the watcher work."""
        if blocks:
            self.evm.mine(blocks)
        self.chain._watch()

    def pay_and_settle(self, payment, units=None, **more):
        """Pay, confirm and book."""
        tx_hash = self.pay(payment, units, **more)
        self.watch(3)
        return tx_hash

    def assert_paid(self, payment):
        """The invoice is paid and nothing is open."""
        invoice = self.invoice_of(payment)
        self.assertEqual(payment.state, "paid")
        self.assertIn(invoice.payment_state, ("paid", "in_payment"))
        self.assertEqual(invoice.amount_residual, 0)
        self.assertEqual(payment.transaction_id.state, "done")
