import base64

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import formatLang


class MilestoneBillingPaymentLink(models.TransientModel):
    """Link and QR code to pay an issued milestone, to send by any channel."""

    _name = "milestone.billing.payment.link"
    _description = "Payment Link of a Milestone"

    line_id = fields.Many2one("milestone.billing.line", string="Milestone", required=True, readonly=True)
    url = fields.Char(string="Link", compute="_compute_content")
    purpose = fields.Char(compute="_compute_content")
    message = fields.Text(compute="_compute_content", help="Ready to be copied.")
    qr_code = fields.Binary(string="QR Code", compute="_compute_content")

    @api.depends("line_id")
    def _compute_content(self):
        for link in self:
            line, invoice = link.line_id, link.line_id._get_live_invoice()
            way = invoice._get_milestone_payment_link()
            link.url, link.purpose = way.get("url"), way.get("purpose")
            link.message = self.env._(
                "%(company)s: please pay %(amount)s for %(purpose)s: %(url)s",
                company=line.company_id.name,
                amount=formatLang(self.env, way.get("amount", 0.0), currency_obj=invoice.currency_id),
                purpose=link.purpose,
                url=link.url,
            )
            png = self.env["ir.actions.report"].barcode("QR", link.url or "", width=400, height=400)
            link.qr_code = base64.b64encode(png)


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def action_payment_link(self):
        """Show link and QR code to pay this milestone.

        :raise UserError: when there is nothing to pay.
        """
        self.ensure_one()
        self._check_may_bill()
        if self.invoice_status not in ("posted", "partial"):
            raise UserError(
                self.env._("“%s” has no issued invoice that is open. There is nothing to pay yet.", self.name)
            )
        if refusal := self._get_live_invoice()._get_milestone_payment_refusal():
            raise UserError(refusal)
        wizard = self.env["milestone.billing.payment.link"].create({"line_id": self.id})
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Payment Link"),
            "res_model": wizard._name,
            "res_id": wizard.id,
            "views": [(False, "form")],
            "target": "new",
        }
