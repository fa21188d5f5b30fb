from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import Form, tagged

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestQueue(MilestoneBillingCommon):
    """What finance sees on Monday: what can be billed, and why the rest cannot."""

    def assertSearchAgrees(self, lines, field):
        found = self.env["milestone.billing.line"].search([("id", "in", lines.ids), (field, "=", True)])
        lines.invalidate_recordset([field])
        self.assertEqual(set(found.ids), set(lines.filtered(field).ids))
        rest = self.env["milestone.billing.line"].search([("id", "in", lines.ids), (field, "=", False)])
        self.assertEqual(set((found + rest).ids), set(lines.ids))
        return found

    def test_ready_search_says_what_the_button_says(self):
        order = self.create_order()
        quotation = self.create_order(confirm=False)
        blocked = self.create_order()
        blocked.milestone_schedule_id.gate = "block"
        lines = (order + quotation + blocked).milestone_line_ids
        order.milestone_line_ids[0].action_hold("Site closed")
        order.milestone_line_ids[1].proof_required = True
        order.milestone_line_ids[2].po_required = True
        ready = self.assertSearchAgrees(lines, "is_ready")
        self.assertEqual(ready, blocked.milestone_line_ids[0])
        self.assertTrue(order.milestone_line_ids[3].can_complete)
        order.milestone_line_ids[0].action_resume()
        ready = self.assertSearchAgrees(lines, "is_ready")
        self.assertEqual(ready, order.milestone_line_ids[0] + blocked.milestone_line_ids[0])
        order.milestone_line_ids[:2].write({"proof_required": False})
        order.milestone_line_ids[:2].action_complete()
        self.assertSearchAgrees(lines, "is_ready")
        order.client_order_ref = "PO 7"
        blocked.milestone_line_ids[0].action_complete()
        self.pay(blocked.milestone_line_ids[0].invoice_ids)
        ready = self.assertSearchAgrees(lines, "is_ready")
        self.assertIn(order.milestone_line_ids[2], ready)
        self.assertIn(blocked.milestone_line_ids[1], ready)

    def test_ready_search_follows_every_trigger(self):
        self.env.user.group_ids += self.env.ref("project.group_project_manager")
        project = self.env["project.project"].create({"name": "P", "allow_milestones": True})
        order = self.create_order(shares=(20, 20, 20, 20, 20), confirm=False, project_id=project.id)
        lines = order.milestone_line_ids
        for line, trigger in zip(
            lines,
            ("order_confirmed", "project_milestone", "task_stage", "date", "previous_paid"),
            strict=True,
        ):
            line.trigger = trigger
        lines[3].trigger_date = "2999-01-01"
        order.action_confirm()
        Task = self.env["project.task"].with_context(tracking_disable=True)
        stage = self.env["project.task.type"].create({"name": "S", "project_ids": [(4, project.id)]})
        by_line = Task.create(
            {
                "name": "A",
                "project_id": project.id,
                "stage_id": stage.id,
                "milestone_billing_line_id": lines[2].id,
            }
        )
        by_milestone = Task.create(
            {"name": "B", "project_id": project.id, "milestone_id": lines[1].project_milestone_id.id}
        )
        self.assertFalse(self.assertSearchAgrees(lines, "is_ready"))
        self.company.milestone_invoice_posting = "draft"
        lines[1].project_milestone_id.is_reached = True
        (by_line + by_milestone).write({"state": "1_done"})
        # Who deletes a draft decides when the milestone is completed again.
        lines[1:3].invoice_ids.unlink()
        self.assertEqual(self.assertSearchAgrees(lines, "is_ready"), lines[1:3])
        by_line.state = "01_in_progress"
        lines[3].trigger_date = "2020-01-01"
        self.assertEqual(self.assertSearchAgrees(lines, "is_ready"), lines[1] + lines[3])
        stage.is_milestone_billing = True
        self.assertEqual(self.assertSearchAgrees(lines, "is_ready"), lines[1:4])

    def test_blocked_by_payment_search_agrees(self):
        order = self.create_order()
        order.milestone_schedule_id.gate = "block"
        found = self.assertSearchAgrees(order.milestone_line_ids, "is_blocked_by_payment")
        self.assertEqual(found, order.milestone_line_ids[1:])

    def test_completed_line_is_not_ready_any_more(self):
        line = self.create_order().milestone_line_ids[0]
        self.assertTrue(line.is_ready)
        line.action_complete()
        self.assertFalse(line.is_ready)
        self.assertFalse(line.can_complete)

    def test_every_unbilled_line_says_why(self):
        order = self.create_order()
        self.assertTrue(all(line.blocked_reason for line in order.milestone_line_ids))

    def test_batch_leaves_out_what_is_blocked(self):
        order = self.create_order()
        order.milestone_line_ids[0].action_hold()
        batch = self.env["milestone.billing.batch"].create(
            {"operation": "complete", "line_ids": [(6, 0, order.milestone_line_ids.ids)]}
        )
        self.assertEqual(batch.ready_count, 3)
        self.assertIn("on hold", batch.preview)
        batch.action_apply()
        self.assertEqual(order.milestone_line_ids.mapped("invoice_status"), ["none"] + ["posted"] * 3)
        with self.assertRaises(UserError):
            batch.action_apply()

    def test_batch_completes_the_others_where_one_fails(self):
        account = self.service.product_tmpl_id.get_product_accounts()["income"].copy(
            {"code": "499999", "name": "Given up"}
        )
        product = self.env["product.product"].create(
            {"name": "Work", "type": "service", "property_account_income_id": account.id}
        )
        line = {"product_id": product.id, "price_unit": 1000.0, "tax_ids": [Command.clear()]}
        good, bad = self.create_order(), self.create_order(lines=[Command.create(line)])
        account.active = False
        lines = good.milestone_line_ids[:2] + bad.milestone_line_ids[0]
        Batch = self.env["milestone.billing.batch"].with_user(self.billing_user)
        action = Batch.create({"line_ids": [(6, 0, lines.ids)]}).action_apply()
        self.assertEqual(lines.mapped("invoice_status"), ["posted", "posted", "none"])
        self.assertIn(f"{bad.name} · {lines[2].name}: ", action["params"]["message"])
        self.assertEqual(action["params"]["next"]["type"], "ir.actions.act_window_close")
        self.assertFalse(lines[2].invoice_ids)
        self.assertRegex(lines[2].message_ids[0].body, "could not be completed.*is archived")
        with self.assertRaisesRegex(UserError, "is archived"):
            Batch.create({"line_ids": [(6, 0, bad.milestone_line_ids[:2].ids)]}).action_apply()
        account.active = True
        self.assertEqual(
            Batch.create({"line_ids": [(6, 0, lines.ids)]}).action_apply()["type"],
            "ir.actions.act_window_close",
        )
        self.assertEqual(lines[2].invoice_status, "posted")

    def test_batch_names_the_people_who_are_asked(self):
        order = self.create_order()
        order.milestone_line_ids.approval_required = True
        order.milestone_schedule_id.approver_ids = [(0, 0, {"partner_id": self.contact.id})]
        batch = self.env["milestone.billing.batch"].create(
            {"operation": "complete", "line_ids": [(6, 0, order.milestone_line_ids[0].ids)]}
        )
        self.assertIn("zoe@client.example", batch.preview)

    def test_batch_shows_the_mail_and_does_nothing(self):
        order = self.create_order()
        order.milestone_line_ids.approval_required = True
        order.milestone_schedule_id.approver_ids = [(0, 0, {"partner_id": self.contact.id})]
        lines = order.milestone_line_ids[:2]
        Batch = self.env["milestone.billing.batch"].with_user(self.billing_user)
        batch = Batch.create({"operation": "complete", "line_ids": [(6, 0, lines.ids)]})
        mails = self.env["mail.mail"].sudo().search_count([])
        entries = self.env["milestone.billing.evidence"].search_count([])
        batch.action_preview_mail()
        self.assertIn("please review “Stage 1”", batch.mail_preview)
        self.assertIn("zoe@client.example", batch.mail_preview)
        self.assertNotIn("?k=", batch.mail_preview, "no secret is drawn for a preview")
        self.assertEqual(lines.mapped("state"), ["planned", "planned"])
        self.assertFalse(lines.approval_ids)
        self.assertFalse(lines.invoice_ids)
        self.assertEqual(self.env["mail.mail"].sudo().search_count([]), mails)
        self.assertEqual(self.env["milestone.billing.evidence"].search_count([]), entries)
        batch.action_apply()
        self.assertEqual(lines.mapped("state"), ["submitted", "submitted"])
        again = Batch.create({"operation": "resend", "line_ids": [(6, 0, lines.ids)]})
        links = lines.approval_ids.link_ids
        again.action_preview_mail()
        self.assertIn("please review “Stage 1”", again.mail_preview)
        self.assertEqual(lines.approval_ids.link_ids, links)
        hold = Batch.create({"operation": "hold", "line_ids": [(6, 0, lines.ids)]})
        with self.assertRaisesRegex(UserError, "sends no mail"):
            hold.action_preview_mail()

    def test_batch_shows_the_amounts_while_it_is_open(self):
        lines = self.create_order(taxes=self.tax_20).milestone_line_ids
        form = Form(
            self.env["milestone.billing.batch"].with_context(active_model=lines._name, active_ids=lines.ids)
        )
        self.assertEqual(form.ready_count, 4)
        self.assertEqual(form.preview.count("3,000.00"), 4)

    def test_batch_hold_keeps_the_reason(self):
        lines = self.create_order().milestone_line_ids
        batch = self.env["milestone.billing.batch"].create(
            {"operation": "hold", "line_ids": [(6, 0, lines.ids)], "reason": "Scope is open"}
        )
        batch.action_apply()
        self.assertEqual(set(lines.mapped("hold_reason")), {"Scope is open"})


