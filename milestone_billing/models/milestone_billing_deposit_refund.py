"""A deposit that is not earned goes back to the client, with the tax that was billed with it."""

from odoo import Command, api, fields, models
from odoo.exceptions import UserError


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    can_refund_deposit = fields.Boolean(
        compute="_compute_can_refund_deposit",
        compute_sudo=True,
        help="A deposit invoice is issued, and no credit note has taken back all of it.",
    )

    @api.depends(
        "kind",
        "invoice_ids.state",
        "invoice_ids.milestone_claim",
        "allocation_ids.amount_untaxed",
        "invoice_status",
    )
    def _compute_can_refund_deposit(self):
        deposits = self.filtered(lambda line: line.kind == "deposit")
        (self - deposits).can_refund_deposit = False
        for line in deposits:
            invoices = line._get_advance_invoices() or line._get_deposit_documents()
            line.can_refund_deposit = invoices[:1].state == "posted"

    def action_refund_deposit(self):
        """Refund what is left of this deposit, and open the credit note.

        :rtype: dict
        """
        result = self.refund_deposit()
        return {
            "type": "ir.actions.act_window",
            "res_model": "account.move",
            "res_id": result["credit_note_id"],
            "views": [(False, "form")],
        }

    def refund_deposit(self):
        """Credit what is not earned of a deposit, each tax as it was billed.

        An advance is credited as far as later invoices have not deducted it; a deposit that is a share of the price is
        credited as far as no credit note has taken it back. The credit note settles what is unpaid of the deposit; a paid one leaves it open, to be paid back.

        :return: ``{"credit_note_id", "amount"}``, `amount` with tax.
        :rtype: dict
        :raise AccessError: for anybody but billing users.
        :raise UserError: if the deposit is not billed, or nothing is left of it.
        """
        self.ensure_one()
        self._check_may_bill()
        line = self.sudo()
        line.schedule_id._lock()
        invoices = line._get_advance_invoices() or line._get_deposit_documents()
        line._check_deposit_refundable(invoices[:1])
        if invoices[:1].milestone_is_advance:
            credits = line._refund_advances(invoices)
        else:
            credits = invoices._reverse_rest()
        credits._post()
        for credit in credits:
            credit.reversed_entry_id._settle_with(credit)
        return {"credit_note_id": credits[:1].id, "amount": sum(credits.mapped("amount_total"))}

    def _get_deposit_documents(self):
        """Give the documents of this deposit that still bill something: more than one after a credit in part.

        :return: the newest first; where nothing is issued, its draft.
        :rtype: account.move
        """
        issued = self.invoice_ids.filtered(lambda move: move.state == "posted" and move._has_rest())
        return issued.sorted("id", reverse=True) or self._get_live_invoice()

    def _check_deposit_refundable(self, invoice):
        if self.kind != "deposit" or invoice.state != "posted":
            raise UserError(
                self.env._(
                    "“%s” has no issued deposit invoice. Delete a draft instead; there is nothing to refund.",
                    self.name,
                )
            )
        if invoice.milestone_is_advance and not self._get_refundable_columns():
            raise UserError(
                self.env._(
                    "Later invoices have deducted all of deposit “%s”. Credit those first to refund it.",
                    self.name,
                )
            )

    def _get_refundable_columns(self):
        """Give what is left of an advance by order line, only order lines with something left.

        :rtype: dict
        """
        left = self.schedule_id._get_unrecovered(self).get(self, {})
        return {order_line: units for order_line, units in left.items() if any(units.values())}

    def _get_advance_invoices(self):
        """Give the issued invoices of this advance that are not wholly credited: more than one after a credit in part.

        :return: the newest first.
        :rtype: account.move
        """
        moves = self.allocation_ids.move_id.filtered(
            lambda move: (
                move.milestone_is_advance
                and move.milestone_document == "stage"
                and move.state == "posted"
                and any(units["net"] for units in move._get_uncredited_columns().values())
            )
        )
        return moves.sorted("id", reverse=True)

    def _refund_advances(self, invoices, values=None):
        """Draft credit notes over what is left of this advance, of each invoice no more than it still bills.

        :param invoices: see `_get_advance_invoices`.
        :param dict values: of the credit notes.
        :rtype: account.move
        """
        left, credits = self._get_refundable_columns(), invoices.browse()
        for invoice in invoices:
            columns = {}
            for order_line, own in invoice._get_uncredited_columns().items():
                rest = left.get(order_line, {"net": 0})
                columns[order_line] = own if abs(own["net"]) <= abs(rest["net"]) else rest
                left[order_line] = {
                    part: rest.get(part, 0) - columns[order_line].get(part, 0) for part in rest
                }
            if any(units["net"] for units in columns.values()):
                credit = invoice._reverse_moves([dict(values or {})])
                self._limit_refund(credit, columns)
                credits += credit
        return credits

    def _limit_refund(self, credit, columns):
        """Lower the lines of a draft credit note to a part of this advance, each set of taxes for itself.

        :param dict columns: what is credited, by order line.
        """
        columns = {key: units for key, units in columns.items() if any(units.values())}
        line, commands = self._in_client_language(), []
        for item in credit.invoice_line_ids.filtered(lambda item: item.sale_line_ids.milestone_deposit_id):
            down_payment = item.sale_line_ids[:1]
            if not any(order_line.tax_ids == down_payment.tax_ids for order_line in columns):
                commands.append(Command.unlink(item.id))
                continue
            values = line._prepare_down_payment_values(down_payment, columns, 1)
            kept = {name: values[name] for name in ("price_unit", "quantity", "extra_tax_data")}
            commands.append(Command.update(item.id, kept))
        credit.write({"invoice_line_ids": commands})


class AccountMove(models.Model):
    _inherit = "account.move"

    def _get_uncredited_columns(self):
        """Give what this document bills by order line, less what its credit notes have taken back.

        :return: ``{order line: {part: units}}``
        :rtype: dict
        """
        digits, columns = self.env["decimal.precision"].precision_get("Product Unit"), {}
        for alloc in (self | self._get_milestone_credits()).milestone_allocation_ids:
            column = columns.setdefault(alloc.order_line_id, {"net": 0})
            for part, units in alloc._get_units(digits).items():
                column[part] = column.get(part, 0) + units
        return columns

    def _settle_with(self, credit):
        """Match what is unpaid of this document with its credit note."""
        items = (self | credit).line_ids.filtered(
            lambda item: (
                item.display_type == "payment_term" and not item.milestone_retainage and not item.reconciled
            )
        )
        if len({item.balance > 0 for item in items}) > 1:
            items.reconcile()
