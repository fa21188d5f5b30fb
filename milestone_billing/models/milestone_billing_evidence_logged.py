from odoo import api, fields, models
from odoo.fields import Domain


class MilestoneBillingEvidenceLogged(models.AbstractModel):
    """What stands in a company's log and names the log only: whose it is, is looked up there.

    A stored column would have to be filled in rows that cannot be changed.
    """

    _name = "milestone.billing.evidence.logged"
    _description = "Part of an Evidence Log"

    company_ref = fields.Integer(
        string="Company ID", compute="_compute_company_ref", search="_search_company_ref", compute_sudo=True
    )

    @api.depends("log_id")
    def _compute_company_ref(self):
        logs = self.env["milestone.billing.evidence.log"].search([("log_id", "in", self.mapped("log_id"))])
        companies = {log.log_id: log.company_ref for log in logs}
        for record in self:
            record.company_ref = companies.get(record.log_id, 0)

    @api.model
    def _search_company_ref(self, operator, value):
        if operator != "in":
            return NotImplemented
        logs = self.env["milestone.billing.evidence.log"].sudo().search([("company_ref", "in", list(value))])
        return Domain("log_id", "in", logs.mapped("log_id"))
