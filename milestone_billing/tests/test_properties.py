"""Random orders, schedules and events on the real database: the invariants hold after every step."""

import logging

from hypothesis import given
from hypothesis import strategies as st
from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .common_properties import (
    CURRENCIES,
    METHODS,
    ORDER_LINES,
    SCHEDULES,
    TAX_SETS,
    PropertyCommon,
    many_cases,
)

_logger = logging.getLogger(__name__)

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "complete",
                "complete",
                "complete",
                "complete_all",
                "delete",
                "cancel",
                "credit",
                "credit_part",
                "credit_draft",
                "quantity",
                "price",
                "add_line",
                "cancel_line",
                "restore_line",
                "release",
                "pay",
                "rate",
            ]
        ),
        st.integers(0, 5),
        st.integers(1, 99),
    ),
    min_size=2,
    max_size=8,
)


@tagged("post_install", "-at_install", "milestone_properties")
class TestProperties(PropertyCommon):
    # === EVENTS ===

    def happen(self, order, event, place, amount):
        """Let one event happen; what is refused must leave everything as it was."""
        try:
            with self.env.cr.savepoint():
                getattr(self, f"do_{event}")(order, place, amount)
                self.env.flush_all()
        except UserError as refusal:
            self.env.invalidate_all()
            _logger.debug("%s refused: %s", event, refusal)

    def add_missing_stage(self, order):
        """What was added to an order after its last stage needs a stage of its own, as the schedule says.

        A stage that was billed and credited waits with what was credited: it takes nothing new.
        """
        unbilled = self.stages(order).filtered(
            lambda line: line.state == "planned" and not line._get_billed_allocations()
        )
        if order.milestone_schedule_id.amount_difference and not unbilled:
            order.milestone_line_ids = [
                Command.create({"name": "Added", "amount_type": "remainder", "sequence": 900})
            ]

    def pick(self, records, place):
        return records[place % len(records)] if records else records

    def do_complete(self, order, place, _amount):
        self.pick(self.stages(order), place).action_complete()

    def do_complete_all(self, order, _place, _amount):
        self.stages(order).filtered(lambda line: line.state == "planned").action_complete()

    def documents(self, order, *states):
        return order.milestone_line_ids.invoice_ids.filtered(
            lambda move: move.state in states and move.milestone_claim
        ).sorted("id")

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
        if not move or move.milestone_document != "stage":
            return
        refund = move._reverse_moves()
        for item in refund.invoice_line_ids.filtered(lambda item: item.display_type == "product"):
            item.price_unit = round(item.price_unit * amount / 100, 2)
        refund._post()

    def do_credit_draft(self, order, place, _amount):
        credits = order.milestone_line_ids.invoice_ids.filtered(
            lambda move: move.milestone_document == "credit"
        )
        self.pick(credits.sorted("id"), place).button_draft()

    def order_lines(self, order):
        return order.order_line.filtered("is_milestone_billed")

    def do_quantity(self, order, place, amount):
        self.pick(self.order_lines(order), place).product_uom_qty = amount / 7

    def do_price(self, order, place, amount):
        self.pick(self.order_lines(order), place).price_unit = amount * 13.37

    def do_add_line(self, order, place, amount):
        order.order_line = [
            Command.create(
                {
                    "product_id": self.service.id,
                    "price_unit": amount * 1.01,
                    "tax_ids": [Command.set(self.taxes[TAX_SETS[place % len(TAX_SETS)]].ids)],
                }
            )
        ]

    def do_cancel_line(self, order, place, _amount):
        self.pick(self.stages(order), place).action_cancel()

    def do_restore_line(self, order, _place, _amount):
        self.stages(order).filtered(lambda line: line.state == "cancelled").action_restore()

    def do_release(self, order, _place, amount):
        order.milestone_schedule_id.release_retainage(percent=amount)

    def do_pay(self, order, place, _amount):
        move = self.pick(self.documents(order, "posted"), place)
        if (
            move
            and move.payment_state == "not_paid"
            and move.move_type == "out_invoice"
            and move.amount_residual
        ):
            self.pay(move)

    def do_rate(self, order, _place, amount):
        order.milestone_schedule_id.retainage_percent = amount / 10

    # === INVARIANTS ===

    def check(self, order, trail):
        schedule = order.milestone_schedule_id
        result = schedule.tie_out()
        self.assertTrue(result["ok"], f"{trail}\n{result['differences']}")
        live = order.milestone_line_ids.invoice_ids.filtered("milestone_claim")
        self.assertEqual(len(live), len(live.milestone_line_id), trail)
        self.assertGreaterEqual(schedule.amount_retained, 0.0, trail)
        if self.has_open(order):
            total = sum(self.stages(order).mapped("amount_untaxed"))
            compared = order.currency_id.compare_amounts(total, schedule.amount_contract)
            self.assertEqual(compared, 0, trail)

    def has_open(self, order):
        return bool(self.stages(order).filtered(lambda line: line.state == "planned"))

    def finish(self, order, trail):
        """Bill and post everything that is open; then the ledger is the order, per tax."""
        self.stages(order).filtered(lambda line: line.state == "cancelled").action_restore()
        order.milestone_line_ids.invoice_ids.filtered(
            lambda move: move.state == "draft" and move.milestone_document
        )._post()
        for _round in range(3):
            self.stages(order).filtered(lambda line: line.state == "planned").action_complete()
            order.milestone_line_ids.invoice_ids.filtered(
                lambda move: move.state == "draft" and move.milestone_document
            )._post()
        self.check(order, trail)
        schedule = order.milestone_schedule_id
        if schedule.retainage_tax == "now":
            self.assertLedgerIsOrder(order, trail)
        if schedule.amount_retained:
            schedule.release_retainage()
            order.milestone_line_ids.invoice_ids.filtered(
                lambda move: move.state == "draft" and move.milestone_document
            )._post()
            self.assertEqual(schedule.amount_retained, 0.0, trail)
            self.check(order, trail)
        self.assertLedgerIsOrder(order, trail)

    # === PROPERTIES ===

    @many_cases()
    @given(
        st.sampled_from(CURRENCIES),
        st.sampled_from(METHODS),
        st.sampled_from(["always", "draft"]),
        ORDER_LINES,
        SCHEDULES,
        EVENTS,
    )
    def test_invariants_hold_after_every_event(self, currency, method, posting, lines, schedule, events):
        trail = (currency, method, posting, lines, schedule)
        with self.env.cr.savepoint() as savepoint:
            self.company.tax_calculation_rounding_method = method
            self.company.milestone_invoice_posting = posting
            order = self.build(currency, lines, schedule)
            try:
                order.action_confirm()
            except UserError:
                order = None
            done = []
            for event in events if order else ():
                self.happen(order, *event)
                done.append(event)
                self.add_missing_stage(order)
                self.check(order, (*trail, done))
            if order:
                self.finish(order, (*trail, events))
            savepoint.rollback()
        self.env.invalidate_all()
