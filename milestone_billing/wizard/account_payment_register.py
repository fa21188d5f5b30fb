from odoo import api, fields, models


class AccountPaymentRegister(models.TransientModel):
    _inherit = "account.payment.register"

    @api.model
    def default_get(self, fields_list):
        """Override of `account`: what is held back is not asked for together with what is due."""
        values = super().default_get(fields_list)
        commands = values.get("line_ids") or []
        ids = [line_id for command in commands if command[0] == fields.Command.SET for line_id in command[2]]
        lines = self.env["account.move.line"].browse(ids)
        trade = lines.filtered(lambda line: not line.milestone_retainage)
        if trade and trade != lines:
            values["line_ids"] = [fields.Command.set(trade.ids)]
        if not trade and (held := lines.filtered(lambda line: line._is_held_apart())):
            held._raise_pays_retainage()
        return values
