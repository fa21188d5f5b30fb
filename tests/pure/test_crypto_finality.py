"""Reorganisation and finality against a model chain that is forked at random."""

import unittest

from conftest import load_tools
from hypothesis import given
from hypothesis import strategies as st

load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import finality


def chain(length, fork, branch):
    """Return number -> hash of a chain that leaves the trunk after block ``fork``."""
    return {n: f"trunk{n}" if n <= fork else f"{branch}{n}" for n in range(length + 1)}


class TestCompare(unittest.TestCase):
    @given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200), st.integers(1, 130))
    def test_fork_is_the_last_common_block(self, cursor, head, fork, kept):
        stored = {n: h for n, h in chain(cursor, cursor, "x").items() if n > cursor - kept}
        node = chain(head, fork, "new")
        answered = {n: node.get(n) for n in stored}
        verdict = finality.compare(stored, answered, head, cursor)
        if head < min(stored):
            self.assertEqual(verdict.kind, "lagging")
        elif fork >= min(cursor, head):
            self.assertEqual(verdict.kind, "lagging" if head < cursor else "linked")
        elif fork >= min(stored):
            self.assertEqual(verdict, finality.Verdict("reorg", fork))
        else:
            self.assertEqual(verdict.kind, "lost")

    def test_first_start_has_nothing_to_compare(self):
        self.assertEqual(finality.compare({}, {}, 10, 5), finality.Verdict("linked", 5))

    def test_shorter_chain_with_other_blocks_is_a_reorganisation(self):
        stored = chain(20, 20, "")
        verdict = finality.compare(stored, chain(15, 12, "new"), 15, 20)
        self.assertEqual(verdict, finality.Verdict("reorg", 12))


class TestFinality(unittest.TestCase):
    def test_small_amounts_by_depth(self):
        self.assertFalse(finality.is_deep_enough(10, 20, None, 12, False))
        self.assertTrue(finality.is_deep_enough(10, 21, None, 12, False))

    def test_large_amounts_by_the_tag_and_by_depth_without_one(self):
        self.assertFalse(finality.is_deep_enough(10, 100, 9, 12, True))
        self.assertTrue(finality.is_deep_enough(10, 100, 10, 12, True))
        self.assertTrue(finality.is_deep_enough(10, 21, None, 12, True))
        self.assertFalse(finality.is_deep_enough(10, 20, None, 12, True))

    def test_head_below_the_block_confirms_nothing(self):
        self.assertEqual(finality.confirmations(10, 9), 0)
        self.assertEqual(finality.confirmations(10, 10), 1)

    @given(st.integers(1, 10000))
    def test_span_halves_to_one_and_grows_to_its_limit(self, span):
        self.assertGreaterEqual(finality.halved_span(span), 1)
        self.assertLessEqual(finality.halved_span(span), max(1, span // 2))
        self.assertGreater(finality.next_span(span, 20000), span)
        self.assertLessEqual(finality.next_span(span, span), span)


if __name__ == "__main__":
    unittest.main()
