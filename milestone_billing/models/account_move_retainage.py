"""Retainage on invoices: a second due line on the retainage account."""

from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL, formatLang, frozendict

from ..tools.money import to_float
from .account_move import CLAIM_FIELDS, REVERSED_FIELDS


class AccountMove(models.Model):
    _inherit = "account.move"

    def _get_term_retainage(self):
        """Give what the due lines hold back: retainage in the direction of the document.

        Retainage against that direction (given back on an invoice), and retainage whose tax waits for the release, is an
        invoice line instead.

        :rtype: float
        """
        self.ensure_one()
        if self.milestone_retained_parts:
            return 0.0
        return max(self.amount_retained * -self.direction_sign, 0.0)

    @api.depends("amount_retained", "milestone_retained_parts")
    def _compute_needed_terms(self):
        """Override of `account` to split off what the client holds back as a due line of its own."""
        result = super()._compute_needed_terms()
        for move in self:
            if move.needed_terms and move._has_retainage_term():
                terms = move.needed_terms
                retained = move._get_term_retainage()
                move.needed_terms = (
                    move._split_retainage_terms(terms) if retained else move._get_trade_terms(terms)
                )
        return result

    def _has_retainage_term(self):
        """Tell whether this document holds something back by a due line, or has a line left over that did."""
        lines = self.line_ids.filtered(lambda line: line.display_type == "payment_term")
        return bool(self._get_term_retainage() or any(lines.mapped("milestone_retainage")))

    def _get_trade_terms(self, terms):
        """Give due lines without retainage, so that a line left over from it is not taken for one of them.

        :rtype: dict
        """
        account = self._get_trade_account()
        return {
            frozendict({**key, "milestone_retainage": False}): {**values, "account_id": account.id}
            for key, values in terms.items()
        }

    def _split_retainage_terms(self, terms):
        """Take the retainage off the last due lines and add its own due line.

        :param dict terms: due lines of `account` by key.
        :rtype: dict
        """
        retained, balance = self._get_retained_amounts(terms)
        result, left, left_balance = {}, retained, balance
        trade_account = self._get_trade_account()
        for key, values in sorted(
            terms.items(), key=lambda item: str(item[0]["date_maturity"]), reverse=True
        ):
            part = self._bounded(left, values["amount_currency"])
            whole = self.currency_id.is_zero(part - left)
            part_balance = left_balance if whole else values["balance"]
            left, left_balance = left - part, left_balance - part_balance
            rest = values["amount_currency"] - part
            if self.currency_id.is_zero(rest):
                continue
            result[frozendict({**key, "milestone_retainage": False})] = {
                **values,
                "amount_currency": self.currency_id.round(rest),
                "balance": self.company_currency_id.round(values["balance"] - part_balance),
                "account_id": trade_account.id,
            }
        result[self._get_retainage_term_key(terms)] = {
            "amount_currency": retained,
            "balance": balance,
            "account_id": self._get_retainage_account().id,
        }
        return result

    @api.model
    def _bounded(self, wanted, room):
        return min(wanted, max(room, 0.0)) if wanted >= 0 else max(wanted, min(room, 0.0))

    def _get_retained_amounts(self, terms):
        """Give the retainage in the document's and the company's currency, signed as a due line.

        A credit note that is being edited may be smaller for a moment than what it takes back.
        """
        total = sum(values["amount_currency"] for values in terms.values())
        total_balance = sum(values["balance"] for values in terms.values())
        retained = min(self._get_term_retainage(), abs(total)) * (1 if total >= 0 else -1)
        rate = total_balance / total if total else 0.0
        return retained, self.company_currency_id.round(retained * rate)

    def _get_retainage_account(self):
        account = self.sudo().milestone_line_id.schedule_id.retainage_account_id
        return account or self.company_id._get_milestone_retainage_account()

    def _get_trade_account(self):
        existing = self.line_ids.filtered(
            lambda line: line.display_type == "payment_term" and not line.milestone_retainage
        )
        if existing:
            return existing[0].account_id
        partner = self.with_company(self.company_id).commercial_partner_id
        account = partner.property_account_receivable_id
        return self.fiscal_position_id.map_account(account) if self.fiscal_position_id else account

    def _get_retainage_term_key(self, terms):
        date = self.invoice_date or self.date or self.company_id._get_milestone_today()
        due = date + timedelta(days=self.sudo().milestone_line_id.schedule_id.retainage_due_days)
        latest = max((key["date_maturity"] for key in terms if key["date_maturity"]), default=due)
        return frozendict(
            {
                "move_id": self.id,
                "date_maturity": max(due, latest),
                "discount_date": False,
                "milestone_retainage": True,
            }
        )

    def _compute_invoice_date_due(self):
        """Override of `account`: the document is due when its work is, not when the retainage is."""
        retained = self.filtered(lambda move: move._get_term_retainage() and move.needed_terms)
        result = super(AccountMove, self - retained)._compute_invoice_date_due()
        for move in retained:
            dates = [
                key["date_maturity"]
                for key in move.needed_terms
                if key["date_maturity"] and not key.get("milestone_retainage")
            ]
            move.invoice_date_due = max(dates, default=False) or move.invoice_date_due
        return result

    def write(self, vals):
        """Override of `account`: what can be released follows the documents; no other milestone's amounts do."""
        self._check_not_milestone_claim([vals], CLAIM_FIELDS | REVERSED_FIELDS)
        result = super().write(vals)
        if "state" in vals:
            lines = self.sudo().milestone_line_id.order_id.milestone_line_ids
            lines.filtered(lambda line: line.kind == "retainage_release").modified(["kind"])
        return result

    # === RETAINAGE THAT IS MATCHED IS NOT PAID ===

    def _get_retainage_matches(self):
        """Give the ids of matches between what documents held back and what they give back, which pay nothing."""
        items = self._get_retainage_items()
        return set((items.matched_debit_ids | items.matched_credit_ids).ids)

    def _compute_payment_state(self):
        """Override of `account`: a release is not partly paid because it clears what was held back."""
        result = super()._compute_payment_state()
        for move in self.filtered(lambda move: move.payment_state == "partial" and move.amount_retained):
            due = move.line_ids.filtered(lambda item: item.display_type == "payment_term")
            if not due.matched_debit_ids and not due.matched_credit_ids:
                move.payment_state = "not_paid"
        return result

    def _compute_payments_widget_reconciled_info(self):
        """Override of `account`: see `_get_retainage_matches`."""
        result = super()._compute_payments_widget_reconciled_info()
        for move in self.filtered(lambda move: move.amount_retained and move.invoice_payments_widget):
            matches, widget = move.sudo()._get_retainage_matches(), move.invoice_payments_widget
            content = [row for row in widget["content"] if row["partial_id"] not in matches]
            move.invoice_payments_widget = {**widget, "content": content} if content else False
        return result

    # === PAID BUT FOR THE RETAINAGE ===

    def _is_trade_settled(self):
        """Tell whether everything that is due apart from the retainage is paid."""
        self.ensure_one()
        due = self.line_ids.filtered(lambda line: line.display_type == "payment_term")
        trade = due.filtered(lambda line: not line.milestone_retainage)
        return (
            self.state == "posted"
            and bool(due)
            and self.currency_id.is_zero(sum(trade.mapped("amount_residual_currency")))
        )

    # === CREDIT NOTES AND RELEASES ===

    def _reverse_moves(self, default_values_list=None, cancel=False):
        """Override of `account`: a reversal takes back what its document held back."""
        values_list = default_values_list or [{} for _move in self]
        for move, values in zip(self, values_list, strict=True):
            if move.amount_retained:
                values["amount_retained"] = -move.amount_retained
        return super()._reverse_moves(values_list, cancel)

    def _adjust_credited_retainage(self):
        """Let credit notes take back the retainage of the part they credit, no more than is still held."""
        for credit in self.filtered(lambda move: move.reversed_entry_id.amount_retained):
            origin, items = credit.reversed_entry_id, credit._get_retainage_items()
            origin._clear_retainage()  # a cancellation has taken apart what releases had cleared
            if items:
                amount = sum(items.mapped("amount_currency"))
            elif origin.milestone_document == "stage" and origin.amount_total:
                amount = credit._get_credited_retainage(origin)
            else:
                continue
            if credit.currency_id.compare_amounts(amount, credit.amount_retained):
                credit.sudo().amount_retained = amount

    def _get_credited_retainage(self, origin):
        """Give the retainage that this credit note takes back, negative.

        Its share counts all credit notes of the document up to this one, so that their rounding never adds up.
        """
        retainage = origin.line_ids.filtered("milestone_retainage")
        held = abs(sum(retainage.mapped("amount_residual_currency")))
        if self.milestone_from_retainage:
            return -min(self.amount_total, held)
        if origin._get_retainage_items():
            return 0.0  # given back by a line of its own, which this credit note does not take back
        earlier = origin.reversal_move_ids.filtered(
            lambda move: (
                move.state == "posted"
                and move.milestone_document == "credit"
                and not move.milestone_from_retainage
            )
        )
        credited = sum((earlier | self).mapped("amount_total"))
        share = self.currency_id.round(origin.amount_retained * credited / origin.amount_total)
        share += sum((earlier - self).mapped("amount_retained"))
        share = self.currency_id.round(min(share, self.amount_total))
        return -max(min(share, held), 0.0) if origin.amount_retained > 0 else -share

    milestone_from_retainage = fields.Boolean(
        string="Take from Retainage",
        copy=False,
        help="The credited amount is deducted from what the client holds back, not from what is due now.",
    )

    def _clear_retainage(self):
        """Match retainage that posted documents give back with the oldest that is held on the same order."""
        given_back = self.filtered(lambda move: move.milestone_line_id and move.amount_retained)
        given_back._hold_again()
        given_back.sudo().milestone_line_id.schedule_id._clear_retainage()

    def _check_retainage_held(self):
        """Refuse to give back more than is held: what a draft counted on may have been credited or deleted since.

        :raise UserError: naming the document and the figure.
        """
        giving = self.filtered(
            lambda move: move.milestone_document in ("stage", "release") and move.amount_retained < 0
        )
        for schedule, moves in giving.grouped(lambda move: move.milestone_line_id.sudo().schedule_id).items():
            left = schedule._get_held_units(with_drafts=False)
            if left < 0:
                raise UserError(
                    self.env._(
                        "%(document)s gives back %(amount)s of retainage that is not held: what it counted on was "
                        "credited or withdrawn since. Delete the draft and make it again.",
                        document=moves[0].display_name,
                        amount=formatLang(
                            self.env,
                            to_float(-left, schedule.currency_id.rounding),
                            currency_obj=schedule.currency_id,
                        ),
                    )
                )

    def _hold_again(self):
        """Let credit notes of releases hold back again on the invoices that the release had cleared last.

        What is held stands on those invoices then, not on the credit note: ledger and release sheet name the same.
        """
        for credit in self.filtered(lambda move: move.reversed_entry_id.amount_retained < 0):
            own = credit._get_retainage_items().filtered(lambda item: not item.reconciled)
            released = credit.reversed_entry_id._get_retainage_items()
            if own and released:
                released._unmatch_newest(sum(own.mapped("amount_residual_currency")))
                (own | released.filtered(lambda item: not item.reconciled)).reconcile()

    def button_draft(self):
        """Override of `account`: what a withdrawn credit note or release took back is held, and can be released, again."""
        credits = self.filtered(lambda move: move.reversed_entry_id.amount_retained)
        withdrawn = credits | self.filtered(lambda move: move.milestone_document == "release")
        result = super().button_draft()
        if withdrawn:
            items = withdrawn.line_ids.filtered("milestone_retainage")
            items.remove_move_reconcile()  # `account` keeps the matches of a draft
            credits.reversed_entry_id._clear_retainage()
            withdrawn.sudo().milestone_line_id.schedule_id._clear_retainage()
        return result


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def _clear_retainage(self):
        """Match what the posted documents of each order hold back with what they give back."""
        for schedule in self:
            items = schedule.line_ids.invoice_ids.line_ids.filtered(
                lambda item: (
                    item.milestone_retainage and item.parent_state == "posted" and not item.reconciled
                )
            )
            for _key, group in items.grouped(lambda item: (item.account_id, item.currency_id)).items():
                if len({item.balance > 0 for item in group}) > 1:
                    group.reconcile()


