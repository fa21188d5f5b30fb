"""The end of a retainer: hours that were paid, not used and not expired are given back, whenever they were paid."""

from decimal import Decimal

from odoo import fields, models
from odoo.exceptions import UserError
from odoo.tools import format_date

from ..tools.money import to_float, to_units
from ..tools.retainer import Period, keep_newest, refund_units, trace_left


class MilestoneBillingRetainer(models.Model):
    _inherit = "milestone.billing.retainer"

    def action_close(self):
        """End retainers: settle periods that are over, refund the hours that were paid and neither used nor expired."""
        self.enrolment_id._check_may_charge()
        for retainer in self.sudo().filtered(lambda item: item.state == "running"):
            retainer._settle_over()
            for period, layers in retainer._get_owed_layers().items():
                period._refund_unused(layers)
            retainer.state = "closed"
        return True

    def _get_owed_layers(self):
        """Give the hours that the client would still have: those of open periods, and those that wait for a next one.

        What was carried on is worth what was paid for the period that it comes from, and is used up first.

        :return: `tools.retainer.Layer` by period, those of open periods without hours left too.
        :rtype: dict
        """
        self.ensure_one()
        periods = self.period_ids.sorted(lambda item: (item.date_from, item.id))
        left, owed = trace_left([period._get_traced() for period in periods]), {}
        for period in periods:
            if period.state == "open":
                owed[period] = left[period.id]
            elif period.hours_carried_on:
                owed[period] = keep_newest(left[period.id], Decimal(str(period.hours_carried_on)))
        return owed


class MilestoneBillingRetainerPeriod(models.Model):
    _inherit = "milestone.billing.retainer.period"

    hours_refunded = fields.Float(
        string="Refunded",
        readonly=True,
        help="Given back at the end of the retainer, carried hours included.",
    )
    refund_line_id = fields.Many2one("milestone.billing.line", string="Refund", readonly=True)

    def _get_traced(self):
        self.ensure_one()
        used = Decimal(str(self.hours_used_final)) if self.state == "closed" else self._get_used()
        return Period(
            self.id,
            Decimal(str(self.hours_included)),
            Decimal(str(self.hours_carried)),
            used + Decimal(str(self.hours_expired)),
        )

    def _refund_unused(self, layers):
        """Close a period early, or what it has carried on, and credit the paid hours that were not used.

        :param list layers: the hours that are left of it, by the period that they were paid for.
        :raise UserError: while one of these periods is not invoiced: there is nothing to give back yet.
        """
        self.ensure_one()
        if self.retainer_id.order_id.state == "cancel":
            # The end of the contract has settled what was billed: its order refunds nothing any more.
            self._close_early(Decimal(0))
            return
        origins = self.browse(layer.key for layer in layers)
        (self | origins)._check_invoiced()
        rounding = self.retainer_id.currency_id.rounding
        units = [
            refund_units(
                to_units(origin.milestone_line_id.amount_billed, rounding),
                layer.hours,
                Decimal(str(origin.hours_included)),
            )
            for origin, layer in zip(origins, layers, strict=True)
        ]
        self._close_early(sum((layer.hours for layer in layers), Decimal(0)))
        if total := sum(units):
            rows = [row for row in zip(origins, layers, units, strict=True) if row[2]]
            title, description = self._get_refund_texts(rows)
            amount = to_float(total, rounding)
            self.refund_line_id = self.retainer_id.enrolment_id._refund(amount, title, description)

    def _check_invoiced(self):
        for line in self.milestone_line_id:
            if line.state != "cancelled" and line.invoice_status in (False, "none", "draft"):
                raise UserError(
                    self.env._(
                        "“%s” is not invoiced yet. Issue its invoice, or delete the draft and cancel the milestone, "
                        "then close the retainer.",
                        line.name,
                    )
                )

    def _close_early(self, hours):
        """Close this period with what is given back of it; hours beyond are treated as at any end of a period.

        :param Decimal hours: given back.
        """
        if self.state == "closed":
            self.write({"hours_carried_on": 0.0, "hours_refunded": float(hours)})
            return
        used = self._get_used()
        beyond = used - Decimal(str(self.hours_included)) - Decimal(str(self.hours_carried))
        beyond = max(beyond, Decimal(0))
        self.write(
            {
                "state": "closed",
                "hours_used_final": float(used),
                "hours_beyond": float(beyond),
                "hours_refunded": float(hours),
            }
        )
        if beyond:
            self._treat_overage(beyond)

    def _get_refund_texts(self, rows):
        """Give the title of a refund, and its text for the credit note: which hours, and what was paid for them.

        :param list rows: (period, layer, units) of what is given back.
        :rtype: tuple[str, str]
        """
        retainer = self.retainer_id._in_client_language()
        title = retainer.env._("%s: unused hours refunded", retainer.name)
        rounding = retainer.currency_id.rounding
        details = []
        for origin, layer, units in rows:
            values = {
                "hours": retainer._format_hours(float(layer.hours)),
                "start": format_date(retainer.env, origin.date_from),
                "end": format_date(retainer.env, origin.date_to),
                "amount": retainer.enrolment_id._format(to_float(units, rounding)),
            }
            details.append(
                retainer.env._("%(hours)s hours of %(start)s to %(end)s: %(amount)s", **values)
                if origin.date_to
                else retainer.env._("%(hours)s hours of the block of %(start)s: %(amount)s", **values)
            )
        return title, "\n".join([title, *details])


class MilestoneBillingEnrolment(models.Model):
    _inherit = "milestone.billing.enrolment"

    def _refund(self, amount, title, description=None):
        """Credit an amount on the open-ended order, with a milestone and a credit note of its own.

        :param float amount: untaxed, above zero.
        :param str title: of the milestone.
        :param str description: what is given back, for the credit note; the title without.
        :rtype: milestone.billing.line
        """
        self.ensure_one()
        self.order_id.milestone_schedule_id._lock()
        line = self._create_charge_line(-amount, description or title, title, "change")
        line.approval_required = False
        line._complete(trigger="refund")
        return line
