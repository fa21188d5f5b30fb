"""Reading a network: one range a time, one database transaction a range."""

import logging
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL
from psycopg2 import OperationalError

from ..const import ADDRESSES_PER_FILTER, CALLS_PER_BATCH
from ..tools import finality, transfer_log
from ..tools.address import normalize, to_topic
from ..tools.json_rpc import Call, RpcError
from ..tools.transfer_log import RangeError
from ..tools.url_guard import UrlError

_logger = logging.getLogger(__name__)

#: Ranges read for one network in one run of the job, so that one backlog does not starve the others.
_RANGES_PER_RUN = 50
#: An address offered since the last cycle, or up to this long before it, is looked up a few blocks back too:
#: a payer may be faster than the cycle that did not know the address yet. Longer than any cycle takes.
_FRESH_ADDRESS = timedelta(minutes=5)
#: Clocks of blocks and server may differ by this much.
_CLOCK_SKEW = timedelta(minutes=1)


class Snapshot(NamedTuple):
    """What a cycle starts from; dropped when the cursor moved meanwhile."""

    cursor: int
    hashes: dict
    tokens: dict
    addresses: list
    fresh: list
    fresh_blocks: int


class Reading(NamedTuple):
    """What the nodes said."""

    kind: str
    head: int
    finalized: int | None = None
    fork: int | None = None
    first: int = 0
    last: int = 0
    headers: dict = {}
    transfers: list = []
    older: dict = {}
    node_id: int = 0
    span: int = 0
    requests: int = 0
    calls: int = 0
    problem: str = ""


