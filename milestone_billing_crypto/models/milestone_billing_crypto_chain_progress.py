"""How far a network was read: what one reading changes, under the lock of the network's row."""

from odoo import fields, models

from ..tools import finality


class MilestoneBillingCryptoChain(models.Model):
    _inherit = "milestone.billing.crypto.chain"

    def _apply(self, snapshot, reading):
        """Write one reading under the lock: receipts, hashes and cursor in one transaction."""
        self.invalidate_recordset()
        now = fields.Datetime.now()
        values = {"last_polled_on": now, "poll_requests": reading.requests, "poll_calls": reading.calls}
        if reading.kind in ("error", "stopped"):
            state = {"watch_state": reading.kind, "last_error": reading.problem[:500]}
            if reading.kind == "stopped":
                self._alarm(reading.problem)
            self.write({**values, **state})
            return False
        node = self.node_ids.filtered(lambda candidate: candidate.id == reading.node_id)
        node.write(node._prepare_success_values(reading.head, reading.span or node.span))
        values.update(head_block=reading.head, last_error=False)
        if reading.finalized is not None:
            values["finalized_block"] = reading.finalized
        return getattr(self, f"_apply_{reading.kind}")(snapshot, reading, values)

    def _apply_first(self, snapshot, reading, values):
        hashes = {str(number): header.hash for number, header in reading.headers.items()}
        self.write({**values, "cursor_block": reading.last, "hashes": hashes, "watch_state": "ok"})
        return False

    def _apply_lagging(self, snapshot, reading, values):
        self.write({**values, "watch_state": "lagging"})
        return False

    def _apply_lost(self, snapshot, reading, values):
        reason = self.env._(
            "The node shares no block with what was read: it is on another chain, or the network replaced more than "
            "%(count)s blocks. Nothing is read until you decide. Compare the newest block with the network's explorer. "
            "If the node is wrong, correct its address; then press Resume.",
            count=finality.HASHES_KEPT,
        )
        self._alarm(reason)
        self.write({**values, "watch_state": "stopped", "last_error": reason})
        return False

    def _apply_reorg(self, snapshot, reading, values):
        """Mark the receipts above the fork as dropped; they are kept, and come back if their block does."""
        Transfer = self.env["milestone.billing.crypto.transfer"]
        dropped = Transfer.search(
            [("chain_id", "=", self.id), ("block_number", ">", reading.fork), ("state", "!=", "orphaned")]
        )
        dropped._update({"state": "orphaned"})
        dropped.payment_id._refresh_state()
        dropped.address_id._watch_closely()
        kept = {str(number): known for number, known in snapshot.hashes.items() if number <= reading.fork}
        values["coin_block"] = min(self.coin_block or 0, reading.fork)
        self.write({**values, "cursor_block": reading.fork, "hashes": kept, "watch_state": "behind"})
        return True

    def _apply_ok(self, snapshot, reading, values):
        if reading.headers:
            headers = {**reading.older, **reading.headers}
            Transfer = self.env["milestone.billing.crypto.transfer"]
            Transfer._record_found(self, reading.transfers, headers)
            known = {**snapshot.hashes, **{number: header.hash for number, header in reading.headers.items()}}
            newest = sorted(known)[-finality.HASHES_KEPT :]
            values.update(
                cursor_block=reading.last,
                hashes={str(number): known[number] for number in newest},
                last_progress_on=values["last_polled_on"],
            )
        again = reading.last < reading.head - self.scan_lag
        self.write({**values, "watch_state": "behind" if again else "ok"})
        return again
