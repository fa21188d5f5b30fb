"""Tax lots: what each receipt cost, and what leaves with that cost again."""

from odoo import models

from ..tools import lots, units


class MilestoneBillingCryptoTransfer(models.Model):
    _inherit = "milestone.billing.crypto.transfer"

    def _get_book_values(self):
        """Return ``{id: amount in the token's peg}``: what transfers bring to, or take from, the wallet's account.

        Of a pegged token that is its quantity; of a coin the cost of the receipt, and what leaves an address costs
        what its receipts did, first in first out. What is booked already counts as it was booked.
        """
        coins = self.filtered(lambda one: one.token_id.is_native)
        values = {one.id: one._get_lot_cost(1) for one in self - coins}
        values |= {one.id: one.lot_cost for one in coins.filtered(lambda one: one.direction == "in")}
        for sent in coins.filtered(lambda one: one.direction == "out").grouped("token_id").values():
            values |= sent._get_costs_sent()
        values |= {one.id: one.lot_cost for one in self.filtered("sweep_id") if one.lot_cost}
        return values | {one.id: one.refund_id.amount for one in self.filtered("refund_id")}

    def _get_refundable(self):
        """Return the newest receipt's token, and what was paid too much in its peg, or all where nothing was."""
        token = self[-1:].token_id
        same = self.filtered(lambda one: one.token_id.peg_currency_id == token.peg_currency_id)
        return token, token.peg_currency_id.round(sum(one._get_excess_cost() for one in same))

    def _get_excess_cost(self):
        """Return what of this receipt is the customer's credit, in the token's peg; all of it where nothing is."""
        self.ensure_one()
        whole = self.payment_id._minor(self.amount_value)
        excess = self.payment_id._minor(self.amount_excess) or whole
        return float(units.Decimal(str(self.lot_cost)) * excess / whole) if whole else self.lot_cost

    def _get_costs_sent(self):
        """Return ``{id: cost}`` of coins of one token that left their addresses."""
        token, addresses = self.token_id, self.address_id
        openings = token.chain_id._opening_balances(addresses)
        domain = [
            ("address_id", "in", addresses.ids),
            ("token_id", "=", token.id),
            ("state", "!=", "orphaned"),
        ]
        costs = {}
        for address, moves in self.search(domain, order="block_number, id").grouped("address_id").items():
            costs |= moves._get_costs_in_order(openings.get((address.id, token.id), 0))
        return {one.id: costs[one.id] for one in self}

    def _get_costs_in_order(self, opening):
        """Return ``{id: cost}`` of what left one address, from all its moves in the order of the chain."""
        digits = self.token_id.peg_currency_id.decimal_places
        held = [lots.Lot(opening, 0)] if opening else []
        held += [
            lots.Lot(int(one.value), units.minor_units(units.Decimal(str(one.lot_cost)), digits))
            for one in self.filtered(lambda one: one.direction == "in")
        ]
        costs, gone = {}, 0
        for one in self.filtered(lambda one: one.direction == "out"):
            cost = lots.cost_of(held, gone, int(one.value))
            costs[one.id] = float(units.from_minor_units(cost, digits))
            gone += int(one.value)
        return costs
