from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from ..models.milestone_billing_approval_decision import Visitor
from .common_approval import ApprovalCommon


@tagged("post_install", "-at_install")
class TestApprovalKeeping(ApprovalCommon):
    """What the team reads of an answer, and the papers and contacts that it keeps."""

    def create_paper(self, user, **values):
        return self.env["ir.attachment"].with_user(user).create({"name": "l.pdf", "raw": b"%PDF-1", **values})

    # === WORDS ===

    def test_team_reads_its_own_language(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        (self.contact + self.client_company).lang = "fr_FR"
        approval = self.create_submitted()
        self.assertEqual((approval.lang, self.manager.lang), ("fr_FR", "en_US"))
        visitor = Visitor(seat=approval.seat_ids, presented_at=1.0)
        form = {
            "snapshot_sha256": approval.snapshot_sha256,
            "idempotency_key": "key-to-decline",
            "reason": "Non",
        }
        self.assertEqual(approval._decide("decline", visitor, form).code, "recorded")
        self.assertIn("declined “Stage 1”", approval.line_id.activity_ids.summary)
        approval._contest(visitor)
        self.assertIn("says “this was not me”", approval.line_id.activity_ids.sorted("id")[-1:].summary)

    def test_names_are_text(self):
        self.contact.name = "Zoe <a href='https://evil.example'>Client</a>"
        approval = self.create_submitted()
        approval._notify_team(f"{self.contact.name} says no", summary="No")
        self.assertIn("&lt;a href", approval.line_id.activity_ids.note)
        self.assertNotIn("<a href", approval.line_id.activity_ids.note)

    # === WHO SEES IT ===

    def test_client_of_a_milestone_is_that_of_its_order(self):
        line = self.create_submitted().line_id
        other = self.env["res.partner"].create({"name": "Other"})
        for name, value in (("partner_id", other.id), ("company_id", False), ("user_id", False)):
            with self.subTest(name=name), self.assertRaises(AccessError):
                line.with_user(self.billing_user).write({name: value})
        line.order_id.partner_id = other
        self.assertEqual((line.partner_id, line.approval_ids.partner_id), (other, other))

    # === PAPERS ===

    def test_paper_on_record_stays(self):
        approval = self.create_submitted()
        paper = self.create_paper(self.billing_user)
        approval.with_user(self.billing_user).record_on_behalf("paper", paper.id)
        self.assertEqual((approval.paper_id.id, paper.res_id), (paper.id, approval.line_id.id))
        with self.assertRaises(UserError):
            paper.write({"raw": b"%PDF-2"})
        with self.assertRaises(UserError):
            paper.unlink()

    def test_paper_of_another_document_stays_where_it_is(self):
        approval = self.create_submitted()
        order = approval.order_id
        paper = self.create_paper(self.billing_user, res_model="sale.order", res_id=order.id)
        approval.with_user(self.billing_user).record_on_behalf("paper", paper.id)
        self.assertEqual((paper.res_model, paper.res_id), ("sale.order", order.id))
        self.assertEqual((approval.paper_id.raw, approval.paper_id.res_id), (paper.raw, approval.line_id.id))
        self.assertNotEqual(approval.paper_id, paper)

    # === CONTACTS ===

    def merge(self, source, target):
        wizard = self.env["base.partner.merge.automatic.wizard"].create({})
        wizard._merge((source + target).ids, target)

    def test_persons_who_were_asked_together_stay_two(self):
        ann = self.add_contact("Ann Second")
        approval = self.create_submitted(approvers=[self.contact, ann], quorum=2)
        with self.assertRaisesRegex(UserError, "two persons"):
            self.merge(ann, self.contact)
        self.assertEqual(len(approval.seat_ids), 2)

    def test_merged_approver_keeps_the_seats_on_all_schedules(self):
        twin = self.add_contact("Zoe Twin")
        orders = [self.create_order(confirm=False) for _index in range(2)]
        both, alone = (order.milestone_schedule_id for order in orders)
        both.approver_ids = [Command.create({"partner_id": item.id}) for item in (self.contact, twin)]
        alone.approver_ids = [Command.create({"partner_id": twin.id, "amount_limit": 500.0})]
        self.merge(twin, self.contact)
        self.assertEqual(both.approver_ids.partner_id, self.contact)
        self.assertRecordValues(alone.approver_ids, [{"partner_id": self.contact.id, "amount_limit": 500.0}])
