from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..tools.address import AddressError, normalize, to_checksum


class MilestoneBillingApprover(models.Model):
    _inherit = "milestone.billing.approver"

    wallet_address = fields.Char(
        string="Wallet",
        help="Address of the wallet with which this person may sign approvals. Ask the person for it, not the mail.",
    )

    @api.model_create_multi
    def create(self, vals_list):
        """Override to refuse a private key in the place of an address."""
        for vals in vals_list:
            self.env["milestone.billing.crypto.keyless"]._refuse_secrets(vals, ("wallet_address",))
        return super().create(vals_list)

    def write(self, vals):
        """Override to refuse a private key in the place of an address."""
        self.env["milestone.billing.crypto.keyless"]._refuse_secrets(vals, ("wallet_address",))
        return super().write(vals)

    @api.constrains("wallet_address")
    def _check_wallet_address(self):
        for approver in self.filtered("wallet_address"):
            try:
                normalize(approver.wallet_address)
            except AddressError:
                raise ValidationError(
                    self.env._(
                        "The wallet of %(name)s is not an address, or a letter in it is wrong. Copy it from the wallet again.",
                        name=approver.partner_id.name,
                    )
                ) from None

    def _get_wallet_address(self):
        """Give the registered address in its checksummed form, or an empty text.

        :rtype: str
        """
        self.ensure_one()
        return to_checksum(normalize(self.wallet_address)) if self.wallet_address else ""


class MilestoneBillingApprovalSeat(models.Model):
    _inherit = "milestone.billing.approval.seat"

    wallet_address = fields.Char(string="Wallet", readonly=True)


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _get_approver_values(self):
        """Override of `milestone_billing` to freeze the wallets with the submission."""
        approvers = self.sudo().schedule_id.approver_ids
        wallets = {approver.partner_id.id: approver._get_wallet_address() for approver in approvers}
        return [
            {**values, "wallet_address": wallets.get(values["partner_id"]) or False}
            for values in super()._get_approver_values()
        ]
