"""Canonical bytes, strict parsing, and the building of entries."""

import json
import unittest

import conftest  # noqa: F401
from evidence_sample import CHAIN, LOG, SOFTWARE, fixed_draw, make_chain, make_events
from hypothesis import given
from hypothesis import strategies as st
from milestone_billing_tools import evidence_chain, retention, verify

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
KEYS = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=8)
INTEGERS = st.integers(-verify.INTEGER_MAX, verify.INTEGER_MAX)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
NOW = "2026-03-15T10:00:00.000000Z"


class TestCanonical(unittest.TestCase):
    @given(VALUES)
    def test_round_trip_gives_the_same_bytes(self, value):
        data = verify.canonical(value)
        self.assertEqual(verify.canonical(verify.parse_strict(data)), data)
        self.assertEqual(verify.parse_strict(data), value)

    def test_refused_at_write(self):
        refused = [
            1.0,
            float("nan"),
            {"A": 1},
            {"": 1},
            {1: 1},
            {"a-b": 1},
            "\x00",
            "\ud800",
            2**53,
            -(2**53),
            (1,),
            b"x",
        ]
        deep = []
        for _level in range(verify.DEPTH_MAX + 1):
            deep = [deep]
        for value in [*refused, deep, {"a": [{"b": 0.1}]}]:
            with self.subTest(value=repr(value)), self.assertRaises(verify.EvidenceError):
                verify.canonical(value)

    def test_refused_at_reading(self):
        refused = [
            b'{"a":1,"a":1}',
            b'{"a":1.0}',
            b'{"a":1e3}',
            b'{"a":NaN}',
            b'{"a":-Infinity}',
            b'{"b":1,"a":2}',
            b'{"a": 1}',
            b'{"a":1}\n',
            b'\xef\xbb\xbf{"a":1}',
            b'{"a":"\\u00e9"}',
            b'{"a":"\\/"}',
            b'{"a":"\\u001F"}',
            b'{"a":"\\u0000"}',
            b'{"a":"\\ud800"}',
            b'{"a":"\xff"}',
            b'{"a":-0}',
            b'{"A":1}',
            b'{"a":9007199254740992}',
            b"",
            b"[" * 100000,
            b'{"a":' * 50000,
        ]
        for data in refused:
            with self.subTest(data=data[:20]), self.assertRaises(verify.EvidenceError):
                verify.parse_strict(data)

    def test_control_characters_are_escaped_in_lower_case_and_the_rest_is_literal(self):
        self.assertEqual(verify.canonical("\x1f\x7f\u2028/"), '"\\u001f\x7f\u2028/"'.encode())


class TestEntries(unittest.TestCase):
    def build(self, **event):
        event = {"chain_id": CHAIN, "log_id": LOG, "type": "link.opened", **event}
        return evidence_chain.build_entry(event, evidence_chain.EMPTY_HEAD, NOW, SOFTWARE, fixed_draw())

    def test_each_value_has_its_own_salt_and_commitment(self):
        entry = self.build(pii={"actor_name": "Zo\u00eb", "typed_name": "Zo\u00eb", "ip": None, "to": ""})
        self.assertEqual(sorted(entry.body["pii"]), ["actor_name", "typed_name"])
        self.assertEqual(len({value.salt for value in entry.values}), 2)
        for value in entry.values:
            made = verify.commitment(bytes.fromhex(value.salt), value.name, value.value)
            self.assertEqual(made, entry.body["pii"][value.name])

    def test_no_personal_value_stands_in_the_body(self):
        entry = self.build(pii={"actor_name": "Zo\u00eb Client", "ip": "203.0.113.7"})
        self.assertNotIn("Zo\u00eb", entry.text)
        self.assertNotIn("203.0.113.7", entry.text)

    def test_long_headers_are_cut_before_they_are_committed(self):
        entry = self.build(pii={"user_agent": "x" * 5000, "xff_raw": "y" * 5000})
        self.assertEqual([len(value.value) for value in entry.values], [512, 256])

    def test_unknown_parts_are_refused(self):
        for event in (
            {"pii": {"shoe_size": "44"}},
            {"type": "Granted"},
            {"type": "approval"},
            {"actor_kind": "robot"},
            {"surprise": 1},
            {"data": {"amount": 1.5}},
            {"pii": {"to": "a\x00b"}},
        ):
            with self.subTest(event=event), self.assertRaises(verify.EvidenceError):
                self.build(**event)

    def test_the_schema_is_complete(self):
        body = make_chain(make_events("0" * 64))[4].body
        context = {"software", "log_id", "actor_kind", "actor_ref", "subject", "auth", "http", "data", "pii"}
        place = {"v", "type", "chain_id", "seq", "prev", "event_id", "nonce", "occurred_at"}
        self.assertEqual(set(body), place | context)
        self.assertEqual(json.loads(verify.canonical(body)), body)


class TestRetention(unittest.TestCase):
    def test_no_class_keeps_network_data_less_than_the_dispute_window_by_default(self):
        self.assertGreaterEqual(retention.NETWORK.default_days, 600)
        self.assertGreaterEqual(retention.IDENTITY.default_days, 600)

    def test_client_copy_hides_other_approvers_addresses_and_staff(self):
        disclosed = retention.is_disclosed
        self.assertTrue(disclosed("client", "ip", "link_holder", True))
        self.assertFalse(disclosed("client", "ip", "link_holder", False))
        self.assertTrue(disclosed("client", "actor_name", "link_holder", False))
        self.assertFalse(disclosed("client", "actor_name", "internal_user", False))
        self.assertFalse(disclosed("project", "ip", "link_holder", False))
        self.assertTrue(disclosed("dispute", "ip", "link_holder", False))
        self.assertFalse(disclosed("dispute", "ip", "internal_user", False))
        self.assertTrue(all(disclosed("full", name, "internal_user", False) for name in retention.PII_CLASS))


if __name__ == "__main__":
    unittest.main()
