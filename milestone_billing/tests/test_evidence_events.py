"""Every type of event is written by what it is about, with what an outsider needs of it."""

import json
from types import SimpleNamespace
from unittest.mock import patch

from odoo import fields, http
from odoo.addons.payment.tests.common import PaymentCommon
from odoo.fields import Command
from odoo.tests import tagged

from ..models import payment_transaction_message
from ..tools.evidence_bundle import sha256
from .common_approval import ApprovalCommon, ApprovalHttpCommon

PDF = b"%PDF-1.4 invoice"


class EventsCommon(ApprovalCommon):
    def get_body(self, line, event_type):
        """Give the last entry of a type; fail when there is none."""
        entry = line.evidence_ids.filtered(lambda item: item.type == event_type).sorted("seq")[-1:]
        self.assertTrue(entry, f"no {event_type} among {self.get_events(line)}")
        return entry._get_body()

    def count(self, line, event_type):
        return self.get_events(line).count(event_type)

    def overdue(self, approval):
        """Let the time for an answer be over."""
        approval._internal().expires_on = fields.Datetime.subtract(fields.Datetime.now(), days=1)
        approval._close_overdue()


@tagged("post_install", "-at_install")
class TestEvidenceEvents(EventsCommon):
    def test_completion_tells_trigger_stage_and_tasks(self):
        project = self.env["project.project"].sudo().create({"name": "Site", "allow_billable": True})
        order = self.create_order(confirm=False, project_id=project.id)
        order.milestone_line_ids[0].trigger = "task_stage"
        order.action_confirm()
        line, other = order.milestone_line_ids[:2]
        stages = self.env["project.task.type"].create(
            [{"name": "Doing"}, {"name": "Delivered", "is_milestone_billing": True}]
        )
        project.type_ids = stages
        tasks = self.env["project.task"].create(
            [
                {
                    "name": name,
                    "project_id": project.id,
                    "milestone_billing_line_id": line.id,
                    "stage_id": stages[0].id,
                }
                for name in ("Build", "Test", "Deliver")
            ]
        )
        tasks[0].state = "1_done"
        self.assertEqual(line.state, "planned")
        tasks[1:].stage_id = stages[1]
        data = self.get_body(line, "milestone.completed")["data"]
        self.assertEqual((data["trigger"], data["tasks_total"], data["tasks_closed"]), ("task_stage", 3, 1))
        self.assertEqual(data["stage_ids"], sorted(stages.ids))
        other.action_complete()
        self.assertEqual(self.get_body(other, "milestone.completed")["data"], {"trigger": "manual"})

    def test_completing_many_counts_tasks_by_one_statement(self):
        project = self.env["project.project"].sudo().create({"name": "Site", "allow_billable": True})
        order = self.create_order(project_id=project.id)
        lines = order.milestone_line_ids
        self.env["project.task"].create(
            [{"name": "Do", "project_id": project.id, "milestone_billing_line_id": line.id} for line in lines]
        )
        self.env.flush_all()
        with self.assertQueryCount(1):
            found = lines._count_evidence_tasks()
        self.assertEqual({data["tasks_total"] for data in found.values()}, {1})
        self.assertEqual(len(found), len(lines))

    def test_draft_is_tied_to_its_content(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        data = self.get_body(line, "invoice.drafted")["data"]
        self.assertEqual(data["content_sha256"], line.invoice_ids._get_content_sha256())
        self.assertEqual((data["amount_total"], data["currency"]), ("2500.00", line.currency_id.name))
        self.assertEqual(self.get_body(line, "invoice.posted")["data"]["number"], line.invoice_ids.name)

    def test_proof_that_comes_and_goes(self):
        line = self.create_order().milestone_line_ids[0]
        photo = self.env["ir.attachment"].create({"name": "site.txt", "raw": b"finished"})
        line.proof_ids = [Command.link(photo.id)]
        added = self.get_body(line, "proof.added")["data"]
        self.assertEqual(
            (added["sha256"], added["size"], added["mimetype"]),
            (sha256(b"finished"), 8, "application/octet-stream"),
        )
        line.proof_ids = [Command.unlink(photo.id)]
        removed = self.get_body(line, "proof.removed")["data"]
        self.assertEqual((removed["file_uuid"], removed["sha256"]), (added["file_uuid"], added["sha256"]))

    def test_request_that_runs_out_is_withdrawn_or_replaced(self):
        approval = self.create_submitted()
        self.overdue(approval)
        body = self.get_body(approval.line_id, "request.expired")
        self.assertEqual((body["actor_kind"], body["subject"]["request_id"]), ("system", approval.uuid))
        withdrawn = self.create_submitted()
        withdrawn.move_id.button_cancel()
        self.assertTrue(self.get_body(withdrawn.line_id, "request.cancelled")["data"]["reason"])
        replaced = self.create_submitted()
        replaced._supersede("content changed", ["title"])
        data = self.get_body(replaced.line_id, "request.superseded")["data"]
        self.assertEqual(data, {"reason": "content changed", "new_revision": 2, "fields": ["title"]})

    def test_silence_that_counts_as_acceptance_names_its_notice(self):
        self.company.milestone_deemed_acceptance = True
        approval = self.create_submitted()
        approval.link_ids._send()
        self.overdue(approval)
        body = self.get_body(approval.line_id, "request.deemed_accepted")
        sent = self.get_body(approval.line_id, "request.sent")
        self.assertIn(sent["event_id"], json.dumps(body["data"]))
        self.assertTrue(body["data"]["deadline"])
        self.assertNotIn("approval.granted", self.get_events(approval.line_id))

    def test_withdrawn_link(self):
        approval = self.create_submitted()
        approval.link_ids.action_revoke()
        body = self.get_body(approval.line_id, "link.revoked")
        self.assertEqual(body["data"]["link_id"], approval.link_ids.uuid)
        approval.link_ids.action_revoke()
        self.assertEqual(self.count(approval.line_id, "link.revoked"), 1)

    def test_invoice_that_is_sent_is_recorded_with_its_file(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        move = line.invoice_ids
        self.env["ir.attachment"].create(
            {
                "name": "INV.pdf",
                "raw": PDF,
                "res_model": move._name,
                "res_id": move.id,
                "res_field": "invoice_pdf_report_file",
            }
        )
        move.invalidate_recordset(["invoice_pdf_report_id", "invoice_pdf_report_file"])
        wizard = (
            self.env["account.move.send.wizard"]
            .with_context(active_model="account.move", active_ids=move.ids)
            .create({"move_id": move.id, "sending_methods": ["email"], "mail_partner_ids": self.contact.ids})
        )
        wizard.action_send_and_print()
        body = self.get_body(line, "invoice.sent")
        self.assertEqual((body["data"]["pdf_sha256"], body["data"]["number"]), (sha256(PDF), move.name))
        entry = line.evidence_ids.filtered(lambda item: item.type == "invoice.sent")
        values = self.env["milestone.billing.evidence.value"].search([("entry_id", "=", entry.id)])
        self.assertEqual(values.mapped("value"), [self.contact.email])
        self.assertNotIn(self.contact.email, entry.body)

    def test_credit_note_that_is_paid_back_is_a_refund(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        invoice = line.invoice_ids
        self.pay(invoice)
        credit = invoice._reverse_moves([{"invoice_date": fields.Date.today()}])
        credit.action_post()
        self.assertEqual(self.count(line, "payment.refunded"), 0)
        self.pay(credit)
        data = self.get_body(line, "payment.refunded")["data"]
        self.assertEqual((data["number"], data["amount_total"]), (credit.name, "2500.00"))
        self.assertTrue(data["references"])

    def test_dispute_from_opening_to_its_end(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        line.action_open_dispute("10.4")
        self.assertEqual(self.get_body(line, "dispute.opened")["data"], {"reason_code": "10.4"})
        self.assertTrue(line.is_disputed and line.is_legal_hold)
        line.action_open_dispute("10.4")
        self.assertEqual(self.count(line, "dispute.opened"), 1)
        line.action_close_dispute("won")
        self.assertEqual(self.get_body(line, "dispute.closed")["data"], {"outcome": "won"})
        self.assertFalse(line.is_disputed or line.is_legal_hold)
        line.action_close_dispute("won")
        self.assertEqual(self.count(line, "dispute.closed"), 1)
        self.assertTrue(line.verify_evidence()["ok"])

    def test_legal_hold_of_its_own_outlasts_a_dispute(self):
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        line.action_set_legal_hold("court")
        line.action_open_dispute("10.4")
        line.action_close_dispute("won")
        self.assertEqual((line.is_disputed, line.is_legal_hold), (False, True))
        line.action_release_legal_hold("court")
        line.action_open_dispute("10.4")
        line.action_close_dispute("lost")
        self.assertFalse(line.is_disputed or line.is_legal_hold)


@tagged("post_install", "-at_install")
class TestEvidenceVisits(ApprovalHttpCommon, EventsCommon):
    def reject(self, approval, kind):
        self.enter(approval)
        form = {**self.read_form(approval, kind), "reason_code": "quality", "reason": "The logo is wrong."}
        self.assertEqual(self.post(approval, kind, form).status_code, 303)

    def test_answers_that_are_no_approval(self):
        for kind, event_type in (("changes", "approval.changes_requested"), ("decline", "approval.declined")):
            approval = self.create_submitted()
            self.reject(approval, kind)
            body = self.get_body(approval.line_id, event_type)
            with self.subTest(kind=kind):
                self.assertEqual(body["data"]["reason_code"], "quality")
                self.assertIn("reason", body["pii"])
                self.assertNotIn("logo", json.dumps(body))
                self.assertEqual(body["actor_ref"], self.contact.milestone_evidence_ref)

    def test_page_tells_how_long_it_was_seen(self):
        approval = self.create_submitted()
        page = self.enter(approval)
        token = self.fields_of(page).get("presentation") or self.read_form(approval)["presentation"]
        csrf = self.read_form(approval)["csrf_token"]
        form = {
            "csrf_token": csrf,
            "presentation": token,
            "visible_s": "12",
            "reached_end": "1",
            "tz": "Europe/Paris",
        }
        self.assertEqual(self.post(approval, "displayed", form).status_code, 204)
        body = self.get_body(approval.line_id, "review.displayed")
        self.assertEqual(body["data"], {"visible_s": 12, "reached_end": True})
        self.assertIn("client_tz", body["pii"])

    def get_values(self, approval, event_type="approval.granted"):
        """Give the personal values of the last entry of a type."""
        entries = approval.line_id.evidence_ids.filtered(lambda item: item.type == event_type)
        domain = [("entry_id", "=", entries.sorted("seq")[-1:].id)]
        values = self.env["milestone.billing.evidence.value"].search(domain)
        return {value.name: value.value for value in values}

    def get_device(self, approval):
        values = self.get_values(approval)
        return {name: value for name, value in values.items() if name.startswith("device")}

    def approve_with(self, **claims):
        """Approve a new submission as a page whose script claims this; give the personal values."""
        approval = self.create_submitted()
        self.enter(approval)
        self.assertEqual(self.approve(approval, **claims).status_code, 303)
        return self.get_values(approval)

    def test_device_keeps_its_name_from_one_milestone_to_the_next(self):
        found = []
        for _turn in range(2):
            approval = self.create_submitted()
            self.assertIn("A cookie with a random name", self.enter(approval).text)
            self.approve(approval)
            found.append(self.get_device(approval))
        self.assertEqual(found[0], found[1])
        self.assertRegex(found[0]["device_id"], r"^[A-Za-z0-9_-]{22}$")
        self.assertGreaterEqual(len(found[0]["device_fp"]), 20)
        self.opener.cookies.clear()
        approval = self.create_submitted()
        self.enter(approval)
        self.approve(approval)
        self.assertNotEqual(self.get_device(approval)["device_id"], found[0]["device_id"])

    def test_fingerprint_is_made_of_what_the_browser_tells_and_claims(self):
        one, same, wider, elsewhere, silent, strange = (
            self.approve_with(tz=zone, screen=screen)
            for zone, screen in (
                ("Europe/Paris", "1920x1080"),
                ("Europe/Paris", "1920x1080"),
                ("Europe/Paris", "2560x1440"),
                ("America/New_York", "1920x1080"),
                ("", ""),
                ("Paris\n<script>", "1920x1080\n"),
            )
        )
        self.assertEqual(one["device_fp"], same["device_fp"])
        self.assertEqual(silent["device_fp"], strange["device_fp"], "what cannot be is not taken")
        told = {values["device_fp"] for values in (one, wider, elsewhere, silent)}
        self.assertEqual(len(told), 4)
        self.assertEqual(one["client_tz"], "Europe/Paris")
        for values in (silent, strange):
            self.assertNotIn("client_tz", values)
        parts = (one["user_agent"], one.get("accept_language", ""), "Europe/Paris", "1920x1080")
        self.assertEqual(one["device_fp"], sha256("\n".join(parts).encode()))
        self.assertNotIn("1920x1080", one.values(), "the screen itself is not kept")

    def test_country_is_recorded_where_the_server_knows_it(self):
        with patch.object(http.GeoIP, "country_code", "BE"):
            self.assertEqual(self.approve_with()["geo_country"], "BE")
        with patch.object(http.GeoIP, "country_code", None):
            self.assertNotIn("geo_country", self.approve_with())

    def get_cookie(self, response):
        """Give the cookie with which an answer names the browser, as it is set."""
        cookies = response.raw.headers.getlist("Set-Cookie")
        return next((cookie for cookie in cookies if "milestone_device" in cookie), "")

    def test_company_that_records_no_devices(self):
        self.company.milestone_record_device = False
        approval = self.create_submitted()
        self.assertFalse(self.get_cookie(self.enter(approval)))
        self.assertNotIn("cookie", approval._get_snapshot()["notice"]["text"])
        self.approve(approval)
        self.assertFalse(self.get_device(approval))

    def test_bare_link_leaves_no_cookie_and_a_made_up_name_is_not_recorded(self):
        approval = self.create_submitted()
        link, secret = self.issue_link(approval)
        page = self.url_open(f"/ma/{link.uuid}?k={secret}")
        self.assertFalse(self.get_cookie(page))
        self.opener.cookies.set("milestone_device", "<script>x</script>", path="/my")
        cookie = self.get_cookie(self.enter(approval))
        for part in ("HttpOnly", "SameSite=Lax", "Path=/my", "Max-Age="):
            self.assertIn(part, cookie)


@tagged("post_install", "-at_install")
class TestEvidenceProviders(EventsCommon, PaymentCommon):
    """Payments say which message of the provider changed them."""

    def setUp(self):
        self.enable_post_process_patcher = False
        super().setUp()
        line = self.create_order().milestone_line_ids[0]
        line.action_complete()
        self.line, self.move = line, line.invoice_ids

    def create_tx(self, **values):
        return self._create_transaction(
            "direct",
            reference="milestone-tx",
            amount=self.move.amount_residual,
            currency_id=self.move.currency_id.id,
            partner_id=self.move.partner_id.id,
            invoice_ids=[Command.set(self.move.ids)],
            **values,
        )

    def process(self, tx, path, body=b"", headers=None):
        """Process data of the dummy provider, as a request to this path would."""

        def apply(transaction, _data):
            transaction._set_pending()

        http = SimpleNamespace(path=path, headers=headers or {}, get_data=lambda: body)
        model = self.env.registry["payment.transaction"]
        with (
            patch.object(payment_transaction_message, "request", SimpleNamespace(httprequest=http)),
            patch.object(model, "_apply_updates", apply),
            patch.object(model, "_validate_amount", lambda *_args: None),
            patch.dict(
                "odoo.addons.milestone_billing.tools.provider_message._ID_HEADERS", {"none": "X-Event-Id"}
            ),
        ):
            return tx._process("none", {})

    def test_payment_says_which_message_changed_it(self):
        tx = self.create_tx()
        data = self.get_body(self.line, "payment.tx")["data"]
        self.assertEqual(
            (data["state"], data["webhook_verified"], data["provider_event_id"]), ("draft", None, "")
        )
        result = self.process(tx, "/payment/none/webhook", headers={"X-Event-Id": "evt_7"})
        self.assertNotIn("milestone_provider_message", result.env.context)
        data = self.get_body(self.line, "payment.tx")["data"]
        self.assertEqual((data["state"], data["webhook_verified"]), ("pending", False))
        self.assertEqual(data["provider_event_id"], "evt_7")

    def test_return_from_checkout_is_no_message(self):
        self.process(self.create_tx(), "/payment/none/return", headers={"X-Event-Id": "evt_7"})
        data = self.get_body(self.line, "payment.tx")["data"]
        self.assertEqual(
            (data["state"], data["webhook_verified"], data["provider_event_id"]), ("pending", None, "")
        )

    def test_context_of_a_caller_claims_nothing(self):
        tx = self.create_tx().with_context(milestone_provider_message={"webhook_verified": True})
        tx._set_pending()
        self.assertIsNone(self.get_body(self.line, "payment.tx")["data"]["webhook_verified"])

    def test_refund_by_the_provider(self):
        tx = self.create_tx(state="done")
        refund = tx._create_child_transaction(tx.amount, is_refund=True)
        refund._set_done()
        data = self.get_body(self.line, "payment.refunded")["data"]
        self.assertEqual((data["reference"], data["state"]), (refund.reference, "done"))
        self.assertEqual(data["amount"], "-2500.00")
