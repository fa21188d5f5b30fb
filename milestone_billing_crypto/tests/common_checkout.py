"""The payer's page over HTTP."""

import re
from urllib.parse import urlsplit

from odoo.tests import HttpCase

from .common import CryptoCommon


class CheckoutCommon(CryptoCommon, HttpCase):
    """A payer without an account, whose browser keeps cookies and sends forms."""

    def setUp(self):
        super().setUp()
        self.invoice = self.create_invoice(1500)
        self.authenticate(None, None)
        self.csrf_token = None

    def open(self, path, data=None):
        """Fetch a page; with data a form is posted with its session's CSRF token."""
        if data is not None:
            data = {"csrf_token": self.csrf_token, **data}
        response = self.url_open(path, data=data)
        found = re.search(r'name="csrf_token" value="([^"]+)"', response.text)
        self.csrf_token = found.group(1) if found else self.csrf_token
        return response

    def enter(self):
        """Go from the invoice to the payer's page; returns the payment and the page."""
        self.open(self.invoice.get_portal_url())
        page = self.open(
            f"/my/invoices/{self.invoice.id}/stablecoin",
            {"access_token": self.invoice._portal_ensure_token()},
        )
        payment = (
            self.env["milestone.billing.crypto.payment"]
            .sudo()
            .search([("transaction_id.invoice_ids", "in", self.invoice.ids)])
        )
        self.assertTrue(urlsplit(page.url).path.endswith(payment._checkout_url()))
        return payment, page

    def begin(self):
        """Go from the invoice to the payer's page; returns the payment."""
        payment, page = self.enter()
        self.assertIn("1,500.00", page.text)
        return payment

    def choose(self, payment, token=None):
        """Choose a token on the page; returns the page that asks for it."""
        data = {"token_id": str((token or self.usdc).id)}
        return self.open(payment._checkout_url() + "/choose", data)
