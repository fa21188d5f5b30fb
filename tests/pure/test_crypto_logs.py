"""Logs, headers, URIs and call data: round trips, refusals, and the attacks on a log reader."""

import unittest

from conftest import load_tools
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import abi, address, eip681
from milestone_billing_crypto_tools import transfer_log as log

TOKEN, OTHER = "0x" + "aa" * 20, "0x" + "bb" * 20
PAYER, SHOP = "0x" + "11" * 20, "0x" + "22" * 20
HASH = ["0x" + f"{n:064x}" for n in range(100)]
plain = st.binary(min_size=20, max_size=20).filter(any).map(lambda raw: "0x" + raw.hex())


def raw_log(**changes):
    values = {
        "address": TOKEN,
        "topics": [log.TRANSFER_TOPIC, address.to_topic(PAYER), address.to_topic(SHOP)],
        "data": "0x" + f"{1500000000:064x}",
        "blockNumber": "0x5",
        "blockHash": HASH[5],
        "transactionHash": HASH[70],
        "logIndex": "0x3",
        "removed": False,
    }
    return {**values, **changes}


def header(number, **changes):
    values = {
        "number": hex(number),
        "hash": HASH[number],
        "parentHash": HASH[number - 1],
        "timestamp": hex(1000 + number),
    }
    return log.parse_header({**values, **changes})


class TestTransferLog(unittest.TestCase):
    def test_good_log_is_read(self):
        got = log.parse_log(raw_log(), {TOKEN})
        self.assertEqual(got, log.Transfer(5, HASH[5], 3, HASH[70], TOKEN, PAYER, SHOP, 1500000000))

    def test_what_is_no_payment_is_ignored(self):
        topics = raw_log()["topics"]
        for changes in (
            {"removed": True},
            {"address": OTHER},  # a Transfer event of a contract that is no listed token
            {"topics": topics + [HASH[9]]},  # an NFT: same first topic, the id as the fourth
            {"topics": topics[:2]},
            {"topics": ["0x" + "00" * 32] + topics[1:]},
            {"data": "0x" + "0" * 64},  # zero value: anybody can make these in anybody's name
        ):
            with self.subTest(changes):
                self.assertIsNone(log.parse_log(raw_log(**changes), {TOKEN}))

    def test_malformed_log_of_a_listed_token_refuses_the_range(self):
        topics = raw_log()["topics"]
        for changes in (
            {"data": "0x"},
            {"data": "0x" + "1" * 63},
            {"data": None},
            {"blockNumber": 5},
            {"blockHash": "0x12"},
            {"logIndex": None},
            {"topics": [topics[0], topics[1], "0x" + "f" * 64]},
            {"topics": [topics[0], 5, topics[2]]},
            {"topics": [topics[0], topics[1], ["0x"]]},
            {"blockNumber": "0x80000000"},
            {"logIndex": "0x" + "f" * 64},
        ):
            with self.subTest(changes), self.assertRaises(log.RangeError):
                log.parse_log(raw_log(**changes), {TOKEN})

    def test_headers_must_be_the_whole_linked_range(self):
        good = [header(n) for n in range(3, 8)]
        self.assertEqual(sorted(log.check_headers(good[::-1], 3, 7, HASH[2])), [3, 4, 5, 6, 7])
        self.assertEqual(len(log.check_headers(good, 3, 7, None)), 5)
        for bad, parent in (
            (good[:-1], HASH[2]),
            (good + [header(8)], HASH[2]),
            (good + [good[0]], HASH[2]),
            (good, HASH[60]),
            (good[:2] + [header(5, parentHash=HASH[61])] + good[3:], HASH[2]),
        ):
            with self.assertRaises(log.RangeError):
                log.check_headers(bad, 3, 7, parent)

    def test_logs_must_lie_in_the_headers_blocks(self):
        headers = log.check_headers([header(n) for n in range(3, 8)], 3, 7, None)
        good = log.parse_log(raw_log(), {TOKEN})
        self.assertEqual(log.check_transfers([good, good], headers), [good])
        for bad in (
            good._replace(block_number=8),
            good._replace(block_hash=HASH[6]),
            good._replace(block_number=2),
        ):
            with self.assertRaises(log.RangeError):
                log.check_transfers([bad], headers)
        with self.assertRaises(log.RangeError):
            log.check_transfers([good, good._replace(value=1)], headers)

    def test_time_that_no_clock_shows_is_cut_to_one_that_a_database_takes(self):
        self.assertEqual(str(log.moment(1_700_000_000)), "2023-11-14 22:13:20")
        for lie in (2**32, 2**63, 2**256 - 1):
            self.assertEqual(str(log.moment(lie)), "2106-02-07 06:28:16")

    def test_two_transfers_in_one_transaction_are_two(self):
        headers = log.check_headers([header(5)], 5, 5, None)
        one = log.parse_log(raw_log(), {TOKEN})
        two = log.parse_log(raw_log(logIndex="0x4"), {TOKEN})
        self.assertEqual(log.check_transfers([two, one], headers), [one, two])


class TestUri(unittest.TestCase):
    @given(plain, plain, st.integers(1, 2**40), st.integers(1, 2**256 - 1))
    def test_uri_and_back(self, token, to, chain, value):
        request = eip681.PaymentRequest(token, chain, to, value)
        self.assertEqual(eip681.parse(eip681.build(request)), request)

    def test_zero_amount_and_strange_uris_are_refused(self):
        with self.assertRaises(eip681.UriError):
            eip681.build(eip681.PaymentRequest(TOKEN, 1, SHOP, 0))
        for text in (
            "",
            "bitcoin:1abc",
            f"ethereum:{TOKEN}",
            f"ethereum:{TOKEN}@1/approve?address={SHOP}&uint256=1",
        ):
            with self.assertRaises(eip681.UriError):
                eip681.parse(text)


class TestAbi(unittest.TestCase):
    @given(plain, st.integers(0, 2**256 - 1))
    def test_call_data_is_the_oracles(self, to, value):
        body = encode(["address", "uint256"], [to, value]).hex()
        self.assertEqual(abi.encode_transfer(to, value), "0xa9059cbb" + body)
        self.assertEqual(abi.encode_balance_of(to), "0x70a08231" + encode(["address"], [to]).hex())

    @given(st.text(max_size=12).filter(lambda text: "\0" not in text and len(text.encode()) <= 60))
    def test_symbol_as_string(self, text):
        self.assertEqual(abi.decode_symbol("0x" + encode(["string"], [text]).hex()), text)

    def test_symbol_as_old_bytes(self):
        self.assertEqual(abi.decode_symbol("0x" + b"MKR".ljust(32, b"\0").hex()), "MKR")

    def test_no_contract_is_an_error_and_not_zero(self):
        for data in ("0x", None, "0x12", 7):
            with self.assertRaises(abi.AbiError):
                abi.decode_uint(data)
            with self.assertRaises(abi.AbiError):
                abi.decode_symbol(data)


if __name__ == "__main__":
    unittest.main()
