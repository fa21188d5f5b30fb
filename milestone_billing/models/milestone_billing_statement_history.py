"""What a contract came to when each of its documents was made: noted at every change, so that no statement moves."""

from odoo import fields, models

from ..tools import contract_history, statement
from ..tools.money import amount_text, to_text, to_units


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    position_history = fields.Json(
        string="History of the Contract",
        readonly=True,
        copy=False,
        help="Without tax, by billing step and day from which it holds: the original sum, and what changed of the "
        "order lines and of the planned milestones.",
    )

    # === NOTING ===

    def _replan(self):
        """Extend to note how contract and plan stand afterwards, whatever was changed and by whichever door."""
        created = super()._replan()
        self.filtered("is_frozen")._note_position()
        return created

    def _unfreeze(self):
        """Extend: what documents have billed was agreed, also when the order is agreed anew."""
        kept = {schedule: schedule.position_history for schedule in self if schedule._get_billing_records()}
        result = super()._unfreeze()
        for schedule, history in kept.items():
            schedule.position_history = history
        return result

    def _note_position(self):
        """Keep what the contract comes to from this billing step on, when it is another position than before.

        The caller has locked the schedule, so that documents made before have an earlier step, and later ones a later.
        """
        for schedule in self.sudo():
            old = schedule.position_history or []
            day = fields.Date.to_string(schedule.company_id._get_milestone_today())
            position = schedule._prepare_contract_position()
            new = contract_history.add(old, day, schedule.lock_version, position)
            if new is not old:
                schedule.position_history = new
                schedule._tell_moved(contract_history.fold(old), position)

    def _prepare_contract_position(self):
        """Give the contract as it stands: order lines by the tax engine, milestones by what is planned of them.

        :rtype: contract_history.Position
        """
        rounding = self.currency_id.rounding
        columns = self._get_order_columns(self.order_id)
        lines = self.order_id.milestone_line_ids.filtered(lambda line: line._is_planned_on_order())
        return contract_history.Position(
            original=amount_text(self.amount_frozen, rounding),
            values={str(line.id): to_text(units["net"], rounding) for line, units in columns.items()},
            plan={
                str(line.id): amount_text(
                    sum(line.allocation_ids._filter_planned().mapped("amount_untaxed")), rounding
                )
                for line in lines
            },
        )

    # === READING ===

    def _get_position_at(self, record):
        """Give the contract as it stood when a document was made.

        :param record: an invoice, credit note or release, or one from before; anything else has no such moment.
        :return: None where it was not noted.
        :rtype: contract_history.Position | None
        """
        if not record or record._name == "milestone.billing.line" or not self.position_history:
            return None
        step = record._get_billing_place()[0]
        return contract_history.fold(contract_history.until_step(self.position_history, step))

    def _get_scheduled_at(self, position, billings, place):
        """Give the net units of each order line of the contract at a position, by id.

        :param contract_history.Position position: the contract.
        :param list billings: documents in order.
        :param int place: index of the last one that counts.
        :rtype: dict
        """
        rounding, Line = self.currency_id.rounding, self.env["sale.order.line"]
        values = {Line.browse(int(key)): text for key, text in position.values.items()}
        keys = sorted(values, key=lambda line: line.id)
        if position.is_ended:
            return statement.completed_by_key(keys, billings, place)
        return {key: to_units(values[key], rounding) for key in keys}

    def _get_billed_until(self, move):
        """Give what documents have billed of each milestone, up to and with one of them.

        :param move: a document of this schedule.
        :return: net units by milestone, credit notes deducted.
        :rtype: dict
        """
        rounding, place, billed = self.currency_id.rounding, move._get_billing_place(), {}
        for alloc in self.order_id.milestone_line_ids._get_billed_allocations():
            if (alloc.move_id or alloc.opening_id)._get_billing_place() <= place:
                units = to_units(alloc.amount_untaxed, rounding)
                billed[alloc.line_id] = billed.get(alloc.line_id, 0) + units
        return billed
