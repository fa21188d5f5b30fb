from datetime import timedelta
from unittest.mock import patch

from freezegun import freeze_time
from odoo import Command, fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import mute_logger

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestTriggerRemembered(MilestoneBillingCommon):
    """A trigger that comes while something is in the way completes the milestone when the way is free."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.project = cls.env["project.project"].sudo().create({"name": "P", "company_id": cls.company.id})
        cls.order = cls.create_order(project_id=cls.project.id, confirm=False)
        cls.first, cls.second = cls.order.milestone_line_ids[:2]
        (cls.first + cls.second).trigger = "project_milestone"
        cls.order.action_confirm()
        cls.first.name = "Design"

    def reach(self, line, user=None, is_reached=True):
        milestone = line.project_milestone_id.with_user(user or self.env.user).sudo()
        milestone.is_reached = is_reached

    def run_cron(self):
        with self.no_commits():
            self.env["milestone.billing.line"].with_user(
                self.env.ref("base.user_root")
            )._cron_complete_triggered()

    def get_completed(self, line):
        return [
            entry._get_body()
            for entry in line.evidence_ids.sorted("seq")
            if entry.type == "milestone.completed"
        ]

    def test_resuming_completes_what_was_triggered_on_hold(self):
        self.first.action_hold("Strike")
        self.reach(self.first, self.project_user)
        self.assertEqual((self.first.state, bool(self.first.triggered_on)), ("planned", True))
        self.assertEqual(self.first.triggered_by_id, self.project_user)
        self.assertIn("Strike", self.first.message_ids[0].body)
        self.assertFalse(self.first.is_ready)
        self.first.with_user(self.billing_user).action_resume()
        self.assertEqual(self.first.state, "approved")
        self.assertFalse(self.first.triggered_on)
        self.assertEqual(len(self.first.invoice_ids), 1)
        (body,) = self.get_completed(self.first)
        self.assertEqual(body["actor_ref"], self.project_user.partner_id.milestone_evidence_ref)
        self.assertEqual(body["data"]["trigger"], "project_milestone")
        self.assertIn("triggered_at", body["data"])
        self.assertTrue(self.first.verify_evidence()["ok"])

    def test_order_number_and_confirmation_complete_it(self):
        self.first.po_required = True
        self.reach(self.first)
        self.assertEqual(self.first.state, "planned")
        self.order.client_order_ref = "PO 7"
        self.assertEqual(self.first.state, "approved")
        quotation = self.create_order(project_id=self.project.id, confirm=False)
        line = quotation.milestone_line_ids[0]
        line.write(
            {
                "trigger": "project_milestone",
                "project_milestone_id": self.env["project.milestone"]
                .create({"name": "Early", "project_id": self.project.id})
                .id,
            }
        )
        self.reach(line)
        self.assertTrue(line.triggered_on)
        quotation.action_confirm()
        self.assertEqual((line.state, len(line.invoice_ids)), ("approved", 1))

    def test_payment_and_opened_gate_complete_it(self):
        self.order.milestone_schedule_id.gate = "block"
        third = self.order.milestone_line_ids[2]
        third.write(
            {
                "trigger": "project_milestone",
                "project_milestone_id": self.env["project.milestone"]
                .create({"name": "Third", "project_id": self.project.id})
                .id,
            }
        )
        self.reach(self.first)
        self.reach(self.second)
        self.reach(third)
        self.assertEqual((self.second + third).mapped("state"), ["planned", "planned"])
        self.pay(self.first.invoice_ids)
        self.assertEqual((self.second.state, third.state), ("approved", "planned"))
        third.action_open_gate("Urgent")
        self.assertEqual(third.state, "approved")
        self.assertEqual(
            self.order.milestone_line_ids.mapped(lambda line: len(line.invoice_ids)), [1, 1, 1, 0]
        )

    def test_schedule_without_gate_completes_it(self):
        self.order.milestone_schedule_id.gate = "block"
        self.reach(self.second)
        self.assertTrue(self.second.triggered_on)
        self.order.milestone_schedule_id.gate = "warn"
        self.assertEqual(self.second.state, "approved")

    def test_proof_rests_before_the_milestone_goes(self):
        self.first.proof_required = True
        self.reach(self.first)
        values = {"name": "a.png", "raw": b"x", "mimetype": "image/png"}
        file = self.env["ir.attachment"].create(values)
        self.first.add_milestone_proof(file.ids)
        self.assertEqual(self.first.state, "planned", "more photos may follow")
        self.run_cron()
        self.assertEqual(self.first.state, "planned")
        with freeze_time(fields.Datetime.now() + timedelta(minutes=16)):
            self.run_cron()
        self.assertEqual((self.first.state, len(self.first.invoice_ids)), ("approved", 1))

    def test_cron_completes_what_nobody_noticed(self):
        self.first.po_required = True
        self.reach(self.first, self.project_user)
        self.env.cr.execute("UPDATE sale_order SET client_order_ref = 'PO 8' WHERE id = %s", [self.order.id])
        self.env.invalidate_all()
        self.run_cron()
        self.run_cron()
        self.assertEqual((self.first.state, len(self.first.invoice_ids)), ("approved", 1))
        (body,) = self.get_completed(self.first)
        self.assertEqual(body["actor_ref"], self.project_user.partner_id.milestone_evidence_ref)

    def test_taken_back_trigger_is_forgotten(self):
        self.first.action_hold("Wait")
        self.reach(self.first)
        self.reach(self.first, is_reached=False)
        self.assertFalse(self.first.triggered_on)
        self.assertIn("taken back", self.first.message_ids[0].body)
        self.first.action_resume()
        self.run_cron()
        self.assertEqual(self.first.state, "planned")

    def test_task_moved_back_is_forgotten(self):
        done, open_stage = (
            self.env["project.task.type"]
            .sudo()
            .create(
                [
                    {
                        "name": "Done",
                        "is_milestone_billing": True,
                        "project_ids": [Command.link(self.project.id)],
                    },
                    {"name": "Open", "project_ids": [Command.link(self.project.id)]},
                ]
            )
        )
        line = self.order.milestone_line_ids[2]
        line.trigger = "task_stage"
        task = (
            self.env["project.task"]
            .sudo()
            .create(
                {
                    "name": "T",
                    "project_id": self.project.id,
                    "stage_id": open_stage.id,
                    "milestone_billing_line_id": line.id,
                }
            )
        )
        line.action_hold("Wait")
        task.stage_id = done
        self.assertTrue(line.triggered_on)
        task.stage_id = open_stage
        self.assertFalse(line.triggered_on)
        task.stage_id = done
        self.env["project.task"].sudo().create(
            {
                "name": "U",
                "stage_id": open_stage.id,
                "project_id": self.project.id,
                "milestone_billing_line_id": line.id,
            }
        )
        line.action_resume()
        self.assertEqual((line.state, line.triggered_on), ("planned", False), "one more task is open")

    def test_what_people_undid_stays_undone(self):
        self.first.action_hold("Wait")
        self.reach(self.first)
        self.first.action_cancel()
        self.first.action_restore()
        self.first.action_resume()
        self.run_cron()
        self.assertEqual((self.first.state, self.first.triggered_on), ("planned", False))
        self.company.milestone_invoice_posting = "draft"
        self.reach(self.second)
        self.second.invoice_ids.unlink()
        self.run_cron()
        self.assertEqual((self.second.state, self.second.invoice_ids.ids), ("planned", []))
        self.assertTrue(self.second.is_ready, "a person may complete it")

    def test_another_trigger_begins_anew(self):
        self.first.action_hold("Wait")
        self.reach(self.first)
        self.first.trigger = "manual"
        self.assertFalse(self.first.triggered_on)
        self.first.action_resume()
        self.assertEqual(self.first.state, "planned")

    def test_date_does_not_bill_again_what_was_withdrawn(self):
        line = self.order.milestone_line_ids[3]
        line.write({"trigger": "date", "trigger_date": "2026-01-01"})

        def run():
            with freeze_time("2026-01-02"), self.no_commits():
                self.env["milestone.billing.line"]._cron_complete_due()

        self.company.milestone_invoice_posting = "draft"
        run()
        self.assertEqual(line.invoice_ids.state, "draft")
        line.invoice_ids.unlink()
        run()
        self.assertFalse(line.invoice_ids, "who deleted the draft does not get it back within the hour")
        line.trigger_date = "2026-01-02"
        run()
        self.assertEqual(line.invoice_ids.state, "draft", "a new date is a new trigger")

    def test_order_number_completes_many_in_one_go(self):
        counts = []
        for shares in ((10,) * 5, (10,) * 10):
            order = self.create_order(shares=shares, confirm=False)
            order.milestone_line_ids.write({"trigger": "order_confirmed", "po_required": True})
            order.action_confirm()
            self.assertEqual(set(order.milestone_line_ids.mapped("state")), {"planned"})
            self.assertTrue(all(order.milestone_line_ids.mapped("triggered_on")))
            self.env.flush_all()
            before = self.env.cr.sql_log_count
            order.client_order_ref = "PO"
            self.env.flush_all()
            counts.append(self.env.cr.sql_log_count - before)
            self.assertEqual(set(order.milestone_line_ids.mapped("state")), {"approved"})
            self.assertBilledEqualsOrder(order)
        floor = 60  # posting one invoice more, 63 statements, is all that more milestones may cost
        self.assertLess((counts[1] - counts[0]) / 5, floor)

    @mute_logger("odoo.addons.milestone_billing.models.milestone_billing_line_events")
    def test_failure_is_told_once_and_leaves_the_event_alone(self):
        self.first.po_required = True
        self.reach(self.first)
        why = "no income account"

        def fail(_lines):
            raise UserError(why)

        with patch.object(self.registry["milestone.billing.line"], "_create_invoices", fail):
            self.order.client_order_ref = "PO 9"
            self.run_cron()
        self.assertEqual((self.order.client_order_ref, self.first.state), ("PO 9", "planned"))
        told = self.first.message_ids.filtered(lambda message: why in str(message.body))
        self.assertEqual(len(told), 1)
        self.assertTrue(self.first.is_ready)

    def test_memory_is_written_by_the_engine_only(self):
        with self.assertRaises(AccessError):
            self.first.with_user(self.billing_user).triggered_on = fields.Datetime.now()
