from odoo.addons.payment.tests.http_common import PaymentHttpCommon
from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tests import JsonRpcException, tagged

from .common_approval import ApprovalHttpCommon


@tagged("post_install", "-at_install")
class TestPaymentClosing(ApprovalHttpCommon, PaymentHttpCommon):
    """Nobody pays a draft, a wrong amount or the same invoice twice; other invoices go on as before."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["ir.config_parameter"].sudo().set_param("account_payment.enable_portal_payment", "True")
        cls.provider = cls._prepare_provider(code="demo")
        cls.method = cls.provider.payment_method_ids[:1]
        cls.provider.journal_id = cls.company_data["default_journal_bank"]

    def setUp(self):
        self.enable_post_process_patcher = False
        super().setUp()

    def start(self, invoice, amount, token=None, **more):
        """Start a payment as the invoice page does."""
        values = {
            "provider_id": self.provider.id,
            "payment_method_id": self.method.id,
            "token_id": None,
            "amount": amount,
            "flow": "direct",
            "tokenization_requested": False,
            "landing_route": "https://evil.example/",
            "access_token": token if token is not None else invoice._portal_ensure_token(),
            **more,
        }
        return self.make_jsonrpc_request(f"/invoice/transaction/{invoice.id}", values)

    def approve_now(self, approval):
        """Approve as staff would record it, to come to a posted invoice."""
        document = self.env["ir.attachment"].create({"name": "letter.pdf", "raw": b"%PDF-1.4 yes"})
        approval.record_on_behalf("paper", document.id)
        return approval.move_id

    def test_a_draft_cannot_be_paid_by_its_token(self):
        approval = self.create_submitted()
        draft = approval.move_id
        with self.assertRaisesRegex(JsonRpcException, "ValidationError"):
            self.start(draft, draft.amount_total)
        self.assertFalse(draft.transaction_ids)
        self.assertEqual(draft.state, "draft")

    def test_only_what_is_due_can_be_paid(self):
        invoice = self.approve_now(self.create_submitted())
        for amount in (0.01, invoice.amount_residual - 0.01, invoice.amount_residual + 1, -5, 0, "x"):
            with self.assertRaises(JsonRpcException):
                self.start(invoice, amount)
        self.assertFalse(invoice.transaction_ids)

    def test_landing_route_is_the_servers(self):
        invoice = self.approve_now(self.create_submitted())
        self.start(invoice, invoice.amount_residual)
        self.assertTrue(invoice.transaction_ids.landing_route.startswith("/my/invoices/"))

    def test_wrong_token_is_refused_before_anything_else(self):
        invoice = self.approve_now(self.create_submitted())
        with self.assertRaises(JsonRpcException):
            self.start(invoice, invoice.amount_residual, token="wrong")
        self.assertFalse(invoice.transaction_ids)

    def test_second_session_cannot_start_while_a_payment_is_open(self):
        invoice = self.approve_now(self.create_submitted())
        self.start(invoice, invoice.amount_residual)
        self.authenticate(None, None)
        with self.assertRaisesRegex(JsonRpcException, "ValidationError"):
            self.start(invoice, invoice.amount_residual)
        self.assertEqual(len(invoice.transaction_ids), 1)

    def test_own_broken_off_attempt_does_not_lock_the_payer_out(self):
        invoice = self.approve_now(self.create_submitted())
        self.start(invoice, invoice.amount_residual)
        self.start(invoice, invoice.amount_residual)
        self.assertEqual(len(invoice.transaction_ids), 2)

    def test_paid_invoice_takes_no_further_payment(self):
        invoice = self.approve_now(self.create_submitted())
        self.start(invoice, invoice.amount_residual)
        tx = invoice.transaction_ids
        tx._process("demo", {"reference": tx.reference, "simulated_state": "done"})
        with self.assertRaises(JsonRpcException):
            self.start(invoice, invoice.amount_total)
        tx._post_process()
        self.assertIn(invoice.payment_state, ("paid", "in_payment"))
        with self.assertRaises(JsonRpcException):
            self.start(invoice, invoice.amount_total)
        events = self.get_events(invoice.milestone_line_id)
        self.assertEqual(events.count("payment.tx"), 2)
        self.assertIn("payment.confirmed", events)

    def test_a_done_payment_never_posts_a_draft(self):
        draft = self.create_submitted().move_id
        tx = self._create_transaction(
            "direct",
            amount=0.01,
            currency_id=draft.currency_id.id,
            partner_id=draft.partner_id.id,
            invoice_ids=[Command.set(draft.ids)],
        )
        tx._set_done()
        tx._post_process()
        self.assertEqual(draft.state, "draft")
        self.assertTrue(tx.payment_id, "the money is booked all the same")
        self.assertTrue(draft.milestone_line_id.activity_ids)

    def test_payment_link_of_a_draft_is_closed(self):
        draft = self.create_submitted().move_id
        token = self._generate_test_access_token(
            draft.partner_id.id, draft.amount_total, draft.currency_id.id
        )
        response = self.url_open(
            f"/payment/pay?invoice_id={draft.id}&amount={draft.amount_total}&access_token={token}"
        )
        self.assertEqual(response.status_code, 403)

    def test_payment_link_without_its_token_tells_nothing(self):
        draft = self.create_submitted().move_id
        unknown = self.env["account.move"].search([], order="id desc", limit=1).id + 1000
        answers = [
            self.url_open(f"/payment/pay?invoice_id={move_id}&amount={draft.amount_total}{token}")
            for move_id in (draft.id, unknown)
            for token in ("", "&access_token=x")
        ]
        self.assertEqual(len({answer.status_code for answer in answers}), 1)
        for answer in answers:
            self.assertNotIn("not issued yet", answer.text)

    def test_contested_invoice_cannot_be_paid(self):
        approval = self.create_submitted()
        link, secret = self.issue_link(approval)
        invoice = self.approve_now(approval)
        page = self.url_open(f"/ma/{link.uuid}/not-me?k={secret}")
        self.url_open(f"/ma/{link.uuid}/not-me", data=self.fields_of(page))
        self.assertEqual(approval.state, "contested")
        with self.assertRaises(JsonRpcException):
            self.start(invoice, invoice.amount_residual)
        self.assertFalse(invoice._has_to_be_paid())

    def test_other_invoices_are_paid_as_before(self):
        invoice = self.env["account.move"].create(
            {
                "move_type": "out_invoice",
                "partner_id": self.contact.id,
                "invoice_line_ids": [Command.create({"name": "Hours", "price_unit": 100.0, "tax_ids": []})],
            }
        )
        invoice.action_post()
        self.start(invoice, 40.0, landing_route="/elsewhere")
        self.assertEqual(invoice.transaction_ids.amount, 40.0)
        self.assertEqual(invoice.transaction_ids.landing_route, "/elsewhere")

    def test_draft_is_not_posted_before_the_approval(self):
        draft = self.create_submitted().move_id
        with self.assertRaisesRegex(UserError, "not approved"):
            draft.action_post()

    def test_changed_draft_is_not_posted_after_the_approval(self):
        self.company.milestone_invoice_posting = "draft"
        approval = self.create_submitted()
        draft = self.approve_now(approval)
        self.assertEqual(draft.state, "draft")
        draft.invoice_line_ids[-1].price_unit += 1
        with self.assertRaisesRegex(UserError, "not what the client approved"):
            draft.action_post()
        draft.invoice_line_ids[-1].price_unit -= 1
        draft.action_post()
        self.assertEqual(draft.state, "posted")

    def test_pay_now_leads_to_the_posted_invoice(self):
        approval = self.create_submitted()
        self.enter(approval)
        self.approve(approval)
        page = self.url_open(f"/my/milestones/{approval.uuid}")
        self.assertIn(f"/my/milestones/{approval.uuid}/pay", page.text)
        response = self.post(approval, "pay", {"csrf_token": self.fields_of(page)["csrf_token"]})
        self.assertEqual(response.status_code, 303)
        self.assertIn(f"/my/invoices/{approval.move_id.id}", response.headers["Location"])
        self.assertIn("pay.clicked", self.get_events(approval.line_id))
        invoice = approval.move_id
        self.start(invoice, invoice.amount_residual)
        self.assertEqual(invoice.transaction_ids.landing_route, f"/my/milestones/{approval.uuid}")
        tx = invoice.transaction_ids
        tx._process("demo", {"reference": tx.reference, "simulated_state": "done"})
        tx._post_process()
        self.assertIn("Paid", self.url_open(f"/my/milestones/{approval.uuid}").text)

    def test_messages_that_come_twice_or_late_have_no_second_effect(self):
        invoice = self.approve_now(self.create_submitted())
        self.start(invoice, invoice.amount_residual)
        tx, line = invoice.transaction_ids, invoice.milestone_line_id

        def notify(*states):
            for state in states:
                data = {"reference": tx.reference, "simulated_state": state}
                self.make_jsonrpc_request("/payment/demo/simulate_payment", data)
            self.env.invalidate_all()
            tx.filtered(lambda item: not item.is_post_processed)._post_process()

        notify("pending", "pending", "done", "done", "pending", "cancel", "error")
        notify("done", "pending", "error", "cancel")
        entries = [entry._get_body() for entry in line.evidence_ids.sorted("seq")]
        states = [body["data"]["state"] for body in entries if body["type"] == "payment.tx"]
        self.assertEqual(states, ["draft", "pending", "done"])
        self.assertEqual([body["type"] for body in entries].count("payment.confirmed"), 1)
        self.assertEqual(len(tx.payment_id), 1)
        payments = self.env["account.payment"].sudo().search([("payment_transaction_id", "=", tx.id)])
        self.assertEqual((len(payments), invoice.amount_residual), (1, 0.0))
