from unittest.mock import patch

from odoo.tests import tagged

from ..models import res_partner_history
from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestPartnerHistory(MilestoneBillingCommon):
    """What was charged, decided and paid, for as many customers as a list shows."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        Partner = cls.env["res.partner"]
        cls.groups = Partner.create([{"name": f"Group {place}", "is_company": True} for place in range(4)])
        cls.people = Partner.create(
            [{"name": f"Person of {group.name}", "parent_id": group.id} for group in cls.groups]
        )
        cls.lines = cls.env["milestone.billing.line"]
        for place, person in enumerate(cls.people[:3]):
            line = cls.create_order(partner_id=person.id, prices=(1000.0 * (place + 1),)).milestone_line_ids[
                0
            ]
            line.action_complete()
            cls.pay(line.invoice_ids)
            cls.lines += line
        cls.enrolment = cls.env["milestone.billing.enrolment"].create(
            {
                "partner_id": cls.people[0].id,
                "company_id": cls.company.id,
                "product_id": cls.service.id,
                "amount_default": 100.0,
            }
        )

    def read_all(self, partners):
        partners = partners.with_company(self.company)
        partners.invalidate_recordset()
        self.env.flush_all()
        before = self.env.cr.sql_log_count
        values = [
            (
                partner.milestone_history_ids,
                partner.milestone_enrolment_ids,
                partner.milestone_amount_paid,
            )
            for partner in partners
        ]
        return values, self.env.cr.sql_log_count - before

    def test_each_customer_has_its_own_and_that_of_its_contacts(self):
        values, _count = self.read_all(self.groups + self.people)
        none, no_enrolment = self.lines.browse(), self.enrolment.browse()
        expected = [
            (self.lines[0], self.enrolment, 250.0),
            (self.lines[1], no_enrolment, 500.0),
            (self.lines[2], no_enrolment, 750.0),
            (none, no_enrolment, 0.0),
        ]
        self.assertEqual(values, expected * 2)

    def test_ten_customers_take_the_statements_of_one(self):
        self.read_all(self.groups + self.people)
        _values, one = self.read_all(self.groups[0])
        _values, all_of_them = self.read_all(self.groups + self.people)
        self.assertLessEqual(all_of_them, one + 2)

    def test_the_newest_of_each_are_shown(self):
        more = self.create_order(partner_id=self.people[0].id).milestone_line_ids
        more.action_complete()
        with patch.object(res_partner_history, "HISTORY_MAX", 3):
            values, _count = self.read_all(self.groups[:2])
        self.assertEqual(values[0][0].ids, sorted(more.ids, reverse=True)[:3])
        self.assertEqual(values[1][0], self.lines[1], "one busy customer takes nothing from another")

    def test_new_contact_and_archived_one(self):
        new = self.env["res.partner"].new({"name": "New"})
        self.assertFalse(new.milestone_history_ids or new.milestone_enrolment_ids)
        self.assertEqual(new.milestone_amount_paid, 0.0)
        self.people[1].active = False
        values, _count = self.read_all(self.groups[1])
        self.assertEqual(values, [(self.lines[1], self.enrolment.browse(), 500.0)])
