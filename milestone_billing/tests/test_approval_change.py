from datetime import timedelta
from unittest.mock import patch

from odoo import Command, fields
from odoo.tests import freeze_time, new_test_user, tagged

from .common_approval import PNG, ApprovalCommon, ApprovalHttpCommon

QUIET = timedelta(minutes=16)


@tagged("post_install", "-at_install")
class TestApprovalChange(ApprovalCommon):
    """What the client was asked about changes: the submission is replaced in that moment."""

    def assertReplaced(self, approval, names):
        self.assertEqual(approval.state, "superseded")
        entry = approval.line_id.evidence_ids.sorted("seq")[-1]
        self.assertEqual(entry.type, "request.superseded")
        self.assertEqual(entry._get_body()["data"]["fields"], names)
        self.assertIn("asked again", approval.line_id.blocked_reason)
        self.assertIn("Revision 1 is replaced", approval.line_id.message_ids[0].body)
        self.assertTrue(approval.line_id.verify_evidence()["ok"])
        self.assertEqual(approval.line_id.state, "submitted")

    def run_cron(self):
        with self.no_commits():
            self.env["milestone.billing.approval"]._cron_ask_again()

    # === TEXT AND FILES ===

    def test_changed_texts_replace_the_submission_at_once(self):
        for field, value in (("name", "Stage one"), ("description", "Built, and tested.")):
            approval = self.create_submitted()
            approval.line_id[field] = value
            self.assertReplaced(approval, [field])

    def test_the_same_text_again_replaces_nothing(self):
        approval = self.create_submitted()
        line = approval.line_id
        line.write({"name": line.name, "description": line.description, "proof_ids": [Command.set([])]})
        self.assertEqual(approval.state, "requested")
        line.with_user(self.billing_user).action_hold("Just a moment")
        self.assertEqual(approval.state, "requested", "what the client does not see is no change")

    def test_files_that_come_go_or_get_a_caption_replace_it(self):
        approval = self.create_submitted(proof=[("site.png", PNG)])
        approval.line_id.proof_ids.description = "The roof"
        self.assertReplaced(approval, ["files"])
        approval = self.create_submitted(proof=[("site.png", PNG)])
        approval.line_id.proof_ids.description = False
        self.assertEqual(approval.state, "requested")
        approval.line_id.remove_milestone_proof(approval.line_id.proof_ids.ids)
        self.assertEqual(approval.state, "superseded")
        approval = self.create_submitted()
        file = self.env["ir.attachment"].create({"name": "new.png", "raw": PNG})
        approval.line_id.with_user(self.project_user).sudo().add_milestone_proof(file.ids)
        self.assertEqual(approval.state, "superseded")

    # === MONEY ===

    def test_changed_draft_replaces_it_whoever_writes_it(self):
        user = new_test_user(self.env, "clerk", "account.group_account_invoice")
        user.write({"company_ids": [Command.link(self.company.id)], "company_id": self.company.id})
        changes = {"price_unit": 99.0, "quantity": 0.5, "name": "Other work", "discount": 10.0}
        for field, value in changes.items():
            approval = self.create_submitted()
            approval.move_id.invoice_line_ids[-1].with_user(user).write({field: value})
            self.assertReplaced(approval, ["invoice"])

    def test_draft_saved_as_a_form_does_it(self):
        approval = self.create_submitted()
        product_line = approval.move_id.invoice_line_ids[-1]
        approval.move_id.write(
            {
                "narration": "Thank you",
                "invoice_line_ids": [
                    Command.update(product_line.id, {"price_unit": 1.0}),
                    Command.create({"name": "More", "price_unit": 3.0}),
                ],
            }
        )
        self.assertReplaced(approval, ["invoice"])
        self.assertEqual(self.get_events(approval.line_id).count("request.superseded"), 1)

    def test_new_payment_terms_replace_it_and_a_note_does_not(self):
        approval = self.create_submitted()
        approval.move_id.write({"narration": "Thank you", "ref": "PO 7", "invoice_date": "2026-03-01"})
        self.assertEqual(approval.state, "requested")
        approval.move_id.invoice_payment_term_id = self.env.ref("account.account_payment_term_30days")
        self.assertReplaced(approval, ["due_terms"])

    def test_deleted_and_cancelled_drafts_withdraw_it(self):
        approval = self.create_submitted()
        approval.move_id.unlink()
        self.assertEqual((approval.state, approval.line_id.state), ("cancelled", "planned"))
        approval = self.create_submitted()
        approval.move_id.button_cancel()
        self.assertEqual(approval.state, "cancelled")

    def test_changed_order_line_replaces_it(self):
        approval = self.create_submitted()
        order_line = approval.order_id.order_line
        order_line.name = "Website, relaunched"
        self.assertEqual(approval.state, "requested", "the draft keeps its own text")
        order_line.price_unit = 12000.0
        self.assertReplaced(approval, ["order"])
        other = self.create_submitted()
        other.order_id.order_line = [Command.create({"product_id": self.service.id, "price_unit": 10.0})]
        self.assertEqual(other.state, "requested", "another order line is another matter")

    def test_tax_names_in_the_clients_language_are_no_change(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        self.client_company.lang = "fr_FR"
        self.tax_20.with_context(lang="fr_FR").name = "TVA 20 %"
        self.company.milestone_invoice_posting = "draft"
        approval = self.create_submitted(taxes=self.tax_20)
        self.assertEqual(approval.lang, "fr_FR")
        self.assertEqual(approval._get_snapshot()["lines"][0]["taxes"], ["TVA 20 %"])
        document = self.env["ir.attachment"].create({"name": "l.pdf", "raw": b"%PDF-"})
        approval.record_on_behalf("paper", document.id)
        approval.move_id.with_context(lang="en_US").action_post()
        self.assertEqual(approval.move_id.state, "posted")

    # === WHO DECIDES ===

    def test_other_approvers_or_numbers_replace_it(self):
        ann = self.add_contact("Ann Second")
        approval = self.create_submitted()
        schedule = approval.line_id.schedule_id
        schedule.approver_ids = [Command.create({"partner_id": ann.id})]
        self.assertReplaced(approval, ["approvers"])
        approval = self.create_submitted(approvers=[self.contact, ann])
        approval.line_id.schedule_id.quorum = 2
        self.assertReplaced(approval, ["approvers"])
        approval = self.create_submitted(approvers=[self.contact, ann])
        approval.line_id.schedule_id.approver_ids[0].amount_limit = 100.0
        self.assertReplaced(approval, ["approvers"])
        approval = self.create_submitted(approvers=[self.contact, ann])
        approval.line_id.schedule_id.approver_ids[0].unlink()
        self.assertReplaced(approval, ["approvers"])
        approval = self.create_submitted(approvers=[self.contact, ann])
        approval.line_id.schedule_id.approver_ids[0].role = "Owner"
        self.assertEqual(approval.state, "requested")

    # === ASKING AGAIN ===

    def test_client_is_asked_again_when_the_change_has_settled(self):
        approval = self.create_submitted()
        line = approval.line_id
        line.description = "Built."
        self.run_cron()
        self.assertEqual(line.approval_ids, approval, "not at once: there may be more to change")
        with freeze_time(fields.Datetime.now() + timedelta(minutes=10)):
            line.description = "Built and tested."
        with freeze_time(fields.Datetime.now() + QUIET):
            self.run_cron()
            self.assertEqual(line.approval_ids, approval, "another change puts it off")
        with freeze_time(fields.Datetime.now() + 2 * QUIET):
            self.run_cron()
        newer = line.approval_ids - approval
        self.assertEqual((newer.revision, newer.state), (2, "requested"))
        self.assertEqual(newer._get_snapshot()["milestone"]["description_text"], "Built and tested.")
        self.assertEqual(newer.link_ids.mapped("state"), ["queued"])
        self.assertFalse(approval.ask_again_on)
        self.assertIn("Waiting for the client", line.blocked_reason)
        self.assertTrue(line.verify_evidence()["ok"])

    def test_team_can_ask_again_at_once(self):
        approval = self.create_submitted()
        line = approval.line_id
        line.description = "Built."
        line.with_user(self.billing_user).action_submit_again()
        self.assertEqual(line.approval_ids.sorted("revision").mapped("state"), ["superseded", "requested"])
        with freeze_time(fields.Datetime.now() + QUIET):
            self.run_cron()
        self.assertEqual(len(line.approval_ids), 2)

    def test_milestone_on_hold_is_not_sent_until_it_goes_on(self):
        approval = self.create_submitted()
        line = approval.line_id
        line.description = "Built."
        line.action_hold("The client is away")
        with freeze_time(fields.Datetime.now() + QUIET):
            self.run_cron()
            self.assertEqual(len(line.approval_ids), 1)
            line.action_resume()
            self.run_cron()
        self.assertEqual(len(line.approval_ids), 2)

    def test_what_cannot_be_sent_again_is_given_to_the_team(self):
        approval = self.create_submitted(approvers=[(self.contact, 5000.0)])
        approval.line_id.schedule_id.approver_ids.amount_limit = 10.0
        with freeze_time(fields.Datetime.now() + QUIET):
            self.run_cron()
        self.assertEqual(len(approval.line_id.approval_ids), 1)
        self.assertIn("could not be sent", approval.line_id.activity_ids.summary)
        self.assertFalse(approval.ask_again_on)

    # === NUMBER OF STATEMENTS ===

    def count_changing(self, count):
        order = self.create_order(confirm=False, shares=(100 // count,) * count)
        order.milestone_line_ids.approval_required = True
        order.action_confirm()
        order.milestone_line_ids.action_complete()
        self.env.flush_all()
        self.env.invalidate_all()
        lines = self.env["milestone.billing.line"].browse(order.milestone_line_ids.ids)
        before = self.cr.sql_log_count
        lines.write({"description": "Changed in one go"})
        self.env.flush_all()
        statements = self.cr.sql_log_count - before
        self.assertEqual(set(lines.approval_ids.mapped("state")), {"superseded"})
        return statements

    def test_many_milestones_take_no_more_statements_than_a_few(self):
        self.count_changing(2)
        self.assertLessEqual(self.count_changing(8), self.count_changing(2) + 2)

    def test_what_is_not_with_the_client_is_not_looked_at(self):
        line = self.create_order().milestone_line_ids[0]
        with patch.object(type(self.env["milestone.billing.approval"]), "_replace_changed") as replace:
            line.write({"name": "Stage one", "description": "Planned otherwise"})
            line.order_id.order_line.price_unit = 12000.0
        replace.assert_not_called()


@tagged("post_install", "-at_install")
class TestApprovalChangePage(ApprovalHttpCommon):
    """What the client sees whose page was open meanwhile."""

    def test_open_page_says_that_a_newer_version_comes(self):
        approval = self.create_submitted()
        self.enter(approval)
        form = {**self.read_form(approval), "accept": "1", "typed_name": "Zoe"}
        approval.line_id.description = "Otherwise."
        page = self.url_open(f"/my/milestones/{approval.uuid}")
        self.assertEqual(page.status_code, 200)
        self.assertIn("just changing this milestone", page.text)
        self.assertNotIn("/approve", page.text)
        response = self.post(approval, "approve", form)
        self.assertEqual(response.status_code, 409)
        self.assertIn("not counted", response.text)
        self.env.invalidate_all()
        newer = approval.line_id.approval_ids - approval
        self.assertEqual(
            (approval.state, newer.state), ("superseded", "requested"), "who is here need not wait"
        )
        self.assertFalse(approval.decision_ids)
        page = self.url_open(f"/my/milestones/{approval.uuid}")
        self.assertIn("What changed", page.text)
        self.assertIn("Otherwise.", page.text)
        self.assertEqual(
            self.url_open(f"/my/milestones/{newer.uuid}").status_code, 403, "it has a link of its own"
        )
        self.enter(newer)
        self.assertEqual(self.approve(newer).status_code, 303)
        self.assertEqual((newer.state, approval.state), ("approved", "superseded"))
        self.assertTrue(approval.line_id.verify_evidence()["ok"])

    def test_form_of_a_replaced_version_leads_back_to_its_page(self):
        approval = self.create_submitted()
        self.enter(approval)
        approval.line_id.name = "Stage one"
        for step in ("approve", "changes", "decline"):
            response = self.url_open(f"/my/milestones/{approval.uuid}/{step}", allow_redirects=False)
            self.assertEqual(
                (response.status_code, response.headers["Location"]), (303, f"/my/milestones/{approval.uuid}")
            )
