"""Buttons about what the client was asked."""

from odoo import models
from odoo.exceptions import UserError


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def action_resend(self):
        """Send new personal links for the submissions that wait for the client.

        :raise UserError: if one of these milestones waits for nobody.
        """
        self._check_may_complete()
        for line in self:
            if line.state != "submitted":
                raise UserError(
                    self.env._("“%s” is not with the client, so there is nothing to send again.", line.name)
                )
        self.approval_ids.filtered(lambda approval: approval.state == "requested").action_resend()
        return True
