import hashlib
import io
import re
import zipfile
from unittest.mock import patch

from odoo.addons.payment.tests.http_common import PaymentHttpCommon
from odoo.http import get_default_session, root
from odoo.tests import get_db_name, new_test_user, tagged

from .common_approval import PNG, ApprovalHttpCommon


@tagged("post_install", "-at_install")
class TestApprovalPortal(ApprovalHttpCommon):
    """The way of a client without an account, by HTTP."""

    def test_client_approves_by_personal_link_and_the_invoice_is_issued(self):
        approval = self.create_submitted(proof=[("site.png", PNG)])
        page = self.enter(approval)
        self.assertEqual(page.status_code, 200)
        self.assertIn("/my/milestones/" + approval.uuid, page.url)
        self.assertNotIn("?k=", page.url)
        self.assertIn("Stage 1", page.text)
        response = self.approve(approval)
        self.assertEqual(response.status_code, 303, response.text[:2000])
        self.env.invalidate_all()
        self.assertEqual(approval.state, "approved")
        self.assertEqual(approval.line_id.state, "approved")
        self.assertEqual(approval.move_id.state, "posted")
        self.assertEqual(approval.decision_ids.partner_id, self.contact)
        events = self.get_events(approval.line_id)
        for event in (
            "link.opened",
            "review.presented",
            "approval.granted",
            "request.approved",
            "invoice.posted",
        ):
            self.assertIn(event, events)
        self.assertTrue(approval.line_id.verify_evidence()["ok"])

    def test_stepper_has_the_milestones_that_the_submission_counts(self):
        approval = self.create_submitted()
        snapshot, count = approval._get_snapshot(), len(approval.order_id.milestone_line_ids)
        self.assertEqual(snapshot["milestone"]["of"], count)
        position = {"product_id": self.service.id, "price_unit": 500.0}
        proposed = approval.order_id.milestone_schedule_id.propose_change([position], name="Extra page")
        self.env["milestone.billing.change"].browse(proposed["change_id"])._apply()
        self.assertEqual(len(approval.order_id.milestone_line_ids), count + 1)
        steps = approval._prepare_steps(snapshot, self.contact)
        self.assertEqual(
            [step["line"].sequence for step in steps], sorted(step["line"].sequence for step in steps)
        )
        self.assertEqual(len(steps), count)
        self.assertIn(approval.line_id, [step["line"] for step in steps])

    def test_portal_lists_what_waits_and_counts_it(self):
        approval = self.create_submitted()
        new_test_user(self.env, "zoe", "base.group_portal", partner_id=self.contact.id)
        self.authenticate("zoe", "zoe")
        page = self.url_open("/my/milestones")
        self.assertIn(f"/my/milestones/{approval.uuid}", page.text)
        self.assertIn("Waiting for you", page.text)
        counters = self.make_jsonrpc_request(
            "/my/counters", {"counters": ["milestone_waiting_count", "milestone_count"]}
        )
        self.assertEqual((counters["milestone_waiting_count"], counters["milestone_count"]), (1, 1))

    def test_home_page_counts_what_is_overdue(self):
        new_test_user(self.env, "zoe", "base.group_portal", partner_id=self.contact.id)
        self.authenticate("zoe", "zoe")
        counters = self.make_jsonrpc_request("/my/counters", {"counters": ["overdue_invoice_count"]})
        self.assertEqual(counters, {"overdue_invoice_count": 0})
        self.assertEqual(self.url_open("/my/invoices?filterby=overdue_invoices").status_code, 200)

    def count_list(self, url="/my/milestones"):
        """Count the statements of a page, the list if no other; also give its text."""
        self.env.flush_all()
        before = self.env.cr.sql_log_count
        page = self.url_open(url)
        return self.env.cr.sql_log_count - before, page.text

    def test_list_is_waiting_to_pay_to_come_done(self):
        ann = self.add_contact("Ann Second")
        first = self.create_submitted()
        paid, due = first.order_id.milestone_line_ids[2:].sorted("sequence")
        for line in (paid, due):
            line.approval_required = False
            line.action_complete()
        self.pay(paid.invoice_ids)
        other = self.create_submitted(approvers=[ann])
        new_test_user(self.env, "zoe", "base.group_portal", partner_id=self.contact.id)
        self.authenticate("zoe", "zoe")
        _count, text = self.count_list()
        labels = re.findall(r'<span class="badge border text-bg-[a-z]+">([^<]+)</span>', text)
        expected = ["With your colleagues", "Waiting for you", "To pay", *["Coming"] * 4, "Paid"]
        self.assertEqual(labels, expected)
        self.assertIn(f"/my/invoices/{due.invoice_ids.id}", text)
        self.assertIn(f"/my/orders/{first.order_id.id}", text, "what is to come leads to the order")
        self.assertIn(other.uuid, text)
        counters = self.make_jsonrpc_request("/my/counters", {"counters": ["milestone_waiting_count"]})
        self.assertEqual(
            counters["milestone_waiting_count"], 1, "what waits for a colleague does not wait here"
        )

    def test_list_takes_the_same_statements_for_many_as_for_a_few(self):
        for _order in range(2):
            self.create_submitted()
        new_test_user(self.env, "zoe", "base.group_portal", partner_id=self.contact.id)
        self.authenticate("zoe", "zoe")
        self.count_list()
        few, text = self.count_list()
        self.assertEqual(text.count("Coming"), 6)
        for _order in range(4):
            self.create_submitted()
        many, text = self.count_list()
        self.assertEqual(text.count("Coming"), 18)
        self.assertLessEqual(many, few)

    def test_review_and_order_page_take_the_same_statements_for_many_milestones(self):
        new_test_user(self.env, "zoe", "base.group_portal", partner_id=self.contact.id)
        self.authenticate("zoe", "zoe")
        counted = []
        for shares in ((25,) * 4, (5,) * 20):
            approval = self.create_submitted(shares=shares)
            for url in (f"/my/milestones/{approval.uuid}", f"/my/orders/{approval.order_id.id}"):
                self.count_list(url)
                count, text = self.count_list(url)
                self.assertIn(f"Stage {len(shares)}", text)
                counted.append(count)
        self.assertLessEqual(counted[2], counted[0], "review page")
        self.assertLessEqual(counted[3], counted[1], "order page")

    def test_quotations_and_cancelled_milestones_are_not_in_the_list(self):
        approval = self.create_submitted()
        approval.order_id.milestone_line_ids[3].action_cancel()
        self.create_order(confirm=False)
        new_test_user(self.env, "zoe", "base.group_portal", partner_id=self.contact.id)
        self.authenticate("zoe", "zoe")
        _count, text = self.count_list()
        self.assertEqual(text.count("o_mb_list_name"), 3)

    def test_page_names_who_else_decides_and_what_happened(self):
        ann = self.add_contact("Ann Second")
        approval = self.create_submitted(approvers=[self.contact, ann], quorum=2)
        page = self.enter(approval, ann)
        self.assertIn("approvals are needed", page.text)
        self.approve(approval, typed_name="Ann")
        page = self.enter(approval, self.contact)
        people = page.text.partition('id="o_mb_people"')[2].partition("</section>")[0]
        self.assertLess(people.index("Zoe Client"), people.index("Asked"))
        self.assertNotIn("With your colleagues", page.text)
        self.authenticate(None, None)
        text = self.enter(approval, ann).text
        self.assertEqual(text.count("With your colleagues"), 2, "Ann has answered: badge and stepper say so")
        page = self.enter(approval, self.contact)
        self.assertLess(people.index("Ann Second"), people.index("Approved"))
        history = page.text.partition("o_mb_history")[2]
        self.assertIn("Version 1 was sent for review.", history)
        self.assertIn("Ann Second approved.", history)

    def test_page_shows_what_was_written_with_the_answer(self):
        approval = self.create_submitted()
        self.enter(approval)
        self.approve(approval, reservation="The logo is blurred\nTranslate the footer")
        page = self.url_open(f"/my/milestones/{approval.uuid}")
        self.assertRegex(page.text, r"Approved with reservations by Zoe Client on .*UTC")
        for point in ("The logo is blurred", "Translate the footer"):
            self.assertIn(f">{point}</li>", page.text)
        approval = self.create_submitted()
        self.enter(approval)
        form = {**self.read_form(approval, "changes"), "reason": "The <form> does not send"}
        self.post(approval, "changes", form)
        page = self.url_open(f"/my/milestones/{approval.uuid}")
        self.assertIn("The &lt;form&gt; does not send</blockquote>", page.text)

    def test_new_version_shows_what_changed_since_the_one_before(self):
        approval = self.create_submitted()
        self.assertNotIn("What changed", self.enter(approval).text)
        form = {**self.read_form(approval, "changes"), "reason": "The search is missing"}
        self.post(approval, "changes", form)
        approval.line_id.description = "The build is complete, with a search."
        approval.line_id.action_submit_again()
        newer = approval.line_id._get_current_approval()
        changed = self.enter(newer).text.partition("What changed")[2].partition("</section>")[0]
        cells = re.findall(r"<td[^>]*>([^<]*)</td>", changed)
        self.assertEqual(cells, ["The build is complete.", "The build is complete, with a search."])
        self.assertIn("Before", changed)

    def test_replaced_version_shows_what_is_new(self):
        approval = self.create_submitted()
        self.enter(approval)
        approval.line_id.description = "The build is complete, with a search."
        approval.line_id.action_submit_again()
        self.assertEqual(approval.state, "superseded")
        text = self.enter(approval).text
        changed = text.partition("What changed")[2].partition("</section>")[0]
        cells = re.findall(r"<td[^>]*>([^<]*)</td>", changed)
        self.assertEqual(cells, ["The build is complete.", "The build is complete, with a search."])
        self.assertIn("New version", changed)

    def test_badge_says_accepted_where_nobody_approved(self):
        self.company.milestone_deemed_acceptance = True
        approval = self.create_submitted()
        self.enter(approval)
        approval._internal().expires_on = approval.create_date
        approval._close_overdue()
        self.assertEqual(approval.state, "deemed_accepted")
        page = self.url_open(f"/my/milestones/{approval.uuid}")
        self.assertRegex(page.text, r"text-bg-success fs-6[^>]*>Accepted<")

    def test_page_says_what_silence_means_where_it_counts(self):
        silent = "Without an answer until then the work counts as accepted."
        self.assertNotIn(silent, self.enter(self.create_submitted()).text)
        self.company.milestone_deemed_acceptance = True
        approval = self.create_submitted()
        self.assertIn(silent, self.enter(approval).text)
        self.approve(approval)
        self.assertNotIn(silent, self.url_open(f"/my/milestones/{approval.uuid}").text)

    def test_page_of_an_approver_with_too_low_a_limit_offers_no_approval(self):
        bob = self.add_contact("Bob Second")
        approval = self.create_submitted(approvers=[(self.contact, 1.0), (bob, 0.0)])
        page = self.enter(approval)
        self.assertIn("above what you may approve", page.text)
        self.assertNotIn(f'href="/my/milestones/{approval.uuid}/approve"', page.text)
        self.assertIn(f'href="/my/milestones/{approval.uuid}/changes"', page.text)
        self.authenticate(None, None)
        page = self.enter(approval, bob)
        self.assertNotIn("above what you may approve", page.text)
        self.assertIn(f'href="/my/milestones/{approval.uuid}/approve"', page.text)

    def test_form_says_what_one_more_approval_leads_to(self):
        bob = self.add_contact("Bob Second")
        self.company.milestone_invoice_posting = "approval"
        approval = self.create_submitted(approvers=[self.contact, bob], quorum=2)
        self.enter(approval)
        form = f"/my/milestones/{approval.uuid}/approve"
        self.assertIn("once all approvals that are needed are there", self.url_open(form).text)
        self.approve(approval)
        self.authenticate(None, None)
        self.enter(approval, bob)
        self.assertIn("the invoice is issued now", self.url_open(form).text)
        self.company.milestone_invoice_posting = "draft"
        self.assertIn("the invoice follows by mail", self.url_open(form).text)

    def test_order_page_shows_the_schedule_as_a_timeline(self):
        approval = self.create_submitted()
        order = approval.order_id
        page = self.url_open(order.get_portal_url())
        self.assertIn("o_mb_timeline", page.text)
        self.assertIn("Waiting for you", page.text)
        self.assertNotIn(approval.uuid, page.text, "the token of an order opens no review")
        new_test_user(self.env, "zoe", "base.group_portal", partner_id=self.contact.id)
        self.authenticate("zoe", "zoe")
        self.assertIn(approval.uuid, self.url_open(f"/my/orders/{order.id}").text)

    def test_quotation_page_shows_what_is_signed(self):
        order = self.create_order(confirm=False)
        order.action_quotation_sent()
        page = self.url_open(order.get_portal_url())
        self.assertIn("When it is billed", page.text)
        self.assertIn("Stage 4", page.text)

    def test_draft_of_a_waiting_milestone_is_not_on_the_order_page(self):
        approval = self.create_submitted()
        page = self.url_open(approval.order_id.get_portal_url())
        self.assertNotIn(f"/my/invoices/{approval.move_id.id}", page.text)

    def test_evidence_copy_is_for_those_who_may_see_the_submission(self):
        approval = self.create_submitted(proof=[("site.png", PNG)])
        url = f"/my/milestones/{approval.uuid}"
        for name in ("certificate.pdf", "evidence.zip"):
            self.assertEqual(self.url_open(f"{url}/{name}").status_code, 403)
        self.enter(approval)
        self.assertEqual(self.url_open(f"{url}/certificate.pdf").status_code, 404, "nothing is decided yet")
        self.approve(approval)
        response = self.url_open(f"{url}/evidence.zip")
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.headers["Content-Type"], "application/zip")
        with zipfile.ZipFile(io.BytesIO(response.content)) as bundle:
            self.assertIn(f"snapshot/{approval.snapshot_sha256}.json", bundle.namelist())

    def test_erased_snapshot_leaves_a_page_that_says_so(self):
        approval = self.create_submitted()
        self.enter(approval)
        self.approve(approval)
        Snapshot = self.env["milestone.billing.evidence.snapshot"].sudo()
        Snapshot.search([("sha256", "=", approval.snapshot_sha256)])._erase()
        page = self.url_open(f"/my/milestones/{approval.uuid}")
        self.assertEqual(page.status_code, 200)
        self.assertIn("erased", page.text)

    def test_decision_of_a_locked_submission_says_that_it_is_busy(self):
        approval = self.create_submitted()
        self.enter(approval)
        form = {**self.read_form(approval), "accept": "1", "typed_name": "Zoe"}
        with patch.object(type(approval), "_try_lock", lambda self: False):
            response = self.post(approval, "approve", form)
        self.assertEqual(response.status_code, 409)
        self.assertEqual(approval.state, "requested")
        self.assertEqual(self.post(approval, "approve", form).status_code, 303)


