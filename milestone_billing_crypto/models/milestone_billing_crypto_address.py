from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError

from ..tools.address import fingerprint, to_checksum

#: How long an address is read in every cycle after the network dropped a transfer of it.
_WATCH_AGAIN = timedelta(days=7)
#: Only code that holds this very object may add addresses; a caller over the network cannot send it.
_LIBRARY = object()


class MilestoneBillingCryptoAddress(models.Model):
    """A receiving address. It is the same on every network and is watched for ever."""

    _name = "milestone.billing.crypto.address"
    _description = "Stablecoin Receiving Address"
    _order = "wallet_id, index, id"
    _rec_name = "checksum"

    address = fields.Char(required=True, readonly=True, help="Lower case.")
    checksum = fields.Char(string="Address (Checksum)", compute="_compute_checksum")
    fingerprint = fields.Char(compute="_compute_checksum")
    wallet_id = fields.Many2one(
        "milestone.billing.crypto.wallet", required=True, readonly=True, ondelete="restrict", index=True
    )
    company_id = fields.Many2one(related="wallet_id.company_id", store=True, index=True)
    index = fields.Integer(readonly=True)
    path = fields.Char(readonly=True, help="Path below the key which the wallet holds.")
    state = fields.Selection(
        [("free", "Free"), ("assigned", "Offered"), ("used", "Paid to")],
        default="free",
        required=True,
        readonly=True,
    )
    payment_id = fields.Many2one(
        "milestone.billing.crypto.payment",
        string="Offered for",
        readonly=True,
        ondelete="restrict",
        index="btree_not_null",
    )
    assigned_on = fields.Datetime(readonly=True)
    watch_until = fields.Datetime(
        readonly=True,
        index=True,
        help="Read in every cycle until then, by the daily balance check afterwards.",
    )

    _address_unique = models.Constraint("UNIQUE (address)", "This address is already listed.")
    _address_form = models.Constraint(
        "CHECK (address ~ '^0x[0-9a-f]{40}$')", "An address is stored in lower case."
    )

    @api.depends("address")
    def _compute_checksum(self):
        for record in self:
            record.checksum = record.address and to_checksum(record.address)
            record.fingerprint = record.address and fingerprint(record.address)

    @api.model_create_multi
    def create(self, vals_list):
        """Override: addresses come from a wallet only."""
        self._check_library()
        return super().create(vals_list)

    def write(self, vals):
        """Override: addresses are changed by payments and the watcher only."""
        self._check_library()
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_offered(self):
        if any(record.state != "free" for record in self):
            raise AccessError(
                self.env._("An address that was shown to a payer must stay, for money may still arrive.")
            )

    def _check_library(self):
        if self.env.context.get("milestone_billing_crypto_library") is not _LIBRARY:
            raise AccessError(self.env._("Receiving addresses are managed by their wallet."))

    @api.model
    def _add(self, vals_list):
        return self.with_context(milestone_billing_crypto_library=_LIBRARY).create(vals_list)

    def _update(self, vals):
        return self.with_context(milestone_billing_crypto_library=_LIBRARY).write(vals)

    @api.model
    def _lock_reusable(self, wallet, cool_down_days):
        """Return a locked address that may be offered, or none.

        Free ones first; then ones offered longer ago than the cool-down that never received anything, and whose
        invoice asks for nothing any more: it names the address, and who pays it late was promised to be found.
        Locked rows are skipped, so that two visitors never get the same one.
        """
        self.env.flush_all()
        limit = fields.Datetime.now() - timedelta(days=cool_down_days)
        self.env.cr.execute(
            """
            SELECT address.id
              FROM milestone_billing_crypto_address AS address
             WHERE wallet_id = %s
               AND (state = 'free' OR (state = 'assigned' AND assigned_on < %s))
               AND NOT EXISTS (SELECT FROM milestone_billing_crypto_transfer WHERE address_id = address.id)
               AND NOT EXISTS (
                   SELECT FROM milestone_billing_crypto_payment AS earlier
                     JOIN account_invoice_transaction_rel AS link USING (transaction_id)
                     JOIN account_move AS invoice ON invoice.id = link.invoice_id
                    WHERE earlier.id = address.payment_id
                      AND invoice.state != 'cancel'
                      AND invoice.payment_state NOT IN ('paid', 'in_payment', 'reversed')
               )
          ORDER BY state = 'free' DESC, id
             LIMIT 1
        FOR UPDATE OF address SKIP LOCKED
            """,
            [wallet.id, limit],
        )
        row = self.env.cr.fetchone()
        return self.browse(row and row[0])

    def _assign(self, payment, watch_until):
        """Offer this address for a payment. A shared address stays free of any one payment.

        The payment that it was offered for before loses it, so that its page, if it is opened once more, cannot
        ask for money where another one waits for its own.
        """
        self.ensure_one()
        values = {"watch_until": max(watch_until, self.watch_until or watch_until)}
        (self.payment_id - payment).write({"address_id": False, "quote_id": False})
        if self.wallet_id.mode != "fixed":
            state = "assigned" if self.state == "free" else self.state
            values.update(state=state, payment_id=payment.id, assigned_on=fields.Datetime.now())
        elif self.state == "free":
            values.update(state="assigned", assigned_on=fields.Datetime.now())
        self._update(values)

    def _first_offered_on(self):
        """Return when this address was first shown for its payment; a later price does not make it younger."""
        self.ensure_one()
        quotes = self.payment_id.quote_ids.filtered(lambda quote: quote.address_id == self)
        return min(quotes.mapped("quoted_on"), default=self.assigned_on or self.create_date)

    def _watch_closely(self):
        """Have these addresses read in every cycle for a while: something is on its way to them, or away."""
        until = fields.Datetime.now() + _WATCH_AGAIN
        for record in self.filtered(lambda one: not one.watch_until or one.watch_until < until):
            record._update({"watch_until": until})

    def _mark_used(self):
        """Note that money arrived, and how far the wallet's addresses are in use."""
        fresh = self.filtered(lambda record: record.state != "used")
        if fresh:
            fresh._update({"state": "used"})
        for wallet, records in self.grouped("wallet_id").items():
            top = max(records.mapped("index"))
            if wallet.mode == "xpub" and top > wallet.last_paid_index:
                wallet.last_paid_index = top
