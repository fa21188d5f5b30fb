from odoo import models

RENEWALS_PER_DAY_MAX = 3


class MilestoneBillingRenewal(models.AbstractModel):
    """A personal link whose holder may ask for a fresh one: it goes to the approver on record, and to nobody else."""

    _name = "milestone.billing.renewal"
    _description = "Personal Link That Can Be Renewed"

    def _renew(self):
        """Queue a fresh link to the same approver, a few times a day at most.

        :return: whether one is on its way.
        :rtype: bool
        """
        self.ensure_one()
        link = self.sudo()
        if not link._can_be_renewed():
            return False
        approver = link._get_renewed_approver()
        key = f"{approver._name},{approver.id}"
        if not self.env["milestone.billing.attempt"]._take(
            "link_renewed", key, RENEWALS_PER_DAY_MAX, 24 * 60
        ):
            return False
        link._queue_renewal()
        return True

    def _can_be_renewed(self):
        """Tell whether a fresh link would lead anywhere. To be overridden.

        :rtype: bool
        """
        return False

    def _get_renewed_approver(self):
        """Give the record whose renewals are counted together. To be overridden where a link has others beside it."""
        return self

    def _queue_renewal(self):
        """Queue the mail with the fresh link. To be overridden."""
