"""Electronic invoices of milestones (UBL BIS 3): the totals add up as EN 16931 asks, to the last cent."""

from decimal import ROUND_HALF_UP, Decimal

from lxml import etree
from odoo import Command
from odoo.tests import tagged

from .test_worked_figures_deposit import DepositCommon

CENT = Decimal("0.01")
CBC, CAC = (
    f"{{urn:oasis:names:specification:ubl:schema:xsd:Common{kind}Components-2}}"
    for kind in ("Basic", "Aggregate")
)


def cents(amount):
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


class Ubl:
    """The amounts of one UBL document, as exact decimals."""

    def __init__(self, content):
        self.tree = etree.fromstring(content)
        self.is_credit = etree.QName(self.tree).localname == "CreditNote"
        self.lines = self.tree.findall(f"{CAC}{'CreditNoteLine' if self.is_credit else 'InvoiceLine'}")

    def text(self, path, node=None):
        steps = [{"b": CBC, "a": CAC}[step[0]] + step[2:] for step in path.split("/")]
        return (self.tree if node is None else node).findtext("/".join(steps))

    def amount(self, path, node=None):
        return Decimal(self.text(path, node) or "0")

    def total(self, name):
        return self.amount(f"a:LegalMonetaryTotal/b:{name}")

    def get_tax_total(self):
        """Give the tax total in the currency of the document: the one with a breakdown."""
        return next(
            node for node in self.tree.findall(f"{CAC}TaxTotal") if node.find(f"{CAC}TaxSubtotal") is not None
        )

    def get_line_allowances(self, line):
        """Give charges less allowances of a line."""
        return sum(
            self.amount("b:Amount", node) * (1 if self.text("b:ChargeIndicator", node) == "true" else -1)
            for node in line.findall(f"{CAC}AllowanceCharge")
        )

    def find_problems(self):
        """Check the rules of EN 16931 on totals, tax and lines; give what is broken as text."""
        return [*self._check_totals(), *self._check_taxes(), *self._check_lines()]

    def _check_totals(self):
        nets = sum(self.amount("b:LineExtensionAmount", line) for line in self.lines)
        tax = self.amount("b:TaxAmount", self.get_tax_total())
        rules = {
            "BR-CO-10: BT-106 is the sum of line nets": (self.total("LineExtensionAmount"), nets),
            "BR-CO-13: BT-109 = BT-106 - BT-107 + BT-108": (
                self.total("TaxExclusiveAmount"),
                nets - self.total("AllowanceTotalAmount") + self.total("ChargeTotalAmount"),
            ),
            "BR-CO-15: BT-112 = BT-109 + BT-110": (
                self.total("TaxInclusiveAmount"),
                self.total("TaxExclusiveAmount") + tax,
            ),
            "BR-CO-16: BT-115 = BT-112 - BT-113 + BT-114": (
                self.total("PayableAmount"),
                self.total("TaxInclusiveAmount")
                - self.total("PrepaidAmount")
                + self.total("PayableRoundingAmount"),
            ),
        }
        yield from (f"{rule}: {found} / {want}" for rule, (found, want) in rules.items() if found != want)
        if self.total("PrepaidAmount") < 0:
            yield f"BT-113 is negative: {self.total('PrepaidAmount')}"

    def _check_taxes(self):
        total, found, bases = self.get_tax_total(), Decimal(0), {}
        for line in self.lines:
            category = line.find(f"{CAC}Item/{CAC}ClassifiedTaxCategory")
            key = (self.text("b:ID", category), self.amount("b:Percent", category))
            bases[key] = bases.get(key, Decimal(0)) + self.amount("b:LineExtensionAmount", line)
        for node in self.tree.findall(f"{CAC}AllowanceCharge"):
            category, sign = node.find(f"{CAC}TaxCategory"), self.text("b:ChargeIndicator", node) == "true"
            key = (self.text("b:ID", category), self.amount("b:Percent", category))
            bases[key] = bases.get(key, Decimal(0)) + self.amount("b:Amount", node) * (1 if sign else -1)
        for subtotal in total.findall(f"{CAC}TaxSubtotal"):
            category = subtotal.find(f"{CAC}TaxCategory")
            percent = self.amount("b:Percent", category)
            base, tax = self.amount("b:TaxableAmount", subtotal), self.amount("b:TaxAmount", subtotal)
            found += tax
            # BR-CO-17, with the tolerance of the official rule: one unit of the currency.
            if abs(tax - cents(base * percent / 100)) >= 1:
                yield f"BR-CO-17: tax {tax} of {base} at {percent}"
            wanted = bases.pop((self.text("b:ID", category), percent), None)
            if wanted != base:
                yield f"BR-S-08: base {base}, lines {wanted}"
        if found != self.amount("b:TaxAmount", total):
            yield f"BR-CO-14: tax {self.amount('b:TaxAmount', total)}, breakdown {found}"
        yield from (f"BR-S-01: no breakdown for {key}" for key in bases)

    def _check_lines(self):
        for line in self.lines:
            quantity = self.amount(f"b:{'CreditedQuantity' if self.is_credit else 'InvoicedQuantity'}", line)
            price = self.amount("a:Price/b:PriceAmount", line)
            if price < 0:
                yield f"BR-27: price {price} is negative"
            net = self.amount("b:LineExtensionAmount", line)
            wanted = quantity * price + self.get_line_allowances(line)
            # PEPPOL-EN16931-R120 allows two cents.
            if abs(net - wanted) > 2 * CENT:
                yield f"R120: net {net}, {quantity} x {price} with allowances is {wanted}"
            for node in line.findall(f"{CAC}AllowanceCharge"):
                base, share = (
                    self.amount("b:BaseAmount", node),
                    self.amount("b:MultiplierFactorNumeric", node),
                )
                if base and share and abs(self.amount("b:Amount", node) - base * share / 100) > 2 * CENT:
                    yield f"R040: {self.amount('b:Amount', node)} of {base} at {share} %"


