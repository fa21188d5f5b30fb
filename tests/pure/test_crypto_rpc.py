"""JSON-RPC batches and the guard against server-side request forgery."""

import json
import unittest

from conftest import load_tools

load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import json_rpc as rpc
from milestone_billing_crypto_tools import url_guard as guard

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


class TestUrlGuard(unittest.TestCase):
    def test_good_url_is_split(self):
        target = guard.parse("https://Node.Example/v2/key?x=1")
        self.assertEqual(target, guard.Target("https", "node.example", 443, "/v2/key?x=1"))
        self.assertEqual(guard.choose_ip(target, ["93.184.216.34"], set()), "93.184.216.34")

    def test_strange_urls_are_refused(self):
        for url, code in (
            ("file:///etc/passwd", "scheme"),
            ("gopher://x/", "scheme"),
            ("https://user:pw@node.example/", "credentials"),
            ("https://node.example\\@evil/", "characters"),
            ("https://node.example/ x", "characters"),
            ("https://node.example/#x", "credentials"),
            ("https:///x", "host"),
            ("https://no_de/", "host"),
            ("https://node.example:99999/", "port"),
            ("", "characters"),
        ):
            with self.subTest(url), self.assertRaises(guard.UrlError) as caught:
                guard.parse(url)
            self.assertEqual(caught.exception.code, code)

    def test_private_addresses_are_refused_in_every_dress(self):
        target = guard.parse("https://node.example/")
        for ip in (
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::",
        ):
            with self.subTest(ip), self.assertRaises(guard.UrlError) as caught:
                guard.choose_ip(target, [ip], set())
            self.assertEqual(caught.exception.code, "private")

    def test_one_private_answer_among_public_ones_is_enough_to_refuse(self):
        target = guard.parse("https://node.example/")
        with self.assertRaises(guard.UrlError):
            guard.choose_ip(target, ["93.184.216.34", "10.0.0.1"], set())

    def test_listed_host_and_port_is_allowed_and_its_neighbour_port_is_not(self):
        target = guard.parse("http://127.0.0.1:8545/")
        self.assertEqual(guard.choose_ip(target, ["127.0.0.1"], {"127.0.0.1:8545"}), "127.0.0.1")
        with self.assertRaises(guard.UrlError):
            guard.choose_ip(target, ["127.0.0.1"], {"127.0.0.1:8546"})

    def test_plain_http_and_unresolved_names_are_refused(self):
        with self.assertRaises(guard.UrlError) as caught:
            guard.choose_ip(guard.parse("http://node.example/"), ["93.184.216.34"], set())
        self.assertEqual(caught.exception.code, "plain_http")
        with self.assertRaises(guard.UrlError):
            guard.choose_ip(guard.parse("https://node.example/"), [], set())


if __name__ == "__main__":
    unittest.main()
