from odoo import models
from odoo.exceptions import UserError


class AccountMoveReversal(models.TransientModel):
    _inherit = "account.move.reversal"

    def reverse_moves(self, is_modify=False):
        """Override of `account`: a copy to be corrected could not be posted, the milestone makes its own new invoice.

        :raise UserError: for documents of milestones that are to be replaced by a copy.
        """
        if is_modify and (documents := self.move_ids.filtered("milestone_document")):
            raise UserError(
                self.env._(
                    "%s bills a milestone. Use “Reverse”, then complete the milestone again: it drafts the new invoice.",
                    documents[0].display_name,
                )
            )
        return super().reverse_moves(is_modify)
