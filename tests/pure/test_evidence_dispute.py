"""The story told from events, the dispute fields, and what a passkey signs."""

import base64
import hashlib
import json
import unittest
from datetime import date, timedelta
from unittest import mock

import conftest  # noqa: F401
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from evidence_sample import REQUEST, make_chain, make_events, make_snapshot
from milestone_billing_tools import dispute, evidence_summary, verify

SNAPSHOT = make_snapshot(
    client={"name": "Client Ltd"}, milestone={"title": "Homepage", "completed_at": "2026-03-15T"}
)
SHA256 = verify.snapshot_hash(verify.canonical(SNAPSHOT))
TODAY = date(2026, 7, 1)
WHO = {"customer_purchase_ip": "203.0.113.7", "customer_device_id": "d1", "customer_account_id": "zoe"}


def make_story(snapshots=None, events=None):
    """Return the events of the sample as they are told, with their personal values."""
    events = [
        evidence_summary.Event(entry.body, entry.hash, {item.name: item.value for item in entry.values})
        for entry in make_chain(events or make_events(SHA256))
    ]
    return evidence_summary.summarize(events, {SHA256: SNAPSHOT} if snapshots is None else snapshots)


def purchase(days=200, **who):
    """Return a purchase some days before today."""
    return dispute.Purchase("S1-M01", "Homepage", TODAY - timedelta(days=days), "ch_1", who)


class TestSummary(unittest.TestCase):
    def test_sections_come_from_the_events(self):
        story = make_story()
        self.assertEqual(story["problems"], [])
        self.assertEqual((story["result"]["state"], story["result"]["level"]), ("approved", "L2"))
        self.assertEqual([event.type for event in story["decisions"]], ["approval.granted"])
        self.assertEqual([event.type for event in story["sending"]], ["request.sent"])
        self.assertEqual([event.type for event in story["contact"]], ["link.opened"])
        self.assertEqual([event.type for event in story["payment"]], ["invoice.posted", "payment.confirmed"])
        self.assertEqual(story["decisions"][0].time, "2026-03-16 09:30:12 UTC")

    def test_erased_snapshot_leaves_the_story_without_content(self):
        story = make_story(snapshots={})
        self.assertEqual((story["snapshot"], story["snapshot_erased"]), ({}, True))
        self.assertEqual(story["result"]["state"], "approved")

    def test_files_tell_when_they_were_taken_as_they_claim(self):
        taken = "2026-03-15 10:00:00"
        file = SNAPSHOT["files"][0]
        cases = (
            ({"captured_at_claimed": taken}, taken),
            ({}, None),
            ({"captured_at_claimed": taken, "sha256": "0" * 64}, None),
            ({"captured_at_claimed": taken, "file_uuid": "f2"}, None),
        )
        for changes, expected in cases:
            data = {"file_uuid": file["file_uuid"], "sha256": file["sha256"], **changes}
            added = ("2026-03-15T09:00:00.000000Z", {"type": "proof.added", "data": data})
            with self.subTest(changes=changes):
                (told,) = make_story(events=[added, *make_events(SHA256)])["files"]
                self.assertEqual(told["captured_at_claimed"], expected)

    def sign(self, text, name="wallet_json", digest=None):
        """Return what is told of the key of an approval with this text."""
        granted = next(event for event in make_story()["events"] if event.type == "approval.granted")
        auth = {"assertion_sha256": digest or hashlib.sha256(text.encode()).hexdigest()}
        event = granted._replace(body={**granted.body, "auth": auth}, pii={**granted.pii, name: text})
        return evidence_summary.signing_key(event)

    def test_key_that_signed_is_named(self):
        address = "0x" + "aB" * 20
        self.assertEqual(self.sign(json.dumps({"address": address})), ("wallet", address))
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        pem = key.public_bytes(serialization.Encoding.PEM, form).decode()
        digest = hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).hexdigest()
        text = json.dumps({"public_key": pem})
        self.assertEqual(self.sign(text, "webauthn_json"), ("passkey", digest))
        self.assertIsNone(self.sign(text, "webauthn_json", "0" * 64), "not the one recorded")
        for event in make_story()["events"]:
            self.assertIsNone(evidence_summary.signing_key(event))

    def test_forged_key_is_not_named(self):
        for text in ("nonsense", "[]", "{}", '{"public_key":1}', '{"public_key":"x"}', "null"):
            with self.subTest(text=text):
                self.assertIsNone(self.sign(text))
                self.assertIsNone(self.sign(text, "webauthn_json"))

    def test_addresses_are_masked(self):
        for address, masked in (
            ("zoe@client.example", "z***@client.example"),
            ("", ""),
            (None, ""),
            ("zoe", "***"),
        ):
            self.assertEqual(evidence_summary.mask_email(address), masked)

    def test_network_values_are_printed_for_a_single_person_only(self):
        events = make_story()["events"]
        granted = next(event for event in events if event.type == "approval.granted")
        other = granted._replace(body={**granted.body, "actor_ref": REQUEST})
        staff = granted._replace(body={**granted.body, "actor_kind": "internal_user"})
        shown = evidence_summary.network_value
        self.assertEqual(shown(events, granted, "ip", True), "203.0.113.7")
        self.assertEqual(shown([*events, other], granted, "ip", True), "***")
        self.assertEqual(shown([*events, other], granted, "ip", False), "203.0.113.7")
        self.assertEqual(shown(events, staff, "ip", True), "***")
        self.assertEqual(shown(events, granted, "device_id", True), "")


