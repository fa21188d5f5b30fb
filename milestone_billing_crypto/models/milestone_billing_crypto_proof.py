from odoo import api, fields, models
from odoo.addons.milestone_billing.tools.context import drop_defaults
from odoo.exceptions import AccessError

from ..tools import native, transfer_log, units

#: What only reading the network and the ledger says.
_FACTS = frozenset({"block_number", "block_hash", "block_time", "line_ids", "balance_ids", "is_proven"})


class MilestoneBillingCryptoProof(models.Model):
    """Proof of wallet: what the network holds at a block against what the ledger says.

    Per token against its wallet journal, and per address against the recorded transfers. The network's own coin
    stands in the books at cost: its quantity is compared with the transfers, its cost with the journal.
    """

    _name = "milestone.billing.crypto.proof"
    _description = "Proof of Stablecoin Wallet"
    _order = "id desc"

    chain_id = fields.Many2one(
        "milestone.billing.crypto.chain", string="Network", required=True, ondelete="restrict"
    )
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company, index=True
    )
    block_number = fields.Integer(readonly=True)
    block_hash = fields.Char(readonly=True)
    block_time = fields.Datetime(readonly=True)
    line_ids = fields.One2many("milestone.billing.crypto.proof.line", "proof_id", readonly=True)
    balance_ids = fields.One2many("milestone.billing.crypto.proof.balance", "proof_id", readonly=True)
    is_proven = fields.Boolean(string="No Difference", compute="_compute_is_proven", store=True)

    @api.depends("chain_id.name", "block_number")
    def _compute_display_name(self):
        for proof in self:
            number = proof.block_number
            text = self.env._("%(network)s, block %(number)s", network=proof.chain_id.name, number=number)
            proof.display_name = text if number else proof.chain_id.name

    @api.depends("line_ids.unexplained_amount", "balance_ids.is_explained")
    def _compute_is_proven(self):
        for proof in self:
            is_explained = all(proof.balance_ids.mapped("is_explained"))
            is_booked = not any(proof.line_ids.mapped("unexplained_amount"))
            proof.is_proven = bool(proof.line_ids) and is_explained and is_booked

    @api.model_create_multi
    def create(self, vals_list):
        """Override: a proof begins empty."""
        for vals in vals_list:
            self._check_facts(vals)
        names = () if self.env.su else _FACTS
        model = self.with_context(drop_defaults(self.env.context, names))  # pylint: disable=context-overridden
        return super(MilestoneBillingCryptoProof, model).create(vals_list)

    def write(self, vals):
        """Override: what is proven is read, never entered; nor does a proof become one of something else."""
        self._check_facts(vals)
        if {"chain_id", "company_id"} & set(vals) and any(self.mapped("block_number")):
            raise AccessError(self.env._("A proof is read from the network and the ledger. Make a new one."))
        return super().write(vals)

    @api.model
    def _check_facts(self, vals):
        if _FACTS & set(vals) and not self.env.su:
            raise AccessError(self.env._("A proof is read from the network and the ledger. Make a new one."))

    def action_prove(self):
        """Read the balances at the newest block read, and compare them with transfers and wallet journals."""
        self.check_access("write")
        for proof in self:
            proof.sudo()._prove()
        return True

    def _prove(self):
        """Read the network and the ledger once more, and replace the rows by what they say now."""
        self.ensure_one()
        self.chain_id._check_rechecked()
        addresses = (
            self.env["milestone.billing.crypto.address"]
            .search([("company_id", "=", self.company_id.id), ("state", "!=", "free")])
            .filtered(lambda address: address.wallet_id.is_test == self.chain_id.is_test)
        )
        tokens = self._find_tokens()
        if coin := tokens.filtered("is_native"):
            self.chain_id._compare_coin_surely(coin, addresses)  # what came or went since the last cycle
        block, balances = self.chain_id._read_balances(addresses, tokens)
        self.line_ids.unlink()
        self.balance_ids.unlink()
        self.write(
            {
                "block_number": block.number,
                "block_hash": block.hash,
                "block_time": transfer_log.moment(block.timestamp),
            }
        )
        expected = self.chain_id._expected_balances(addresses)
        self.env["milestone.billing.crypto.proof.balance"].create(
            [
                {
                    "proof_id": self.id,
                    "address_id": key[0],
                    "token_id": key[1],
                    "chain_units": str(held),
                    "expected_units": str(expected[key]),
                }
                for key, held in balances.items()
                if held or expected[key]
            ]
        )
        openings = self.chain_id._opening_balances(addresses)
        self.env["milestone.billing.crypto.proof.line"].create(
            [self._prepare_line(token, openings) for token in tokens]
        )

    def _find_tokens(self):
        """Return the network's tokens that have a journal, or of which something came that waits for a person."""
        domain = [("chain_id", "=", self.chain_id.id), ("company_id", "=", self.company_id.id)]
        moved = self.env["milestone.billing.crypto.transfer"]._read_group(domain, ["token_id"])
        received = {token.id for (token,) in moved}
        tokens = self.chain_id._get_watched_tokens().with_company(self.company_id)
        return tokens.filtered(lambda token: token.journal_id or token.id in received)

    def _prepare_line(self, token, openings):
        """Compare what the addresses hold of a token with the journal of its wallet.

        :param dict openings: base units that were there before an address was offered, by (address id, token id).
        :rtype: dict
        """
        rows = self.balance_ids.filtered(lambda row: row.token_id == token)
        held = sum(int(row.chain_units) for row in rows)
        unexplained = held - sum(int(row.expected_units) for row in rows)
        before = sum(found for (_address, token_id), found in openings.items() if token_id == token.id)
        transfers = self.env["milestone.billing.crypto.transfer"].search(
            [
                ("token_id", "=", token.id),
                ("company_id", "=", self.company_id.id),
                ("state", "!=", "orphaned"),
                ("direction", "!=", "internal"),
                ("block_number", "<=", self.block_number),
            ]
        )
        sums = self._sum_book_values(transfers)
        if token.is_native:  # at cost; what nothing explains at its price of now
            surplus = units.to_decimal(unexplained, native.DECIMALS) * (token._price_now() or 0)
            amounts = {"chain_amount": sums["in"] - sums["out"] + float(surplus), "opening_amount": 0}
        else:
            opening, recorded = self._amount(token, before), before + self._sum_units(transfers)
            amounts = {
                "chain_amount": self._amount(token, held),
                "opening_amount": opening,
                "rounding_amount": self._amount(token, recorded) - opening - sums["in"] + sums["out"],
            }
        return {
            **amounts,
            "proof_id": self.id,
            "token_id": token.id,
            "journal_id": token.journal_id.id,
            "chain_units": str(held),
            "ledger_amount": self._ledger_balance(token),
            "waiting_amount": sums["waiting"],
            "sent_amount": sums["unbooked"],
        }

    def _sum_units(self, transfers):
        """Return what came in less what went out, in base units."""
        return sum(int(one.value) if one.direction == "in" else -int(one.value) for one in transfers)

    def _sum_book_values(self, transfers):
        """Return what came in and went out, and how much of each is not booked, in the token's peg."""
        values = transfers._get_book_values()
        received = transfers.filtered(lambda one: one.direction == "in")
        sent = transfers - received
        parts = {
            "in": received,
            "out": sent,
            "waiting": received.filtered(lambda one: one.booking_state != "booked"),
            "unbooked": sent.filtered(lambda one: one.booking_state != "booked"),
        }
        return {name: sum(values[one.id] for one in part) for name, part in parts.items()}

    def _amount(self, token, base_units):
        return token.peg_currency_id.round(float(units.to_decimal(base_units, token.decimals)))

    def _ledger_balance(self, token):
        """Return the balance of the token's journal account in the token's peg; nothing without a journal."""
        if not token.journal_id:
            return 0.0
        peg = token.peg_currency_id
        field = "balance" if peg == self.company_id.currency_id else "amount_currency"
        groups = self.env["account.move.line"]._read_group(
            [
                ("account_id", "=", token.journal_id.default_account_id.id),
                ("parent_state", "=", "posted"),
                ("company_id", "=", self.company_id.id),
                ("currency_id", "=", peg.id) if field == "amount_currency" else ("id", "!=", False),
            ],
            [],
            [f"{field}:sum"],
        )
        return groups[0][0] or 0.0


