"""The statement of a contract: the one engine behind invoice, portal, workbook and certificate."""

from dataclasses import dataclass

from odoo import api, models
from odoo.exceptions import UserError

from ..tools import statement
from ..tools.money import to_text, to_units


@dataclass(frozen=True)
class Standing:
    """What a statement is made of: the contract at one moment by order line, and the documents up to that moment."""

    original: int
    scheduled: dict
    billings: list
    place: int

    def get_head(self):
        """Give what the nine lines are computed from; the contract sum is that of its lines.

        :rtype: tuple
        """
        return self.original, sum(self.scheduled.values()), self.billings, self.place


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def get_statement(self, as_of_line=None):
        """Give the contract position as of a milestone, without tax.

        As of a milestone that is billed, everything is as it was when the document that bills it now was made: the
        contract sum with the changes of the order up to then, and the documents up to then, drafts included. What
        comes later (changes, credit notes, releases, further milestones) is in later statements only; a milestone
        that is credited and billed again has the statement of its new document. A document that is deleted or
        cancelled was never billed, so it is in no statement. A milestone that is not billed yet is shown as if it
        was billed now. Without a milestone the position is that of now: the contract as it stands, and all documents.

        :param as_of_line: milestone, or its id.
        :return: decimal text in the currency of the order by `contract_sum_original`, `change_orders`,
            `contract_sum`, `completed_to_date`, `retainage`, `earned_less_retainage`, `previously_billed`,
            `current_due` and `balance_to_finish`.
        :rtype: dict[str, str]
        """
        self.ensure_one()
        self.check_access("read")
        schedule = self.sudo()
        line = schedule._browse_as_of_line(as_of_line)
        return schedule._prepare_statement(schedule._get_standing(line, is_now=not line))

    def _get_standing(self, as_of_line, is_now=False):
        """Gather the contract and its documents as of a milestone, or as of the last document.

        :param as_of_line: milestone whose document the statement is taken as of, or none.
        :param bool is_now: take the contract as it stands, whatever it was at that document.
        :rtype: Standing
        """
        return self._make_standing(*self._get_billings(as_of_line), is_now=is_now)

    def _make_standing(self, billings, place, is_now=False):
        record = billings[place].key if place >= 0 and not is_now else None
        position = self._get_position_at(record)
        if position:
            original = to_units(position.original, self.currency_id.rounding)
            return Standing(original, self._get_scheduled_at(position, billings, place), billings, place)
        scheduled = self._get_scheduled_units()
        by_id = {key: scheduled[key] for key in sorted(scheduled, key=lambda key: key.id)}
        return Standing(self._get_original_units(scheduled), by_id, billings, place)

    def _prepare_statement(self, standing):
        rounding = self.currency_id.rounding
        units = statement.statement(*standing.get_head())
        return {name: to_text(count, rounding) for name, count in units.items()}

    def _get_document_statement(self, move):
        """Give the contract position as of one document, also when its milestone was credited and billed again since.

        :param move: a document of this schedule.
        :return: see `get_statement`.
        :rtype: dict[str, str]
        """
        records = self._get_billing_records()
        if move not in records:
            return self.get_statement(move.milestone_line_id)
        billings = [self._prepare_billing(record) for record in records]
        return self._prepare_statement(self._make_standing(billings, records.index(move)))

    def _get_schedule_of_values(self, as_of_line=None):
        """Give the position of each order line as of a milestone, without tax; its totals are the statement's.

        An advance that is not recovered yet has a row of its own.

        :param as_of_line: milestone, or its id; the position of now without.
        :return: rows with `order_line_id` (id), `name`, `scheduled_value`, `previous`, `this_period`,
            `completed_to_date`, `percent`, `balance` and `retainage`, amounts as decimal text.
        :rtype: list[dict]
        """
        self.ensure_one()
        schedule = self.sudo()
        line = schedule._browse_as_of_line(as_of_line)
        return schedule._prepare_value_rows(schedule._get_standing(line, is_now=not line))

    def _prepare_value_rows(self, standing):
        """Give the rows of the schedule of values in the order of the order, advances last.

        :param Standing standing: see `_get_standing`.
        :rtype: list[dict]
        """
        rows = statement.schedule_of_values(standing.scheduled, standing.billings, standing.place)
        known = self.order_id.order_line
        keys = sorted(
            rows,
            key=lambda key: (key not in standing.scheduled, key not in known, key in known and key.sequence),
        )
        return [self._prepare_value_row(key, rows[key], key in known) for key in keys]

    def _prepare_value_row(self, order_line, units, is_known):
        rounding = self.currency_id.rounding
        texts = {name: to_text(count, rounding) for name, count in units.items()}
        percent = 100 * units["completed"] / units["scheduled"] if units["scheduled"] else 0.0
        return {
            "order_line_id": order_line.id,
            "name": order_line.name if is_known else self.env._("Line that was removed from the order"),
            "scheduled_value": texts["scheduled"],
            "previous": texts["previous"],
            "this_period": texts["this_period"],
            "completed_to_date": texts["completed"],
            "percent": f"{percent:.2f}",
            "balance": texts["balance"],
            "retainage": texts["retainage"],
        }

    def _browse_as_of_line(self, as_of_line):
        Line = self.env["milestone.billing.line"]
        line = as_of_line or Line
        if isinstance(line, int) and not isinstance(line, bool):
            line = Line.browse(line)
        if not isinstance(line, type(Line)):
            raise UserError(self.env._("“%s” is no milestone. Send its id.", as_of_line))
        return line.sudo() & self.order_id.milestone_line_ids

    def _get_scheduled_units(self):
        """Give the net units of each order line of the contract as it stands.

        :rtype: dict
        """
        columns = self._get_order_columns(self.order_id)
        return {line: units["net"] for line, units in columns.items()}

    def _get_original_units(self, scheduled):
        """Give the net units of the contract as confirmed; a quotation is all original.

        :param dict scheduled: the contract as it stands, by order line.
        :rtype: int
        """
        if not self.is_frozen:
            return sum(scheduled.values())
        return to_units(self.amount_frozen, self.currency_id.rounding)

    # === DOCUMENTS ===

    def _get_billings(self, as_of_line):
        """Gather what each document bills, in the order in which the documents were made.

        :param as_of_line: milestone whose document the statement is taken as of, or none.
        :return: the billings, and the index of that document (-1 when there is none).
        :rtype: tuple[list, int]
        """
        records = self._get_billing_records()
        billings = [self._prepare_billing(record) for record in records]
        if not as_of_line:
            return billings, len(billings) - 1
        current = self._find_current_record(records, as_of_line)
        if current is not None:
            return billings, records.index(current)
        billings.append(self._prepare_planned_billing(as_of_line))
        return billings, len(billings) - 1

    def _get_billing_records(self):
        """Give the documents and the invoices from before in the order in which they came.

        :rtype: list
        """
        records = (
            [*self._get_openings(), *self._get_documents()] if self.amount_before else self._get_documents()
        )
        return sorted(records, key=lambda record: record._get_billing_place())

    @api.model
    def _find_current_record(self, records, line):
        """Find the document of a milestone that its statement is taken as of; none while its rest is not billed."""
        own = [record for record in records if record._get_billed_line() == line]
        moves = [record for record in own if record._name == "account.move"]
        claims = [move for move in moves if move.milestone_claim]
        found = claims or moves or (own if line.invoice_status == "before" else [])
        return found[-1] if found else None

    def _get_documents(self):
        """Give the invoices, credit notes and releases that count, drafts included, oldest first.

        :rtype: account.move
        """
        lines = self.order_id.milestone_line_ids
        releases = lines.filtered(lambda line: line.kind == "retainage_release").invoice_ids
        moves = lines.allocation_ids.move_id | releases.filtered(
            lambda move: move.state != "cancel" and move.milestone_document
        )
        return moves.sorted(lambda move: (move.milestone_step, move.id))

    def _prepare_billing(self, move):
        if move._name == "milestone.billing.opening":
            return move._prepare_billing()
        rounding = self.currency_id.rounding
        parts = {}
        for alloc in move.milestone_allocation_ids:
            key = alloc.order_line_id
            parts[key] = parts.get(key, 0) + to_units(alloc.amount_untaxed, rounding)
        taxes = to_units(sum(move.milestone_allocation_ids.mapped("amount_tax")), rounding)
        return statement.Billing(
            key=move,
            parts=parts,
            retained=to_units(move.amount_retained, rounding),
            total=None if self.retainage_base == "net" else sum(parts.values()) + taxes,
        )

    def _prepare_planned_billing(self, line):
        rounding = self.currency_id.rounding
        planned = line.allocation_ids._filter_planned()
        parts = {alloc.order_line_id: to_units(alloc.amount_untaxed, rounding) for alloc in planned}
        if not planned:
            by_order_line = self._get_plan(self.order_id)[0].get(line, {})
            parts = {key: units["net"] for key, units in by_order_line.items()}
        return statement.Billing(key=line, parts=parts, total=None)

    # === EARLIER INVOICES ===

    def _get_earlier_invoices(self, line, document=None):
        """List the documents before that of a milestone, for the final invoice; invoices from before come with them.

        :param line: the milestone; when it has no document yet, all documents count as earlier.
        :param document: one of its documents; the one that bills it now without.
        :return: rows with `move_id` (False for one from before), `line_id`, `number`, `date`, `label`, and as decimal
            text `net`, `tax`, `total` and `paid`; credit notes are negative.
        :rtype: list[dict]
        """
        self.ensure_one()
        schedule = self.sudo()
        records = [record for record in schedule._get_billing_records() if record._is_issued()]
        own = document or line.sudo()._get_live_invoice()
        if own:
            place = own._get_billing_place()
            records = [record for record in records if record._get_billing_place() < place]
        return [record._prepare_earlier_invoice_row() for record in records]


class AccountMove(models.Model):
    _inherit = "account.move"

    def _get_billing_place(self):
        """Give the place of this document among those of its schedule, for sorting."""
        return self.milestone_step, 1, self.id

    def _get_billed_line(self):
        return self.milestone_line_id

    def _is_issued(self):
        return self.state == "posted"
