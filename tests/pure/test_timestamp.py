"""Time stamps: real answers of ``openssl``, good ones and every way in which they may not be what was asked for."""

import functools
import hashlib
import importlib.util
import unittest
from unittest.mock import patch

from asn1crypto import tsp
from conftest import ROOT, load_tools

load_tools("milestone_billing")
from milestone_billing_tools import timestamp, verify

DIGEST = hashlib.sha256(b"three lines").hexdigest()
NONCE = 0x1234567890ABCDEF


@functools.cache
def get_authority():
    """Return the authority of the addon's own tests, made once for all tests here."""
    path = ROOT / "milestone_billing" / "tests" / "local_authority.py"
    spec = importlib.util.spec_from_file_location("local_authority", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LocalAuthority()


@functools.cache
def get_answer(digest=DIGEST, nonce=NONCE):
    """Return a good answer."""
    return get_authority().reply(timestamp.build_request(digest, nonce))


def flip(data, place, bit=1):
    """Return bytes with one bit changed."""
    return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


class TestAnswer(unittest.TestCase):
    def assert_refused(self, code, data, digest=DIGEST, nonce=NONCE):
        with self.assertRaises(timestamp.TimeStampError) as caught:
            timestamp.read_response(data, digest, nonce)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception

    def test_good_answer_is_read(self):
        stamp = timestamp.read_response(get_answer(), DIGEST, NONCE)
        self.assertEqual(
            (stamp.authority, stamp.nonce, len(stamp.certificates)), ("Throw-away Authority", NONCE, 2)
        )
        self.assertRegex(stamp.reference, r"^Throw-away Authority, number [0-9a-f]+, 20\d\d-.*Z$")
        self.assertEqual(timestamp.read_stamp(get_answer()), stamp)

    def test_same_question_gives_the_same_bytes_and_asks_for_the_certificate(self):
        query = timestamp.build_request(DIGEST, NONCE)
        self.assertEqual(query, timestamp.build_request(DIGEST, NONCE))
        parsed = tsp.TimeStampReq.load(query, strict=True)
        self.assertTrue(parsed["cert_req"].native)
        self.assertEqual(parsed["message_imprint"]["hashed_message"].native.hex(), DIGEST)
        self.assertEqual(verify.read_time_query(query)[0], DIGEST)

    def test_answer_to_something_else_is_refused(self):
        self.assert_refused("digest", get_answer(), digest=hashlib.sha256(b"x").hexdigest())
        self.assert_refused("nonce", get_answer(), nonce=NONCE + 1)

    def test_refusal_of_the_authority_is_told_in_its_words(self):
        imprint = {"hash_algorithm": {"algorithm": "sha1"}, "hashed_message": bytes(20)}
        request = tsp.TimeStampReq(
            {"version": "v1", "message_imprint": imprint, "nonce": 1, "cert_req": True}
        )
        answer = get_authority().reply(request.dump())
        self.assertIn("digest algorithm is not supported", self.assert_refused("refused", answer).detail)

    def test_nonsense_is_unreadable(self):
        good = get_answer()
        for data in (b"", b"<html>", good[:-5], good + b"x", b"\x30\x80", bytes(5000), good[10:]):
            with self.subTest(data=data[:12]):
                self.assert_refused("unreadable", data)

    def test_no_changed_byte_of_what_is_signed_is_taken(self):
        good = get_answer()
        stamp, names = verify.read_time_stamp(good), set()
        info = good.index(bytes.fromhex(DIGEST))
        end = good.index(stamp.certificates[0])
        for place in (*range(info - 40, min(end, info + 90)), *range(len(good) - 500, len(good))):
            with self.subTest(place=place), self.assertRaises(timestamp.TimeStampError) as caught:
                timestamp.read_response(flip(good, place), DIGEST, NONCE)
            names.add(caught.exception.code)
        self.assertLessEqual({"digest", "nonce", "signature", "certificate"}, names)

    def test_certificate_for_another_purpose_is_refused(self):
        with patch.object(timestamp.x509.Certificate, "extended_key_usage_value", None):
            self.assert_refused("certificate", get_answer())

    def test_algorithms_that_are_not_accepted(self):
        with patch.dict(timestamp._HASHES, clear=True):
            self.assert_refused("algorithm", get_answer())


class TestVerifier(unittest.TestCase):
    """The same stamps, read by the verifier that knows the standard library only."""

    def check(self, data, authority=""):
        return verify.verify_time_stamp(data, verify.read_time_stamp(data), authority)

    def test_both_readers_agree(self):
        stamp, other = verify.read_time_stamp(get_answer()), timestamp.read_stamp(get_answer())
        self.assertEqual((stamp.digest, stamp.certificates), (DIGEST, other.certificates))
        self.assertEqual(int.from_bytes(stamp.nonce), NONCE)
        self.assertEqual(stamp.time, f"{other.time:%Y%m%d%H%M%SZ}")

    def test_signature_with_and_without_the_root(self):
        verdict, message = self.check(get_answer())
        self.assertEqual(verdict, verify.OK, message)
        self.assertIn("enclosed certificate", message)
        verdict, message = self.check(get_answer(), get_authority().root)
        self.assertEqual((verdict, "given authority" in message), (verify.OK, True), message)

    def test_stamp_of_another_authority_fails_when_the_root_is_given(self):
        other = type(get_authority())()
        self.addCleanup(other.close)
        self.assertEqual(self.check(get_answer(), other.root)[0], verify.FAIL)

    def test_wrong_signature_fails(self):
        changed = flip(get_answer(), len(get_answer()) - 20)
        self.assertEqual(self.check(changed)[0], verify.FAIL)
        self.assertEqual(self.check(changed, get_authority().root)[0], verify.FAIL)

    def test_without_openssl_it_is_told(self):
        with patch.object(verify.shutil, "which", return_value=None):
            verdict, message = self.check(get_answer(), get_authority().root)
        self.assertEqual((verdict, "openssl" in message), (verify.NOT_PROVIDED, True))

    def test_openssl_that_does_not_work_is_told_and_does_not_fail_the_stamp(self):
        for program in ("/bin/false", "/nowhere/openssl"):
            with patch.object(verify.shutil, "which", return_value=program):
                self.assertEqual(self.check(get_answer())[0], verify.NOT_PROVIDED)

    def test_nonsense_is_an_error_and_no_crash(self):
        good = get_answer()
        for data in (
            b"",
            b"x",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x80",
            b"\x1f\x01\x00",
            good[:-1],
            good + b"\x00",
        ):
            with self.subTest(data=data[:8]), self.assertRaises(verify.EvidenceError):
                verify.read_time_stamp(data)
        for place in range(len(good)):
            for bit in (1, 0x80):
                try:
                    verify.read_time_stamp(flip(good, place, bit))
                except verify.EvidenceError:
                    continue
        for data in (b"", b"x", b"\x30\x00", good):
            with self.subTest(query=data[:8]), self.assertRaises(verify.EvidenceError):
                verify.read_time_query(data)

    def test_refusal_is_no_stamp(self):
        refusal = bytes.fromhex("30053003020102")
        with self.assertRaises(verify.EvidenceError):
            verify.read_time_stamp(refusal)


if __name__ == "__main__":
    unittest.main()
