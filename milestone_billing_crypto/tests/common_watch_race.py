import threading

from odoo import SUPERUSER_ID, api
from odoo.addons.milestone_billing.tests.common_race import RaceCommon

from .evm import scene
from .evm.node import Anvil, FaultProxy

TIMEOUT_SECONDS = 60


class WatchRaceCommon(RaceCommon):
    """A network read on several connections at once, on committed data that each test takes away again."""

    def setUp(self):
        super().setUp()
        self.evm = Anvil()
        self.addCleanup(self.evm.stop)
        self.proxy = FaultProxy(self.evm)
        self.addCleanup(self.proxy.stop)
        self.clear()  # the twenty workers leave theirs: they are processes of their own
        self.addCleanup(self.clear)
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            chain, _token, provider, self.contract = scene.prepare(env, self.evm, self.proxy.url)
            self.chain_id, self.provider_id = chain.id, provider.id
            self.company_id = provider.company_id.id

    def clear(self):
        """Take away what was committed, on a connection of its own."""
        with self.registry.cursor() as cr:
            scene.clear(cr)
        self.registry.clear_all_caches()

    def chain_of(self, cr):
        """Return the network on a cursor."""
        return self.env_of(cr)["milestone.billing.crypto.chain"].browse(self.chain_id)

    def begin(self, amount=100):
        """Commit a payment; return its id and its address."""
        with self.registry.cursor() as cr:
            env = self.env_of(cr)
            provider = env["payment.provider"].browse(self.provider_id)
            payment = scene.begin(env, provider, provider.crypto_token_ids, amount)
            return payment.id, payment.address_id.address

    def pay(self, address, amount=100):
        """Send tokens to an address, in a block of their own."""
        return self.contract.send("transfer", address, amount * 10**6)

    def watch(self, blocks=0):
        """Mine blocks and read the network on a connection of its own, as the scheduled job does."""
        if blocks:
            self.evm.mine(blocks)
        with self.registry.cursor() as cr:
            self.chain_of(cr)._watch(commit=True)

    def start(self, call):
        """Run a call on a connection of its own beside the test; returns what waits for its end."""
        problems = []

        def run():
            try:
                with self.registry.cursor() as cr:
                    call(cr)
            except Exception as error:  # noqa: BLE001 - told by the thread that waits
                problems.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def join():
            thread.join(TIMEOUT_SECONDS)
            self.assertFalse(thread.is_alive(), "it hangs")
            if problems:
                raise problems[0]

        return join

    def assert_paid_once(self, *payment_ids):
        """Each payment has one receipt, booked, and its invoice is settled."""
        with self.registry.cursor() as cr:
            payments = self.env_of(cr)["milestone.billing.crypto.payment"].browse(payment_ids)
            for payment in payments:
                self.assertEqual(len(payment.transfer_ids), 1)
                self.assertEqual((payment.state, payment.transfer_ids.booking_state), ("paid", "booked"))
                self.assertEqual(payment.transaction_id.invoice_ids.amount_residual, 0)
                self.assertEqual(len(payment.transaction_id.child_transaction_ids), 1)
