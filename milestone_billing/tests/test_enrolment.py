from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form, tagged

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestEnrolment(MilestoneBillingCommon):
    """A customer is enrolled once and charged with amount and description."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.service.taxes_id = cls.tax_20
        cls.enrolment = cls.create_enrolment()

    @classmethod
    def create_enrolment(cls, **values):
        return cls.env["milestone.billing.enrolment"].create(
            {
                "partner_id": cls.client_company.id,
                "company_id": cls.company.id,
                "product_id": cls.service.id,
                "amount_default": 500.0,
                "approval_required": False,
                **values,
            }
        )

    def test_charge_makes_milestone_invoice_and_payment(self):
        answer = self.enrolment.charge("750.50", "Phase 2: homepage designs, delivered March 15")
        line = self.env["milestone.billing.line"].browse(answer["id"])
        self.assertRecordValues(
            line, [{"amount_untaxed": 750.5, "amount_tax": 150.1, "completed_on": line.completed_on}]
        )
        self.assertTrue(line.completed_on)
        invoice = line.invoice_ids
        self.assertEqual(invoice.id, answer["invoice_id"])
        self.assertEqual(invoice.amount_total, 900.6)
        self.assertIn("homepage designs", invoice.invoice_line_ids.filtered("product_id").name)
        if invoice.state == "draft":
            invoice._post()
        self.pay(invoice)
        self.assertEqual(self.client_company.with_company(self.company).milestone_amount_paid, 900.6)
        self.assertIn(line, self.client_company.milestone_history_ids)
        self.assertConserved(self.enrolment.order_id)

    def test_charges_go_to_one_order_and_do_not_touch_each_other(self):
        for amount in (100, 200.01, 299.99):
            self.enrolment.charge(amount, "Work")
        order = self.enrolment.order_id
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [100.0, 200.01, 299.99])
        self.assertEqual(order.amount_untaxed, 600.0)
        self.assertEqual(self.enrolment.amount_charged, 600.0)
        self.assertConserved(order)

    def test_charge_can_ask_the_client(self):
        self.enrolment.approval_required = True
        answer = self.enrolment.charge(None, "Support")
        self.assertEqual(answer["state"], "submitted")
        self.assertEqual(answer["amount_total"], 600.0)

    def test_caps_hold(self):
        self.enrolment.write({"cap_charge": 600.0, "cap_total": 1000.0})
        with self.assertRaises(UserError):
            self.enrolment.charge(600.01, "Too much at once")
        self.enrolment.charge(600.0, "Fits")
        with self.assertRaises(UserError):
            self.enrolment.charge(400.01, "Too much in all")
        self.enrolment.charge(400.0, "Fits to the cent")
        self.assertEqual(self.enrolment.amount_left, 0.0)

    def test_locked_amount_stays(self):
        self.enrolment.can_override = False
        with self.assertRaises(UserError):
            self.enrolment.charge(501.0, "Other")
        self.enrolment.charge(500.0, "Same")
        self.enrolment.charge(None, "Default")
        with self.assertRaises(ValidationError):
            self.enrolment.amount_default = 0.0

    def test_nonsense_is_refused(self):
        for amount in (0, -5, "-0.001"):
            with self.assertRaises(UserError):
                self.enrolment.charge(amount, "No")
        with self.assertRaises(ValidationError):
            self.enrolment.charge("a lot", "No")
        self.enrolment.active = False
        with self.assertRaises(UserError):
            self.enrolment.charge(1, "No")

    def test_same_key_charges_once(self):
        first = self.enrolment.charge(100, "Once", idempotency_key="key-1")
        self.assertEqual(self.enrolment.charge(100, "Once", idempotency_key="key-1"), first)
        self.assertEqual(self.enrolment.amount_charged, 100.0)
        with self.assertRaises(ValidationError):
            self.enrolment.charge(200, "Once", idempotency_key="key-1")

    def test_wizard_finds_the_agreement_from_customer_order_and_project(self):
        project = (
            self.env["project.project"]
            .sudo()
            .create({"name": "Care", "company_id": self.company.id, "partner_id": self.client_company.id})
        )
        with_project = self.create_enrolment(project_id=project.id, name="Care")
        cases = (
            (self.client_company, self.enrolment),
            (self.enrolment.order_id, self.enrolment),
            (project, with_project),
        )
        for record, expected in cases:
            action = record.action_charge_milestone()
            wizard = Form(self.env["milestone.billing.charge"].with_context(**action["context"]))
            self.assertIn(wizard.enrolment_id, self.enrolment + with_project)
            if record == project:
                self.assertEqual(wizard.enrolment_id, expected)
        wizard.description = "Fixed the shop"
        result = wizard.save().action_charge()
        line = self.env["milestone.billing.line"].browse(result["res_id"])
        self.assertEqual((line.amount_untaxed, line.project_id), (500.0, project))

    def test_customer_shows_charges_decisions_and_money_of_all_its_contacts(self):
        contact = self.env["res.partner"].create(
            {"name": "Zoe", "email": "zoe@client.example", "parent_id": self.client_company.id}
        )
        enrolment = self.create_enrolment(partner_id=contact.id, name="Of Zoe")
        line = self.env["milestone.billing.line"].browse(enrolment.charge(100, "Phase 2")["id"])
        line.invoice_ids.filtered(lambda move: move.state == "draft")._post()
        self.pay(line.invoice_ids)
        for partner in (contact, self.client_company):
            partner.invalidate_recordset()
            self.assertIn(line, partner.milestone_history_ids)
            self.assertIn(enrolment, partner.milestone_enrolment_ids)
            self.assertEqual(partner.milestone_amount_paid, line.invoice_ids.amount_total)
        self.assertFalse(line.decision_label, "nobody was asked")

    def test_charges_are_no_change_orders(self):
        self.enrolment.charge(100, "First")
        self.enrolment.charge(50, "Second")
        schedule = self.enrolment.order_id.milestone_schedule_id
        statement = schedule.get_statement()
        self.assertEqual((statement["change_orders"], statement["contract_sum_original"]), ("0.00", "150.00"))
        units = schedule._get_statement_units(fields.Date.context_today(schedule))
        self.assertEqual((units["change_orders"], units["contract_sum"]), (0, 15000))

    def test_cancelled_charge_leaves_nothing_behind(self):
        order, schedule = self.enrolment.order_id, self.enrolment.order_id.milestone_schedule_id
        line = self.env["milestone.billing.line"].browse(self.enrolment.charge(100, "First")["id"])
        line.invoice_ids.button_draft()
        line.invoice_ids.button_cancel()
        line.action_cancel()
        self.assertEqual((order.amount_untaxed, schedule.amount_difference), (0.0, 0.0))
        self.assertTrue(schedule.tie_out()["ok"])
        second = self.env["milestone.billing.line"].browse(self.enrolment.charge(50, "Second")["id"])
        self.assertEqual(second.invoice_ids.amount_untaxed, 50.0)
        line.with_user(self.billing_user).action_restore()
        self.assertEqual((line.amount_untaxed, order.amount_untaxed), (100.0, 150.0))
        line.action_complete()
        self.assertEqual(line._get_live_invoice().amount_untaxed, 100.0)
        self.assertTrue(schedule.tie_out()["ok"])
        self.assertEqual(schedule.get_statement()["change_orders"], "0.00")

    def test_restored_charge_stays_below_the_cap(self):
        self.enrolment.cap_total = 100.0
        line = self.env["milestone.billing.line"].browse(self.enrolment.charge(100, "First")["id"])
        line.invoice_ids.button_draft()
        line.invoice_ids.button_cancel()
        line.action_cancel()
        self.enrolment.charge(100, "Second")
        with self.assertRaisesRegex(UserError, "cannot be charged"):
            line.action_restore()
        self.assertEqual(line.state, "cancelled")

    def test_payment_link_has_amount_purpose_and_code(self):
        answer = self.enrolment.charge(100, "Phase 2")
        line = self.env["milestone.billing.line"].browse(answer["id"])
        if line.invoice_ids.state == "draft":
            with self.assertRaises(UserError):
                line.action_payment_link()
            line.invoice_ids._post()
        wizard = self.env["milestone.billing.payment.link"].browse(line.action_payment_link()["res_id"])
        self.assertIn(f"/my/invoices/{line.invoice_ids.id}", wizard.url)
        self.assertIn(line.reference, wizard.purpose)
        self.assertIn("120.00", wizard.message)
        self.assertTrue(wizard.qr_code)

    def test_only_billing_users_charge(self):
        with self.assertRaises(AccessError):
            self.enrolment.with_user(self.project_user).charge(1, "No")
        answer = self.enrolment.with_user(self.billing_user).charge(1, "Yes")
        self.assertTrue(answer["invoice_id"])
        with self.assertRaises(AccessError):
            self.enrolment.with_user(self.billing_user).order_id = self.create_order()
