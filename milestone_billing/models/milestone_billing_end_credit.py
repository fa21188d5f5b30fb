"""Credit notes at the end of a contract: a stage, an advance that is not earned, retainage that the client keeps."""

from fractions import Fraction

from odoo import Command, fields, models
from odoo.exceptions import UserError

from ..tools import allocation, retained_tax
from ..tools.money import round_half_up, to_units


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def _credit_unearned(self, deposit):
        """Credit what is left to recover of an advance, with its tax; an open invoice is settled with it.

        :param deposit: the milestone of the advance.
        :return: the credit note, or those of each of its invoices.
        :rtype: account.move
        """
        invoices = deposit.sudo()._get_advance_invoices()
        if not invoices:
            raise UserError(
                self.env._(
                    "Deposit “%s” was billed before, so it is credited where it was billed. Keep it as earned here, or "
                    "credit it there and remove it from “Billed Before”.",
                    deposit.name,
                )
            )
        today = invoices[0].company_id._get_milestone_today()
        return deposit.sudo()._refund_advances(invoices, {"invoice_date": today})._post_end_credit()

    def _forfeit_deposit(self, deposit, account, is_taxed):
        """Credit what is left of an advance and keep its money by an invoice of its own: a penalty, no work.

        Whether a penalty is taxed is national law, so the tax of the deposit stays due or goes back as chosen.

        :param deposit: the milestone of the advance.
        :param account: where the penalty is earned.
        :param bool is_taxed: bill the penalty with the tax of the deposit; else the money with it, untaxed.
        :return: the invoice, settled with the credit note as far as the deposit was paid.
        :rtype: account.move
        """
        credit = self._credit_unearned(deposit)
        client = deposit._in_client_language()
        lines = [
            Command.create(client._prepare_forfeit_values(item, account, is_taxed))
            for item in credit.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        ]
        values = {**self.order_id._prepare_invoice(), "transaction_ids": [], "invoice_line_ids": lines}
        values["invoice_payment_term_id"] = False  # the money is there, and no early discount on its tax
        values["invoice_currency_rate"] = credit[:1].invoice_currency_rate  # it came at that rate, and stays
        context = deposit._get_invoicing_context()  # replaces the caller's, on purpose
        # pylint: disable-next=context-overridden
        invoice = self.env["account.move"].sudo().with_context(context).create(values)
        invoice._post()
        invoice._settle_with(credit)
        return invoice

    def _earn_deposits(self):
        """Turn advances that are left into revenue, by a document of zero: the tax was due with the advance.

        :return: the document, empty when nothing is left.
        :rtype: account.move
        """
        Move = self.env["account.move"]
        if not self._get_unearned_deposits():
            return Move
        line = self.env["milestone.billing.line"].sudo().create(self._prepare_earned_line_values())
        advances = line._get_open_advances()
        advances[self]["open"] = (
            line.browse()
        )  # whatever is not billed will not be: this takes everything that is left
        taken = line._recover_from(advances)
        values = line._prepare_document_values(taken, advances)
        context = line._get_invoicing_context()  # replaces the caller's, on purpose
        move = Move.sudo().with_context(context).create(values)  # pylint: disable=context-overridden
        line._keep_recovered(move, [taken])
        line._log_completed("end")
        line._log_drafted(move)
        line._transition("approve_unasked", {"completed_on": fields.Datetime.now()})
        move._post()
        return move

    def _prepare_earned_line_values(self):
        client = self.with_context(lang=self.partner_id.lang or self.env.lang)
        return {
            "order_id": self.order_id.id,
            "schedule_id": self.id,
            "name": client.env._("Deposit kept as earned"),
            "kind": "final",
            "sequence": max(self.line_ids.mapped("sequence"), default=0) + 10,
            "amount_type": "fixed",
            "amount_fixed": 0.0,
            "approval_required": False,
        }

    def _get_documents(self):
        """Extend with documents that bill nothing and only turn advances into revenue."""
        moves = super()._get_documents() | self.line_ids.recovery_ids.move_id
        return moves.sorted(lambda move: (move.milestone_step, move.id))

    def _credit_retainage(self):
        """Credit everything that is held back: the client keeps it, see the defects of a retention.

        :return: the credit notes, one for each invoice.
        :rtype: account.move
        """
        if self.retainage_tax == "release":
            raise UserError(
                self.env._(
                    "The tax on the retainage of %s waits for its release, so it is credited by hand: use “Credit Note” on "
                    "the invoice and mark “Take from Retainage”, or choose another way here.",
                    self.order_id.name,
                )
            )
        if self._get_retained_before_units():
            raise UserError(
                self.env._(
                    "A part of the retainage of %s is held on invoices from before. Release it here, or credit it where "
                    "it was billed and remove it from “Billed Before”.",
                    self.order_id.name,
                )
            )
        credits = self.env["account.move"]
        for invoice in self._get_documents().filtered(lambda move: move.milestone_document == "stage"):
            if held := invoice._get_held_residual_units():
                credits += invoice.sudo()._credit_held(held)
        return credits


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _prepare_forfeit_values(self, item, account, is_taxed):
        """Give the invoice line that keeps what a line of the deposit's credit note gives back.

        :rtype: dict
        """
        values = {
            "name": self.env._("Deposit kept, %s was cancelled", self.order_id.name),
            "account_id": account.id,
            "quantity": 1.0,
            "price_unit": item.price_total,
            "tax_ids": [Command.clear()],
        }
        if not is_taxed:
            return values
        return {
            **values,
            "price_unit": item.price_unit,
            "tax_ids": [Command.set(item.tax_ids.ids)],
            "extra_tax_data": item.extra_tax_data,
        }


