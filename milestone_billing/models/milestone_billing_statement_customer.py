"""What a customer owes by milestone: billed, retained, paid and open, from the documents of the statement."""

from odoo import models

from ..tools.money import to_text, to_units

ACCOUNT_COLUMNS = ("billed", "retained", "paid", "balance")


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def _get_account_rows(self):
        """List each milestone with its posted documents, for the customer's statement of account.

        :return: rows with `line` (milestone), `move` (document, empty when it is not billed here), `opening` (the
            invoice from before, if it is one), and as decimal text with tax `billed`, `retained`, `paid` and `balance`
            (empty when it is not billed yet).
        :rtype: list[dict]
        """
        self.ensure_one()
        schedule = self.sudo()
        moves, openings = schedule._get_documents(), schedule._get_openings()
        documents = [record for record in schedule._get_billing_records() if record._is_issued()]
        rows = []
        for line in schedule.line_ids.sorted(lambda line: (line.sequence, line.id)):
            own = [record for record in documents if record._get_billed_line() == line]
            rows += [
                {
                    "line": line,
                    "move": moves & record if record._name == moves._name else moves.browse(),
                    "opening": openings & record if record._name == openings._name else openings.browse(),
                    **record._prepare_account_amounts(),
                }
                for record in own
            ]
            if not own and line.state != "cancelled":
                none = {"move": moves.browse(), "opening": openings.browse()}
                rows.append({"line": line, **none, **dict.fromkeys(ACCOUNT_COLUMNS)})
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