class AccountMoveLine(models.Model):
    _inherit = "account.move.line"

    milestone_retainage = fields.Boolean(
        string="Retainage", readonly=True, help="This item stands on the retainage account."
    )

    def _unmatch_newest(self, amount):
        """Take back what released retainage has cleared of invoices, the newest first, until an amount is open.

        :param float amount: above zero, in the currency of these items.
        """
        partials = self.matched_debit_ids.filtered(lambda partial: partial.debit_move_id.milestone_retainage)
        for partial in partials.sorted(
            lambda partial: partial.debit_move_id._get_clearing_place(), reverse=True
        ):
            if self.currency_id.compare_amounts(amount, 0.0) <= 0:
                break
            amount -= partial.credit_amount_currency
            partial.unlink()

    def _get_clearing_place(self):
        """Give the place of held retainage among what releases clear: the earliest due first, as `account` matches."""
        return self.date_maturity or self.date, self.move_id.milestone_step, self.id

    @api.depends("milestone_retainage")
    def _compute_term_key(self):
        """Override of `account`: the due line of the retainage is another one than the trade's."""
        result = super()._compute_term_key()
        for line in self:
            if line.term_key and line.move_id._has_retainage_term():
                line.term_key = frozendict(
                    {**line.term_key, "milestone_retainage": bool(line.milestone_retainage)}
                )
        return result

    def _compute_account_id(self):
        """Override of `account`: due lines take the account of their own kind."""
        result = super()._compute_account_id()
        for line in self.filtered(lambda item: item.display_type == "payment_term"):
            if line.milestone_retainage:
                line.account_id = line.move_id._get_retainage_account()
            elif line.move_id._get_term_retainage():
                line.account_id = line.move_id._get_trade_account()
        return result

    def _check_payable_receivable(self):
        """Override of `account`: retainage that is given back is an invoice line on its receivable account."""
        given_back = self.filtered(
            lambda line: (
                line.milestone_retainage
                and line.display_type == "product"
                and line.account_id == line.move_id._get_retainage_account()
            )
        )
        return super(AccountMoveLine, self - given_back)._check_payable_receivable()

    def _check_pays_no_retainage(self):
        """Refuse to match money with what is held back: its release asks for it, and would ask a second time.

        :raise UserError: naming the invoice and what to do.
        """
        money = self.filtered(lambda item: item.payment_id or item.statement_line_id)
        held = self.filtered(lambda item: item._is_held_apart() and item.account_id in money.account_id)
        if held:
            held._raise_pays_retainage()

    def _is_held_apart(self):
        """Tell whether this item is retainage that is still held, on an account of its own."""
        self.ensure_one()
        return (
            self.milestone_retainage
            and self.balance > 0
            and self.account_id != self.move_id._get_trade_account()
        )

    def _raise_pays_retainage(self):
        raise UserError(
            self.env._(
                "What the client holds back of %s is asked for by its release. Use “Release Retainage” on the milestone "
                "schedule, and match the payment with that invoice.",
                ", ".join(self.move_id.mapped("display_name")),
            )
        )

    def _validate_analytic_distribution(self):
        """Override of `account`: retainage moves between receivables, it is no revenue of any analytic account."""
        items = self.filtered(lambda item: not item.milestone_retainage)
        return super(AccountMoveLine, items)._validate_analytic_distribution()

    def _reconcile_pre_hook(self):
        """Override of `account` to see milestones become paid but for their retainage."""
        self._check_pays_no_retainage()
        data = super()._reconcile_pre_hook()
        stages = self.move_id.filtered(lambda move: move.milestone_claim and move.amount_retained)
        data["milestones_not_settled"] = stages.filtered(
            lambda move: move.payment_state not in ("paid", "in_payment") and not move._is_trade_settled()
        )
        return data

    def _reconcile_post_hook(self, data):
        """Override of `account`: see `_reconcile_pre_hook`."""
        result = super()._reconcile_post_hook(data)
        settled = data["milestones_not_settled"].filtered(
            lambda move: move._is_trade_settled() and move.payment_state not in ("paid", "in_payment")
        )
        settled.milestone_line_id.sudo()._on_paid()
        return result


class AccountInvoiceReport(models.Model):
    _inherit = "account.invoice.report"

    @api.model
    def _where(self):
        """Override of `account`: released retainage is no turnover."""
        return SQL("%s AND line.milestone_retainage IS NOT TRUE", super()._where())
