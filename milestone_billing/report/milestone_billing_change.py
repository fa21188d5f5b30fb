from odoo import api, models


class ReportMilestoneBillingChange(models.AbstractModel):
    """What the paper of a change order prints: the frozen snapshot, and who decided."""

    _name = "report.milestone_billing.report_change"
    _description = "Change Order Paper"

    @api.model
    def _get_report_values(self, docids, data=None):
        """Override of `base` to give the template each change order in the language of its customer."""
        changes = self.env["milestone.billing.change"].browse(docids)
        changes.check_access("read")
        return {"docs": changes, "papers": [self._prepare_paper(change) for change in changes]}

    @api.model
    def _prepare_paper(self, change):
        lang = change.sudo().partner_id.lang or self.env.lang
        change = change.with_context(lang=lang).sudo()
        return {
            **change._prepare_page_values(),
            "lang": lang,
            "decisions": change.link_ids.filtered("decision"),
            "head": change._get_chain_head() if change.state != "draft" else "",
        }
