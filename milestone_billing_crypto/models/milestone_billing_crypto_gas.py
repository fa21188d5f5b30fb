from odoo import Command, api, fields, models
from odoo.addons.milestone_billing.tools.context import drop_defaults
from odoo.exceptions import AccessError, UserError, ValidationError

from ..const import PROVIDER_CODE
from ..tools import native, transfer_log, units
from ..tools.json_rpc import Call


class MilestoneBillingCryptoGas(models.AbstractModel):
    """What the network charged for something that a person sent, and its journal entry."""

    _name = "milestone.billing.crypto.gas"
    _description = "Network Fee of a Sending"

    company_id = fields.Many2one("res.company")
    company_currency_id = fields.Many2one(related="company_id.currency_id", string="Company Currency")
    gas_text = fields.Char(
        string="Gas Paid",
        copy=False,
        help="In the network's own coin, a plain number, as the explorer shows it.",
    )
    gas_cost = fields.Monetary(
        currency_field="company_currency_id", copy=False, help="Worth of the gas; booked with the record."
    )
    gas_move_id = fields.Many2one("account.move", string="Entry of the Gas", readonly=True, copy=False)

    #: What only the way through the buttons changes, never a write over the network.
    _guarded_fields = frozenset({"state", "gas_move_id"})

    @api.model_create_multi
    def create(self, vals_list):
        """Override: a record begins at its beginning."""
        for vals in vals_list:
            self._check_guarded(vals)
        names = () if self.env.su else self._guarded_fields
        model = self.with_context(drop_defaults(self.env.context, names))  # pylint: disable=context-overridden
        return super(MilestoneBillingCryptoGas, model).create(vals_list)

    def write(self, vals):
        """Override: states and entries come from the buttons only."""
        self._check_guarded(vals)
        return super().write(vals)

    @api.model
    def _check_guarded(self, vals):
        if self._guarded_fields & set(vals) and not self.env.su:
            raise AccessError(self.env._("This changes by its buttons only."))

    @api.constrains("gas_text", "gas_cost")
    def _check_gas(self):
        for record in self:
            try:
                units.parse(record.gas_text or "0", native.DECIMALS)
            except units.UnitsError:
                raise ValidationError(
                    self.env._("Enter the gas as a plain number, such as 0.00042, without the coin's name.")
                ) from None
            if record.gas_cost < 0:
                raise ValidationError(self.env._("The worth of the gas cannot be negative."))

    def _get_gas_chain(self):
        """Return the network on which the gas was paid; each model says which."""
        return self.token_id.chain_id

    def _read_gas(self, tx_hashes):
        """Ask the network what transactions cost, and value it where the coin's price is known."""
        self.ensure_one()
        chain = self._get_gas_chain()
        tx_hashes = self._find_untold(tx_hashes)
        if not tx_hashes:
            return
        receipts = chain._call(Call("eth_getTransactionReceipt", [tx_hash]) for tx_hash in tx_hashes)
        try:
            spent = sum(self._get_gas_units(receipt) for receipt in receipts)
        except (transfer_log.RangeError, AttributeError):
            return  # a node that tells no price; the person enters it
        values = {"gas_text": units.to_text(spent, native.DECIMALS)}
        coin = chain.token_ids.filtered("is_native")
        price = coin._price_now() if coin else None
        if price is not None and self._find_gas_provider():
            worth = float(units.to_decimal(spent, native.DECIMALS) * price)
            date = fields.Date.context_today(self)
            values["gas_cost"] = coin.peg_currency_id._convert(
                worth, self.company_currency_id, self.company_id, date
            )
        self.write(values)

    def _find_untold(self, tx_hashes):
        """Return the transactions whose fee no other sending has: one that holds several is charged for once."""
        chain = self._get_gas_chain()
        place = [("tx_hash", "in", tx_hashes)]
        refunds = (
            self.env["milestone.billing.crypto.refund"]
            .sudo()
            .search([*place, ("state", "=", "done"), ("token_id.chain_id", "=", chain.id)])
        )
        transfers = (
            self.env["milestone.billing.crypto.transfer"]
            .sudo()
            .search([*place, ("chain_id", "=", chain.id), ("sweep_id", "!=", False)])
        )
        told = set(
            (refunds - self if self._name == refunds._name else refunds)
            .filtered("gas_text")
            .mapped("tx_hash")
        )
        told |= set(
            transfers.filtered(lambda one: one.sweep_id != self and one.sweep_id.gas_text).mapped("tx_hash")
        )
        return [tx_hash for tx_hash in tx_hashes if tx_hash not in told]

    def _get_gas_units(self, receipt):
        return transfer_log.quantity(receipt.get("gasUsed")) * transfer_log.quantity(
            receipt.get("effectiveGasPrice")
        )

    def _book_gas(self, date, label):
        """Book the worth of the gas: an expense, from where the merchant keeps the coin.

        :raise UserError: if there is something to book and the provider names no accounts for it.
        """
        for record in self.filtered("gas_cost"):
            move = self.env["account.move"].sudo().create(record._prepare_gas_move(date, label))
            move.action_post()
            record.gas_move_id = move

    def _prepare_gas_move(self, date, label):
        self.ensure_one()
        provider = self._get_gas_provider()
        journal = self.env["account.journal"].sudo()
        journal = journal.search(
            [("type", "=", "general"), ("company_id", "=", self.company_id.id)], order="sequence, id", limit=1
        )
        name = f"{label} - {self.gas_text or 0} {self._get_gas_chain().native_symbol}"
        sides = (
            (provider.crypto_gas_account_id, self.gas_cost, 0.0),
            (provider.crypto_gas_source_account_id, 0.0, self.gas_cost),
        )
        lines = [
            Command.create({"name": name, "account_id": account.id, "debit": debit, "credit": credit})
            for account, debit, credit in sides
        ]
        return {"journal_id": journal.id, "date": date, "ref": name, "line_ids": lines}

    def _find_gas_provider(self):
        """Return the company's provider when it names the accounts for network fees."""
        Provider = self.env["payment.provider"].sudo()
        domain = [
            ("code", "=", PROVIDER_CODE),
            ("company_id", "=", self.company_id.id),
            ("crypto_gas_account_id", "!=", False),
            ("crypto_gas_source_account_id", "!=", False),
        ]
        return Provider.search(domain, limit=1)

    def _get_gas_provider(self):
        provider = self._find_gas_provider()
        if not provider:
            raise UserError(
                self.env._(
                    "Choose the accounts for network fees on the stablecoin payment provider, or set the worth to zero."
                )
            )
        return provider
