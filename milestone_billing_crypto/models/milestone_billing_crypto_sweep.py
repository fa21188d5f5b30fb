from odoo import Command, api, fields, models
from odoo.exceptions import UserError


class MilestoneBillingCryptoSweep(models.Model):
    """Tokens that the merchant moved on from the receiving addresses, and their journal entry.

    The wallet does the sending; the transfers are found on the network, and a person says where they went.
    """

    _name = "milestone.billing.crypto.sweep"
    _description = "Stablecoin Sweep"
    _inherit = ["mail.thread", "milestone.billing.crypto.gas"]
    _order = "id desc"
    _guarded_fields = frozenset(
        {"state", "move_id", "gas_move_id", "token_id", "company_id", "transfer_ids", "amount", "date"}
    )

    name = fields.Char(compute="_compute_name")
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    token_id = fields.Many2one(
        "milestone.billing.crypto.token", required=True, readonly=True, ondelete="restrict"
    )
    currency_id = fields.Many2one(related="token_id.peg_currency_id")
    transfer_ids = fields.One2many("milestone.billing.crypto.transfer", "sweep_id", readonly=True)
    amount = fields.Monetary(compute="_compute_amount", store=True)
    date = fields.Date(compute="_compute_amount", store=True)
    target_account_id = fields.Many2one(
        "account.account",
        check_company=True,
        domain="[('account_type', 'in', ('asset_cash', 'asset_current', 'asset_non_current'))]",
        tracking=True,
        help="Where the tokens are now: another wallet's account, an exchange's, or the transfer account of a bank.",
    )
    state = fields.Selection(
        [("draft", "To book"), ("booked", "Booked"), ("reversed", "Undone")],
        default="draft",
        required=True,
        readonly=True,
        copy=False,
        tracking=True,
    )
    move_id = fields.Many2one("account.move", string="Journal Entry", readonly=True, copy=False)

    @api.depends("token_id", "date")
    def _compute_name(self):
        for sweep in self:
            sweep.name = self.env._(
                "Sweep of %(token)s, %(date)s", token=sweep.token_id.display_name, date=sweep.date or ""
            )

    @api.depends("transfer_ids.lot_cost")
    def _compute_amount(self):
        for sweep in self:
            sweep.amount = sum(sweep.transfer_ids.mapped("lot_cost"))
            sweep.date = max(sweep.transfer_ids.mapped("block_time"), default=False)

    # === ACTIONS === #

    def action_book(self):
        """Book the transfers out of the wallet's account, and what the network charged."""
        self.check_access("write")
        for sweep in self:
            sweep.lock_for_update()
            if sweep.state != "draft":
                raise UserError(self.env._("This sweep is booked already."))
            if not sweep.target_account_id:
                raise UserError(self.env._("Say first where the tokens are now: choose the target account."))
            sweep.sudo()._book()
        return True

    def action_cancel(self):
        """Give a sweep up that is not booked; its transfers can be chosen again."""
        self.check_access("write")
        if any(sweep.state != "draft" for sweep in self):
            raise UserError(self.env._("A booked sweep stays. Reverse its journal entry instead."))
        for sweep in self.sudo():
            sweep.transfer_ids._update({"sweep_id": False, "lot_cost": 0})
        self.sudo().unlink()
        return self.env["ir.actions.act_window"]._for_xml_id(
            "milestone_billing_crypto.milestone_billing_crypto_sweep_action"
        )

    # === BOOKING === #

    @api.model
    def _create_for(self, transfers):
        """Create the sweep of transfers that left our addresses.

        :raise UserError: if they are not all final, unbooked, sent, and of one token and company.
        """
        if len(transfers.token_id) != 1 or len(transfers.company_id) != 1:
            raise UserError(
                self.env._("Choose transfers of one token and one company, and make a sweep for each.")
            )
        if transfers.filtered(lambda one: not one._is_sweepable()):
            raise UserError(
                self.env._(
                    "Only final transfers that left your addresses and are not booked yet can be swept."
                )
            )
        sweep = self.create({"company_id": transfers.company_id.id, "token_id": transfers.token_id.id})
        costs = transfers._get_book_values()
        for transfer in transfers:
            transfer._update({"sweep_id": sweep.id, "lot_cost": costs[transfer.id]})
        if not sweep.token_id.is_native:  # of a coin the network's fee is part of what left the address
            sweep._read_gas(sorted(set(filter(None, transfers.mapped("tx_hash")))))
        return sweep

    def _book(self):
        self.ensure_one()
        move = self.env["account.move"].create(self._prepare_move())
        move.action_post()
        self._book_gas(self.date, self.name)
        self.transfer_ids._update({"booking_state": "booked"})
        self.write({"state": "booked", "move_id": move.id})

    def _prepare_move(self):
        """Return the entry that moves the tokens, at their cost, to the account where they are now."""
        journal, company, peg = (
            self.token_id._get_wallet_journal(self.company_id),
            self.company_id,
            self.currency_id,
        )
        balance = peg._convert(self.amount, company.currency_id, company, self.date)
        sides = ((self.target_account_id, 1), (journal.default_account_id, -1))
        lines = [
            Command.create(
                {
                    "name": self.name,
                    "account_id": account.id,
                    "currency_id": peg.id,
                    "amount_currency": sign * self.amount,
                    "balance": sign * balance,
                }
            )
            for account, sign in sides
        ]
        return {"journal_id": journal.id, "date": self.date, "ref": self.name, "line_ids": lines}

    def _undo(self):
        """Take a sweep out of the books again, after the network dropped one of its transfers."""
        for sweep in self.filtered(lambda one: one.state == "booked"):
            for move in sweep.move_id + sweep.gas_move_id:
                move.button_draft()
                move.button_cancel()
            sweep.transfer_ids.filtered(lambda one: one.state != "orphaned")._update(
                {"booking_state": "ignored", "sweep_id": False, "lot_cost": 0}
            )
            sweep.state = "reversed"
            sweep.message_post(
                body=self.env._("The network dropped a transfer of this sweep; its entries were cancelled.")
            )
