import json
import re
import time
from datetime import timedelta

from odoo import Command, fields
from odoo.tests import HttpCase, tagged
from odoo.tools import file_open, mute_logger

from ..tools import webhook
from .common import MilestoneBillingCommon

CURL = re.compile(r'curl -s "\$BASE(/json/2/\S+)".*?-d \'(.*?)\'\n', re.DOTALL)


@tagged("post_install", "-at_install")
class TestApiDoc(MilestoneBillingCommon, HttpCase):
    """The examples of the documentation work as they are printed."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with file_open("milestone_billing/doc/api.md") as file:
            cls.text = file.read()
        order = cls.create_order()
        retained = cls.create_order(confirm=False)
        retained.milestone_schedule_id.retainage_percent = 10.0
        retained.action_confirm()
        retained.milestone_line_ids[0].action_complete()
        retained.milestone_line_ids.invoice_ids.filtered(lambda move: move.state == "draft")._post()
        enrolment = cls.env["milestone.billing.enrolment"].create(
            {"partner_id": cls.client_company.id, "company_id": cls.company.id, "product_id": cls.service.id}
        )
        cls.values = {
            "ORDER": order.id,
            "LINE": order.milestone_line_ids[0].id,
            "NEXT": order.milestone_line_ids[1].id,
            "THIRD": order.milestone_line_ids[2].id,
            "QUOTATION": cls.env["sale.order"]
            .create(
                {
                    "partner_id": cls.client_company.id,
                    "company_id": cls.company.id,
                    "order_line": [Command.create({"product_id": cls.service.id})],
                }
            )
            .id,
            "TEMPLATE": cls.env.ref("milestone_billing.milestone_billing_template_half").id,
            "SCHEDULE": order.milestone_schedule_id.id,
            "RETAINED": retained.milestone_schedule_id.id,
            "PRODUCT": cls.service.id,
            "ENROLMENT": enrolment.id,
        }
        Key = cls.env["res.users.apikeys"].with_user(cls.billing_user).sudo()
        cls.key = Key._generate(None, "test", fields.Datetime.now() + timedelta(days=1))

    def call(self, path, body, key=None):
        headers = {"Authorization": f"bearer {key or self.key}", "Content-Type": "application/json"}
        return self.url_open(path, data=body, headers=headers)

    def fill(self, body):
        return re.sub(r"\$([A-Z]+)", lambda found: str(self.values[found.group(1)]), body)

    def test_every_example_answers(self):
        examples = CURL.findall(self.text)
        self.assertEqual(len(examples), self.text.count("curl -s"))
        answers = {}
        for path, body in examples:
            response = self.call(path, self.fill(body))
            self.assertEqual(response.status_code, 200, f"{path}: {response.text[:500]}")
            answers[path.split("/", 3)[3]] = response.json()
        self.assertEqual(len(answers["milestone.billing.line/search_read"]), 4)
        self.assertEqual(answers["milestone.billing.line/complete"][0]["id"], self.values["LINE"])
        statement = answers["milestone.billing.schedule/get_statement"]
        self.assertEqual((statement["contract_sum"], statement["completed_to_date"]), ("10000.00", "5000.00"))
        self.assertEqual(answers["milestone.billing.schedule/tie_out"], {"ok": True, "differences": []})
        self.assertTrue(answers["milestone.billing.line/verify_evidence"]["ok"])
        buttons = self.env["milestone.billing.line"].browse([self.values["NEXT"], self.values["THIRD"]])
        self.assertTrue(buttons[0].invoice_ids)
        self.assertEqual(buttons[1].state, "cancelled")
        quotation = self.env["sale.order"].browse(self.values["QUOTATION"])
        self.assertEqual(len(quotation.milestone_line_ids), 2)
        self.assertTrue(answers["milestone.billing.line/export_evidence"]["content"])
        self.assertTrue(answers["milestone.billing.schedule/propose_change"]["change_id"])
        self.assertEqual(answers["milestone.billing.enrolment/charge"]["amount_total"], 750.5)
        self.assertEqual(answers["milestone.billing.schedule/release_retainage"]["amount"], 125.0)

    def test_every_keyed_example_may_be_sent_again(self):
        examples = [
            (path, self.fill(body)) for path, body in CURL.findall(self.text) if "idempotency_key" in body
        ]
        self.assertEqual(len(examples), 4)
        orders = self.env["sale.order"].browse(self.values["ORDER"])
        for path, body in examples:
            first = self.call(path, body)
            self.assertEqual(first.status_code, 200, first.text[:300])
            self.assertEqual(self.call(path, body).json(), first.json(), path)
            values = json.loads(body)
            changed = next(name for name in ("description", "name", "percent") if name in values)
            other = json.dumps({**values, changed: 40 if changed == "percent" else "Other"})
            with mute_logger("odoo.http", "odoo.addons.rpc.controllers.json2"):
                self.assertEqual(self.call(path, other).status_code, 422, path)
        self.env.invalidate_all()
        self.assertEqual(len(orders.milestone_schedule_id.change_ids), 1)
        retained = self.env["milestone.billing.schedule"].browse(self.values["RETAINED"])
        releases = retained.line_ids.filtered(lambda line: line.kind == "retainage_release")
        self.assertEqual(len(releases), 1)

    def test_call_is_idempotent(self):
        body = json.dumps({"ids": [self.values["LINE"]], "idempotency_key": "again"})
        first = self.call("/json/2/milestone.billing.line/complete", body)
        self.assertEqual(self.call("/json/2/milestone.billing.line/complete", body).json(), first.json())

    @mute_logger("odoo.http", "odoo.addons.rpc.controllers.json2")
    def test_wrong_keys_and_private_methods_are_refused(self):
        body = json.dumps({"ids": [self.values["LINE"]]})
        self.assertEqual(
            self.call("/json/2/milestone.billing.line/complete", body, "x" * 40).status_code, 401
        )
        for method in ("_complete", "_write_internal", "_transition"):
            response = self.call(f"/json/2/milestone.billing.line/{method}", body)
            self.assertGreaterEqual(response.status_code, 400, method)

    def test_printed_receiver_accepts_our_signature_and_no_other(self):
        code = re.search(r"```python\n(.*?)```", self.text, re.DOTALL).group(1)
        scope = {}
        exec(code, scope)  # pylint: disable=exec-used
        secret, body = webhook.make_secret(b"k" * 32), b'{"id":"1"}'
        headers = webhook.headers(secret, "1", int(time.time()), body)
        self.assertTrue(scope["is_genuine"](secret, headers, body))
        self.assertFalse(scope["is_genuine"](secret, headers, body + b" "))
        old = webhook.headers(secret, "1", int(time.time()) - 600, body)
        self.assertFalse(scope["is_genuine"](secret, old, body))
