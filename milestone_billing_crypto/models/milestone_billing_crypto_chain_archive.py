"""A network is taken out of use only when nothing waits there: an archived one is not read."""

from odoo import fields, models
from odoo.exceptions import UserError


class MilestoneBillingCryptoChain(models.Model):
    _inherit = "milestone.billing.crypto.chain"

    def write(self, vals):
        """Override: an archived network is not read, so nothing may wait to be read there."""
        if vals.get("active") is False:
            for chain in self.filtered("active"):
                if reason := chain.sudo()._find_open():
                    raise UserError(reason)
        return super().write(vals)

    def _find_open(self):
        """Return what still waits on this network, as a sentence that says what to do, or False.

        Of all companies: the network is theirs together.
        """
        self.ensure_one()
        return self._find_open_offer() or self._find_open_money() or False

    def _find_open_offer(self):
        """Return who still sends payers here, or sent them here a short while ago."""
        providers = self.env["payment.provider"].search([("state", "!=", "disabled")])
        offering = providers.filtered(lambda one: self in one.crypto_token_ids.chain_id)[:1]
        if offering:
            return self.env._(
                "“%(provider)s” takes payments on %(chain)s. Remove the tokens of this network there first.",
                provider=offering.display_name,
                chain=self.name,
            )
        quotes = self.env["milestone.billing.crypto.quote"].search(
            [
                ("chain_id", "=", self.id),
                ("payment_id.state", "in", ("waiting", "seen", "partial")),
                ("address_id.watch_until", ">=", fields.Datetime.now()),
            ]
        )
        if not quotes:
            return False
        until = fields.Datetime.context_timestamp(self, max(quotes.address_id.mapped("watch_until")))
        return self.env._(
            "Payers were given prices on %(chain)s, and their money may be on its way. Archive it after %(date)s.",
            chain=self.name,
            date=until.date(),
        )

    def _find_open_money(self):
        """Return which money still waits here for the network or for a person."""
        of_token = [("token_id.chain_id", "=", self.id)]
        Refund, Sweep = (
            self.env["milestone.billing.crypto.refund"],
            self.env["milestone.billing.crypto.sweep"],
        )
        receipts = self.env["milestone.billing.crypto.transfer"].search_count(self._prepare_open_domain())
        if receipts:
            return self.env._(
                "Receipts on %(chain)s that are not final, not booked, or wait for a person: %(count)s. Wait until the "
                "network has confirmed them, and decide about the others.",
                chain=self.name,
                count=receipts,
            )
        if Refund.search_count([*of_token, ("state", "in", ("requested", "confirmed"))], limit=1):
            return self.env._(
                "A refund on %(chain)s is still to be sent. Send or cancel it first.", chain=self.name
            )
        if Sweep.search_count([*of_token, ("state", "=", "draft")], limit=1):
            return self.env._(
                "A sweep on %(chain)s is not booked yet. Book or cancel it first.", chain=self.name
            )
        return False

    def _prepare_open_domain(self):
        """Return what a receipt is like with which something is still to happen."""
        return [
            ("chain_id", "=", self.id),
            "|",
            "|",
            ("state", "=", "seen"),
            "&",
            ("state", "=", "final"),
            ("booking_state", "in", ("none", "held")),
            "&",
            ("state", "=", "orphaned"),
            ("booking_state", "=", "booked"),
        ]
