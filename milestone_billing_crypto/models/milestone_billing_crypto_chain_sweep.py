"""The daily look at balances: what was paid late, dropped by a node, or hidden by one that lies."""

from collections import defaultdict

from odoo import fields, models
from odoo.exceptions import UserError
from psycopg2.errors import UniqueViolation

from ..tools import finality, transfer_log
from ..tools.reading import block_call, log_calls
from ..tools.transfer_log import RangeError

#: Queries spent on finding what one address received unseen; more is a person's work.
_RECOVERY_QUERIES_MAX = 200
#: Addresses of one check for which the node is asked what they held before.
_OPENINGS_MAX = 50


class MilestoneBillingCryptoChain(models.Model):
    _inherit = "milestone.billing.crypto.chain"

    def _sweep(self, commit=False):
        """Compare the balances of all offered addresses with the receipts, and recover what was missed.

        :param bool commit: commit around each recovery, as the scheduled job and the button do: it takes long, and
            the watcher goes on meanwhile.
        """
        self.ensure_one()
        self._check_rechecked()
        tokens = self._get_watched_tokens()
        tokens._read_price()
        addresses = self.env["milestone.billing.crypto.address"].search(
            [("state", "!=", "free"), ("wallet_id.is_test", "=", self.is_test)]
        )
        logged = tokens.filtered(lambda token: not token.is_native)
        block, balances = self._read_balances(addresses, logged)
        suspects = self._find_unexplained(addresses, balances, block)
        if suspects:
            self._recover(suspects, block.number, commit)
            self._note_token_openings(logged, suspects, balances, block)
        self._store_balances(addresses, balances, block)
        left = self._find_unexplained(addresses, balances, block)
        if coin := tokens - logged:
            block, balances = self._compare_coin_surely(coin, addresses, commit)
            self._store_balances(addresses, balances, block)
            left |= self._find_unexplained(addresses, balances, block)
        if left and not self.activity_ids:
            self._alarm(
                self.env._(
                    "Addresses whose balance the receipts do not explain: %(count)s. Look at Balances to Sweep.",
                    count=len(left),
                )
            )

    def _opening_balances(self, addresses):
        """Return ``{(address id, token id): base units}`` of what addresses held before they were offered."""
        domain = [
            ("chain_id", "=", self.id),
            ("address_id", "in", addresses.ids),
            ("opening_units", "!=", "0"),
        ]
        found = self.env["milestone.billing.crypto.balance"].search(domain)
        return {(one.address_id.id, one.token_id.id): int(one.opening_units) for one in found}

    def _expected_balances(self, addresses, last=None):
        """Return ``{(address id, token id): base units}`` by the transfers that stand, and what was there before.

        :param int last: block up to which transfers count; default is all.
        """
        ours = {address.address: address.id for address in addresses}
        expected = defaultdict(int, self._opening_balances(addresses))
        transfers = self.env["milestone.billing.crypto.transfer"].search_fetch(
            [
                ("chain_id", "=", self.id),
                ("state", "!=", "orphaned"),
                ("block_number", "<=", last or transfer_log.BLOCK_MAX),
                "|",
                ("receiver", "in", list(ours)),
                ("sender", "in", list(ours)),
            ],
            ["receiver", "sender", "value", "token_id"],
        )
        for transfer in transfers:
            if transfer.receiver in ours:
                expected[ours[transfer.receiver], transfer.token_id.id] += int(transfer.value)
            if transfer.sender in ours:
                expected[ours[transfer.sender], transfer.token_id.id] -= int(transfer.value)
        return expected

    def _find_unexplained(self, addresses, balances, block):
        expected = self._expected_balances(addresses, block.number)
        ids = {
            address_id
            for (address_id, token_id), units in balances.items()
            if units != expected[address_id, token_id]
        }
        return addresses.filtered(lambda address: address.id in ids)

    def _recover(self, addresses, last, commit=False):
        """Look up what an address received or sent unseen, from when it was offered on.

        A commit before the record is written lets this transaction see how far the watcher got since; one after
        it lets the watcher go on.
        """
        Cron = self.env["ir.cron"]
        for address in addresses:
            first, span = self._get_recovery_range(address, last)
            try:
                if not (found := self._find_transfers(address, first, last, span)):
                    continue
                if commit:
                    Cron._commit_progress()
                self._record_unseen(found)
            except RangeError as error:
                raise UserError(self._unusable_message(error)) from None
            if commit:
                Cron._commit_progress()

    def _get_recovery_range(self, address, last):
        """Return the block from which on an address is looked up, surely before it was offered, and the step."""
        age = fields.Datetime.now() - address._first_offered_on()
        blocks = self._blocks_in(age) * 2 + finality.HASHES_KEPT
        span = min([self.span_max] + [node.span for node in self.node_ids if node.span])
        return max(1, last - min(blocks, span * _RECOVERY_QUERIES_MAX)), span

    def _note_token_openings(self, tokens, addresses, balances, block):
        """Note what addresses held of a token before they were looked up, when that explains their balance.

        Only once, at the first comparison, and only with a node that still knows so old a state; else a
        person says so (:meth:`~.MilestoneBillingCryptoBalance.action_note_opening`).
        """
        Balance = self.env["milestone.billing.crypto.balance"]
        known = Balance.search([("chain_id", "=", self.id), ("address_id", "in", addresses.ids)])
        done = {(one.address_id.id, one.token_id.id) for one in known}
        new = []
        for address in self._find_unexplained(addresses, balances, block)[:_OPENINGS_MAX]:
            expected = self._expected_balances(address, block.number)
            for key, held in self._ask_before(address, tokens, block.number).items():
                if held and key not in done and balances[key] - expected[key] == held:
                    values = self._prepare_balance_values(key, balances[key], balances[key], block)
                    new.append({**values, "opening_units": str(held)})
        Balance.create(new)

    def _ask_before(self, address, tokens, last):
        first, _span = self._get_recovery_range(address, last)
        try:
            return self._read_balances(address, tokens, first)[1]
        except UserError:
            return {}  # the node has forgotten

    def _find_transfers(self, address, first, last, span):
        tokens, found = self._get_token_ids(), []
        for start in range(first, last + 1, span):
            calls = log_calls(tokens, [address.address], start, min(start + span - 1, last))
            for logs in self._call(calls):
                found += [
                    transfer for transfer in (transfer_log.parse_log(raw, tokens) for raw in logs) if transfer
                ]
        return found

    def _record_unseen(self, transfers):
        """Record transfers found outside of the ranges, after their blocks were checked."""
        if not transfers or not self._lock_cursor(self.cursor_block or 0):
            return
        raw = self._call(block_call(number) for number in sorted({one.block_number for one in transfers}))
        headers = {header.number: header for header in map(self._read_known_header, raw)}
        transfers = transfer_log.check_transfers(transfers, headers)
        self.env["milestone.billing.crypto.transfer"]._record_found(self, transfers, headers)

    def _store_balances(self, addresses, balances, block):
        """Write balances that are not nothing, one create for all new ones."""
        Balance = self.env["milestone.billing.crypto.balance"]
        known = {
            (record.address_id.id, record.token_id.id): record
            for record in Balance.search([("chain_id", "=", self.id), ("address_id", "in", addresses.ids)])
        }
        expected, new = self._expected_balances(addresses, block.number), []
        for key, units in balances.items():
            values = self._prepare_balance_values(key, units, expected[key], block)
            if key in known:
                known[key].write(values)
            elif units or expected[key]:
                new.append(values)
        try:
            with self.env.cr.savepoint():
                Balance.create(new)
        except UniqueViolation:
            self.env.invalidate_all()  # another comparison was faster; its figures stand

    def _prepare_balance_values(self, key, units, expected, block):
        return {
            "address_id": key[0],
            "token_id": key[1],
            "base_units": str(units),
            "expected_units": str(expected),
            "is_empty": not units,
            "state": "ok" if units == expected else "unexplained",
            "block_number": block.number,
            "block_hash": block.hash,
            "checked_on": fields.Datetime.now(),
        }

    def action_check_balances(self):
        """Compare the balances of all offered addresses with the receipts now, beside the watcher as the job does."""
        self.check_access("write")
        for chain in self.sudo():
            chain._sweep(commit=True)
        self.env["milestone.billing.crypto.transfer"].sudo()._settle(commit=True)
        return self.env["ir.actions.act_window"]._for_xml_id(
            "milestone_billing_crypto.milestone_billing_crypto_balance_action"
        )
