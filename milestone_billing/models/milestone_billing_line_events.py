"""What happens to a milestone from outside: payments, credit notes, dates, projects."""

import logging
from contextlib import contextmanager
from fractions import Fraction

from odoo import api, models
from odoo.exceptions import RedirectWarning, UserError
from odoo.fields import Domain

from ..tools.money import round_half_up

_logger = logging.getLogger(__name__)


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def _ensure_project_milestones(self):
        """Create the project milestones that billing milestones wait for, where an order has a project."""
        lines = self.line_ids.filtered(
            lambda line: (
                line.trigger == "project_milestone" and not line.project_milestone_id and line.project_id
            )
        )
        milestones = self.env["project.milestone"].create(
            [
                {"name": line.name, "project_id": line.project_id.id, "sequence": line.sequence}
                for line in lines
            ]
        )
        for line, milestone in zip(lines, milestones, strict=True):
            line.project_milestone_id = milestone


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _on_paid(self):
        """Record the payment and complete the next milestones that wait for it."""
        for line in self:
            invoice = line._get_live_invoice()
            line._log_evidence("payment.confirmed", data=invoice._prepare_evidence_data())
            # The client who pays has often not logged in: “Public user” would be nobody's name.
            author = (
                self.env.ref("base.partner_root") if self.env.user._is_public() else self.env.user.partner_id
            )
            line.message_post(body=self.env._("Paid: %s.", invoice._get_html_link()), author_id=author.id)
        following = self.browse().union(*(line._get_next_line() for line in self))
        waiting = following.filtered(lambda line: line.trigger == "previous_paid" and line.state == "planned")
        if waiting:
            with self._own_invoice_sync():
                waiting._complete_or_tell("previous_paid")

    def _complete_or_tell(self, trigger):
        """Complete milestones after what stands whatever becomes of them, as a payment; what fails is told on them.

        :param str trigger: what caused it, for the evidence; None for one that was remembered.
        """
        try:
            with self.env.cr.savepoint():
                self._complete(trigger=trigger, strict=False)
        except (UserError, RedirectWarning) as error:
            self.env.invalidate_all(flush=False)
            if len(self) > 1:
                # One payment for several orders: what one of them lacks does not keep the others.
                for line in self:
                    line._complete_or_tell(trigger)
                return
            _logger.warning("not completed by an event: %s", self.mapped("reference"), exc_info=True)
            self._tell_not_completed(error)

    def _tell_not_completed(self, error):
        """Say why milestones could not be completed; once, so a remembered trigger is left to people then."""
        self.filtered("triggered_on")._forget_trigger()
        for line in self:
            line.message_post(body=self.env._("This milestone could not be completed: %s", error))

    @contextmanager
    def _own_invoice_sync(self):
        """Let new invoices compute their lines although another document is just being written.

        A payment that is reconciled completes the next milestone; `account` keeps a stack of what it must
        not compute again for the document at hand, which does not concern a new one.
        """
        cache, key = self.env.cr.cache, "account_disable_recursion_stack"
        outer = cache.pop(key, None)
        try:
            yield
        finally:
            if outer is None:
                cache.pop(key, None)
            else:
                cache[key] = outer

    def _get_next_line(self):
        """Give the milestone after this one in the schedule."""
        self.ensure_one()
        lines = self.order_id.milestone_line_ids.filtered(lambda line: line.state != "cancelled").sorted(
            lambda line: (line.sequence, line.id)
        )
        ids = lines.ids
        place = ids.index(self.id) + 1 if self.id in ids else len(ids)
        return lines[place : place + 1]

    # === CREDIT NOTES ===

    def _prepare_allocation_values(self, columns):
        """Give the values of this milestone's allocations for units by order line.

        :rtype: list[dict]
        """
        self.ensure_one()
        return [
            {"line_id": self.id, "order_line_id": order_line.id, **self._sum_amounts({order_line: units})}
            for order_line, units in columns.items()
            if any(units.values())
        ]

    def _with_billed_quantities(self, columns):
        """Let what is credited of order lines take their quantity along: on a document, a service may be one piece.

        :param dict columns: negative units by order line.
        :rtype: dict
        """
        digits, billed = self.env["decimal.precision"].precision_get("Product Unit"), {}
        for alloc in self._get_billed_allocations():
            column = billed.setdefault(alloc.order_line_id, {"net": 0, "qty": 0})
            for part, units in alloc._get_units(digits).items():
                column[part] = column.get(part, 0) + units
        return {
            key: {
                **units,
                "qty": round_half_up(Fraction(billed[key]["qty"] * units["net"], billed[key]["net"])),
            }
            if key in billed and billed[key]["net"]
            else units
            for key, units in columns.items()
        }

    def _plan_credited(self, values_list):
        """Plan what a credit note took back, so that it can be billed again.

        :param list values_list: the credit note's negative allocations.
        """
        self.ensure_one()
        planned = {alloc.order_line_id.id: alloc for alloc in self.allocation_ids._filter_planned()}
        Allocation = self.env["milestone.billing.allocation"].sudo()
        for values in values_list:
            back = {
                "quantity": -values["quantity"],
                "amount_untaxed": -values["amount_untaxed"],
                "amount_tax": -values["amount_tax"],
                "tax_amounts": _negate_taxes(values["tax_amounts"]),
            }
            alloc = planned.get(values["order_line_id"])
            if alloc:
                alloc._add_amounts(back)
            else:
                Allocation.create({"line_id": self.id, "order_line_id": values["order_line_id"], **back})

    def _withdraw_credited(self, credit):
        """Undo `_plan_credited` for a credit note that is not valid any more."""
        self.ensure_one()
        planned = {alloc.order_line_id: alloc for alloc in self.allocation_ids._filter_planned()}
        if self._get_live_invoice() or credit.milestone_allocation_ids.order_line_id - self.env[
            "sale.order.line"
        ].union(*planned):
            raise UserError(
                self.env._(
                    "“%s” was billed again since this credit note. Credit the new invoice instead.", self.name
                )
            )
        for alloc in credit.sudo().milestone_allocation_ids:
            planned[alloc.order_line_id]._add_amounts(
                {
                    "quantity": alloc.quantity,
                    "amount_untaxed": alloc.amount_untaxed,
                    "amount_tax": alloc.amount_tax,
                    "tax_amounts": alloc.tax_amounts,
                }
            )

    def _claim_again(self):
        """Let the newest document that nothing takes back bill this milestone again, unless a credited part is to bill."""
        self.ensure_one()
        rows = self.allocation_ids._filter_planned()
        if self._get_live_invoice() or rows.filtered(lambda row: row._bills_anything()):
            return
        issued = self.invoice_ids.filtered(lambda move: move.milestone_credited and move.state != "cancel")
        again = issued.filtered(lambda move: not move._get_milestone_credits()).sorted("id")[-1:]
        again.milestone_credited = False
        # What a document bills is no part of the plan, also of a plan that is made again.
        if again and self.state == "planned":
            completed_on = again.create_date.replace(microsecond=0)
            self._transition("reinstate", {"completed_on": completed_on})

    # === DATES ===

    @api.model
    def _cron_complete_due(self, chunk=200):
        """Complete milestones whose date has come, in chunks that are committed one by one."""
        come = Domain.OR(
            Domain("company_id", "in", company_ids) & Domain("trigger_date", "<=", day)
            for day, company_ids in self.env["res.company"]._get_milestone_days().items()
        )
        due = self.search(
            come
            & Domain(
                [
                    ("trigger", "=", "date"),
                    ("state", "=", "planned"),
                    ("reopened_on", "=", False),
                    ("is_on_hold", "=", False),
                    ("order_id.state", "=", "sale"),
                ]
            )
        )
        self._complete_in_chunks(due, "date", chunk)


def _negate_taxes(tax_amounts):
    return {
        tax_id: {name: _negate_text(text) for name, text in amounts.items()}
        for tax_id, amounts in (tax_amounts or {}).items()
    }


def _negate_text(text):
    return text[1:] if text.startswith("-") else f"-{text}"
