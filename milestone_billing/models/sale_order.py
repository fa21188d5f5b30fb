from contextlib import ExitStack, contextmanager

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import formatLang


class SaleOrder(models.Model):
    _inherit = "sale.order"

    milestone_template_id = fields.Many2one(
        "milestone.billing.template",
        check_company=True,
        copy=False,
        help="Pick a template and apply it to bill this order by milestones.",
    )
    milestone_schedule_id = fields.Many2one("milestone.billing.schedule", readonly=True, copy=False)
    milestone_line_ids = fields.One2many(
        "milestone.billing.line",
        "order_id",
        string="Milestones",
        copy=False,
        depends=["milestone_schedule_id"],
    )
    milestone_line_count = fields.Integer(compute="_compute_milestone_figures", compute_sudo=True)
    milestone_done_count = fields.Integer(compute="_compute_milestone_figures", compute_sudo=True)
    milestone_amount_billed = fields.Monetary(compute="_compute_milestone_figures", compute_sudo=True)
    milestone_amount_contract = fields.Monetary(
        string="Contract",
        compute="_compute_milestone_plan",
        compute_sudo=True,
        help="Untaxed total of the order lines billed by milestones.",
    )
    milestone_amount_planned = fields.Monetary(
        string="Planned in Milestones", compute="_compute_milestone_plan", compute_sudo=True
    )
    milestone_amount_over_billed = fields.Monetary(
        related="milestone_schedule_id.amount_over_billed", string="Over-Billed"
    )
    milestone_amount_difference = fields.Monetary(
        string="Missing (-) or Too Much (+)", compute="_compute_milestone_plan", compute_sudo=True
    )

    milestone_difference_note = fields.Char(string="Missing", compute="_compute_milestone_difference_note")

    # === COMPUTE ===

    @api.depends("milestone_line_ids.state", "milestone_line_ids.amount_billed")
    def _compute_milestone_figures(self):
        for order in self:
            lines = order.milestone_line_ids.filtered(lambda line: line.state != "cancelled")
            order.milestone_line_count = len(lines)
            order.milestone_done_count = len(lines.filtered(lambda line: line.state == "approved"))
            order.milestone_amount_billed = sum(order.milestone_line_ids.mapped("amount_billed"))

    @api.depends(
        "order_line.price_subtotal",
        "order_line.is_milestone_billed",
        "milestone_line_ids.amount_untaxed",
        "milestone_line_ids.state",
    )
    def _compute_milestone_plan(self):
        Schedule = self.env["milestone.billing.schedule"]
        for order in self:
            lines = order.milestone_line_ids.filtered(lambda line: line.state != "cancelled")
            if not lines:
                order.milestone_amount_contract = order.milestone_amount_planned = 0.0
                order.milestone_amount_difference = 0.0
                continue
            rounding = order.currency_id.rounding
            columns = Schedule._get_order_columns(order)
            order.milestone_amount_contract = rounding * sum(units["net"] for units in columns.values())
            order.milestone_amount_planned = sum(lines.mapped("amount_untaxed"))
            order.milestone_amount_difference = rounding * Schedule._get_plan(order)[1]

    @api.depends("milestone_amount_difference", "milestone_amount_contract")
    def _compute_milestone_difference_note(self):
        """Say what is missing to 100 % of the order, or too much."""
        for order in self:
            difference, contract = order.milestone_amount_difference, order.milestone_amount_contract
            if not difference:
                order.milestone_difference_note = False
                continue
            figures = {
                "amount": formatLang(self.env, abs(difference), currency_obj=order.currency_id),
                "percent": f"{100 * abs(difference / contract):.4g}" if contract else "0",
            }
            order.milestone_difference_note = (
                self.env._("%(amount)s too much (%(percent)s %%)", **figures)
                if difference > 0
                else self.env._("%(amount)s missing (%(percent)s %%)", **figures)
            )

    # === SCHEDULE ===

    def _ensure_milestone_schedule(self):
        """Give each order its schedule, creating those that are missing.

        :rtype: milestone.billing.schedule
        """
        missing = self.filtered(lambda order: not order.milestone_schedule_id)
        self.env["milestone.billing.schedule"].sudo().create([{"order_id": order.id} for order in missing])
        return self.milestone_schedule_id

    def action_apply_milestone_template(self):
        """Replace the open milestones of quotations by those of their template.

        :raise UserError: without a template, on a confirmed or cancelled order.
        """
        self.check_access("write")
        for order in self:
            if not order.milestone_template_id:
                raise UserError(self.env._("Pick a milestone template for %s first.", order.name))
            if order.state not in ("draft", "sent"):
                raise UserError(
                    self.env._(
                        "%s is confirmed, so its milestones are agreed. Use a change order to change them.",
                        order.name,
                    )
                )
            template = order.milestone_template_id
            template._check_lines()
            schedule = order._ensure_milestone_schedule()
            order.milestone_line_ids.unlink()
            schedule.write(template._prepare_schedule_values())
            lang = order.partner_id.lang or self.env.lang
            order.write(
                {"milestone_line_ids": template.with_context(lang=lang)._prepare_line_commands(order)}
            )
            schedule.sudo()._check_deposit_limit()
            schedule.sudo()._log_deposit_limit()
        return True

    # === CONFIRMATION ===

    def _confirmation_error_message(self):
        """Override of `sale` to refuse an order whose milestones do not add up to it."""
        error = super()._confirmation_error_message()
        if error or not self.milestone_line_ids:
            return error
        try:
            self.milestone_schedule_id._check_can_freeze()
        except UserError as refusal:
            return str(refusal)
        return False

    def _action_confirm(self):
        """Override of `sale` to freeze the schedule and complete milestones that wait for the confirmation."""
        result = super()._action_confirm()
        schedules = self.filtered("milestone_line_ids").milestone_schedule_id.sudo()
        schedules._freeze()
        schedules._ensure_project_milestones()
        lines = schedules.line_ids.filtered(
            lambda line: line.trigger == "order_confirmed" and line.state == "planned"
        )
        lines._complete(trigger="order_confirmed", strict=False)
        return result

    def action_draft(self):
        """Override of `sale` to open the schedule again with the quotation."""
        opened = self.filtered(lambda order: order.state in ("cancel", "sent"))  # the others stay as they are
        result = super().action_draft()
        opened.milestone_schedule_id.sudo()._unfreeze()
        return result

    def _action_cancel(self):
        """Override of `sale` to withdraw what is with the client; billed milestones keep their invoices."""
        result = super()._action_cancel()
        lines = self.sudo().milestone_line_ids.filtered(
            lambda line: (
                line.state in ("planned", "submitted", "changes_requested") and not line._get_live_invoice()
            )
        )
        lines.approval_ids._cancel_open(self.env._("The order was cancelled."))
        return result

    @contextmanager
    def _keep_unlocked(self):
        """Let lines of locked orders change by what was agreed, and lock the orders again."""
        locked = self.filtered("locked")
        locked.action_unlock()
        yield
        locked.action_lock()

    def unlink(self):
        """Override of `sale` to take what is planned along: it stands in the way of the order's lines.

        :raise UserError: for an order with documents of milestones.
        """
        self.check_access("unlink")
        self._unlink_except_draft_or_cancel()
        self._unlink_except_billed_by_milestones()
        self.env["milestone.billing.change"].sudo().search([("order_id", "in", self.ids)]).unlink()
        order = self.sudo()
        order.milestone_line_ids.allocation_ids.unlink()
        # The database deletes these along: figures of theirs that follow from the order are not computed once more.
        gone = (order.order_line, order.milestone_line_ids, order.milestone_schedule_id)
        with ExitStack() as stack:
            for records in gone:
                stack.enter_context(self.env.protecting(records._fields.values(), records))
            return super().unlink()

    @api.ondelete(at_uninstall=False)
    def _unlink_except_billed_by_milestones(self):
        for line in self.sudo().milestone_line_ids:
            if line.invoice_ids or line._get_billed_allocations():
                raise UserError(
                    self.env._(
                        "Milestones of %s have invoices, so the order is kept. It may stay cancelled.",
                        line.order_id.name,
                    )
                )

    # === INVOICING ===

    def _get_invoiceable_lines(self, final=False):
        """Override of `sale`: what a schedule owns is billed by its milestones alone."""
        lines = super()._get_invoiceable_lines(final)
        if not self.milestone_line_ids and not self.milestone_schedule_id.is_frozen:
            return lines
        rest = lines.filtered(lambda line: not line.is_milestone_billed and not line.milestone_deposit_id)
        return rest if any(not line.display_type for line in rest) else rest.browse()

    def _nothing_to_invoice_error_message(self):
        """Override of `sale` to say that the order is billed by milestones."""
        if any(order.milestone_schedule_id.is_frozen for order in self):
            return self.env._(
                "This order is billed by its milestones. Open the Milestones tab and complete the one that is done."
            )
        return super()._nothing_to_invoice_error_message()
