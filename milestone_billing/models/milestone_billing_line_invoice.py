"""The documents of a milestone: from planned allocations to the draft invoice."""

from odoo import Command, api, models
from odoo.tools import formatLang

from ..tools.money import to_float, to_units


class MilestoneBillingAllocation(models.Model):
    _inherit = "milestone.billing.allocation"

    def _get_units(self, digits):
        """Read the stored amounts as whole units of the engine.

        :param int digits: decimals of quantities.
        :rtype: dict
        """
        self.ensure_one()
        rounding = self.currency_id.rounding
        units = {
            "net": to_units(self.amount_untaxed, rounding),
            "qty": to_units(self.quantity, 10**-digits),
        }
        for tax_id, amounts in (self.tax_amounts or {}).items():
            units[f"t{tax_id}"] = to_units(amounts["tax"], rounding)
            units[f"b{tax_id}"] = to_units(amounts["base"], rounding)
        return units

    def _prepare_invoice_line_values(self, sequence):
        """Give the invoice line that bills exactly this allocation.

        The amounts are handed over as fixed amounts of the tax engine. Quantity and price are the order's own
        where they give the same amount; where rounding the quantity would not (33.33 % of one unit), a
        service is billed as one piece at its amount and goods at the price that gives it.

        :param int sequence: place on the invoice.
        :rtype: dict
        """
        self.ensure_one()
        order_line = self.order_line_id
        quantity, price_unit = self._get_quantity_and_price()
        return order_line._prepare_invoice_line(
            sequence=sequence,
            name=self._get_invoice_line_name(),
            quantity=quantity,
            price_unit=price_unit,
            extra_tax_data=self._prepare_extra_tax_data(quantity, price_unit),
        )

    def _get_invoice_line_name(self):
        order_line = self.order_line_id
        name = order_line.name
        if self.currency_id.is_zero(self.amount_untaxed - order_line.price_subtotal):
            return name
        share = 100 * self.amount_untaxed / order_line.price_subtotal if order_line.price_subtotal else 0
        return self.env._(
            "%(name)s\n%(share)s %% of %(amount)s",
            name=name,
            share=f"{share:.2f}".rstrip("0").rstrip("."),
            amount=formatLang(self.env, order_line.price_subtotal, currency_obj=self.currency_id),
        )

    def _get_quantity_and_price(self):
        order_line, currency = self.order_line_id, self.currency_id
        included = any(order_line.tax_ids.flatten_taxes_hierarchy().mapped("price_include"))
        amount = self.amount_untaxed + (self._get_included_tax() if included else 0.0)
        keep = 1 - order_line.discount / 100.0
        if currency.is_zero(currency.round(order_line.price_unit * self.quantity * keep) - amount):
            return self.quantity, order_line.price_unit
        quantity = 1.0 if order_line.product_id.type == "service" or not self.quantity else self.quantity
        return quantity, amount / (quantity * keep) if keep else order_line.price_unit

    def _get_included_tax(self):
        included = self.order_line_id.tax_ids.flatten_taxes_hierarchy().filtered("price_include")
        amounts = self.tax_amounts or {}
        return sum(float(amounts[str(tax.id)]["tax"]) for tax in included if str(tax.id) in amounts)

    def _prepare_extra_tax_data(self, quantity, price_unit):
        """Fix net, base and tax of the invoice line in the way the down payments of `sale` do.

        The tax engine takes the fixed amounts only when taxes are named, so an untaxed line names none by an
        empty entry.

        :rtype: dict
        """
        order_line = self.order_line_id
        taxes = {
            tax_id: {
                "tax_amount_currency": float(amounts["tax"]),
                "base_amount_currency": float(amounts["base"]),
            }
            for tax_id, amounts in (self.tax_amounts or {}).items()
        }
        return {
            "computation_key": f"milestone,{self.line_id.id}",
            "manual_total_excluded_currency": self.amount_untaxed,
            "manual_tax_amounts": taxes or {"0": {}},
            "currency_id": self.currency_id.id,
            "price_unit": price_unit,
            "discount": order_line.discount,
            "quantity": quantity,
            "rate": order_line.order_id.currency_rate,
        }


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    # === PLANNED ALLOCATIONS ===

    def _sync_planned_allocations(self, by_order_line):
        """Bring the planned allocations of an open milestone in line with the plan.

        :param dict by_order_line: ``{order line: {part: units}}``.
        :return: values of allocations to create, and allocations to remove.
        :rtype: tuple[list[dict], milestone.billing.allocation]
        """
        self.ensure_one()
        Schedule = self.env["milestone.billing.schedule"]
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        planned = {alloc.order_line_id: alloc for alloc in self.allocation_ids if not alloc.move_id}
        values_list = []
        for order_line, units in by_order_line.items():
            alloc = planned.pop(order_line, None)
            if not any(units.values()):
                if alloc and not alloc.percent:
                    planned[order_line] = alloc
                continue
            values = Schedule._prepare_allocation_amounts(
                units, self.currency_id, digits, order_line._get_exempt_tax_ids()
            )
            if alloc:
                alloc.sudo().write(values)
            else:
                values_list.append({"line_id": self.id, "order_line_id": order_line.id, **values})
        stale = self.env["milestone.billing.allocation"].union(*planned.values())
        return values_list, stale.filtered(lambda a: not a.percent)

    def _drop_planned_allocations(self):
        self.allocation_ids.filtered(lambda alloc: not alloc.move_id).sudo().unlink()

    # === INVOICES ===

    def _get_live_invoice(self):
        """Give the one document that bills this milestone now, draft or posted."""
        self.ensure_one()
        return self.sudo().invoice_ids.filtered("milestone_claim")[:1]

    def _get_position(self):
        """Give the place of this milestone among those of its schedule, and how many there are.

        :rtype: tuple[int, int]
        """
        self.ensure_one()
        lines = self.order_id.milestone_line_ids.filtered(lambda line: line._is_planned_on_order())
        ids = lines.sorted(lambda line: (line.sequence, line.id)).ids
        return (ids.index(self.id) + 1 if self.id in ids else len(ids)), len(ids)

    def _get_invoice_label(self):
        """Name the milestone on its invoice: “Milestone 2 of 4: Build complete”.

        :rtype: str
        """
        position, count = self._get_position()
        return self.env._(
            "Milestone %(position)s of %(count)s: %(name)s", position=position, count=count, name=self.name
        )

    def _create_invoices(self):
        """Draft one invoice for each milestone from its planned allocations, in one create.

        :return: the new drafts, in the order of the milestones.
        :rtype: account.move
        """
        if not self:
            return self.env["account.move"]
        retained = self._get_retained_units()
        values_list = [line._prepare_document_values(retained.get(line, 0)) for line in self]
        Move = self.env["account.move"]
        # Claims that were given up in this transaction must be gone before the index sees the new ones.
        Move.flush_model(["milestone_claim"])
        moves = Move.sudo().with_context(self._get_invoicing_context()).create(values_list)
        for line, move in zip(self, moves, strict=True):
            line.allocation_ids.filtered(lambda alloc: not alloc.move_id).sudo().move_id = move
        return moves.with_context(self.env.context)

    def _get_invoicing_context(self):
        """Give a context of its own to new invoices: the caller may be in the middle of a payment's.

        :rtype: dict
        """
        kept = {
            key: self.env.context[key]
            for key in ("lang", "tz", "allowed_company_ids")
            if key in self.env.context
        }
        return {**kept, "tracking_disable": True, "mail_create_nolog": True, "mail_create_nosubscribe": True}

    def _prepare_document_values(self, retained):
        """Give the values of the next document of this milestone: an invoice, or a release of retainage.

        :param int retained: units that the client holds back; negative when it gives back.
        :rtype: dict
        """
        if self.kind == "retainage_release":
            return self._prepare_release_values()
        values = self._prepare_invoice_values()
        if retained:
            values["amount_retained"] = to_float(retained, self.currency_id.rounding)
            sign = -1 if values["move_type"] == "out_refund" else 1
            if retained * sign < 0:
                line_values = self._prepare_retainage_line_values(abs(values["amount_retained"]), 9000)
                values["invoice_line_ids"].append(Command.create(line_values))
        return values

    def _prepare_invoice_values(self):
        """Give the values of the draft invoice of this milestone.

        :rtype: dict
        """
        self.ensure_one()
        order = self.order_id.with_company(self.company_id)
        if lang := order.partner_invoice_id.lang:
            order = order.with_context(lang=lang)
        line = self.with_context(order.env.context)
        allocations = line.allocation_ids.filtered(lambda alloc: not alloc.move_id)
        negative = sum(allocations.mapped("amount_untaxed")) + sum(allocations.mapped("amount_tax")) < 0
        values = {
            **order._prepare_invoice(),
            "milestone_line_id": self.id,
            "milestone_document": "stage",
            "milestone_step": self.schedule_id.lock_version,
            "transaction_ids": [],
        }
        lines = [line._prepare_section_values()]
        lines += [
            alloc._prepare_invoice_line_values(sequence)
            for sequence, alloc in enumerate(
                allocations.sorted(lambda a: (a.order_line_id.sequence, a.id)), start=1
            )
        ]
        if negative:
            values["move_type"] = "out_refund"
            for line_values in lines[1:]:
                self._negate_line_values(line_values)
        values["invoice_line_ids"] = [Command.create(line_values) for line_values in lines]
        return values

    def _prepare_section_values(self):
        return {
            "display_type": "line_section",
            "sequence": 0,
            "name": f"{self._get_invoice_label()} ({self.reference})",
        }

    @api.model
    def _negate_line_values(self, values):
        """Turn a line around for a document of the other sign."""
        values["quantity"] = -values["quantity"]
        values["extra_tax_data"] = self.env["account.tax"]._reverse_quantity_base_line_extra_tax_data(
            values["extra_tax_data"]
        )

    def _log_drafted(self, moves):
        """Record the drafts as evidence and tell the team on each milestone."""
        self._log_evidence(
            "invoice.drafted",
            data=lambda line: line._get_live_invoice()._prepare_evidence_data(),
        )
        self._message_log_batch(
            bodies={
                line.id: self.env._("Draft invoice %s created.", move._get_html_link())
                for line, move in zip(self, moves, strict=True)
            }
        )
