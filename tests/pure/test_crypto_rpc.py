"""JSON-RPC batches: what is sent, and what of the answer counts."""

import json
import unittest

from conftest import load_tools

load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import json_rpc as rpc

CALLS = [rpc.Call("eth_chainId", []), rpc.Call("eth_blockNumber", [])]


def answer(*items):
    return json.dumps(list(items)).encode()


class TestJsonRpc(unittest.TestCase):
    def test_answers_come_back_in_the_order_of_the_calls(self):
        body = answer({"id": 1, "result": "b"}, {"id": 0, "result": "a"})
        self.assertEqual(rpc.decode(body, 2), ["a", "b"])

    def test_null_is_a_result_and_a_missing_one_is_not(self):
        got = rpc.decode(answer({"id": 0, "result": None}, {"id": 1}), 2)
        self.assertIsNone(got[0])
        self.assertEqual(got[1].kind, "protocol")

    def test_bad_answers_are_named(self):
        for body in (
            b"",
            b"<html>",
            b"{}",
            b"[]",
            answer({"id": 0, "result": 1}),
            b"[1,2]",
            answer({"id": 0, "result": 1}, {"id": 0, "result": 2}),
            answer({"id": [], "result": 1}, {"id": {}, "result": 2}),
            b"[" * 100000,
            b'[{"id": "]]", "result": ' + b'["]",' * 100000,
            '[{"id": 0, "result": 1}, {"id": 1, "result": 2}]'.encode("utf-16"),
        ):
            with self.subTest(body), self.assertRaises(rpc.RpcError) as caught:
                rpc.decode(body, 2)
            self.assertEqual(caught.exception.kind, "protocol")

    def test_kinds_of_refusals(self):
        for code, message, kind in (
            (-32005, "query returned more than 10000 results", "too_large"),
            (-32602, "block range is too wide", "too_large"),
            (
                -32600,
                "Under the free plan you can make eth_getLogs requests with up to a 5 block range",
                "too_large",
            ),
            (-32005, "daily request count exceeded, request rate limited", "slow_down"),
            (429, "Too Many Requests", "slow_down"),
            (-32000, "execution reverted", "refused"),
        ):
            with self.subTest(message):
                self.assertEqual(rpc.classify({"code": code, "message": message}).kind, kind)

    def test_error_of_the_whole_batch_is_raised(self):
        with self.assertRaises(rpc.RpcError) as caught:
            rpc.decode(b'{"error": {"code": 429, "message": "Too Many Requests"}}', 2)
        self.assertEqual(caught.exception.kind, "slow_down")

    def test_messages_lose_addresses_of_hosts_and_keys(self):
        text = str(
            rpc.RpcError("http", "bad key at https://node.example/v2/abcdefghijklmnopqrstuvwxyz0123 yes")
        )
        self.assertNotIn("node.example", text)
        self.assertNotIn("abcdefghijkl", text)
        self.assertNotIn(
            "abcdefghijklmnopqrstuvwxyz0123", str(rpc.RpcError("http", "k=abcdefghijklmnopqrstuvwxyz0123"))
        )

    def test_client_counts_and_raises(self):
        client = rpc.Client(
            lambda body: answer({"id": 0, "result": 1}, {"id": 1, "error": {"message": "no"}})
        )
        self.assertEqual(client.batch(CALLS)[0], 1)
        with self.assertRaises(rpc.RpcError):
            client.batch_strict(CALLS)
        self.assertEqual((client.requests, client.calls), (2, 4))
        self.assertEqual(client.batch([]), [])


if __name__ == "__main__":
    unittest.main()