class EInvoiceCommon(DepositCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        belgium = cls.env.ref("base.be")
        address = {"street": "Rue 1", "city": "Namur", "zip": "5000", "country_id": belgium.id}
        cls.company.partner_id.write({**address, "vat": "BE0246697724"})
        cls.company.country_id = belgium
        cls.client_company.write(
            {**address, "vat": "BE0477472701", "ref": "PO 4711", "invoice_edi_format": "ubl_bis3"}
        )
        cls.builder = cls.env["account.edi.xml.ubl_bis3"]

    def export(self, move):
        """Export a posted document and check it: Odoo's constraints and the rules on amounts.

        :rtype: Ubl
        """
        content, errors = self.builder._export_invoice(move)
        self.assertFalse(errors, move.display_name)
        document = Ubl(content)
        self.assertEqual(document.find_problems(), [], content.decode())
        return document

    def assertTotals(self, document, **expected):
        found = {name: str(cents(document.total(name))) for name in expected}
        self.assertEqual(found, expected)


@tagged("post_install", "-at_install")
class TestEInvoice(EInvoiceCommon):
    def test_stage_invoice(self):
        order = self.create_order(taxes=self.tax_20, shares=(33.33, 33.33, 33.34))
        order.milestone_line_ids.action_complete()
        for line in order.milestone_line_ids:
            document = self.export(line.invoice_ids)
            self.assertTotals(
                document,
                TaxInclusiveAmount=f"{line.amount_total:.2f}",
                PrepaidAmount="0.00",
                PayableAmount=f"{line.amount_total:.2f}",
            )
            self.assertEqual(document.text("b:InvoiceTypeCode"), "380")

    def test_retainage_is_no_prepaid_amount(self):
        order = self.create_retained_order(self.tax_20)
        line = order.milestone_line_ids[0]
        line.action_complete()
        document = self.export(line.invoice_ids)
        self.assertTotals(
            document, TaxInclusiveAmount="3000.00", PrepaidAmount="0.00", PayableAmount="3000.00"
        )
        self.assertIn("Retainage of $ 300.00 is due on", document.text("b:Note"))
        self.pay(line.invoice_ids)
        document = self.export(line.invoice_ids)
        self.assertTotals(document, PrepaidAmount="2700.00", PayableAmount="300.00")

    def test_released_retainage_is_not_invoiced_again(self):
        order = self.create_retained_order(self.tax_20)
        order.milestone_line_ids.action_complete()
        release = self.env["account.move"].browse(
            order.milestone_schedule_id.release_retainage()["invoice_id"]
        )
        self.assertFalse(release._need_ubl_cii_xml("ubl_bis3"))
        self.assertTrue(order.milestone_line_ids[0].invoice_ids._need_ubl_cii_xml("ubl_bis3"))
        stage = order.milestone_line_ids[0].invoice_ids
        self.assertTotals(self.export(stage), PrepaidAmount="0.00", PayableAmount="3000.00")
        self.pay(release)
        self.assertTotals(self.export(stage), PrepaidAmount="300.00", PayableAmount="2700.00")

    def test_retainage_given_back_with_work_is_not_billed_twice(self):
        order = self.create_retained_order(
            self.tax_20,
            shares=(90, 10),
            prices=(100000.0,),
            retainage_method="to_date",
            retainage_base="net",
        )
        first, second = order.milestone_line_ids
        first.action_complete()
        order.milestone_schedule_id.retainage_percent = 5.0
        second.action_complete()
        self.assertEqual(second.invoice_ids.amount_total, 16000.0)
        totals = [self.export(line.invoice_ids).total("TaxInclusiveAmount") for line in (first, second)]
        self.assertEqual(totals, [Decimal("108000.00"), Decimal("12000.00")])
        document = self.export(second.invoice_ids)
        self.assertTotals(document, PrepaidAmount="0.00", PayableAmount="12000.00")
        self.assertIn("$ 4,000.00 that earlier invoices held back", document.text("b:Note"))
        self.pay(second.invoice_ids)
        self.assertTotals(self.export(second.invoice_ids), PrepaidAmount="12000.00", PayableAmount="0.00")

    def test_tax_on_retainage_that_waits_for_the_release(self):
        """The retained part is deducted with its tax, and the release invoices it: a document of its own."""
        order = self.create_retained_order(self.tax_20, retainage_base="net", retainage_tax="release")
        order.milestone_line_ids.action_complete()
        stage = order.milestone_line_ids[0].invoice_ids
        document = self.export(stage)
        self.assertTotals(
            document,
            TaxExclusiveAmount="2250.00",
            TaxInclusiveAmount="2700.00",
            PrepaidAmount="0.00",
            PayableAmount="2700.00",
        )
        release = self.env["account.move"].browse(
            order.milestone_schedule_id.release_retainage()["invoice_id"]
        )
        self.assertTrue(release._need_ubl_cii_xml("ubl_bis3"))
        self.assertTotals(self.export(release), TaxExclusiveAmount="1000.00", PayableAmount="1200.00")
        self.assertTotals(self.export(stage), PrepaidAmount="0.00", PayableAmount="2700.00")

    def test_advance_and_final_invoice(self):
        order = self.create_deposit_order(taxes=self.tax_20)
        deposit = order.milestone_line_ids[0]
        deposit.action_complete()
        document = self.export(deposit.invoice_ids)
        self.assertEqual(document.text("b:InvoiceTypeCode"), "386")
        self.assertTotals(document, TaxInclusiveAmount="3000.00", PayableAmount="3000.00")
        self.pay(deposit.invoice_ids)
        order.milestone_line_ids[1:].action_complete()
        final = order.milestone_line_ids[-1].invoice_ids
        document = self.export(final)
        self.assertTotals(
            document, TaxExclusiveAmount="2500.00", TaxInclusiveAmount="3000.00", PayableAmount="3000.00"
        )
        self.assertEqual(
            document.text("a:BillingReference/a:InvoiceDocumentReference/b:ID"), deposit.invoice_ids.name
        )
        self.assertEqual(document.text("b:InvoiceTypeCode"), "380")

    def test_advance_recovered_pro_rata(self):
        order = self.create_deposit_order(taxes=self.tax_20, recovery="prorata", prices=(9999.99, 0.01))
        for line in order.milestone_line_ids:
            line.action_complete()
            self.export(line.invoice_ids)

    def test_prepaid_amounts_of_a_final_invoice_in_a_foreign_currency(self):
        """Two rates, an advance deducted, money paid before: BT-113 is that money, in the currency of the invoice."""
        euro = self.env.ref("base.EUR")
        euro.active = True
        rate = {"currency_id": euro.id, "rate": 0.8, "name": "2020-01-01", "company_id": self.company.id}
        self.env["res.currency.rate"].create(rate)
        pricelist = self.env["product.pricelist"].create({"name": "Euro", "currency_id": euro.id})
        lines = [
            self.prepare_line(333.33, self.tax_20, 3.0),
            self.prepare_line(99.99, self.create_tax("VAT 6 %", 6.0)),
        ]
        order = self.create_deposit_order(shares=(30, 30, 40), lines=lines, pricelist_id=pricelist.id)
        deposit, stage, final = order.milestone_line_ids
        for line in order.milestone_line_ids:
            line.action_complete()
        self.pay(deposit.invoice_ids)
        self.env["account.payment.register"].with_context(
            active_model="account.move", active_ids=final.invoice_ids.ids
        ).create({"amount": 100.0, "currency_id": euro.id})._create_payments()
        documents = [self.export(line.invoice_ids) for line in (deposit, stage, final)]
        self.assertEqual([document.text("b:DocumentCurrencyCode") for document in documents], ["EUR"] * 3)
        total = sum(document.total("TaxInclusiveAmount") for document in documents)
        self.assertEqual(cents(total), cents(Decimal(str(order.amount_total))))
        tax = sum(document.amount("b:TaxAmount", document.get_tax_total()) for document in documents)
        self.assertEqual(cents(tax), cents(Decimal(str(order.amount_tax))))
        due = documents[2].total("TaxInclusiveAmount") - 100
        self.assertTotals(documents[2], PrepaidAmount="100.00", PayableAmount=f"{due:.2f}")
        self.assertTotals(documents[0], PayableAmount="0.00")

    def test_credit_note(self):
        order = self.create_retained_order(self.tax_20, prices=(1000.01,), shares=(33.33, 66.67))
        line = order.milestone_line_ids[0]
        line.action_complete()
        invoice = line.invoice_ids
        refund = invoice._reverse_moves(cancel=True)
        document = self.export(refund)
        self.assertTrue(document.is_credit)
        self.assertEqual(document.total("TaxInclusiveAmount"), Decimal("399.96"))
        self.assertEqual(document.text("a:BillingReference/a:InvoiceDocumentReference/b:ID"), invoice.name)

    def test_en_16931_example_2(self):
        """Lines 1,436.50; tax 365.28; total 1,801.78; prepaid 1,000.00; due 801.78."""
        taxes = [self.create_tax(f"VAT {rate}", rate) for rate in (25.0, 15.0, 0.0)]
        order = self.create_order(
            shares=(100,),
            lines=[
                self.prepare_line(1273.0, taxes[0]),
                self.prepare_line(3.96, taxes[0], 50.0),
                self.prepare_line(1.0, taxes[1]),
                self.prepare_line(-10.5, taxes[0]),
                self.prepare_line(-25.0, taxes[2]),
            ],
        )
        order.milestone_line_ids.action_complete()
        invoice = order.milestone_line_ids.invoice_ids
        self.env["account.payment.register"].with_context(
            active_model="account.move", active_ids=invoice.ids
        ).create({"amount": 1000.0})._create_payments()
        document = self.export(invoice)
        self.assertTotals(
            document,
            LineExtensionAmount="1436.50",
            TaxExclusiveAmount="1436.50",
            TaxInclusiveAmount="1801.78",
            PrepaidAmount="1000.00",
            PayableAmount="801.78",
        )
        breakdown = {
            (document.amount("b:TaxableAmount", node), document.amount("b:TaxAmount", node))
            for node in document.get_tax_total().findall(f"{CAC}TaxSubtotal")
        }
        self.assertEqual(
            breakdown,
            {
                (Decimal("1460.50"), Decimal("365.13")),
                (Decimal("1.00"), Decimal("0.15")),
                (Decimal("-25.00"), Decimal("0.00")),
            },
        )

    def test_amounts_that_do_not_divide(self):
        """Odd prices, quantities, discounts, taxes included and negative lines, in seven stages, both roundings."""
        included = self.create_tax("21 included", 21.0, price_include_override="tax_included")
        odd = [
            (33.33, 3.0, self.tax_20, 0.0),
            (0.07, 7.0, self.tax_20, 33.33),
            (1234.567, 0.33, self.tax_20, 7.5),
            (99.99, 12.12, included, 0.0),
            (17.17, 5.0, included, 12.5),
            (-5.55, 1.0, self.tax_20, 0.0),
            (100.0, 1.0, included, 100.0),
        ]
        for method in ("round_per_line", "round_globally"):
            self.company.tax_calculation_rounding_method = method
            order = self.create_order(
                shares=(14.28, 14.29, 33.33, 3.1, 10, 9.99, 15.01),
                lines=[
                    self.prepare_line(price, tax, quantity, discount=discount)
                    for price, quantity, tax, discount in odd
                ],
            )
            for line in order.milestone_line_ids:
                line.action_complete()
                self.export(line.invoice_ids)
            self.assertBilledEqualsOrder(order)

    def test_goods_by_the_piece(self):
        goods = self.env["product.product"].create(
            {"name": "Window", "type": "consu", "invoice_policy": "order", "taxes_id": [Command.clear()]}
        )
        order = self.create_order(
            shares=(33.33, 33.33, 33.34),
            lines=[
                Command.create(
                    {
                        "product_id": goods.id,
                        "price_unit": 199.99,
                        "product_uom_qty": 7.0,
                        "discount": 3.0,
                        "tax_ids": [Command.set(self.tax_20.ids)],
                    }
                )
            ],
        )
        for line in order.milestone_line_ids:
            line.action_complete()
            self.export(line.invoice_ids)

    def test_checker_finds_a_broken_document(self):
        """The rules above can fail: a changed amount breaks each of them."""
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids[0].action_complete()
        content, _errors = self.builder._export_invoice(order.milestone_line_ids[0].invoice_ids)
        for old, new, rule in (
            (">3000.00</cbc:PayableAmount", ">2700.00</cbc:PayableAmount", "BR-CO-16"),
            (">0.00</cbc:PrepaidAmount", ">-1.00</cbc:PrepaidAmount", "BT-113"),
            (">2500.00</cbc:TaxExclusiveAmount", ">2499.99</cbc:TaxExclusiveAmount", "BR-CO-13"),
            (">500.00</cbc:TaxAmount", ">499.00</cbc:TaxAmount", "BR-CO-15"),
            (">2500.00</cbc:TaxableAmount", ">2000.00</cbc:TaxableAmount", "BR-S-08"),
            ("</cbc:PriceAmount", "9</cbc:PriceAmount", "R120"),
        ):
            text = content.decode()
            self.assertIn(old, text)
            problems = Ubl(text.replace(old, new).encode()).find_problems()
            self.assertTrue([one for one in problems if one.startswith(rule)], (rule, problems))
