"""Addresses: EIP-55 vectors, equal to eth-account's library, refusals."""

import unittest

from conftest import load_tools
from eth_keys import keys
from eth_utils import keccak, to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import address
from milestone_billing_crypto_tools import keccak as hashing

#: The vectors of EIP-55.
EIP55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]
plain = st.binary(min_size=20, max_size=20).filter(any).map(lambda raw: "0x" + raw.hex())


class TestAddress(unittest.TestCase):
    def test_vectors_of_the_standard(self):
        for vector in EIP55:
            self.assertEqual(address.to_checksum(vector.lower()), vector)
            self.assertEqual(address.normalize(vector), vector.lower())

    @given(plain)
    def test_checksum_is_the_oracles(self, value):
        self.assertEqual(address.to_checksum(value), to_checksum_address(value))

    @given(st.binary(max_size=300))
    def test_keccak_is_the_oracles(self, data):
        self.assertEqual(hashing.keccak256(data), keccak(data))

    @given(plain)
    def test_topic_and_back(self, value):
        self.assertEqual(address.from_topic(address.to_topic(value)), value)

    @given(plain, st.integers(0, 39))
    def test_one_wrong_letter_case_is_noticed(self, value, position):
        good = address.to_checksum(value)
        char = good[2 + position]
        if not char.isalpha():
            return
        bad = good[: 2 + position] + char.swapcase() + good[3 + position :]
        if bad[2:] in (bad[2:].lower(), bad[2:].upper()):
            return
        with self.assertRaises(address.AddressError):
            address.normalize(bad)

    @given(st.integers(1, 2**200))
    def test_address_of_a_public_key_is_the_oracles(self, secret):
        public = keys.PrivateKey(secret.to_bytes(32, "big")).public_key
        self.assertEqual(address.from_public_key(b"\x04" + public.to_bytes()), public.to_address())

    def test_refusals_name_their_reason(self):
        for text, code in [
            ("0x" + "0" * 40, "zero"),
            ("0x1234", "format"),
            ("", "format"),
            (EIP55[4].replace("5aA", "5Aa"), "checksum"),
            ("1" * 42, "format"),
            ("vitalik.eth", "format"),
        ]:
            with self.subTest(text), self.assertRaises(address.AddressError) as caught:
                address.normalize(text)
            self.assertEqual(caught.exception.code, code)

    def test_topic_with_dirt_in_its_padding_is_refused(self):
        with self.assertRaises(address.AddressError):
            address.from_topic("0x" + "1" * 64)

    def test_fingerprints_of_look_alikes_differ(self):
        first = "0x1111" + "0" * 32 + "2222"
        second = "0x1111" + "0" * 31 + "12222"
        self.assertNotEqual(address.fingerprint(first), address.fingerprint(second))
        self.assertRegex(address.fingerprint(first), r"^[0-9A-F]{4}-[0-9A-F]{4}$")


if __name__ == "__main__":
    unittest.main()
