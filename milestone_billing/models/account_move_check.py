"""What documents may bill of orders with a schedule: exactly what their milestone says, and nothing beside it."""

from odoo import models
from odoo.exceptions import UserError
from odoo.tools import formatLang

from ..tools.money import to_units


class AccountMove(models.Model):
    _inherit = "account.move"

    def _check_milestone_documents(self):
        """Refuse to post documents that bill what a schedule owns, or that were changed by hand.

        :raise UserError: naming the document and what to do.
        """
        documents = self.filtered(lambda move: move.is_sale_document(include_receipts=True))
        for move in documents:
            if move.milestone_document in ("stage", "release"):
                move._check_not_on_hold()
                move._check_kind_kept()
                move._check_taxes_not_rounded()
                move._check_equals_milestone()
            elif move._is_milestone_credit():
                move._check_takes_back_issued()
                move._check_credits_what_was_billed()
                move._check_taxes_not_rounded()
            else:
                move._check_bills_nothing_owned()

    def _is_milestone_credit(self):
        """Tell whether this document takes a milestone's document back: also an invoice that reverses a negative one.

        :rtype: bool
        """
        origin = self.reversed_entry_id
        return (
            origin.milestone_document in ("stage", "release")
            and self.is_sale_document()
            and self.move_type != origin.move_type
        )

    def _check_takes_back_issued(self):
        """Refuse to take back what is not issued any more, or while a part credited before is being billed again.

        :raise UserError: naming the document and what to do.
        """
        origin = self.reversed_entry_id
        if origin.state != "posted":
            raise UserError(
                self.env._(
                    "%(invoice)s is not issued any more, so there is nothing to take back. Delete its credit note.",
                    invoice=origin.display_name,
                )
            )
        again = origin.milestone_line_id.sudo()._get_live_invoice()
        if again != origin and again.state == "draft":
            raise UserError(
                self.env._(
                    "“%(milestone)s” is being billed again by %(draft)s. Issue or delete that first, then credit "
                    "%(invoice)s.",
                    milestone=origin.milestone_line_id.name,
                    draft=again.display_name,
                    invoice=origin.display_name,
                )
            )

    def _check_not_on_hold(self):
        line = self.milestone_line_id.sudo()
        if line.is_on_hold:
            raise UserError(
                self.env._("%s Resume the milestone before you issue its invoice.", line._get_hold_sentence())
            )

    def _check_kind_kept(self):
        """Refuse another currency or other taxes than those of the order, also where the figures are the same."""
        line = self.milestone_line_id.sudo()
        self._check_company_kept(line.company_id)
        if self.currency_id != line.currency_id:
            raise UserError(
                self.env._(
                    "The draft of “%(milestone)s” is in %(actual)s, its order in %(expected)s. Undo the change.",
                    milestone=line.name,
                    actual=self.currency_id.name,
                    expected=line.currency_id.name,
                )
            )
        known = {}
        for row in (*self.sudo().milestone_allocation_ids, *self.sudo().milestone_recovery_ids):
            known.setdefault(row.order_line_id, set()).update(int(tax_id) for tax_id in row.tax_amounts or {})
        taxes = set().union(*known.values())
        for item in self.invoice_line_ids.filtered(lambda item: item.display_type == "product"):
            if item.milestone_retainage or not item.amount_currency:
                continue
            own = known.get(
                item.sale_line_ids[:1]
            )  # none of a down payment: it stands for several order lines
            allowed = taxes if own is None else own
            is_bare = own and not item.tax_ids
            if is_bare or not allowed.issuperset(item.tax_ids.flatten_taxes_hierarchy().ids):
                raise UserError(
                    self.env._(
                        "The draft of “%(milestone)s” bills “%(line)s” with other taxes than the order. Undo the change, "
                        "or delete the draft, change the order and complete the milestone again.",
                        milestone=line.name,
                        line=item.sale_line_ids[:1].name or item.name,
                    )
                )

    def _check_company_kept(self, company):
        """Refuse documents of another company, also of a branch: the contract is billed by its own.

        :raise UserError: naming both.
        """
        if self.company_id != company:
            raise UserError(
                self.env._(
                    "%(document)s is a document of %(actual)s, its order one of %(expected)s. Choose a journal of "
                    "%(expected)s.",
                    document=self.display_name,
                    actual=self.company_id.display_name,
                    expected=company.display_name,
                )
            )

    def _check_bills_nothing_owned(self):
        if self._get_retainage_items():
            raise UserError(
                self.env._(
                    "%s gives back retainage without being a release. Use “Release Retainage” on the milestone schedule.",
                    self.display_name,
                )
            )
        owned = self.invoice_line_ids.sale_line_ids.filtered(
            lambda line: line.milestone_deposit_id or line._has_frozen_schedule()
        )
        if owned:
            raise UserError(
                self.env._(
                    "“%(line)s” of %(order)s is billed by its milestones alone. Complete a milestone to bill it, or "
                    "use “Credit Note” on the milestone's invoice to take it back.",
                    line=owned[0].name,
                    order=owned[0].order_id.name,
                )
            )

    def _check_equals_milestone(self):
        found = self._get_milestone_differences()
        if not found:
            return
        difference = found[0]

        def text(units):
            amount = units * self.currency_id.rounding
            return formatLang(self.env, amount, currency_obj=self.currency_id)

        raise UserError(
            self.env._(
                "The draft of “%(milestone)s” was changed by hand: %(what)s is %(actual)s, the milestone bills "
                "%(expected)s. Undo the change, or delete the draft, change the milestone and complete it again.",
                milestone=self.sudo().milestone_line_id.name,
                what=difference["label"],
                actual=text(difference["actual"]),
                expected=text(difference["expected"]),
            )
        )

    def _get_milestone_differences(self):
        """Compare this document with what its milestone bills, takes back or recovers.

        :return: dictionaries with `label`, `order_line_id`, `expected` and `actual` in units.
        :rtype: list[dict]
        """
        self.ensure_one()
        rounding, expected, actual = self.currency_id.rounding, {}, {}
        rows = [*self.sudo().milestone_allocation_ids, *self.sudo()._get_milestone_recoveries()]
        advance, tax = self.milestone_is_advance, 0
        for row in rows:
            key = "advance" if advance else row.order_line_id
            self._add(expected, key, to_units(row.amount_untaxed, rounding))
            if row._name == "milestone.billing.recovery":
                self._add(expected, "advance", -to_units(row.amount_untaxed, rounding))
            else:
                tax += to_units(row.amount_tax, rounding)
        for item in self.invoice_line_ids.filtered(lambda item: item.display_type == "product"):
            # The journal item, not the subtotal: under global rounding the two may differ by a unit.
            units = to_units(-item.amount_currency, rounding)
            self._add(actual, self._get_milestone_item_key(item), units)
        self._add(expected, "retainage", self._get_given_back_units())
        tax -= self._get_waiting_tax_units()
        expected["tax"], actual["tax"] = tax, -self.direction_sign * to_units(self.amount_tax, rounding)
        if expected["tax"] == actual["tax"]:
            self._add_units_by_tax(expected, actual)
        return [
            {
                "label": self._get_milestone_key_label(key),
                "order_line_id": key.id if isinstance(key, self.pool["sale.order.line"]) else False,
                "expected": expected.get(key, 0),
                "actual": actual.get(key, 0),
            }
            for key in {**expected, **actual}
            if expected.get(key, 0) != actual.get(key, 0)
        ]

    def _get_milestone_recoveries(self):
        """Give what this document recovers of advances; once one is billed, its schedule does not book them otherwise."""
        schedule, recoveries = self.milestone_line_id.schedule_id, self.env["milestone.billing.recovery"]
        return self.milestone_recovery_ids if schedule.deposit_mode == "advance" else recoveries

    def _add_units_by_tax(self, expected, actual):
        """Add what the milestone bills of each tax, and what the journal items say.

        Taxes of reverse charge take themselves back, on items of their own: they are charged to nobody.

        :param dict expected: units by key; changed in place.
        :param dict actual: units by key; changed in place.
        """
        rounding = self.currency_id.rounding
        for row in self.sudo().milestone_allocation_ids:
            self._add_tax_amounts(expected, row.tax_amounts, 1)
        for part in self.milestone_retained_parts or []:
            self._add_tax_amounts(expected, part["tax_amounts"], -1)
        for item in self.line_ids.filtered("tax_line_id"):
            self._add(actual, item.tax_line_id, to_units(-item.amount_currency, rounding))
        for tax in {*expected, *actual}:
            differs = isinstance(tax, self.pool["account.tax"]) and expected.get(tax) != actual.get(tax)
            if differs and tax.has_negative_factor:
                expected.pop(tax, None)
                actual.pop(tax, None)

    def _add_tax_amounts(self, total, tax_amounts, sign):
        for tax_id, amounts in (tax_amounts or {}).items():
            tax = self.env["account.tax"].browse(int(tax_id))
            self._add(total, tax, sign * to_units(amounts["tax"], self.currency_id.rounding))

    def _add(self, total, key, units):
        if units:
            total[key] = total.get(key, 0) + units

    def _get_given_back_units(self):
        """Give the retainage that this document gives back (or, negative, holds back) by an invoice line."""
        retained = to_units(self.amount_retained, self.currency_id.rounding)
        if self.milestone_retained_parts:
            return -retained
        return -self.direction_sign * max(retained * self.direction_sign, 0)

    def _get_milestone_item_key(self, item):
        if item.milestone_retainage:
            return "retainage"
        order_line = item.sale_line_ids[:1]
        return "advance" if order_line.milestone_deposit_id else order_line or "other"

    def _get_milestone_key_label(self, key):
        labels = {
            "advance": self.env._("the deposit"),
            "retainage": self.env._("the retainage"),
            "tax": self.env._("the tax"),
            "other": self.env._("a line that is not from the order"),
        }
        return key.name if isinstance(key, models.BaseModel) else labels[key]
