"""When a receipt counts: deep enough, and confirmed by the node that is asked last."""

from odoo import models
from odoo.exceptions import UserError

from ..tools import finality
from ..tools.json_rpc import Call
from ..tools.reading import CALLS_PER_BATCH, block_call


class MilestoneBillingCryptoChain(models.Model):
    _inherit = "milestone.billing.crypto.chain"

    def _finalize_once(self):
        """Make receipts final that are deep enough and whose transaction still stands in the same block."""
        self.ensure_one()
        ready = self._find_deep_enough()
        if not ready or self.watch_state not in ("ok", "behind"):
            return
        try:
            stands = self._find_standing(ready)
        except UserError as error:
            self.last_error = str(error)[:500]
            return
        if self._lock_cursor(self.cursor_block or 0):
            stands.filtered(lambda transfer: transfer.state == "seen")._update({"state": "final"})
            stands.payment_id._refresh_state()

    def _find_deep_enough(self):
        seen = self.env["milestone.billing.crypto.transfer"].search(
            [("chain_id", "=", self.id), ("state", "=", "seen")]
        )
        return seen.filtered(
            lambda transfer: (
                transfer.block_number <= (self.cursor_block or 0)
                and finality.is_deep_enough(
                    transfer.block_number,
                    self.head_block,
                    self.finalized_block or None,
                    self.confirmations,
                    transfer._wants_finalized(),
                )
            )
        )

    def _find_standing(self, transfers):
        """Return the receipts that another node than the one that is read confirms.

        The transaction succeeded and still is in the block in which it was seen. A receipt of the network's
        own coin that names no transaction stands with its block.
        """
        hashes = list(dict.fromkeys(filter(None, transfers.mapped("tx_hash"))))
        numbers = sorted(set(transfers.filtered(lambda one: not one.tx_hash).mapped("block_number")))
        calls = [Call("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes]
        calls += map(block_call, numbers)
        node, answers = self.with_context(milestone_billing_crypto_last_first=True), []
        for start in range(0, len(calls), CALLS_PER_BATCH):
            answers += node._call(calls[start : start + CALLS_PER_BATCH])
        said = dict(zip([*hashes, *numbers], answers, strict=True))
        return transfers.filtered(lambda one: self._stands(one, said[one.tx_hash or one.block_number]))

    def _stands(self, transfer, answer):
        if not isinstance(answer, dict):
            return False
        named = answer.get("blockHash") if transfer.tx_hash else answer.get("hash")
        is_good = not transfer.tx_hash or answer.get("status") == "0x1"
        return is_good and str(named).lower() == transfer.block_hash
