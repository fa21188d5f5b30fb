import base64

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from .test_change import ChangeCommon


@tagged("post_install", "-at_install")
class TestChangeGuard(ChangeCommon):
    """Staff may do with a change order what its buttons do: what the client was shown is what happens."""

    def test_positions_stay_as_they_were_proposed(self):
        change = self.propose()
        lines = change.line_ids.with_user(self.billing_user)
        new = {"change_id": change.id, "product_id": self.extra.id, "price_unit": 9000.0}
        for forge in (
            lambda: lines.write({"price_unit": 9000.0}),
            lambda: lines.create(new),
            lines.unlink,
            lambda: change.with_user(self.billing_user).write({"line_ids": [Command.clear()]}),
        ):
            self.assertRaises(UserError, forge)
        self.assertEqual(self.decide(change), "recorded")
        self.assertEqual(self.order.amount_untaxed, 11200.0)

    def test_other_positions_than_the_client_was_shown_change_nothing(self):
        change = self.propose()
        change.line_ids.flush_recordset()
        self.env.cr.execute(
            "UPDATE milestone_billing_change_line SET price_unit = 9000 WHERE change_id = %s", [change.id]
        )
        self.env.invalidate_all()
        self.assertEqual(self.decide(change), "superseded")
        self.assertEqual((change.state, self.order.amount_untaxed), ("draft", 10000.0))

    def test_address_revision_and_amounts_are_no_fields_to_write(self):
        change = self.propose()
        other = self.env["res.partner"].create({"name": "Other"})
        for name, value in (
            ("uuid", "x"),
            ("revision", 7),
            ("amount_total", 1.0),
            ("partner_id", other.id),
            ("company_id", False),
        ):
            with self.subTest(name=name), self.assertRaises(AccessError):
                change.with_user(self.billing_user).write({name: value})

    def test_document_on_record_stays(self):
        change = self.propose()
        change.document = base64.b64encode(b"Paper")
        change.with_user(self.billing_user).action_approve_on_behalf()
        domain = [
            ("res_model", "=", change._name),
            ("res_id", "=", change.id),
            ("res_field", "=", "document"),
        ]
        paper = self.env["ir.attachment"].sudo().search(domain).with_user(self.billing_user)
        for forge in (
            lambda: change.with_user(self.billing_user).write({"document": False}),
            lambda: paper.write({"raw": b"Other"}),
            paper.unlink,
        ):
            self.assertRaises(UserError, forge)
        (name,) = [name for name in change._prepare_bundle_files("full") if name.startswith("proof/")]
        self.assertEqual(change._prepare_bundle_files("full")[name], b"Paper")

    def test_document_that_nobody_recorded_is_no_evidence(self):
        change = self.propose()
        change.document = base64.b64encode(b"Paper")
        self.assertEqual(self.decide(change), "recorded")
        self.assertFalse([name for name in change._prepare_bundle_files("full") if name.startswith("proof/")])

    def test_words_of_the_client_are_text(self):
        change = self.propose()
        self.decide(change, "decline", reason="<img src='https://tracker.example/x.png'> no")
        self.assertIn("&lt;img", change.activity_ids[-1:].note)
