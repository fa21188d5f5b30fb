"""Balances of our addresses on the network, against what the receipts say."""

import logging

from odoo import api, fields, models
from odoo.exceptions import UserError
from psycopg2 import OperationalError

_logger = logging.getLogger(__name__)


class MilestoneBillingCryptoBalance(models.Model):
    """Balance of one token on one address at a block. A difference means that something was not seen."""

    _name = "milestone.billing.crypto.balance"
    _description = "Stablecoin Balance"
    _order = "state desc, token_id, address_id"
    _rec_name = "address_id"

    address_id = fields.Many2one(
        "milestone.billing.crypto.address", required=True, ondelete="cascade", index=True
    )
    token_id = fields.Many2one(
        "milestone.billing.crypto.token", required=True, ondelete="cascade", index=True
    )
    chain_id = fields.Many2one(related="token_id.chain_id", store=True, string="Network")
    company_id = fields.Many2one(related="address_id.company_id", store=True, index=True)
    checksum = fields.Char(related="address_id.checksum", string="Address (Checksum)")
    path = fields.Char(related="address_id.path")
    base_units = fields.Char(required=True)
    expected_units = fields.Char(required=True, help="Sum of the recorded transfers, in base units.")
    opening_units = fields.Char(
        required=True,
        default="0",
        help="What the address held before it was offered; that is no payment.",
    )
    amount_text = fields.Char(string="Balance", compute="_compute_texts")
    difference_text = fields.Char(string="Unexplained", compute="_compute_texts")
    is_empty = fields.Boolean()
    state = fields.Selection(
        [("ok", "Explained"), ("unexplained", "Unexplained")], required=True, default="ok", index=True
    )
    block_number = fields.Integer(required=True)
    block_hash = fields.Char()
    checked_on = fields.Datetime(required=True)

    _place_unique = models.Constraint("UNIQUE (address_id, token_id)", "This balance is already listed.")

    @api.depends("base_units", "expected_units", "token_id")
    def _compute_texts(self):
        for balance in self:
            difference = int(balance.base_units or 0) - int(balance.expected_units or 0)
            balance.amount_text = balance.token_id._to_text(balance.base_units or 0)
            balance.difference_text = balance.token_id._to_text(difference) if difference else False

    def action_note_opening(self):
        """Take what is unexplained as having been there before the address was offered: it is no payment."""
        self.check_access("read")
        self.env["milestone.billing.crypto.transfer"].check_access("write")  # who may accept receipts
        for balance in self.sudo():
            before = int(balance.base_units) - int(balance.expected_units) + int(balance.opening_units)
            if balance.state != "unexplained" or before < 0:
                raise UserError(
                    self.env._("Only what is unexplained on an address can have been there before.")
                )
            balance.address_id.wallet_id.message_post(
                body=self.env._(
                    "%(amount)s on %(address)s were there before the address was offered, says %(user)s.",
                    amount=balance.difference_text,
                    address=balance.checksum,
                    user=self.env.user.name,
                )
            )
            balance.write({"opening_units": str(before), "expected_units": balance.base_units, "state": "ok"})
        return True

    # === DAILY CHECK === #

    @api.model
    def _cron_sweep(self):
        """Ask the balances of all addresses ever offered, on all networks, and look for what is unexplained."""
        chains = self.env["milestone.billing.crypto.chain"]._find_watched()
        for index, chain in enumerate(chains):
            try:
                chain._sweep(commit=True)
            except (UserError, OperationalError) as error:
                self.env.cr.rollback()
                _logger.warning("Balances of stablecoin network %s could not be read: %s", chain.id, error)
            except Exception as error:
                # The edge of the job: whatever is wrong with one network, the balances of the others are compared.
                self.env.cr.rollback()
                _logger.exception("Balances of stablecoin network %s could not be compared", chain.id)
                chain._note_crash(error)
            if not self.env["ir.cron"]._commit_progress(1, remaining=len(chains) - index - 1):
                break