@tagged("post_install", "-at_install")
class TestApprovalPhone(ApprovalHttpCommon, PaymentHttpCommon):
    """A client without an account on a phone: link, review, approval, payment."""

    browser_size = "375x667"
    touch_enabled = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["ir.config_parameter"].sudo().set_param("account_payment.enable_portal_payment", "True")
        cls.provider = cls._prepare_provider(code="demo")
        cls.provider.write({"journal_id": cls.company_data["default_journal_bank"].id, "is_published": True})

    def setUp(self):
        self.enable_post_process_patcher = False
        super().setUp()

    def keep_visit(self):
        """Give a session with the grant of this one: the browser's start throws this one away."""
        grants = root.session_store.get(self.session.sid)["milestone_grants"]
        session = root.session_store.new()
        session.update(get_default_session(), db=get_db_name(), milestone_grants=grants, _trace_disable=True)
        session.context["lang"] = "en_US"
        root.session_store.save(session)
        return session.sid

    def get_fingerprints(self, line):
        """Give the fingerprints of decision and payment; their pages' script claims zone and screen."""
        entries = line.evidence_ids.filtered(lambda item: item.type in ("approval.granted", "pay.clicked"))
        values = self.env["milestone.billing.evidence.value"].search([("entry_id", "in", entries.ids)])
        zones, prints = (
            values.filtered(lambda item, name=name: item.name == name) for name in ("client_tz", "device_fp")
        )
        self.assertEqual((len(entries), len(zones), len(prints)), (2, 2, 2))
        agent, language = (
            next((item.value for item in values if item.name == name), "")
            for name in ("user_agent", "accept_language")
        )
        silent = hashlib.sha256(f"{agent}\n{language}\n{zones[0].value}\n".encode()).hexdigest()
        self.assertNotIn(silent, prints.mapped("value"), "the screen is claimed too")
        return set(prints.mapped("value"))

    def test_approve_and_pay_on_a_phone(self):
        approval = self.create_submitted(proof=[("site.png", PNG)])
        self.enter(approval)
        url = f"/my/milestones/{approval.uuid}"
        self.start_tour(url, "milestone_billing_approve_and_pay", cookies={"session_id": self.keep_visit()})
        self.env.invalidate_all()
        self.assertEqual(approval.state, "approved")
        self.assertTrue(approval.has_reservations)
        self.assertEqual(
            len(self.get_fingerprints(approval.line_id)), 1, "decision and payment tell the same"
        )
        invoice = approval.move_id
        self.assertEqual(invoice.transaction_ids.state, "done")
        self.assertEqual(invoice.transaction_ids.amount, invoice.amount_total)
