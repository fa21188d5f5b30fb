"""What a document bills, holds back and reverses is not for its bookkeeper to say, by whichever door."""

from datetime import timedelta

from odoo import Command, fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import HttpCase, new_test_user, tagged
from odoo.tools import mute_logger

from .test_worked_figures_retained_tax import RetainedTaxCommon


class DocumentClaimsCommon(RetainedTaxCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bookkeeper = new_test_user(
            cls.env,
            "bookkeeper",
            "base.group_user,account.group_account_manager",
            company_id=cls.company.id,
            company_ids=[Command.set(cls.company.ids)],
        )

    def setUp(self):
        super().setUp()
        self.order = self.create_retained_order(self.tax_20, retainage_base="net")
        self.line = self.order.milestone_line_ids[0]

    def get_claims(self):
        """Give every field by which a document would claim something of a milestone."""
        amounts = {"net": "250.00", "tax": "50.00", "tax_amounts": {}}
        return {
            "milestone_line_id": self.line.id,
            "milestone_claim": True,
            "milestone_document": "stage",
            "milestone_credited": True,
            "milestone_step": 3,
            "milestone_is_advance": True,
            "amount_retained": 500.0,
            "milestone_retained_parts": [{"document": "1-1", "taxes": self.tax_20.ids, **amounts}],
            "milestone_allocation_ids": [Command.link(self.line.allocation_ids[0].id)],
        }

    def prepare_invoice(self, **values):
        items = [Command.create({"name": "Beside", "price_unit": 1000.0, "tax_ids": [Command.clear()]})]
        return {
            "move_type": "out_invoice",
            "partner_id": self.client_company.id,
            "invoice_line_ids": items,
            **values,
        }

    def assertUntouched(self):
        """The milestone is planned as it was, and can be billed."""
        self.env.invalidate_all()
        self.assertEqual((self.line.state, self.line.invoice_ids.ids), ("planned", []))
        self.assertEqual(self.order.milestone_schedule_id.amount_retained, 0.0)
        self.line.action_complete()
        self.assertEqual(self.line.invoice_status, "posted")
        self.assertEqual(self.order.milestone_schedule_id.tie_out()["differences"], [])


@tagged("post_install", "-at_install")
class TestDocumentClaims(DocumentClaimsCommon):
    def test_bookkeeper_makes_no_claim(self):
        Move = self.env["account.move"].with_user(self.bookkeeper)
        own = Move.create(self.prepare_invoice())
        for name, value in self.get_claims().items():
            for door, attempt in (
                ("create", lambda v: Move.create(self.prepare_invoice(**v))),
                ("write", own.write),
                ("copy", own.copy),
            ):
                refused = self.assertRaises(AccessError)
                with self.subTest(name=name, door=door), refused, self.env.cr.savepoint():
                    attempt({name: value})
        self.assertUntouched()

    def test_context_makes_no_claim(self):
        Move = self.env["account.move"].with_user(self.bookkeeper)
        for name, value in self.get_claims().items():
            if name == "milestone_allocation_ids":
                continue
            with self.subTest(name=name):
                context = {f"default_{name}": value}
                made = Move.with_context(**context).create(self.prepare_invoice())
                self.assertFalse(made[name])
                self.assertFalse(made.with_context(**context).copy()[name])
                made.unlink()
        self.assertUntouched()

    def test_import_makes_no_claim(self):
        Move = self.env["account.move"].with_user(self.bookkeeper)
        for name, value in (
            ("milestone_line_id/.id", str(self.line.id)),
            ("milestone_claim", "True"),
            ("milestone_document", "stage"),
            ("amount_retained", "500"),
        ):
            with self.subTest(name=name), mute_logger("odoo.sql_db"):
                rows = [["out_invoice", str(self.client_company.id), value]]
                result = Move.load(["move_type", "partner_id/.id", name], rows)
                self.assertFalse(result["ids"])
        self.assertUntouched()

    def test_items_of_retainage_are_not_posted(self):
        """An item that calls itself retainage is given back by no document but a release."""
        Move = self.env["account.move"].with_user(self.bookkeeper)
        move = Move.create(self.prepare_invoice())
        move.invoice_line_ids.milestone_retainage = True
        with self.assertRaisesRegex(UserError, "without being a release"):
            move.action_post()

    def test_bookkeeper_changes_no_retainage_of_a_draft(self):
        self.company.milestone_invoice_posting = "draft"
        self.line.action_complete()
        move = self.line.invoice_ids.with_user(self.bookkeeper)
        for name, value in {**self.get_claims(), "milestone_line_id": False}.items():
            refused = self.assertRaises(AccessError)
            with self.subTest(name=name), refused, self.env.cr.savepoint():
                move.write({name: value})
        move.action_post()
        self.assertEqual(move.amount_retained, 250.0)

    def test_reversal_of_another_milestone_is_refused(self):
        """A reversal names the milestone of its document, and takes back what that holds back."""
        self.line.action_complete()
        move, other = self.line.invoice_ids, self.order.milestone_line_ids[1]
        Move = self.env["account.move"].with_user(self.bookkeeper)
        right = {
            "move_type": "out_refund",
            "reversed_entry_id": move.id,
            "milestone_line_id": self.line.id,
            "amount_retained": -250.0,
        }
        for wrong in (
            {"milestone_line_id": other.id},
            {"amount_retained": -249.0},
            {"amount_retained": 250.0},
            {"reversed_entry_id": False},
            {"milestone_retained_parts": [{"document": "1-1", "taxes": [], "net": "1.00", "tax": "0.00"}]},
        ):
            refused = self.assertRaises(AccessError)
            with self.subTest(wrong=wrong), refused, self.env.cr.savepoint():
                Move.create(self.prepare_invoice(**{**right, **wrong}))

    def test_bookkeeper_posts_and_credits_what_milestones_bill(self):
        """Ordinary work goes on without rights to bill milestones: posting, credit notes in whole and in part."""
        for tax in ("now", "release"):
            with self.subTest(tax=tax):
                self.company.milestone_invoice_posting = "draft"
                order = self.create_retained_order(self.tax_20, retainage_base="net", retainage_tax=tax)
                line = order.milestone_line_ids[0]
                line.action_complete()
                move = line.invoice_ids.with_user(self.bookkeeper)
                item = move.invoice_line_ids.filtered(lambda item: item.sale_line_ids)
                item.price_unit += 1.0
                with self.assertRaisesRegex(UserError, "was changed by hand"):
                    move.action_post()
                item.price_unit -= 1.0
                self.env.invalidate_all()
                move.action_post()
                wizard = (
                    self.env["account.move.reversal"]
                    .with_user(self.bookkeeper)
                    .with_context(active_model="account.move", active_ids=move.ids)
                    .create({"journal_id": move.journal_id.id})
                )
                credit = self.env["account.move"].browse(wizard.reverse_moves()["res_id"])
                credit = credit.with_user(self.bookkeeper)
                work = credit.invoice_line_ids.filtered(
                    lambda item: item.display_type == "product" and not item.milestone_retainage
                )
                work.write({"quantity": 1.0, "price_unit": 1000.0})
                credit.action_post()
                self.assertEqual(credit.amount_retained, -100.0)
                self.assertEqual(line.amount_billed, 1500.0)
                self.assertTiedOut(order)


@tagged("post_install", "-at_install")
class TestDocumentClaimsRpc(DocumentClaimsCommon, HttpCase):
    @mute_logger("odoo.http", "odoo.addons.rpc.controllers.json2", "odoo.sql_db")
    def test_bookkeeper_makes_no_claim_over_rpc(self):
        keys = self.env["res.users.apikeys"].with_user(self.bookkeeper).sudo()
        key = keys._generate(None, "test", fields.Datetime.now() + timedelta(days=1))
        own = self.env["account.move"].with_user(self.bookkeeper).create(self.prepare_invoice())

        def call(method, **values):
            headers = {"Authorization": f"bearer {key}"}
            return self.url_open(f"/json/2/account.move/{method}", json=values, headers=headers)

        for name, value in self.get_claims().items():
            for method, values in (
                ("create", {"vals_list": [self.prepare_invoice(**{name: value})]}),
                ("write", {"ids": own.ids, "vals": {name: value}}),
                ("copy", {"ids": own.ids, "default": {name: value}}),
                ("web_save", {"ids": own.ids, "vals": {name: value}, "specification": {}}),
            ):
                with self.subTest(name=name, method=method):
                    response = call(method, **values)
                    self.assertEqual(response.status_code, 403, response.text[:200])
        fine = call("write", ids=own.ids, vals={"ref": "Mine"})
        self.assertEqual(fine.status_code, 200, fine.text[:200])
        self.assertUntouched()
