"""Documents whose retainage waits with its tax: what they store, and what their credit notes take back."""

from datetime import timedelta
from fractions import Fraction

from odoo import Command, fields, models
from odoo.exceptions import UserError

from ..tools import retained_tax
from ..tools.money import to_float, to_text, to_units


class AccountMove(models.Model):
    _inherit = "account.move"

    milestone_retained_parts = fields.Json(
        string="Retained with Its Tax",
        readonly=True,
        copy=False,
        help="What the client holds back of this document (or, negative, gives back), by the document that held it back "
        "and its taxes, when the tax waits for the release.",
    )

    def _get_retained_parts(self):
        """Read what this document holds back and gives back with its tax.

        :return: units by document and taxes, see `tools/retained_tax.py`.
        :rtype: dict
        """
        self.ensure_one()
        rounding, parts = self.currency_id.rounding, {}
        for part in self.milestone_retained_parts or []:
            units = parts[part["document"], tuple(part["taxes"])] = {"net": to_units(part["net"], rounding)}
            for tax_id, amounts in part["tax_amounts"].items():
                units[f"t{tax_id}"] = to_units(amounts["tax"], rounding)
                units[f"b{tax_id}"] = to_units(amounts["base"], rounding)
        return parts

    def _get_waiting_tax_units(self):
        """Give the tax that this document leaves to the release; negative where it bills such tax."""
        self.ensure_one()
        rounding = self.currency_id.rounding
        return sum(to_units(part["tax"], rounding) for part in self.milestone_retained_parts or [])

    def _get_retainage_items(self):
        """Give the invoice lines on the retainage account: deducted there, or billed."""
        return self.invoice_line_ids.filtered(
            lambda item: item.milestone_retainage and item.display_type == "product"
        )

    def _post(self, soft=True):
        """Override of `account` to say when what is deducted for retainage is expected to be due."""
        for move in self.filtered(lambda move: move.milestone_retained_parts and move.state == "draft"):
            days = move.sudo().milestone_line_id.schedule_id.retainage_due_days
            date = (move.invoice_date or move.company_id._get_milestone_today()) + timedelta(days=days)
            move._get_retainage_items().filtered(lambda item: item.balance > 0).date_maturity = date
        return super()._post(soft)

    # === CREDIT NOTES ===

    def _reverse_moves(self, default_values_list=None, cancel=False):
        """Override of `account`: a reversal takes back what its document held back, with its tax."""
        values_list = default_values_list or [{} for _move in self]
        for move, values in zip(self, values_list, strict=True):
            if move.milestone_retained_parts:
                parts = move._prepare_reversed_values()["milestone_retained_parts"]
                values["milestone_retained_parts"] = parts
        return super()._reverse_moves(values_list, cancel)

    def _adjust_credited_retainage(self):
        """Override to let credit notes take back the retainage with its tax, no more than is still held."""
        waiting = self.filtered(lambda move: move.reversed_entry_id.milestone_retained_parts)
        for credit in waiting.filtered(lambda move: move._is_milestone_credit()):
            credit._write_retained_parts(retained_tax.negate(credit._get_credited_parts()))
        return super(AccountMove, self - waiting)._adjust_credited_retainage()

    def _get_credited_parts(self):
        """Give what this credit note takes back of the retainage of its document.

        :rtype: dict
        """
        origin = self.reversed_entry_id
        parts, schedule = origin._get_retained_parts(), origin.milestone_line_id.sudo().schedule_id
        issued = schedule._get_held_documents() - schedule._get_release_drafts()
        held = schedule._get_retained_pot(issued - self)
        earlier = origin.reversal_move_ids.filtered(
            lambda move: move != self and move.state == "posted" and move.milestone_document == "credit"
        )
        if self.milestone_from_retainage:
            return retained_tax.kept(parts, self._get_credited_net(), held)
        before = {}
        for move in earlier:
            retained_tax.add(before, move._get_retained_parts(), -1)
        return retained_tax.credited(parts, before, origin._get_credited_shares(earlier | self), held)

    def _get_work_net(self):
        """Give the net units of this document by taxes, what is deducted for retainage or released apart.

        A release has nothing else: there the released parts count.

        :rtype: dict
        """
        self.ensure_one()
        items = self.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        work, rounding, total = items - self._get_retainage_items(), self.currency_id.rounding, {}
        for item in work or items:
            key = tuple(item.tax_ids.ids)
            total[key] = total.get(key, 0) - to_units(item.amount_currency, rounding)
        return total

    def _get_credited_net(self):
        return {taxes: -units for taxes, units in self._get_work_net().items()}

    def _get_credited_shares(self, credits):
        """Give the exact share that credit notes take back of this document, by the taxes of its retainage.

        :param credits: all credit notes up to the one at hand.
        :rtype: dict
        """
        billed, back = self._get_work_net(), {}
        for credit in credits:
            for taxes, units in credit._get_credited_net().items():
                back[taxes] = back.get(taxes, 0) + units
        whole, taken = sum(billed.values()), sum(back.values())
        overall = Fraction(taken, whole) if whole else Fraction(1)
        return {
            taxes: Fraction(back.get(taxes, 0), billed[taxes]) if billed.get(taxes) else overall
            for _document, taxes in self._get_retained_parts()
        }

    def _write_retained_parts(self, parts):
        """Bring a draft credit note's retainage in line with parts: what it stores, and its invoice lines.

        :param dict parts: units by document and taxes.
        """
        self.ensure_one()
        line = self.reversed_entry_id.milestone_line_id.sudo()
        stored = line.schedule_id._prepare_retained_parts(parts)
        net = sum(units["net"] for units in parts.values())
        if stored == self.milestone_retained_parts and self._has_retainage_items(parts):
            return
        values = {
            "amount_retained": to_float(net, self.currency_id.rounding),
            "milestone_retained_parts": False,
            "invoice_line_ids": [Command.unlink(item.id) for item in self._get_retainage_items()],
        }
        line._add_taxed_retainage(values, parts, -1)
        self.sudo().write(values)

    def _has_retainage_items(self, parts):
        """Tell whether the retainage lines of this document are exactly these parts, taxes included."""
        wanted, found, rounding = {}, {}, self.currency_id.rounding
        for taxes, units in retained_tax.by_taxes(parts).items():
            wanted[taxes] = units["net"]
        for item in self._get_retainage_items():
            key = tuple(item.tax_ids.ids)
            found[key] = found.get(key, 0) + to_units(item.amount_currency, rounding)
        return wanted == found and self._has_fixed_taxes()

    def _has_fixed_taxes(self):
        """Tell whether the taxes of the retainage lines are still those that were fixed, not computed anew."""
        return all(
            (item.extra_tax_data or {}).get("manual_tax_amounts")
            and not self.currency_id.compare_amounts(item.extra_tax_data["price_unit"], item.price_unit)
            for item in self._get_retainage_items()
        )

    # === WITHDRAWN DOCUMENTS ===

    def _detach_allocations(self):
        """Override: a document whose retainage was released cannot go before the release is taken back."""
        for move in self.filtered("milestone_retained_parts"):
            move._check_retainage_not_released()
        for move in self.filtered(
            lambda move: move.amount_retained > 0 and not move.milestone_retained_parts
        ):
            move._check_held_without()
        return super()._detach_allocations()

    def _check_held_without(self):
        schedule = self.milestone_line_id.sudo().schedule_id
        held = schedule._get_held_units(with_drafts=False) - sum(
            to_units(move.amount_retained, move.currency_id.rounding)
            for move in schedule._get_held_documents() & self
        )
        if held < 0:
            self._raise_released(-held)

    def _raise_released(self, units):
        raise UserError(
            self.env._(
                "%(amount)s of the retainage of %(invoice)s is released already. Credit the release first.",
                amount=to_text(units, self.currency_id.rounding),
                invoice=self.display_name,
            )
        )

    def _check_retainage_not_released(self):
        schedule = self.milestone_line_id.sudo().schedule_id
        others = schedule._get_documents() - schedule._get_release_drafts() - self
        pot = schedule._get_retained_pot(others)
        documents = {document for document, _taxes in self._get_retained_parts()}
        released = [units["net"] for (document, _taxes), units in pot.items() if document in documents]
        if min(released, default=0) < 0:
            self._raise_released(-sum(min(net, 0) for net in released))
