from odoo import api, models


class AccountAnalyticLine(models.Model):
    _inherit = "account.analytic.line"

    # === PAYMENT GATE ===

    @api.model_create_multi
    def create(self, vals_list):
        """Extend time sheets: no time is booked on a milestone that is not open yet."""
        entries = super().create(vals_list)
        entries._check_milestone_gate()
        return entries

    def write(self, vals):
        """Extend time sheets: time is not raised or moved to a milestone that is not open; less is always fine."""
        before = {entry.id: entry.unit_amount for entry in self} if "unit_amount" in vals else {}
        result = super().write(vals)
        moved = "task_id" in vals
        self.filtered(
            lambda entry: moved or entry.unit_amount > before.get(entry.id, entry.unit_amount)
        )._check_milestone_gate()
        return result

    def _check_milestone_gate(self):
        if self.env.su or "task_id" not in self._fields:
            return
        self.filtered(lambda entry: entry.unit_amount > 0).task_id._check_time_is_open()
