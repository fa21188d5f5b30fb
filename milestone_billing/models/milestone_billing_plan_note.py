"""Open milestones whose amount has moved are named on their schedule, with the old figure, the new one and the reason."""

from markupsafe import Markup
from odoo import api, models

from ..tools import contract_history

MOVED = "milestone_billing.moved"


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def _tell_moved(self, before, after):
        """Remember milestones that are not billed and whose planned amount has moved, for one note on the schedule.

        Agreed shares stay where the remainder, or the last milestone, can take the difference; else all shares give.
        Either way it is told. A schedule may be planned again several times: the note compares the first figure with
        the last, and says nothing where they are the same.

        :param contract_history.Position before: as it was noted the last time.
        :param contract_history.Position after: as it is.
        """
        self.ensure_one()
        moved = {key for key, text in after.plan.items() if before.plan.get(key, text) != text}
        lines = self.line_ids.filtered(
            lambda line: str(line.id) in moved and not line._get_billed_allocations()
        )
        if not lines:
            return
        precommit = self.env.cr.precommit
        if MOVED not in precommit.data:
            precommit.add(self.browse()._post_moved)
        entry = precommit.data.setdefault(MOVED, {}).setdefault(self.id, {"old": {}, "why": []})
        for line in lines:
            entry["old"].setdefault(line.id, before.plan[str(line.id)])
        self._tell_order_changed(before, after)

    def _tell_order_changed(self, before, after):
        old, new = (sum(map(float, position.values.values())) for position in (before, after))
        if self.currency_id.compare_amounts(old, new):
            self._tell_why(
                self.env._(
                    "The order comes to %(new)s, before to %(old)s.",
                    new=self._format(new),
                    old=self._format(old),
                )
            )

    def _tell_why(self, reason):
        """Give the reason why milestones have moved just now; where none has, nothing is told.

        :param str reason: a sentence.
        """
        moved = self.env.cr.precommit.data.get(MOVED, {})
        for schedule in self:
            reasons = moved[schedule.id]["why"] if schedule.id in moved else [reason]
            if reason not in reasons:
                reasons.append(reason)

    @api.model
    def _post_moved(self):
        """Write one note for each schedule whose milestones have moved, before the transaction ends."""
        moved = self.env.cr.precommit.data.pop(MOVED, {})
        schedules, bodies = self.sudo().browse(moved).exists(), {}
        for schedule in schedules:
            if body := schedule._prepare_moved_note(**moved[schedule.id]):
                bodies[schedule.id] = body
        schedules.filtered(lambda schedule: schedule.id in bodies)._message_log_batch(bodies=bodies)

    def _prepare_moved_note(self, old, why):
        """Give the text of the note, empty when every milestone is back where it was.

        :param dict old: decimal text by id of a milestone.
        :param list why: sentences.
        """
        plan = contract_history.fold(self.position_history or []).plan
        items = [
            Markup("<li>%s: %s → %s</li>")
            % (line.display_name, self._format(float(old[line.id])), self._format(float(plan[str(line.id)])))
            for line in self.line_ids.filtered(lambda line: line.id in old).sorted("sequence")
            if plan.get(str(line.id), old[line.id]) != old[line.id]
        ]
        if not items:
            return ""
        head = " ".join([*why, self.env._("Amounts of milestones that are not billed yet have moved:")])
        return Markup("<p>%s</p><ul>%s</ul>") % (head, Markup("").join(items))


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _tell_why_moved(self, get_reason):
        """Say that others have moved because of these milestones.

        :param get_reason: gives the sentence for their names.
        """
        if MOVED not in self.env.cr.precommit.data:
            return
        for schedule, lines in self.grouped("schedule_id").items():
            schedule._tell_why(get_reason(", ".join(f"“{line.name}”" for line in lines)))
