from lxml import etree
from odoo.tests import new_test_user, tagged
from odoo.tools.safe_eval import safe_eval

from .common import MilestoneBillingCommon

GROUPS = {
    "salesman": "sales_team.group_sale_salesman_all_leads",
    "accountant": "account.group_account_invoice",
    "project": "milestone_billing.milestone_billing_group_project_user",
    "billing": "milestone_billing.milestone_billing_group_billing_user",
    "manager": "milestone_billing.milestone_billing_group_billing_manager",
    "auditor": "base.group_user,milestone_billing.milestone_billing_group_auditor",
}
# Who opens which model at all; the views of the others are Odoo's own with our parts in them.
READERS = {
    "milestone.billing.line": ("salesman", "project", "billing", "manager", "auditor"),
    "milestone.billing.schedule": ("salesman", "project", "billing", "manager", "auditor"),
    "milestone.billing.template": ("salesman", "project", "billing", "manager", "auditor"),
    "milestone.billing.approval": ("salesman", "project", "billing", "manager", "auditor"),
    "sale.order": ("salesman", "accountant", "project", "billing", "manager", "auditor"),
    "account.move": ("salesman", "accountant", "billing", "manager", "auditor"),
    "project.project": ("project", "billing", "manager"),
    "project.milestone": ("project", "billing", "manager"),
    "project.task": ("project", "billing", "manager"),
    "res.partner": ("salesman", "accountant", "project", "billing", "manager", "auditor"),
}
BUTTON_MODELS = ("milestone.billing.line", "milestone.billing.schedule", "milestone.billing.approval")


