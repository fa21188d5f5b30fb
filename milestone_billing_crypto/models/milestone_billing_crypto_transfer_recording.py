"""From what a node told to recorded receipts: each once, with its own address and direction."""

from datetime import UTC, datetime

from odoo import api, models

from ..tools import native


class MilestoneBillingCryptoTransfer(models.Model):
    _inherit = "milestone.billing.crypto.transfer"

    @api.model
    def _record_found(self, chain, found, headers, address_ids=None, prices=None):
        """Add receipts; one that is known comes back to life if it had been dropped.

        :param found: checked transfers, as :mod:`..tools.transfer_log` gives them.
        :param headers: headers by block number, of at least the blocks of the transfers.
        :param address_ids: whose balance each of them is, for the network's own coin.
        :param prices: what the coin's feed said, by block number.
        """
        if not found:
            return
        values = self._prepare_found_values(chain, found, headers, address_ids)
        for vals in values:
            vals["price"] = (prices or {}).get(vals["block_number"]) or False
        hashes = list({transfer.block_hash for transfer in found})
        domain = [("chain_id", "=", chain.id), ("block_hash", "in", hashes)]
        known = {
            self._key_of(record.block_hash, record.log_index, record.address_id.id): record
            for record in self.search(domain)
        }
        keys = [self._key_of(vals["block_hash"], vals["log_index"], vals["address_id"]) for vals in values]
        again = self.browse(known[key].id for key in keys if key in known and known[key].state == "orphaned")
        again._revive()
        new = [vals for key, vals in zip(keys, values, strict=True) if key not in known]
        self._record(new)._match()

    @api.model
    def _key_of(self, block_hash, log_index, address_id):
        """Return what tells a receipt from all others of its network."""
        return (block_hash, log_index, address_id if log_index == native.NO_LOG else 0)

    def _prepare_found_values(self, chain, found, headers, address_ids):
        places = {address for transfer in found for address in (transfer.sender, transfer.receiver)}
        Address = self.env["milestone.billing.crypto.address"]
        records = Address.search_fetch([("address", "in", list(places))], ["address", "company_id"])
        ours = {record.address: record for record in records}
        tokens = {token._place(): token.id for token in chain._get_watched_tokens()}
        owners = address_ids or [(ours.get(one.receiver) or ours[one.sender]).id for one in found]
        return [
            {
                "chain_id": chain.id,
                "token_id": tokens[transfer.token],
                "block_number": transfer.block_number,
                "block_hash": transfer.block_hash,
                "log_index": transfer.log_index,
                "tx_hash": transfer.tx_hash,
                "block_time": self._block_time(headers[transfer.block_number]),
                "sender": transfer.sender,
                "receiver": transfer.receiver,
                "value": str(transfer.value),
                "address_id": owner,
                "direction": self._direction_of(transfer, ours),
            }
            for transfer, owner in zip(found, owners, strict=True)
        ]

    def _direction_of(self, transfer, ours):
        """Return which way it went; what another company of ours sent is a payment like a stranger's."""
        sender, receiver = ours.get(transfer.sender), ours.get(transfer.receiver)
        if sender and receiver and sender.company_id == receiver.company_id:
            return "internal"
        return "in" if receiver else "out"

    def _block_time(self, header):
        return datetime.fromtimestamp(min(header.timestamp, 2**32), tz=UTC).replace(tzinfo=None)
