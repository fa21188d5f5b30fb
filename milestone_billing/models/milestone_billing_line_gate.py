"""The payment gate opened by hand: a manager lets work begin before the milestone before it is paid, and says why."""

from odoo import fields, models
from odoo.exceptions import AccessError, UserError


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    gate_opened_on = fields.Datetime(
        string="Opened before Payment", readonly=True, copy=False, help="When a billing manager opened it."
    )
    gate_opened_by_id = fields.Many2one("res.users", string="Opened By", readonly=True, copy=False)
    gate_reason = fields.Char(string="Why Opened", readonly=True, copy=False)

    def action_open_gate(self, reason=None):
        """Open milestones although the one before them is not paid: time can be planned, and they can be completed.

        :param str reason: why; it stays with the milestone and in its evidence.
        :raise AccessError: for anybody but billing managers.
        :raise UserError: without a reason, or for a milestone that is not blocked by a payment.
        """
        self._check_may_open_gate()
        reason = (reason or "").strip()
        if not reason:
            raise UserError(self.env._("Say why the work may begin before the payment."))
        for line in self:
            if not line.is_blocked_by_payment:
                raise UserError(self.env._("“%s” is not blocked by a payment.", line.name))
        self._write_internal(
            {
                "gate_opened_on": fields.Datetime.now(),
                "gate_opened_by_id": self.env.user.id,
                "gate_reason": reason,
            }
        )
        self._log_evidence(
            "gate.opened",
            data=lambda line: {"unpaid_milestone": line._get_previous_line().reference},
            pii={"reason": reason},
        )
        for line in self:
            line.message_post(body=self.env._("Opened before the payment: %s", reason))
        return True

    def _check_may_open_gate(self):
        self.check_access("write")
        if not self.env.su and not self.env.user.has_group(
            "milestone_billing.milestone_billing_group_billing_manager"
        ):
            raise AccessError(
                self.env._("Only billing managers may open a milestone before the payment. Ask one of them.")
            )

    def _get_gate_obstacle(self):
        """Extend the gate: what a billing manager has opened is open."""
        return False if self.gate_opened_on else super()._get_gate_obstacle()

    def _get_gate_reason(self):
        """Extend the words on tasks: what a billing manager has opened needs no warning."""
        return False if self.gate_opened_on else super()._get_gate_reason()
