"""The customer's statement: each milestone with its documents, and what is open, by contract."""

from odoo import api, models

from ..models.milestone_billing_statement_customer import ACCOUNT_COLUMNS


class ReportMilestoneBillingCustomer(models.AbstractModel):
    """What the statement of a customer prints: the contracts of the current company with it."""

    _name = "report.milestone_billing.report_customer"
    _inherit = "milestone.billing.paper.mixin"
    _description = "Customer Statement"

    @api.model
    def _get_report_values(self, docids, data=None):
        """Override of `base` to give the template the contracts of each customer."""
        partners = self.env["res.partner"].browse(docids)
        self._check_may_print(partners)
        return {
            "docs": partners,
            "statements": [
                self._prepare_statement(partner, partner, self._get_schedules(partner), self.env.company)
                for partner in partners
            ],
        }

    @api.model
    def _get_schedules(self, partner):
        """Give the confirmed contracts of a customer and its contacts that the user may read."""
        domain = [
            ("partner_id", "child_of", partner.id),
            ("company_id", "=", self.env.company.id),
            ("order_id.state", "=", "sale"),
        ]
        return self.env["milestone.billing.schedule"].search(domain, order="id")

    @api.model
    def _prepare_statement(self, doc, partner, schedules, company):
        """Give the values of one statement, in the language of the customer.

        :rtype: dict
        """
        lang = partner.sudo().lang or self.env.lang
        contracts = [
            self._prepare_contract(schedule)
            for schedule in schedules.with_context(lang=lang)
            if schedule.sudo().line_ids
        ]
        return {
            "doc": doc.sudo(),
            "partner": partner.sudo(),
            "company": company.sudo(),
            "lang": lang,
            "date": company._get_milestone_today(),
            "contracts": contracts,
            "totals": self._prepare_totals(contracts),
        }

    @api.model
    def _prepare_contract(self, schedule):
        rows = schedule._get_account_rows()
        billed = [row for row in rows if row["billed"] is not None]
        currency = schedule.sudo().currency_id
        return {
            "order": schedule.sudo().order_id,
            "currency": currency,
            "contract_sum": schedule.get_statement()["contract_sum"],
            "rows": rows,
            "totals": self._sum_columns(billed, ACCOUNT_COLUMNS, currency),
        }

    @api.model
    def _prepare_totals(self, contracts):
        """Add up the contracts of each currency.

        :rtype: list[dict]
        """
        by_currency = {}
        for contract in contracts:
            by_currency.setdefault(contract["currency"], []).append(contract["totals"])
        return [
            {"currency": currency, **self._sum_columns(totals, ACCOUNT_COLUMNS, currency)}
            for currency, totals in by_currency.items()
        ]


class ReportMilestoneBillingCustomerSchedule(models.AbstractModel):
    """The statement of one contract."""

    _name = "report.milestone_billing.report_customer_schedule"
    _inherit = "report.milestone_billing.report_customer"
    _description = "Customer Statement of a Schedule"

    @api.model
    def _get_report_values(self, docids, data=None):
        """Override of `base` to give the template one contract for each statement."""
        schedules = self.env["milestone.billing.schedule"].browse(docids)
        self._check_may_print(schedules)
        return {
            "docs": schedules,
            "statements": [
                self._prepare_statement(
                    schedule, schedule.sudo().partner_id, schedule, schedule.sudo().company_id
                )
                for schedule in schedules
            ],
        }
