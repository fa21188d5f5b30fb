"""The published vectors and our own golden chain, in Python and, independently, in Node."""

import json
import shutil
import subprocess
import unittest

from conftest import VECTORS
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from evidence_sample import (
    CHAIN,
    REQUEST,
    SECRET,
    fixed_draw,
    make_chain,
    make_events,
    make_snapshot,
    sha256,
)
from milestone_billing_crypto_tools import eip712
from milestone_billing_tools import checkpoint, merkle, verify

PUBLISHED = VECTORS / "evidence_published.json"
GOLDEN = VECTORS / "evidence_golden.json"
HASHES = VECTORS / "evidence_hashes.json"
AWKWARD = [
    "\x01\x1f\x7f\u0080",
    '"\\/\b\t\n\f\r',
    "\u2028\u2029\ufeff",
    "\U0001f600 e\u0301 \u00e9",
    "",
    "\uffff",
]


def load(path):
    """Return a vector file."""
    return json.loads(path.read_text(encoding="utf-8"))


def make_golden():
    """Return the content of the golden file as the present code makes it."""
    snapshot = make_snapshot()
    entries = make_chain(make_events(verify.snapshot_hash(verify.canonical(snapshot))), fixed_draw("golden"))
    hashes = [entry.hash for entry in entries]
    return {
        "awkward": AWKWARD,
        "awkward_canonical": [verify.canonical({"text": text}).hex() for text in AWKWARD],
        "chain": [{"body": entry.text, "entry_hash": entry.hash} for entry in entries],
        "roots": [verify.merkle_root(hashes[: size + 1]).hex() for size in range(len(hashes))],
        "snapshot": snapshot,
        "snapshot_sha256": verify.snapshot_hash(verify.canonical(snapshot)),
        "values": [
            {"entry": entry.body["seq"], **value._asdict()} for entry in entries for value in entry.values
        ],
    }


def make_hashes():
    """Return one vector for each kind of hash and proof that the published ones leave out."""
    golden, origin = load(GOLDEN), "example.com/mbev1/44444444-4444-4444-8444-444444444444"
    leaves = [entry["entry_hash"] for entry in golden["chain"]]
    sizes = range(1, len(leaves) + 1)
    trees = {size: merkle.MerkleTree(leaves[:size]) for size in sizes}
    snapshot, seed = golden["snapshot_sha256"], bytes(range(32)).hex()
    invoice = {"v": 1, "currency": "EUR", "lines": [{"description": "Bau \u20ac", "subtotal": "10.00"}]}
    passkey = {"request_id": REQUEST, "snapshot_sha256": snapshot, "server_nonce": "00ff"}
    note_text = {"nonce": "0f" * 16, "text": "Please fix the handrail \u2014 soon"}
    manifest = {
        "exported_by": None,
        "files": [],
        "made_at": "2026-03-15T10:00:00.000000Z",
        "software": "x",
        "v": 1,
    }
    wallet = {
        "amount": "4500.00",
        "currency": "USD",
        "decision": "approve",
        "nonce": "0x" + "11" * 32,
        "chain_id": 1,
    }
    typed = verify.wallet_typed_data(wallet, passkey)
    note = checkpoint.make_note(
        origin, len(leaves), trees[len(leaves)].root, checkpoint.load_private_key(seed.encode())
    )
    return {
        "leaves": leaves,
        "invoice": {"content": invoice, "expected": verify.invoice_hash(verify.canonical(invoice))},
        "webauthn": {**passkey, "expected": verify.webauthn_challenge(*passkey.values())},
        "reservation": {
            **note_text,
            "expected": verify.tagged_hash("mbev1:reservation", "".join(note_text.values()).encode()),
        },
        "link_proof": {
            "secret": SECRET,
            "chain_id": CHAIN,
            "snapshot_sha256": snapshot,
            "expected": verify.link_proof(SECRET, CHAIN, snapshot),
        },
        "file": {"content": b"\xff\xd8 photograph".hex(), "expected": sha256(b"\xff\xd8 photograph")},
        "manifest": {"content": manifest, "expected": verify.bundle_id(manifest)},
        "inclusion": [
            {"index": index, "size": size, "path": [node.hex() for node in trees[size].inclusion(index)]}
            for size in sizes
            for index in range(size)
        ],
        "consistency": [
            {"from": old, "to": new, "path": [node.hex() for node in trees[new].consistency(old)]}
            for new in sizes
            for old in range(1, new + 1)
        ],
        "checkpoint": {
            "seed": seed,
            "origin": origin,
            "size": len(leaves),
            "note": note,
            "digest": verify.parse_checkpoint(note).digest,
        },
        "wallet": {"typed_data": typed, "expected": eip712.digest(typed).hex()},
    }


