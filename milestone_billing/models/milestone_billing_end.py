"""The end of a contract whose order is cancelled: what is open, and what becomes of it."""

from dataclasses import replace

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import formatLang

from ..tools import statement
from ..tools.money import to_float
from .milestone_billing_line_state import INTERNAL_WRITE


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    ended_on = fields.Date(
        readonly=True,
        copy=False,
        help="The order was cancelled with money on it, and each open position was settled.",
    )

    # === POSITIONS ===

    def _get_end_positions(self):
        """List what is open on this contract, one row for each position.

        :return: rows with `kind` (draft, stage, before, deposit, retainage, unbilled), `line_id`, `move_id`, and
            `amount_untaxed`, `amount_tax`, `amount_total` and `amount_open` in the currency of the order.
        :rtype: list[dict]
        """
        self.ensure_one()
        documents = self.line_ids.invoice_ids.filtered(lambda move: move._has_rest()).sorted(
            lambda move: (move.milestone_step, move.id)
        )
        unearned = self._get_unearned_deposits()
        rows = [move._prepare_end_position() for move in documents if move.milestone_line_id not in unearned]
        rows += [self._prepare_deposit_position(line, units) for line, units in unearned.items()]
        rows += [opening._prepare_end_position() for opening in self._get_openings()]
        # A drafted release is posted or cancelled at the end; until then its retainage is held.
        if (held := self._get_held_units(with_drafts=False)) > 0:
            amount = to_float(held, self.currency_id.rounding)
            rows.append(self._prepare_position("retainage", total=amount, due=amount))
        planned = self.line_ids.filtered(lambda line: line._has_unbilled_part())
        return rows + [line._prepare_end_position() for line in planned.sorted("sequence")]

    @api.model
    def _prepare_position(self, kind, untaxed=0.0, tax=0.0, total=None, due=0.0, **links):
        total = untaxed + tax if total is None else total
        return {
            "kind": kind,
            "line_id": False,
            "move_id": False,
            "amount_untaxed": untaxed,
            "amount_tax": tax,
            "amount_total": total,
            "amount_open": due,
            **links,
        }

    def _get_unearned_deposits(self):
        """Give what is left to recover of posted advances.

        :return: ``{deposit: {order line: {part: units}}}``
        :rtype: dict
        """
        return {
            line: columns
            for line, columns in self._get_unrecovered().items()
            if any(count for units in columns.values() for part, count in units.items() if part != "qty")
            and not line._has_draft_document()
        }

    def _prepare_deposit_position(self, line, columns):
        amounts, invoice = line._sum_amounts(columns), line._get_advance_invoice()
        return self._prepare_position(
            "deposit",
            amounts["amount_untaxed"],
            amounts["amount_tax"],
            due=invoice.amount_residual,
            line_id=line.id,
            move_id=invoice.id,
        )

    # === WHO MAY, AND WHEN ===

    def _check_may_end(self):
        """Check that the user may end this contract.

        :raise AccessError: for anybody but billing users.
        :raise UserError: for an order that is not running.
        """
        self.ensure_one()
        if not self.env.su:
            self.check_access("write")
            if not self.env.user.has_group("milestone_billing.milestone_billing_group_billing_user"):
                raise AccessError(
                    self.env._("Only billing users may end a contract that has been billed. Ask one of them.")
                )
        if self.order_id.state != "sale":
            raise UserError(
                self.env._("%s is not confirmed, so there is nothing to end.", self.order_id.name)
            )
        if self.order_id.locked:
            raise UserError(self.env._("%s is locked. Unlock it first.", self.order_id.name))

    def _get_open_money_texts(self):
        """Name the money that a plain cancellation would leave hanging: advances to earn and retainage.

        :rtype: list[str]
        """
        texts, rounding = [], self.currency_id.rounding
        for line, columns in self._get_unearned_deposits().items():
            total = line._sum_amounts(columns)["amount_untaxed"]
            texts.append(
                self.env._(
                    "deposit “%(name)s”, %(amount)s not earned", name=line.name, amount=self._format(total)
                )
            )
        if (held := self._get_held_units(with_drafts=False)) > 0:
            amount = self._format(to_float(held, rounding))
            texts.append(self.env._("%s of retainage", amount))
        return texts

    def _format(self, amount):
        return formatLang(self.env, amount, currency_obj=self.currency_id)

    def _unfreeze(self):
        """Extend: an order that goes back to quotation is not at its end any more."""
        self.filtered("ended_on").write({"ended_on": False})
        return super()._unfreeze()

    def _get_scheduled_units(self):
        """Extend: of a contract that has ended, each order line comes to what was billed of it."""
        scheduled = super()._get_scheduled_units()
        if not self.ended_on:
            return scheduled
        billings = [self._prepare_billing(record) for record in self._get_billing_records()]
        return statement.completed_by_key(scheduled, billings, len(billings) - 1)

    def _prepare_contract_position(self):
        """Extend: a contract that has ended comes to what is billed of it, by later documents, too."""
        position = super()._prepare_contract_position()
        return replace(position, is_ended=bool(self.ended_on))


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _has_draft_document(self):
        return self._get_live_invoice().state == "draft"

    def _has_unbilled_part(self):
        planned = self.allocation_ids._filter_planned()
        return self.state != "cancelled" and (
            (self.kind == "retainage_release" and not self._get_live_invoice())
            or bool(planned.filtered(lambda alloc: alloc._bills_anything()))
        )

    def _prepare_end_position(self):
        planned = self.allocation_ids._filter_planned()
        untaxed, tax = sum(planned.mapped("amount_untaxed")), sum(planned.mapped("amount_tax"))
        return self.schedule_id._prepare_position("unbilled", untaxed, tax, line_id=self.id)

    def _get_advance_invoice(self):
        """Give the invoice that billed this advance, also when a part of it was credited since.

        :rtype: account.move
        """
        moves = self.allocation_ids.move_id.filtered(
            lambda move: (
                move.milestone_is_advance and move.move_type == "out_invoice" and move.state == "posted"
            )
        )
        return moves.sorted("id")[-1:]

    def _close(self):
        """Cancel what is not billed of these milestones; their history stays."""
        waiting = self.filtered(lambda line: line.state == "submitted" and not line._get_live_invoice())
        waiting._reopen()
        lines = self.filtered(
            lambda line: line.state in ("planned", "changes_requested") and not line._get_live_invoice()
        )
        lines.approval_ids._cancel_open(self.env._("The order was cancelled."))
        lines._transition("cancel")
        lines._drop_planned_allocations()
        return lines

    def _get_obstacle(self):
        """Extend: retainage that was kept at the end of a contract is released after it."""
        if self.kind == "retainage_release" and self.schedule_id.ended_on and not self.is_on_hold:
            return self._get_release_obstacle()
        return super()._get_obstacle()


