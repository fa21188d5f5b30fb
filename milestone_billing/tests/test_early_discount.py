"""Early payment discounts that lower the tax of every invoice: stages come to the tax of one invoice of the order."""

from odoo import Command
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_einvoice import EInvoiceCommon


class EarlyDiscountCommon(EInvoiceCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.term = cls.create_term("mixed")
        cls.tax_10 = cls.create_tax("VAT 10 %", 10.0)

    @classmethod
    def create_term(cls, computation, percent=2.0):
        return cls.env["account.payment.term"].create(
            {
                "name": f"{percent:g} % in 7 days, {computation}",
                "early_discount": True,
                "discount_percentage": percent,
                "discount_days": 7,
                "early_pay_discount_computation": computation,
                "line_ids": [Command.create({"value": "percent", "value_amount": 100, "nb_days": 30})],
            }
        )

    @classmethod
    def create_discounted(cls, prices=(100.0,), shares=(33.33, 33.33, 33.34), schedule=None, **values):
        order = cls.create_order(
            shares=shares,
            prices=prices,
            taxes=cls.tax_20,
            confirm=False,
            **{"payment_term_id": cls.term.id, **values},
        )
        order.milestone_schedule_id.write(schedule or {})
        order.action_confirm()
        return order

    def prepare_mixed_lines(self):
        return [
            self.prepare_line(33.33, self.tax_20, 3.0),
            self.prepare_line(100.01, self.tax_10, discount=7.5),
            self.prepare_line(0.07, self.tax_20 + self.tax_10, 7.0),
            self.prepare_line(19.99, quantity=2.0),
            self.prepare_line(-5.55, self.tax_10),
        ]

    def get_taxes(self, moves):
        """Give the tax that posted documents bill, by tax."""
        totals, currency = {}, self.company.currency_id
        for item in moves.line_ids.filtered("tax_line_id"):
            totals[item.tax_line_id] = currency.round(totals.get(item.tax_line_id, 0.0) - item.balance)
        return {tax: total for tax, total in totals.items() if total}

    def assertEnded(self, order):
        """All is billed: to the order, statement and ledger agree, and nothing is left on the order."""
        self.assertBilledEqualsOrder(order)
        self.assertConserved(order)
        self.assertEqual(order.milestone_schedule_id.tie_out(), {"ok": True, "differences": []})
        for line in order.order_line.filtered("is_milestone_billed"):
            self.assertEqual(order.currency_id.compare_amounts(line.amount_to_invoice, 0.0), 0, line.name)


@tagged("post_install", "-at_install")
class TestEarlyDiscount(EarlyDiscountCommon):
    def test_three_thirds_of_a_hundred(self):
        """20 % of 98 is 19.60; three invoices that round for themselves would bill 3 x 6.53 = 19.59."""
        order = self.create_discounted()
        self.assertEqual((order.amount_tax, order.amount_total), (19.60, 119.60))
        lines = order.milestone_line_ids
        self.assertEqual([round(line.amount_tax, 2) for line in lines], [6.53, 6.54, 6.53])
        lines.action_complete()
        self.assertEqual(lines.invoice_ids.sorted("id").mapped("amount_tax"), [6.53, 6.54, 6.53])
        self.assertItems(
            lines[0].invoice_ids,
            (self.receivable, 39.86, 0),
            (self.revenue, 0, 33.33),
            (self.tax_account, 0, 6.53),
            (self.revenue, 0.67, 0),
            (self.revenue, 0, 0.67),
        )
        lowering = lines[0].invoice_ids.line_ids.filtered(lambda item: item.display_type == "epd")
        self.assertEqual(lowering.filtered("tax_ids").balance, 0.67, "the base of the tax is lower")
        self.assertEnded(order)

    def test_each_tax_is_that_of_one_invoice_of_the_order(self):
        for method in ("round_globally", "round_per_line"):
            self.company.tax_calculation_rounding_method = method
            whole = self.env["sale.order"].create(
                {
                    "partner_id": self.client_company.id,
                    "order_line": self.prepare_mixed_lines(),
                    "payment_term_id": self.term.id,
                }
            )
            whole.action_confirm()
            one = whole._create_invoices()
            one._post()
            order = self.create_discounted(
                shares=(33.33, 22.22, 11.11, 33.34), lines=self.prepare_mixed_lines()
            )
            order.milestone_line_ids.action_complete()
            stages = order.milestone_line_ids.invoice_ids
            self.assertEnded(order)
            if method == "round_globally":
                self.assertEqual(self.get_taxes(stages), self.get_taxes(one))
                self.assertEqual(round(sum(stages.mapped("amount_total")), 2), one.amount_total)
            # By line, one invoice of Odoo rounds the discount of lines that share account and taxes together, its
            # order each for itself: milestones come to the order, which the client has agreed to.
            self.assertAlmostEqual(sum(stages.mapped("amount_tax")), one.amount_tax, delta=0.0101)

    def test_paid_early_the_discount_is_taken_off_the_net(self):
        order = self.create_discounted(shares=(25, 75))
        order.milestone_line_ids[0].action_complete()
        invoice = order.milestone_line_ids[0].invoice_ids
        self.assertEqual((invoice.amount_tax, invoice.amount_total), (4.90, 29.90))
        self.pay(invoice)
        self.assertIn(invoice.payment_state, ("paid", "in_payment"))
        payment = invoice._get_reconciled_payments()
        self.assertEqual(payment.amount, 29.40)

    # === WHAT IS TAKEN BACK ===

    def test_whole_credit_is_billed_again(self):
        order = self.create_discounted()
        lines = order.milestone_line_ids
        lines.action_complete()
        credit = lines[1].invoice_ids._reverse_moves(cancel=True)
        self.assertEqual((credit.amount_untaxed, credit.amount_tax), (33.33, 6.54))
        self.assertConserved(order)
        lines[1].action_complete()
        self.assertEnded(order)

    def test_credit_in_part_lowers_its_tax_too(self):
        order = self.create_discounted()
        lines = order.milestone_line_ids
        lines.action_complete()
        credit = lines[0].invoice_ids._reverse_moves()
        item = credit.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        item.write({"quantity": 1.0, "price_unit": 10.0})
        credit._post()
        self.assertEqual((credit.amount_untaxed, credit.amount_tax), (10.0, 1.96))
        self.assertConserved(order)
        lines[0].action_complete()
        self.assertEnded(order)

    def test_wizard_of_credit_notes_credits_the_whole_invoice(self):
        order = self.create_discounted()
        line = order.milestone_line_ids[0]
        line.action_complete()
        wizard = self.open_credit_wizard(line.invoice_ids)
        credit = self.env["account.move"].browse(wizard.reverse_moves()["res_id"])
        credit._post()
        self.assertEqual(credit.amount_total, line.invoice_ids.filtered(lambda m: m != credit).amount_total)
        self.assertConserved(order)

    # === WITH DEPOSITS ===

    def test_advance_and_its_recovery(self):
        for recovery in ("final", "prorata"):
            order = self.create_order(
                shares=(30, 30, 40),
                prices=(99.99, 33.34),
                taxes=self.tax_20,
                confirm=False,
                payment_term_id=self.term.id,
            )
            order.milestone_line_ids[0].kind = "deposit"
            order.milestone_schedule_id.write({"deposit_mode": "advance", "deposit_recovery": recovery})
            order.action_confirm()
            order.milestone_line_ids.action_complete()
            self.assertEnded(order)
            self.assertEqual(self.balance(self.advances, order), 0.0)

    def test_change_order_shows_the_tax_that_is_billed(self):
        order = self.create_discounted(shares=(50, 50))
        order.milestone_line_ids[0].action_complete()
        change = self.env["milestone.billing.change"].create(
            {
                "order_id": order.id,
                "name": "More",
                "line_ids": [
                    Command.create(
                        {"order_line_id": order.order_line.id, "quantity": 1.5, "price_unit": 100.0}
                    )
                ],
            }
        )
        self.assertEqual((change.amount_untaxed, change.amount_tax), (50.0, 9.80))
        order.order_line.product_uom_qty = 1.5
        order.milestone_line_ids[1].action_complete()
        self.assertEqual(order.amount_tax, 29.40)
        self.assertEnded(order)

    # === ELECTRONIC INVOICE ===

    def test_electronic_invoice_adds_up(self):
        order = self.create_discounted(prices=(999.99, 33.34))
        order.milestone_line_ids.action_complete()
        for line in order.milestone_line_ids:
            document = self.export(line.invoice_ids)
            self.assertTotals(document, PayableAmount=f"{line.amount_total:.2f}")

    # === WHAT CANNOT BE DONE RIGHT IS REFUSED ===

    def test_taxes_in_the_price_are_refused(self):
        self.tax_20.price_include_override = "tax_included"
        with self.assertRaisesRegex(UserError, "is part of the price"):
            self.create_discounted()

    def test_other_payment_terms_on_the_invoice_are_refused(self):
        self.company.milestone_invoice_posting = "draft"
        for own, other in (
            (self.term, self.create_term("excluded")),
            (self.create_term("excluded"), self.term),
        ):
            order = self.create_discounted(payment_term_id=own.id)
            order.milestone_line_ids[0].action_complete()
            invoice = order.milestone_line_ids[0].invoice_ids
            invoice.invoice_payment_term_id = other
            with self.assertRaisesRegex(UserError, "Choose the order's payment terms"):
                invoice._post()
            invoice.invoice_payment_term_id = own
            invoice._post()

    def test_no_discount_goes_together_with_retainage(self):
        """By whichever door both come together: the confirmation, the schedule, the order, or the invoice."""
        self.company.milestone_invoice_posting = "draft"
        for computation in ("mixed", "included", "excluded"):
            with self.subTest(computation=computation):
                term, held = self.create_term(computation), {"retainage_percent": 10.0}
                with self.assertRaisesRegex(UserError, "or no retainage"):
                    self.create_discounted(payment_term_id=term.id, schedule=held)
                order = self.create_discounted(payment_term_id=term.id)
                with self.assertRaisesRegex(UserError, "or no retainage"):
                    order.milestone_schedule_id.write(held)
                order = self.create_discounted(payment_term_id=False, schedule=held)
                with self.assertRaisesRegex(UserError, "or no retainage"), self.env.cr.savepoint():
                    order.payment_term_id = term
                line = order.milestone_line_ids[0]
                line.action_complete()
                line.invoice_ids.invoice_payment_term_id = term
                with self.assertRaisesRegex(UserError, "on the invoice"):
                    line.invoice_ids._post()
                line.invoice_ids.invoice_payment_term_id = False
                line.invoice_ids._post()
                self.assertFalse(any(line.invoice_ids.line_ids.mapped("discount_date")))

    def test_discount_adds_up_to_nothing_in_the_company_currency(self):
        """Converted one by one, 0.041, 22.477, -0.667 and -21.851 dinars come to a cent."""
        dinar = self.env["res.currency"].with_context(active_test=False).search([("name", "=", "KWD")])
        dinar.active = True
        dinar.rate_ids = [Command.clear(), Command.create({"rate": 0.307, "name": "2020-01-01"})]
        pricelist = self.env["product.pricelist"].create({"name": "Dinars", "currency_id": dinar.id})
        fee = self.env["account.tax"].create({"name": "Fee", "amount_type": "fixed", "amount": 0.35})
        order = self.create_order(
            lines=[
                self.prepare_line(6.82, fee, 0.33, discount=7.5),
                self.prepare_line(94.66, self.tax_20, 12.12, discount=7.5),
                self.prepare_line(-4.13, self.tax_10, 12.12, discount=33.33),
                self.prepare_line(6.82, fee, 0.33, discount=7.5),
                self.prepare_line(62.62, self.tax_20),
            ],
            shares=(100.0,),
            pricelist_id=pricelist.id,
            payment_term_id=self.term.id,
        )
        order.milestone_line_ids.action_complete()
        discounts = order.milestone_line_ids.invoice_ids.line_ids.filtered(
            lambda item: item.display_type == "epd"
        )
        self.assertEqual(len(discounts), 4)
        self.assertEqual(self.company.currency_id.round(sum(discounts.mapped("balance"))), 0.0)
        self.assertEnded(order)

    def test_discount_of_less_than_a_cent_stays_nothing(self):
        """Of -93 and 71 yen two per cent are -2 and 1: a cent each, and the yen between them is worth none."""
        yen = self.env["res.currency"].with_context(active_test=False).search([("name", "=", "JPY")])
        yen.active = True
        self.env["res.currency.rate"].create(
            {"currency_id": yen.id, "rate": 151.2345, "name": "2020-01-01", "company_id": self.company.id}
        )
        order = self.create_discounted(
            shares=(100,),
            lines=[
                self.prepare_line(120.0),
                self.prepare_line(-93.0, self.tax_20),
                self.prepare_line(71.0, self.tax_10),
            ],
            pricelist_id=self.env["product.pricelist"].create({"name": "JPY", "currency_id": yen.id}).id,
        )
        order.milestone_line_ids.action_complete()
        invoice = order.milestone_line_ids.invoice_ids
        items = invoice.line_ids.filtered(lambda item: item.display_type == "epd")
        self.assertEqual(
            sorted(zip(items.mapped("amount_currency"), items.mapped("balance"), strict=True)),
            [(-2.0, -0.01), (1.0, 0.0), (1.0, 0.01)],
        )
        self.assertEqual(invoice.state, "posted")
        self.assertEnded(order)

    def test_coarse_currencies_are_refused(self):
        self.company.currency_id.rounding = 0.05
        with self.assertRaisesRegex(UserError, "rounded to 0.05"):
            self.create_discounted()

    def test_quotation_shows_the_lowered_tax(self):
        order = self.create_order(shares=(50, 50), prices=(100.0,), taxes=self.tax_20, confirm=False)
        self.assertEqual(order.milestone_line_ids.mapped("amount_tax"), [10.0, 10.0])
        order.payment_term_id = self.term
        self.assertEqual(order.milestone_line_ids.mapped("amount_tax"), [9.8, 9.8])

    def test_terms_of_the_order_change_until_something_is_billed(self):
        order = self.create_discounted(payment_term_id=False)
        self.assertEqual(order.milestone_line_ids[0].amount_tax, 6.67)
        order.payment_term_id = self.term
        self.assertEqual(order.milestone_line_ids[0].amount_tax, 6.53)
        order.milestone_line_ids[0].action_complete()
        with self.assertRaisesRegex(UserError, "Credit them first"):
            order.payment_term_id = False
        with self.assertRaisesRegex(UserError, "Credit them first"):
            order.payment_term_id = self.create_term("mixed", 3.0)
        order.payment_term_id = self.create_term("mixed")
        order.milestone_line_ids[1:].action_complete()
        self.assertEnded(order)
