from unittest.mock import patch

from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger
from psycopg2.errors import CheckViolation

from ..tools import verify
from .test_evidence_keeping import KeepingCommon


@tagged("post_install", "-at_install")
class TestEvidenceErasure(KeepingCommon):
    def test_each_class_goes_after_its_own_period(self):
        with self.at(days_ago=200):
            self.approve(xff_raw="203.0.113.7, 10.0.0.1")
        self.Erasure._cron_erase()
        self.assertEqual(self.get_names(), {"actor_name", "to", "typed_name", "ip", "device_id"})
        with self.at(days_ago=700):
            self.approve(self.other_line)
        self.Erasure._cron_erase()
        self.assertEqual(self.get_names(self.other_line), {"actor_name", "to", "typed_name"})

    def test_names_go_when_nothing_happened_on_the_order_for_their_period(self):
        with self.at(days_ago=1200):
            self.approve()
        with self.at(days_ago=1000):
            self.other_line._log_evidence("milestone.completed")
        self.Erasure._cron_erase()
        self.assertIn("actor_name", self.get_names())
        self.company.milestone_retention_identity_days = 900
        self.Erasure._cron_erase()
        self.assertFalse(self.get_names())

    def test_payment_prolongs_what_a_dispute_needs(self):
        with self.at(days_ago=700):
            self.approve()
        with self.at(days_ago=100):
            self.line._log_evidence("payment.confirmed", actor_kind="system")
        self.Erasure._cron_erase()
        self.assertIn("ip", self.get_names())

    def test_address_of_a_refused_attempt_goes_first(self):
        with self.at(days_ago=200):
            self.line._log_evidence(
                "approval.refused",
                pii={"ip": "203.0.113.9", "actor_name": "Zoe"},
                data={"reason_code": "expired"},
            )
        self.Erasure._cron_erase()
        self.assertEqual(self.get_names(), {"actor_name"})

    def test_one_entry_records_the_erasure_and_all_stays_verifiable(self):
        with self.at(days_ago=1200):
            self.approve()
        self.Erasure._cron_erase()
        self.Erasure._cron_erase()
        erased = self.line.evidence_ids.filtered(lambda entry: entry.type == "pii.erased")
        self.assertEqual(len(erased), 1)
        data = erased._get_body()["data"]
        self.assertEqual(data["basis"], "retention")
        self.assertEqual(
            {name for item in data["erased"] for name in item["names"]} & {"ip", "to"}, {"ip", "to"}
        )
        result = self.line.verify_evidence()
        self.assertEqual((result["ok"], result["state"]), (True, "approved"), result["problems"])
        items = self.check(self.export())
        self.assertEqual(verify.exit_status(items), 0, items)
        self.assertIn(("pii", verify.ERASED), {(item.item, item.verdict) for item in items})

    def test_value_and_salt_are_gone_from_the_database(self):
        with self.at(days_ago=1200):
            self.approve()
        self.Erasure._cron_erase()
        self.execute(
            "SELECT count(*) FROM milestone_billing_evidence_value WHERE chain_id = %s"
            " AND (salt IS NOT NULL OR value IS NOT NULL OR erased_at IS NULL)",
            self.line.evidence_uuid,
        )
        self.assertEqual(self.env.cr.fetchone()[0], 0)

    def test_submission_goes_as_a_whole_with_its_files(self):
        with self.at(days_ago=4000):
            sha256 = self.approve()
        self.Erasure._cron_erase()
        self.assertIsNone(self.env["milestone.billing.evidence.snapshot"]._get_content(sha256))
        self.assertFalse(self.photo.exists())
        self.assertTrue(self.line.verify_evidence()["ok"], self.line.verify_evidence()["problems"])
        items = self.check(self.export())
        self.assertEqual(verify.exit_status(items), 0, items)
        self.assertIn(("snapshot", verify.ERASED), {(item.item, item.verdict) for item in items})

    def test_certificate_is_issued_anew_without_what_was_erased(self):
        with self.at(days_ago=700):
            self.approve()
            first = self.line._get_certificate()
        self.Erasure._cron_erase()
        self.assertFalse(first.exists())
        self.assertEqual(self.line._get_certificate().number, f"{self.line.reference}-C2")
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_legal_hold_stops_every_erasure(self):
        with self.at(days_ago=4000):
            sha256 = self.approve()
            self.line.action_set_legal_hold("dp_1")
        self.assertTrue(self.line.is_legal_hold)
        self.Erasure._cron_erase()
        self.assertEqual(self.Erasure._erase_person(self.contact, "T-1"), 0)
        self.assertIn("ip", self.get_names())
        self.line.action_set_legal_hold("dp_1")
        with self.at(days_ago=3900):
            self.line.action_release_legal_hold("dp_1")
        types = self.line.evidence_ids.mapped("type")
        self.assertEqual((types.count("legal_hold.set"), types.count("legal_hold.released")), (1, 1))
        self.Erasure._cron_erase()
        self.assertFalse(self.get_names())
        self.assertIsNone(self.env["milestone.billing.evidence.snapshot"]._get_content(sha256))

    def test_person_is_erased_on_request_and_others_stay(self):
        self.approve()
        self.line._log_evidence(
            "link.opened",
            actor_kind="link_holder",
            actor_ref=self.client_company.milestone_evidence_ref,
            pii={"actor_name": "Max"},
        )
        self.assertEqual(self.contact.action_erase_milestone_evidence("T-1"), {"chains": 1})
        self.assertEqual(self.contact.action_erase_milestone_evidence("T-1"), {"chains": 0})
        values = self.Value.search([("chain_id", "=", self.line.evidence_uuid), ("erased_at", "=", False)])
        self.assertEqual(set(values.mapped("value")), {"Staff Member", "zoe@client.example", "Max"})
        last = self.line.evidence_ids[-1]._get_body()["data"]
        self.assertEqual((last["basis"], last["ticket"]), ("request", "T-1"))
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_erasure_stays_within_the_companies_of_who_erases(self):
        self.approve()
        other = self.env["res.company"].create({"name": "Other Co"})
        manager = new_test_user(
            self.env,
            "other_manager",
            "milestone_billing.milestone_billing_group_billing_manager,base.group_partner_manager",
            company_ids=[(6, 0, other.ids)],
            company_id=other.id,
        )
        contact = self.contact.with_user(manager)
        self.assertEqual(contact.action_erase_milestone_evidence("T-1"), {"chains": 0})
        self.assertIn("typed_name", self.get_names())

    def test_only_managers_erase_and_hold(self):
        user = self.billing_user
        for call in (
            lambda: self.contact.with_user(user).action_erase_milestone_evidence("T-1"),
            lambda: self.line.with_user(user).action_set_legal_hold("T-1"),
            lambda: self.line.with_user(user).action_release_legal_hold(),
        ):
            self.assertRaises(AccessError, call)
        with self.assertRaises(UserError):
            self.contact.action_erase_milestone_evidence(" ")

    @mute_logger("odoo.sql_db")
    def test_periods_below_the_dispute_window_are_refused(self):
        for name, days in (("identity", 599), ("network", 599), ("technical", 29), ("financial", 364)):
            with self.subTest(name=name), self.assertRaises(CheckViolation), self.env.cr.savepoint():
                self.company[f"milestone_retention_{name}_days"] = days
                self.env.flush_all()

    def test_work_is_cut_into_chunks(self):
        with self.at(days_ago=1200):
            for line in self.order.milestone_line_ids:
                self.approve(line)
        with patch("odoo.addons.milestone_billing.models.milestone_billing_evidence_erasure.CHAIN_CHUNK", 1):
            self.assertEqual(len(self.Erasure._find_due(self.company)), 1)
            self.Erasure._cron_erase()
        for line in self.order.milestone_line_ids:
            self.assertFalse(self.get_names(line))
