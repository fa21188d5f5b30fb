import logging
from datetime import timedelta

from odoo import Command, api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError
from psycopg2 import OperationalError

from ..tools import transfer_log, units
from ..tools.address import AddressError, normalize, to_checksum
from ..tools.json_rpc import Call

_logger = logging.getLogger(__name__)

#: Clocks of blocks and server may differ by this much: a block is as old as its beginning.
_CLOCK_SKEW = timedelta(minutes=2)


class MilestoneBillingCryptoRefund(models.Model):
    """A request to send money back. We hold no key: a person sends it, and we find it on the network.

    The payer confirms where to: the address that sent may be an exchange's, and money sent there is lost.
    """

    _name = "milestone.billing.crypto.refund"
    _description = "Stablecoin Refund"
    _inherit = ["milestone.billing.crypto.keyless", "mail.thread", "milestone.billing.crypto.gas"]
    _keyless_fields = ("payout_address", "tx_hash", "reason")
    _hash_fields = ("tx_hash", "reason")
    _order = "id desc"
    _guarded_fields = frozenset(
        {"state", "gas_move_id", "account_payment_id", "confirmed_on", "base_units", "company_id"}
    )

    name = fields.Char(compute="_compute_name")
    payment_id = fields.Many2one(
        "milestone.billing.crypto.payment", required=True, ondelete="restrict", index=True, tracking=True
    )
    company_id = fields.Many2one(related="payment_id.company_id", store=True, index=True)
    partner_id = fields.Many2one(related="payment_id.partner_id.commercial_partner_id")
    token_id = fields.Many2one("milestone.billing.crypto.token", required=True, ondelete="restrict")
    currency_id = fields.Many2one(related="token_id.peg_currency_id")
    amount = fields.Monetary(
        required=True, tracking=True, help="In the token's peg; one token is one unit of it."
    )
    base_units = fields.Char(compute="_compute_base_units", store=True)
    amount_text = fields.Char(string="To Send", compute="_compute_amount_text")
    credit_note_id = fields.Many2one(
        "account.move",
        domain="[('move_type', '=', 'out_refund'), ('state', '=', 'posted'), ('company_id', '=', company_id), "
        "('commercial_partner_id', '=', partner_id), ('payment_state', 'in', ('not_paid', 'partial'))]",
        help="What the refund settles; without one it is taken from the customer's open credit.",
    )
    reason = fields.Char()
    payout_address = fields.Char(readonly=True, copy=False, tracking=True)
    confirmed_on = fields.Datetime(readonly=True, copy=False)
    state = fields.Selection(
        [
            ("requested", "Address asked"),
            ("confirmed", "To send"),
            ("done", "Sent and booked"),
            ("cancelled", "Cancelled"),
        ],
        default="requested",
        required=True,
        readonly=True,
        copy=False,
        tracking=True,
    )
    tx_hash = fields.Char(string="Transaction Hash", copy=False)
    account_payment_id = fields.Many2one("account.payment", readonly=True, copy=False)

    _amount_positive = models.Constraint("CHECK (amount > 0)", "A refund has a positive amount.")
    # One transaction may hold several refunds, as a wallet that sends in batches makes them, but each only once.
    _tx_hash_unique = models.UniqueIndex(
        "(lower(tx_hash), token_id, lower(payout_address), base_units) "
        "WHERE tx_hash IS NOT NULL AND state = 'done'",
        "This transfer already stands for another refund.",
    )

    @api.depends("payment_id.reference")
    def _compute_name(self):
        for refund in self:
            refund.name = self.env._("Refund of %(reference)s", reference=refund.payment_id.reference or "")

    @api.depends("amount", "token_id")
    def _compute_base_units(self):
        """A coin without a peg is sent at its price of when the refund was asked."""
        for refund in self:
            token, price = refund.token_id, refund.token_id._price_now() if refund.token_id else None
            if not price or refund.amount <= 0:
                refund.base_units = "0"
                continue
            amount = units.Decimal(f"{refund.amount:.{refund.currency_id.decimal_places}f}")
            shown = token.decimals if not token.is_native else units.display_decimals(token.decimals)
            refund.base_units = str(units.base_units_up(amount, price, token.decimals, shown))

    @api.depends("base_units", "token_id")
    def _compute_amount_text(self):
        for refund in self:
            refund.amount_text = refund.token_id and refund.token_id._to_text(refund.base_units or 0)

    @api.constrains("payment_id", "token_id")
    def _check_mode(self):
        """Test money cannot give live money back, and the other way round."""
        for refund in self:
            if refund.token_id.is_test == refund.payment_id.is_live:
                raise ValidationError(
                    self.env._("%(token)s does not belong to this mode.", token=refund.token_id.display_name)
                )

    @api.constrains("payment_id", "credit_note_id")
    def _check_credit_note(self):
        for refund in self.filtered("credit_note_id"):
            note, payment = refund.sudo().credit_note_id, refund.sudo().payment_id
            theirs = (note.commercial_partner_id, note.company_id)
            if (note.move_type, note.state) != ("out_refund", "posted") or theirs != (
                payment.partner_id.commercial_partner_id,
                payment.company_id,
            ):
                raise ValidationError(
                    self.env._("Choose a posted credit note of the customer who paid, in the same company.")
                )

    def write(self, vals):
        """Override: what was agreed with the payer does not change afterwards."""
        agreed = {"payment_id", "token_id", "amount"} & set(vals)
        if agreed and any(refund.state != "requested" for refund in self):
            raise UserError(
                self.env._("The payer has confirmed this refund. Cancel it and ask again instead.")
            )
        booked = {"credit_note_id", "tx_hash", "gas_text", "gas_cost"} & set(vals)
        if booked and not self.env.su and any(refund.state == "done" for refund in self):
            raise UserError(self.env._("This refund is booked already: the money has left your wallet."))
        if "payout_address" in vals and not self.env.su:
            raise AccessError(self.env._("Only the payer says where a refund goes to."))
        return super().write(vals)

    def action_cancel(self):
        """Give the request up."""
        self.check_access("write")
        if any(refund.state == "done" for refund in self):
            raise UserError(self.env._("This refund is booked already: the money has left your wallet."))
        self.sudo().state = "cancelled"
        return True

    def action_find(self):
        """Look for the transfer: by the hash that was entered, else among what left our addresses."""
        self.check_access("write")
        for refund in self:
            if refund.state != "confirmed":
                raise UserError(
                    self.env._(
                        "The payer has not confirmed an address yet. Wait until it is entered on the payment page."
                    )
                )
            if not refund.sudo()._find():
                raise UserError(
                    self.env._(
                        "No final transfer of %(amount)s to %(address)s was found. Enter the transaction's hash, "
                        "or wait until it is confirmed.",
                        amount=refund.amount_text,
                        address=refund.payout_address,
                    )
                )
        return True

    # === THE PAYER === #

    def _confirm_address(self, text):
        """Take the payer's address.

        :raise UserError: if it is not an address, or the request is no longer open.
        """
        self.ensure_one()
        self._refuse_secrets({"payout_address": text})
        self.lock_for_update()
        if self.state != "requested":
            raise UserError(self.env._("This refund is no longer open."))
        try:
            address = normalize(text)
        except AddressError as error:
            message = self.env._("This is not an address of an EVM network. Copy it from your wallet.")
            if error.code == "checksum":
                message = self.env._("The address has a wrong letter in it. Copy it again from your wallet.")
            raise UserError(message) from None
        if self.env["milestone.billing.crypto.address"].search_count([("address", "=", address)], limit=1):
            raise UserError(self.env._("This is our own address. Please give one of your wallet."))
        self.write(
            {
                "payout_address": to_checksum(address),
                "confirmed_on": fields.Datetime.now(),
                "state": "confirmed",
            }
        )

    def _prepare_line(self):
        """Return what the payer sees of a refund."""
        self.ensure_one()
        chain, tx_hash = self.token_id.chain_id, self.state == "done" and self.tx_hash
        labels = {
            "requested": ("warning", self.env._("Needs your address")),
            "confirmed": ("info", self.env._("Will be sent to you")),
            "done": ("success", self.env._("Sent to you")),
            "cancelled": ("secondary", self.env._("Withdrawn")),
        }
        style, label = labels[self.state]
        return {
            "id": self.id,
            "amount": self.amount_text,
            "network": chain.name,
            "is_open": self.state == "requested",
            "address": self.payout_address,
            "style": style,
            "label": label,
            "hash": tx_hash,
            "link": tx_hash and chain._explorer_link("tx", tx_hash),
        }

    # === ON THE NETWORK === #

    def _find(self):
        """Book the refund when its transfer is found and final; tells whether it was."""
        self.ensure_one()
        tx_hash = (self.tx_hash or "").strip().lower()
        transfer = self._find_named_transfer(tx_hash) if tx_hash else self._find_transfer()
        moment = self._ask_network(tx_hash) if tx_hash else transfer.block_time
        if not moment:
            return False
        self.tx_hash = tx_hash or transfer.tx_hash
        transfer._update({"booking_state": "booked", "refund_id": self.id})
        self._book(moment)
        return True

    def _prepare_transfer_domain(self):
        """Return what a transfer that left one of our addresses for this refund is like."""
        return [
            ("direction", "=", "out"),
            ("token_id", "=", self.token_id.id),
            ("receiver", "=", normalize(self.payout_address)),
            ("value", "=", self.base_units),
            ("company_id", "=", self.company_id.id),
        ]

    def _find_named_transfer(self, tx_hash):
        """Return the transfer of an entered hash if one of our addresses sent it, whenever that was.

        :raise UserError: if it stands for something else already.
        """
        found = self.env["milestone.billing.crypto.transfer"].search(
            [*self._prepare_transfer_domain(), ("tx_hash", "=", tx_hash), ("state", "!=", "orphaned")]
        )
        free = found.filtered(lambda one: one.booking_state == "ignored" and not one.sweep_id)
        if found and not free:
            raise UserError(
                self.env._(
                    "This transfer stands for a sweep or another refund already. Enter the hash of another one."
                )
            )
        return free[:1]

    def _find_transfer(self):
        """Return the transfer that left one of our addresses for this refund, if there is one."""
        return self.env["milestone.billing.crypto.transfer"].search(
            [
                *self._prepare_transfer_domain(),
                ("state", "=", "final"),
                ("block_time", ">=", self.confirmed_on - _CLOCK_SKEW),
                ("booking_state", "=", "ignored"),
                ("sweep_id", "=", False),
            ],
            order="block_number, id",
            limit=1,
        )

    @api.model
    def _find_sent(self, commit=False):
        """Book the refunds whose transfer was seen leaving one of our addresses, one transaction each.

        One sent from another wallet is found when its hash is entered.

        :param bool commit: commit after each refund, as the scheduled job does.
        """
        for refund in self.search([("state", "=", "confirmed"), ("tx_hash", "=", False)]):
            if not refund._find_transfer():
                continue
            try:
                with self.env.cr.savepoint():
                    if refund.try_lock_for_update():
                        refund._find()
            except OperationalError:
                self.env.invalidate_all()  # another worker was faster
            except Exception as error:  # noqa: BLE001 - one refund must not stop the others
                self.env.invalidate_all()
                _logger.warning("Stablecoin refund %s could not be booked: %s", refund.id, error)
            if commit:
                self.env["ir.cron"]._commit_progress()

    def _ask_network(self, tx_hash):
        """Return the time of a final transaction that pays exactly this refund, else False."""
        chain = self.token_id.chain_id
        try:
            tx_hash = transfer_log.block_hash(tx_hash)
        except transfer_log.RangeError:
            raise UserError(
                self.env._(
                    "This is not a transaction hash. Copy it from your wallet: 0x and 64 digits or letters a to f."
                )
            ) from None
        receipt, block = chain._call(
            [Call("eth_getTransactionReceipt", [tx_hash]), Call("eth_getBlockByNumber", ["latest", False])]
        )
        if not isinstance(receipt, dict) or receipt.get("status") != "0x1":
            return False
        try:
            return self._judge_receipt(tx_hash, receipt, transfer_log.parse_header(block).number)
        except transfer_log.RangeError:
            return False  # a node that contradicts itself confirms nothing

    def _judge_receipt(self, tx_hash, receipt, head):
        chain, number = self.token_id.chain_id, transfer_log.ordinal(receipt.get("blockNumber"))
        if not self._is_paid_by(tx_hash, receipt) or head - number + 1 < chain.confirmations:
            return False
        if number > (chain.cursor_block or 0) and self._is_ours(receipt.get("from")):
            return False  # the watcher is about to record it; then it is found as what it is
        header = transfer_log.parse_header(
            chain._call([Call("eth_getBlockByNumber", [hex(number), False])])[0]
        )
        return transfer_log.moment(header.timestamp)

    def _is_paid_by(self, tx_hash, receipt):
        """Tell whether a transaction sends exactly this refund."""
        token, wanted = self.token_id, (normalize(self.payout_address), int(self.base_units))
        if token.is_native:
            raw = token.chain_id._call([Call("eth_getTransactionByHash", [tx_hash])])[0]
            sent = isinstance(raw, dict) and transfer_log.quantity(raw.get("value"))
            return sent and (str(raw.get("to")).lower(), sent) == wanted
        listed = receipt.get("logs")
        listed = listed if isinstance(listed, list) else []
        logs = [transfer_log.parse_log(raw, {token._place()}) for raw in listed]
        return any(one and (one.receiver, one.value) == wanted for one in logs)

    def _is_ours(self, sender):
        address = str(sender).lower()
        return bool(
            self.env["milestone.billing.crypto.address"].search_count([("address", "=", address)], limit=1)
        )

    # === ACCOUNTING === #

    def _book(self, moment):
        """Create the outbound payment and settle the credit note, or the customer's credit, with it."""
        self.ensure_one()
        journal = self.token_id._get_wallet_journal(self.company_id)
        line = journal.outbound_payment_method_line_ids.filtered(lambda line: line.code == "manual")[:1]
        partner = self.payment_id.partner_id.commercial_partner_id
        payment = self.env["account.payment"].create(
            {
                "payment_type": "outbound",
                "partner_type": "customer",
                "partner_id": partner.id,
                "amount": self.amount,
                "currency_id": self.currency_id.id,
                "journal_id": journal.id,
                "company_id": self.company_id.id,
                "payment_method_line_id": line.id,
                "date": moment.date(),
                "memo": f"{self.name} - {self.tx_hash}",
                "invoice_ids": [Command.set(self.credit_note_id.ids)],
                **self._prepare_credit_account(),
            }
        )
        payment.action_post()
        lines = payment.move_id.line_ids + self._credit_lines(partner, payment.destination_account_id)
        lines.filtered(
            lambda one: one.account_id == payment.destination_account_id and not one.reconciled
        ).reconcile()
        if not self.gas_text:
            self._read_gas([self.tx_hash])
        self._book_gas(moment.date(), self.name)
        self.write({"state": "done", "account_payment_id": payment.id})

    def _undo(self):
        """Take a refund out of the books again, after the network dropped its transfer; it is still to send."""
        for refund in self.filtered(lambda one: one.state == "done"):
            refund.account_payment_id.action_draft()
            refund.account_payment_id.action_cancel()
            for move in refund.gas_move_id:
                move.button_draft()
                move.button_cancel()
            refund.write({"state": "confirmed", "tx_hash": False, "gas_text": False, "gas_cost": 0})
            refund.message_post(
                body=self.env._(
                    "The network dropped the transfer of this refund; its entries were cancelled."
                )
            )
