"""Hours of a retainer from time sheets: they count where the module of time sheets is installed."""

from decimal import Decimal

from odoo import models


class AccountAnalyticLine(models.Model):
    _inherit = "account.analytic.line"

    def _get_milestone_hours(self):
        """Give the hours of a time sheet entry, whichever unit the company books time in.

        :rtype: float
        """
        self.ensure_one()
        hour = self.env.ref("uom.product_uom_hour")
        unit = self.product_uom_id
        if not unit or unit == hour or not unit._has_common_reference(hour):
            return self.unit_amount
        return unit._compute_quantity(self.unit_amount, hour, round=False)


class MilestoneBillingRetainer(models.Model):
    _inherit = "milestone.billing.retainer"

    def _get_timesheets(self, date_from, date_to=None):
        """Give the time sheet entries on the retainer's project, where time sheets are installed.

        :rtype: account.analytic.line
        """
        Entry = self.env["account.analytic.line"].sudo()
        if "project_id" not in Entry._fields or not self.project_id:
            return Entry
        domain = [("project_id", "=", self.project_id.id), ("date", ">=", date_from)]
        if date_to:
            domain.append(("date", "<=", date_to))
        return Entry.search(domain, order="date desc, id desc")

    def _get_timesheet_hours(self, date_from, date_to=None):
        """Add up the hours on the retainer's project between two days, unit by unit in one statement.

        :rtype: Decimal
        """
        Entry = self.env["account.analytic.line"].sudo()
        if "project_id" not in Entry._fields or not self.project_id:
            return Decimal(0)
        domain = [("project_id", "=", self.project_id.id), ("date", ">=", date_from)]
        if date_to:
            domain.append(("date", "<=", date_to))
        hour, total = self.env.ref("uom.product_uom_hour"), Decimal(0)
        for unit, amount in Entry._read_group(domain, ["product_uom_id"], ["unit_amount:sum"]):
            hours = amount or 0.0
            if unit and unit != hour and unit._has_common_reference(hour):
                hours = unit._compute_quantity(hours, hour, round=False)
            total += Decimal(str(round(hours, 4)))
        return total
