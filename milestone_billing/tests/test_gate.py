from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestGate(MilestoneBillingCommon):
    """Time for the next milestone is reserved only when it is open; it opens by itself when the one before is paid."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        Project = cls.env["project.project"].sudo()
        cls.project = Project.create(
            {"name": "Gate", "allow_milestones": True, "company_id": cls.company.id, "allow_billable": True}
        )
        cls.order = cls.create_order(project_id=cls.project.id)
        cls.order.milestone_schedule_id.gate = "block"
        cls.first, cls.second = cls.order.milestone_line_ids[:2]
        cls.manager = new_test_user(
            cls.env,
            "gate_manager",
            "project.group_project_manager,milestone_billing.milestone_billing_group_project_user",
            company_id=cls.company.id,
            company_ids=[(6, 0, cls.company.ids)],
        )
        cls.billing_manager = new_test_user(
            cls.env,
            "gate_billing_manager",
            "milestone_billing.milestone_billing_group_billing_manager",
            company_id=cls.company.id,
            company_ids=[(6, 0, cls.company.ids)],
        )
        cls.Task = cls.env["project.task"].with_user(cls.manager).with_context(mail_create_nolog=True)

    def create_task(self, line, **values):
        return self.Task.create(
            {
                "name": "Build",
                "project_id": self.project.id,
                "milestone_billing_line_id": line.id,
                **values,
            }
        )

    def open_second(self):
        self.first.action_complete()
        self.pay(self.first.invoice_ids)

    def test_time_is_planned_only_when_the_milestone_is_open(self):
        task = self.create_task(self.second)
        self.assertIn("Stage 1", task.milestone_gate_reason)
        with self.assertRaisesRegex(UserError, "Stage 1"), self.env.cr.savepoint():
            task.allocated_hours = 8.0
        with self.assertRaisesRegex(UserError, "No time can be reserved"), self.env.cr.savepoint():
            self.create_task(self.second, allocated_hours=8.0)
        self.first.action_complete()
        with self.assertRaises(UserError), self.env.cr.savepoint():
            task.allocated_hours = 8.0
        self.pay(self.first.invoice_ids)
        task.allocated_hours = 8.0
        self.assertFalse(task.milestone_gate_reason)
        self.assertEqual(task.allocated_hours, 8.0)

    def test_planned_time_does_not_slip_in_by_moving_the_task(self):
        task = self.create_task(self.first, allocated_hours=8.0)
        with self.assertRaises(UserError), self.env.cr.savepoint():
            task.milestone_billing_line_id = self.second
        task.allocated_hours = 0.0
        task.milestone_billing_line_id = self.second

    def test_less_time_and_other_changes_are_always_fine(self):
        task = self.create_task(self.second)
        task.sudo().allocated_hours = 8.0
        task.allocated_hours = 4.0
        task.write({"name": "Build it", "allocated_hours": 4.0})
        self.assertEqual(task.allocated_hours, 4.0)

    def test_time_sheets_wait_as_well(self):
        if "task_id" not in self.env["account.analytic.line"]._fields:
            self.skipTest("time sheets are not installed")
        employee = self.env["hr.employee"].sudo().create({"name": "Eva", "company_id": self.company.id})
        self.manager.group_ids += self.env.ref("hr_timesheet.group_hr_timesheet_approver")
        Entry = self.env["account.analytic.line"].with_user(self.manager)
        task = self.create_task(self.second)
        values = {
            "name": "Work",
            "project_id": self.project.id,
            "task_id": task.id,
            "employee_id": employee.id,
            "unit_amount": 2.0,
        }
        with self.assertRaisesRegex(UserError, "Stage 1"), self.env.cr.savepoint():
            Entry.create(values)
        self.open_second()
        entry = Entry.create(values)
        self.assertEqual(entry.unit_amount, 2.0)

    def test_warning_gate_lets_time_through(self):
        self.order.milestone_schedule_id.gate = "warn"
        task = self.create_task(self.second, allocated_hours=8.0)
        self.assertIn("not paid yet", task.milestone_gate_reason)

    def test_client_reads_kind_words_on_the_order_page(self):
        rows = self.order._prepare_milestone_timeline(self.env.ref("base.public_user"))
        self.assertEqual([row["gate"] for row in rows][:2], ["", "We start as soon as “Stage 1” is paid."])
        self.open_second()
        rows = self.order._prepare_milestone_timeline(self.env.ref("base.public_user"))
        self.assertEqual(rows[1]["gate"], "")

    # === OPENED BY A MANAGER ===

    def open_gate(self, reason="The client pays on Friday", user=None):
        batch = self.env["milestone.billing.batch"].with_user(user or self.billing_manager)
        batch = batch.create({"operation": "open", "line_ids": [(6, 0, self.second.ids)], "reason": reason})
        batch.action_apply()
        return batch

    def test_manager_opens_a_milestone_before_the_payment_and_says_why(self):
        task = self.create_task(self.second)
        self.assertTrue(self.second.is_blocked_by_payment)
        self.assertNotIn(self.second, self.second.search([("is_ready", "=", True)]))
        self.open_gate()
        task.allocated_hours = 8.0
        self.assertEqual(task.allocated_hours, 8.0)
        self.assertFalse(task.milestone_gate_reason)
        self.assertRecordValues(
            self.second,
            [{"gate_opened_by_id": self.billing_manager.id, "gate_reason": "The client pays on Friday"}],
        )
        self.assertIn("The client pays on Friday", self.second.message_ids[0].body)
        entry = self.second.evidence_ids.filtered(lambda item: item.type == "gate.opened")
        self.assertEqual(entry._get_body()["data"], {"unpaid_milestone": self.first.reference})
        self.assertNotIn("Friday", entry.body)
        self.assertTrue(self.second.verify_evidence()["ok"])
        self.assertFalse(self.second.is_blocked_by_payment)
        self.assertNotIn(self.second, self.second.search([("is_blocked_by_payment", "=", True)]))
        rows = self.order._prepare_milestone_timeline(self.env.ref("base.public_user"))
        self.assertEqual(rows[1]["gate"], "")

    def test_opened_milestone_can_be_completed(self):
        self.first.action_complete()
        with self.assertRaises(UserError), self.env.cr.savepoint():
            self.second.action_complete()
        self.open_gate()
        self.assertTrue(self.second.is_ready)
        self.assertIn(self.second, self.second.search([("is_ready", "=", True)]))
        self.second.action_complete()
        self.assertTrue(self.second.invoice_ids)
        third = self.order.milestone_line_ids[2]
        self.assertTrue(third.is_blocked_by_payment, "one is opened, not all that follow")

    def test_opening_needs_a_manager_and_a_reason(self):
        with self.assertRaises(AccessError), self.env.cr.savepoint():
            self.open_gate(user=self.billing_user)
        with self.assertRaisesRegex(UserError, "Say why"), self.env.cr.savepoint():
            self.open_gate(reason=" ")
        with self.assertRaises(AccessError), self.env.cr.savepoint():
            self.second.with_user(self.billing_manager).gate_opened_on = "2026-01-01 00:00:00"
        self.open_second()
        with self.assertRaisesRegex(UserError, "None of the chosen"), self.env.cr.savepoint():
            self.open_gate()
