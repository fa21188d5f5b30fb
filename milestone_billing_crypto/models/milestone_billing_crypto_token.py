from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..const import COIN_PRICE_AGE_MAX
from ..tools import abi, native, transfer_log, units
from ..tools.address import AddressError, normalize, to_checksum
from ..tools.json_rpc import Call
from ..tools.matching import is_depegged

#: A price older than this does not count: quotes stop.
_PRICE_AGE_MAX = timedelta(hours=26)


class MilestoneBillingCryptoToken(models.Model):
    """A token contract on one network, and where its money is booked."""

    _name = "milestone.billing.crypto.token"
    _description = "Stablecoin Token"
    _inherit = ["milestone.billing.crypto.keyless"]
    _keyless_fields = ("contract", "feed_contract", "name", "symbol")
    _order = "chain_id, sequence, symbol"

    symbol = fields.Char(required=True)
    name = fields.Char(required=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    chain_id = fields.Many2one(
        "milestone.billing.crypto.chain", string="Network", required=True, ondelete="restrict", index=True
    )
    is_test = fields.Boolean(related="chain_id.is_test")
    is_native = fields.Boolean(
        string="Network's Own Coin",
        help="The coin that pays the network's fees, such as ETH. It has no contract and no peg: it is priced by its feed.",
    )
    contract = fields.Char(help="Address of the token contract; the issuer publishes it.")
    decimals = fields.Integer(required=True, default=6, aggregator=None)
    peg_currency_id = fields.Many2one("res.currency", string="Pegged to", required=True)
    journal_id = fields.Many2one(
        "account.journal",
        string="Wallet Journal",
        company_dependent=True,
        domain="[('type', '=', 'bank')]",
        help="Own journal of this token on this network; made when the provider accepts the token.",
    )
    verified_on = fields.Datetime(
        readonly=True, copy=False, help="When the node last confirmed contract, symbol and decimals."
    )
    feed_contract = fields.Char(
        string="Price Feed",
        help="Contract with latestRoundData() that tells the price in the currency named here. "
        "Optional for a pegged token; a network's own coin needs one.",
    )
    depeg_limit_ppm = fields.Integer(string="Depeg Limit (ppm)", default=10000)
    price_ppm = fields.Integer(string="Observed Price (ppm)", readonly=True, copy=False)
    price = fields.Char(readonly=True, copy=False, help="As the feed says it, decimal text.")
    price_on = fields.Datetime(string="Price Observed", readonly=True, copy=False)

    _contract_unique = models.UniqueIndex("(chain_id, lower(contract))", "This contract is already listed.")
    _native_unique = models.UniqueIndex(
        "(chain_id) WHERE is_native", "The network's own coin is already listed."
    )
    _native_form = models.Constraint(
        "CHECK (CASE WHEN is_native THEN contract IS NULL AND feed_contract IS NOT NULL AND decimals = 18 "
        "ELSE contract IS NOT NULL END)",
        "A token has a contract. The network's own coin has none; it has 18 decimals and a price feed.",
    )
    _decimals_range = models.Constraint(
        f"CHECK (decimals BETWEEN 0 AND {units.DECIMALS_MAX})", "The number of decimals is out of range."
    )

    @api.depends("symbol", "chain_id.name")
    def _compute_display_name(self):
        for token in self:
            token.display_name = self.env._(
                "%(token)s on %(chain)s", token=token.symbol, chain=token.chain_id.name
            )

    @api.constrains("contract", "feed_contract")
    def _check_contract(self):
        for token in self:
            try:
                for text in filter(None, (token.contract, token.feed_contract)):
                    normalize(text)
            except AddressError:
                raise ValidationError(
                    self.env._("The contract is not a valid address; copy it from the issuer's page.")
                ) from None

    @api.model_create_multi
    def create(self, vals_list):
        """Override to store contracts with their checksum."""
        return super().create([self._with_checksum(vals) for vals in vals_list])

    def write(self, vals):
        """Override to store contracts with their checksum and to ask for a new check when they change."""
        self._refuse_secrets(vals)
        vals = self._with_checksum(vals)
        if {"contract", "decimals", "chain_id", "is_native"} & set(vals) and "verified_on" not in vals:
            if (
                self.env["milestone.billing.crypto.quote"]
                .sudo()
                .search_count([("token_id", "in", self.ids)], limit=1)
            ):
                raise UserError(
                    self.env._(
                        "This token already has payments. Archive it and list the other contract anew."
                    )
                )
            vals["verified_on"] = False
        return super().write(vals)

    def _with_checksum(self, vals):
        result = dict(vals)
        for name in ("contract", "feed_contract"):
            try:
                if result.get(name):
                    result[name] = to_checksum(normalize(result[name]))
            except AddressError:
                continue  # the constraint names the problem
        return result

    # === ACTIONS === #

    def action_verify(self):
        """Ask the network's node whether the contract has this symbol and these decimals."""
        self.check_access("write")
        for token in self:
            token._verify_coin() if token.is_native else token._verify()
        return True

    def _verify_coin(self):
        self.ensure_one()
        self.sudo()._read_price()
        if not self._is_price_fresh():
            raise UserError(
                self.env._(
                    "The price feed of %(token)s gives no price of today. Check its address, or try again later.",
                    token=self.display_name,
                )
            )
        self.verified_on = fields.Datetime.now()

    def _verify(self):
        """Ask the network whether the contract is this token: its code, decimals and symbol.

        :raise UserError: naming what is different.
        """
        self.ensure_one()
        target = normalize(self.contract)
        code, decimals, symbol = self.chain_id.sudo()._call(
            [
                Call("eth_getCode", [target, "latest"]),
                Call("eth_call", [{"to": target, "data": abi.SELECTOR_DECIMALS}, "latest"]),
                Call("eth_call", [{"to": target, "data": abi.SELECTOR_SYMBOL}, "latest"]),
            ]
        )
        try:
            found = (abi.decode_symbol(symbol), abi.decode_uint(decimals))
        except abi.AbiError:
            found = None
        if code in (None, "0x") or not found:
            raise UserError(
                self.env._(
                    "No token lives at %(contract)s on this network. Copy the address from the issuer's page.",
                    contract=self.contract,
                )
            )
        if found[1] != self.decimals or not self._same_symbol(found[0]):
            raise UserError(
                self.env._(
                    "The contract calls itself %(symbol)s with %(decimals)s decimals. Correct the token or its contract.",
                    symbol=found[0][:20],
                    decimals=found[1],
                )
            )
        self.verified_on = fields.Datetime.now()

    def _same_symbol(self, found):
        """Tell whether the contract's own symbol is ours; issuers write USDT as USD₮ or USD₮0 on some networks."""
        return found.replace("₮", "T").removesuffix("0").upper() == self.symbol.removesuffix("0").upper()

    # === PEG === #

    def _read_price(self):
        """Read the price feeds, one request a network, and store price and time.

        :raise UserError: if no node answers.
        """
        for chain, tokens in self.filtered("feed_contract").grouped("chain_id").items():
            calls = [
                Call("eth_call", [{"to": normalize(token.feed_contract), "data": selector}, "latest"])
                for token in tokens
                for selector in (abi.SELECTOR_DECIMALS, abi.SELECTOR_LATEST_ROUND)
            ]
            answers = chain._call([], optional=calls)
            for token, decimals, answer in zip(tokens, answers[::2], answers[1::2], strict=True):
                try:
                    token._store_price(*abi.decode_price(decimals, answer))
                except abi.AbiError:
                    continue  # the last price stands, until it is too old

    def _store_price(self, number, decimals, updated):
        """Write what a feed says, when it is new."""
        moment = transfer_log.moment(updated)
        price = units.to_text(number, decimals)
        if (self.price, self.price_on) != (price, moment):
            ppm = min(number * 10**6 // 10**decimals, 2**31 - 1)
            self.write({"price": price, "price_ppm": ppm, "price_on": moment})

    def _is_price_fresh(self):
        """Tell whether a price is known that still counts; one of a coin without a peg grows old sooner."""
        self.ensure_one()
        age = COIN_PRICE_AGE_MAX if self.is_native else _PRICE_AGE_MAX
        return bool(self.price_on and self.price_on > fields.Datetime.now() - age and float(self.price or 0))

    def _check_peg(self):
        """Refuse when the configured price is too far from the peg, or too old to know."""
        self.ensure_one()
        if not self.feed_contract:
            return
        is_off = not self.is_native and is_depegged(self.price_ppm, self.depeg_limit_ppm)
        if is_off or not self._is_price_fresh():
            raise UserError(
                self.env._(
                    "%(token)s is not offered now, because its price is not certain.", token=self.display_name
                )
            )

    # === JOURNAL === #

    def _get_wallet_journal(self, company):
        """Return this token's journal in a company, made on first use.

        Its payment method books straight to the journal's own account, so that payments are matched at
        once and nobody has to reconcile a bank statement that does not exist.
        """
        self.ensure_one()
        token = self.with_company(company).sudo()
        if not token.journal_id:
            token.journal_id = (
                self.env["account.journal"].sudo().create(token._prepare_journal_values(company))
            )
            token._book_straight_to_journal()
        return token.journal_id

    def _prepare_journal_values(self, company):
        journals = self.env["account.journal"].sudo().with_context(active_test=False)
        taken = set(journals.search([("company_id", "=", company.id)]).mapped("code"))
        prefix = "".join(char for char in self.symbol.upper() if char.isalnum())[:3]
        code = next(code for code in (f"{prefix}{number}" for number in range(1, 99)) if code not in taken)
        other = self.peg_currency_id != company.currency_id
        return {
            "name": self.env._("%(token)s wallet", token=self.display_name),
            "type": "bank",
            "code": code,
            "company_id": company.id,
            "currency_id": self.peg_currency_id.id if other else False,
        }

    def _book_straight_to_journal(self):
        journal = self.journal_id
        lines = journal.inbound_payment_method_line_ids + journal.outbound_payment_method_line_ids
        lines.filtered(lambda line: line.code == "manual").payment_account_id = journal.default_account_id

    def _place(self):
        """Return what tells this token from the others of its network: its contract, or the mark of the coin."""
        self.ensure_one()
        return native.COIN if self.is_native else normalize(self.contract)

    def _price_now(self):
        """Return the price of one token in its peg: one, or what the feed of a coin says.

        :rtype: Decimal | None
        """
        self.ensure_one()
        if not self.is_native:
            return units.Decimal(1)
        return units.Decimal(self.price) if self._is_price_fresh() else None

    def _price_at(self, number):
        """Ask the feed of a coin what it said at a block, as decimal text; empty when no node knows any more."""
        self.ensure_one()
        target = normalize(self.feed_contract)
        try:
            decimals, answer = self.chain_id._call(
                Call("eth_call", [{"to": target, "data": selector}, hex(number)])
                for selector in (abi.SELECTOR_DECIMALS, abi.SELECTOR_LATEST_ROUND)
            )
            number, digits, _updated = abi.decode_price(decimals, answer)
        except (UserError, abi.AbiError):
            return ""
        return units.to_text(number, digits)

    def _to_text(self, base_units, minimum=2):
        """Return base units as text with the token's symbol."""
        self.ensure_one()
        text = units.to_text(int(base_units), self.decimals, min(minimum, self.decimals))
        return f"{text} {self.symbol}"
