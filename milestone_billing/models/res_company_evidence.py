from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..tools import url_guard
from ..tools.retention import DISPUTE_DAYS_MIN, IDENTITY, NETWORK, TECHNICAL

FINANCIAL_DAYS = 10 * 365


class ResCompany(models.Model):
    _inherit = "res.company"

    milestone_retention_identity_days = fields.Integer(
        string="Keep Names and E-mails (days)",
        default=IDENTITY.default_days,
        help="After the last event of the order; names, e-mail addresses, typed names, reasons.",
    )
    milestone_retention_network_days = fields.Integer(
        string="Keep Network Addresses (days)",
        default=NETWORK.default_days,
        help="After the event or the last payment; network address, browser, device. Card disputes need 600 days.",
    )
    milestone_retention_technical_days = fields.Integer(
        string="Keep Technical Data (days)",
        default=TECHNICAL.default_days,
        help="After the event; forwarding headers, time zone, addresses of refused attempts.",
    )
    milestone_retention_financial_days = fields.Integer(
        string="Keep Submissions (days)",
        default=FINANCIAL_DAYS,
        help="What the client was shown, and the files in it; as long as accounting law asks.",
    )
    milestone_anchor_email = fields.Char(
        string="Evidence Mailbox",
        help="A mailbox, best with another provider, which gets the state of the evidence log once a day.",
    )
    milestone_record_device = fields.Boolean(
        string="Record the Client's Device",
        default=True,
        help="A random name in a cookie of your portal, and a hash of browser and language. "
        "Card schemes ask for it in disputes.",
    )
    milestone_stamp_url = fields.Char(
        string="Time Stamping Authority",
        help="Address of an authority that stamps by RFC 3161. It gets a hash and learns nothing else.",
    )

    _milestone_retention_identity_min = models.Constraint(
        f"CHECK (milestone_retention_identity_days >= {DISPUTE_DAYS_MIN})",
        f"Names must be kept for at least {DISPUTE_DAYS_MIN} days: a card payment can be disputed that long.",
    )
    _milestone_retention_network_min = models.Constraint(
        f"CHECK (milestone_retention_network_days >= {DISPUTE_DAYS_MIN})",
        f"Network addresses must be kept for at least {DISPUTE_DAYS_MIN} days: a card payment can be disputed"
        " that long.",
    )
    _milestone_retention_other_min = models.Constraint(
        "CHECK (milestone_retention_technical_days >= 30 AND milestone_retention_financial_days >= 365)",
        "Technical data must be kept for at least 30 days, submissions for at least a year.",
    )

    @api.constrains("milestone_stamp_url")
    def _check_milestone_stamp_url(self):
        for company in self.filtered("milestone_stamp_url"):
            try:
                url_guard.parse(company.milestone_stamp_url)
            except url_guard.UrlError as refusal:
                raise ValidationError(
                    self.env._(
                        "“%(url)s” cannot be used as time stamping authority (%(code)s). Enter an address that begins "
                        "with https:// or http:// and holds no password.",
                        url=company.milestone_stamp_url,
                        code=refusal.code,
                    )
                ) from refusal


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    milestone_retention_identity_days = fields.Integer(
        related="company_id.milestone_retention_identity_days", readonly=False
    )
    milestone_retention_network_days = fields.Integer(
        related="company_id.milestone_retention_network_days", readonly=False
    )
    milestone_retention_technical_days = fields.Integer(
        related="company_id.milestone_retention_technical_days", readonly=False
    )
    milestone_retention_financial_days = fields.Integer(
        related="company_id.milestone_retention_financial_days", readonly=False
    )
    milestone_anchor_email = fields.Char(related="company_id.milestone_anchor_email", readonly=False)
    milestone_stamp_url = fields.Char(related="company_id.milestone_stamp_url", readonly=False)
    milestone_record_device = fields.Boolean(related="company_id.milestone_record_device", readonly=False)
