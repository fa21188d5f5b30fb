"""The contract position on a day, by the same engine as every other statement."""

from odoo import fields, models

from ..tools import statement
from ..tools.money import to_text, to_units


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    contract_history = fields.Json(
        readonly=True,
        copy=False,
        help="Contract sums without tax by the day from which they hold: the first is that of the confirmed order.",
    )

    # === HISTORY ===

    def _on_order_changed(self):
        """Follow a change of the order: spread the open milestones again and note the new contract sum."""
        self._replan()
        self.filtered("is_frozen")._note_contract_sum()

    def _note_contract_sum(self):
        """Keep the contract sum with its day when it is another one than before."""
        for schedule in self:
            history = list(schedule.contract_history or ())
            day = fields.Date.to_string(schedule.company_id._get_milestone_today())
            rounding = schedule.currency_id.rounding
            total = to_text(schedule._get_contract_units()[1], rounding)
            if history and history[-1][1] == total:
                continue
            if history and history[-1][0] == day and len(history) > 1:
                history.pop()
            schedule.contract_history = [*history, [day, total]]

    def _get_contract_units_on(self, day, is_billed=False):
        """Give the net units of the contract as confirmed and as it stood on a day.

        Change orders that were approved later do not count. Before the order was confirmed there is nothing,
        unless a document is dated back.

        :param datetime.date day: last day that counts.
        :param bool is_billed: documents were issued up to that day.
        :rtype: tuple[int, int]
        """
        original, contract = self._get_contract_units()
        history = self.contract_history
        if not history:
            return original, contract
        rounding, day = self.currency_id.rounding, fields.Date.to_string(day)
        known = [total for since, total in history if since <= day]
        if not known and not is_billed:
            return 0, 0
        total = to_units(known[-1] if known else history[0][1], rounding)
        return (total if self._is_open_ended() else original), total

    # === POSITION ===

    def _get_records_until(self, day):
        """Give the documents that were issued up to a day, invoices from before among them.

        :rtype: list
        """
        records = self._get_billing_records()
        return [record for record in records if record._is_issued() and record._get_issue_date() <= day]

    def _get_statement_units(self, day):
        """Compute the position on a day: the contract sum of that day, and the documents issued up to it.

        :param datetime.date day: last day that counts.
        :return: units by the names of `tools.statement.LINES`.
        :rtype: dict[str, int]
        """
        self.ensure_one()
        billings = [self._prepare_billing(record) for record in self._get_records_until(day)]
        original, contract = self._get_contract_units_on(day, bool(billings))
        return statement.statement(original, contract, billings, len(billings) - 1)

    def action_export_xlsx(self):
        """Download these schedules as a workbook."""
        self.check_access("read")
        ids = ",".join(str(schedule_id) for schedule_id in self.ids)
        return {
            "type": "ir.actions.act_url",
            "url": f"/milestone_billing/xlsx/schedule?schedules={ids}",
            "target": "download",
        }


class AccountMove(models.Model):
    _inherit = "account.move"

    def _get_issue_date(self):
        return self.invoice_date or self.date
