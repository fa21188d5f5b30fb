from odoo import models


class MilestoneBillingApprovalLink(models.Model):
    _name = "milestone.billing.approval.link"
    _inherit = ["milestone.billing.approval.link", "milestone.billing.renewal"]

    def _can_be_renewed(self):
        """Override: not one that was withdrawn, and not for a submission that was."""
        return not self.revoked_on and self.approval_id.state != "cancelled"

    def _get_renewed_approver(self):
        """Override to count all links of an approver."""
        return self.seat_id

    def _queue_renewal(self):
        """Override to queue a link beside the old one."""
        self._queue(self.seat_id, purpose="resend")
