from odoo import api, models


class ReportMilestoneBillingRetainer(models.AbstractModel):
    """What the statement of a retainer prints."""

    _name = "report.milestone_billing.report_retainer"
    _inherit = "milestone.billing.paper.mixin"
    _description = "Retainer Statement"

    @api.model
    def _get_report_values(self, docids, data=None):
        """Override of `base` to give the template each retainer in the language of its customer."""
        retainers = self.env["milestone.billing.retainer"].browse(docids)
        self._check_may_print(retainers)
        return {"docs": retainers, "statements": [self._prepare_paper(retainer) for retainer in retainers]}

    @api.model
    def _prepare_paper(self, retainer):
        lang = retainer.sudo().partner_id.lang or self.env.lang
        retainer = retainer.with_context(lang=lang).sudo()
        return {
            **retainer._prepare_statement(),
            "lang": lang,
            "date": retainer.company_id._get_milestone_today(),
        }
