"""The documents of a milestone: from planned allocations to the draft invoice."""

from odoo import Command, api, models

CHUNK_SIZE = 250


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    # === PLANNED ALLOCATIONS ===

    def _sync_planned_allocations(self, by_order_line):
        """Bring the planned allocations of an open milestone in line with the plan.

        Order lines that were chosen by hand stay, also while nothing of them is billed.

        :param dict by_order_line: ``{order line: {part: units}}``.
        :return: values of allocations to create, and allocations to remove.
        :rtype: tuple[list[dict], milestone.billing.allocation]
        """
        self.ensure_one()
        Schedule = self.env["milestone.billing.schedule"]
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        planned = {alloc.order_line_id: alloc for alloc in self.allocation_ids._filter_planned()}
        values_list = []
        for order_line, units in by_order_line.items():
            if not any(units.values()):
                continue
            alloc = planned.pop(order_line, None)
            values = Schedule._prepare_allocation_amounts(
                units, self.currency_id, digits, order_line._get_exempt_tax_ids()
            )
            if alloc:
                alloc.sudo().write(values)
            else:
                values_list.append({"line_id": self.id, "order_line_id": order_line.id, **values})
        stale = self.env["milestone.billing.allocation"].union(*planned.values())
        chosen = stale.filtered(lambda alloc: alloc.percent or self._chooses_order_lines())
        chosen.filtered(lambda alloc: alloc._bills_anything())._empty()
        return values_list, stale - chosen

    def _drop_planned_allocations(self):
        """Let these milestones plan nothing; which order lines were chosen by hand stays, they may be restored."""
        planned = self.allocation_ids._filter_planned()
        chosen = planned.filtered("percent")
        chosen._empty()
        (planned - chosen).sudo().unlink()

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

    def _get_invoice_label(self, place=None):
        """Name the milestone on its invoice: “Milestone 2 of 4: Build complete”.

        A release bills no stage, so it is known by its name alone.

        :param tuple place: place and number of milestones as a document names them; those of now without.
        :rtype: str
        """
        if self.kind == "retainage_release":
            return self.name
        position, count = place or self._get_position()
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
        self._read_ahead_to_bill()
        retained, advances = self._get_retained_units(), self._get_open_advances()
        pots = self.browse().union(*retained)._get_retained_pots()
        values_list, recovered = [], []
        analytics = self.allocation_ids.order_line_id._get_project_analytics()
        has_models = self.env["account.analytic.distribution.model"].sudo().search_count([], limit=1)
        for line in self.with_context(
            milestone_project_analytics=analytics, milestone_analytic_models=bool(has_models)
        ):
            taken = line._recover_from(advances)
            recovered.append(taken)
            values = line._prepare_document_values(taken, advances)
            if line in retained:
                line._hold_back(values, retained[line], pots)
            values_list.append(values)
        moves = self._create_documents(values_list)
        for line, move in zip(self, moves, strict=True):
            line.allocation_ids._filter_planned().sudo().move_id = move
        self._keep_recovered(moves, recovered)
        return moves.with_context(self.env.context)  # pylint: disable=context-overridden

    def _create_documents(self, values_list):
        """Create documents in chunks: what `account` and the ORM do within one create grows faster than its size.

        :rtype: account.move
        """
        Move = self.env["account.move"]
        # Claims that were given up in this transaction must be gone before the index sees the new ones.
        Move.flush_model(["milestone_claim"])
        context = self._get_invoicing_context()  # replaces the caller's, on purpose
        Move = Move.sudo().with_context(context)  # pylint: disable=context-overridden
        chunks = [values_list[start : start + CHUNK_SIZE] for start in range(0, len(values_list), CHUNK_SIZE)]
        return Move.union(*(Move.create(chunk) for chunk in chunks))

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

    def _prepare_document_values(self, taken, advances):
        """Give the values of the next document of this milestone: invoice, advance, or release of retainage.

        :param dict taken: what is recovered of earlier advances, see `_recover`.
        :param dict advances: what is left to recover by schedule, see `_get_open_advances`.
        :rtype: dict
        """
        if self.kind == "retainage_release":
            return self._in_client_language()._prepare_release_values()
        if self._is_advance(advances):
            return self._prepare_advance_values(advances[self.schedule_id])
        return self._prepare_invoice_values(taken)

    def _in_client_language(self):
        """Give this milestone in the language and company in which its client gets documents."""
        lang = self.order_id.partner_invoice_id.lang
        line = self.with_company(self.company_id)
        return line.with_context(lang=lang) if lang else line

    def _prepare_head_values(self):
        """Give the values of the next document of this milestone without its lines.

        :rtype: dict
        """
        self.ensure_one()
        place, count = self._get_position()
        return {
            **self.order_id._prepare_invoice(),
            "milestone_line_id": self.id,
            "milestone_place": place,
            "milestone_place_count": count,
            "milestone_document": "stage",
            "milestone_step": self.schedule_id.lock_version,
            "transaction_ids": [],
        }

    def _prepare_invoice_values(self, taken):
        """Give the values of the draft invoice of this milestone.

        :param dict taken: what is recovered of earlier advances, see `_recover`.
        :rtype: dict
        """
        line = self._in_client_language()
        values, amounts = line._prepare_head_values(), line._get_amounts_to_bill(taken)
        planned = line.allocation_ids._filter_planned()
        lines = [
            order_line._prepare_milestone_invoice_line(amounts[order_line], line, sequence)
            for sequence, order_line in enumerate(amounts, start=1)
        ]
        lines += line._prepare_recovery_lines(taken)
        if sum(planned.mapped("amount_untaxed")) + sum(planned.mapped("amount_tax")) < 0:
            values["move_type"] = "out_refund"
            for line_values in lines:
                self._negate_line_values(line_values)
        values["invoice_line_ids"] = [
            Command.create(line_values) for line_values in [line._prepare_section_values(), *lines]
        ]
        return values

    def _get_amounts_to_bill(self, taken):
        """Give what the next invoice bills of each order line: its own part, and what is recovered of advances.

        :param dict taken: what is recovered of earlier advances, see `_recover`.
        :return: amounts by order line, in the order of the order.
        :rtype: dict
        """
        planned = self.allocation_ids._filter_planned().filtered(lambda alloc: alloc._bills_anything())
        amounts = {alloc.order_line_id: alloc._get_amounts() for alloc in planned}
        if taken:
            digits = self.env["decimal.precision"].precision_get("Product Unit")
            whole = {alloc.order_line_id: alloc._get_units(digits) for alloc in planned}
            for columns in taken.values():
                for order_line, units in columns.items():
                    column = whole.setdefault(order_line, {"net": 0})
                    for part, count in units.items():
                        column[part] = column.get(part, 0) + count
            recovered = {order_line for columns in taken.values() for order_line in columns}
            amounts.update({key: self._sum_amounts({key: whole[key]}) for key in recovered})
        keys = sorted(amounts, key=lambda order_line: (order_line.sequence, order_line.id))
        return {key: amounts[key] for key in keys}

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
                line.id: self.env._("Completed: draft invoice %s created.", move._get_html_link())
                if not line.approval_required
                else self.env._(
                    "Completed: draft invoice %s created, the client is asked to approve.",
                    move._get_html_link(),
                )
                for line, move in zip(self, moves, strict=True)
            }
        )
