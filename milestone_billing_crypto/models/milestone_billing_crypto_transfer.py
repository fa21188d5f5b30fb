from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ..tools import finality, units

#: Only code that holds this very object may add or change receipts; a caller over the network cannot send it.
_LIBRARY = object()


class MilestoneBillingCryptoTransfer(models.Model):
    """A token transfer on a network that touches one of our addresses: a fact, never deleted.

    Identity is (network, block hash, log index). The log index counts over the whole block, so a
    reorganisation that moves a transaction makes a new fact and orphans the old one. The network's own coin
    leaves no log: there the identity is (network, block hash, address).
    """

    _name = "milestone.billing.crypto.transfer"
    _description = "Stablecoin Receipt"
    _order = "block_time desc, id desc"
    _rec_name = "tx_hash"

    # === FACT ===
    chain_id = fields.Many2one(
        "milestone.billing.crypto.chain", string="Network", required=True, ondelete="restrict"
    )
    token_id = fields.Many2one(
        "milestone.billing.crypto.token", required=True, ondelete="restrict", index=True
    )
    block_number = fields.Integer(required=True, aggregator=None)
    block_hash = fields.Char(required=True)
    log_index = fields.Integer(required=True, help="-1 for the network's own coin, which leaves no log.")
    tx_hash = fields.Char(
        string="Transaction Hash",
        index=True,
        help="Empty for the network's own coin when a contract paid from inside: then the block is the proof.",
    )
    block_time = fields.Datetime(required=True, help="UTC, as the block says.")
    sender = fields.Char(required=True)
    receiver = fields.Char(required=True)
    value = fields.Char(string="Base Units", required=True, help="Base units, an integer.")
    amount_text = fields.Char(string="Amount", compute="_compute_amount_text")
    direction = fields.Selection(
        [("in", "Received"), ("out", "Sent"), ("internal", "Between own addresses")], required=True
    )
    state = fields.Selection(
        [("seen", "Seen"), ("final", "Final"), ("orphaned", "Dropped by the network")],
        default="seen",
        required=True,
    )
    confirmations = fields.Integer(compute="_compute_confirmations")
    confirmations_wanted = fields.Integer(related="chain_id.confirmations", string="Confirmations Wanted")
    explorer_link = fields.Char(compute="_compute_explorer_link")

    # === MEANING ===
    address_id = fields.Many2one(
        "milestone.billing.crypto.address", required=True, ondelete="restrict", index=True
    )
    company_id = fields.Many2one(related="address_id.company_id", store=True, index=True)
    payment_id = fields.Many2one(
        "milestone.billing.crypto.payment", ondelete="restrict", index="btree_not_null"
    )
    quote_id = fields.Many2one("milestone.billing.crypto.quote", ondelete="restrict", index="btree_not_null")
    match_kind = fields.Selection(
        string="Match",
        selection=[
            ("quoted", "As quoted"),
            ("late", "After the quote"),
            ("wrong_token", "Other token"),
            ("wrong_network", "Other network"),
            ("unmatched", "No payment found"),
            ("wrong_mode", "Test money on a live payment"),
            ("none", "Not a payment"),
        ],
        default="none",
        required=True,
    )

    # === MONEY ===
    booking_state = fields.Selection(
        [
            ("none", "To book when final"),
            ("held", "Waits for a person"),
            ("booked", "Booked"),
            ("reversed", "Undone"),
            ("ignored", "Not booked"),
        ],
        string="Booking",
        default="none",
        required=True,
    )
    booking_error = fields.Char()
    price = fields.Char(help="Price of one token in its peg at receipt, decimal text: 1 for a pegged token.")
    peg_currency_id = fields.Many2one(related="token_id.peg_currency_id")
    lot_cost = fields.Monetary(
        string="Cost of the Lot",
        currency_field="peg_currency_id",
        help="Fair value at receipt, in the currency of the wallet journal: what the tokens stand in the books at.",
    )
    rate = fields.Char(help="Price of one token in the invoice's currency, decimal text.")
    rate_source = fields.Char()
    currency_id = fields.Many2one(related="payment_id.currency_id", store=True)
    amount_value = fields.Monetary(
        string="Value", help="Value in the invoice's currency, at its quote or rate."
    )
    amount_covered = fields.Monetary(help="What it cleared of the invoice, the tolerance included.")
    amount_write_off = fields.Monetary(string="Tolerance Written Off")
    amount_excess = fields.Monetary(string="Customer Credit")
    transaction_id = fields.Many2one("payment.transaction", ondelete="restrict", index="btree_not_null")
    sweep_id = fields.Many2one(
        "milestone.billing.crypto.sweep", ondelete="restrict", index="btree_not_null", readonly=True
    )
    refund_id = fields.Many2one(
        "milestone.billing.crypto.refund", ondelete="restrict", index="btree_not_null", readonly=True
    )
    move_id = fields.Many2one(related="transaction_id.payment_id.move_id", string="Journal Entry")

    _identity_unique = models.UniqueIndex(
        "(chain_id, block_hash, log_index) WHERE log_index >= 0", "This transfer is already recorded."
    )
    _coin_identity_unique = models.UniqueIndex(
        "(chain_id, block_hash, address_id) WHERE log_index < 0",
        "This change of balance is already recorded.",
    )
    _by_state = models.Index("(chain_id, state, block_number)")
    _to_book = models.Index("(booking_state, state) WHERE booking_state = 'none'")
    _value_form = models.Constraint("CHECK (value ~ '^[1-9][0-9]{0,77}$')", "A value is a positive integer.")

    # === COMPUTE === #

    @api.depends("value", "token_id")
    def _compute_amount_text(self):
        for transfer in self:
            transfer.amount_text = transfer.token_id._to_text(transfer.value)

    @api.depends("block_number", "chain_id.head_block", "state")
    def _compute_confirmations(self):
        for transfer in self:
            depth = finality.confirmations(transfer.block_number, transfer.chain_id.head_block)
            transfer.confirmations = 0 if transfer.state == "orphaned" else depth

    @api.depends("tx_hash", "block_number")
    def _compute_explorer_link(self):
        for transfer in self:
            place = ("tx", transfer.tx_hash) if transfer.tx_hash else ("block", transfer.block_number)
            transfer.explorer_link = transfer.chain_id._explorer_link(*place)

    # === CRUD === #

    @api.model_create_multi
    def create(self, vals_list):
        """Override: receipts come from the watcher only."""
        self._check_library()
        return super().create(vals_list)

    def write(self, vals):
        """Override: receipts are changed by the watcher and the bookings only."""
        self._check_library()
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise AccessError(self.env._("A receipt is a fact of the network. It cannot be deleted."))

    def _check_library(self):
        if self.env.context.get("milestone_billing_crypto_library") is not _LIBRARY:
            raise AccessError(self.env._("Receipts are written by the network watcher only."))

    @api.model
    def _record(self, vals_list):
        return self.with_context(milestone_billing_crypto_library=_LIBRARY).create(vals_list)

    def _update(self, vals):
        return self.with_context(milestone_billing_crypto_library=_LIBRARY).write(vals)

    # === ACTIONS === #

    def action_accept(self):
        """Take held receipts for the payment they belong to, at the rate of their day."""
        self.check_access("write")
        for transfer in self:
            if transfer.booking_state != "held" or transfer.match_kind == "wrong_mode":
                raise UserError(self.env._("Only receipts that wait for a person can be accepted."))
            if not transfer.payment_id:
                raise UserError(self.env._("Choose the payment this receipt belongs to first."))
            transfer.sudo()._accept()
        return True

    def action_ignore(self):
        """Leave held receipts out of the books, as for a transfer between own wallets."""
        self.check_access("write")
        for transfer in self.sudo():
            if transfer.booking_state != "held":
                raise UserError(self.env._("Only receipts that wait for a person can be left out."))
            transfer._update({"booking_state": "ignored"})
            transfer.payment_id._refresh_state()
        return True

    def action_assign(self, payment_id):
        """Say to which payment a held receipt belongs, and accept it.

        :param int payment_id: a payment of the same company and mode.
        """
        self.ensure_one()
        self.check_access("write")
        payment = self.env["milestone.billing.crypto.payment"].browse(payment_id)
        payment.check_access("read")
        if self.booking_state != "held" or payment.company_id != self.company_id:
            raise UserError(
                self.env._("Only a receipt that waits for a person can be assigned in its company.")
            )
        if payment.is_live == self.chain_id.is_test:
            raise UserError(
                self.env._(
                    "Test money cannot pay a live invoice, nor live money a test. Choose a payment of the same kind."
                )
            )
        before = self.sudo().payment_id
        self.sudo()._update({"payment_id": payment.id, "quote_id": False, "match_kind": "late"})
        before._refresh_state()
        return self.action_accept()

    def action_sweep(self):
        """Make one sweep of the chosen transfers that left our addresses, and open it."""
        self.check_access("write")
        sweep = self.env["milestone.billing.crypto.sweep"].sudo()._create_for(self.sudo())
        return {
            "type": "ir.actions.act_window",
            "res_model": "milestone.billing.crypto.sweep",
            "res_id": sweep.id,
            "view_mode": "form",
        }

    def action_open_explorer(self):
        """Open the transaction in the network's explorer."""
        self.ensure_one()
        self.check_access("read")
        return {"type": "ir.actions.act_url", "url": self.explorer_link, "target": "new"}

    def action_export(self):
        """Download these receipts as a workbook."""
        self.check_access("read")
        ids = ",".join(str(transfer.id) for transfer in self)
        return {
            "type": "ir.actions.act_url",
            "url": f"/milestone_billing_crypto/receipts.xlsx?ids={ids}",
            "target": "download",
        }

    # === GETTERS === #

    def _units(self):
        self.ensure_one()
        return units.to_decimal(int(self.value), self.token_id.decimals)

    def _is_sweepable(self):
        self.ensure_one()
        return (self.direction, self.state, self.booking_state, bool(self.sweep_id)) == (
            "out",
            "final",
            "ignored",
            False,
        )

    def _wants_finalized(self):
        """Tell whether the amount is large enough to wait for the finalized block.

        A receipt whose value is not known yet counts as large.
        """
        self.ensure_one()
        limit = self.payment_id.provider_id.sudo().crypto_finalized_from
        if not self.payment_id or not self.amount_value:
            return True
        company = self.company_id
        value = self.currency_id._convert(
            self.amount_value, company.currency_id, company, self.block_time.date()
        )
        return company.currency_id.compare_amounts(value, limit) >= 0

    def _revive(self):
        """Bring receipts back whose block was dropped and is part of the chain again."""
        if not self:
            return
        self._update({"state": "seen"})
        undone = self.filtered(lambda transfer: transfer.booking_state == "reversed")
        received = undone.filtered(lambda transfer: transfer.direction == "in")
        received._update({"booking_state": "none", "transaction_id": False})
        (undone - received)._update({"booking_state": "ignored", "sweep_id": False, "lot_cost": 0})
        self.payment_id._refresh_state()

    def _prepare_line(self):
        """Return what the payer sees of a receipt."""
        self.ensure_one()
        depth = min(self.confirmations, self.confirmations_wanted)
        if self.state == "orphaned":
            label, style = self.env._("Dropped by the network"), "danger"
        elif self.booking_state == "held":
            label, style = self.env._("Being looked at"), "warning"
        elif self.state == "final":
            label, style = self.env._("Confirmed"), "success"
        else:
            wanted = self.confirmations_wanted
            label, style = (
                self.env._("%(count)s of %(wanted)s confirmations", count=depth, wanted=wanted),
                "info",
            )
            if depth >= wanted:
                label = self.env._("Waiting for the final block")
        return {
            "amount": self.amount_text,
            "network": self.chain_id.name,
            "label": label,
            "style": style,
            "link": self.explorer_link,
            "hash": self.tx_hash or self.block_hash,
            "on": self.block_time,
        }
