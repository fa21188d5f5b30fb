"""A sample chain, log and bundle, always with the same bytes: nothing here reads a clock or draws at random."""

import hashlib

import conftest  # noqa: F401
from milestone_billing_tools import checkpoint, evidence_bundle, evidence_chain, merkle, verify

CHAIN = "11111111-1111-4111-8111-111111111111"
LOG = "44444444-4444-4444-8444-444444444444"
ORIGIN = f"example.com/mbev1/{LOG}"
SOFTWARE = "milestone_billing/19.0.1.0.0"
REQUEST = "55555555-5555-4555-8555-555555555555"
APPROVER, STAFF = "66666666-6666-4666-8666-666666666666", "77777777-7777-4777-8777-777777777777"
SECRET = "c" * 43
CONSENT = "I approve this milestone."
PHOTO = b"\xff\xd8 a photograph of the finished site"
KEY = checkpoint.load_private_key(bytes(range(32)).hex().encode())
PDF = b"%PDF-1.7 certificate"


def fixed_draw(seed="sample"):
    """Return a source of bytes that gives the same ones on each run."""
    counter = 0

    def draw(size):
        nonlocal counter
        counter += 1
        return hashlib.shake_256(f"{seed}:{counter}".encode()).digest(size)

    return draw


def sha256(data):
    """Return the hex digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def make_snapshot(**changes):
    """Return a snapshot with every part that the verifier compares."""
    snapshot = {
        "v": 1,
        "kind": "milestone_snapshot",
        "nonce": "00112233445566778899aabbccddeeff",
        "request_id": REQUEST,
        "revision": 1,
        "amount_untaxed": "4500.00",
        "amount_tax": "0.00",
        "amount_total": "4500.00",
        "currency": "USD",
        "invoice_draft_content_sha256": verify.invoice_hash(b'{"total":"4500.00"}'),
        "files": [
            {
                "file_uuid": "f1",
                "name": "site.jpg",
                "mimetype": "image/jpeg",
                "size": len(PHOTO),
                "sha256": sha256(PHOTO),
            }
        ],
        "approvers": [{"actor_ref": APPROVER, "role": "client", "limit": "10000.00", "currency": "USD"}],
        "quorum": 1,
        "levels": {"required": "L1"},
        "expires_at": "2026-03-29T10:00:00.000000Z",
        "consent": {"id": "std", "version": 1, "lang": "en_US", "text": CONSENT},
    }
    return {**snapshot, **changes}


def make_events(snapshot_sha256):
    """Return the events of a milestone from completion to payment, as (time, event)."""
    subject = {"request_id": REQUEST, "revision": 1, "snapshot_sha256": snapshot_sha256}
    link = {"link_id": "88888888-8888-4888-8888-888888888888"}
    proof = verify.link_proof(SECRET, CHAIN, snapshot_sha256)
    who = {"actor_kind": "link_holder", "actor_ref": APPROVER}
    network = {"ip": "203.0.113.7", "user_agent": "Mozilla/5.0 (X11; Linux) \u20ac"}
    created = {"revision": 1, "snapshot_sha256": snapshot_sha256, "expires_at": "2026-03-29T10:00:00.000000Z"}
    granted = {
        "decision": "approve",
        "amount_total": "4500.00",
        "currency": "USD",
        "consent_sha256": sha256(CONSENT.encode()),
        "accept_checked": True,
    }
    staff = {"actor_kind": "internal_user", "actor_ref": STAFF}
    return [
        (
            "2026-03-15T10:00:00.000000Z",
            {"type": "milestone.completed", **staff, "data": {"trigger": "manual"}},
        ),
        (
            "2026-03-15T10:00:00.000100Z",
            {"type": "request.created", **staff, "subject": subject, "data": created},
        ),
        (
            "2026-03-15T10:00:01.000000Z",
            {"type": "request.sent", "subject": subject, "data": link, "pii": {"to": "zoe@client.example"}},
        ),
        (
            "2026-03-16T09:29:00.000000Z",
            {"type": "link.opened", **who, "subject": subject, "auth": {"level": "L1", "link_proof": proof}},
        ),
        (
            "2026-03-16T09:30:12.345678Z",
            {
                "type": "approval.granted",
                **who,
                "subject": subject,
                "auth": {"level": "L2", "method": ["link", "otp_email"], "link_proof": proof},
                "data": granted,
                "pii": {"actor_name": "Zo\u00eb Client", "typed_name": "Zo\u00eb", **network},
            },
        ),
        ("2026-03-16T09:30:12.345700Z", {"type": "request.approved", "subject": subject}),
        ("2026-03-16T09:31:00.000000Z", {"type": "invoice.posted", "data": {"number": "INV/2026/00001"}}),
        ("2026-03-17T08:00:00.000000Z", {"type": "payment.confirmed", "data": {"amount": "4500.00"}}),
        (
            "2026-03-18T08:00:00.000000Z",
            {"type": "certificate.issued", "data": {"pdf_sha256": sha256(PDF), "state": "approved"}},
        ),
    ]


def make_chain(events, draw=None, chain_id=CHAIN):
    """Return the built entries of (time, event) pairs."""
    draw, head, entries = draw or fixed_draw(), evidence_chain.EMPTY_HEAD, []
    for now, event in events:
        entry = evidence_chain.build_entry(
            {"chain_id": chain_id, "log_id": LOG, **event}, head, now, SOFTWARE, draw
        )
        entries.append(entry)
        head = evidence_chain.next_head(entry)
    return entries


def make_files(snapshot=None, events=None, key=KEY):
    """Return the files of a bundle as a name to bytes mapping, before the manifest."""
    exact = verify.canonical(snapshot or make_snapshot())
    name = verify.snapshot_hash(exact)
    entries = make_chain(events or make_events(name))
    hashes = [entry.hash for entry in entries]
    tree, first = merkle.MerkleTree(hashes), merkle.MerkleTree(hashes[:4])
    proofs = [
        {
            "seq": seq,
            "entry_hash": value,
            "index": seq,
            "tree_size": tree.size,
            "path": [node.hex() for node in tree.inclusion(seq)],
        }
        for seq, value in enumerate(hashes)
    ]
    consistency = {"from": 4, "to": tree.size, "path": [node.hex() for node in tree.consistency(4)]}
    return {
        "README.txt": b"what each file is\n",
        f"snapshot/{name}.json": exact,
        "chain/entries.jsonl": b"".join(entry.text.encode() + b"\n" for entry in entries),
        "chain/hashes.txt": b"".join(f"{seq} {value}\n".encode() for seq, value in enumerate(hashes)),
        "chain/values.jsonl": evidence_bundle.dump_lines(
            {"entry": entry.body["seq"], **value._asdict()} for entry in entries for value in entry.values
        ),
        f"log/checkpoints/{4:012}.note": checkpoint.make_note(ORIGIN, 4, first.root, key).encode(),
        f"log/checkpoints/{tree.size:012}.note": checkpoint.make_note(
            ORIGIN, tree.size, tree.root, key
        ).encode(),
        "log/inclusion.json": evidence_bundle.dump_inclusion(LOG, proofs),
        "log/consistency.json": verify.canonical({"v": 1, "proofs": [consistency]}),
        "log/public_key.pem": checkpoint.public_pem(KEY).encode(),
        f"consent/{sha256(CONSENT.encode())}.txt": CONSENT.encode(),
        "proof/f1_site.jpg": PHOTO,
        "invoice/content.json": b'{"total":"4500.00"}',
        "certificate.pdf": PDF,
    }


def make_bundle(files=None):
    """Return the bytes of a bundle."""
    return evidence_bundle.write_bundle(files or make_files(), "2026-03-18T08:00:00.000000Z", SOFTWARE, STAFF)
