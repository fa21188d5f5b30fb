"""Tie-out: the statement of a contract against the ledger, down to the entry."""

import logging

from odoo import api, fields, models
from odoo.exceptions import AccessError
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY

from ..tools.money import to_text, to_units

_logger = logging.getLogger(__name__)


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    tie_out_state = fields.Selection(
        [("ok", "Equal to the ledger"), ("different", "Differs from the ledger")],
        string="Tie-Out",
        readonly=True,
        copy=False,
        index=True,
    )
    tie_out_on = fields.Datetime(string="Tied Out On", readonly=True, copy=False)
    tie_out_note = fields.Text(string="Differences", readonly=True, copy=False)

    def tie_out(self):
        """Compare schedule, documents and journal items of an order.

        :return: ``{"ok": bool, "differences": [...]}``; each difference has `check`, `message`, `expected` and
            `actual` as decimal text, in the order's currency or in that of `currency_id`, and where it can be named
            `order_line_id`, `line_id`, `move_id` and `move_line_ids`. What was billed before stands under `opening` as `amount_untaxed`, `amount_retained` and
            `references`: it is in the statement and not in this ledger.
        :rtype: dict
        """
        self.ensure_one()
        self._check_may_tie_out()
        schedule = self.sudo()
        differences = [
            *schedule._tie_out_order(),
            *schedule._tie_out_documents(),
            *schedule._tie_out_strays(),
            *schedule._tie_out_retainage(),
            *schedule._tie_out_advances(),
            *schedule._tie_out_openings(),
            *schedule._tie_out_statement(),
        ]
        result = {"ok": not differences, "differences": differences}
        if schedule.amount_before:
            result["opening"] = schedule._prepare_tie_out_opening()
        return result

    def _check_may_tie_out(self):
        if self.env.su:
            return
        self.check_access("read")
        groups = "milestone_billing.milestone_billing_group_billing_user,milestone_billing.milestone_billing_group_auditor"
        if not self.env.user.has_groups(groups):
            raise AccessError(
                self.env._("Only billing users and auditors may tie out a schedule. Ask one of them.")
            )

    def _prepare_difference(self, check, message, expected, actual, currency=None, **links):
        currency = currency or self.currency_id
        rounding = currency.rounding
        return {
            "check": check,
            "message": message,
            "currency_id": currency.id,
            "expected": to_text(expected, rounding),
            "actual": to_text(actual, rounding),
            **links,
        }

    # === CHECKS ===

    def _tie_out_order(self):
        """Billed plus planned is the order, per order line, untaxed and per tax."""
        if not self.is_frozen or self.order_id.state != "sale":
            return []
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        found = []
        for order_line, units in self._get_order_columns(self.order_id).items():
            total = {}
            for alloc in order_line.milestone_allocation_ids:
                for part, count in alloc._get_units(digits).items():
                    total[part] = total.get(part, 0) + count
            found += [
                self._prepare_difference(
                    "order",
                    self.env._(
                        "“%(line)s”: billed and planned do not add up to the order (%(part)s).",
                        line=order_line.name,
                        part=self._get_part_label(part),
                    ),
                    units.get(part, 0),
                    total.get(part, 0),
                    order_line_id=order_line.id,
                )
                for part in {**units, **total}
                if part != "qty" and units.get(part, 0) != total.get(part, 0)
            ]
        return found

    @api.model
    def _get_part_label(self, part):
        if part == "net":
            return self.env._("untaxed")
        tax = self.env["account.tax"].browse(int(part[1:]))
        return tax.name if part[0] == "t" else self.env._("base of %s", tax.name)

    def _tie_out_documents(self):
        """Each document bills what its milestone says, and its journal items say the same."""
        found = []
        for move in self._get_documents():
            items = move.invoice_line_ids.filtered(lambda item: item.display_type == "product")
            found += [
                self._prepare_difference(
                    "document",
                    self.env._(
                        "%(document)s: %(what)s differs from the milestone.",
                        document=move.display_name,
                        what=difference["label"],
                    ),
                    difference["expected"],
                    difference["actual"],
                    move_id=move.id,
                    line_id=move.milestone_line_id.id,
                    order_line_id=difference["order_line_id"],
                    move_line_ids=items.filtered(
                        lambda item, key=difference["order_line_id"]: item.sale_line_ids[:1].id == key
                    ).ids,
                )
                for difference in move._get_milestone_differences()
            ]
        return found

    def _tie_out_strays(self):
        """Nothing else in the ledger bills what the schedule owns."""
        owned = self.order_id.order_line.filtered(
            lambda line: line.milestone_deposit_id or line._has_frozen_schedule()
        )
        documents = self._get_documents()
        strays = owned.invoice_lines.filtered(
            lambda item: item.parent_state == "posted" and item.move_id not in documents
        )
        rounding = self.currency_id.rounding
        return [
            self._prepare_difference(
                "stray",
                self.env._("%s bills what only milestones bill.", move.display_name),
                0,
                to_units(sum(-move.direction_sign * item.price_subtotal for item in items), rounding),
                move_id=move.id,
                move_line_ids=items.ids,
            )
            for move, items in strays.grouped("move_id").items()
        ]

    def _tie_out_retainage(self):
        """What is held by document is what stands on the retainage account."""
        found, rounding = [], self.currency_id.rounding
        for move in self._get_documents():
            items = move.line_ids.filtered("milestone_retainage")
            expected = to_units(move.amount_retained, rounding)
            actual = to_units(sum(items.mapped("amount_currency")), rounding)
            if expected != actual:
                found.append(
                    self._prepare_difference(
                        "retainage",
                        self.env._("%s: the retainage account differs.", move.display_name),
                        expected,
                        actual,
                        move_id=move.id,
                        line_id=move.milestone_line_id.id,
                        move_line_ids=items.ids,
                    )
                )
        return found or self._tie_out_open_retainage()

    def _tie_out_open_retainage(self):
        """What is held is what is open on the retainage account: only documents of the order clear it."""
        moves, rounding = self._get_documents(), self.currency_id.rounding
        items = moves.line_ids.filtered("milestone_retainage")
        expected = to_units(sum(items.mapped("amount_currency")), rounding)
        actual = to_units(sum(items.mapped("amount_residual_currency")), rounding)
        if expected == actual:
            return []
        partials = items.matched_debit_ids | items.matched_credit_ids
        others = (partials.debit_move_id | partials.credit_move_id) - moves.line_ids
        message = self.env._(
            "Retainage of %(order)s is matched with %(entries)s, which is no document of its milestones.",
            order=self.order_id.name,
            entries=", ".join(others.move_id.mapped("display_name")),
        )
        return [self._prepare_difference("retainage", message, expected, actual, move_line_ids=others.ids)]

    def _tie_out_advances(self):
        """An advance that is deducted or credited in full has left its account in the company's currency, too."""
        if self.currency_id == self.company_id.currency_id:
            return []
        found = []
        for down_payment in self.order_id.order_line.filtered("milestone_deposit_id"):
            items = down_payment.invoice_lines.filtered(lambda item: item.parent_state == "posted")
            amount, balance = items._get_advance_units()
            if balance and not amount:
                found.append(
                    self._prepare_advance_difference(down_payment.milestone_deposit_id, items, balance)
                )
        return found

    def _prepare_advance_difference(self, deposit, items, balance):
        moves = items.move_id.sorted(
            lambda move: (not move.milestone_is_advance, move.milestone_step, move.id)
        )
        message = self.env._(
            "Deposit “%(deposit)s” is deducted or credited in full, but an exchange difference in %(currency)s is left on "
            "account %(account)s. Reset %(document)s to draft and confirm it again, so that it takes the rate of the deposit; "
            "or allow reconciliation on the account and match the items.",
            deposit=deposit.name,
            currency=self.company_id.currency_id.name,
            account=items.account_id[:1].display_name,
            document=moves[-1].display_name,
        )
        return self._prepare_difference(
            "advance",
            message,
            0,
            balance,
            currency=self.company_id.currency_id,
            line_id=deposit.id,
            move_id=moves[-1].id,
            move_line_ids=items.ids,
        )

    def _tie_out_statement(self):
        """Completed to date is what the journal items say, retainage and tax aside, plus the opening balance."""
        moves, rounding = self._get_documents(), self.currency_id.rounding
        items = moves.line_ids.filtered(
            lambda item: item.display_type == "product" and not item.milestone_retainage
        )
        actual = to_units(-sum(items.mapped("amount_currency")), rounding)
        actual += to_units(self.amount_before, rounding)
        expected = to_units(self.get_statement()["completed_to_date"], rounding)
        if expected == actual:
            return []
        message = self.env._("The statement of %s differs from its journal items.", self.order_id.name)
        return [self._prepare_difference("statement", message, expected, actual, move_line_ids=items.ids)]

    # === EVERY NIGHT ===

    @api.model
    def _cron_tie_out(self, chunk=100):
        """Tie out the schedules of running orders, and tell on the schedule when one differs."""
        schedules = self.search([("is_frozen", "=", True)], order="tie_out_on NULLS FIRST, id")
        remaining = len(schedules)
        for start in range(0, len(schedules), chunk):
            batch = schedules[start : start + chunk]
            try:
                for schedule in batch.try_lock_for_update():
                    schedule._keep_tie_out_safely()
            except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                self.env["ir.cron"]._give_way(remaining)
                return
            remaining -= len(batch)
            if not self.env["ir.cron"]._commit_progress(processed=len(batch), remaining=remaining):
                break

    def _keep_tie_out_safely(self):
        """Tie out one schedule; one that cannot be compared says why, and the others are compared all the same."""
        try:
            with self.env.cr.savepoint():
                self._keep_tie_out()
        except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
            raise
        except Exception as error:
            self.env.invalidate_all()
            _logger.exception("schedule %s could not be tied out", self.id)
            note = self.env._("It could not be compared: %s", error)
            self.sudo().write(
                {
                    "tie_out_state": "different",
                    "tie_out_on": fields.Datetime.now(),
                    "tie_out_note": note[:1000],
                }
            )

    def _keep_tie_out(self):
        now = fields.Datetime.now()
        for schedule in self:
            result = schedule.tie_out()
            note = "\n".join(
                f"{row['message']} {row['expected']} / {row['actual']}" for row in result["differences"]
            )
            if note and note != schedule.tie_out_note:
                schedule.message_post(body=self.env._("The schedule differs from the ledger: %s", note))
            schedule.sudo().write(
                {
                    "tie_out_state": "ok" if result["ok"] else "different",
                    "tie_out_on": now,
                    "tie_out_note": note or False,
                }
            )

    def action_tie_out(self):
        """Tie out now, keep the result on the schedules, and show it: what differs, or that nothing does.

        :rtype: dict
        """
        self._check_may_tie_out()
        self.sudo()._keep_tie_out()
        different = self.filtered(lambda schedule: schedule.tie_out_state == "different")
        if len(different) == 1:
            return self.env["milestone.billing.tie.out"]._open(different, different.tie_out()["differences"])
        names = ", ".join((different or self).order_id.mapped("name"))
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "danger" if different else "success",
                "message": self.env._("Differs from the ledger: %s. Open each to see where.", names)
                if different
                else self.env._("Statement and ledger agree: %s.", names),
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }
