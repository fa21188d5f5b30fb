"""Releases that ask for nothing any more: drafts whose retainage was credited, and releases that were credited."""

from odoo.exceptions import UserError
from odoo.tests import tagged
from odoo.tools.mail import html_to_inner_content

from .test_event_orders import EventOrderCommon


@tagged("post_install", "-at_install")
class TestReleaseDraft(EventOrderCommon):
    def create_drafted_release(self, stages=1, amount=None, **values):
        """Bill stages and draft a release of what is held, or of a part."""
        self.company.milestone_invoice_posting = "always"
        order = self.create_net_order(**values)
        order.milestone_line_ids[:stages].action_complete()
        self.company.milestone_invoice_posting = "draft"
        order.milestone_schedule_id.release_retainage(amount=amount)
        return order, self.get_release(order)

    def assertHeld(self, order, amount):
        schedule = order.milestone_schedule_id
        self.assertEqual(schedule.amount_retained, amount)
        self.assertEqual(float(schedule.get_statement()["retainage"]), amount)
        self.assertTiedOut(order)

    def test_draft_is_withdrawn_when_its_stage_is_credited(self):
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                order, release = self.create_drafted_release(retainage_tax=tax)
                line, total = release.milestone_line_id, release.amount_total
                credit = self.credit(order.milestone_line_ids[0].invoice_ids)
                self.assertFalse(release.exists())
                self.assertHeld(order, 0.0)
                self.assertEqual((line.state, line.amount_total), ("planned", 0.0))
                activity = line.activity_ids
                self.assertEqual(activity.summary, "Release of retainage withdrawn")
                self.assertEqual(activity.user_id, self.env.user)
                self.assertRegex(
                    html_to_inner_content(line.message_ids[0].body),
                    rf"over .*{total:.2f} was withdrawn: after {credit.name}, no retainage is left",
                )
                self.assertEqual(credit.amount_retained, -250.0)
                self.assertEqual(self.get_open_retainage(order), {})

    def test_draft_that_is_still_covered_stays(self):
        order, release = self.create_drafted_release(stages=2, amount=250)
        self.credit(order.milestone_line_ids[0].invoice_ids)
        self.assertEqual(release.state, "draft")
        self.assertHeld(order, 0.0)
        release._post()
        self.assertEqual(self.get_open_retainage(order), {})
        self.assertTiedOut(order)

    def test_draft_that_bills_the_tax_of_a_credited_stage_is_withdrawn(self):
        order, release = self.create_drafted_release(stages=2, amount=250, retainage_tax="release")
        self.credit(order.milestone_line_ids[0].invoice_ids)
        self.assertFalse(release.exists())
        self.assertHeld(order, 250.0)
        order.milestone_schedule_id.release_retainage()
        self.get_release(order)._post()
        self.assertHeld(order, 0.0)

    def test_newest_draft_goes_first(self):
        order, first = self.create_drafted_release(stages=2, amount=200)
        order.milestone_schedule_id.release_retainage(amount=150)
        second = self.get_release(order)
        self.credit(order.milestone_line_ids[0].invoice_ids)
        self.assertEqual((first.state, bool(second.exists())), ("draft", False))
        self.assertHeld(order, 50.0)

    def test_draft_is_withdrawn_by_a_credit_in_part(self):
        order, release = self.create_drafted_release()
        self.credit(order.milestone_line_ids[0].invoice_ids, 1000.0)
        line = order.milestone_line_ids.filtered(lambda line: line.kind == "retainage_release")
        self.assertFalse(release.exists())
        self.assertRegex(html_to_inner_content(line.message_ids[0].body), r"150.00 of retainage is left")
        self.assertHeld(order, 150.0)

    def test_draft_with_a_number_is_cancelled(self):
        order, release = self.create_drafted_release()
        release._post()
        release.button_draft()
        self.credit(order.milestone_line_ids[0].invoice_ids)
        self.assertEqual(release.state, "cancel")
        self.assertHeld(order, 0.0)

    def test_release_with_the_client_is_withdrawn(self):
        order, release = self.create_planned_release(taxes=self.tax_20, retainage_base="net")
        release.approval_required = True
        order.milestone_line_ids[0].action_complete()
        release.action_complete()
        self.assertEqual(release.state, "submitted")
        self.credit(order.milestone_line_ids[0].invoice_ids)
        self.assertEqual((release.state, release.approval_ids.state), ("planned", "cancelled"))
        self.assertHeld(order, 0.0)

    def test_stage_back_in_draft_shows_no_negative_retainage(self):
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                order, release = self.create_drafted_release(retainage_tax=tax)
                invoice = order.milestone_line_ids[0].invoice_ids
                invoice.button_draft()
                self.assertEqual(order.milestone_schedule_id.amount_retained, 0.0)
                self.assertEqual(release.state, "draft")
                invoice.button_cancel()
                self.assertFalse(release.exists())
                self.assertHeld(order, 0.0)

    def test_release_that_was_issued_is_not_withdrawn(self):
        order, release = self.create_drafted_release()
        release._post()
        invoice = order.milestone_line_ids[0].invoice_ids
        invoice.button_draft()
        self.assertEqual(order.milestone_schedule_id.amount_retained, 0.0)
        self.assertNotIn("retainage", self.open_end(order).row_ids.mapped("kind"))
        with self.assertRaisesRegex(UserError, "is released already"):
            invoice.button_cancel()
        self.assertEqual(release.state, "posted")


