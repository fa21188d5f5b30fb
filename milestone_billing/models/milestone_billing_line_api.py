"""Methods that integrators call over JSON-2: plain JSON in and out, access checked, idempotent."""

import logging

from odoo import models
from odoo.exceptions import UserError, ValidationError
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import formatLang

from ..tools.money import to_units

_logger = logging.getLogger(__name__)


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def complete(self, amount=None, description=None, idempotency_key=None):
        """Complete milestones: draft their invoices and ask for approval where that is required.

        :param amount: untaxed amount to bill instead of the planned one, number or decimal text in the
            currency of the order; only for one milestone.
        :param str description: what was done, shown to the client.
        :param str idempotency_key: the same key with the same arguments gives the same answer.
        :return: ``[{"id", "state", "invoice_id", "amount_total"}]``, `amount_total` as decimal number.
        :rtype: list[dict]
        :raise UserError: if a milestone is blocked, or the amount passes its cap.
        :raise ValidationError: if the key was used with other arguments.
        """
        self._check_may_complete()
        return self.env["milestone.billing.idempotency"]._answer_once(
            idempotency_key,
            "complete",
            [sorted(self.ids), amount, description],
            lambda: self._complete_by_api(amount, description),
        )

    def _complete_by_api(self, amount, description):
        lines = self.sudo()
        if amount is not None:
            self._check_may_bill()
            lines._override_amount(amount)
        if description is not None:
            lines._filter_unbilled().write({"description": description})
        lines._complete(trigger="api")
        return [line._get_completion_answer() for line in lines]

    def _get_completion_answer(self):
        invoice = self._get_live_invoice()
        return {
            "id": self.id,
            "state": self.state,
            "invoice_id": invoice.id or False,
            "amount_total": invoice.amount_total if invoice else self.amount_total,
        }

    def _override_amount(self, amount):
        """Bill another untaxed amount than planned; the rest is spread over the other open milestones.

        :param amount: untaxed, in the currency of the order.
        :raise UserError: above the cap, or when no other milestone could take the rest.
        """
        if len(self) != 1:
            raise ValidationError(
                self.env._("An amount can be given for one milestone at a time. Complete them one by one.")
            )
        if self._get_live_invoice():
            return
        try:
            units = to_units(amount, self.currency_id.rounding)
        except ArithmeticError:
            raise ValidationError(
                self.env._("“%s” is not an amount. Send a decimal number.", amount)
            ) from None
        value = self.currency_id.round(units * self.currency_id.rounding)
        self._check_override(value)
        self.write({"amount_type": "fixed", "amount_fixed": value, "allocation_mode": "share"})

    def _check_override(self, value):
        """Refuse an amount that the order has no room for, or whose rest no other milestone could take."""
        others = self.order_id.milestone_line_ids.filtered(
            lambda line: line != self and line._is_planned_on_order() and line._is_open_in_plan()
        )
        # Fixed amounts and chosen order lines give nothing away.
        takers = others.filtered(lambda line: line.amount_type != "fixed" and not line._chooses_order_lines())
        cap = self.amount_untaxed + sum(takers.mapped("amount_untaxed"))
        compare = self.currency_id.compare_amounts
        if value <= 0 or compare(value, cap) > 0:
            raise UserError(
                self.env._(
                    "“%(name)s” can bill more than zero and at most %(cap)s, what is left of the order. Give an amount in between.",
                    name=self.name,
                    cap=formatLang(self.env, cap, currency_obj=self.currency_id),
                )
            )
        if compare(value, self.amount_untaxed) and not takers:
            raise UserError(
                self.env._(
                    "“%(name)s” is the last open milestone and bills what is left: %(amount)s.",
                    name=self.name,
                    amount=formatLang(self.env, self.amount_untaxed, currency_obj=self.currency_id),
                )
            )

    # === BATCHES ===

    def _complete_in_chunks(self, lines, trigger, chunk=200):
        """Complete many milestones from a cron, committing chunk by chunk.

        Rows that another worker holds, and orders that it has just billed, are left to it. A milestone that fails is rolled back alone, and the
        reason stays on its chatter; the others go on.

        :param lines: milestones to complete.
        :param str trigger: what caused it; None for triggers that were remembered.
        :param int chunk: milestones per transaction.
        """
        Cron, remaining = self.env["ir.cron"], len(lines)
        Cron._commit_progress(remaining=remaining)
        for start in range(0, len(lines), chunk):
            self.env.invalidate_all()
            batch = (
                lines[start : start + chunk]
                .try_lock_for_update()
                .filtered(lambda line: line.state == "planned")
            )
            try:
                with self.env.cr.savepoint():
                    batch._complete(trigger=trigger, strict=False)
            except Exception:  # noqa: BLE001 - one bad record: it is found and shown by working one by one
                batch._complete_one_by_one(trigger)
            remaining -= chunk
            if not Cron._commit_progress(processed=len(batch), remaining=max(remaining, 0)):
                break

    def _complete_one_by_one(self, trigger):
        for line in self:
            try:
                with self.env.cr.savepoint():
                    line._complete(trigger=trigger, strict=False)
            except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                self.env.invalidate_all()
                _logger.info("milestone %s is left to another worker or the next run", line.id)
            except Exception as error:
                self.env.invalidate_all()
                _logger.warning("milestone %s could not be completed", line.reference, exc_info=True)
                line._tell_not_completed(error)
