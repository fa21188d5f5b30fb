"""Changes of a balance found by halving; and multicalls, equal to another ABI library."""

import random
import unittest

from conftest import load_tools
from eth_abi import decode, encode

load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import abi, native
from milestone_billing_crypto_tools.address import ZERO_ADDRESS
from milestone_billing_crypto_tools.transfer_log import RangeError

OURS, PAYER = "0x" + "bb" * 20, "0x" + "cc" * 20


def history(changes, last):
    """Return balances at the end of each block."""
    balances, held = [], 0
    for number in range(last + 1):
        held += changes.get(number, 0)
        balances.append(held)
    return balances


class TestChanges(unittest.TestCase):
    def find(self, changes, low, high, before=None):
        balances = history(changes, high)
        before = balances[low] if before is None else before
        return native.find_changes(lambda number: balances[number], low, high, before, balances[high])

    def test_sum_is_right_and_growth_is_found_block_by_block(self):
        chance = random.Random(3)
        for _case in range(500):
            changes = {
                number: chance.randint(1, 9) for number in chance.sample(range(51, 100), chance.randint(0, 6))
            }
            got = self.find(changes, 50, 100)
            self.assertEqual(dict(got), changes)

    def test_sum_is_right_whatever_goes_in_and_out(self):
        chance = random.Random(4)
        for _case in range(500):
            changes = {
                number: chance.choice([-3, -1, 1, 2, 3]) for number in chance.sample(range(1, 200), 12)
            }
            balances = history(changes, 200)
            got = self.find(changes, 20, 200)
            self.assertEqual(sum(difference for _number, difference in got), balances[200] - balances[20])
            self.assertTrue(all(changes.get(number) == difference for number, difference in got))

    def test_change_before_the_range_is_noted_at_its_start(self):
        self.assertEqual(self.find({5: 7}, 50, 100, before=0), [(50, 7)])
        self.assertEqual(self.find({5: 7, 60: 2}, 50, 100, before=0), [(60, 2), (50, 7)])
        self.assertEqual(self.find({5: 7}, 100, 100, before=0), [(100, 7)])
        self.assertEqual(self.find({5: 7}, 50, 100), [])

    def test_few_questions_are_asked(self):
        asked = []
        native.find_changes(lambda number: asked.append(number) or int(number >= 43), 0, 2**20, 0, 1)
        self.assertLessEqual(len(asked), 23)

    def test_many_changes_are_bounded(self):
        got = self.find(dict.fromkeys(range(1, 90), 1), 0, 100)
        self.assertEqual(len(got), native.CHANGES_MAX)


class TestReceipt(unittest.TestCase):
    def block(self, *transactions):
        header = {
            "number": "0x7",
            "hash": "0x" + "11" * 32,
            "parentHash": "0x" + "22" * 32,
            "timestamp": "0x1",
        }
        return {**header, "transactions": list(transactions)}

    def test_transaction_is_named_when_it_is_the_only_one(self):
        paid = {"hash": "0x" + "33" * 32, "from": PAYER, "to": OURS, "value": "0x5"}
        got = native.read_receipt(self.block(paid, {**paid, "value": "0x6"}, {**paid, "to": None}), OURS, 5)
        self.assertEqual((got.tx_hash, got.sender, got.receiver, got.value), (paid["hash"], PAYER, OURS, 5))
        self.assertEqual((got.log_index, got.token), (native.NO_LOG, native.COIN))
        got = native.read_receipt(self.block(paid, {**paid, "hash": "0x" + "44" * 32}), OURS, 5)
        self.assertEqual((got.tx_hash, got.sender), ("", ZERO_ADDRESS))

    def test_what_was_sent_is_named_with_its_gas(self):
        sent = {"hash": "0x" + "33" * 32, "from": OURS, "to": PAYER, "value": "0x5"}
        got = native.read_receipt(self.block(sent), OURS, -9)
        self.assertEqual((got.sender, got.receiver, got.value), (OURS, PAYER, 9))

    def test_payment_from_inside_has_a_block_and_no_transaction(self):
        self.assertEqual(native.read_receipt(self.block(), OURS, 5).tx_hash, "")
        for bad in (None, {}, self.block("0x12")):
            with self.assertRaises(RangeError):
                native.read_receipt(bad, OURS, 5)


class TestMulticall(unittest.TestCase):
    TYPES = ["(address,bool,bytes)[]"]

    def test_call_equals_another_library(self):
        chance = random.Random(5)
        for count in (0, 1, 2, 50):
            calls = [
                (f"0x{chance.getrandbits(160):040x}", "0x" + chance.randbytes(chance.randint(0, 70)).hex())
                for _number in range(count)
            ]
            expected = encode(self.TYPES, [[(to, True, bytes.fromhex(data[2:])) for to, data in calls]])
            self.assertEqual(abi.encode_aggregate(calls), abi.SELECTOR_AGGREGATE + expected.hex())
            self.assertEqual(len(decode(self.TYPES, expected)[0]), count)

    def test_answer_of_another_library_is_read(self):
        results = [(True, (7).to_bytes(32, "big")), (False, b"oh no"), (True, b"")]
        data = "0x" + encode(["(bool,bytes)[]"], [results]).hex()
        got = abi.decode_aggregate(data, 3)
        self.assertEqual((abi.decode_uint(got[0]), got[1:]), (7, [None, "0x"]))
        self.assertEqual(abi.decode_aggregate("0x" + encode(["(bool,bytes)[]"], [[]]).hex(), 0), [])

    def test_other_answers_are_refused(self):
        good = "0x" + encode(["(bool,bytes)[]"], [[(True, b"x" * 40)]]).hex()
        for data in (None, "", "0x", "0x12", good[:-64], good[:-128], "0x" + "ff" * 96):
            with self.assertRaises(abi.AbiError):
                abi.decode_aggregate(data, 1)
        with self.assertRaises(abi.AbiError):
            abi.decode_aggregate(good, 2)

    def test_price_feed_is_read_as_another_library_writes_it(self):
        kinds = ["uint80", "int256", "uint256", "uint256", "uint80"]

        def answer(price):
            return "0x" + encode(kinds, [7, price, 1_700_000_000, 1_700_000_060, 7]).hex()

        digits = "0x" + encode(["uint8"], [8]).hex()
        found = abi.decode_price(digits, answer(2500 * 10**8))
        self.assertEqual(found, (2500 * 10**8, 8, 1_700_000_060))
        for bad in (
            answer(0),
            answer(-1),
            answer(5)[:-64],
            answer(5) + "00" * 32,
            "0x",
            None,
        ):
            with self.subTest(bad), self.assertRaises(abi.AbiError):
                abi.decode_price(digits, bad)
        for bad in ("0x", None, "0x" + encode(["uint8"], [77]).hex()):
            with self.subTest(bad), self.assertRaises(abi.AbiError):
                abi.decode_price(bad, answer(5))

    def test_balance_of_the_coin(self):
        self.assertEqual(abi.encode_coin_balance(OURS), "0x4d2301cc" + "0" * 24 + "bb" * 20)


if __name__ == "__main__":
    unittest.main()
