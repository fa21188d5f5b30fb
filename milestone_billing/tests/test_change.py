import re

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import HttpCase, new_test_user, tagged
from odoo.tools import mute_logger

from .common import MilestoneBillingCommon


class ChangeCommon(MilestoneBillingCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.order = cls.create_order(taxes=cls.tax_20)
        cls.schedule = cls.order.milestone_schedule_id
        cls.schedule.approver_ids = [Command.create({"partner_id": cls.contact.id})]
        cls.extra = cls.env["product.product"].create(
            {
                "name": "Second language",
                "type": "service",
                "list_price": 1200.0,
                "taxes_id": [Command.set(cls.tax_20.ids)],
            }
        )

    def propose(self, *lines, **values):
        result = self.schedule.propose_change(lines or [{"product_id": self.extra.id}], name="More", **values)
        return self.env["milestone.billing.change"].browse(result["change_id"])

    def decide(self, change, kind="approve", **form):
        values = {
            "snapshot_sha256": change.snapshot_sha256,
            "accept": "1",
            "typed_name": "Zoe Client",
            "reason": "Too expensive",
            "presented_at": 1.0,
            "idempotency_key": f"key-to-{kind}",
            **form,
        }
        visit = {"actor_kind": "link_holder", "auth": {"method": ["link"]}, "http": {}, "pii": {}}
        link = change.sudo()._get_active_links()[:1]
        level = values.pop("level", "L1")
        return link.with_user(self.env.ref("base.user_root"))._decide(kind, values, level, visit)


@tagged("post_install", "-at_install")
class TestChange(ChangeCommon):
    """A change order changes order and schedule together, when the client approves, and not before."""

    def test_new_line_is_billed_in_a_milestone_of_its_own(self):
        self.order.milestone_line_ids[0].action_complete()
        change = self.propose()
        self.assertEqual(change.reference, f"{self.order.name}-C01")
        self.assertRecordValues(
            change, [{"state": "proposed", "amount_untaxed": 1200.0, "amount_tax": 240.0}]
        )
        self.assertEqual(self.order.amount_untaxed, 10000.0)
        self.assertEqual(len(self.order.milestone_line_ids), 4)
        self.assertEqual(self.decide(change), "recorded")
        self.assertEqual(change.state, "approved")
        self.assertEqual(self.order.amount_untaxed, 11200.0)
        milestone = change.milestone_line_id
        self.assertRecordValues(
            milestone, [{"kind": "change", "amount_untaxed": 1200.0, "amount_tax": 240.0}]
        )
        self.assertEqual(self.order.milestone_line_ids.mapped("amount_untaxed"), [2500.0] * 4 + [1200.0])
        self.assertConserved(self.order)
        statement = self.schedule.get_statement()
        self.assertEqual(statement["contract_sum_original"], "10000.00")
        self.assertEqual(statement["change_orders"], "1200.00")
        self.assertEqual(statement["contract_sum"], "11200.00")

    def test_changed_order_bills_to_the_last_cent(self):
        change = self.propose({"product_id": self.extra.id, "price_unit": 333.33})
        self.decide(change)
        self.order.milestone_line_ids.approval_required = False
        for line in self.order.milestone_line_ids:
            line.action_complete()
        self.assertConserved(self.order)
        self.assertBilledEqualsOrder(self.order)

    def test_less_is_spread_over_open_milestones(self):
        self.order.milestone_line_ids[0].action_complete()
        change = self.propose({"order_line_id": self.order.order_line.id, "price_unit": 8500.0})
        self.assertEqual(change.amount_untaxed, -1500.0)
        self.decide(change)
        self.assertEqual(self.order.milestone_line_ids.mapped("amount_untaxed"), [2500.0] + [2000.0] * 3)
        self.assertEqual(self.schedule.get_statement()["change_orders"], "-1500.00")
        self.assertConserved(self.order)

    def test_credit_after_everything_is_billed_makes_a_credit_note(self):
        self.order.milestone_line_ids.action_complete()
        change = self.propose({"product_id": self.extra.id, "price_unit": -500.0, "name": "Credit"})
        self.decide(change)
        milestone = change.milestone_line_id
        self.assertEqual(milestone.amount_untaxed, -500.0)
        milestone.approval_required = False
        milestone.action_complete()
        self.assertEqual(milestone.invoice_ids.move_type, "out_refund")
        self.assertBilledEqualsOrder(self.order)

    def test_below_what_is_billed_is_refused_before_the_client_sees_it(self):
        self.order.milestone_line_ids[:3].action_complete()
        with self.assertRaises(UserError):
            self.propose({"order_line_id": self.order.order_line.id, "price_unit": 5000.0})
        self.assertEqual(self.order.order_line.price_unit, 10000.0)

    def test_decline_changes_nothing_and_tells_the_salesperson(self):
        change = self.propose()
        self.assertEqual(self.decide(change, "decline", reason=" "), "reason_missing")
        self.assertEqual(self.decide(change, "decline"), "recorded")
        self.assertEqual(change.state, "declined")
        self.assertEqual(self.order.amount_untaxed, 10000.0)
        self.assertTrue(change.activity_ids)
        self.assertEqual(self.decide(change), "already_decided")

    def test_approval_counts_once_and_only_for_what_was_shown(self):
        change = self.propose()
        self.assertEqual(self.decide(change, snapshot_sha256="0" * 64), "stale_snapshot")
        self.assertEqual(self.decide(change, accept=""), "consent_missing")
        self.decide(change)
        self.assertEqual(self.decide(change), "recorded")
        self.assertEqual(len(self.order.order_line), 2)

    def test_order_changed_meanwhile_takes_the_change_back(self):
        change = self.propose(
            {"order_line_id": self.order.order_line.id, "product_uom_qty": 1, "price_unit": 9000.0}
        )
        self.order.order_line.price_unit = 9500.0
        self.assertEqual(self.decide(change), "superseded")
        self.assertEqual(change.state, "draft")
        self.assertEqual(self.order.order_line.price_unit, 9500.0)
        self.assertTrue(change.verify_evidence()["ok"])

    def test_limits_and_levels_hold(self):
        self.schedule.approver_ids.amount_limit = 1000.0
        self.assertEqual(self.decide(self.propose()), "over_limit")
        self.schedule.approver_ids.amount_limit = 0.0
        self.company.milestone_level2_above = 1000.0
        change = self.propose()
        self.assertEqual(self.decide(change), "otp_required")
        self.assertEqual(self.decide(change, level="L2"), "recorded")

    def test_quorum_of_two_needs_both(self):
        other = self.env["res.partner"].create({"name": "Max", "email": "max@client.example"})
        self.schedule.write({"approver_ids": [Command.create({"partner_id": other.id})], "quorum": 2})
        change = self.propose()
        self.decide(change)
        self.assertEqual(change.state, "proposed")
        second = change.sudo().link_ids.filtered(lambda link: link.partner_id == other)
        visit = {"actor_kind": "link_holder", "auth": {"method": ["link"]}, "http": {}, "pii": {}}
        form = {"snapshot_sha256": change.snapshot_sha256, "accept": "1", "typed_name": "Max"}
        form |= {"presented_at": 1.0, "idempotency_key": "key-of-max"}
        self.assertEqual(second._decide("approve", form, "L1", visit), "recorded")
        self.assertEqual(change.state, "approved")
        self.assertTrue(change.verify_evidence()["ok"])

    def test_evidence_stands_on_a_chain_of_its_own(self):
        change = self.propose()
        change.sudo().link_ids._send_one()
        self.decide(change)
        types = self.env["milestone.billing.evidence"].search([("chain_id", "=", change.evidence_uuid)])
        self.assertEqual(
            types.mapped("type"), ["request.created", "request.sent", "approval.granted", "request.approved"]
        )
        result = change.verify_evidence()
        self.assertEqual((result["ok"], result["state"]), (True, "approved"))

    def test_paper_approval_needs_the_paper(self):
        change = self.propose()
        with self.assertRaises(UserError):
            change.action_approve_on_behalf()
        change.document = "UGFwZXI="
        change.action_approve_on_behalf()
        self.assertEqual(change.state, "approved")
        self.assertTrue(change.verify_evidence()["ok"])

    def test_withdrawn_change_can_be_changed_and_proposed_again(self):
        change = self.propose()
        with self.assertRaises(UserError):
            change.reason = "Other"
        old = change.snapshot_sha256
        change.action_withdraw()
        change.reason = "Other"
        change.action_propose()
        self.assertEqual(change.revision, 2)
        self.assertEqual(self.decide(change, snapshot_sha256=old), "stale_snapshot")
        self.assertEqual(self.decide(change), "recorded")
        self.assertTrue(change.verify_evidence()["ok"])

    def test_state_is_not_written_by_hand(self):
        change = self.propose()
        with self.assertRaises(AccessError):
            change.with_user(self.billing_user).write({"state": "approved"})
        with self.assertRaises(AccessError):
            self.schedule.with_user(self.project_user).propose_change([{"product_id": self.extra.id}])
        with self.assertRaises(UserError):
            change.unlink()
        self.assertNotIn("secret_sha256", change.link_ids.with_user(self.billing_user).fields_get())


class ChangeHttpCommon(ChangeCommon, HttpCase):
    """A client at the door of a change order, by HTTP."""

    def get_link(self, change):
        before = self.env["mail.mail"].sudo().search([])
        change.sudo().link_ids._send_one()
        mail = self.env["mail.mail"].sudo().search([]) - before
        return "/mc/" + mail.body_html.split("/mc/")[1].split('"')[0]

    def get_token(self, response):
        return response.text.split('name="csrf_token" value="')[1].split('"')[0]

    def fields_of(self, response):
        """Read the hidden fields of the forms of a page."""
        return dict(re.findall(r'<input type="hidden" name="([a-z_0-9]+)" value="([^"]*)"', response.text))

    def enter(self, change, url=None):
        """Open the link of the mail, in a new session."""
        self.authenticate(None, None)
        url = url or self.get_link(change)
        response = self.url_open(url)
        self.assertNotIn("1,200", response.text, "nothing is told before the button")
        return self.url_open(url.split("?")[0] + "/open", data=self.fields_of(response))


@tagged("post_install", "-at_install")
class TestChangePage(ChangeHttpCommon):
    """The client decides on a page of its own, by a personal link or a login."""

    def test_client_approves_by_the_personal_link(self):
        change = self.propose(reason="The shop speaks French too")
        page = self.enter(change)
        self.assertIn("The shop speaks French too", page.text)
        self.assertIn("1,440.00", page.text)
        self.assertEqual(page.headers["X-Frame-Options"], "DENY")
        form = self.fields_of(page)
        refused = self.url_open(f"/my/changes/{change.uuid}/approve", data=form)
        self.assertEqual(refused.status_code, 422)
        form = {**self.fields_of(refused), "accept": "1", "typed_name": "Zoe Client"}
        done = self.url_open(f"/my/changes/{change.uuid}/approve", data=form)
        self.assertIn("Order and milestones are changed", done.text)
        self.env.invalidate_all()
        self.assertEqual(change.state, "approved")
        self.assertEqual(self.order.amount_untaxed, 11200.0)
        self.assertTrue(change.verify_evidence()["ok"])

    def test_fingerprint_takes_what_the_page_claims(self):
        found = []
        for claims in ({"tz": "Europe/Paris", "screen": "812x375"}, {"tz": "", "screen": ""}):
            change = self.propose()
            form = self.fields_of(self.enter(change))
            self.assertEqual((form["tz"], form["screen"]), ("", ""))
            form |= {"accept": "1", "typed_name": "Zoe Client", **claims}
            self.url_open(f"/my/changes/{change.uuid}/approve", data=form)
            self.env.invalidate_all()
            domain = [("chain_id", "=", change.evidence_uuid), ("type", "=", "approval.granted")]
            entry = self.env["milestone.billing.evidence"].sudo().search(domain)
            values = self.env["milestone.billing.evidence.value"].sudo().search([("entry_id", "=", entry.id)])
            found.append({value.name: value.value for value in values})
        self.assertEqual(found[0]["client_tz"], "Europe/Paris")
        self.assertNotIn("client_tz", found[1])
        self.assertNotEqual(found[0]["device_fp"], found[1]["device_fp"])

    def test_looking_at_links_writes_nothing(self):
        change = self.propose()
        url = self.get_link(change)
        count = self.env["milestone.billing.evidence"].search_count([("chain_id", "=", change.evidence_uuid)])
        for _turn in range(3):
            self.url_open(url)
        self.assertEqual(
            self.env["milestone.billing.evidence"].search_count([("chain_id", "=", change.evidence_uuid)]),
            count,
        )

    @mute_logger("odoo.http")
    def test_strangers_stay_out(self):
        change = self.propose()
        self.authenticate(None, None)
        self.assertEqual(self.url_open(f"/my/changes/{change.uuid}").status_code, 404)
        stranger = new_test_user(self.env, "stranger_c", "base.group_portal")
        self.authenticate(stranger.login, stranger.login)
        self.assertEqual(self.url_open(f"/my/changes/{change.uuid}").status_code, 404)
        page = self.url_open("/my/changes/none")
        self.assertEqual(page.status_code, 404)
        url = self.get_link(change)
        wrong = url.split("?")[0] + "/open"
        response = self.url_open(url)
        data = {"csrf_token": self.get_token(response), "k": "wrong"}
        self.assertEqual(self.url_open(wrong, data=data).status_code, 404)
        self.assertEqual(self.url_open(f"/my/changes/{change.uuid}").status_code, 404)

    def test_portal_login_approves_large_amounts(self):
        self.company.milestone_level2_above = 1000.0
        user = new_test_user(self.env, "zoe_c", "base.group_portal")
        self.schedule.approver_ids.partner_id = user.partner_id
        change = self.propose()
        self.authenticate("zoe_c", "zoe_c")
        page = self.url_open(f"/my/changes/{change.uuid}")
        form = {**self.fields_of(page), "accept": "1", "typed_name": "Zoe"}
        self.url_open(f"/my/changes/{change.uuid}/approve", data=form)
        self.env.invalidate_all()
        self.assertEqual(change.state, "approved")
