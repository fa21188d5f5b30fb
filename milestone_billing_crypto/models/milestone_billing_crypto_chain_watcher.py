"""The job that reads the networks: ask first, then lock, then write; one database transaction a range."""

import logging
from datetime import timedelta

from odoo import api, fields, models
from odoo.addons.milestone_billing.tools.url_guard import UrlError
from odoo.fields import Domain
from odoo.tools import SQL
from psycopg2 import OperationalError

from ..tools.json_rpc import RpcError
from ..tools.reading import Reader, Reading, Snapshot, WrongNetworkError
from ..tools.transfer_log import RangeError

_logger = logging.getLogger(__name__)

#: Ranges read for one network in one run of the job, so that one backlog does not starve the others.
_RANGES_PER_RUN = 50
#: An address offered since the last cycle, or up to this long before it, is looked up a few blocks back too:
#: a payer may be faster than the cycle that did not know the address yet. Longer than any cycle takes.
_FRESH_ADDRESS = timedelta(minutes=5)
#: Clocks of blocks and server may differ by this much.
_CLOCK_SKEW = timedelta(minutes=1)


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
            except Exception as error:
                # The edge of the job: whatever is wrong with one network, the others are read, and a person sees it.
                self.env.cr.rollback()
                _logger.exception("Stablecoin network %s could not be read", chain.id)
                chain._note_crash(error)
            if not self.env["ir.cron"]._commit_progress(1, remaining=len(chains) - index - 1):
                break

    @api.model
    def _find_watched(self):
        """Return the networks on which an address of ours may receive a listed token, that have a node or had one.

        One that lost its node is looked at too: then it says so, instead of being up to date for ever.
        """
        addresses = self.env["milestone.billing.crypto.address"]._read_group(
            [("state", "!=", "free")], ["wallet_id"], ["__count"]
        )
        modes = {wallet.is_test for wallet, _count in addresses}
        is_read = Domain("node_ids.active", "=", True) | Domain("watch_state", "!=", "idle")
        chains = self.search(is_read & Domain("is_test", "in", list(modes)))
        return chains.filtered(lambda chain: chain._get_watched_tokens())

    def _get_watched_tokens(self):
        """Return the listed tokens, and those taken off the list for which somebody was given a price, or that came.

        Of them money may come or go still.
        """
        Token = self.env["milestone.billing.crypto.token"].with_context(active_test=False)
        archived = Token.search([("chain_id", "in", self.ids), ("active", "=", False)])
        used = self.token_ids
        for name in ("quote", "transfer", "refund") if archived else ():
            records = self.env[f"milestone.billing.crypto.{name}"].sudo()
            found = records._read_group([("token_id", "in", archived.ids)], ["token_id"])
            used |= used.browse(token.id for (token,) in found)
        return used

    def _watch(self, commit=False):
        """Read up to the newest block, look up again what is in doubt, make receipts final, then book them.

        :param bool commit: commit after each range and each receipt, as the scheduled job does.
        """
        self.ensure_one()
        for _number in range(_RANGES_PER_RUN):
            again = self._read_once()
            if commit:
                self.env["ir.cron"]._commit_progress()
            if not again:
                break
        self._recheck()
        self._read_feeds()
        self._read_coin()
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

    def _note_crash(self, error):
        """Show that this network cannot be read for a reason which nobody foresaw, unless another worker has it."""
        if self.try_lock_for_update():
            problem = self.env._(
                "Reading failed unexpectedly (%(kind)s). The server's log has the details; the next cycle tries again.",
                kind=type(error).__name__,
            )
            self.write({"watch_state": "error", "last_error": problem})

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

    # === ASKING === #

    def _prepare_snapshot(self):
        """Return cursor, stored hashes, listed tokens and watched addresses as plain values."""
        now = fields.Datetime.now()
        domain = [("wallet_id.is_test", "=", self.is_test), ("watch_until", ">=", now)]
        watched = self.env["milestone.billing.crypto.address"].search_fetch(
            domain, ["address", "assigned_on"]
        )
        since = min(now, self.last_polled_on or now) - _FRESH_ADDRESS
        fresh = watched.filtered(lambda record: record.assigned_on and record.assigned_on > since)
        age = now - min(fresh.mapped("assigned_on"), default=now) + _CLOCK_SKEW
        return Snapshot(
            evm_id=self.evm_id,
            cursor=self.cursor_block or 0,
            hashes={int(number): known for number, known in (self.hashes or {}).items()},
            tokens=self._get_token_ids(),
            addresses=watched.mapped("address"),
            fresh=fresh.mapped("address"),
            fresh_blocks=self._blocks_in(age) + 1,
            known=self._find_known(fresh),
            head=self.head_block or 0,
            expected=self._expect_blocks(now),
            scan_lag=self.scan_lag,
            span_max=self.span_max,
        )

    def _find_known(self, addresses):
        """Return the identities of the receipts which addresses that are looked up again already have."""
        domain = [
            ("chain_id", "=", self.id),
            ("address_id", "in", addresses.ids),
            ("state", "!=", "orphaned"),
        ]
        receipts = self.env["milestone.billing.crypto.transfer"].search_fetch(
            domain, ["block_hash", "log_index"]
        )
        return frozenset((receipt.block_hash, receipt.log_index) for receipt in receipts)

    def _get_token_ids(self):
        """Return the ids of the watched tokens by their contract; the coin has none, and no logs."""
        return {token._place(): token.id for token in self._get_watched_tokens() if not token.is_native}

    def _blocks_in(self, duration):
        return int(duration.total_seconds() * 1000 // self.block_time_ms)

    def _expect_blocks(self, now):
        """Return how many blocks there should be above the cursor by now, one more rather than one less."""
        since = now - min(self.last_polled_on or now, now)
        return max(0, (self.head_block or 0) - (self.cursor_block or 0)) + self._blocks_in(since) + 2

    def _ask_nodes(self, snapshot):
        """Return the first usable node's reading, or one of kind ``error`` with the last problem."""
        problem = self.env._("No node is configured.")
        for node in self._usable_nodes():
            try:
                client = node._client()
                span = min(node.span or self.span_max, self.span_max)
                reading = Reader(client, snapshot, span).read_next()
                return reading._replace(requests=client.requests, calls=client.calls, node_id=node.id)
            except WrongNetworkError as error:
                return Reading("stopped", problem=self._wrong_network_message(error.got))
            except (RpcError, RangeError, UrlError) as error:
                problem = node._explain(error)
                node._note_failure(error)
        return Reading("error", problem=problem)
