"""The way to pay an issued milestone from anywhere: an address, a QR code, and what the money is for."""

import base64

from odoo import models
from odoo.tools.image import image_data_uri

QR_PIXELS = 200


class AccountMove(models.Model):
    _inherit = "account.move"

    def _get_milestone_payment_link(self):
        """Give address and purpose of the payment of an issued milestone.

        :return: `url`, `purpose` (invoice, project or order, milestone) and `amount` (due now); empty when there is
            nothing to pay, or nothing may be paid.
        :rtype: dict
        """
        self.ensure_one()
        move = self.sudo()
        if move.milestone_document not in ("stage", "release") or not move._has_to_be_paid():
            return {}
        amount = move._get_milestone_due_now()
        if move.currency_id.is_zero(amount):
            return {}
        line = move.milestone_line_id
        names = (move.name, line.project_id.name, line.display_name)
        return {
            "url": move.get_base_url() + move.get_portal_url(),
            "purpose": " · ".join(name for name in names if name),
            "amount": amount,
        }

    def _get_milestone_payment_qr(self, url):
        """Give the QR code of an address as a picture that a document can hold.

        :rtype: str
        """
        png = self.env["ir.actions.report"].barcode("QR", url, width=QR_PIXELS, height=QR_PIXELS)
        return image_data_uri(base64.b64encode(png))
