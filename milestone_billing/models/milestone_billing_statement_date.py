"""The contract position on a day, by the same engine as every other statement."""

from odoo import fields, models

from ..tools import contract_history, statement
from ..tools.money import to_units
from .milestone_billing_statement import Standing


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    # === POSITION ===

    def _get_records_until(self, day):
        """Give the documents that were issued up to a day, invoices from before among them.

        :rtype: list
        """
        records = self._get_billing_records()
        return [record for record in records if record._is_issued() and record._get_issue_date() <= day]

    def _get_statement_units(self, day):
        """Compute the position on a day: the contract of that day, and the documents issued up to it.

        Change orders that were approved later do not count. Before the order was confirmed there is nothing,
        unless a document is dated back.

        :param datetime.date day: last day that counts.
        :return: units by the names of `tools.statement.LINES`.
        :rtype: dict[str, int]
        """
        self.ensure_one()
        billings = [self._prepare_billing(record) for record in self._get_records_until(day)]
        return statement.statement(*self._get_standing_on(day, billings).get_head())

    def _get_standing_on(self, day, billings):
        place, history = len(billings) - 1, self.position_history
        if not history or not self.is_frozen:
            scheduled = self._get_scheduled_units()
            return Standing(self._get_original_units(scheduled), scheduled, billings, place)
        known = contract_history.until_day(history, fields.Date.to_string(day))
        if not known and not billings:
            return Standing(0, {}, billings, place)
        position = contract_history.fold(known or history[:1])
        original = to_units(position.original, self.currency_id.rounding)
        return Standing(original, self._get_scheduled_at(position, billings, place), billings, place)

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
