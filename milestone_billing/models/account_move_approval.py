"""An invoice that the client has to approve is issued and paid only as it was approved."""

import logging

from odoo import SUPERUSER_ID, api, models
from odoo.exceptions import UserError
from psycopg2.errors import LockNotAvailable

_logger = logging.getLogger(__name__)


class AccountMove(models.Model):
    _inherit = "account.move"

    def _post(self, soft=True):
        """Override of `account` to issue a milestone invoice only as the client approved it."""
        self._read_ahead_to_post()
        for move in self.filtered(lambda move: move.milestone_document == "stage"):
            move._check_milestone_approved()
        return super()._post(soft)

    def _check_milestone_approved(self):
        self.ensure_one()
        line = self.milestone_line_id.sudo()
        approval = line.approval_ids.filtered(lambda item: item.move_id == self).sorted("revision")[-1:]
        if not approval:
            return
        if approval.state not in ("approved", "deemed_accepted") or line.state != "approved":
            raise UserError(
                self.env._(
                    "The client has not approved “%s” yet. Wait for the answer, or record a phone or paper approval "
                    "on the milestone.",
                    line.name,
                )
            )
        # Names of taxes and units are translated: compare in the language that was submitted.
        if self.with_context(lang=approval.lang)._get_content_sha256() != approval.content_sha256:
            approval._log_drift(self)
            raise UserError(
                self.env._(
                    "This invoice is not what the client approved for “%s”. Undo the change, or submit the milestone "
                    "again so that the client approves the new version.",
                    line.name,
                )
            )

    # === PAYMENT ===

    def _get_milestone_payment_refusal(self):
        """Tell why a client may not pay this document now, or False; documents without a milestone are none of ours.

        :rtype: str | bool
        """
        self.ensure_one()
        line = self.sudo().milestone_line_id
        if not line or self.milestone_document not in ("stage", "release"):
            return False
        if self.state != "posted":
            return self.env._("This invoice is not issued yet, so it cannot be paid.")
        if line._get_current_approval().state == "contested":
            return self.env._("The approval of this invoice is being clarified. Please do not pay it yet.")
        if self._is_only_retainage_open():
            return self.env._("Nothing is due now: what you hold back is asked for when it is released.")
        return False

    def _is_only_retainage_open(self):
        """Tell whether everything is paid of this document but what the client holds back.

        :rtype: bool
        """
        is_open = not self.currency_id.is_zero(self.amount_residual)
        return is_open and bool(self._get_term_retainage()) and self._is_trade_settled()

    def _has_to_be_paid(self):
        """Override of `account_payment`: the portal offers no payment of what may not be paid."""
        return super()._has_to_be_paid() and not self._get_milestone_payment_refusal()


class MilestoneBillingApproval(models.Model):
    _inherit = "milestone.billing.approval"

    def _log_drift(self, move):
        """Record in a transaction of its own that posting was refused: the refusal rolls this one back.

        The wait for the chain is bounded: when this transaction has written on it already, it holds the lock, and
        waiting for ourselves would never end.
        """
        self.ensure_one()
        uuid, ref = self.uuid, move.name or ""
        try:
            with self.env.registry.cursor() as cr:
                cr.execute("SET LOCAL lock_timeout = '2s'")
                env = api.Environment(cr, SUPERUSER_ID, {})
                approval = env["milestone.billing.approval"].search([("uuid", "=", uuid)])
                if approval:
                    approval._log(
                        "invoice.drift", data={"invoice_ref": ref, "fields": ["invoice"]}, actor_kind="system"
                    )
        except LockNotAvailable:
            _logger.warning("the drift of %s could not be recorded: its chain is being written", ref)