@tagged("post_install", "-at_install")
class TestOrderTab(MilestoneBillingCommon):
    """The Milestones tab of a quotation."""

    def create_shares(self, *percents, **values):
        order = self.create_order(shares=(1, 1), confirm=False, **values)
        order.milestone_line_ids.unlink()
        order.milestone_line_ids = [
            (0, 0, {"name": f"Stage {place}", "sequence": place, "percent": percent})
            for place, percent in enumerate(percents)
        ]
        return order

    def test_even_out_gives_the_rest_to_lines_without_a_percentage(self):
        order = self.create_shares(40, 0, 0)
        order.action_even_out_milestones()
        self.assertEqual(order.milestone_line_ids.mapped("percent"), [40.0, 30.0, 30.0])
        self.assertEqual(order.milestone_amount_difference, 0.0)

    def test_even_out_takes_away_what_is_too_much(self):
        order = self.create_shares(50, 40, 30)
        order.action_even_out_milestones()
        self.assertAlmostEqual(sum(order.milestone_line_ids.mapped("percent")), 100.0, places=6)
        self.assertEqual(order.milestone_amount_difference, 0.0)
        order.action_confirm()

    def test_even_out_thirds_fits_to_the_last_cent(self):
        order = self.create_shares(0, 0, 0, prices=(100.0, 0.01))
        order.action_even_out_milestones()
        order.action_confirm()
        self.assertConserved(order)

    def test_even_out_beside_a_fixed_amount(self):
        order = self.create_shares(0, 0, 0)
        order.milestone_line_ids[0].write({"amount_type": "fixed", "amount_fixed": 3333.33})
        order.action_even_out_milestones()
        self.assertEqual(order.milestone_amount_difference, 0.0)
        order.action_confirm()

    def test_even_out_is_refused_when_nothing_can_take_the_rest(self):
        order = self.create_shares(50)
        order.milestone_line_ids.write({"amount_type": "fixed", "amount_fixed": 10.0})
        with self.assertRaisesRegex(UserError, "Add a milestone in percent"):
            order.action_even_out_milestones()

    def test_even_out_is_refused_on_a_confirmed_order(self):
        order = self.create_order()
        with self.assertRaisesRegex(UserError, "is confirmed"):
            order.action_even_out_milestones()

    def test_lines_are_typed_into_a_new_quotation(self):
        form = Form(self.env["sale.order"])
        form.partner_id = self.client_company
        with form.order_line.new() as line:
            line.product_id = self.service
        with form.milestone_line_ids.new() as milestone:
            milestone.name = "Half"
            milestone.percent = 50
        self.assertEqual(form.milestone_amount_planned, 5000.0)
        self.assertEqual(form.milestone_amount_difference, -5000.0)
        with form.milestone_line_ids.new() as milestone:
            milestone.name = "Rest"
            milestone.amount_type = "remainder"
        self.assertEqual(form.milestone_amount_difference, 0.0)
        order = form.save()
        self.assertEqual(
            order.milestone_line_ids.mapped("reference"), [f"{order.name}-M01", f"{order.name}-M02"]
        )
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [5000.0, 5000.0])

    def test_default_templates_apply_and_fit(self):
        templates = self.env["milestone.billing.template"].search([("company_id", "=", False)])
        self.assertGreaterEqual(len(templates), 8)
        for template in templates:
            order = self.create_order(shares=(50, 50), confirm=False)
            order.milestone_template_id = template
            order.action_apply_milestone_template()
            self.assertEqual(len(order.milestone_line_ids), len(template.line_ids))
            self.assertEqual(order.milestone_amount_difference, 0.0, template.name)
            self.assertTrue(
                all(line.trigger_date for line in order.milestone_line_ids if line.trigger == "date")
            )
