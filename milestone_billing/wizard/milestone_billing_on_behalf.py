from odoo import fields, models
from odoo.exceptions import UserError


class MilestoneBillingOnBehalf(models.TransientModel):
    """Record an approval that the client gave on paper, by phone or by mail."""

    _name = "milestone.billing.on.behalf"
    _description = "Record a Paper or Phone Approval"

    approval_id = fields.Many2one("milestone.billing.approval", required=True, ondelete="cascade")
    method = fields.Selection(
        [("paper", "On paper"), ("phone", "By phone"), ("email", "By e-mail"), ("meeting", "In a meeting")],
        string="How",
        required=True,
        default="paper",
    )
    document = fields.Binary(required=True, help="The scan, the mail or the minutes that show the approval.")
    document_name = fields.Char()
    note = fields.Text(help="Who said what, and when.")

    def action_record(self):
        """Keep the document and record the approval as what it is: recorded by staff.

        :raise UserError: if the submission is closed or has changed.
        """
        self.ensure_one()
        if not self.document:
            raise UserError(self.env._("Attach the document that shows the approval."))
        attachment = self.env["ir.attachment"].create(
            {"name": self.document_name or self.env._("Approval"), "datas": self.document}
        )
        self.approval_id.record_on_behalf(self.method, attachment.id, self.note)
        return {"type": "ir.actions.act_window_close"}
