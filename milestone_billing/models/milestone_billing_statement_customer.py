"""What a customer owes by milestone: billed, retained, paid and open, from the documents of the statement."""

from odoo import models

from ..tools.money import to_text, to_units

ACCOUNT_COLUMNS = ("billed", "retained", "paid", "balance")


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def _get_account_rows(self):
        """List each milestone with its posted documents, for the customer's statement of account.

        :return: rows with `line` (milestone), `move` (document, empty when it is not billed yet), and as decimal
            text with tax `billed`, `retained`, `paid` and `balance` (empty when it is not billed yet).
        :rtype: list[dict]
        """
        self.ensure_one()
        schedule = self.sudo()
        moves = schedule._get_documents().filtered(lambda move: move.state == "posted")
        by_line = moves.grouped("milestone_line_id")
        rows = []
        for line in schedule.line_ids.sorted(lambda line: (line.sequence, line.id)):
            documents = by_line.get(line, moves.browse())
            rows += [{"line": line, "move": move, **move._prepare_account_amounts()} for move in documents]
            if not documents and line.state != "cancelled":
                rows.append({"line": line, "move": documents, **dict.fromkeys(ACCOUNT_COLUMNS)})
        return rows


class AccountMove(models.Model):
    _inherit = "account.move"

    def _prepare_account_amounts(self):
        """Give what this document bills, holds back, was paid and leaves open; credit notes are negative.

        Retainage that is given back is no new work: it stands as negative retainage, not as billed.

        :return: decimal text by `billed`, `retained`, `paid` and `balance`; billed - retained - paid = balance.
        :rtype: dict[str, str]
        """
        self.ensure_one()
        rounding, sign = self.currency_id.rounding, -self.direction_sign
        returned = self.line_ids.filtered(
            lambda item: item.milestone_retainage and item.display_type == "product"
        )
        due = self.line_ids.filtered(
            lambda item: item.display_type == "payment_term" and not item.milestone_retainage
        )
        total = to_units(sign * self.amount_total, rounding)
        units = {
            "billed": total + to_units(sum(returned.mapped("amount_currency")), rounding),
            "retained": to_units(self.amount_retained, rounding),
            "balance": to_units(sum(due.mapped("amount_residual_currency")), rounding),
        }
        units["paid"] = units["billed"] - units["retained"] - units["balance"]
        return {name: to_text(count, rounding) for name, count in units.items()}
