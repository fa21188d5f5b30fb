"""Cash rounding on documents of milestones: of what they come to with their retainage, and never of a tax."""

from odoo import models
from odoo.exceptions import UserError


class AccountCashRounding(models.Model):
    _inherit = "account.cash.rounding"

    def compute_difference(self, currency, amount):
        """Override of `account`: see `account.move._recompute_cash_rounding_lines`."""
        given_back = self.env.context.get("milestone_given_back", 0.0)
        return super().compute_difference(currency, amount + given_back)


class AccountMove(models.Model):
    _inherit = "account.move"

    def _recompute_cash_rounding_lines(self):
        """Override of `account`, which rounds what does not stand on receivables: here retainage lines count as well."""
        given_back = sum(self._get_retainage_items().mapped("amount_currency"))
        move = self.with_context(milestone_given_back=given_back) if given_back else self
        return super(AccountMove, move)._recompute_cash_rounding_lines()

    def _check_taxes_not_rounded(self):
        """Refuse cash rounding that changes a tax: the invoices of an order bill its taxes to the last unit.

        :raise UserError: naming the rounding and what to do.
        """
        if self.line_ids.filtered(lambda item: item.display_type == "rounding" and item.tax_line_id):
            milestone = self.milestone_line_id or self.reversed_entry_id.milestone_line_id
            raise UserError(
                self.env._(
                    "Cash rounding “%(rounding)s” changes the tax of “%(milestone)s”, and its order would be billed with "
                    "another tax. Choose a rounding that adds a line of its own, or none.",
                    rounding=self.invoice_cash_rounding_id.name,
                    milestone=milestone.sudo().name,
                )
            )
