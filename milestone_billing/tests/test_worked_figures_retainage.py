"""Retainage as the accounting rules and published examples have it, journal items line by line."""

from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import tagged

from .common import MilestoneBillingCommon


class RetainageCommon(MilestoneBillingCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.receivable = cls.company_data["default_account_receivable"]
        cls.revenue = cls.company_data["default_account_revenue"]
        cls.service.property_account_income_id = cls.revenue
        cls.tax_account = cls.company_data["default_account_tax_sale"]
        cls.tax_20.invoice_repartition_line_ids.filtered(
            lambda line: line.repartition_type == "tax"
        ).account_id = cls.tax_account
        cls.tax_20.refund_repartition_line_ids.filtered(
            lambda line: line.repartition_type == "tax"
        ).account_id = cls.tax_account
        cls.retainage = cls.company._get_milestone_retainage_account()

    def create_retained_order(self, taxes=None, shares=(25, 25, 25, 25), prices=(10000.0,), **values):
        order = self.create_order(shares=shares, prices=prices, taxes=taxes, confirm=False)
        order.milestone_schedule_id.write({"retainage_percent": 10.0, **values})
        order.action_confirm()
        return order

    def create_planned_release(self, taxes=None, shares=(25, 25, 25, 25), **values):
        """Give a retained order and its last milestone, which releases everything that is held by then."""
        order = self.create_order(shares=shares, taxes=taxes, confirm=False)
        order.milestone_schedule_id.write({"retainage_percent": 10.0, **values})
        release = self.env["milestone.billing.line"].create(
            {
                "order_id": order.id,
                "name": "Retention after one year",
                "kind": "retainage_release",
                "amount_type": "remainder",
                "sequence": 100,
                "approval_required": False,
            }
        )
        order.action_confirm()
        return order, release

    def assertItems(self, move, *expected):
        """Compare journal items with ``(account, debit, credit)``, in any order."""
        items = [
            (item.account_id.code, item.debit, item.credit)
            for item in move.line_ids
            if item.account_id and (item.debit or item.credit)
        ]
        self.assertEqual(
            sorted(items), sorted((account.code, debit, credit) for account, debit, credit in expected)
        )

    def balance(self, account, order):
        moves = order.milestone_line_ids.invoice_ids
        items = moves.line_ids.filtered(
            lambda item: item.account_id == account and item.parent_state == "posted"
        )
        return self.company.currency_id.round(sum(items.mapped("balance")))


@tagged("post_install", "-at_install")
class TestWorkedFiguresRetainage(RetainageCommon):
    def test_running_case_with_retention_on_gross(self):
        order = self.create_retained_order(self.tax_20)
        deposit, first, second, final = order.milestone_line_ids
        deposit.kind = "deposit"
        deposit.action_complete()
        self.assertItems(
            deposit.invoice_ids,
            (self.receivable, 3000, 0),
            (self.revenue, 0, 2500),
            (self.tax_account, 0, 500),
        )
        for line in first + second + final:
            line.action_complete()
            self.assertEqual(line.invoice_ids.amount_retained, 300.0)
            self.assertItems(
                line.invoice_ids,
                (self.receivable, 2700, 0),
                (self.retainage, 300, 0),
                (self.revenue, 0, 2500),
                (self.tax_account, 0, 500),
            )
            self.assertEqual(line.invoice_ids.amount_total, 3000.0)
        answer = order.milestone_schedule_id.release_retainage()
        release = self.env["account.move"].browse(answer["invoice_id"])
        self.assertEqual(answer["amount"], 900.0)
        self.assertItems(release, (self.receivable, 900, 0), (self.retainage, 0, 900))
        self.assertEqual(self.balance(self.receivable, order), 12000.0)
        self.assertEqual(self.balance(self.retainage, order), 0.0)
        self.assertEqual(self.balance(self.revenue, order), -10000.0)
        self.assertEqual(self.balance(self.tax_account, order), -2000.0)
        self.assertEqual(order.milestone_schedule_id.amount_retained, 0.0)

    def test_running_case_with_retention_on_net(self):
        order = self.create_retained_order(self.tax_20, retainage_base="net")
        order.milestone_line_ids[0].kind = "deposit"
        order.milestone_line_ids.action_complete()
        for line in order.milestone_line_ids[1:]:
            self.assertItems(
                line.invoice_ids,
                (self.receivable, 2750, 0),
                (self.retainage, 250, 0),
                (self.revenue, 0, 2500),
                (self.tax_account, 0, 500),
            )
        answer = order.milestone_schedule_id.release_retainage()
        self.assertEqual(answer["amount"], 750.0)
        self.assertEqual(self.balance(self.receivable, order), 12000.0)
        self.assertEqual(self.balance(self.retainage, order), 0.0)

    def test_cash_for_the_release_settles_everything(self):
        order = self.create_retained_order(self.tax_20, shares=(50, 50))
        order.milestone_line_ids.action_complete()
        for line in order.milestone_line_ids:
            self.pay(line.invoice_ids)
            self.assertEqual(line.invoice_status, "paid")
            self.assertEqual(line.invoice_ids.amount_residual, 600.0)
            self.assertEqual(line.invoice_ids.payment_state, "partial")
        release = self.env["account.move"].browse(
            order.milestone_schedule_id.release_retainage()["invoice_id"]
        )
        self.assertEqual(order.milestone_line_ids[:2].invoice_ids.mapped("amount_residual"), [0.0, 0.0])
        self.assertEqual(release.amount_residual, 1200.0)
        self.pay(release)
        self.assertEqual(release.amount_residual, 0.0)
        self.assertEqual(set(order.milestone_line_ids.mapped("invoice_status")), {"paid"})

    def test_retainage_is_due_later_and_pay_now_asks_for_the_rest(self):
        order = self.create_retained_order(retainage_due_days=180)
        order.milestone_line_ids[0].action_complete()
        invoice = order.milestone_line_ids[0].invoice_ids
        due, held = invoice.line_ids.filtered(lambda item: item.display_type == "payment_term").sorted(
            "date_maturity"
        )
        self.assertEqual((due.amount_currency, held.amount_currency), (2250.0, 250.0))
        self.assertEqual(held.date_maturity, fields.Date.add(invoice.invoice_date, days=180))
        self.assertEqual(invoice.invoice_date_due, due.date_maturity)
        self.assertEqual(invoice._get_invoice_next_payment_values()["next_amount_to_pay"], 2250.0)

    def test_next_milestone_opens_though_retainage_is_not_paid(self):
        order = self.create_retained_order()
        first, second = order.milestone_line_ids[:2]
        second.trigger = "previous_paid"
        first.action_complete()
        self.pay(first.invoice_ids)
        self.assertEqual(second.state, "approved")

    def test_defect_client_keeps_part_of_the_retention(self):
        order = self.create_retained_order(self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        refund = line.invoice_ids._reverse_moves()
        item = refund.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        item.write({"quantity": 1.0, "price_unit": 83.33})
        refund.milestone_from_retainage = True
        refund._post()
        self.assertEqual(refund.amount_retained, -100.0)
        self.assertItems(
            refund, (self.revenue, 83.33, 0), (self.tax_account, 16.67, 0), (self.retainage, 0, 100)
        )
        self.assertEqual(self.balance(self.retainage, order), 200.0)
        self.assertConserved(order)

    def test_credit_note_takes_its_share_of_the_retention_back(self):
        order = self.create_retained_order(self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        line.invoice_ids._reverse_moves(cancel=True)
        self.assertEqual(self.balance(self.retainage, order), 0.0)
        self.assertEqual(self.balance(self.receivable, order), 0.0)
        line.action_complete()
        self.assertEqual(line._get_live_invoice().amount_retained, 300.0)
        self.assertConserved(order)

    def test_credit_note_after_the_release_takes_nothing_of_what_others_hold(self):
        """The release has asked for what M1 held back, so crediting M1 gives all of it back and no retention."""
        order = self.create_retained_order(self.tax_20)
        first = order.milestone_line_ids[0]
        order.milestone_line_ids[:2].action_complete()
        release = self.env["account.move"].browse(
            order.milestone_schedule_id.release_retainage(amount="300.00")["invoice_id"]
        )
        refund = first.invoice_ids._reverse_moves(cancel=True)
        self.assertItems(
            refund, (self.revenue, 2500, 0), (self.tax_account, 500, 0), (self.receivable, 0, 3000)
        )
        self.assertEqual(self.balance(self.retainage, order), 300.0)
        self.assertEqual(order.milestone_schedule_id.amount_retained, 300.0)
        second = order.milestone_line_ids[1].invoice_ids
        self.assertEqual(second.line_ids.filtered("milestone_retainage").amount_residual, 300.0)
        self.assertEqual((release.amount_residual, refund.amount_residual), (300.0, 300.0))
        self.assertTrue(order.milestone_schedule_id.tie_out()["ok"])

    def test_spectrum_draw_request_with_rates_cut(self):
        order = self.create_retained_order(shares=(90, 10), prices=(100000.0,), retainage_method="to_date")
        schedule, (first, second) = order.milestone_schedule_id, order.milestone_line_ids
        first.action_complete()
        self.assertItems(
            first.invoice_ids,
            (self.receivable, 81000, 0),
            (self.retainage, 9000, 0),
            (self.revenue, 0, 90000),
        )
        schedule.retainage_percent = 5.0
        second.action_complete()
        self.assertItems(
            second.invoice_ids,
            (self.receivable, 14000, 0),
            (self.retainage, 0, 4000),
            (self.revenue, 0, 10000),
        )
        self.assertEqual(second.invoice_ids.amount_total, 14000.0)
        self.assertEqual(self.balance(self.retainage, order), 5000.0)
        statement = schedule.get_statement()
        self.assertEqual(
            [
                statement[name]
                for name in ("completed_to_date", "retainage", "previously_billed", "current_due")
            ],
            ["100000.00", "5000.00", "81000.00", "14000.00"],
        )
        schedule.retainage_percent = 0.0
        release = self.env["account.move"].browse(schedule.release_retainage()["invoice_id"])
        self.assertItems(release, (self.receivable, 5000, 0), (self.retainage, 0, 5000))
        self.assertEqual(self.balance(self.receivable, order), 100000.0)
        self.assertEqual(schedule.get_statement()["current_due"], "5000.00")
        self.assertEqual(schedule.get_statement()["balance_to_finish"], "0.00")

    def test_infor_retention_entry(self):
        order = self.create_retained_order(shares=(100,), retainage_percent=5.0)
        order.milestone_line_ids.action_complete()
        self.assertItems(
            order.milestone_line_ids.invoice_ids,
            (self.receivable, 9500, 0),
            (self.retainage, 500, 0),
            (self.revenue, 0, 10000),
        )
        release = self.env["account.move"].browse(
            order.milestone_schedule_id.release_retainage()["invoice_id"]
        )
        self.assertItems(release, (self.receivable, 500, 0), (self.retainage, 0, 500))
        report = self.env["account.invoice.report"].search([("move_id", "=", release.id)])
        self.assertFalse(report, "a release is no turnover")


@tagged("post_install", "-at_install")
class TestRetainage(RetainageCommon):
    def test_partial_releases_up_to_what_is_held(self):
        order = self.create_retained_order()
        schedule = order.milestone_schedule_id
        order.milestone_line_ids.action_complete()
        self.assertEqual(schedule.amount_retained, 1000.0)
        self.assertEqual(schedule.release_retainage(percent=50)["amount"], 500.0)
        self.assertEqual(schedule.release_retainage(amount="123.45")["amount"], 123.45)
        with self.assertRaisesRegex(UserError, "376.55"):
            schedule.release_retainage(amount="376.56")
        self.assertEqual(schedule.release_retainage()["amount"], 376.55)
        with self.assertRaisesRegex(UserError, "No retainage is held"):
            schedule.release_retainage()
        self.assertEqual(self.balance(self.retainage, order), 0.0)
        self.assertBilledEqualsOrder_but_release(order)

    def assertBilledEqualsOrder_but_release(self, order):
        stages = order.milestone_line_ids.filtered(lambda line: line.kind != "retainage_release")
        self.assertEqual(sum(stages.invoice_ids.mapped("amount_untaxed")), order.amount_untaxed)

    def test_reversed_release_is_held_again(self):
        order = self.create_retained_order()
        schedule = order.milestone_schedule_id
        order.milestone_line_ids.action_complete()
        release = self.env["account.move"].browse(schedule.release_retainage()["invoice_id"])
        release._reverse_moves(cancel=True)
        self.assertEqual(schedule.amount_retained, 1000.0)
        self.assertEqual(self.balance(self.retainage, order), 1000.0)
        self.assertEqual(schedule.release_retainage()["amount"], 1000.0)
        self.assertEqual(self.balance(self.retainage, order), 0.0)

    def test_release_waits_for_open_defects(self):
        order = self.create_retained_order()
        line = order.milestone_line_ids[0]
        line.action_complete()
        project = self.env["project.project"].sudo().create({"name": "House"})
        task = (
            self.env["project.task"]
            .sudo()
            .create(
                {
                    "name": "Crack in the wall",
                    "project_id": project.id,
                    "milestone_billing_line_id": line.id,
                    "is_milestone_defect": True,
                }
            )
        )
        with self.assertRaisesRegex(UserError, "Crack in the wall"):
            order.milestone_schedule_id.release_retainage()
        task.state = "1_done"
        self.assertEqual(order.milestone_schedule_id.release_retainage()["amount"], 250.0)

    def test_retainage_stops_at_its_limit(self):
        order = self.create_retained_order(retainage_cap=600.0)
        order.milestone_line_ids.action_complete()
        self.assertEqual(
            order.milestone_line_ids.invoice_ids.sorted("id").mapped("amount_retained"), [250, 250, 100, 0]
        )

    def test_retainage_stops_at_a_percent_of_completion(self):
        order = self.create_retained_order(retainage_stop_percent=60.0)
        order.milestone_line_ids.action_complete()
        self.assertEqual(
            order.milestone_line_ids.invoice_ids.sorted("id").mapped("amount_retained"), [250, 250, 100, 0]
        )

    def test_planned_release_milestone_releases_everything(self):
        order, release = self.create_planned_release()
        self.assertEqual(
            release.blocked_reason, "“Retention after one year” waits for retainage: nothing is held yet."
        )
        (order.milestone_line_ids - release).action_complete()
        self.assertEqual(release.amount_total, 1000.0)
        release.action_complete()
        self.assertItems(release.invoice_ids, (self.receivable, 1000, 0), (self.retainage, 0, 1000))
