"""A network that is read again after it was stopped: what was recorded on a branch that is gone is looked up anew."""

from odoo import fields, models
from odoo.exceptions import UserError

from ..tools import native, transfer_log
from ..tools.json_rpc import Call
from ..tools.reading import CALLS_PER_BATCH, block_call
from ..tools.transfer_log import RangeError

#: Blocks with receipts that are looked up again in one cycle.
_BLOCKS_PER_CYCLE = 1000


class MilestoneBillingCryptoChain(models.Model):
    _inherit = "milestone.billing.crypto.chain"

    recheck_block = fields.Integer(
        string="Receipts to Look Up Again",
        readonly=True,
        copy=False,
        help="Receipts up to this block may stand on a branch that is gone. Each is asked for again, newest first.",
    )

    def _resume(self):
        """Go on where reading stopped, if the node still has that block; else at its newest block.

        Then no block is common with what was read, so that each receipt has to be looked up again, and the balances
        tell what came in between.
        """
        self.ensure_one()
        self.write({"watch_state": "behind", "last_error": False})
        snapshot = self._prepare_snapshot()
        reading = self._ask_nodes(snapshot)
        if not self._lock_cursor(snapshot.cursor):
            return  # somebody else resumed it
        if reading.kind != "lost":
            self._apply(snapshot, reading)
            return
        self._restart()
        self._go_on_from(self._find_newest_receipt_block())
        self.env.ref("milestone_billing_crypto.ir_cron_watch")._trigger()

    def _go_on_from(self, number):
        """Note up to which block receipts are still to be looked up; after the last one balances are compared."""
        self.recheck_block = number
        if not number:
            self.env.ref("milestone_billing_crypto.ir_cron_sweep")._trigger()

    def _find_newest_receipt_block(self, last=transfer_log.BLOCK_MAX):
        domain = [*self._prepare_recheck_domain(), ("block_number", "<=", last)]
        Transfer = self.env["milestone.billing.crypto.transfer"]
        return Transfer.search(domain, order="block_number desc", limit=1).block_number

    def _prepare_recheck_domain(self):
        return [("chain_id", "=", self.id), ("state", "!=", "orphaned")]

    def _check_rechecked(self):
        """Refuse to compare balances with receipts of which it is not known whether they still stand.

        :raise UserError: while some are still to be looked up.
        """
        self.ensure_one()
        if self.recheck_block:
            raise UserError(
                self.env._(
                    "The receipts on %(chain)s are looked up again, because its blocks were replaced. Try again in some "
                    "minutes.",
                    chain=self.name,
                )
            )

    def _recheck(self):
        """Look up receipts again, newest first: they stand, stand in another block, or are dropped.

        As everywhere: ask first, then lock, then write. What cannot be decided is tried again in the next cycle.
        """
        self.ensure_one()
        if not self.recheck_block or self.watch_state not in ("ok", "behind"):
            return
        cursor = self.cursor_block
        receipts = self._find_doubtful()
        try:
            gone, again = self._ask_again(receipts)
            headers = self._ask_headers_of(again)
            again = transfer_log.check_transfers(again, headers)
        except (UserError, RangeError) as error:
            self.last_error = str(error)[:500]
            return
        if self._lock_cursor(cursor):
            self._apply_recheck(receipts, gone, again, headers)

    def _find_doubtful(self):
        """Return the receipts of the next blocks to look up, whole blocks only."""
        Transfer = self.env["milestone.billing.crypto.transfer"]
        domain = [*self._prepare_recheck_domain(), ("block_number", "<=", self.recheck_block)]
        numbers = Transfer._read_group(
            domain, ["block_number"], order="block_number DESC", limit=_BLOCKS_PER_CYCLE
        )
        return Transfer.search([*domain, ("block_number", "in", [number for (number,) in numbers])])

    def _ask_in_parts(self, calls):
        """Return the answers to calls, asked in batches that hosted nodes take."""
        calls, answers = list(calls), []
        for start in range(0, len(calls), CALLS_PER_BATCH):
            answers += self._call(calls[start : start + CALLS_PER_BATCH])
        return answers

    def _ask_again(self, receipts):
        """Return the receipts whose block is gone, and the transfers that their transactions now make in others."""
        numbers = sorted(set(receipts.mapped("block_number")))
        blocks = dict(zip(numbers, self._ask_in_parts(map(block_call, numbers)), strict=True))
        known = {number: raw and transfer_log.parse_header(raw).hash for number, raw in blocks.items()}
        doubtful = receipts.filtered(lambda one: known[one.block_number] != one.block_hash)
        hashes = sorted(set(filter(None, doubtful.mapped("tx_hash"))))
        answers = self._ask_in_parts(Call("eth_getTransactionReceipt", [one]) for one in hashes)
        said = dict(zip(hashes, answers, strict=True))
        gone = doubtful.filtered(
            lambda one: self._is_gone(one, known[one.block_number], said.get(one.tx_hash))
        )
        return gone, self._parse_moved(
            [said[one] for one in sorted(set(filter(None, gone.mapped("tx_hash"))))]
        )

    def _is_gone(self, receipt, block_hash, answer):
        """Tell whether a receipt's block is no part of the chain any more.

        A node that has forgotten so old a block, and its transaction, proves nothing: then the receipt stays as it is.

        :raise RangeError: if the node says that the transaction is in a block which it does not have.
        """
        named = isinstance(answer, dict) and transfer_log.block_hash(answer.get("blockHash"))
        if named == receipt.block_hash:
            if block_hash:
                raise RangeError("a transaction is in a block that the node does not have")
            return False
        return bool(block_hash or named) or receipt.block_number > self.head_block

    def _parse_moved(self, answers):
        """Return the token transfers with our addresses of transactions that stand in other blocks."""
        tokens, found = self._get_token_ids(), []
        for answer in answers:
            if not isinstance(answer, dict) or answer.get("status") != "0x1":
                continue
            logs = answer.get("logs")
            if not isinstance(logs, list):
                raise RangeError("logs are not a list")
            found += filter(None, (transfer_log.parse_log(raw, tokens) for raw in logs))
        places = {place for one in found for place in (one.sender, one.receiver)}
        ours = self.env["milestone.billing.crypto.address"].search([("address", "in", list(places))])
        ours = set(ours.mapped("address"))
        return [one for one in found if {one.sender, one.receiver} & ours]

    def _ask_headers_of(self, transfers):
        """Return the headers of the blocks of transfers; refuses those that are not what was read."""
        numbers = sorted({one.block_number for one in transfers})
        raw_blocks = self._ask_in_parts(map(block_call, numbers))
        return {number: self._read_known_header(raw) for number, raw in zip(numbers, raw_blocks, strict=True)}

    def _apply_recheck(self, receipts, gone, again, headers):
        """Drop what is gone, record where it stands now, and note how far receipts were looked up.

        What stands above the cursor is left to the watcher, which reads it there.
        """
        Transfer = self.env["milestone.billing.crypto.transfer"]
        following = self._find_newest_receipt_block(min(receipts.mapped("block_number"), default=0) - 1)
        gone._update({"state": "orphaned"})
        gone.payment_id._refresh_state()
        gone.address_id._watch_closely()
        read = [one for one in again if one.block_number <= self.cursor_block]
        Transfer._record_found(self, read, headers)
        coins = gone.filtered(lambda one: one.log_index == native.NO_LOG)
        if coins:
            lowest = min(coins.mapped("block_number")) - 1
            self.coin_block = min(self.coin_block or lowest, lowest)
        self._go_on_from(following)
