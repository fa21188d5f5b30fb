"""The contract position on a day, by the same engine as every other statement."""

from odoo import models

from ..tools import statement


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def _get_statement_units(self, day):
        """Compute the position from the documents that were issued up to a day.

        :param datetime.date day: last day that counts.
        :return: units by the names of `tools.statement.LINES`.
        :rtype: dict[str, int]
        """
        self.ensure_one()
        moves = self._get_documents().filtered(
            lambda move: move.state == "posted" and (move.invoice_date or move.date) <= day
        )
        billings = [self._prepare_billing(move) for move in moves]
        original, contract = self._get_contract_units()
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
