"""The application for payment: schedule of values and nine-line summary, as of one document."""

from odoo import api, models
from odoo.exceptions import AccessError

from ..tools import statement
from ..tools.money import to_text, to_units

VALUE_COLUMNS = (
    "scheduled_value",
    "previous",
    "this_period",
    "completed_to_date",
    "balance",
    "retainage",
)


class MilestoneBillingPaperMixin(models.AbstractModel):
    """What the papers about money have in common: who may print them, and how their totals are made."""

    _name = "milestone.billing.paper.mixin"
    _description = "Milestone Billing Paper"

    @api.model
    def _check_may_print(self, records):
        """Check that the user may read these records and the money behind them.

        :raise AccessError: when the user is neither in billing nor an auditor, or may not read one of the records.
        """
        if not self.env.su and not any(
            self.env.user.has_group(f"milestone_billing.milestone_billing_group_{name}")
            for name in ("billing_user", "auditor")
        ):
            raise AccessError(
                self.env._(
                    "Only people in billing and auditors may print this paper. Ask one of them for it."
                )
            )
        records.check_access("read")

    @api.model
    def _sum_columns(self, rows, columns, currency):
        """Add up decimal texts of rows, to the last unit.

        :param list[dict] rows: decimal text by column.
        :return: decimal text by column.
        :rtype: dict[str, str]
        """
        rounding = currency.rounding
        return {
            column: to_text(sum(to_units(row[column], rounding) for row in rows), rounding)
            for column in columns
        }


class ReportMilestoneBillingApplication(models.AbstractModel):
    """What an application for payment prints; every figure comes from the statement of the contract."""

    _name = "report.milestone_billing.report_application"
    _inherit = "milestone.billing.paper.mixin"
    _description = "Application for Payment"

    @api.model
    def _get_report_values(self, docids, data=None):
        """Override of `base` to give the template the position as of each milestone."""
        lines = self.env["milestone.billing.line"].browse(docids)
        self._check_may_print(lines)
        self._check_may_print(lines.schedule_id)
        return {
            "docs": lines,
            "applications": [self._prepare_application(line.schedule_id, line) for line in lines],
        }

    @api.model
    def _prepare_application(self, schedule, line, lang=None, is_now=False):
        """Give the values of one application, in the language of the customer.

        :param line: the milestone that asks for payment; none for the last document of the contract.
        :param str lang: another language, for other readers.
        :param bool is_now: show the contract as it stands now, not as it was at the last document.
        :rtype: dict
        """
        schedule.check_access("read")
        lang = lang or schedule.sudo().partner_id.lang or self.env.lang
        schedule = schedule.with_context(lang=lang)
        line = line.with_context(lang=lang)
        standing = schedule.sudo()._get_standing(line.sudo(), is_now)
        rows = schedule.sudo()._prepare_value_rows(standing)
        number, move = self._get_application_document(standing)
        stage = line.sudo() or move.milestone_line_id
        return {
            "doc": (line or schedule).sudo(),
            "schedule": schedule.sudo(),
            "line": stage,
            "lang": lang,
            "number": number,
            "move": move,
            "before": stage.opening_ids.filtered("is_booked") if not move else stage.opening_ids.browse(),
            "date": move.invoice_date or schedule.company_id._get_milestone_today(),
            "currency": schedule.sudo().currency_id,
            "rows": rows,
            "totals": self.with_context(lang=lang)._prepare_totals(rows, schedule.sudo().currency_id),
            "statement": self.with_context(lang=lang)._prepare_summary(
                schedule.sudo()._prepare_statement(standing)
            ),
            "approval": stage._get_approval_text() if stage else "",
        }

    @api.model
    def _get_application_document(self, standing):
        """Give the number of the application, and its document when there is one."""
        key = standing.billings[standing.place].key if standing.place >= 0 else None
        is_move = key is not None and key._name == "account.move"
        return standing.place + 1, key if is_move else self.env["account.move"].sudo()

    @api.model
    def _prepare_totals(self, rows, currency):
        totals = self._sum_columns(rows, VALUE_COLUMNS, currency)
        scheduled = to_units(totals["scheduled_value"], currency.rounding)
        completed = to_units(totals["completed_to_date"], currency.rounding)
        totals["percent"] = f"{100 * completed / scheduled if scheduled else 0.0:.2f}"
        return totals

    @api.model
    def _prepare_summary(self, amounts):
        labels = {
            "contract_sum_original": self.env._("Original contract sum"),
            "change_orders": self.env._("Net change by change orders"),
            "contract_sum": self.env._("Contract sum to date (1 + 2)"),
            "completed_to_date": self.env._("Total completed to date"),
            "retainage": self.env._("Retainage"),
            "earned_less_retainage": self.env._("Total earned less retainage (4 − 5)"),
            "previously_billed": self.env._("Less previous applications for payment"),
            "current_due": self.env._("Current payment due (6 − 7)"),
            "balance_to_finish": self.env._("Balance to finish, including retainage (3 − 6)"),
        }
        return [
            {"number": number, "key": key, "label": labels[key], "amount": amounts[key]}
            for number, key in enumerate(statement.LINES, start=1)
        ]


class ReportMilestoneBillingApplicationSchedule(models.AbstractModel):
    """The application for payment of the last document of a contract."""

    _name = "report.milestone_billing.report_application_schedule"
    _inherit = "report.milestone_billing.report_application"
    _description = "Application for Payment of a Schedule"

    @api.model
    def _get_report_values(self, docids, data=None):
        """Override of `base` to give the template the position as of the last document."""
        schedules = self.env["milestone.billing.schedule"].browse(docids)
        self._check_may_print(schedules)
        no_line = self.env["milestone.billing.line"]
        return {
            "docs": schedules,
            "applications": [self._prepare_application(schedule, no_line) for schedule in schedules],
        }