@tagged("post_install", "-at_install")
class TestCreditedReleaseAndGate(EventOrderCommon):
    def setUp(self):
        super().setUp()
        self.order = self.create_net_order(shares=(50, 50), gate="block")
        self.first, self.last = self.order.milestone_line_ids
        self.first.action_complete()
        self.pay_trade(self.first.invoice_ids)
        self.last.action_complete()
        self.order.milestone_schedule_id.release_retainage(amount=100)
        self.release = self.get_release(self.order).milestone_line_id
        self.change = self.env["milestone.billing.line"].create(
            {
                "order_id": self.order.id,
                "name": "Extra",
                "kind": "change",
                "amount_type": "fixed",
                "amount_fixed": 100.0,
                "sequence": self.release.sequence + 10,
                "approval_required": False,
            }
        )
        self.order.order_line = [self.prepare_line(100.0, self.tax_20)]

    def pay_trade(self, invoice):
        self.pay(invoice)

    def assertGate(self, is_blocked, is_ready):
        self.env.flush_all()
        self.env.invalidate_all()
        line, search = self.change, self.change.search
        self.assertEqual((line.is_blocked_by_payment, line.is_ready), (is_blocked, is_ready))
        for name, value in (("is_blocked_by_payment", is_blocked), ("is_ready", is_ready)):
            self.assertEqual(bool(search([("id", "=", line.id), (name, "=", True)])), value, name)

    def test_credited_release_does_not_block(self):
        self.assertGate(True, False)
        self.credit(self.get_release(self.order))
        self.assertEqual((self.release.state, self.release.invoice_status), ("planned", "credited"))
        self.assertGate(True, False)
        self.assertIn(self.last.name, self.change.blocked_reason)
        self.pay_trade(self.last.invoice_ids)
        self.assertGate(False, True)
        self.change.action_complete()
        self.assertTiedOut(self.order)

    def test_release_credited_in_part_still_blocks(self):
        self.pay_trade(self.last.invoice_ids)
        self.credit(self.get_release(self.order), 40.0)
        self.assertGate(True, False)
        self.assertIn(self.release.name, self.change.blocked_reason)

    def test_credited_release_that_is_billed_again_blocks(self):
        self.pay_trade(self.last.invoice_ids)
        self.credit(self.get_release(self.order))
        self.assertGate(False, True)
        self.release.action_complete()
        self.assertGate(True, False)
        self.pay(self.get_release(self.order))
        self.assertGate(False, True)

    def test_credited_release_itself_stays_ready(self):
        self.credit(self.get_release(self.order))
        release = self.release
        self.env.invalidate_all()
        self.assertTrue(release.is_ready)
        self.assertEqual(release.search([("id", "=", release.id), ("is_ready", "=", True)]), release)

    def test_work_behind_a_credited_release_waits_for_no_payment_of_it(self):
        self.change.trigger = "previous_paid"
        self.credit(self.get_release(self.order))
        self.assertGate(True, False)
        self.pay_trade(self.last.invoice_ids)
        self.assertGate(False, True)
