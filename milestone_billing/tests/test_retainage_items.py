"""Each agreement on retainage, down to the journal items: cap, stop, steps, releases, reversals, defects."""

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_worked_figures_retainage import RetainageCommon


@tagged("post_install", "-at_install")
class TestRetainageItems(RetainageCommon):
    def release(self, order, **how):
        answer = order.milestone_schedule_id.release_retainage(**how)
        return self.env["account.move"].browse(answer["invoice_id"])

    def assertStages(self, order, *expected):
        """Compare each stage with ``(due, retained, revenue)``; negative retainage is given back."""
        order.milestone_line_ids.action_complete()
        for line, (due, retained, revenue) in zip(order.milestone_line_ids, expected, strict=True):
            items = [(self.receivable, due, 0), (self.revenue, 0, revenue)]
            if retained:
                items.append((self.retainage, max(retained, 0), max(-retained, 0)))
            self.assertItems(line.invoice_ids, *items)
        self.assertTiedOut(order)

    def assertTiedOut(self, order):
        self.assertEqual(order.milestone_schedule_id.tie_out()["differences"], [])
        self.assertConserved(order)

    def residuals(self, order):
        items = order.milestone_line_ids.invoice_ids.sorted("id").line_ids.filtered(
            lambda item: item.milestone_retainage and item.balance > 0
        )
        return items.mapped("amount_residual")

    # === WHAT IS HELD BACK ===

    def test_capped_by_an_amount(self):
        order = self.create_retained_order(retainage_cap=600.0)
        self.assertStages(order, (2250, 250, 2500), (2250, 250, 2500), (2400, 100, 2500), (2500, 0, 2500))

    def test_stopped_at_a_percent_of_completion(self):
        order = self.create_retained_order(retainage_stop_percent=60.0)
        self.assertStages(order, (2250, 250, 2500), (2250, 250, 2500), (2400, 100, 2500), (2500, 0, 2500))

    def test_steps_change_the_rate_and_give_a_part_back(self):
        step = Command.create({"completion": 50.0, "percent": 5.0, "release_percent": 50.0})
        order = self.create_retained_order(shares=(40, 20, 40), retainage_step_ids=[step])
        self.assertStages(order, (3600, 400, 4000), (2050, -50, 2000), (3800, 200, 4000))
        self.assertItems(self.release(order), (self.receivable, 550, 0), (self.retainage, 0, 550))
        self.assertEqual(self.balance(self.retainage, order), 0.0)

    def test_a_rate_that_rises_holds_no_more_back_than_the_stage_bills(self):
        order = self.create_retained_order(
            shares=(90, 5, 5), retainage_method="to_date", retainage_percent=1.0
        )
        first, second, third = order.milestone_line_ids
        first.action_complete()
        order.milestone_schedule_id.retainage_percent = 10.0
        second.action_complete()
        self.assertItems(second.invoice_ids, (self.retainage, 500, 0), (self.revenue, 0, 500))
        self.assertEqual(second.invoice_status, "paid", "nothing is due but what is held back")
        third.action_complete()
        self.assertItems(
            third.invoice_ids, (self.receivable, 90, 0), (self.retainage, 410, 0), (self.revenue, 0, 500)
        )
        self.assertEqual(order.milestone_schedule_id.amount_retained, 1000.0)
        self.assertTiedOut(order)

    def test_cap_on_the_amount_with_tax(self):
        order = self.create_retained_order(self.tax_20, shares=(50, 50), retainage_cap=700.0)
        order.milestone_line_ids.action_complete()
        for line, due, retained in zip(order.milestone_line_ids, (5400, 5900), (600, 100), strict=True):
            self.assertItems(
                line.invoice_ids,
                (self.receivable, due, 0),
                (self.retainage, retained, 0),
                (self.revenue, 0, 5000),
                (self.tax_account, 0, 1000),
            )
        self.assertTiedOut(order)

    # === WHAT IS RELEASED ===

    def test_releases_in_part_and_the_rest(self):
        order = self.create_retained_order(self.tax_20)
        order.milestone_line_ids.action_complete()
        for how, amount in (({"amount": "450"}, 450), ({"percent": 20}, 150), ({}, 600)):
            release = self.release(order, **how)
            self.assertItems(release, (self.receivable, amount, 0), (self.retainage, 0, amount))
            self.assertEqual(release.amount_tax, 0.0)
            self.assertTiedOut(order)
            if how == {"amount": "450"}:
                self.assertEqual(self.residuals(order), [0.0, 150.0, 300.0, 300.0])
        self.assertEqual(self.residuals(order), [0.0, 0.0, 0.0, 0.0])
        self.assertEqual(self.balance(self.retainage, order), 0.0)
        self.assertEqual(self.balance(self.receivable, order), 12000.0)

    def test_clearing_what_was_held_back_is_no_payment(self):
        order = self.create_retained_order(self.tax_20, shares=(50, 50))
        line = order.milestone_line_ids[0]
        line.action_complete()
        release = self.release(order)
        self.assertEqual((release.payment_state, release.amount_residual), ("not_paid", 600.0))
        self.assertFalse(release.invoice_payments_widget)
        self.assertEqual(release.milestone_line_id.invoice_status, "posted")
        self.pay(release)
        self.assertEqual(release.milestone_line_id.invoice_status, "paid")
        self.assertEqual(len(release.invoice_payments_widget["content"]), 1)

    def test_reversed_release_and_a_release_credited_in_part(self):
        order = self.create_retained_order()
        order.milestone_line_ids.action_complete()
        refund = self.release(order)._reverse_moves(cancel=True)
        self.assertItems(refund, (self.retainage, 1000, 0), (self.receivable, 0, 1000))
        self.assertTiedOut(order)
        refund = self.release(order)._reverse_moves()
        refund.invoice_line_ids.filtered("milestone_retainage").price_unit = 300.0
        refund._post()
        self.assertItems(refund, (self.retainage, 300, 0), (self.receivable, 0, 300))
        self.assertEqual(order.milestone_schedule_id.amount_retained, 300.0)
        self.assertTiedOut(order)
        self.assertItems(self.release(order), (self.receivable, 300, 0), (self.retainage, 0, 300))
        self.assertEqual(self.balance(self.retainage, order), 0.0)

    def test_credit_of_a_stage_that_gave_retainage_back(self):
        order = self.create_retained_order(shares=(90, 10), retainage_method="to_date")
        first, second = order.milestone_line_ids
        first.action_complete()
        order.milestone_schedule_id.retainage_percent = 5.0
        second.action_complete()
        self.assertItems(
            second.invoice_ids, (self.receivable, 1400, 0), (self.retainage, 0, 400), (self.revenue, 0, 1000)
        )
        refund = second.invoice_ids._reverse_moves(cancel=True)
        self.assertItems(
            refund, (self.receivable, 0, 1400), (self.retainage, 400, 0), (self.revenue, 1000, 0)
        )
        self.assertEqual(order.milestone_schedule_id.amount_retained, 900.0)
        self.assertTiedOut(order)
        second.action_complete()
        self.assertEqual(order.milestone_schedule_id.amount_retained, 500.0)
        self.assertTiedOut(order)

    def test_release_draft_changed_by_hand_is_not_posted(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_retained_order()
        order.milestone_line_ids.action_complete()
        order.milestone_line_ids.invoice_ids._post()
        release = self.release(order)
        release.invoice_line_ids.filtered("milestone_retainage").price_unit = 900.0
        with self.assertRaisesRegex(UserError, "the retainage is .*900.00, the milestone bills .*1,000.00"):
            release._post()

    # === DEFECTS ===

    def create_defects(self, line):
        project = self.env["project.project"].sudo().create({"name": "House", "allow_milestones": True})
        milestone = self.env["project.milestone"].sudo().create({"name": "Roof", "project_id": project.id})
        line.project_milestone_id = milestone
        links = ({"milestone_billing_line_id": line.id}, {"milestone_id": milestone.id}, {})
        return (
            self.env["project.task"]
            .sudo()
            .create(
                [
                    {"name": name, "project_id": project.id, "is_milestone_defect": True, **link}
                    for name, link in zip(("Crack", "Leak", "Other house"), links, strict=True)
                ]
            )
        )

    def test_release_waits_until_the_last_defect_is_closed(self):
        order, release = self.create_planned_release(shares=(50, 50))
        stages = order.milestone_line_ids - release
        crack, leak, _other = self.create_defects(stages[0])
        stages.action_complete()
        self.assertIn("Crack, Leak", release.blocked_reason)
        for attempt in (release.action_complete, lambda: self.release(order, amount="1")):
            with self.assertRaisesRegex(UserError, "open defects: Crack, Leak"):
                attempt()
        crack.state = "1_done"
        with self.assertRaisesRegex(UserError, "open defects: Leak"):
            release.action_complete()
        leak.state = "1_canceled"
        release.action_complete()
        self.assertItems(release.invoice_ids, (self.receivable, 1000, 0), (self.retainage, 0, 1000))

    def test_ready_search_says_the_same_of_releases(self):
        order, release = self.create_planned_release(shares=(50, 50))
        stages = order.milestone_line_ids - release

        def assertReady(expected, message):
            release.invalidate_recordset(["is_ready", "can_complete"])
            found = release.search([("id", "=", release.id), ("is_ready", "=", True)])
            self.assertEqual((bool(found), release.is_ready), (expected, expected), message)

        assertReady(False, "nothing is held")
        defects = self.create_defects(stages[0])
        stages.action_complete()
        assertReady(False, "defects are open")
        defects[:2].state = "1_done"
        assertReady(True, "held, and no defect is open")
        order.milestone_schedule_id.gate = "block"
        assertReady(True, "a release does not wait for payments")
        release.write({"amount_type": "fixed", "amount_fixed": 1000.01})
        assertReady(False, "more than is held")
        release.amount_fixed = 1000.0
        assertReady(True, "exactly what is held")
        self.release(order, amount="400")
        assertReady(False, "a part is released already")