class AccountMove(models.Model):
    _inherit = "account.move"

    def _get_held_residual_units(self):
        """Give the retainage of this posted document that was neither released nor credited.

        :rtype: int
        """
        items = self.line_ids.filtered(
            lambda item: item.milestone_retainage and item.display_type == "payment_term"
        )
        if self.state != "posted" or self.move_type != "out_invoice":
            return 0
        return to_units(sum(items.mapped("amount_residual_currency")), self.currency_id.rounding)

    def _credit_whole(self):
        """Credit what is left of these documents.

        :rtype: account.move
        """
        credits = self.browse()
        for move in self.sorted(lambda move: (move.milestone_step, move.id), reverse=True):
            values = {"invoice_date": move.company_id._get_milestone_today()}
            credits += move.sudo()._reverse_rest(values)._post_end_credit()
        return credits

    def _credit_held(self, held):
        """Credit a part of the work of this invoice that comes, with its tax, to what is held back of it.

        :param int held: units.
        :rtype: account.move
        """
        line, values = self.milestone_line_id, {"milestone_from_retainage": True}
        today = self.company_id._get_milestone_today()
        credit = self._reverse_moves([{**values, "invoice_date": today}])
        amounts = self._split_held(held)
        for item in credit.invoice_line_ids.filtered(lambda item: item.display_type == "product"):
            order_line = item.sale_line_ids[:1]
            if order_line not in amounts:
                item.unlink()
                continue
            values = order_line._prepare_milestone_invoice_line(amounts[order_line], line, item.sequence)
            item.write({name: values[name] for name in ("quantity", "price_unit", "extra_tax_data", "name")})
        return credit._post_end_credit()

    def _split_held(self, held):
        """Split what is held back into net and taxes of the order lines that this invoice bills.

        :return: amounts by order line, adding up to what is held.
        :rtype: dict
        """
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        rounding, line = self.currency_id.rounding, self.milestone_line_id
        columns, issued = {}, self.reversal_move_ids.filtered(lambda move: move.state == "posted")
        for alloc in (
            self | issued
        ).milestone_allocation_ids:  # what credit notes took back is not there any more
            retained_tax.add(columns, {alloc.order_line_id: alloc._get_units(digits)})
        left = line._sum_amounts(columns)
        net = sum(units["net"] for units in columns.values())
        share = Fraction(held, to_units(left["amount_untaxed"] + left["amount_tax"], rounding))
        parts = allocation.take(columns, round_half_up(share * net))
        amounts = {
            key: line._sum_amounts({key: units}) for key, units in parts.items() if any(units.values())
        }
        total = sum(
            to_units(values[name], rounding)
            for values in amounts.values()
            for name in ("amount_untaxed", "amount_tax")
        )
        _settle(parts, held - total)
        return {key: line._sum_amounts({key: parts[key]}) for key in amounts}

    def _post_end_credit(self):
        """Post these credit notes and settle what is open of their invoices with them; payments stay."""
        self._post()
        for credit in self:
            credit.reversed_entry_id._settle_with(credit)
        return self


def _settle(parts, difference):
    """Put what rounding leaves on the largest tax, or on the net where there is none."""
    slots = [
        (abs(units[name]), name[0] == "t", key, name)
        for key, units in parts.items()
        for name in units
        if name == "net" or name[0] == "t"
    ]
    if difference:
        _size, _is_tax, key, name = max(slots, key=lambda slot: (slot[1], slot[0]))
        parts[key][name] += difference