class MilestoneBillingCryptoProofLine(models.Model):
    """One token of a proof."""

    _name = "milestone.billing.crypto.proof.line"
    _description = "Proof of Stablecoin Wallet: Token"

    proof_id = fields.Many2one(
        "milestone.billing.crypto.proof", required=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="proof_id.company_id", store=True, index=True)
    token_id = fields.Many2one("milestone.billing.crypto.token", required=True, ondelete="restrict")
    symbol = fields.Char(related="token_id.symbol", string="Token Symbol")
    currency_id = fields.Many2one(related="token_id.peg_currency_id")
    journal_id = fields.Many2one("account.journal", ondelete="restrict")
    chain_units = fields.Char(string="On the Network (Base Units)")
    quantity_text = fields.Char(string="Quantity", compute="_compute_quantity_text")
    chain_amount = fields.Monetary(
        string="On the Network", help="The network's own coin at what its receipts cost."
    )
    opening_amount = fields.Monetary(
        string="There Before", help="What addresses held before they were offered; it is no payment."
    )
    ledger_amount = fields.Monetary(string="In the Ledger")
    waiting_amount = fields.Monetary(string="Received, not Booked")
    sent_amount = fields.Monetary(string="Sent, not Booked")
    rounding_amount = fields.Monetary(
        string="Rounding",
        help="The books hold each transfer rounded to the currency, the network holds all its digits.",
    )
    unexplained_amount = fields.Monetary(
        string="Unexplained", compute="_compute_unexplained_amount", store=True
    )

    @api.depends(
        "chain_amount",
        "opening_amount",
        "ledger_amount",
        "waiting_amount",
        "sent_amount",
        "rounding_amount",
    )
    def _compute_unexplained_amount(self):
        for line in self:
            expected = line.opening_amount + line.ledger_amount + line.waiting_amount - line.sent_amount
            expected += line.rounding_amount
            line.unexplained_amount = line.currency_id.round(line.chain_amount - expected)

    @api.depends("chain_units", "token_id")
    def _compute_quantity_text(self):
        for line in self:
            line.quantity_text = line.token_id._to_text(line.chain_units or 0)


