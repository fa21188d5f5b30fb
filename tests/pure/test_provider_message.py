"""What is taken from a payment provider's message, and what is not."""

import unittest

from conftest import load_tools

load_tools("milestone_billing")
from milestone_billing_tools.provider_message import NO_MESSAGE, read_message


def read(code, path=None, headers=None, body=b"", data=None, has_secret=False):
    return read_message(code, path or f"/payment/{code}/webhook", headers or {}, body, data or {}, has_secret)


class TestProviderMessage(unittest.TestCase):
    def test_signed_messages_are_verified_and_stripes_with_a_secret_only(self):
        self.assertEqual(read("paypal", body=b'{"id": "WH-1"}'), (True, "WH-1"))
        self.assertEqual(read("stripe", body=b'{"id": "evt_1"}', has_secret=True), (True, "evt_1"))
        self.assertEqual(read("stripe", body=b'{"id": "evt_1"}'), (False, "evt_1"))

    def test_a_hint_is_not_verified(self):
        self.assertEqual(read("mollie"), (False, ""))
        self.assertEqual(read("unknown_one"), (False, ""))

    def test_identifiers_in_headers_and_data(self):
        self.assertEqual(read("razorpay", headers={"X-Razorpay-Event-Id": "e1"}).provider_event_id, "e1")
        adyen = {"eventCode": "AUTHORISATION", "pspReference": "P1"}
        self.assertEqual(
            read("adyen", path="/payment/adyen/notification", data=adyen), (True, "AUTHORISATION:P1")
        )
        self.assertEqual(read("adyen", data={"eventCode": "X"}).provider_event_id, "")

    def test_no_message_when_the_request_is_another_one(self):
        for path in (
            "/payment/stripe/return",
            "/payment/paypal/webhook",
            "/x/payment/stripe/webhook",
            "/",
            "",
        ):
            with self.subTest(path=path):
                self.assertEqual(read("stripe", path=path or "/", has_secret=True), NO_MESSAGE)

    def test_nonsense_gives_no_identifier(self):
        for body in (b"", b"[]", b"null", b"\xff", b'{"id": null}', b'{"id": "a b"}', b'{"id": "\\u0000"}'):
            with self.subTest(body=body):
                self.assertEqual(read("stripe", body=body).provider_event_id, "")
        self.assertEqual(len(read("paypal", body=b'{"id": "%s"}' % (b"x" * 500)).provider_event_id), 128)


if __name__ == "__main__":
    unittest.main()
