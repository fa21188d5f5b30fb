from datetime import UTC, datetime

from odoo import api, fields, models

from ..tools import units


class MilestoneBillingCryptoProof(models.Model):
    """Proof of wallet: what the network holds at a block against what the ledger says, per token."""

    _name = "milestone.billing.crypto.proof"
    _description = "Proof of Stablecoin Wallet"
    _order = "id desc"
    _rec_name = "block_hash"

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
    is_proven = fields.Boolean(string="No Difference", compute="_compute_is_proven", store=True)

    @api.depends("line_ids.unexplained_amount")
    def _compute_is_proven(self):
        for proof in self:
            proof.is_proven = bool(proof.line_ids) and not any(proof.line_ids.mapped("unexplained_amount"))

    def action_prove(self):
        """Read the balances at the newest block read, and compare them with the wallet journals."""
        self.check_access("write")
        for proof in self:
            proof.sudo()._prove()
        return True

    def _prove(self):
        self.ensure_one()
        addresses = (
            self.env["milestone.billing.crypto.address"]
            .search([("company_id", "=", self.company_id.id), ("state", "!=", "free")])
            .filtered(lambda address: address.wallet_id.is_test == self.chain_id.is_test)
        )
        tokens = self.chain_id.token_ids.with_company(self.company_id).filtered(
            lambda token: token.journal_id and not token.is_native  # a coin stands in the books at cost
        )
        block, balances = self.chain_id._read_balances(addresses, tokens)
        self.line_ids.unlink()
        moment = datetime.fromtimestamp(block.timestamp, tz=UTC).replace(tzinfo=None)
        self.write({"block_number": block.number, "block_hash": block.hash, "block_time": moment})
        self.env["milestone.billing.crypto.proof.line"].create(
            [self._prepare_line(token, addresses, balances) for token in tokens]
        )

    def _prepare_line(self, token, addresses, balances):
        on_chain = sum(balances[address.id, token.id] for address in addresses)
        transfers = self.env["milestone.billing.crypto.transfer"].search(
            [
                ("token_id", "=", token.id),
                ("company_id", "=", self.company_id.id),
                ("state", "!=", "orphaned"),
                ("block_number", "<=", self.block_number),
            ]
        )
        waiting = transfers.filtered(lambda t: t.direction == "in" and t.booking_state != "booked")
        sent = transfers.filtered(lambda t: t.direction == "out" and t.booking_state != "booked")
        return {
            "proof_id": self.id,
            "token_id": token.id,
            "journal_id": token.journal_id.id,
            "chain_units": str(on_chain),
            "chain_amount": self._amount(token, on_chain),
            "ledger_amount": self._ledger_balance(token),
            "waiting_amount": self._amount(token, sum(int(t.value) for t in waiting)),
            "sent_amount": self._amount(token, sum(int(t.value) for t in sent)),
        }

    def _amount(self, token, base_units):
        return token.peg_currency_id.round(float(units.to_decimal(base_units, token.decimals)))

    def _ledger_balance(self, token):
        """Return the balance of the token's journal account in the token's peg."""
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
    currency_id = fields.Many2one(related="token_id.peg_currency_id")
    journal_id = fields.Many2one("account.journal", ondelete="restrict")
    chain_units = fields.Char(string="On the Network (Base Units)")
    chain_amount = fields.Monetary(string="On the Network")
    ledger_amount = fields.Monetary(string="In the Ledger")
    waiting_amount = fields.Monetary(string="Received, not Booked")
    sent_amount = fields.Monetary(string="Sent, not Booked")
    unexplained_amount = fields.Monetary(
        string="Unexplained", compute="_compute_unexplained_amount", store=True
    )

    @api.depends("chain_amount", "ledger_amount", "waiting_amount", "sent_amount")
    def _compute_unexplained_amount(self):
        for line in self:
            expected = line.ledger_amount + line.waiting_amount - line.sent_amount
            line.unexplained_amount = line.currency_id.round(line.chain_amount - expected)
