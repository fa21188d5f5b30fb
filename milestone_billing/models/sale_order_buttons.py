"""The buttons of an order's Milestones tab."""

from fractions import Fraction

from odoo import Command, fields, models
from odoo.exceptions import UserError

from ..tools.even_out import EvenOutError, even_out
from ..tools.money import fraction, to_units

CHANGE_READERS = "sales_team.group_sale_salesman,milestone_billing.milestone_billing_group_auditor"


class SaleOrder(models.Model):
    _inherit = "sale.order"

    milestone_change_count = fields.Integer(
        string="Change Order Count", compute="_compute_milestone_change_count", groups=CHANGE_READERS
    )

    def _compute_milestone_change_count(self):
        groups = self.env["milestone.billing.change"]._read_group(
            [("order_id", "in", self.ids), ("state", "!=", "cancelled")], ["order_id"], ["__count"]
        )
        counts = {order.id: count for order, count in groups}
        for order in self:
            order.milestone_change_count = counts.get(order._origin.id, 0)

    def action_view_milestone_changes(self):
        """Open the change orders of this order; without any, a new one.

        :rtype: dict
        """
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "milestone_billing.milestone_billing_change_action"
        )
        action["domain"] = [("order_id", "=", self.id)]
        action["context"] = {"default_order_id": self.id}
        if not self.milestone_change_count:
            action["views"] = [(False, "form")]
        return action

    def onchange(self, values, field_names, fields_spec):
        """Extend: a change of one milestone moves the remainder, and the form shows it at once.

        The web client sends the amounts that it shows, and gets no line back that followed from another line.
        """
        shown = (fields_spec.get("milestone_line_ids") or {}).get("fields") or {}
        if "milestone_line_ids" not in field_names or "amount_untaxed" not in shown:
            return super().onchange(values, field_names, fields_spec)
        commands = [_drop_amount(command) for command in values["milestone_line_ids"]]
        values = {**values, "milestone_line_ids": commands}
        result = super().onchange(values, field_names, fields_spec)
        result["value"].setdefault("milestone_line_ids", []).extend(
            Command.update(line.id.origin or line.id.ref, {"amount_untaxed": line.amount_untaxed})
            for line in self.new(values, origin=self).milestone_line_ids
            if line.id.origin or line.id.ref
        )
        return result

    def action_even_out_milestones(self):
        """Give the percentage that is missing or too much evenly to the open percent milestones.

        Milestones without a percentage are served first. Where the rest is no round percentage (beside fixed
        amounts), the last of them becomes the remainder.

        :raise UserError: on a confirmed order, or when no open milestone can take the rest.
        """
        self.check_access("write")
        for order in self:
            if order.state not in ("draft", "sent"):
                raise UserError(
                    self.env._(
                        "%s is confirmed, so its milestones are agreed and stay as they are. Propose a change order instead.",
                        order.name,
                    )
                )
            order._even_out_milestones()
        return True

    def _even_out_milestones(self):
        """Give what is missing, or too much, to the open percent milestones; see `action_even_out_milestones`."""
        self.ensure_one()
        live = self.milestone_line_ids.filtered(lambda line: line._is_planned_on_order())
        lines = live.filtered(
            lambda line: line.amount_type == "percent" and line.allocation_mode == "share"
        ).sorted(lambda line: (line.sequence, line.id))
        missing = self._get_missing_percent(live)
        if live.filtered(lambda line: line.amount_type == "remainder"):
            raise UserError(
                self.env._(
                    "One milestone of %s already takes the remainder, whatever it is. Nothing has to be evened out.",
                    self.name,
                )
            )
        try:
            percents = even_out(missing, [fraction(line.percent) for line in lines])
        except EvenOutError:
            raise UserError(
                self.env._(
                    "No open milestone of %s can take the rest. Add a milestone in percent, or change one by hand.",
                    self.name,
                )
            ) from None
        for line, percent in zip(lines, percents, strict=True):
            line.percent = float(percent)
        if self.milestone_amount_difference:
            lines[-1:].amount_type = "remainder"

    def _get_missing_percent(self, lines):
        """Say which percentage of the order no milestone bills yet.

        :param lines: the milestones that take part in splitting the order.
        :rtype: Fraction
        """
        self.ensure_one()
        rounding = self.currency_id.rounding
        total = to_units(self.milestone_amount_contract, rounding)
        shares = lines.filtered(
            lambda line: line.amount_type == "percent" and line.allocation_mode == "share"
        )
        others = sum(to_units(line.amount_untaxed, rounding) for line in lines - shares)
        taken = Fraction(100 * others, total) if total else Fraction(0)
        return 100 - taken - sum((fraction(line.percent) for line in shares), Fraction(0))

    def action_view_milestone_lines(self):
        """Open the milestones of these orders.

        :rtype: dict
        """
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "milestone_billing.milestone_billing_line_action"
        )
        action["domain"] = [("order_id", "in", self.ids)]
        action["context"] = {"search_default_open": 0}
        return action

    def action_open_milestone_cut_over(self):
        """Open the wizard that enters what was billed of this order before.

        :rtype: dict
        """
        self.ensure_one()
        return self.milestone_schedule_id.action_open_cut_over()

    def action_view_milestone_schedule(self):
        """Open the schedule of this order with its settings: retainage, deposits, approvers.

        :rtype: dict
        """
        self.ensure_one()
        self.check_access("write")
        schedule = self._ensure_milestone_schedule()
        return {
            "type": "ir.actions.act_window",
            "res_model": "milestone.billing.schedule",
            "res_id": schedule.id,
            "views": [(False, "form")],
        }


def _drop_amount(command):
    """Give a command on a milestone without the amount, which follows from the others."""
    if len(command) == 3 and isinstance(command[2], dict):  # the web client sends a removed line as a pair
        return [*command[:2], {name: value for name, value in command[2].items() if name != "amount_untaxed"}]
    return command
