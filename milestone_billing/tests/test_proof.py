import io

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged
from PIL import ExifTags, Image

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestProof(MilestoneBillingCommon):
    """Proof of work comes from the milestone, its project milestone and its tasks."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env.user.group_ids += cls.env.ref("project.group_project_manager")
        cls.project = cls.env["project.project"].create(
            {"name": "Website", "allow_milestones": True, "allow_billable": True}
        )
        cls.order = cls.create_order(project_id=cls.project.id, confirm=False)
        cls.order.milestone_line_ids[1].trigger = "project_milestone"
        cls.order.action_confirm()
        cls.line = cls.order.milestone_line_ids[1]
        cls.milestone = cls.line.project_milestone_id
        cls.task = cls.env["project.task"].create(
            {"name": "Design", "project_id": cls.project.id, "milestone_id": cls.milestone.id}
        )

    def upload(self, user, name="photo.txt", **values):
        return (
            self.env["ir.attachment"]
            .with_user(user)
            .create({"name": name, "raw": name.encode(), "res_model": "milestone.billing.line", **values})
        )

    def test_project_user_adds_proof_on_milestone_task_and_line(self):
        for record in (self.line, self.milestone, self.task):
            file = self.upload(self.project_user, f"{record._name}.txt")
            record.with_user(self.project_user).add_milestone_proof(file.ids)
            self.assertFalse(file.exists(), "the upload is replaced by the milestone's own copy")
        self.assertEqual(len(self.line.proof_ids), 3)
        self.assertEqual(set(self.line.proof_ids.mapped("res_id")), {self.line.id})
        self.assertEqual(self.task.with_user(self.project_user).milestone_proof_ids, self.line.proof_ids)
        self.assertEqual(self.milestone.with_user(self.project_user).milestone_proof_ids, self.line.proof_ids)

    def test_attachments_of_a_task_become_proof_once(self):
        self.env["ir.attachment"].create(
            {"name": "plan.txt", "raw": b"plan", "res_model": "project.task", "res_id": self.task.id}
        )
        task = self.task.with_user(self.project_user)
        task.action_use_attachments_as_proof()
        self.assertEqual(self.line.proof_ids.mapped("name"), ["plan.txt"])
        with self.assertRaisesRegex(UserError, "no attachment that is not shown"):
            task.action_use_attachments_as_proof()

    def test_removed_proof_is_gone_from_the_milestone(self):
        line = self.line.with_user(self.project_user)
        ids = line.add_milestone_proof(self.upload(self.project_user).ids)
        line.remove_milestone_proof(ids)
        self.assertFalse(self.line.proof_ids)

    def test_proof_of_an_approved_milestone_stays(self):
        ids = self.line.add_milestone_proof(self.upload(self.env.user).ids)
        self.line.action_complete()
        self.assertEqual(self.line.state, "approved")
        self.assertFalse(self.line.can_add_proof)
        with self.assertRaisesRegex(UserError, "part of the evidence"):
            self.line.remove_milestone_proof(ids)
        with self.assertRaisesRegex(UserError, "part of the evidence"):
            self.line.write({"proof_ids": [(5,)]})

    def test_strangers_cannot_add_proof(self):
        outsider = new_test_user(self.env, "outsider", "base.group_user")
        file = self.upload(outsider)
        with self.assertRaises(AccessError):
            self.line.with_user(outsider).add_milestone_proof(file.ids)

    def test_files_of_others_cannot_be_shown_to_the_client(self):
        secret = self.upload(self.env.user, "secret.txt")
        with self.assertRaises(AccessError):
            self.line.with_user(self.project_user).add_milestone_proof(secret.ids)
        with self.assertRaises(AccessError):
            self.line.with_user(self.billing_user).write({"proof_ids": [(4, secret.id)]})

    def test_task_without_milestone_takes_no_proof(self):
        task = self.env["project.task"].create({"name": "Loose", "project_id": self.project.id})
        self.assertFalse(task.with_user(self.project_user).can_add_proof)
        with self.assertRaisesRegex(UserError, "no open billing milestone"):
            task.with_user(self.project_user).add_milestone_proof(self.upload(self.project_user).ids)

    def test_task_of_the_next_stage_says_why_it_waits(self):
        task = self.task.with_user(self.project_user)
        self.assertFalse(task.milestone_gate_reason)
        self.order.milestone_schedule_id.gate = "warn"
        self.assertIn("not paid yet", task.milestone_gate_reason)
        self.order.milestone_schedule_id.gate = "block"
        self.assertIn("opens when", task.milestone_gate_reason)
        first = self.order.milestone_line_ids[0]
        first.action_complete()
        self.pay(first.invoice_ids)
        task.invalidate_recordset(["milestone_gate_reason"])
        self.assertFalse(task.milestone_gate_reason)

    def test_time_that_a_photo_claims_stands_in_the_evidence(self):
        def make(taken):
            picture, file = Image.new("RGB", (8, 8)), io.BytesIO()
            exif = picture.getexif()
            if taken is not None:
                exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
            picture.save(file, "JPEG", exif=exif)
            return file.getvalue()

        line = self.create_order().milestone_line_ids[0]
        cases = {
            "site.jpg": (make("2026:03:15 10:00:00"), "2026-03-15 10:00:00"),
            "empty.jpg": (make(None), None),
            "nonsense.jpg": (make("yesterday <script>"), None),
            "cut.jpg": (make("2026:03:15 10:00:00")[:40], None),
            "no_picture.jpg": (b"\xff\xd8\xff\xe0 nothing", None),
        }
        for name, (raw, _taken) in cases.items():
            line.proof_ids = [Command.create({"name": name, "raw": raw})]
        entries = line.evidence_ids.filtered(lambda entry: entry.type == "proof.added").sorted("seq")
        found = [entry._get_part("data").get("captured_at_claimed") for entry in entries]
        self.assertEqual(found, [taken for _raw, taken in cases.values()])
        self.assertTrue(line.verify_evidence()["ok"])
