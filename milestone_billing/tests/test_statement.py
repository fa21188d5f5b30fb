from odoo.exceptions import AccessError
from odoo.tests import new_test_user, tagged
from odoo.tools import html2plaintext

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestStatement(MilestoneBillingCommon):
    def assertStatement(self, schedule, as_of_line=None, **expected):
        statement = schedule.get_statement(as_of_line)
        self.assertEqual({name: statement[name] for name in expected}, expected)

    def test_statement_before_the_first_bill(self):
        order = self.create_order()
        self.assertEqual(
            order.milestone_schedule_id.get_statement(),
            {
                "contract_sum_original": "10000.00",
                "change_orders": "0.00",
                "contract_sum": "10000.00",
                "completed_to_date": "0.00",
                "retainage": "0.00",
                "earned_less_retainage": "0.00",
                "previously_billed": "0.00",
                "current_due": "0.00",
                "balance_to_finish": "10000.00",
            },
        )

    def test_final_invoice_shows_what_was_billed_before(self):
        order = self.create_order()
        schedule = order.milestone_schedule_id
        for line in order.milestone_line_ids:
            line.action_complete()
            self.pay(line.invoice_ids)
        self.assertStatement(
            schedule,
            completed_to_date="10000.00",
            previously_billed="7500.00",
            current_due="2500.00",
            balance_to_finish="0.00",
        )
        earlier = schedule._get_earlier_invoices(order.milestone_line_ids[3])
        self.assertEqual(
            [row["number"] for row in earlier], order.milestone_line_ids[:3].invoice_ids.mapped("name")
        )
        self.assertEqual([row["paid"] for row in earlier], ["2500.00"] * 3)

    def test_statement_as_of_a_stage_never_changes(self):
        order = self.create_order(prices=(3000.0, 7000.0))
        schedule, second = order.milestone_schedule_id, order.milestone_line_ids[1]
        order.milestone_line_ids[:2].action_complete()
        before = schedule.get_statement(second)
        self.assertEqual(before["previously_billed"], "2500.00")
        order.milestone_line_ids[2].action_complete()
        order.milestone_line_ids[0].invoice_ids._reverse_moves(cancel=True)
        self.assertEqual(schedule.get_statement(second), before)
        self.assertEqual(schedule.get_statement(second.id), before)
        self.assertStatement(
            schedule, completed_to_date="5000.00", previously_billed="7500.00", current_due="-2500.00"
        )

    def test_unbilled_stage_is_shown_as_if_billed_now(self):
        order = self.create_order()
        order.milestone_line_ids[0].action_complete()
        self.assertStatement(
            order.milestone_schedule_id,
            order.milestone_line_ids[1],
            completed_to_date="5000.00",
            previously_billed="2500.00",
            current_due="2500.00",
        )
        self.assertStatement(order.milestone_schedule_id, completed_to_date="2500.00")

    def test_change_of_the_order_is_a_change_order_in_the_statement(self):
        order = self.create_order()
        order.order_line.price_unit = 11000.0
        self.assertStatement(
            order.milestone_schedule_id,
            contract_sum_original="10000.00",
            change_orders="1000.00",
            contract_sum="11000.00",
        )

    def test_schedule_of_values_adds_up_to_the_statement(self):
        order = self.create_order(
            shares=(33.33, 33.33, 33.34), prices=(3333.33, 6666.68, 0.01), taxes=self.tax_20
        )
        schedule = order.milestone_schedule_id
        for line in order.milestone_line_ids:
            line.action_complete()
            statement, rows = schedule.get_statement(), schedule._get_schedule_of_values()
            for name, column in (
                ("contract_sum", "scheduled_value"),
                ("completed_to_date", "completed_to_date"),
                ("previously_billed", "previous"),
                ("current_due", "this_period"),
                ("balance_to_finish", "balance"),
            ):
                self.assertAlmostEqual(sum(float(row[column]) for row in rows), float(statement[name]), 2)
        self.assertEqual({row["percent"] for row in rows}, {"100.00"})

    def test_statement_is_refused_to_strangers(self):
        order = self.create_order()
        stranger = new_test_user(self.env, "stranger", "base.group_user")
        with self.assertRaises(AccessError):
            order.milestone_schedule_id.with_user(stranger).get_statement()

    def test_screen_shows_the_figures_of_the_statement(self):
        order = self.create_order(prices=(6000.0, 4000.0))
        schedule = order.milestone_schedule_id
        schedule.retainage_percent = 10.0
        order.milestone_line_ids[:2].action_complete()
        self.env.invalidate_all()
        text = " ".join(html2plaintext(schedule.with_user(self.billing_user).statement_html).split())
        for amount in (
            "10,000.00",
            "5,000.00",
            "500.00",
            "4,500.00",
            "2,250.00",
            "5,500.00",
            "3,000.00",
            "2,000.00",
        ):
            self.assertIn(amount, text)
        with self.assertRaises(AccessError):
            schedule.with_user(self.project_user).read(["statement_html"])
        self.assertFalse(self.create_order(confirm=False).milestone_schedule_id.statement_html)
