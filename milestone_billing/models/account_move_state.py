"""The state of a milestone's document follows its buttons: what they check is not walked around by writing it."""

from contextlib import contextmanager

from odoo import models
from odoo.exceptions import AccessError, UserError

# Kept beside the transaction, where no caller can write: a context would come along with the call.
CHANGING_STATE = "milestone_changing_state"


class AccountMove(models.Model):
    _inherit = "account.move"

    def _post(self, soft=True):
        """Override of `account`: posting writes the state."""
        with self._changing_state():
            return super()._post(soft)

    def button_draft(self):
        """Override of `account`: it writes the state; what is cancelled bills its milestone no more."""
        self._check_not_withdrawn()
        with self._changing_state():
            return super().button_draft()

    def button_cancel(self):
        """Override of `account`: it writes the state."""
        with self._changing_state():
            return super().button_cancel()

    def write(self, vals):
        """Override of `account`: nobody writes the state of documents that bill what a schedule owns."""
        if "state" in vals and not self.env.su and not self.env.cr.cache.get(CHANGING_STATE):
            self._check_state_by_button(vals["state"])
        return super().write(vals)

    @contextmanager
    def _changing_state(self):
        cache = self.env.cr.cache
        cache[CHANGING_STATE] = cache.get(CHANGING_STATE, 0) + 1
        try:
            yield
        finally:
            cache[CHANGING_STATE] -= 1

    def _check_state_by_button(self, state):
        documents = self.filtered("milestone_line_id")
        if changed := documents.filtered(lambda move: move.state != state):
            raise AccessError(
                self.env._(
                    "%s belongs to a milestone: use “Confirm”, “Reset to Draft” or “Cancel” to change its state.",
                    changed[0].display_name,
                )
            )
        if state == "posted":
            (self - documents)._check_milestone_documents()

    def _check_not_withdrawn(self):
        """Refuse to take up documents again that were cancelled: their milestones are to be billed anew.

        :raise UserError: naming the document and what to do.
        """
        for move in self.filtered(lambda move: move.state == "cancel" and move.milestone_line_id):
            if move.milestone_document in ("stage", "release"):
                raise UserError(
                    self.env._(
                        "%(invoice)s was cancelled and bills “%(milestone)s” no more. Complete the milestone again: it "
                        "gets a new invoice.",
                        invoice=move.display_name,
                        milestone=move.sudo().milestone_line_id.name,
                    )
                )


class AccountMoveLine(models.Model):
    _inherit = "account.move.line"

    def write(self, vals):
        """Override of `account`: what posted items of a milestone stand for does not change under its statement."""
        if not self.env.su and not vals.keys().isdisjoint(("milestone_retainage", "sale_line_ids")):
            self._check_meaning_kept()
        return super().write(vals)

    def _check_meaning_kept(self):
        posted = self.filtered(lambda item: item.parent_state == "posted" and item.move_id.milestone_line_id)
        if posted:
            raise AccessError(
                self.env._(
                    "%s is posted: which order line its items bill, and what is retainage, follows from its milestone.",
                    posted[0].move_id.display_name,
                )
            )
