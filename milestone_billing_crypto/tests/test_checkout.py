import re

from odoo.tests import tagged

from ..tools import eip681
from .common import MILLION
from .common_checkout import CheckoutCommon


@tagged("post_install", "-at_install")
class TestCheckout(CheckoutCommon):
    """The payer's page, as a browser without JavaScript sees it."""

    def test_the_invoice_offers_stablecoins(self):
        self.assertIn("Pay in stablecoins", self.open(self.invoice.get_portal_url()).text)
        self.begin()
        self.assertIn("Go on with the stablecoin payment", self.open(self.invoice.get_portal_url()).text)

    def test_whole_way_without_javascript(self):
        payment = self.begin()
        self.assertEqual(payment.state, "new")
        self.assertFalse(payment.address_id, "looking takes no address")
        page = self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)})
        self.assertEqual(payment.state, "waiting")
        self.assertIn(payment.address_id.checksum, page.text)
        self.assertIn(payment.address_id.fingerprint, page.text)
        self.assertIn("1500.00", page.text)
        self.assertEqual((page.text.count("<svg"), page.text.count("color-scheme:only light")), (2, 2))
        uri = re.search(r'href="(ethereum:[^"]+)"', page.text).group(1).replace("&amp;", "&")
        request = eip681.parse(uri)
        self.assertEqual((request.to, request.base_units), (payment.address_id.address, 1500 * MILLION))
        self.assertIn('http-equiv="refresh"', page.text)
        self.pay(payment, 600 * MILLION)
        self.watch()
        page = self.open(payment._checkout_url()).text
        self.assertIn("1 of 3 confirmations", page)
        self.assertIn("Part of your payment has been seen", page)
        self.assertIn("900.00 is still to be sent", page.replace("\xa0", " "))
        self.watch(3)
        page = self.open(payment._checkout_url())
        self.assertIn("900.00", page.text)
        self.assertIn("still to pay", page.text)
        self.pay_and_settle(payment, 900 * MILLION)
        self.assert_paid(payment)
        page = self.open(payment._checkout_url())
        self.assertIn("Paid. Thank you!", page.text)
        self.assertNotIn("<svg", page.text)

    def test_status_changes_with_the_page_and_only_then(self):
        payment = self.begin()
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)})
        status = payment._checkout_url() + "/status"
        first = self.url_open(status).json()
        self.assertEqual(set(first), {"version"})
        self.watch(1)
        self.assertEqual(self.url_open(status).json(), first)
        self.proxy.requests.clear()
        self.pay(payment)
        self.assertEqual(self.url_open(status).json(), first)
        self.assertFalse(self.proxy.requests, "the visitor's request talks to no node")
        self.watch()
        self.assertNotEqual(self.url_open(status).json(), first)

    def test_headers_keep_the_page_private(self):
        payment = self.begin()
        response = self.url_open(payment._checkout_url())
        self.assertEqual(response.headers["Referrer-Policy"], "no-referrer")
        self.assertEqual(response.headers["Cache-Control"], "no-store")
        self.assertEqual(response.headers["X-Frame-Options"], "DENY", "no other site shows it in a frame")
        self.assertEqual(response.headers["X-Robots-Tag"], "noindex, nofollow")
        self.assertNotIn("SecretProviderKey", response.text)

    def test_answers_of_the_framework_keep_the_address_private_too(self):
        good = self.begin()._checkout_url()
        answers = {
            404: self.url_open(good + "x"),
            405: self.url_open(good + "/choose"),
            400: self.url_open(good + "/choose", data={"token_id": "1"}),
        }
        for status, response in answers.items():
            self.assertEqual(response.status_code, status)
            self.assertEqual(response.headers["Referrer-Policy"], "no-referrer", status)
            self.assertEqual(response.headers["Cache-Control"], "no-store", status)
            self.assertEqual(response.headers["X-Frame-Options"], "DENY", status)

    def test_wrong_token_and_wrong_method_get_nothing(self):
        payment = self.begin()
        good = payment._checkout_url()
        for path in (good[:-1], good + "x", "/payment/stablecoin/x", "/payment/stablecoin/" + "A" * 32):
            self.assertEqual(self.url_open(path).status_code, 404, path)
            self.assertEqual(self.url_open(path + "/status").status_code, 404, path)
        self.assertIn(self.url_open(good + "/choose").status_code, (404, 405))
        response = self.url_open(good + "/choose", data={"token_id": str(self.usdc.id)})
        self.assertEqual(response.status_code, 400, "no CSRF token")
        self.assertEqual(payment.state, "new")

    def test_token_that_is_not_offered_is_refused_with_a_sentence(self):
        payment = self.begin()
        for token_id in (str(self.usdt.id), "0", "x", ""):
            page = self.open(payment._checkout_url() + "/choose", {"token_id": token_id})
            self.assertIn("This token is not offered", page.text)
        self.assertEqual(payment.state, "new")

    def test_invoice_of_somebody_else_is_not_opened(self):
        self.open("/my")
        self.csrf_token = re.search(r'csrf_token: "([^"]+)"', self.url_open("/web/login").text).group(1)
        self.open(f"/my/invoices/{self.invoice.id}/stablecoin", {"access_token": "x"})
        self.assertFalse(self.invoice.transaction_ids)

    def test_payer_goes_back_to_pay_in_another_way(self):
        payment = self.begin()
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)})
        self.open(payment._checkout_url() + "/withdraw", {})
        self.assertEqual(payment.transaction_id.state, "cancel")
        self.assertTrue(self.invoice._has_to_be_paid())

    def test_expired_price_is_renewed(self):
        payment = self.begin()
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)})
        address = payment.address_id
        payment.quote_id.expires_on = "2020-01-01"
        page = self.open(payment._checkout_url())
        self.assertIn("The locked price has expired", page.text)
        self.assertIn("This was to be sent:", page.text)
        self.assertNotIn("Send exactly", page.text)
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)})
        self.assertEqual((len(payment.quote_ids), payment.address_id), (2, address))

    def test_payer_of_a_held_payment_is_not_asked_to_pay_again(self):
        payment = self.begin()
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)})
        self.pay_and_settle(payment, 1500 * 10**18, contract=self.dai_contract)
        page = self.open(payment._checkout_url()).text
        self.assertIn("is being looked at", page)
        self.assertNotIn(payment.address_id.checksum, page)
        self.assertNotIn("<svg", page)

    def test_network_that_cannot_be_read_is_told_and_nobody_asked_to_send_again(self):
        payment = self.begin()
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)})
        status = payment._checkout_url() + "/status"
        self.assertNotIn("cannot read", self.open(payment._checkout_url()).text)
        before = self.url_open(status).json()
        self.proxy.status = 500
        self.watch()
        self.assertNotEqual(self.url_open(status).json(), before, "an open page looks again")
        self.assertIn("cannot read Local just now", self.open(payment._checkout_url()).text)
        self.proxy.reset()
        self.node.sudo().retry_after = False
        self.watch()
        self.assertNotIn("cannot read", self.open(payment._checkout_url()).text)
        self.chain.last_polled_on = "2020-01-01"
        self.assertIn("cannot read", self.open(payment._checkout_url()).text, "the job does not run")

    def test_token_that_a_person_accepted_leaves_the_rest_to_ask(self):
        payment = self.begin()
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)})
        self.pay_and_settle(payment, 600 * 10**18, contract=self.dai_contract)
        payment.transfer_ids.action_accept()
        self.watch()
        self.assertEqual((payment.state, payment.amount_open), ("partial", 900))
        page = self.open(payment._checkout_url()).text
        self.assertNotIn(payment.address_id.checksum, page, "the old price asks too much")
        self.assertIn("900.00", page)
        page = self.open(payment._checkout_url() + "/choose", {"token_id": str(self.dai.id)}).text
        self.assertIn(payment.address_id.checksum, page)
        self.assertEqual(payment.quote_id.base_units, str(900 * 10**18))

    def test_new_price_while_a_part_is_on_its_way_asks_for_the_rest_only(self):
        payment = self.begin()
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)})
        self.pay(payment, 600 * MILLION)
        self.watch()
        self.assertIn("900.00 DAI", self.open(payment._checkout_url() + "?change=1").text)
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.dai.id)})
        self.assertEqual(payment.quote_id.base_units, str(900 * 10**18))
        self.pay(payment, 900 * 10**18, contract=self.dai_contract)
        self.watch()
        page = self.open(payment._checkout_url() + "/choose", {"token_id": str(self.dai.id)}).text
        self.assertIn("already been seen", page, "all of it is on its way")
        self.watch(3)
        self.assert_paid(payment)
        self.assertEqual(payment.amount_received, 1500)

    def test_part_that_the_network_dropped_is_asked_again(self):
        payment = self.begin()
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)})
        self.watch(1)
        self.pay(payment, 600 * MILLION)
        self.watch()
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.dai.id)})
        self.evm.reorg(2)
        self.watch(1)
        page = self.open(payment._checkout_url()).text
        self.assertIn(
            "The network has dropped your payment", page, "it may come back: nobody sends twice unasked"
        )
        self.assertNotIn("<svg", page, "900 no longer is what is missing")
        self.assertIn("1500.00 DAI", page)

    def test_invoice_that_was_paid_in_another_way_asks_for_less_or_nothing(self):
        payment = self.begin()
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)})
        for amount, expected in ((500, "1000.00 USDC"), (1000, "This invoice is settled")):
            self.env["account.payment.register"].with_context(
                active_model="account.move", active_ids=self.invoice.ids
            ).create({"amount": amount})._create_payments()
            page = self.open(payment._checkout_url()).text
            self.assertIn(expected, page)
            self.assertNotIn("<svg", page)
        page = self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)}).text
        self.assertNotIn("<svg", page)
        self.assertEqual(len(payment.quote_ids), 1)

    def test_fingerprint_is_on_the_printed_invoice(self):
        payment = self.begin()
        self.open(payment._checkout_url() + "/choose", {"token_id": str(self.usdc.id)})
        html = (
            self.env["ir.actions.report"]
            ._render_qweb_html("account.report_invoice", self.invoice.ids)[0]
            .decode()
        )
        self.assertIn(payment.address_id.fingerprint, html)
        self.assertIn(payment.address_id.checksum, html)

    def test_payment_form_of_core_leads_to_the_page(self):
        transaction = self.create_transaction(self.create_invoice(10)).sudo()
        values = transaction._get_processing_values()
        payment = (
            self.env["milestone.billing.crypto.payment"]
            .sudo()
            .search([("transaction_id", "=", transaction.id)])
        )
        self.assertIn(f'action="{payment._checkout_url()}"', values["redirect_form_html"])