@tagged("post_install", "-at_install")
class TestViewAccess(MilestoneBillingCommon):
    """Everybody can open what they see, and nobody sees a button that fails."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.users = {}
        for name, groups in GROUPS.items():
            user = new_test_user(cls.env, f"view_{name}", groups)
            user.write({"company_ids": [(4, cls.company.id)], "company_id": cls.company.id})
            cls.users[name] = user
        cls.project = (
            cls.env["project.project"]
            .sudo()
            .create({"name": "Site", "allow_billable": True, "company_id": cls.company.id})
        )
        cls.order = cls.create_order(shares=(10,) * 10, confirm=False, project_id=cls.project.id)
        cls.order.milestone_line_ids[1].trigger = "project_milestone"
        cls.order.milestone_schedule_id.approver_ids = [(0, 0, {"partner_id": cls.contact.id})]
        cls.order.action_confirm()
        cls.prepare_states(cls.order.milestone_line_ids)
        cls.milestone = cls.order.milestone_line_ids[1].project_milestone_id
        cls.task = (
            cls.env["project.task"]
            .sudo()
            .create({"name": "Job", "project_id": cls.project.id, "milestone_id": cls.milestone.id})
        )

    @classmethod
    def prepare_states(cls, lines):
        """Bring one milestone into each state that a person can meet."""
        lines[2].action_hold("Later")
        lines[3:6].approval_required = True
        lines[3:6].action_complete()
        lines[4]._transition("request_changes")
        lines[6].action_complete()
        lines[7].action_complete()
        cls.pay(lines[7].invoice_ids)
        lines[8].action_cancel()
        lines[9].proof_required = True

    def get_records(self, model):
        lines = self.order.milestone_line_ids
        return {
            "milestone.billing.line": lines,
            "milestone.billing.schedule": self.order.milestone_schedule_id,
            "milestone.billing.template": self.env["milestone.billing.template"].search([], limit=2),
            "milestone.billing.approval": lines.approval_ids,
            "sale.order": self.order,
            "account.move": lines.invoice_ids,
            "project.project": self.project,
            "project.milestone": self.milestone,
            "project.task": self.task,
            "res.partner": self.client_company,
        }[model]

    def get_arch(self, records, kind):
        view = records.get_views([(False, kind)])["views"][kind]
        return etree.fromstring(view["arch"])

    def get_specification(self, arch, model):
        """Give what the web client asks the server for, sub-lists included."""
        specification = {}
        for node in arch.iterfind(".//field"):
            if any(parent.tag == "field" for parent in node.iterancestors()):
                continue
            field = self.env[model]._fields[node.get("name")]
            if not model.startswith("milestone.billing.") and "milestone_billing" not in field._modules:
                continue
            inner = {}
            if field.type in ("one2many", "many2many"):
                sub = next((child for child in node if child.tag in ("list", "kanban")), None)
                inner = self.get_specification(sub, field.comodel_name) if sub is not None else {}
                specification[node.get("name")] = {"fields": inner}
            elif field.type == "many2one":
                specification[node.get("name")] = {"fields": {"display_name": {}}}
            else:
                specification[node.get("name")] = {}
        return specification

    def test_everybody_can_open_what_they_may_see(self):
        for model, names in READERS.items():
            for name in names:
                records = self.get_records(model).with_user(self.users[name])
                for kind in ("form", "list"):
                    with self.subTest(model=model, user=name, view=kind):
                        arch = self.get_arch(records, kind)
                        self.env.invalidate_all()
                        values = records.web_read(self.get_specification(arch, model))
                        self.assertEqual(len(values), len(records))

    def test_the_queue_opens_in_every_view(self):
        for name in READERS["milestone.billing.line"]:
            lines = self.env["milestone.billing.line"].with_user(self.users[name])
            kinds = ("kanban", "calendar", "pivot", "graph", "activity", "search")
            views = lines.get_views([(False, kind) for kind in kinds])["views"]
            self.assertEqual(set(views), set(kinds))
            filters = etree.fromstring(views["search"]["arch"]).iterfind(".//filter[@domain]")
            for node in filters:
                with self.subTest(user=name, filter=node.get("name")):
                    lines.search(safe_eval(node.get("domain"), {"uid": lines.env.uid}))

    def iter_visible_buttons(self, record):
        """Yield the object buttons of the form that this user sees on this record."""
        arch = self.get_arch(record, "form")
        specification = self.get_specification(arch, record._name)
        values = {**dict.fromkeys(record._fields), **record.web_read(specification)[0]}
        for node in arch.iterfind(".//button[@type='object']"):
            chain = [node, *node.iterancestors()]
            if any(parent.tag in ("list", "kanban") for parent in chain):
                continue
            if any(safe_eval(item.get("invisible") or "False", dict(values)) for item in chain):
                continue
            yield node.get("name")

    def test_nobody_sees_a_button_that_fails(self):
        pressed = set()
        for model in BUTTON_MODELS:
            for name in ("salesman", "project", "billing", "auditor"):
                for record in self.get_records(model).with_user(self.users[name]):
                    self.env.invalidate_all()
                    for button in self.iter_visible_buttons(record):
                        with self.subTest(button=button, user=name, record=record.display_name):
                            pressed.add(button)
                            self.press(record, button)
        self.assertLessEqual(
            {"action_complete", "action_resume", "action_restore", "action_cancel", "action_submit_again"},
            pressed,
        )

    def press(self, record, button):
        with self.env.cr.savepoint() as savepoint:
            getattr(record, button)()
            self.env.flush_all()
            savepoint.rollback()
        self.env.invalidate_all()

    def test_new_revision_replaces_the_open_submission(self):
        line = self.order.milestone_line_ids[3]
        line.action_submit_again()
        self.assertEqual(line.approval_ids.sorted("revision").mapped("state"), ["superseded", "requested"])

    def test_wizards_open_for_those_who_see_their_buttons(self):
        lines = self.order.milestone_line_ids
        for name in ("project", "billing", "manager"):
            batch = (
                self.env["milestone.billing.batch"]
                .with_user(self.users[name])
                .with_context(active_model=lines._name, active_ids=lines.ids)
                .create({})
            )
            self.assertEqual(batch.line_ids, lines)
            self.assertIn("Left out", batch.preview)

    def test_paper_approval_is_recorded_by_billing_users(self):
        approval = self.order.milestone_line_ids[3].approval_ids
        wizard = (
            self.env["milestone.billing.on.behalf"]
            .with_user(self.users["billing"])
            .create(
                {
                    "approval_id": approval.id,
                    "document": b"c2lnbmVk",
                    "document_name": "signed.txt",
                    "note": "Ok",
                }
            )
        )
        wizard.action_record()
        self.assertTrue(approval.is_on_behalf)
        self.assertEqual(self.order.milestone_line_ids[3].state, "approved")

    def test_release_opens_the_document(self):
        self.order.milestone_schedule_id.retainage_percent = 5
        line = self.order.milestone_line_ids[0]
        line.action_complete()
        wizard = (
            self.env["milestone.billing.release"]
            .with_user(self.users["billing"])
            .create({"schedule_id": self.order.milestone_schedule_id.id})
        )
        self.assertEqual(wizard.amount_retained, 50.0)
        action = wizard.action_release()
        self.assertEqual(self.env["account.move"].browse(action["res_id"]).amount_total, 50.0)
