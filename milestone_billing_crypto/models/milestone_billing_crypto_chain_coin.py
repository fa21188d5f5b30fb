"""Receipts in the network's own coin, by the balances of the offered addresses; only where it is listed."""

from datetime import timedelta

from odoo import fields, models
from odoo.exceptions import UserError

from ..tools import native, transfer_log
from ..tools.reading import block_call
from ..tools.transfer_log import RangeError

#: An address offered while a cycle ran is looked up this far back; see the watcher.
_FRESH_ADDRESS = timedelta(minutes=6)
#: Many nodes keep the states of the last 128 blocks only.
_STATES_KEPT = 120
#: How often a comparison is begun again when the watcher was faster.
_ATTEMPTS = 5


class MilestoneBillingCryptoChain(models.Model):
    _inherit = "milestone.billing.crypto.chain"

    def _read_coin(self):
        """Compare the coin's balances of watched addresses with its receipts, and record what changed."""
        self.ensure_one()
        coin = self._get_watched_tokens().filtered("is_native")
        is_readable = self.cursor_block and self.watch_state in ("ok", "behind")
        is_known = self.cursor_block <= (self.coin_block or 0)
        if not coin or not is_readable or is_known or self.recheck_block:
            return
        domain = [("wallet_id.is_test", "=", self.is_test), ("watch_until", ">=", fields.Datetime.now())]
        try:
            self._compare_coin(coin, self.env["milestone.billing.crypto.address"].search(domain))
        except UserError as error:
            self.last_error = str(error)[:500]

    def _read_feeds(self):
        """Read the price feeds of the listed tokens; without an answer the last prices stand until they are too old."""
        if self.watch_state not in ("ok", "behind"):
            return  # who does not answer about blocks is not asked about prices
        try:
            self._get_watched_tokens()._read_price()
        except UserError as error:
            self.last_error = str(error)[:500]

    def _compare_coin(self, coin, addresses):
        """Record how the coin's balances of addresses changed.

        :return: block and balances; None when another worker read the network meanwhile, so that nothing was recorded.
        :raise UserError: if no node answers, or one contradicts itself.
        """
        cursor = self.cursor_block
        self._note_openings(coin, addresses)
        block, balances = self._read_balances(addresses, coin)
        expected, found = self._expected_balances(addresses), []
        for address in addresses:
            before, after = expected[address.id, coin.id], balances[address.id, coin.id]
            if before != after:
                found += self._trace_coin(address, block, before, after)
        if found:
            self._check_same_block(block)
        numbers = {header.number for _address, _transfer, header in found}
        prices = {number: coin._price_at(number) for number in numbers}
        if not self._lock_cursor(cursor):
            return None
        self._record_coin(found, prices)
        self.coin_block = cursor
        return block, balances

    def _compare_coin_surely(self, coin, addresses, commit=False):
        """Compare as above, and begin again when another worker was faster.

        :param bool commit: commit before each attempt, to see how far the others got.
        :raise UserError: if others were faster each time.
        """
        for _attempt in range(_ATTEMPTS if commit else 1):
            if commit:
                self.env["ir.cron"]._commit_progress()
            if found := self._compare_coin(coin, addresses):
                return found
        raise UserError(
            self.env._("%(chain)s is being read just now. Try again in a minute.", chain=self.name)
        )

    def _note_openings(self, coin, addresses):
        """Note what an address held before it was offered: that is no payment."""
        Balance = self.env["milestone.billing.crypto.balance"]
        known = Balance.search([("token_id", "=", coin.id), ("address_id", "in", addresses.ids)])
        new = addresses - known.address_id
        if not new:
            return
        low = max(1, self.cursor_block - self._coin_margin())
        block, balances = self._read_balances(new, coin, low)
        Balance.create(
            [
                {
                    **self._prepare_balance_values(key, held, held, block),
                    "opening_units": str(held),
                }
                for key, held in balances.items()
            ]
        )

    def _coin_margin(self):
        """Return how many blocks before the last comparison an address may have been offered and paid unseen."""
        return min(self._blocks_in(_FRESH_ADDRESS) + 1, _STATES_KEPT)

    def _trace_coin(self, address, block, before, after):
        """Return ``[(address, transfer, header)]`` of one address whose balance changed."""
        low = max(1, min(self.coin_block or block.number, block.number) - self._coin_margin())
        try:
            changes = native.find_changes(
                lambda number: self._ask_coin_balance(address, number), low, block.number, before, after
            )
        except native.UnknownStateError:
            changes = [(block.number, after - before)]  # it is there; the node has forgotten since when
        raw_blocks = self._call(native.block_call(number) for number, _difference in changes)
        try:
            return [
                (address, native.read_receipt(raw, address.address, difference), self._read_known_header(raw))
                for raw, (_number, difference) in zip(raw_blocks, changes, strict=True)
            ]
        except RangeError as error:
            raise UserError(str(error)) from None

    def _ask_coin_balance(self, address, number):
        try:
            return transfer_log.quantity(self._call([native.balance_call(address.address, number)])[0])
        except (UserError, RangeError) as error:
            raise native.UnknownStateError(str(error)) from None

    def _check_same_block(self, block):
        """Refuse what was traced when the blocks were replaced meanwhile.

        :raise UserError: if the block up to which balances were read is another one now.
        """
        raw = self._call([block_call(block.number)])[0]
        if not isinstance(raw, dict) or raw.get("hash") != block.hash:
            raise UserError(
                self.env._(
                    "The network replaced blocks while it was read. It is read again in the next cycle."
                )
            )

    def _read_known_header(self, raw):
        """Return a block's header; refuses one that is not what was read at that height."""
        header = transfer_log.parse_header(raw)
        if (self.hashes or {}).get(str(header.number), header.hash) != header.hash:
            raise RangeError("the chain changed while it was read")
        return header

    def _record_coin(self, found, prices):
        addresses, transfers, headers = zip(*found, strict=True) if found else ((), (), ())
        self.env["milestone.billing.crypto.transfer"]._record_found(
            self,
            list(transfers),
            {header.number: header for header in headers},
            [address.id for address in addresses],
            prices,
        )
