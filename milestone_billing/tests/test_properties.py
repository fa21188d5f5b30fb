"""Random orders, schedules and events on the real database: the invariants hold after every step."""

from hypothesis import given
from hypothesis import strategies as st
from odoo import Command
from odoo.tests import tagged

from .common_properties import AMOUNTS, CURRENCIES, METHODS, ORDER_LINES, SCHEDULES, TAX_SETS, many_cases
from .common_properties_events import BILLING, DOCUMENTS, ORDER, OUTSIDE, RETAINAGE, HistoryCommon


def histories(*kinds):
    """Draw lists of events with two numbers each, which they read as they like."""
    return st.lists(
        st.tuples(st.sampled_from(kinds), st.integers(0, 5), st.integers(1, 99)), min_size=2, max_size=8
    )


POSTINGS = st.sampled_from(["always", "draft", "approval"])


@tagged("post_install", "-at_install", "milestone_properties")
class TestProperties(HistoryCommon):
    def play(self, order, events, trail):
        """Let the events happen, check after each, and bring the contract to its end."""
        done = []
        for event in events:
            self.happen(order, *event)
            done.append(event)
            self.add_missing_stage(order)
            self.check(order, (*trail, done))
        self.finish(order, (*trail, events))

    @many_cases()
    @given(
        st.sampled_from(CURRENCIES),
        st.sampled_from(METHODS),
        POSTINGS,
        ORDER_LINES,
        SCHEDULES,
        histories(*BILLING, *DOCUMENTS, *ORDER, *RETAINAGE, *OUTSIDE),
    )
    def test_invariants_hold_after_every_event(self, currency, method, posting, lines, schedule, events):
        self.play_contract(currency, method, posting, lines, schedule, events)

    # === CHARGES ON DEMAND ===

    def enrol(self, currency, taxes, approval):
        """Agree to charge a customer on demand: an open-ended order of nothing."""
        self.service.taxes_id = [Command.set(self.taxes[taxes].ids)]
        customer = self.env["res.partner"].create({"name": "On demand", "is_company": True})
        customer.property_product_pricelist = self.pricelists[currency]
        return self.env["milestone.billing.enrolment"].create(
            {
                "partner_id": customer.id,
                "company_id": self.company.id,
                "product_id": self.service.id,
                "approval_required": approval,
            }
        )

    def do_charge(self, order, place, amount):
        order.milestone_enrolment_ids.charge(f"{amount * (place + 1) * 1.37:.3f}", "Work on demand")

    def do_refund(self, order, _place, amount):
        back = order.currency_id.round(amount / 3)
        if back:
            order.milestone_enrolment_ids.sudo()._refund(back, "Given back")

    @many_cases()
    @given(
        st.sampled_from(CURRENCIES),
        st.sampled_from(METHODS),
        POSTINGS,
        st.sampled_from(TAX_SETS),
        st.booleans(),
        AMOUNTS,
        histories(
            "charge", "charge", "charge", "refund", *DOCUMENTS, "approve", "cancel_line", "end", "before"
        ),
    )
    def test_charges_on_demand_keep_the_invariants(
        self, currency, method, posting, taxes, approval, amount, events
    ):
        trail = (currency, method, posting, taxes, approval, amount)
        with self.env.cr.savepoint() as savepoint:
            self.company.tax_calculation_rounding_method = method
            self.company.milestone_invoice_posting = posting
            enrolment = self.enrol(currency, taxes, approval)
            enrolment.charge(str(amount + 1), "First")
            order = enrolment.order_id
            self.assertEqual(order.currency_id.name, currency)
            self.play(order, events, trail)
            self.assertChargesAreNoChange(order, (*trail, events))
            savepoint.rollback()
        self.env.invalidate_all()

    def assertChargesAreNoChange(self, order, trail):
        """What is charged is the contract: no change order appears in the statement of a running one."""
        if order.state == "sale":
            statement = order.milestone_schedule_id.get_statement()
            self.assertEqual(float(statement["change_orders"]), 0.0, trail)