class MilestoneBillingCryptoChain(models.Model):
    _inherit = "milestone.billing.crypto.chain"

    # === JOBS === #

    @api.model
    def _cron_watch(self):
        """Read every network that is in use, make receipts final and book them."""
        chains = self._find_watched()
        for index, chain in enumerate(chains):
            try:
                chain._watch(commit=True)
            except OperationalError:
                self.env.cr.rollback()  # another worker was faster; the next cycle looks again
            except Exception:
                self.env.cr.rollback()
                _logger.exception("Stablecoin network %s could not be read", chain.id)
            if not self.env["ir.cron"]._commit_progress(1, remaining=len(chains) - index - 1):
                break

    @api.model
    def _find_watched(self):
        """Return the networks with a node on which an address of ours may receive a listed token."""
        addresses = self.env["milestone.billing.crypto.address"]._read_group(
            [("state", "!=", "free")], ["wallet_id"], ["__count"]
        )
        modes = {wallet.is_test for wallet, _count in addresses}
        return self.search(
            [("node_ids.active", "=", True), ("token_ids", "!=", False), ("is_test", "in", list(modes))]
        )

    def _watch(self, commit=False):
        """Read up to the newest block, then make receipts final, then book them.

        :param bool commit: commit after each range and each receipt, as the scheduled job does.
        """
        self.ensure_one()
        for _number in range(_RANGES_PER_RUN):
            again = self._read_once()
            if commit:
                self.env["ir.cron"]._commit_progress()
            if not again:
                break
        self._finalize_once()
        if commit:
            self.env["ir.cron"]._commit_progress()
        self.env["milestone.billing.crypto.transfer"]._settle(commit)

    def _read_once(self):
        """Read one range: ask the nodes first, then lock, then write.

        :return: whether there is more to read at once.
        :rtype: bool
        """
        self.ensure_one()
        if self.watch_state == "stopped":
            return False
        snapshot = self._prepare_snapshot()
        reading = self._ask_nodes(snapshot)
        if not self._lock_cursor(snapshot.cursor):
            return False  # another worker read this range; its result stands
        return self._apply(snapshot, reading)

    def _lock_cursor(self, cursor):
        """Lock this network's row without waiting; false when it is locked or its cursor moved."""
        self.flush_recordset()
        try:
            with self.env.cr.savepoint(flush=False):
                self.env.cr.execute(
                    SQL(
                        "SELECT cursor_block FROM milestone_billing_crypto_chain WHERE id = %s FOR UPDATE SKIP LOCKED",
                        self.id,
                    ),
                    log_exceptions=False,  # losing a race is no error
                )
                row = self.env.cr.fetchone()
        except OperationalError:
            return False  # changed since this transaction began
        return bool(row) and (row[0] or 0) == cursor

    # === BEFORE === #

    def _prepare_snapshot(self):
        """Return cursor, stored hashes, listed tokens and watched addresses as plain values."""
        now = fields.Datetime.now()
        Address = self.env["milestone.billing.crypto.address"]
        domain = [("wallet_id.is_test", "=", self.is_test)]
        watched = Address.search_fetch([*domain, ("watch_until", ">=", now)], ["address", "assigned_on"])
        since = min(now, self.last_polled_on or now) - _FRESH_ADDRESS
        fresh = watched.filtered(lambda record: record.assigned_on and record.assigned_on > since)
        age = now - min(fresh.mapped("assigned_on"), default=now) + _CLOCK_SKEW
        return Snapshot(
            self.cursor_block or 0,
            {int(number): known for number, known in (self.hashes or {}).items()},
            {normalize(token.contract): token.id for token in self.token_ids},
            watched.mapped("address"),
            fresh.mapped("address"),
            int(age.total_seconds() * 1000 // self.block_time_ms) + 1,
        )

    # === ASKING === #

    def _ask_nodes(self, snapshot):
        """Return the first usable node's reading, or one of kind ``error`` with the last problem."""
        problem = self.env._("No node is configured.")
        for node in self._usable_nodes():
            try:
                client = node._client()
                reading = self._ask_node(node, client, snapshot)
                return reading._replace(requests=client.requests, calls=client.calls, node_id=node.id)
            except (RpcError, RangeError, UrlError) as error:
                problem = str(error)
                node._note_failure(error)
            except UserError as error:
                return Reading("stopped", 0, problem=str(error))
        return Reading("error", 0, problem=problem)

    def _ask_node(self, node, client, snapshot):
        newest = max(snapshot.hashes, default=None)
        calls = [
            Call("eth_chainId", []),
            Call("eth_getBlockByNumber", ["latest", False]),
            Call("eth_getBlockByNumber", ["finalized", False]),
        ]
        if newest is not None:
            calls.append(Call("eth_getBlockByNumber", [hex(newest), False]))
        answers = client.batch(calls)
        for answer in (answers[0], answers[1]):
            if isinstance(answer, RpcError):
                raise answer
        self._check_chain_id(answers[0])
        head = transfer_log.parse_header(answers[1])
        finalized = None
        if isinstance(answers[2], dict):
            finalized = transfer_log.parse_header(answers[2]).number
        if not snapshot.cursor:
            return self._first_reading(client, head, finalized)
        known = answers[3] if newest is not None else None
        verdict = self._compare(client, snapshot, head.number, {newest: known} if newest is not None else {})
        if verdict.kind != "linked":
            return Reading(verdict.kind, head.number, finalized, verdict.fork, span=node.span)
        return self._read_range(node, client, snapshot, head.number, finalized)

    def _first_reading(self, client, head, finalized):
        """Begin near the head, with the hashes below it, so that a reorganisation is noticed from the start."""
        last = max(1, head.number - self.scan_lag)
        first = max(0, last - finality.HASHES_KEPT + 1)
        headers = []
        for start in range(first, last + 1, CALLS_PER_BATCH):
            numbers = range(start, min(start + CALLS_PER_BATCH, last + 1))
            raw = client.batch_strict(
                Call("eth_getBlockByNumber", [hex(number), False]) for number in numbers
            )
            headers += [transfer_log.parse_header(block) for block in raw]
        known = transfer_log.check_headers(headers, first, last, None)
        return Reading("first", head.number, finalized, first=first, last=last, headers=known)

    def _compare(self, client, snapshot, head, answered):
        """Say whether the node's chain continues ours; asks for all stored headers only when it does not."""
        hashes = {number: self._hash_of(raw) for number, raw in answered.items()}
        newest = finality.newest_comparable(snapshot.hashes, head, snapshot.cursor)
        if newest is not None and hashes.get(newest) != snapshot.hashes[newest]:
            numbers = sorted(number for number in snapshot.hashes if number <= head)
            raw = client.batch_strict(
                Call("eth_getBlockByNumber", [hex(number), False]) for number in numbers
            )
            hashes = {number: self._hash_of(block) for number, block in zip(numbers, raw, strict=True)}
        return finality.compare(snapshot.hashes, hashes, head, snapshot.cursor)

    def _hash_of(self, raw):
        if raw is None or isinstance(raw, RpcError):
            return None
        return transfer_log.parse_header(raw).hash

    def _read_range(self, node, client, snapshot, head, finalized):
        """Read the next range, halving it as long as the node says that it is too large."""
        target = head - self.scan_lag
        span = min(node.span or self.span_max, self.span_max)
        while True:
            first, last = snapshot.cursor + 1, min(target, snapshot.cursor + span)
            if last < first:
                return Reading("ok", head, finalized, first=first, last=snapshot.cursor, span=node.span)
            try:
                headers, transfers, older = self._fetch(client, snapshot, first, last, span)
            except RpcError as error:
                if error.kind != "too_large" or span == 1:
                    raise
                span = finality.halved_span(min(span, last - first + 1))
                continue
            was_full = last - first + 1 == span
            span = finality.next_span(span, self.span_max) if was_full else span
            return Reading("ok", head, finalized, None, first, last, headers, transfers, older, span=span)

    def _fetch(self, client, snapshot, first, last, span):
        """Fetch and check logs and headers of a range; one request up to a thousand addresses."""
        calls = self._log_calls(snapshot.tokens, snapshot.addresses, first, last)
        if snapshot.fresh:
            back = max(min(snapshot.hashes, default=first), first - snapshot.fresh_blocks)
            for start in range(back, first, span):
                calls += self._log_calls(snapshot.tokens, snapshot.fresh, start, min(start + span, first) - 1)
        count = len(calls)
        calls += [Call("eth_getBlockByNumber", [hex(number), False]) for number in range(first, last + 1)]
        answers = client.batch_strict(calls)
        parent = snapshot.hashes.get(first - 1)
        headers = transfer_log.check_headers(
            [transfer_log.parse_header(raw) for raw in answers[count:]], first, last, parent
        )
        transfers = self._parse_logs(snapshot, headers, answers[:count])
        return headers, transfers, self._fetch_older(client, snapshot, headers, transfers)

    def _fetch_older(self, client, snapshot, headers, transfers):
        """Return the times of blocks before the range in which a fresh address was paid."""
        numbers = sorted({transfer.block_number for transfer in transfers} - set(headers))
        raw = client.batch_strict(Call("eth_getBlockByNumber", [hex(number), False]) for number in numbers)
        older = {header.number: header for header in map(transfer_log.parse_header, raw)}
        if any(older[number].hash != snapshot.hashes[number] for number in numbers):
            raise RangeError("the chain changed while it was read")
        return older

    def _log_calls(self, tokens, addresses, first, last):
        """Return the filters of a range, for money that comes in and money that goes out."""
        if not addresses or not tokens:
            return []
        calls = []
        for start in range(0, len(addresses), ADDRESSES_PER_FILTER):
            topics = [to_topic(address) for address in addresses[start : start + ADDRESSES_PER_FILTER]]
            for places in ([None, topics], [topics]):
                query = {"fromBlock": hex(first), "toBlock": hex(last), "address": list(tokens)}
                calls.append(
                    Call("eth_getLogs", [{**query, "topics": [transfer_log.TRANSFER_TOPIC, *places]}])
                )
        return calls

    def _parse_logs(self, snapshot, headers, answers):
        transfers = []
        for logs in answers:
            if not isinstance(logs, list):
                raise RangeError("logs are not a list")
            parsed = (transfer_log.parse_log(raw, snapshot.tokens) for raw in logs)
            transfers += [transfer for transfer in parsed if transfer]
        older = {
            number: transfer_log.Header(number, known, "", 0)
            for number, known in snapshot.hashes.items()
            if number not in headers
        }
        checked = transfer_log.check_transfers(transfers, {**older, **headers})
        watched = set(snapshot.addresses)
        return [
            transfer for transfer in checked if transfer.receiver in watched or transfer.sender in watched
        ]

    # === WRITING === #

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
            "The node's chain shares no block with what was read. Check the node, then resume the network by hand."
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
        kept = {str(number): known for number, known in snapshot.hashes.items() if number <= reading.fork}
        self.write({**values, "cursor_block": reading.fork, "hashes": kept, "watch_state": "behind"})
        return True

    def _apply_ok(self, snapshot, reading, values):
        if reading.headers:
            self._record_transfers(snapshot, reading)
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

    def _record_transfers(self, snapshot, reading):
        """Add the range's receipts; one that is known comes back to life if it had been dropped."""
        if not reading.transfers:
            return
        Transfer = self.env["milestone.billing.crypto.transfer"]
        hashes = list({transfer.block_hash for transfer in reading.transfers})
        known = {
            (record.block_hash, record.log_index): record
            for record in Transfer.search([("chain_id", "=", self.id), ("block_hash", "in", hashes)])
        }
        again = Transfer.browse(
            known[key].id
            for key in ((t.block_hash, t.log_index) for t in reading.transfers)
            if key in known and known[key].state == "orphaned"
        )
        again._revive()
        new = [t for t in reading.transfers if (t.block_hash, t.log_index) not in known]
        Transfer._record(self._prepare_transfer_values(snapshot, reading, new))._match()

    def _prepare_transfer_values(self, snapshot, reading, transfers):
        places = {address for transfer in transfers for address in (transfer.sender, transfer.receiver)}
        ours = {
            record.address: record.id
            for record in self.env["milestone.billing.crypto.address"].search_fetch(
                [("address", "in", list(places))], ["address"]
            )
        }
        return [
            {
                "chain_id": self.id,
                "token_id": snapshot.tokens[transfer.token],
                "block_number": transfer.block_number,
                "block_hash": transfer.block_hash,
                "log_index": transfer.log_index,
                "tx_hash": transfer.tx_hash,
                "block_time": self._block_time(reading, transfer.block_number),
                "sender": transfer.sender,
                "receiver": transfer.receiver,
                "value": str(transfer.value),
                "address_id": ours.get(transfer.receiver) or ours[transfer.sender],
                "direction": self._direction(transfer, ours),
            }
            for transfer in transfers
        ]

    def _direction(self, transfer, ours):
        if transfer.receiver in ours and transfer.sender in ours:
            return "internal"
        return "in" if transfer.receiver in ours else "out"

    def _block_time(self, reading, number):
        header = reading.headers.get(number) or reading.older[number]
        return datetime.fromtimestamp(min(header.timestamp, 2**32), tz=UTC).replace(tzinfo=None)

    # === FINALITY === #

    def _finalize_once(self):
        """Make receipts final that are deep enough and whose transaction still stands in the same block."""
        self.ensure_one()
        ready = self._find_deep_enough()
        if not ready or self.watch_state not in ("ok", "behind"):
            return
        try:
            answers = self._ask_receipts(ready)
        except UserError as error:
            self.last_error = str(error)[:500]
            return
        if self._lock_cursor(self.cursor_block or 0):
            stands = ready.filtered(lambda transfer: self._stands(transfer, answers.get(transfer.tx_hash)))
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

    def _ask_receipts(self, transfers):
        """Return the network's receipts by transaction hash, from another node than the one that is read."""
        hashes = list(dict.fromkeys(transfers.mapped("tx_hash")))
        answers = self.with_context(milestone_billing_crypto_last_first=True)._call(
            [Call("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes]
        )
        return dict(zip(hashes, answers, strict=True))

    def _stands(self, transfer, receipt):
        """Tell whether a transaction succeeded and still is in the block in which it was seen."""
        return (
            isinstance(receipt, dict)
            and str(receipt.get("blockHash", "")).lower() == transfer.block_hash
            and receipt.get("status") == "0x1"
        )
