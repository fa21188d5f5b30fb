"""Typed data of a wallet approval: equal to eth-account, and only the signer's one signature counts."""

import hashlib
import unittest

from conftest import load_tools
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.constants import SECPK1_N
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

load_tools("milestone_billing")
load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import eip712
from milestone_billing_tools import verify

words = st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())
texts = st.text(max_size=80).filter(lambda text: text.isprintable())
keys = st.integers(1, SECPK1_N - 1).map(lambda number: number.to_bytes(32, "big"))
messages = st.fixed_dictionaries(
    {
        "request_id": texts,
        "snapshot_sha256": words,
        "amount": texts,
        "currency": texts,
        "decision": st.sampled_from(["approve", "approve_with_reservations"]),
        "nonce": words,
    }
)


def sign(key, typed):
    """Sign as a wallet does: r, s and v."""
    return Account.sign_message(encode_typed_data(full_message=typed), key).signature


class TestTypedData(unittest.TestCase):
    @given(messages, st.integers(1, 2**64))
    def test_digest_is_the_oracles(self, message, chain_id):
        typed = eip712.build(message, chain_id)
        signable = encode_typed_data(full_message=typed)
        expected = keccak(b"\x19" + signable.version + signable.header + signable.body)
        self.assertEqual(eip712.digest(typed), expected)

    @given(messages, keys)
    def test_signer_is_recovered_from_what_a_wallet_signs(self, message, key):
        typed = eip712.build(message)
        raw = sign(key, typed)
        owner = Account.from_key(key).address.lower()
        for v in (raw[64], raw[64] - 27):
            self.assertEqual(
                eip712.recover(eip712.digest(typed), "0x" + (raw[:64] + bytes([v])).hex()), owner
            )

    @given(messages, keys, st.sampled_from(["request_id", "amount", "currency", "snapshot_sha256", "nonce"]))
    def test_signature_over_anything_else_is_somebody_elses(self, message, key, name):
        raw = sign(key, eip712.build(message))
        changed = {**message, name: "0x" + "5a" * 32}
        if changed == message:
            return
        try:
            found = eip712.recover(eip712.digest(eip712.build(changed)), "0x" + raw.hex())
        except eip712.SignatureError:
            return
        self.assertNotEqual(found, Account.from_key(key).address.lower())

    @given(messages, keys)
    def test_other_half_of_s_is_refused(self, message, key):
        typed = eip712.build(message)
        raw = sign(key, typed)
        twin = raw[:32] + (SECPK1_N - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
        with self.assertRaises(eip712.SignatureError):
            eip712.recover(eip712.digest(typed), "0x" + (twin + bytes([55 - raw[64]])).hex())

    @given(st.binary(min_size=65, max_size=65), words)
    def test_random_bytes_are_refused_or_somebodys_and_nothing_else_happens(self, raw, word):
        try:
            found = eip712.recover(bytes.fromhex(word[2:]), "0x" + raw.hex())
        except eip712.SignatureError:
            return
        self.assertRegex(found, "^0x[0-9a-f]{40}$")

    def test_malformed_signatures_are_refused(self):
        good = sign(b"\x01" * 32, eip712.build(SAMPLE)).hex()
        for text in (
            "",
            None,
            "0x",
            good,
            "0x" + good[:-2],
            f"0x{good}00",
            "0x" + "00" * 65,
            f"0x{good[:-2]}1d",
        ):
            with self.assertRaises(eip712.SignatureError):
                eip712.recover(eip712.digest(eip712.build(SAMPLE)), text)
        self.assertTrue(eip712.recover(eip712.digest(eip712.build(SAMPLE)), f"  0x{good}\n"))

    def test_known_digest(self):
        """Fixed for ever: signatures that were given have to stay verifiable."""
        self.assertEqual(eip712.digest(eip712.build(SAMPLE)).hex(), KNOWN)


class TestVerifier(unittest.TestCase):
    """The stand-alone verifier says the same without this addon."""

    subject = {"request_id": "r", "snapshot_sha256": "ab" * 32}

    def check(self, item, snapshot=None, actor_ref="ann"):
        """Let the verifier check an enclosed signature."""
        text = verify.canonical(item).decode()
        auth = {"assertion_sha256": hashlib.sha256(text.encode()).hexdigest()}
        data = {"amount_total": "4500.00", "currency": "USD", "decision": "approve"}
        return verify.verify_wallet(text, auth, self.subject, data, snapshot, actor_ref)[0]

    def signed(self):
        """Return an enclosed signature and the typed data it is over."""
        values = {name: SAMPLE[name] for name in ("amount", "currency", "decision", "nonce")}
        typed = eip712.build({**SAMPLE, "request_id": "r", "snapshot_sha256": "0x" + "ab" * 32})
        key = b"\x05" * 32
        item = {
            "v": 1,
            "address": Account.from_key(key).address,
            "chain_id": 1,
            "signature": "0x" + sign(key, typed).hex(),
            **values,
        }
        return item, typed

    def test_signature_is_checked_by_another_library(self):
        item, typed = self.signed()
        self.assertEqual(verify.wallet_typed_data(item, self.subject), typed)
        self.assertEqual(self.check(item), verify.OK)
        wrong = {
            "address": Account.from_key(b"\x06" * 32).address,
            "signature": "0x" + "00" * 65,
            "nonce": "0x" + "77" * 32,
            "amount": "1.00",
            "chain_id": 5,
        }
        for name, value in wrong.items():
            self.assertEqual(self.check({**item, name: value}), verify.FAIL, name)
        self.assertEqual(self.check({**item, "signature": "0x12"}), verify.FAIL)

    def test_signer_has_to_be_the_wallet_of_this_approver_in_the_snapshot(self):
        item, _typed = self.signed()
        other = Account.from_key(b"\x06" * 32).address
        ann, bob = {"actor_ref": "ann"}, {"actor_ref": "bob", "wallet": other}
        mine = {**ann, "wallet": item["address"].lower()}
        self.assertEqual(self.check(item, {"approvers": [bob, mine]}), verify.OK)
        for approvers in ([ann], [], [{**ann, "wallet": other}], [ann, {**bob, "wallet": item["address"]}]):
            self.assertEqual(self.check(item, {"approvers": approvers}), verify.FAIL, approvers)
        self.assertEqual(self.check(item, {}), verify.FAIL)
        self.assertEqual(self.check(item, {"approvers": [mine]}, "bob"), verify.FAIL)


SAMPLE = {
    "request_id": "55555555-5555-4555-8555-555555555555",
    "snapshot_sha256": "0xfe8ac4ab078aa1d3d49d7edbb0c82ff20d1f3b9d70036ddd4db3b1ac6ab938be",
    "amount": "4500.00",
    "currency": "USD",
    "decision": "approve",
    "nonce": "0x" + "00" * 31 + "01",
}
KNOWN = "3fcd7dc231f7e97ecd3302d3785eb6d602a97f1d81df947fc8b0a8a502ebc214"

if __name__ == "__main__":
    unittest.main()
