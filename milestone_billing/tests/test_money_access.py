"""Nobody bills, releases or credits what they may not: every money method, by everybody who might try."""

from datetime import date

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged

from .test_worked_figures_deposit import DepositCommon


class MoneyAccessCommon(DepositCommon):
    """One contract with money in it, and everybody who might try to move it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        other = cls.setup_other_company()["company"]
        cls.order = cls.create_deposit_order(taxes=cls.tax_20)
        cls.order.milestone_schedule_id.retainage_percent = 10.0
        cls.order.milestone_line_ids[:2].action_complete()
        cls.enrolment = cls.env["milestone.billing.enrolment"].create(
            {"partner_id": cls.client_company.id, "company_id": cls.company.id, "product_id": cls.service.id}
        )
        cls.people = {
            "portal": cls.create_user("portal", "base.group_portal", cls.company),
            "employee": cls.create_user("employee", "base.group_user", cls.company),
            "seller": cls.create_user("seller", "sales_team.group_sale_salesman_all_leads", cls.company),
            "project": cls.project_user,
            "auditor": cls.create_user(
                "auditor", "base.group_user,milestone_billing.milestone_billing_group_auditor", cls.company
            ),
            "stranger": cls.create_user(
                "stranger", "milestone_billing.milestone_billing_group_billing_manager", other
            ),
        }
        cls.people["portal"].partner_id.parent_id = cls.client_company

    @classmethod
    def create_user(cls, name, groups, company):
        return new_test_user(
            cls.env,
            f"money_{name}",
            groups,
            company_id=company.id,
            company_ids=[Command.set(company.ids)],
        )


@tagged("post_install", "-at_install")
class TestMoneyAccess(MoneyAccessCommon):
    def get_attempts(self, user):
        """Give every way to move money, as this user would call it."""
        order, enrolment = self.order.with_user(user), self.enrolment.with_user(user)
        schedule, lines = order.sudo().milestone_schedule_id, order.sudo().milestone_line_ids
        schedule, lines = schedule.with_user(user), lines.with_user(user)
        opening = {
            "line_id": lines[2].id,
            "reference": "OLD-1",
            "date": date(2025, 11, 3),
            "amount_untaxed": 100.0,
        }
        return {
            "complete": lines[2].complete,
            "action_complete": lines[2].action_complete,
            "action_cancel": lines[2].action_cancel,
            "action_hold": lines[2].action_hold,
            "release_retainage": schedule.release_retainage,
            "refund_deposit": lines[0].refund_deposit,
            "propose_change": lambda: schedule.propose_change([]),
            "charge": lambda: enrolment.charge(10, "Work"),
            "end": order.action_end_milestones,
            "cut_over": schedule.action_open_cut_over,
            "opening": lambda: self.env["milestone.billing.opening"].with_user(user).create(opening),
            "tie_out": schedule.tie_out,
            "credit": lambda: lines.sudo()[1].invoice_ids.with_user(user)._reverse_moves(cancel=True),
            "allocation": lambda: lines.sudo()[2].allocation_ids.with_user(user).write({"percent": 1.0}),
            "retainage": lambda: lines.sudo()[1].invoice_ids.with_user(user).write({"amount_retained": 0.0}),
        }

    def assertRefused(self, name, allowed):
        user = self.people[name]
        moves = self.env["account.move"].sudo().search_count([])
        for method, attempt in self.get_attempts(user).items():
            if method in allowed:
                continue
            refused = self.assertRaises(AccessError)
            with self.subTest(user=name, method=method), refused, self.env.cr.savepoint():
                attempt()
        self.env.invalidate_all()
        self.assertEqual(self.env["account.move"].sudo().search_count([]), moves)
        self.assertEqual(self.order.milestone_line_ids[2].state, "planned")

    def test_clients_and_employees_move_no_money(self):
        for name in ("portal", "employee"):
            self.assertRefused(name, allowed=())

    def test_sellers_change_the_order_and_no_bill(self):
        self.assertRefused("seller", allowed=("propose_change", "allocation"))

    def test_project_users_complete_and_nothing_else(self):
        self.assertRefused("project", allowed=("complete", "action_complete"))

    def test_auditors_look_and_touch_nothing(self):
        self.assertRefused("auditor", allowed=("tie_out",))

    def test_managers_of_another_company_move_nothing(self):
        self.assertRefused("stranger", allowed=())

    def test_nobody_ends_the_contract_of_another_company(self):
        """Also where all that is asked of the order was read before."""
        schedule = self.order.milestone_schedule_id
        schedule._check_may_end()
        with self.assertRaises(AccessError):
            schedule.with_user(self.people["stranger"])._check_may_end()


@tagged("post_install", "-at_install")
class TestContractKept(MoneyAccessCommon):
    """What keeps a contract together is changed by its steps only, whoever has the right to change the order."""

    def test_confirmed_order_is_not_opened_by_its_button(self):
        """“Set to Quotation” leaves confirmed orders alone, as in `sale`: their schedules stay frozen as well."""
        schedule, plan = self.order.milestone_schedule_id, self.order.milestone_line_ids.allocation_ids
        for user in (self.people["seller"], self.people["project"], self.env.user):
            self.order.with_user(user).action_draft()
        self.assertRecordValues(schedule, [{"is_frozen": True, "amount_frozen": 10000.0}])
        self.assertTrue(plan.exists())
        self.assertConserved(self.order)

    def test_order_keeps_its_schedule(self):
        Order = self.env["sale.order"].with_user(self.people["seller"])
        schedule = self.order.milestone_schedule_id
        with self.assertRaises(AccessError):
            self.order.with_env(Order.env).milestone_schedule_id = False
        values = {"partner_id": self.client_company.id}
        with self.assertRaises(AccessError):
            Order.create({**values, "milestone_schedule_id": schedule.id})
        order = Order.with_context(default_milestone_schedule_id=schedule.id).create(values)
        self.assertFalse(order.milestone_schedule_id)
        for name in ("company_id", "currency_id", "partner_id", "amount_before"):
            with self.subTest(name), self.assertRaises(AccessError):
                schedule.with_env(Order.env).write({name: False})

    def test_down_payment_line_keeps_its_deposit(self):
        line = self.order.order_line.filtered("milestone_deposit_id")[:1]
        seller = line.with_user(self.people["seller"])
        self.assertTrue(line)
        with self.assertRaises(AccessError):
            seller.milestone_deposit_id = False
        values = {"order_id": self.order.id, "product_id": self.service.id, "is_downpayment": True}
        with self.assertRaises(AccessError):
            seller.create({**values, "milestone_deposit_id": line.milestone_deposit_id.id})
        seller = seller.with_context(default_milestone_deposit_id=line.milestone_deposit_id.id)
        self.assertFalse(seller.create(values).milestone_deposit_id)

    def test_billed_line_stays_with_the_milestones(self):
        """By whatever it depends on: what milestones have billed is not handed to “Create invoice”."""
        billed = self.order.order_line.filtered("is_milestone_billed")
        for values in ({"is_expense": True}, {"is_downpayment": True}, {"is_milestone_billed": False}):
            with self.subTest(values), self.assertRaises(UserError), self.env.cr.savepoint():
                billed.write(values)
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids[0].action_complete()
        order.action_cancel()
        order.action_draft()
        billed = order.order_line
        goods = self.service.copy({"type": "consu", "invoice_policy": "delivery"})
        with self.assertRaises(UserError), self.env.cr.savepoint():
            billed.product_id = goods
        self.assertTrue(billed.is_milestone_billed)

    def test_line_that_leaves_the_milestones_takes_its_plan_along(self):
        order = self.create_order(prices=(600.0, 400.0), taxes=self.tax_20)
        order.order_line[1].is_expense = True
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [150.0] * 4)
        self.assertConserved(order)

    def test_share_of_every_line_comes_back(self):
        """Taking what follows from the plan out of a milestone of a confirmed order does not make it bill less."""
        order = self.create_order(prices=(600.0, 400.0), taxes=self.tax_20)
        second = order.milestone_line_ids[1]
        second.with_user(self.people["seller"]).allocation_ids = [Command.clear()]
        self.assertEqual(second.amount_untaxed, 250.0)
        self.assertEqual(second.allocation_ids.order_line_id, order.order_line)
        self.assertConserved(order)
        order.milestone_line_ids.action_complete()
        self.assertBilledEqualsOrder(order)
