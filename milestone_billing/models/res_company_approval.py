from odoo import fields, models


class ResCompany(models.Model):
    _inherit = "res.company"

    milestone_level2_above = fields.Monetary(
        string="Personal Link Alone up to",
        default=10000.0,
        help="Up to this total the approver's personal link is enough. Above it a one-time code or a portal login is "
        "asked for as well. In company currency.",
    )
    milestone_passkey_above = fields.Monetary(
        string="Passkey above",
        help="Above this total the approver signs the submission with a passkey. 0 means never.",
    )
    milestone_second_approver_above = fields.Monetary(
        string="Second Approver above", help="Above this total two approvers have to approve. 0 means never."
    )
    milestone_deemed_acceptance = fields.Boolean(
        string="No Answer Counts as Accepted",
        help="When the time for an answer is over, the work counts as accepted. The client is told so in the request. "
        "Check with your lawyer before you switch this on.",
    )
    milestone_consent_text = fields.Text(
        string="Consent Sentence",
        translate=True,
        help="What the client agrees to when approving. Empty: the standard sentence, which names the milestone and "
        "its amount.",
    )

    _milestone_limits_positive = models.Constraint(
        "CHECK (milestone_level2_above >= 0 AND milestone_passkey_above >= 0 "
        "AND milestone_second_approver_above >= 0)",
        "Limits of approvals cannot be negative.",
    )


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    milestone_currency_id = fields.Many2one(related="company_id.currency_id", string="Milestone Currency")
    milestone_level2_above = fields.Monetary(
        related="company_id.milestone_level2_above", readonly=False, currency_field="milestone_currency_id"
    )
    milestone_passkey_above = fields.Monetary(
        related="company_id.milestone_passkey_above", readonly=False, currency_field="milestone_currency_id"
    )
    milestone_second_approver_above = fields.Monetary(
        related="company_id.milestone_second_approver_above",
        readonly=False,
        currency_field="milestone_currency_id",
    )
    milestone_deemed_acceptance = fields.Boolean(
        related="company_id.milestone_deemed_acceptance", readonly=False
    )
    milestone_consent_text = fields.Text(related="company_id.milestone_consent_text", readonly=False)
