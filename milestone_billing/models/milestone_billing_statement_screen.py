"""The statement on the schedule's own screen: the figures of the application for payment, without paper."""

from odoo import api, fields, models


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    statement_html = fields.Html(
        string="Statement",
        compute="_compute_statement_html",
        sanitize=False,
        groups="milestone_billing.milestone_billing_group_billing_user,milestone_billing.milestone_billing_group_auditor",
        help="The nine lines and the schedule of values as of the last document, from the same engine as the papers.",
    )

    @api.depends("amount_contract", "amount_billed", "amount_retained", "amount_before", "ended_on")
    @api.depends_context("lang", "uid")
    def _compute_statement_html(self):
        Report, no_line = (
            self.env["report.milestone_billing.report_application"],
            self.env["milestone.billing.line"],
        )
        for schedule in self:
            if not schedule.is_frozen:
                schedule.statement_html = False
                continue
            record = schedule._origin or schedule
            values = Report._prepare_application(record, no_line, self.env.lang, is_now=True)
            money = {"widget": "monetary", "display_currency": values["currency"]}
            schedule.statement_html = self.env["ir.qweb"]._render(
                "milestone_billing.schedule_statement", {"a": values, "money": money}
            )
