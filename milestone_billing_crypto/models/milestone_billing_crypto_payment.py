import secrets
from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ..const import PROVIDER_CODE
from ..tools import matching, units


class MilestoneBillingCryptoPayment(models.Model):
    """One checkout: a payment transaction, the address offered for it, and what arrived there.

    Facts are the receipts; the state is computed from them again and again, and may go back.
    """

    _name = "milestone.billing.crypto.payment"
    _description = "Stablecoin Payment"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _order = "id desc"
    _rec_name = "reference"

    transaction_id = fields.Many2one("payment.transaction", required=True, readonly=True, ondelete="restrict")
    provider_id = fields.Many2one(related="transaction_id.provider_id", store=True)
    reference = fields.Char(related="transaction_id.reference", store=True)
    company_id = fields.Many2one(related="transaction_id.company_id", store=True, index=True)
    partner_id = fields.Many2one(related="transaction_id.partner_id", store=True, index=True)
    currency_id = fields.Many2one(related="transaction_id.currency_id", store=True)
    amount = fields.Monetary(related="transaction_id.amount", store=True)
    is_live = fields.Boolean(related="transaction_id.is_live", store=True)
    access_token = fields.Char(
        required=True,
        readonly=True,
        copy=False,
        default=lambda self: secrets.token_urlsafe(24),
        groups="milestone_billing_crypto.milestone_billing_crypto_group_manager",
    )
    address_id = fields.Many2one("milestone.billing.crypto.address", readonly=True, index="btree_not_null")
    quote_ids = fields.One2many("milestone.billing.crypto.quote", "payment_id", readonly=True)
    quote_id = fields.Many2one("milestone.billing.crypto.quote", string="Current Quote", readonly=True)
    transfer_ids = fields.One2many("milestone.billing.crypto.transfer", "payment_id", readonly=True)
    refund_ids = fields.One2many("milestone.billing.crypto.refund", "payment_id", readonly=True)
    state = fields.Selection(
        [
            ("new", "Not started"),
            ("waiting", "Waiting for payment"),
            ("seen", "Seen, not final"),
            ("partial", "Partly paid"),
            ("paid", "Paid"),
        ],
        default="new",
        required=True,
        readonly=True,
        tracking=True,
        index=True,
    )
    exception_state = fields.Selection(
        [
            ("none", "None"),
            ("under", "Short, within tolerance"),
            ("over", "Overpaid"),
            ("late", "Paid late"),
            ("held", "Waits for a person"),
            ("reversed", "Undone by a reorganisation"),
        ],
        string="Exception",
        default="none",
        required=True,
        readonly=True,
        tracking=True,
    )
    amount_received = fields.Monetary(readonly=True, help="Value of the receipts that are booked.")
    amount_pending = fields.Monetary(readonly=True, help="Value of receipts that are seen and not final yet.")
    amount_open = fields.Monetary(compute="_compute_amount_open")
    amount_due_before = fields.Monetary(
        readonly=True, help="What the invoices asked for in all when this payment began."
    )

    _transaction_unique = models.Constraint(
        "UNIQUE (transaction_id)", "This transaction already has a payment."
    )
    _access_token_unique = models.Constraint("UNIQUE (access_token)", "Access tokens must be unique.")

    @api.depends("amount", "amount_received", "state")
    def _compute_amount_open(self):
        for payment in self:
            left = payment.amount - payment.amount_received
            payment.amount_open = 0 if payment.state == "paid" else max(0, payment.currency_id.round(left))

    def write(self, vals):
        """Override: what a payment is follows from its receipts; people change its notes and activities only."""
        facts = {name for name, field in self._fields.items() if field.readonly or name == "transaction_id"}
        if facts & set(vals) and not self.env.su:
            raise AccessError(self.env._("A payment follows its receipts. It cannot be changed by hand."))
        return super().write(vals)

    @api.model
    def _get_thread_with_access(self, thread_id, *, hash=None, pid=None, token=None, **kwargs):
        """Override of `portal`: the token of the payer's page opens that page, and not the chatter."""
        return super()._get_thread_with_access(thread_id, **kwargs)

    # === CHECKOUT === #

    @api.model
    def _ensure_for(self, transaction):
        """Return the payment of a transaction, made on first use."""
        payment = self.search([("transaction_id", "=", transaction.id)], limit=1)
        live = transaction.sudo().invoice_ids.filtered(lambda move: move.state == "posted")
        due = sum(live.mapped("amount_residual"))
        return payment or self.create({"transaction_id": transaction.id, "amount_due_before": due})

    def _checkout_url(self):
        """Return the path of the hosted page. Who has it may see and pay this one payment, nothing else."""
        self.ensure_one()
        return f"/payment/{PROVIDER_CODE}/{self.sudo().access_token}"

    def _offered_tokens(self):
        """Return the tokens that may be chosen now: accepted, of the right kind of network, quotable.

        A provider that was switched off since takes no new payments, not even on pages that are open.
        """
        self.ensure_one()
        provider = self.provider_id.sudo()
        tokens = provider.crypto_token_ids if provider.state != "disabled" else provider.crypto_token_ids[:0]
        return tokens.filtered(lambda token: token.is_test != self.is_live and self._is_offered(token))

    def _is_offered(self, token):
        try:
            token._check_peg()
        except UserError:
            return False
        rate = self.provider_id._get_token_rate(token, self.currency_id, fields.Date.context_today(self))
        return (
            token.active and token.chain_id.active and token.chain_id.watch_state != "stopped" and bool(rate)
        )

    def _choose(self, token):
        """Lock a price in a token and offer an address for it.

        :param token: one of the offered tokens.
        :raise UserError: if it is not offered, or nothing is left to pay.
        """
        self.ensure_one()
        self.lock_for_update()
        if self.state == "paid" or not self._asked_minor() or self._is_settled_otherwise():
            raise UserError(self.env._("This is paid. Nothing is left to pay."))
        if not self._left_minor():
            raise UserError(self.env._("A payment has already been seen. Please wait until it is final."))
        if token not in self._offered_tokens():
            raise UserError(self.env._("This token is not offered. Please choose one of the list."))
        provider = self.provider_id.sudo()
        if not self.address_id:
            self.address_id = provider.crypto_wallet_id._take_address()
        expires_on = fields.Datetime.now() + timedelta(minutes=provider.crypto_window_minutes)
        self.address_id._assign(self, expires_on + timedelta(days=provider.crypto_watch_days))
        self.quote_id = self.env["milestone.billing.crypto.quote"].sudo()._lock_price(self, token, expires_on)
        self.transaction_id.sudo()._process(PROVIDER_CODE, {"reference": self.reference, "event": "offered"})
        self._refresh_state()

    def _withdraw(self):
        """Let the payer choose another way to pay; the address stays watched.

        :raise UserError: if money was already sent.
        """
        self.ensure_one()
        self.lock_for_update()
        if self.transfer_ids.filtered(lambda transfer: transfer.state != "orphaned"):
            raise UserError(self.env._("A payment has already been seen. Please wait until it is final."))
        self.quote_ids._release()
        self.quote_id = False
        self.transaction_id.sudo()._set_canceled(extra_allowed_states=("draft", "pending"))

    # === MONEY === #

    def _minor(self, amount):
        return units.minor_units(
            units.Decimal(str(self.currency_id.round(amount))), self.currency_id.decimal_places
        )

    def _open_minor(self):
        """Return what is still to pay in minor units, after the booked receipts and what was written off."""
        booked = self.transfer_ids.filtered(lambda transfer: transfer.booking_state == "booked")
        covered = sum(self._minor(transfer.amount_covered) for transfer in booked)
        return max(0, self._minor(self.amount) - covered)

    def _asked_minor(self):
        """Return what is still asked for in minor units: an invoice that was paid in another way asks for less.

        Of an instalment, or of what is not held back, that is less by all that was paid in another way since.
        """
        due = self._due_minor()
        covered = self._minor(self.amount) - self._open_minor()
        elsewhere = self._minor(self.amount_due_before) - covered - due
        return max(0, min(self._open_minor() - max(0, elsewhere), due))

    def _left_minor(self):
        """Return what is still to be sent in minor units: of what is asked for, less what is on its way."""
        pending = sum(self._minor(one.amount_value) for one in self._pending_transfers())
        return max(0, self._asked_minor() - pending)

    def _due_minor(self):
        """Return what the invoices still ask for in minor units; the whole amount where there are none.

        Cancelled ones ask for nothing. A draft is issued when it is paid, except one of a milestone.
        """
        invoices = self.transaction_id.sudo().invoice_ids
        posted = invoices.filtered(lambda move: move.state == "posted")
        if invoices and not self._get_live_invoices():
            return 0
        if not posted or posted.currency_id != self.currency_id:
            return self._minor(self.amount)
        return max(0, self._minor(sum(posted.mapped("amount_residual"))))

    def _get_live_invoices(self):
        """Return the invoices that a receipt can pay: issued ones, and drafts which core issues then."""
        return self.transaction_id.sudo().invoice_ids.filtered(
            lambda move: move.state == "posted" or (move.state == "draft" and not move.milestone_line_id)
        )

    def _is_settled_otherwise(self):
        """Tell whether the invoices are paid or cancelled although this payment is not complete."""
        invoices = self.transaction_id.sudo().invoice_ids
        live = invoices.filtered(lambda move: move.state == "posted")
        return bool(invoices) and self.state != "paid" and (not live or not self._asked_minor())

    def _pending_transfers(self):
        """Return the receipts that are seen, and count when they are final."""
        return self.transfer_ids.filtered(
            lambda one: (one.direction, one.booking_state) == ("in", "none") and one.state != "orphaned"
        )

    def _tolerance_minor(self):
        provider = self.provider_id.sudo()
        company, today = self.company_id, fields.Date.context_today(self)
        maximum = company.currency_id._convert(
            provider.crypto_tolerance_max, self.currency_id, company, today
        )
        return matching.tolerance(
            self._minor(self.amount), provider.crypto_tolerance_per_mille, self._minor(max(0, maximum))
        )

    # === STATE === #

    def _refresh_state(self):
        """Compute state, exception and sums from the receipts."""
        for payment in self:
            live = payment.transfer_ids.filtered(lambda t: t.direction == "in" and t.state != "orphaned")
            booked = live.filtered(lambda t: t.booking_state == "booked")
            pending = live.filtered(lambda t: t.booking_state == "none")
            payment.write(
                {
                    "state": payment._state_of(live, booked),
                    "exception_state": payment._exception_of(live, booked),
                    "amount_received": sum(booked.mapped("amount_value")),
                    "amount_pending": sum(pending.mapped("amount_value")),
                }
            )

    def _state_of(self, live, booked):
        if booked and not self._asked_minor():
            return "paid"
        if live.filtered(lambda transfer: transfer.booking_state == "none"):
            return "seen"
        if booked:
            return "partial"
        return "waiting" if self.quote_ids else "new"

    def _exception_of(self, live, booked):
        if live.filtered(lambda transfer: transfer.booking_state == "held"):
            return "held"
        if self.transfer_ids.filtered(lambda transfer: transfer.booking_state == "reversed"):
            return "reversed" if self._open_minor() else "none"
        if booked.filtered("amount_excess"):
            return "over"
        if booked.filtered("amount_write_off"):
            return "under"
        return "late" if booked.filtered(lambda transfer: transfer.match_kind == "late") else "none"

    def _settle_transaction(self):
        """Set the source transaction done when it is covered, and pending again when it no longer is."""
        for payment in self:
            transaction = payment.transaction_id.sudo()
            if payment.state == "paid" and transaction.state != "done":
                payment.quote_ids._release()
                transaction._set_done(extra_allowed_states=("cancel",))
                transaction._post_process()
            elif payment.state != "paid" and transaction.state == "done":
                transaction._set_pending(extra_allowed_states=("done",))

    def _alert(self, note):
        """Ask a manager to look at this payment."""
        for payment in self:
            seller = payment.transaction_id.sudo().invoice_ids.invoice_user_id[:1] or self.env.user
            payment.activity_schedule("mail.mail_activity_data_warning", note=note, user_id=seller.id)

    # === ACTIONS === #

    def action_ask_refund(self):
        """Open a new refund request for what was paid too much, or for all that was received."""
        self.ensure_one()
        self.check_access("write")
        booked = self.transfer_ids.filtered(lambda transfer: transfer.booking_state == "booked")
        if not booked:
            raise UserError(self.env._("Nothing was received that could be sent back."))
        token, amount = (booked.filtered("amount_excess") or booked)._get_refundable()
        return {
            "type": "ir.actions.act_window",
            "res_model": "milestone.billing.crypto.refund",
            "view_mode": "form",
            "context": {
                "default_payment_id": self.id,
                "default_token_id": token.id,
                "default_amount": amount,
            },
        }

    def action_open_checkout(self):
        """Open the payer's page."""
        self.ensure_one()
        self.check_access("write")
        return {"type": "ir.actions.act_url", "url": self._checkout_url(), "target": "new"}
