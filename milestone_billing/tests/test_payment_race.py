from odoo import SUPERUSER_ID, Command, api
from odoo.http import root
from odoo.tests.common import HOST, tagged
from werkzeug.test import Client

from .common_answer_race import AnswerRaceCommon

MANY = 8


@tagged("-standard", "-at_install", "post_install", "milestone_race")
class TestPaymentRace(AnswerRaceCommon):
    """A provider sends the same message many times at once: one effect, one entry."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {"allowed_company_ids": [cls.company_id]})
            demo = env.ref("payment.payment_provider_demo")
            provider = demo.copy({"company_id": cls.company_id, "state": "test"})
            journal = env["account.journal"].search(
                [("company_id", "=", cls.company_id), ("type", "=", "bank")], limit=1
            )
            provider.journal_id = journal
            cls.provider_id = provider.id

    def start_payment(self):
        """Commit an issued invoice whose payment waits for the provider.

        :return: ids of the milestone and of the transaction.
        """
        with self.registry.cursor() as cr:
            env = self.env_of(cr)
            order = self.create_whole_order(env, approval_required=False)
            order.action_confirm()
            line = order.milestone_line_ids
            line._complete(trigger="manual")
            invoice = line.invoice_ids
            if invoice.state == "draft":
                invoice._post()
            provider = env["payment.provider"].browse(self.provider_id)
            tx = env["payment.transaction"].create(
                {
                    "provider_id": provider.id,
                    "payment_method_id": env.ref("payment.payment_method_card").id,
                    "reference": f"race-{line.evidence_uuid}",
                    "amount": invoice.amount_residual,
                    "currency_id": invoice.currency_id.id,
                    "partner_id": invoice.partner_id.id,
                    "operation": "online_direct",
                    "invoice_ids": [Command.set(invoice.ids)],
                }
            )
            return line.id, tx.id

    def notify(self, reference, state):
        """Tell Odoo, as the provider does; give the status of the answer."""
        values = {"jsonrpc": "2.0", "params": {"reference": reference, "simulated_state": state}}
        response = Client(root).post("/payment/demo/simulate_payment", json=values, base_url=f"http://{HOST}")
        return response.status_code, response.json.get("error")

    def book(self):
        """Run the job that books what was paid, in a transaction of its own."""
        with self.registry.cursor() as cr:
            self.env_of(cr)["payment.transaction"]._cron_post_process()

    def test_one_message_many_times_at_once_is_one_payment(self):
        line_id, tx_id = self.start_payment()
        with self.registry.cursor() as cr:
            reference = self.env_of(cr)["payment.transaction"].browse(tx_id).reference
        answers = self.run_together([lambda: self.notify(reference, "done")] * MANY)
        self.assertEqual(answers, [(200, None)] * MANY)
        self.run_together([self.book] * 4)
        self.run_together(
            [lambda state=state: self.notify(reference, state) for state in ("done", "pending", "cancel")]
        )
        self.book()
        with self.registry.cursor() as cr:
            env = self.env_of(cr)
            line, tx = env["milestone.billing.line"].browse(line_id), env["payment.transaction"].browse(tx_id)
            entries = [entry._get_body() for entry in line.evidence_ids.sorted("seq")]
            states = [body["data"]["state"] for body in entries if body["type"] == "payment.tx"]
            self.assertEqual(states, ["draft", "done"])
            self.assertEqual([body["type"] for body in entries].count("payment.confirmed"), 1)
            self.assertEqual((tx.state, tx.is_post_processed), ("done", True))
            payments = env["account.payment"].search([("payment_transaction_id", "=", tx_id)])
            self.assertEqual(len(payments), 1)
            self.assertEqual(line.invoice_ids.amount_residual, 0.0)
            self.assertTrue(line.verify_evidence()["ok"])