class TestDispute(unittest.TestCase):
    def test_stripe_fields(self):
        story = make_story()
        fields = dispute.stripe_evidence(story["events"], SNAPSHOT, "certificate.pdf", "timeline.pdf")[
            "evidence"
        ]
        self.assertEqual(fields["customer_name"], "Zo\u00eb Client")
        self.assertEqual(fields["customer_email_address"], "zoe@client.example")
        self.assertEqual(fields["customer_purchase_ip"], "203.0.113.7")
        self.assertEqual(fields["service_date"], "2026-03-15")
        self.assertIn("4500.00 USD", fields["uncategorized_text"])
        self.assertEqual(len(fields["access_activity_log"].splitlines()), 3)
        self.assertTrue(all(fields.values()))

    def test_long_texts_are_cut_to_what_the_form_takes(self):
        long = {**SNAPSHOT, "milestone": {"title": "x" * 30000}}
        fields = dispute.stripe_evidence(make_story()["events"], long, "c", "t")["evidence"]
        self.assertEqual(max(map(len, fields.values())), dispute.STRIPE_TEXT_MAX)

    def test_files_stay_within_what_the_schemes_take(self):
        for timeline in range(1, 5):
            pages = dispute.certificate_pages_max(timeline)
            with self.subTest(timeline=timeline):
                self.assertTrue(dispute.check_limits((pages, 1000), (timeline, 1000))["is_within"])
                self.assertFalse(dispute.check_limits((pages + 1, 1000), (timeline, 1000))["is_within"])
        self.assertFalse(dispute.check_limits((1, dispute.SIZE_MAX), (1, 1))["is_within"])
        self.assertEqual(dispute.check_limits((2, 10), (3, 7))["bytes"], 27)

    def test_two_elements_are_needed_one_of_them_device_or_address(self):
        cases = (
            (WHO, True),
            ({"customer_purchase_ip": "203.0.113.7", "customer_account_id": "zoe"}, True),
            ({"customer_device_id": "d1", "customer_account_id": "zoe"}, True),
            ({"customer_account_id": "zoe", "customer_email_address": "z@c.example"}, False),
            ({"customer_purchase_ip": "203.0.113.7"}, False),
            ({"customer_device_id": "d1", "customer_device_fingerprint": "f1"}, False),
            ({**WHO, "customer_purchase_ip": "198.51.100.1", "customer_device_id": "d2"}, False),
            ({}, False),
        )
        mine = {**WHO, "customer_email_address": "z@c.example", "customer_device_fingerprint": "f1"}
        for other, expected in cases:
            with self.subTest(other=other):
                self.assertEqual(dispute.qualifies(mine, other), expected)

    def test_only_the_window_counts(self):
        for days, expected in ((119, 0), (120, 1), (365, 1), (366, 0), (-5, 0)):
            found = dispute.find_prior(purchase(0, **WHO), [purchase(days, **WHO)], TODAY)
            self.assertEqual(len(found), expected, days)

    def test_two_prior_purchases_qualify_and_the_best_come_first(self):
        weak = {"customer_purchase_ip": "203.0.113.7", "customer_account_id": "zoe"}
        prior = [purchase(150, **weak), purchase(300, **WHO), purchase(200, **WHO)]
        result = dispute.visa_ce3(purchase(0, **WHO), prior, TODAY)
        self.assertTrue(result["qualifies"])
        dates = [item["paid_on"] for item in result["prior_undisputed_transactions"]]
        self.assertEqual(dates, [(TODAY - timedelta(days=days)).isoformat() for days in (200, 300)])
        self.assertFalse(dispute.visa_ce3(purchase(0, **WHO), prior[:1], TODAY)["qualifies"])


