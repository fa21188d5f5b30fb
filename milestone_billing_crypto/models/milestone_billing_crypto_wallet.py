import csv
import io

from odoo import api, fields, models
from odoo.addons.milestone_billing.tools.context import drop_defaults
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tools.mail import html2plaintext

from ..const import ADDRESS_COOL_DOWN_DAYS, GAP_LIMIT
from ..tools import xpub
from ..tools.address import AddressError, normalize, to_checksum

#: Rows of one import.
_IMPORT_MAX = 20000


class MilestoneBillingCryptoWallet(models.Model):
    """Where money is received: an extended public key, a pool of addresses, or one fixed address.

    Watch-only. Private keys and seed words are refused before anything is stored or logged.
    """

    _name = "milestone.billing.crypto.wallet"
    _description = "Stablecoin Wallet"
    _inherit = ["milestone.billing.crypto.keyless", "mail.thread"]
    _keyless_fields = ("xpub_key", "fixed_address", "name", "import_text")
    _order = "company_id, sequence, id"

    name = fields.Char(required=True, tracking=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company, index=True
    )
    mode = fields.Selection(
        [
            ("xpub", "Extended public key: a new address for each payment"),
            ("pool", "Imported addresses: one for each payment"),
            ("fixed", "One address: payments told apart by their last digits"),
        ],
        required=True,
        default="xpub",
    )
    is_test = fields.Boolean(
        string="For Test Networks", help="A wallet serves test networks or main networks, never both."
    )
    xpub_key = fields.Char(
        string="Extended Public Key",
        copy=False,
        groups="milestone_billing_crypto.milestone_billing_crypto_group_manager",
        help="Account key (m/44'/60'/0') or its receiving chain. It cannot spend, but it shows all your addresses.",
    )
    fixed_address = fields.Char(copy=False)
    state = fields.Selection(
        [("draft", "To confirm"), ("confirmed", "In use")],
        default="draft",
        required=True,
        readonly=True,
        copy=False,
        tracking=True,
    )
    next_index = fields.Integer(readonly=True, copy=False)
    last_paid_index = fields.Integer(readonly=True, copy=False, default=-1)
    unused_count = fields.Integer(string="Unused since Last Paid", compute="_compute_unused_count")
    is_gap_reached = fields.Boolean(compute="_compute_unused_count")
    address_ids = fields.One2many("milestone.billing.crypto.address", "wallet_id", string="Addresses")
    free_count = fields.Integer(string="Free Addresses", compute="_compute_free_count")
    import_text = fields.Text(
        string="Add Addresses",
        compute="_compute_import_text",
        inverse="_inverse_import_text",
        help="One address a line, or a CSV with the address first.",
    )
    preview = fields.Text(string="First Addresses", compute="_compute_preview")

    # === COMPUTE === #

    @api.depends("next_index", "last_paid_index")
    def _compute_unused_count(self):
        for wallet in self:
            wallet.unused_count = wallet.next_index - wallet.last_paid_index - 1
            wallet.is_gap_reached = wallet.mode == "xpub" and wallet.unused_count >= GAP_LIMIT

    @api.depends("address_ids.state")
    def _compute_free_count(self):
        counts = self.env["milestone.billing.crypto.address"]._read_group(
            [("wallet_id", "in", self.ids), ("state", "=", "free")], ["wallet_id"], ["__count"]
        )
        by_wallet = {wallet.id: count for wallet, count in counts}
        for wallet in self:
            wallet.free_count = by_wallet.get(wallet.id, 0)

    def _compute_import_text(self):
        self.import_text = False

    def _inverse_import_text(self):
        for wallet in self.filtered("import_text"):
            wallet.action_import_addresses(wallet.import_text)

    @api.depends("mode", "xpub_key", "fixed_address", "address_ids")
    def _compute_preview(self):
        for wallet in self:
            wallet.preview = "\n".join(to_checksum(address) for address in wallet._first_addresses())

    def _first_addresses(self):
        if self.mode == "xpub" and self.sudo().xpub_key:
            try:
                return xpub.derive(xpub.check(self.sudo().xpub_key), range(3))
            except xpub.XpubError:
                return []
        if self.mode == "pool":
            return self.address_ids.sorted("id")[:3].mapped("address")
        try:
            return [normalize(self.fixed_address)] if self.mode == "fixed" else []
        except AddressError:
            return []

    # === CONSTRAINTS AND CRUD === #

    @api.constrains("xpub_key", "fixed_address", "mode", "name")
    def _check_keys(self):
        for wallet in self:
            if wallet.mode == "fixed" and wallet.fixed_address:
                wallet._check_address(wallet.fixed_address)
            if wallet.mode == "xpub" and wallet.sudo().xpub_key:
                try:
                    xpub.check(wallet.sudo().xpub_key)
                except xpub.XpubError as error:
                    raise ValidationError(wallet._xpub_message(error.code)) from None

    def _check_address(self, text):
        try:
            return normalize(text)
        except AddressError as error:
            messages = {
                "checksum": self.env._(
                    "An address has a wrong letter in it (checksum). Copy it again from the wallet."
                ),
                "zero": self.env._(
                    "The zero address belongs to nobody. Copy your own address from the wallet."
                ),
            }
            default = self.env._(
                "This is not an address of an EVM network; it begins with 0x and has 40 more characters."
            )
            raise ValidationError(messages.get(error.code, default)) from None

    def _xpub_message(self, code):
        """Return what is wrong with an extended public key, and what to export instead."""
        messages = {
            "private": self._private_key_message(),
            "network": self.env._(
                "This key has the prefix of a Bitcoin script type or test network. Export the Ethereum account's xpub."
            ),
            "checksum": self.env._(
                "The key has a wrong letter in it (checksum). Copy it again from the wallet."
            ),
            "depth_master": self.env._(
                "This is the master key. Export the key of one account (m/44'/60'/0')."
            ),
            "depth_single": self.env._(
                "This key belongs to one address. Export the key of the account (m/44'/60'/0')."
            ),
            "depth": self.env._(
                "This key is neither an account's nor a receiving chain's. Export m/44'/60'/0'."
            ),
            "curve": self.env._(
                "The key's point is not on the curve: it is not a key. Copy it again from the wallet."
            ),
        }
        return messages.get(code, self.env._("This is not a whole extended public key; it begins with xpub."))

    @api.model_create_multi
    def create(self, vals_list):
        """Override: a wallet is confirmed by who compared its addresses, not by a value."""
        for vals in vals_list:
            self._check_state(vals)
        names = () if self.env.su else ("state",)
        model = self.with_context(drop_defaults(self.env.context, names))  # pylint: disable=context-overridden
        return super(MilestoneBillingCryptoWallet, model).create(vals_list)

    @api.model
    def _check_state(self, vals):
        if "state" in vals and not self.env.su:
            raise AccessError(self.env._("This changes by its buttons only."))

    def write(self, vals):
        """Override to keep what addresses were derived from."""
        self._check_state(vals)
        self._refuse_secrets(vals)
        fixed = {"mode", "xpub_key", "fixed_address", "is_test", "company_id"} & set(vals)
        if fixed and any(wallet.state == "confirmed" for wallet in self):
            raise UserError(
                self.env._(
                    "A wallet in use cannot be changed, because payers may know its addresses. Add another one."
                )
            )
        if vals.get("active") is False:
            self._check_unused()
        return super().write(vals)

    def _check_unused(self):
        """Refuse to archive a wallet whose addresses are offered to payers: they would go on to be."""
        providers = self.env["payment.provider"].sudo()
        domain = [("crypto_wallet_id", "in", self.ids), ("state", "!=", "disabled")]
        if provider := providers.search(domain, limit=1):
            raise UserError(
                self.env._(
                    "“%(provider)s” offers the addresses of this wallet. Choose another wallet there first.",
                    provider=provider.display_name,
                )
            )

    def message_post(self, *, body="", **kwargs):
        """Override of `mail` to refuse secrets in notes."""
        if xpub.is_secret(html2plaintext(body or "")):
            raise ValidationError(self._private_key_message())
        return super().message_post(body=body, **kwargs)

    # === ACTIONS === #

    def action_confirm(self):
        """Take the wallet into use, after the person compared the first addresses with the wallet itself."""
        self.check_access("write")
        for wallet in self:
            if not wallet._first_addresses():
                raise UserError(wallet.env._("Give the key, the addresses or the address first."))
            if wallet.mode == "fixed":
                wallet.sudo()._ensure_fixed_address()
            wallet.sudo().state = "confirmed"
        return True

    def action_import_addresses(self, text):
        """Add receiving addresses to a pool, one a line or in the first column of a CSV.

        :param str text: addresses; a heading without ``0x`` is skipped.
        :return: how many were added and how many were known already.
        :rtype: dict
        """
        self.ensure_one()
        self.check_access("write")
        if xpub.is_secret(text):
            raise ValidationError(self._private_key_message())
        rows = [row[0].strip() for row in csv.reader(io.StringIO(text or "")) if row and row[0].strip()]
        if rows and not rows[0].lower().startswith("0x"):
            rows = rows[1:]
        if len(rows) > _IMPORT_MAX:
            raise UserError(self.env._("Import at most %(max)s addresses at once.", max=_IMPORT_MAX))
        addresses = list(dict.fromkeys(self._check_address(row) for row in rows))
        Address = self.env["milestone.billing.crypto.address"].sudo()
        known = set(Address.search([("address", "in", addresses)]).mapped("address"))
        Address._add(
            [{"address": address, "wallet_id": self.id} for address in addresses if address not in known]
        )
        return {"added": len(addresses) - len(known), "known": len(known)}

    # === ADDRESSES === #

    def _ensure_fixed_address(self):
        Address = self.env["milestone.billing.crypto.address"].sudo()
        address = Address.search([("wallet_id", "=", self.id)], limit=1)
        return address or Address._add([{"address": normalize(self.fixed_address), "wallet_id": self.id}])

    def _take_address(self):
        """Return an address for a new payment: a free one of the pool, or the next one derived.

        An address that was offered but never paid to is offered again after a cool-down.

        :raise UserError: if a pool is empty.
        """
        self.ensure_one()
        if self.mode == "fixed":
            return self._ensure_fixed_address()
        Address = self.env["milestone.billing.crypto.address"].sudo()
        address = Address._lock_reusable(self, ADDRESS_COOL_DOWN_DAYS)
        if address:
            return address
        if self.mode == "pool":
            raise UserError(self.env._("No receiving address is free now. Please choose another way to pay."))
        return self._derive_next()

    def _derive_next(self):
        """Return the next address of the key that no other wallet has: the same key, or a list of its addresses."""
        key = xpub.check(self.sudo().xpub_key)
        Address = self.env["milestone.billing.crypto.address"].sudo()
        while True:
            index = self._next_index()
            address = xpub.derive(key, [index])[0]
            if not Address.search_count([("address", "=", address)], limit=1):
                break
        path = xpub.path_text(key.depth, index)
        return Address._add([{"address": address, "wallet_id": self.id, "index": index, "path": path}])

    def _next_index(self):
        self.flush_recordset(["next_index"])
        self.env.cr.execute(
            "UPDATE milestone_billing_crypto_wallet SET next_index = COALESCE(next_index, 0) + 1 "
            "WHERE id = %s RETURNING next_index - 1",
            [self.id],
        )
        index = self.env.cr.fetchone()[0]
        self.invalidate_recordset(["next_index"])
        return index
