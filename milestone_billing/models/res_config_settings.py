from odoo import fields, models


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    milestone_approval_required = fields.Boolean(
        related="company_id.milestone_approval_required", readonly=False
    )
    milestone_invoice_posting = fields.Selection(
        related="company_id.milestone_invoice_posting", readonly=False, required=True
    )
    milestone_gate = fields.Selection(related="company_id.milestone_gate", readonly=False, required=True)
    milestone_tz = fields.Selection(
        related="company_id.partner_id.tz",
        readonly=False,
        string="Company's Time Zone",
        help="Where the days of the company begin: due dates, periods, reminders, deadlines.",
    )
    milestone_link_days = fields.Integer(related="company_id.milestone_link_days", readonly=False)
    milestone_retainage_account_id = fields.Many2one(
        related="company_id.milestone_retainage_account_id", readonly=False
    )
