"""What the invoice of a release says about the retainage it asks for."""

from datetime import date

from odoo import models

from ..tools.money import to_text, to_units
from ..tools.retainage_sheet import Entry, release_sheet


class AccountMove(models.Model):
    _inherit = "account.move"

    def _get_retainage_sheet(self):
        """List the invoices whose retainage this release asks for, as of this document.

        :return: `rows` with `number`, `date` and `label`, and `totals`, both with the decimal text of `held`,
            `before`, `now` and `left`; empty for documents that release nothing.
        :rtype: dict
        """
        self.ensure_one()
        release = self.sudo()
        if release.milestone_document != "release" or release.move_type != "out_invoice":
            return {}
        rounding = release.currency_id.rounding
        openings = release.milestone_line_id.schedule_id._get_openings()
        entries = [Entry(opening, to_units(opening.amount_retained, rounding)) for opening in openings]
        moves = release._get_moves_to_release()
        entries += [
            Entry(
                move,
                to_units(move.amount_retained, rounding),
                move.reversed_entry_id or None,
                move._get_retainage_due(),
                move._get_released_parts(moves),
            )
            for move in moves
        ]
        rows = {move: row for move, row in release_sheet(entries).items() if row.held}
        totals = {
            name: to_text(sum(getattr(row, name) for row in rows.values()), rounding)
            for name in ("held", "before", "now", "left")
        }
        return {
            "rows": [record._prepare_sheet_row(row, rounding) for record, row in rows.items()],
            "totals": totals,
        }

    def _get_retainage_due(self):
        """Give the day on which what this document holds back is due, by which releases clear it.

        :rtype: datetime.date
        """
        items = self.line_ids.filtered(lambda item: item.milestone_retainage and item.balance > 0)
        return max((item._get_clearing_place()[0] for item in items), default=date.min)

    def _get_released_parts(self, moves):
        """Give of which documents this one holds or gives back, where it says so itself: its tax waits for it.

        :param moves: the documents of the contract up to now.
        :return: units by document, None where the oldest are taken first.
        :rtype: dict | None
        """
        if not self.milestone_retained_parts:
            return None
        known = {
            f"{move.milestone_line_id.id}-{move.milestone_step}": move
            for move in moves
            if move.milestone_document == "stage"
        }
        parts = {}
        for (document, _taxes), units in self._get_retained_parts().items():
            parts[known[document]] = parts.get(known[document], 0) + units["net"]
        return parts

    def _get_paper_payments(self):
        """Give the payments that the printed invoice names.

        Retainage that is given back is matched with what was held: that is what the document asks for, no payment
        of it.

        :return: rows as in `invoice_payments_widget`.
        :rtype: list[dict]
        """
        self.ensure_one()
        move = self.sudo()
        rows = (move.invoice_payments_widget or {}).get("content", [])
        returned = move.line_ids.filtered(
            lambda item: item.milestone_retainage and item.display_type == "product"
        )
        matches = set((returned.matched_debit_ids | returned.matched_credit_ids).ids)
        return [row for row in rows if row["partial_id"] not in matches]

    def _get_moves_to_release(self):
        """Give the posted documents of the contract up to this one, in the order of the statement.

        An invoice that is in draft once more counts: its retainage may be released, and the release names it.
        """
        place = (self.milestone_step, self.id)
        moves = self.milestone_line_id.schedule_id._get_documents() | self
        return moves.filtered(
            lambda move: move == self or (move._is_issued_once() and (move.milestone_step, move.id) < place)
        ).sorted(lambda move: (move.milestone_step, move.id))

    def _is_issued_once(self):
        is_stage = self.milestone_document == "stage"
        return self.state == "posted" or (is_stage and self.state == "draft" and self.posted_before)

    def _prepare_sheet_row(self, row, rounding):
        return {
            "number": self.name,
            "date": self.invoice_date,
            "label": self.milestone_line_id.name,
            **{name: to_text(getattr(row, name), rounding) for name in ("held", "before", "now", "left")},
        }


class MilestoneBillingOpening(models.Model):
    _inherit = "milestone.billing.opening"

    def _prepare_sheet_row(self, row, rounding):
        return {
            "number": self.reference,
            "date": self.date,
            "label": self.line_id.name,
            **{name: to_text(getattr(row, name), rounding) for name in ("held", "before", "now", "left")},
        }