class MilestoneBillingOpening(models.Model):
    _inherit = "milestone.billing.opening"

    def _prepare_end_position(self):
        return self.schedule_id._prepare_position(
            "before", self.amount_untaxed, self.amount_tax, line_id=self.line_id.id
        )


class AccountMove(models.Model):
    _inherit = "account.move"

    def _prepare_end_position(self):
        sign = -self.direction_sign
        return self.env["milestone.billing.schedule"]._prepare_position(
            "draft" if self.state == "draft" else "stage",
            *self._get_rest_amounts(),
            due=0.0 if self.state == "draft" else sign * self._get_trade_residual(),
            line_id=self.milestone_line_id.id,
            move_id=self.id,
        )

    def _get_trade_residual(self):
        """Give what is still to be paid of this document, retainage aside, above zero for what is owed.

        :rtype: float
        """
        due = self.line_ids.filtered(
            lambda item: item.display_type == "payment_term" and not item.milestone_retainage
        )
        return abs(sum(due.mapped("amount_residual_currency")))


class SaleOrder(models.Model):
    _inherit = "sale.order"

    milestone_needs_end = fields.Boolean(compute="_compute_milestone_needs_end", compute_sudo=True)

    @api.depends("state", "milestone_line_ids.invoice_ids.milestone_claim", "milestone_line_ids.opening_ids")
    def _compute_milestone_needs_end(self):
        for order in self:
            lines = order.milestone_line_ids
            order.milestone_needs_end = order.state == "sale" and bool(
                lines.opening_ids or lines.invoice_ids.filtered("milestone_claim")
            )

    def action_end_milestones(self):
        """Open the guided end of a contract that has been billed.

        :rtype: dict
        """
        self.ensure_one()
        return self.env["milestone.billing.end"]._open(self)

    def action_cancel(self):
        """Override of `sale`: deposits and retainage are settled by the guided end, not left hanging.

        :raise UserError: for orders with such money, saying where to go.
        """
        if self.env.context.get("milestone_internal_write") is not INTERNAL_WRITE:
            for order in self.filtered("milestone_schedule_id"):
                order._check_no_open_money()
        return super().action_cancel()

    def _check_no_open_money(self):
        texts = self.sudo().milestone_schedule_id._get_open_money_texts() if self.state == "sale" else []
        if texts:
            raise UserError(
                self.env._(
                    "%(order)s still holds money: %(what)s. Use “End Contract” on the order: it asks what becomes of "
                    "each part and cancels the order.",
                    order=self.name,
                    what=", ".join(texts),
                )
            )