class MilestoneBillingCryptoProofBalance(models.Model):
    """One token on one address at the block of a proof."""

    _name = "milestone.billing.crypto.proof.balance"
    _description = "Proof of Stablecoin Wallet: Address"
    _order = "token_id, id"

    proof_id = fields.Many2one(
        "milestone.billing.crypto.proof", required=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="proof_id.company_id", store=True, index=True)
    token_id = fields.Many2one("milestone.billing.crypto.token", required=True, ondelete="restrict")
    address_id = fields.Many2one("milestone.billing.crypto.address", required=True, ondelete="restrict")
    path = fields.Char(related="address_id.path")
    chain_units = fields.Char(string="On the Network (Base Units)", required=True)
    expected_units = fields.Char(
        string="By the Transfers (Base Units)",
        required=True,
        help="Recorded transfers, and what was there before.",
    )
    is_explained = fields.Boolean(compute="_compute_is_explained", store=True)
    amount_text = fields.Char(string="On the Network", compute="_compute_texts")
    expected_text = fields.Char(string="By the Transfers", compute="_compute_texts")
    difference_text = fields.Char(string="Difference", compute="_compute_texts")

    @api.depends("chain_units", "expected_units")
    def _compute_is_explained(self):
        for row in self:
            row.is_explained = row.chain_units == row.expected_units

    @api.depends("chain_units", "expected_units", "token_id")
    def _compute_texts(self):
        for row in self:
            difference = int(row.chain_units or 0) - int(row.expected_units or 0)
            row.amount_text = row.token_id._to_text(row.chain_units or 0)
            row.expected_text = row.token_id._to_text(row.expected_units or 0)
            row.difference_text = row.token_id._to_text(difference) if difference else False
