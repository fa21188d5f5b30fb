import threading
from unittest.mock import patch

from odoo.tests import tagged
from odoo.tools import mute_logger

from .common_watch_race import TIMEOUT_SECONDS, WatchRaceCommon


@tagged("-standard", "milestone_race", "post_install", "-at_install")
class TestWatchRace(WatchRaceCommon):
    """Watcher, daily check and button on connections of their own: whoever is slower loses nothing."""

    def hide(self):
        """Pay an address while the node keeps silent about it; returns the payment's id."""
        payment_id, address = self.begin()
        self.proxy.rule = lambda call, result: [] if call["method"] == "eth_getLogs" else result
        self.pay(address)
        self.watch(1)
        self.proxy.reset()
        return payment_id

    def compare_beside_the_watcher(self, compare):
        """Compare balances on one connection; in the midst of it another one reads and commits more blocks.

        :param compare: what is done with the network that is passed.
        :return: ids of the payment that was missed, and of the one read meanwhile.
        """
        missed, (other, address) = self.hide(), self.begin()
        Chain = self.registry["milestone.billing.crypto.chain"]
        find, found, go_on = Chain._find_transfers, threading.Event(), threading.Event()

        def find_slowly(chain, *args):
            transfers = find(chain, *args)
            found.set()
            self.assertTrue(go_on.wait(TIMEOUT_SECONDS))
            return transfers

        with patch.object(Chain, "_find_transfers", find_slowly), mute_logger("odoo.sql_db"):
            join = self.start(lambda cr: compare(self.chain_of(cr)))
            self.assertTrue(found.wait(TIMEOUT_SECONDS))
            self.pay(address)
            self.watch(1)
            go_on.set()
            join()
        return missed, other

    def assert_explained(self):
        """No balance is left without its receipts, and nobody is asked to look."""
        with self.registry.cursor() as cr:
            balances = self.env_of(cr)["milestone.billing.crypto.balance"].search([])
            self.assertEqual(set(balances.mapped("state")), {"ok"})
            self.assertFalse(self.chain_of(cr).activity_ids)

    def test_daily_check_recovers_a_payment_while_the_watcher_goes_on(self):
        payments = self.compare_beside_the_watcher(lambda chain: chain._sweep(commit=True))
        self.assert_explained()
        self.watch(3)
        self.assert_paid_once(*payments)

    def test_button_recovers_a_payment_while_the_watcher_goes_on(self):
        payments = self.compare_beside_the_watcher(lambda chain: chain.action_check_balances())
        self.assert_explained()
        self.watch(3)
        self.assert_paid_once(*payments)