class TestPasskey(unittest.TestCase):
    """A software authenticator signs as the browser's would."""

    SUBJECT = {"request_id": REQUEST, "snapshot_sha256": SHA256}

    def sign(self, key, signed):
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(signed)
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return key.sign(signed, ec.ECDSA(hashes.SHA256()))

    def make(self, key=None, flags=0x05, kind="webauthn.get", nonce="00" * 16, **changes):
        """Return the assertion as text and the matching `auth`."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        encode = lambda data: base64.urlsafe_b64encode(data).decode().rstrip("=")  # noqa: E731
        challenge = bytes.fromhex(verify.webauthn_challenge(REQUEST, SHA256, nonce))
        client = json.dumps({"type": kind, "challenge": encode(challenge), "origin": "https://x"}).encode()
        data = hashlib.sha256(b"x").digest() + bytes([flags]) + bytes(4)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        item = {
            "server_nonce": nonce,
            "client_data_json": encode(client),
            "authenticator_data": encode(data),
            "signature": encode(self.sign(key, data + hashlib.sha256(client).digest())),
            "public_key": public.decode(),
            **changes,
        }
        text = verify.canonical(item).decode()
        return text, {"assertion_sha256": hashlib.sha256(text.encode()).hexdigest()}

    def test_signatures_of_all_kinds_of_keys_hold(self):
        keys = (
            ec.generate_private_key(ec.SECP256R1()),
            ed25519.Ed25519PrivateKey.generate(),
            rsa.generate_private_key(65537, 2048),
        )
        for key in keys:
            self.assertEqual(verify.verify_passkey(*self.make(key), self.SUBJECT)[0], verify.OK)

    def test_anything_else_fails_and_is_named(self):
        other = {**self.SUBJECT, "snapshot_sha256": "0" * 64}
        cases = (
            ((*self.make(), other), "something else"),
            ((*self.make(flags=0x01), self.SUBJECT), "did not verify its user"),
            ((*self.make(kind="webauthn.create"), self.SUBJECT), "something else"),
            ((*self.make(signature="AAAA"), self.SUBJECT), "signature is wrong"),
            ((*self.make(server_nonce="11" * 16), self.SUBJECT), "something else"),
            ((*self.make(public_key="nonsense"), self.SUBJECT), "cannot be read"),
            ((self.make()[0], {"assertion_sha256": "0" * 64}, self.SUBJECT), "not the one recorded"),
            (("[]", {"assertion_sha256": hashlib.sha256(b"[]").hexdigest()}, self.SUBJECT), "cannot be read"),
        )
        for arguments, text in cases:
            with self.subTest(text=text):
                verdict, message = verify.verify_passkey(*arguments)
                self.assertEqual(verdict, verify.FAIL)
                self.assertIn(text, message)

    def test_without_cryptography_the_challenge_is_checked_all_the_same(self):
        with mock.patch.dict("sys.modules", {"cryptography.exceptions": None}):
            verdict, message = verify.verify_passkey(*self.make(), self.SUBJECT)
        self.assertEqual(verdict, verify.NOT_PROVIDED)
        self.assertIn("the challenge is this snapshot", message)


if __name__ == "__main__":
    unittest.main()
