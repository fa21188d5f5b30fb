"""One cycle of reading against a small chain in memory: what is asked in how many requests, and what is believed."""

import unittest

from conftest import load_tools

load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import reading as rd
from milestone_billing_crypto_tools.address import to_topic
from milestone_billing_crypto_tools.json_rpc import RpcError
from milestone_billing_crypto_tools.transfer_log import TRANSFER_TOPIC, RangeError

TOKEN, OURS, PAYER = "0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "cc" * 20


def hash_of(number, branch=0):
    return f"0x{branch * 10**6 + number:064x}"


class Chain:
    """Answers batches; ``paid`` are the blocks with a transfer, ``limit`` the widest filter."""

    def __init__(self, head, paid=(), limit=None, fork=None):
        self.head, self.paid, self.limit, self.fork = head, paid, limit, fork
        self.requests, self.calls, self.log = 0, 0, []

    def batch(self, calls):
        self.requests += 1
        self.log.append(list(calls))
        return [self.answer(call) for call in self.log[-1]]

    def batch_strict(self, calls):
        calls = list(calls)
        answers = self.batch(calls) if calls else []
        for answer in answers:
            if isinstance(answer, RpcError):
                raise answer
        return answers

    def answer(self, call):
        if call.method == "eth_chainId":
            return "0x1"
        if call.method == "eth_getLogs":
            return self.logs(call.params[0])
        return self.block(call.params[0])

    def block(self, tag):
        number = {"latest": self.head, "finalized": max(0, self.head - 8)}.get(tag)
        number = int(tag, 16) if number is None else number
        if number > self.head:
            return None
        branch, below = (int(self.fork is not None and one >= self.fork) for one in (number, number - 1))
        return {
            "number": hex(number),
            "hash": hash_of(number, branch),
            "parentHash": hash_of(number - 1, below),
            "timestamp": "0x1",
        }

    def logs(self, query):
        first, end = int(query["fromBlock"], 16), query["toBlock"]
        last = self.head if end == "latest" else int(end, 16)
        if last > self.head or first > last:
            return RpcError("refused", "block out of range")
        if self.limit and last - first + 1 > self.limit:
            return RpcError("too_large", "range")
        if query["topics"][1:] != [None, [to_topic(OURS)]]:
            return []
        return [
            {
                "address": TOKEN,
                "topics": [TRANSFER_TOPIC, to_topic(PAYER), to_topic(OURS)],
                "data": f"0x{7:064x}",
                "blockNumber": hex(number),
                "blockHash": self.block(hex(number))["hash"],
                "logIndex": "0x0",
                "transactionHash": hash_of(number, 9),
            }
            for number in self.paid
            if first <= number <= last
        ]


def snapshot(cursor, **changes):
    values = {
        "evm_id": 1,
        "cursor": cursor,
        "hashes": {number: hash_of(number) for number in range(max(0, cursor - 20), cursor + 1)},
        "tokens": {TOKEN: 1},
        "addresses": [OURS],
        "head": cursor + 1,
        "expected": 7,
        "scan_lag": 1,
        "span_max": 100,
    }
    return rd.Snapshot(**{**values, **changes})


