"""Credit notes, withdrawn documents and reversed releases where the tax on retainage waits for the release."""

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_worked_figures_retained_tax import RetainedTaxCommon


@tagged("post_install", "-at_install")
class TestRetainedTaxCredit(RetainedTaxCommon):
    def test_credit_note_takes_the_retained_part_and_its_tax_back(self):
        order = self.create_deferred_order()
        line = order.milestone_line_ids[0]
        line.action_complete()
        refund = line.invoice_ids._reverse_moves(cancel=True)
        self.assertItems(
            refund,
            (self.receivable, 0, 2700),
            (self.retainage, 0, 250),
            (self.revenue, 2500, 0),
            (self.tax_account, 450, 0),
        )
        self.assertTiedOut(order)
        order.milestone_line_ids.action_complete()
        self.release(order)
        self.assertBilledEqualsOrder(order)
        self.assertEqual(self.balance(self.retainage, order), 0.0)
        self.assertTiedOut(order)

    def credit_work(self, invoice, price_unit):
        refund = invoice._reverse_moves()
        work = refund.invoice_line_ids.filtered(
            lambda item: item.display_type == "product" and not item.milestone_retainage
        )
        work.write({"quantity": 1.0, "price_unit": price_unit})
        return refund

    def test_credit_note_in_part_takes_its_share_of_the_retained_part(self):
        order = self.create_deferred_order()
        line = order.milestone_line_ids[0]
        line.action_complete()
        refund = self.credit_work(line.invoice_ids, 1000.0)
        refund._post()
        self.assertItems(
            refund,
            (self.receivable, 0, 1080),
            (self.retainage, 0, 100),
            (self.revenue, 1000, 0),
            (self.tax_account, 180, 0),
        )
        self.assertTiedOut(order)
        order.milestone_line_ids.action_complete()
        self.assertEqual(line._get_live_invoice().amount_untaxed, 900.0)
        self.release(order)
        self.assertBilledEqualsOrder(order)

    def test_credit_of_the_work_of_one_tax_takes_back_the_retained_part_of_this_tax(self):
        """Of 60 with 20 % and 40 with 10 %, the client gives the latter back: only its 10 % are held no longer."""
        lines = [
            Command.create(
                {"product_id": self.service.id, "price_unit": price, "tax_ids": [Command.set(tax.ids)]}
            )
            for price, tax in ((6000.0, self.tax_20), (4000.0, self.tax_10))
        ]
        order = self.create_order(lines=lines, shares=(50, 50), confirm=False)
        order.milestone_schedule_id.write(
            {"retainage_percent": 10.0, "retainage_base": "net", "retainage_tax": "release"}
        )
        order.action_confirm()
        line = order.milestone_line_ids[0]
        line.action_complete()
        refund = line.invoice_ids._reverse_moves()
        refund.invoice_line_ids.filtered(
            lambda item: item.tax_ids == self.tax_20 and not item.milestone_retainage
        ).unlink()
        refund._post()
        self.assertItems(
            refund,
            (self.receivable, 0, 1980),
            (self.retainage, 0, 200),
            (self.revenue, 2000, 0),
            (self.tax_account, 180, 0),
        )
        self.assertTiedOut(order)
        self.assertItems(
            self.release(order),
            (self.receivable, 360, 0),
            (self.retainage, 0, 300),
            (self.tax_account, 0, 60),
        )

    def test_credit_note_after_the_release_credits_the_work_with_all_its_tax(self):
        order = self.create_deferred_order()
        line = order.milestone_line_ids[0]
        line.action_complete()
        self.release(order)
        refund = line.invoice_ids._reverse_moves(cancel=True)
        self.assertItems(
            refund, (self.receivable, 0, 3000), (self.revenue, 2500, 0), (self.tax_account, 500, 0)
        )
        self.assertTiedOut(order)

    def test_credit_note_after_a_release_in_part(self):
        order = self.create_deferred_order()
        first, second = order.milestone_line_ids[:2]
        (first + second).action_complete()
        self.release(order, amount="100")
        refund = first.invoice_ids._reverse_moves(cancel=True)
        self.assertItems(
            refund,
            (self.receivable, 0, 2820),
            (self.retainage, 0, 150),
            (self.revenue, 2500, 0),
            (self.tax_account, 470, 0),
        )
        self.assertEqual(order.milestone_schedule_id.amount_retained, 250.0)
        self.assertTiedOut(order)

    def test_defect_client_keeps_part_of_the_retention_untaxed_so_far(self):
        order = self.create_deferred_order()
        line = order.milestone_line_ids[0]
        line.action_complete()
        refund = self.credit_work(line.invoice_ids, 100.0)
        refund.milestone_from_retainage = True
        refund._post()
        self.assertItems(refund, (self.retainage, 0, 100), (self.revenue, 100, 0))
        self.assertEqual(refund.amount_total, 0.0)
        self.assertItems(
            self.release(order),
            (self.receivable, 180, 0),
            (self.retainage, 0, 150),
            (self.tax_account, 0, 30),
        )
        self.assertTiedOut(order)

    def test_withdrawn_credit_note_holds_back_again(self):
        order = self.create_deferred_order()
        line = order.milestone_line_ids[0]
        line.action_complete()
        refund = line.invoice_ids._reverse_moves(cancel=True)
        refund.button_draft()
        self.assertEqual(order.milestone_schedule_id.amount_retained, 250.0)
        self.assertItems(
            self.release(order),
            (self.receivable, 300, 0),
            (self.retainage, 0, 250),
            (self.tax_account, 0, 50),
        )

    def test_reversed_release_is_held_again_with_its_tax(self):
        order = self.create_deferred_order()
        order.milestone_line_ids.action_complete()
        release = self.release(order, percent=60)
        refund = release._reverse_moves(cancel=True)
        self.assertItems(
            refund, (self.receivable, 0, 720), (self.retainage, 600, 0), (self.tax_account, 120, 0)
        )
        self.assertTiedOut(order)
        self.assertItems(
            self.release(order),
            (self.receivable, 1200, 0),
            (self.retainage, 0, 1000),
            (self.tax_account, 0, 200),
        )
        self.assertBilledEqualsOrder(order)

    def test_release_credited_in_part(self):
        order = self.create_deferred_order()
        order.milestone_line_ids.action_complete()
        refund = self.release(order)._reverse_moves()
        refund.invoice_line_ids.filtered("milestone_retainage").price_unit = 400.0
        refund._post()
        self.assertItems(
            refund, (self.receivable, 0, 480), (self.retainage, 400, 0), (self.tax_account, 80, 0)
        )
        self.assertEqual(order.milestone_schedule_id.amount_retained, 400.0)
        self.release(order)
        self.assertBilledEqualsOrder(order)
        self.assertTiedOut(order)

    def test_sheet_after_a_release_credited_in_part_says_what_the_documents_say(self):
        """Where the tax waits, a credit note gives back of each invoice by its share, and so says the sheet."""
        order = self.create_deferred_order(shares=(50, 50))
        order.milestone_line_ids.action_complete()
        release = self.release(order)
        refund = release._reverse_moves()
        item = refund.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        item.price_unit = 400.0
        refund._post()
        self.assertEqual(order.milestone_schedule_id.amount_retained, 400.0)
        sheet = self.release(order, amount="300.00")._get_retainage_sheet()
        self.assertEqual(
            [[float(row[name]) for name in ("held", "before", "now", "left")] for row in sheet["rows"]],
            [[500.0, 300.0, 200.0, 0.0], [500.0, 300.0, 100.0, 100.0]],
        )
        self.assertTiedOut(order)

    def test_cancelled_and_deleted_drafts_give_the_capacity_back(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_deferred_order()
        first, second = order.milestone_line_ids[:2]
        (first + second).action_complete()
        first.invoice_ids.unlink()
        second.invoice_ids.button_cancel()
        self.assertTiedOut(order)
        (first + second).action_complete()
        drafts = first._get_live_invoice() + second._get_live_invoice()
        drafts._post()
        self.assertEqual(drafts.mapped("amount_total"), [2700.0, 2700.0])
        drafts[0].button_draft()
        drafts[0].button_cancel()
        self.assertEqual(order.milestone_schedule_id.amount_retained, 250.0)
        self.assertTiedOut(order)

    def test_invoice_stays_while_its_retainage_is_released(self):
        order = self.create_deferred_order()
        order.milestone_line_ids[0].action_complete()
        invoice = order.milestone_line_ids[0].invoice_ids
        self.release(order)
        invoice.button_draft()
        with self.assertRaisesRegex(UserError, "250.00 of the retainage of .* is released already"):
            invoice.button_cancel()

    def test_invoice_may_go_when_its_release_is_taken_back(self):
        order = self.create_deferred_order()
        order.milestone_line_ids[0].action_complete()
        invoice = order.milestone_line_ids[0].invoice_ids
        self.release(order)._reverse_moves(cancel=True)
        invoice.button_draft()
        invoice.button_cancel()
        self.assertEqual(order.milestone_schedule_id.amount_retained, 0.0)
        self.assertTiedOut(order)

    def test_release_changed_by_hand_is_not_posted(self):
        self.company.milestone_invoice_posting = "draft"
        order = self.create_deferred_order()
        order.milestone_line_ids.action_complete()
        order.milestone_line_ids.invoice_ids._post()
        release = self.release(order)
        release.invoice_line_ids.filtered("milestone_retainage").tax_ids = self.tax_10
        with self.assertRaisesRegex(UserError, "the tax is"):
            release._post()
        release.unlink()
        release = self.release(order)
        release._post()
        self.assertEqual(release.amount_total, 1200.0)
