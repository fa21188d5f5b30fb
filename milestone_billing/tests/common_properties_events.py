"""What may happen to a random contract, one method for each event, and what must hold after it."""

import logging
from base64 import b64encode
from datetime import date

from odoo import Command
from odoo.exceptions import UserError

from ..tools.money import to_units
from .common_properties import TAX_SETS, PropertyCommon

_logger = logging.getLogger(__name__)

BILLING = ("complete", "complete", "complete", "complete_all", "approve", "ask_again", "hold_or_resume")
DOCUMENTS = ("delete", "cancel", "credit", "credit_part", "credit_draft", "refund_deposit", "pay", "pay_part")
ORDER = ("quantity", "price", "add_line", "cancel_line", "restore_line")
RETAINAGE = ("release", "release_part_back", "rate")
OUTSIDE = ("before", "before_part", "before_removed", "end", "take_up_again")
END_CHOICES = {
    "draft": ("cancel", "post"),
    "stage": ("keep", "credit"),
    "deposit": ("credit", "earn", "forfeit"),
}


class HistoryCommon(PropertyCommon):
    """Random histories of one contract: an event, then every invariant."""

    def play_contract(self, currency, method, posting, lines, schedule, events):
        """Build one contract, play its history where it can be confirmed, and take everything back."""
        trail = (currency, method, posting, lines, schedule)
        with self.env.cr.savepoint() as savepoint:
            self.company.tax_calculation_rounding_method = method
            self.company.milestone_invoice_posting = posting
            order = self.build(currency, lines, schedule)
            try:
                order.action_confirm()
            except UserError:
                order = None
            if order:
                self.play(order, events, trail)
            savepoint.rollback()
        self.env.invalidate_all()

    # === EVENTS ===

    def happen(self, order, event, place, amount):
        """Let one event happen; what is refused must leave everything as it was.

        :return: whether it happened.
        """
        try:
            with self.env.cr.savepoint():
                getattr(self, f"do_{event}")(order, place, amount)
                self.env.flush_all()
        except UserError as refusal:
            self.env.invalidate_all()
            _logger.debug("%s refused: %s", event, refusal)
            return False
        return True

    def add_missing_stage(self, order):
        """What was added to an order after its last stage needs a stage of its own, as the schedule says.

        A stage that was billed and credited waits with what was credited: it takes nothing new. An order of which nothing
        is planned needs one as well, also where it comes to a tax alone.
        """
        unbilled = self.stages(order).filtered(
            lambda line: line.state == "planned" and not line._get_billed_allocations()
        )
        missing = order.milestone_schedule_id.amount_difference or not order.milestone_line_ids.allocation_ids
        if order.state == "sale" and missing and not unbilled:
            order.milestone_line_ids = [
                Command.create(
                    {
                        "name": "Added",
                        "amount_type": "remainder",
                        "sequence": 900,
                        "approval_required": False,
                    }
                )
            ]

    def pick(self, records, place):
        return records[place % len(records)] if records else records

    def documents(self, order, *states):
        return order.milestone_line_ids.invoice_ids.filtered(
            lambda move: move.state in states and move.milestone_claim
        ).sorted("id")

    def do_complete(self, order, place, _amount):
        self.pick(self.stages(order), place).action_complete()

    def do_complete_all(self, order, _place, _amount):
        self.stages(order).filtered(lambda line: line.state == "planned").action_complete()

    def do_approve(self, order, place, _amount):
        submitted = self.stages(order).filtered(lambda line: line.state == "submitted")
        self.approve(self.pick(submitted, place))

    def approve(self, lines):
        """Record what the client has approved on paper."""
        for line in lines:
            paper = self.env["ir.attachment"].create({"name": "Paper", "datas": b64encode(b"Approved")})
            line._get_current_approval().record_on_behalf("paper", paper.id)

    def do_ask_again(self, order, place, _amount):
        self.pick(
            self.stages(order).filtered(lambda line: line.state == "submitted"), place
        ).action_submit_again()

    def do_hold_or_resume(self, order, place, _amount):
        line = self.pick(self.stages(order), place)
        line.action_resume() if line.is_on_hold else line.action_hold("Waiting")

    # === DOCUMENTS ===

    def do_delete(self, order, place, _amount):
        self.pick(self.documents(order, "draft"), place).unlink()

    def do_cancel(self, order, place, _amount):
        move = self.pick(self.documents(order, "draft", "posted"), place)
        if move.state == "posted":
            move.button_draft()
        move.button_cancel()

    def do_credit(self, order, place, _amount):
        move = self.pick(self.documents(order, "posted"), place)
        if move:
            move._reverse_moves(cancel=True)

    def do_credit_part(self, order, place, amount):
        move = self.pick(self.documents(order, "posted"), place)
        if move and move.milestone_document == "stage":
            self.reverse_part(move, amount)

    def reverse_part(self, move, amount):
        """Credit a percentage of each line of a document."""
        refund = move._reverse_moves()
        for item in refund.invoice_line_ids.filtered(lambda item: item.display_type == "product"):
            item.price_unit = round(item.price_unit * amount / 100, 2)
        refund._post()

    def do_credit_draft(self, order, place, _amount):
        credits = order.milestone_line_ids.invoice_ids.filtered(
            lambda move: move.milestone_document == "credit"
        )
        self.pick(credits.sorted("id"), place).button_draft()

    def do_refund_deposit(self, order, place, _amount):
        deposits = order.milestone_line_ids.filtered(lambda line: line.kind == "deposit")
        if deposits:
            self.pick(deposits, place).refund_deposit()

    def do_pay(self, order, place, _amount):
        move = self.pick(self.documents(order, "posted"), place)
        if self.is_payable(move):
            self.pay(move)

    def do_pay_part(self, order, place, amount):
        move = self.pick(self.documents(order, "posted"), place)
        part = move.currency_id.round(move.amount_total * amount / 100) if move else 0.0
        if part and self.is_payable(move):
            self.env["account.payment.register"].with_context(
                active_model="account.move", active_ids=move.ids
            ).create({"amount": part, "payment_difference_handling": "open"})._create_payments()

    def is_payable(self, move):
        return (
            move
            and move.payment_state == "not_paid"
            and move.move_type == "out_invoice"
            and move.amount_residual > 0
        )

    # === THE ORDER ===

    def order_lines(self, order):
        return order.order_line.filtered("is_milestone_billed")

    def do_quantity(self, order, place, amount):
        self.pick(self.order_lines(order), place).product_uom_qty = amount / 7

    def do_price(self, order, place, amount):
        self.pick(self.order_lines(order), place).price_unit = amount * 13.37

    def do_add_line(self, order, place, amount):
        taxes = self.taxes[TAX_SETS[place % len(TAX_SETS)]]
        order.order_line = [self.prepare_line(amount * 1.01, taxes)]

    def do_cancel_line(self, order, place, _amount):
        self.pick(self.stages(order), place).action_cancel()

    def do_restore_line(self, order, _place, _amount):
        self.stages(order).filtered(lambda line: line.state == "cancelled").action_restore()

    # === RETAINAGE ===

    def do_release(self, order, _place, amount):
        order.milestone_schedule_id.release_retainage(percent=amount)

    def do_release_part_back(self, order, place, amount):
        releases = self.documents(order, "posted").filtered(lambda move: move.milestone_document == "release")
        if releases:
            self.reverse_part(self.pick(releases, place), amount)

    def do_rate(self, order, _place, amount):
        order.milestone_schedule_id.retainage_percent = amount / 10

    # === BILLED ELSEWHERE, AND THE END ===

    def do_before(self, order, place, _amount):
        line = self.pick(order.milestone_line_ids, place)
        self.enter_before(line, line._get_open_amount())

    def do_before_part(self, order, place, amount):
        line = self.pick(order.milestone_line_ids, place)
        self.enter_before(line, line.currency_id.round(line._get_open_amount() * amount / 100), amount / 1000)

    def enter_before(self, line, untaxed, held_share=0.0):
        """Enter an invoice of another system for a milestone, with a part of it that is still held back."""
        if line.currency_id.is_zero(untaxed):
            return
        self.env["milestone.billing.opening"].create(
            {
                "line_id": line.id,
                "reference": "OLD-1",
                "date": date(2025, 11, 3),
                "amount_untaxed": untaxed,
                "amount_retained": line.currency_id.round(max(untaxed, 0.0) * held_share),
            }
        )

    def do_before_removed(self, order, place, _amount):
        self.pick(order.milestone_schedule_id.opening_ids.sorted("id"), place).action_remove()

    def do_end(self, order, place, amount):
        action = order.action_end_milestones()
        wizard = self.env[action["res_model"]].browse(action["res_id"])
        wizard.retainage_choice = ("release", "keep", "credit")[amount % 3]
        for number, row in enumerate(wizard.row_ids.sorted("id")):
            choices = END_CHOICES.get(row.kind)
            if choices:
                row[f"{row.kind}_choice"] = self.pick(choices, place + number)
        wizard.action_end()
        self.assertEnded(order)

    def do_take_up_again(self, order, _place, _amount):
        if order.state != "cancel":
            return
        order.action_draft()
        order.milestone_line_ids.filtered(lambda line: line.state == "cancelled").action_restore()
        order.action_confirm()

    # === INVARIANTS ===

    def assertEnded(self, order):
        """Nothing is open of a contract that has ended: it comes to what was billed of it."""
        schedule = order.milestone_schedule_id
        self.assertEqual(order.state, "cancel")
        planned = order.milestone_line_ids.allocation_ids._filter_planned()
        self.assertFalse(planned.filtered(lambda row: row._bills_anything()))
        self.assertFalse(self.documents(order, "draft"))
        self.assertEqual(schedule.amount_advance, 0.0)
        statement = schedule.get_statement()
        self.assertEqual(statement["contract_sum"], statement["completed_to_date"])

    def check(self, order, trail):
        schedule = order.milestone_schedule_id
        result = schedule.tie_out()
        self.assertTrue(result["ok"], f"{trail}\n{result['differences']}")
        live = order.milestone_line_ids.invoice_ids.filtered("milestone_claim")
        self.assertEqual(len(live), len(live.milestone_line_id), trail)
        self.assertGreaterEqual(schedule._get_held_units(), 0, trail)
        for line in self.stages(order):
            billed_and_planned = sum(line.allocation_ids.mapped("amount_untaxed"))
            compared = order.currency_id.compare_amounts(line.amount_untaxed, billed_and_planned)
            self.assertEqual(compared, 0, (line.name, line.amount_untaxed, billed_and_planned, trail))
        self.check_statement(schedule, trail)
        self.check_history(schedule, trail)
        if order.state == "sale" and self.has_open(order):
            total = sum(self.stages(order).mapped("amount_untaxed"))
            compared = order.currency_id.compare_amounts(total, schedule.amount_contract)
            self.assertEqual(compared, 0, trail)

    def check_statement(self, schedule, trail):
        """The nine lines follow from one another, and the lines of the order add up to them."""
        units = {
            name: round(float(text) / schedule.currency_id.rounding)
            for name, text in schedule.get_statement().items()
        }
        self.assertEqual(
            units["earned_less_retainage"], units["completed_to_date"] - units["retainage"], trail
        )
        self.assertEqual(
            units["current_due"], units["earned_less_retainage"] - units["previously_billed"], trail
        )
        self.assertEqual(
            units["balance_to_finish"], units["contract_sum"] - units["earned_less_retainage"], trail
        )
        rows = schedule._get_schedule_of_values()
        self.assertRowsAddUp(schedule.get_statement(), rows, schedule.currency_id, trail)

    def check_history(self, schedule, trail):
        """As of each document the order lines add up to the head, and nothing moves that was shown before.

        Only a document that was withdrawn (deleted, cancelled) leaves the statements of those after it.
        """
        seen, shown = self.__dict__.setdefault("shown", {}), {}
        records = schedule._get_billing_records()
        billings = [schedule._prepare_billing(record) for record in records]
        for place in range(len(records)):
            standing = schedule._make_standing(billings, place)
            head, rows = schedule._prepare_statement(standing), schedule._prepare_value_rows(standing)
            self.assertRowsAddUp(head, rows, schedule.currency_id, trail)
            until = tuple((item._name, item.id) for item in records[: place + 1])
            shown[schedule.id, until] = head, sorted(rows, key=lambda row: row["order_line_id"])
        for key in shown.keys() & seen.keys():
            self.assertEqual(shown[key], seen[key], (key, trail))
        self.shown = shown

    def assertRowsAddUp(self, head, rows, currency, trail):
        """Contract, completed and retainage of the order lines are those of the nine lines."""
        for column, name in (
            ("scheduled_value", "contract_sum"),
            ("completed_to_date", "completed_to_date"),
            ("retainage", "retainage"),
        ):
            total = sum(to_units(row[column], currency.rounding) for row in rows)
            self.assertEqual(total, to_units(head[name], currency.rounding), (column, trail))

    def has_open(self, order):
        return bool(self.stages(order).filtered(lambda line: line.state == "planned"))

    # === THE END OF A HISTORY ===

    def finish(self, order, trail):
        """Bill and post everything that is open; then the ledger is the order, per tax."""
        schedule = order.milestone_schedule_id
        if order.state == "cancel":
            self.release_rest(order, trail)
            return
        order.milestone_line_ids.filtered("is_on_hold").action_resume()
        # Of an order that is billed in full, a stage that was cancelled would bill more than the order.
        if self.has_open(order) or schedule.amount_difference:
            self.stages(order).filtered(lambda line: line.state == "cancelled").action_restore()
        for _round in range(4):
            self.approve_rest(order)
            self.documents(order, "draft")._post()
            self.stages(order).filtered(lambda line: line.state == "planned").action_complete()
        self.check(order, trail)
        if schedule.retainage_tax == "now":
            self.assertLedgerIsOrder(order, trail)
        self.release_rest(order, trail)
        self.assertLedgerIsOrder(order, trail)

    def approve_rest(self, order):
        waiting = self.stages(order).filtered(lambda line: line.state == "submitted")
        if waiting:
            waiting.action_submit_again()
            self.approve(waiting)

    def release_rest(self, order, trail):
        schedule = order.milestone_schedule_id
        self.documents(order, "draft").filtered(lambda move: move.milestone_document == "release")._post()
        if schedule.amount_retained:
            schedule.release_retainage()
            self.documents(order, "draft")._post()
        self.assertEqual(schedule.amount_retained, 0.0, trail)
        self.check(order, trail)
