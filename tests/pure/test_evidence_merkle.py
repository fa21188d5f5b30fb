"""The company log: roots, proofs and falsified proofs, checkpoints."""

import hashlib
import itertools
import unittest
from unittest import mock

import conftest  # noqa: F401
from milestone_billing_tools import checkpoint, merkle, verify

SIZE_MAX = 39
ENTRIES = [hashlib.sha256(str(index).encode()).hexdigest() for index in range(SIZE_MAX)]
TREES = [merkle.MerkleTree(ENTRIES[:size]) for size in range(SIZE_MAX + 1)]


def recursive_root(leaves):
    """The RFC's own definition, section 2.1.1."""
    if len(leaves) < 2:
        return verify.leaf_hash(leaves[0]) if leaves else hashlib.sha256(b"").digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return verify.node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


def falsified(path):
    """Yield paths that differ from a good one: a bit changed, a node dropped, doubled, swapped or added."""
    for index, node in enumerate(path):
        yield [*path[:index], bytes([node[0] ^ 1]) + node[1:], *path[index + 1 :]]
        yield path[:index] + path[index + 1 :]
        yield [*path[:index], node, *path[index:]]
    if len(path) > 1 and path[0] != path[1]:
        yield [path[1], path[0], *path[2:]]
    yield [*path, bytes(32)]


class TestTree(unittest.TestCase):
    def test_roots_are_those_of_the_definition(self):
        for size, tree in enumerate(TREES):
            expected = recursive_root(ENTRIES[:size])
            self.assertEqual(tree.root, expected)
            self.assertEqual(verify.merkle_root(ENTRIES[:size]), expected)

    def test_frontier_continues_after_a_round_trip_as_text(self):
        frontier = []
        for size, entry in enumerate(ENTRIES, 1):
            frontier = merkle.load_frontier(merkle.dump_frontier(frontier))
            verify.extend_frontier(frontier, verify.leaf_hash(entry))
            self.assertEqual(verify.frontier_root(frontier), TREES[size].root)
        self.assertEqual(merkle.load_frontier(""), [])

    def test_inclusion_proofs_hold_and_falsified_ones_do_not(self):
        for tree in TREES[1:]:
            for index in range(tree.size):
                leaf, path = verify.leaf_hash(ENTRIES[index]), tree.inclusion(index)
                self.assertTrue(verify.verify_inclusion(leaf, index, tree.size, path, tree.root))
                self.assertFalse(verify.verify_inclusion(bytes(32), index, tree.size, path, tree.root))
                self.assertFalse(verify.verify_inclusion(leaf, index, tree.size, path, bytes(32)))
                self.assertFalse(verify.verify_inclusion(leaf, tree.size, tree.size, path, tree.root))
                self.assertFalse(verify.verify_inclusion(leaf, -1, tree.size, path, tree.root))
                for bad in falsified(path):
                    self.assertFalse(verify.verify_inclusion(leaf, index, tree.size, bad, tree.root))

    def test_inclusion_proof_is_bound_to_its_index(self):
        for tree in TREES[2:20]:
            for right, wrong in itertools.permutations(range(tree.size), 2):
                leaf, path = verify.leaf_hash(ENTRIES[right]), tree.inclusion(right)
                self.assertFalse(verify.verify_inclusion(leaf, wrong, tree.size, path, tree.root))

    def test_consistency_proofs_hold_and_falsified_ones_do_not(self):
        for new in range(1, SIZE_MAX + 1):
            for old in range(1, new + 1):
                roots, path = (TREES[old].root, TREES[new].root), TREES[new].consistency(old)
                self.assertTrue(verify.verify_consistency(old, new, *roots, path), (old, new))
                self.assertFalse(verify.verify_consistency(old, new, bytes(32), roots[1], path))
                self.assertFalse(verify.verify_consistency(old, new, roots[0], bytes(32), path))
                for bad in falsified(path):
                    self.assertFalse(verify.verify_consistency(old, new, *roots, bad), (old, new))
        self.assertFalse(verify.verify_consistency(0, 3, bytes(32), TREES[3].root, []))
        self.assertFalse(verify.verify_consistency(4, 3, TREES[4].root, TREES[3].root, []))

    def test_no_proof_outside_the_tree(self):
        for call in (
            lambda: TREES[3].inclusion(3),
            lambda: TREES[3].inclusion(-1),
            lambda: TREES[3].consistency(4),
        ):
            self.assertRaises(IndexError, call)
        self.assertRaises(IndexError, TREES[3].consistency, 0)


class TestCheckpoint(unittest.TestCase):
    def setUp(self):
        self.key = checkpoint.load_private_key(bytes(range(32)).hex().encode())
        self.public = checkpoint.public_bytes(self.key)
        self.note = checkpoint.make_note("example.com/mbev1/x", 3, TREES[3].root, self.key)

    def test_changed_note_or_key_is_found(self):
        for old, new in (("\n3\n", "\n4\n"), ("example.com", "example.org")):
            changed = verify.parse_checkpoint(self.note.replace(old, new, 1))
            self.assertIsNot(verify.verify_checkpoint(changed, self.public), True)
        other = checkpoint.public_bytes(checkpoint.load_private_key(b"11" * 32))
        self.assertIsNone(verify.verify_checkpoint(verify.parse_checkpoint(self.note), other))

    def test_unsigned_note_is_not_taken_for_signed(self):
        parsed = verify.parse_checkpoint(checkpoint.make_note("o", 0, TREES[0].root))
        self.assertEqual((parsed.size, parsed.signatures), (0, []))
        self.assertIsNone(verify.verify_checkpoint(parsed, self.public))

    def test_without_cryptography_the_answer_is_unknown(self):
        hidden = {"cryptography.exceptions": None, "cryptography.hazmat.primitives.asymmetric.ed25519": None}
        with mock.patch.dict("sys.modules", hidden):
            self.assertIsNone(verify.verify_checkpoint(verify.parse_checkpoint(self.note), self.public))

    def test_malformed_notes_are_refused(self):
        head, _blank, tail = self.note.partition("\n\n")
        bad = ["", head, f"{head}\n", head.replace("\n3\n", "\n03\n") + "\n\n", f"{head}\nmore\n\n{tail}"]
        bad += [f"{head}\n\n- {tail[2:]}", f"{head}\n\n\u2014 o AAAA\n", self.note.replace("=\n\n", "\n\n")]
        for note in bad:
            with self.subTest(note=note), self.assertRaises(verify.EvidenceError):
                verify.parse_checkpoint(note)

    def test_keys_are_read_as_hex_and_pem_and_nothing_else(self):
        self.assertEqual(verify.public_key_bytes(checkpoint.public_pem(self.key)), self.public)
        self.assertEqual(verify.public_key_bytes(self.public.hex() + "\n"), self.public)
        for bad in ("", "zz", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"):
            self.assertRaises(verify.EvidenceError, verify.public_key_bytes, bad)
        self.assertRaises(verify.EvidenceError, checkpoint.load_private_key, b"nonsense")


if __name__ == "__main__":
    unittest.main()
