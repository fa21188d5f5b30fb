"""The guard against server-side request forgery, for webhooks and for nodes."""

import unittest

from conftest import load_tools

load_tools("milestone_billing")
from milestone_billing_tools import url_guard as guard


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
            "fec0::1",
            "::7f00:1",
            "64:ff9b:1::1",
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
