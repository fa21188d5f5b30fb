from odoo.exceptions import UserError
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