class TestReading(unittest.TestCase):
    def read(self, chain, span=100, **changes):
        self.chain = chain
        return rd.Reader(chain, snapshot(changes.pop("cursor", 100), **changes), span).read_next()

    def test_node_without_a_finalized_block_says_so_and_a_busy_one_does_not(self):
        for said, expected in (
            (None, 0),
            (RpcError("refused", "unknown block"), 0),
            (RpcError("slow_down", "later"), None),
        ):
            with self.subTest(said):
                chain = Chain(105)
                block = chain.block
                chain.block = lambda tag, said=said, block=block: said if tag == "finalized" else block(tag)
                self.assertEqual(self.read(chain).finalized, expected)

    def test_new_blocks_are_one_request(self):
        for head in (101, 102, 105, 107, 108):
            got = self.read(Chain(head, paid=[101, 106]))
            self.assertEqual((got.kind, got.last, self.chain.requests), ("ok", min(head - 1, 107), 1))
            paid = [transfer.block_number for transfer in got.transfers]
            self.assertEqual(paid, [number for number in (101, 106) if number < head])

    def test_nothing_new_is_one_request(self):
        got = self.read(Chain(101), cursor=100)
        self.assertEqual((got.kind, got.last, got.headers, self.chain.requests), ("ok", 100, {}, 1))

    def test_newest_block_is_left_when_the_end_was_open(self):
        got = self.read(Chain(104, paid=[104]), scan_lag=0, expected=4)
        self.assertEqual((got.last, got.transfers), (103, []))

    def test_known_head_is_read_to_its_end(self):
        got = self.read(Chain(104, paid=[104]), scan_lag=0, head=104, expected=4)
        self.assertEqual((got.last, len(got.transfers), self.chain.requests), (104, 1, 1))

    def test_log_that_came_after_the_head_is_not_lost_and_not_too_early(self):
        chain = Chain(103, paid=[104])
        block = chain.block
        chain.head = 104  # the filter already sees a block more than the answer about the newest one
        chain.block = lambda tag: block("0x67") if tag == "latest" else block(tag)
        got = self.read(chain)
        self.assertEqual((got.last, got.transfers), (102, []))

    def test_many_blocks_are_read_in_steps(self):
        cursor, seen = 100, []
        chain = Chain(1000, paid=[150, 400, 999])
        while True:
            got = self.read(chain, cursor=cursor, head=1000, expected=1000 - cursor, span_max=100)
            self.assertLessEqual(got.last - cursor, 100)
            seen += [transfer.block_number for transfer in got.transfers]
            if got.last in (cursor, 999):
                break
            cursor = got.last
        self.assertEqual(seen, [150, 400, 999])

    def test_limit_of_the_node_is_found(self):
        got = self.read(Chain(200, paid=[102], limit=5), head=200, expected=100)
        self.assertLessEqual(got.last - 100, 5)
        self.assertEqual(got.span, got.last - 100 + 1)
        self.assertEqual(len(got.transfers), 1)
        with self.assertRaises(RpcError):
            self.read(Chain(200, limit=-1), head=200, expected=100)

    def test_other_branch_is_a_reorganisation_and_nothing_of_it_is_read(self):
        got = self.read(Chain(105, paid=[103], fork=98))
        self.assertEqual((got.kind, got.fork, got.transfers), ("reorg", 97, []))
        self.assertEqual(self.read(Chain(105, fork=1)).kind, "lost")
        self.assertEqual(self.read(Chain(99)).kind, "lagging")
        self.assertEqual(self.read(Chain(99, fork=98)).kind, "reorg")

    def test_contradictions_are_refused(self):
        chain = Chain(105, paid=[102])
        logs = chain.logs
        for change in ({"blockHash": hash_of(1)}, {"blockNumber": hex(90)}, {"data": "0x"}):
            chain.logs = lambda query, change=change: [{**log, **change} for log in logs(query)]
            with self.assertRaises(RangeError):
                self.read(chain)
        chain.logs = lambda query: {}
        with self.assertRaises(RangeError):
            self.read(chain)

    def test_other_network_is_refused(self):
        with self.assertRaises(rd.WrongNetworkError) as caught:
            self.read(Chain(105), evm_id=5)
        self.assertEqual(caught.exception.got, 1)

    def test_first_reading_takes_the_hashes_and_no_logs(self):
        got = self.read(Chain(500, paid=[499]), cursor=0, hashes={}, head=0)
        self.assertEqual((got.kind, got.last, len(got.headers), got.transfers), ("first", 499, 128, []))
        self.assertNotIn("eth_getLogs", {call.method for calls in self.chain.log for call in calls})

    def test_fresh_address_is_looked_up_before_the_range(self):
        got = self.read(Chain(104, paid=[98]), fresh=[OURS], fresh_blocks=5)
        self.assertEqual([one.block_number for one in got.transfers], [98])
        self.assertEqual((set(got.older), self.chain.requests), ({98}, 2))
        known = frozenset({(hash_of(98), 0)})
        got = self.read(Chain(104, paid=[98, 102]), fresh=[OURS], fresh_blocks=5, known=known)
        self.assertEqual(([one.block_number for one in got.transfers], self.chain.requests), ([102], 1))

    def test_filters_hold_a_thousand_addresses_each(self):
        addresses = [f"0x{number:040x}" for number in range(1, 2502)]
        calls = rd.log_calls({TOKEN: 1}, addresses, 1, 2)
        sizes = [len(next(part for part in call.params[0]["topics"][1:] if part)) for call in calls]
        self.assertEqual(sizes, [1000, 1000, 1000, 1000, 501, 501])
        self.assertEqual(rd.log_calls({}, addresses, 1, 2) + rd.log_calls({TOKEN: 1}, [], 1, 2), [])


if __name__ == "__main__":
    unittest.main()
