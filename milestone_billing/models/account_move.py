from odoo import api, fields, models

from ..tools.money import to_text, to_units


class AccountMove(models.Model):
    _inherit = "account.move"

    milestone_line_id = fields.Many2one(
        "milestone.billing.line",
        string="Milestone",
        readonly=True,
        index="btree_not_null",
        ondelete="restrict",
    )
    milestone_document = fields.Selection(
        [
            ("stage", "Milestone invoice"),
            ("credit", "Credit note of a milestone"),
            ("release", "Retainage release"),
        ],
        readonly=True,
        copy=False,
    )
    milestone_credited = fields.Boolean(
        readonly=True, copy=False, help="A credit note gave back the right to bill the milestone."
    )
    milestone_claim = fields.Boolean(
        compute="_compute_milestone_claim",
        store=True,
        precompute=True,
        help="This document is the one that bills its milestone now.",
    )
    milestone_allocation_ids = fields.One2many("milestone.billing.allocation", "move_id", readonly=True)
    milestone_step = fields.Integer(
        readonly=True, copy=False, help="Place among the billing steps of the order; statements follow it."
    )
    amount_retained = fields.Monetary(
        string="Retained",
        readonly=True,
        copy=False,
        help="What the client holds back of this document; negative where retainage is released or credited.",
    )

    _milestone_claim_unique = models.UniqueIndex(
        "(milestone_line_id) WHERE milestone_claim",
        "This milestone already has an invoice. Delete the draft or credit it to bill the milestone again.",
    )

    @api.depends("milestone_line_id", "milestone_document", "milestone_credited", "state")
    def _compute_milestone_claim(self):
        for move in self:
            move.milestone_claim = bool(
                move.milestone_line_id
                and move.milestone_document in ("stage", "release")
                and not move.milestone_credited
                and move.state != "cancel"
            )

    # === LIFE OF A MILESTONE INVOICE ===

    def _post(self, soft=True):
        """Override of `account` to record posting as evidence and give credited parts back to their milestones."""
        self._adjust_credited_retainage()
        posted = super()._post(soft)
        stages = posted.filtered(lambda move: move.milestone_document == "stage")
        for move in stages:
            move.milestone_line_id._log_evidence("invoice.posted", data=move._prepare_evidence_data())
        posted._give_capacity_back()
        posted._clear_retainage()
        return posted

    def _give_capacity_back(self):
        """Return what a posted credit note takes back to the milestone's planned allocations."""
        credits = self.filtered(
            lambda move: (
                move.move_type == "out_refund"
                and move.reversed_entry_id.milestone_document in ("stage", "release")
            )
        )
        for credit in credits:
            credit._book_milestone_credit()

    def _book_milestone_credit(self):
        self.ensure_one()
        invoice, line = self.reversed_entry_id, self.reversed_entry_id.milestone_line_id.sudo()
        values_list = self._prepare_credit_allocations(line)
        line.schedule_id._lock()
        self.sudo().write(
            {
                "milestone_line_id": line.id,
                "milestone_document": "credit",
                "milestone_step": line.schedule_id.lock_version,
            }
        )
        invoice.sudo().milestone_credited = True
        Allocation = self.env["milestone.billing.allocation"].sudo()
        Allocation.create([{**values, "move_id": self.id} for values in values_list])
        line._plan_credited(values_list)
        line._reopen()

    def _prepare_credit_allocations(self, line):
        """Read what this credit note takes back per order line, as negative allocations.

        :rtype: list[dict]
        """
        Schedule = self.env["milestone.billing.schedule"]
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        base_lines, _tax_lines = self._get_rounded_base_and_tax_lines()
        by_order_line = {}
        for base_line in base_lines:
            order_line = base_line["record"].sale_line_ids[:1]
            if not order_line:
                continue
            units = Schedule._get_base_line_units(base_line, base_line["quantity"], digits)
            total = by_order_line.setdefault(order_line, {})
            for part, count in units.items():
                total[part] = total.get(part, 0) - abs(count) * (
                    1 if count * self.direction_sign >= 0 else -1
                )
        return [
            {
                "line_id": line.id,
                "order_line_id": order_line.id,
                **Schedule._prepare_allocation_amounts(
                    units, self.currency_id, digits, order_line._get_exempt_tax_ids()
                ),
            }
            for order_line, units in by_order_line.items()
        ]

    def button_draft(self):
        """Override of `account`: a credit note back in draft takes its milestone's capacity again."""
        credits = self.filtered(lambda move: move.milestone_document == "credit")
        for credit in credits:
            credit._withdraw_milestone_credit()
        return super().button_draft()

    def _withdraw_milestone_credit(self):
        self.ensure_one()
        line = self.milestone_line_id.sudo()
        line._withdraw_credited(self)
        self.sudo().milestone_allocation_ids.unlink()
        self.sudo().milestone_document = False
        self.reversed_entry_id.sudo().milestone_credited = False

    def button_cancel(self):
        """Override of `account`: a cancelled milestone invoice gives its milestone back."""
        result = super().button_cancel()
        self.filtered(lambda move: move.state == "cancel")._release_milestone()
        return result

    def unlink(self):
        stages = self.filtered(lambda move: move.milestone_document == "stage")
        lines = stages.milestone_line_id
        stages.sudo().milestone_allocation_ids.move_id = False
        stages.sudo().milestone_line_id = False
        result = super().unlink()
        lines.sudo()._reopen()
        lines.schedule_id.sudo()._replan()
        return result

    def _release_milestone(self):
        """Give the milestones of cancelled documents back to planning, their history kept."""
        stages = self.filtered(lambda move: move.milestone_document == "stage")
        stages.sudo().milestone_allocation_ids.move_id = False
        lines = stages.milestone_line_id.sudo()
        lines._reopen()
        lines.schedule_id._replan()

    def _invoice_paid_hook(self):
        """Override of `account` to open the next milestone when one is paid."""
        result = super()._invoice_paid_hook()
        paid = self.filtered(lambda move: move.milestone_document == "stage" and move.milestone_claim)
        paid.milestone_line_id.sudo()._on_paid()
        return result

    # === STATEMENT ===

    def _prepare_earlier_invoice_row(self):
        """Give the figures of this document as a final invoice lists them; see `_get_earlier_invoices`.

        :rtype: dict
        """
        self.ensure_one()
        rounding, sign = self.currency_id.rounding, -self.direction_sign

        def text(amount):
            return to_text(to_units(sign * amount, rounding), rounding)

        return {
            "move_id": self.id,
            "number": self.name,
            "date": self.invoice_date,
            "label": self.milestone_line_id.display_name,
            "net": text(self.amount_untaxed),
            "tax": text(self.amount_tax),
            "total": text(self.amount_total),
            "paid": text(self.amount_total - self.amount_residual),
        }

    # === EVIDENCE ===

    def _prepare_evidence_data(self):
        """Give the amounts of this document as text, for an evidence entry.

        :rtype: dict
        """
        self.ensure_one()
        rounding = self.currency_id.rounding

        def text(amount):
            return to_text(to_units(amount, rounding), rounding)

        return {
            "invoice_ref": self.name or "",
            "amount_untaxed": text(self.amount_untaxed),
            "amount_tax": text(self.amount_tax),
            "amount_total": text(self.amount_total),
            "currency": self.currency_id.name,
        }
