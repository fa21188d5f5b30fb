"""Random contracts whose currency moves before every event: advances leave nothing on their account.

The company's way of rounding taxes changes meanwhile, too.
"""

from hypothesis import given
from hypothesis import strategies as st
from odoo import fields
from odoo.tests import tagged

from .common_properties import METHODS, ORDER_LINES, SCHEDULES, many_cases
from .common_properties_events import BILLING, DOCUMENTS, ORDER, OUTSIDE, RETAINAGE, HistoryCommon
from .test_properties import POSTINGS, histories

FOREIGN = st.sampled_from(["JPY", "KWD", "CHF", "EUR"])
WITH_ADVANCE = st.tuples(SCHEDULES, st.sampled_from(["final", "prorata"]), st.integers(1, 9)).map(
    lambda drawn: {**drawn[0], "deposit": drawn[1], "weights": [drawn[2], *drawn[0]["weights"]]}
)


@tagged("post_install", "-at_install", "milestone_properties")
class TestPropertiesRates(HistoryCommon):
    def happen(self, order, event, place, amount):
        """Let an event happen at a rate of its own."""
        self.move_rate(order.currency_id, (1 + place) * amount / 37)
        return super().happen(order, event, place, amount)

    def do_rounding(self, _order, place, _amount):
        """Let the company round the taxes of new orders otherwise."""
        self.company.tax_calculation_rounding_method = METHODS[place % 2]

    def move_rate(self, currency, rate):
        """Let the company's currency buy another amount from today on."""
        today = fields.Date.context_today(self.company)
        Rate = self.env["res.currency.rate"]
        found = Rate.search([("currency_id", "=", currency.id), ("name", "=", today)])
        values = {"currency_id": currency.id, "name": today, "company_id": self.company.id}
        (found or Rate.create(values)).rate = rate

    def check(self, order, trail):
        """Extend: see `assertOwnRates`; what was deducted before its deposit was issued is confirmed again, as told."""
        for row in order.milestone_schedule_id.tie_out()["differences"]:
            move = self.env["account.move"].browse(row.get("move_id"))
            if row["check"] == "advance" and move.milestone_recovery_ids:
                move.button_draft()
                move._post()
        self.assertOwnRates(order, trail)
        return super().check(order, trail)

    def assertOwnRates(self, order, trail):
        """Taxes and due lines of each document stand at its own rate, but for what rounding leaves."""
        for move in order.milestone_line_ids.invoice_ids.filtered(lambda move: move.state == "posted"):
            for item in move.line_ids.filtered(lambda item: item.display_type in ("tax", "payment_term")):
                expected = item.amount_currency / move.invoice_currency_rate
                slack = 0.01 * (len(move.line_ids) + 2)
                self.assertAlmostEqual(item.balance, expected, delta=slack, msg=(item.display_type, trail))

    @many_cases()
    @given(
        FOREIGN,
        st.sampled_from(METHODS),
        POSTINGS,
        ORDER_LINES,
        WITH_ADVANCE,
        histories(*BILLING, *DOCUMENTS, *ORDER, *RETAINAGE, *OUTSIDE, "rounding", "rounding"),
    )
    def test_advances_leave_nothing_on_their_account(
        self, currency, method, posting, lines, schedule, events
    ):
        self.play_contract(currency, method, posting, lines, schedule, events)

    def play(self, order, events, trail):
        """Let the events happen, check after each, bring the contract to its end, and look at the account."""
        done = []
        for event in events:
            self.happen(order, *event)
            done.append(event)
            self.add_missing_stage(order)
            self.check(order, (*trail, done))
        self.move_rate(order.currency_id, 0.731)
        self.finish(order, (*trail, events))
        if not order.milestone_schedule_id.amount_before:
            items = order.order_line.filtered("milestone_deposit_id").invoice_lines
            posted = items.filtered(lambda item: item.parent_state == "posted")
            self.assertAlmostEqual(sum(posted.mapped("amount_currency")), 0.0, 5, trail)
            self.assertAlmostEqual(sum(posted.mapped("balance")), 0.0, 5, trail)