class TestPublishedVectors(unittest.TestCase):
    def setUp(self):
        self.vectors = load(PUBLISHED)

    def test_snapshot_bytes_and_hash(self):
        data = verify.canonical(self.vectors["snapshot"])
        self.assertEqual(len(data), self.vectors["snapshot_canonical_size"])
        self.assertEqual(verify.snapshot_hash(data), self.vectors["snapshot_sha256"])
        self.assertEqual(verify.parse_strict(data), self.vectors["snapshot"])

    def test_commitment_and_link_proof(self):
        item, link = self.vectors["commitment"], self.vectors["link_proof"]
        made = verify.commitment(bytes.fromhex(item["salt"]), item["name"], item["value"])
        self.assertEqual(made, item["expected"])
        self.assertEqual(
            verify.link_proof(link["secret"], CHAIN, self.vectors["snapshot_sha256"]), link["expected"]
        )

    def test_entries_link_and_hash(self):
        chain = verify.ChainVerifier()
        for entry in self.vectors["entries"]:
            body, problems = chain.feed(entry["canonical"].encode(), {"entry_hash": entry["entry_hash"]})
            self.assertEqual((problems, chain.head), ([], entry["entry_hash"]))
        self.assertEqual(body["seq"], 1)
        root = verify.merkle_root(entry["entry_hash"] for entry in self.vectors["entries"])
        self.assertEqual(root.hex(), self.vectors["root"])

    def test_checkpoint_is_signed_to_the_byte(self):
        item = self.vectors["checkpoint"]
        key = checkpoint.load_private_key(item["seed"].encode())
        note = checkpoint.make_note(item["origin"], item["size"], bytes.fromhex(self.vectors["root"]), key)
        self.assertEqual(note, item["note"])
        parsed = verify.parse_checkpoint(note)
        self.assertEqual(parsed.digest, item["digest"])
        self.assertEqual(verify.public_key_bytes(checkpoint.public_pem(key)).hex(), item["public_key"])
        self.assertIs(verify.verify_checkpoint(parsed, bytes.fromhex(item["public_key"])), True)


class TestGoldenFile(unittest.TestCase):
    def test_present_code_makes_the_same_bytes(self):
        self.assertEqual(make_golden(), load(GOLDEN))

    def test_every_kind_of_hash_is_what_it_was(self):
        self.assertEqual(make_hashes(), load(HASHES))

    def test_every_proof_proves(self):
        vectors = load(HASHES)
        for item in vectors["inclusion"]:
            root = bytes.fromhex(load(GOLDEN)["roots"][item["size"] - 1])
            leaf, path = verify.leaf_hash(vectors["leaves"][item["index"]]), map(bytes.fromhex, item["path"])
            self.assertTrue(verify.verify_inclusion(leaf, item["index"], item["size"], list(path), root))

    def test_typed_data_of_a_wallet_is_hashed_as_others_do(self):
        item = load(HASHES)["wallet"]
        signable = encode_typed_data(full_message=item["typed_data"])
        expected = keccak(b"\x19" + signable.version + signable.header + signable.body)
        self.assertEqual(expected.hex(), item["expected"])


class TestRecomputedInNode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        node = shutil.which("node")
        if not node:
            raise AssertionError("node is needed to recompute the vectors in another language")
        command = [node, str(VECTORS / "recompute.mjs"), str(PUBLISHED), str(GOLDEN), str(HASHES)]
        cls.found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)

    def test_published_vectors(self):
        found, vectors = self.found[PUBLISHED.name], load(PUBLISHED)
        for name in ("snapshot_canonical_size", "snapshot_sha256", "root"):
            self.assertEqual(found[name], vectors[name])
        self.assertEqual(found["commitment"], vectors["commitment"]["expected"])
        self.assertEqual(found["link_proof"], vectors["link_proof"]["expected"])
        for name in ("canonical", "entry_hash"):
            self.assertEqual(found[name], [entry[name] for entry in vectors["entries"]])
        for name in ("note", "digest", "public_key"):
            self.assertEqual(found[name], vectors["checkpoint"][name])
        self.assertTrue(found["linked"])

    def test_every_kind_of_hash(self):
        found, vectors = self.found[HASHES.name], load(HASHES)
        for name in ("invoice", "webauthn", "reservation", "link_proof", "file", "manifest"):
            self.assertEqual(found[name], vectors[name]["expected"], name)
        for name in ("inclusion", "consistency"):
            self.assertEqual(found[name], [item["path"] for item in vectors[name]], name)
        for name in ("note", "digest"):
            self.assertEqual(found[name], vectors["checkpoint"][name])

    def test_golden_chain(self):
        found, golden = self.found[GOLDEN.name], load(GOLDEN)
        self.assertEqual(found["entry_hash"], [entry["entry_hash"] for entry in golden["chain"]])
        self.assertEqual(found["canonical"], [entry["body"] for entry in golden["chain"]])
        self.assertEqual(found["roots"], golden["roots"])
        self.assertEqual(found["snapshot_sha256"], golden["snapshot_sha256"])
        self.assertEqual(found["awkward"], golden["awkward_canonical"])
        self.assertEqual(found["committed"], [True] * len(golden["values"]))
        self.assertTrue(found["linked"])


if __name__ == "__main__":
    unittest.main()
