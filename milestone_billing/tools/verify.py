"""Check the evidence of a milestone approval: ``python verify.py bundle.zip``.

One file, Python 3.11 or later, standard library only, so that an outsider can read it whole and run it without Odoo.
The addon itself uses the same functions, so there is one implementation of the rules. Some things need more than the
standard library, and are reported as NOT PROVIDED without it: signatures by Ed25519, passkey or wallet need Python's
``cryptography`` or ``eth-account``, those of time stamps the program ``openssl``.

Every item gets a verdict of its own: OK, WARN, FAIL, ERASED or NOT PROVIDED; there is never a bare "valid".
Exit status: 0 nothing failed, 1 there are warnings, 2 something failed or the bundle cannot be read.

License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""
# A program for the command line. pylint: disable=print-used

from __future__ import annotations

import argparse
import base64
import email
import email.policy
import hashlib
import hmac
import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

FORMAT_VERSION = 1
ZERO_HASH = "0" * 64
INTEGER_MAX = 2**53 - 1
DEPTH_MAX = 32
CLOCK_BACK_SECONDS_MAX = 5
FILE_SIZE_MAX = 2**31
_HEAD_SIZE = 500
SMALL_FILE_SIZE_MAX = 2**26

OK, WARN, FAIL, ERASED, NOT_PROVIDED = "OK", "WARN", "FAIL", "ERASED", "NOT PROVIDED"

_KEY = re.compile(r"[a-z0-9_]+\Z")
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")
# A whole string, or one bracket outside of strings.
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_LEVELS = ("L1", "L2", "L3", "L4")
# The personal values in which the signature of an own key is kept.
_SIGNED_BY_KEY = ("webauthn_json", "wallet_json")
# The SubjectPublicKeyInfo of an Ed25519 key is this prefix and the 32 bytes of the key (RFC 8410).
ED25519_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")


class EvidenceError(ValueError):
    """Data that does not follow the format; the message says where."""


class Problem(NamedTuple):
    """One finding of a check: the entry it concerns (or None), a short kind, a sentence."""

    seq: int | None
    kind: str
    message: str
    verdict: str = FAIL


# === CANONICAL FORM ===


def _check_value(value: Any, depth: int = 0) -> None:
    if depth > DEPTH_MAX:
        raise EvidenceError("nested too deeply")
    kind = type(value)
    if kind is str:
        if "\x00" in value:
            raise EvidenceError("U+0000 is not allowed in a string")
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str or not _KEY.match(key):
                raise EvidenceError(f"key {key!r} is not made of a-z, 0-9 and _")
            _check_value(item, depth + 1)
    elif kind is list:
        for item in value:
            _check_value(item, depth + 1)
    elif kind is int:
        if not -INTEGER_MAX <= value <= INTEGER_MAX:
            raise EvidenceError("integer beyond 2^53-1")
    elif kind is not bool and value is not None:
        raise EvidenceError(f"{kind.__name__} is not allowed; amounts are strings")


def _dump(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise EvidenceError("lone surrogate in a string") from error


def canonical(value: Any) -> bytes:
    """Return the canonical JSON bytes of a value (RFC 8785, without floats).

    :raise EvidenceError: for a float, a bad key, U+0000, a lone surrogate, a large integer or deep nesting.
    """
    _check_value(value)
    return _dump(value)


def _pairs_once(pairs: list[tuple[str, Any]]) -> dict:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise EvidenceError("duplicate key")
    return result


def _refuse(text: str) -> None:
    raise EvidenceError(f"{text} is not an integer")


def _check_nesting(text: str) -> None:
    """Refuse deep nesting before the parser sees it: where somebody raised its limit, it would crash instead."""
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group(), 0)
        if depth > 2 * DEPTH_MAX:
            raise EvidenceError("nested too deeply")


def load_json(data: bytes | str) -> Any:
    """Parse JSON, refusing duplicate keys, floats, NaN, a BOM and deep nesting.

    :raise EvidenceError: for those, and for what is no JSON.
    """
    try:
        text = data if isinstance(data, str) else data.decode()
        _check_nesting(text)
        return json.loads(text, object_pairs_hook=_pairs_once, parse_float=_refuse, parse_constant=_refuse)
    except EvidenceError:
        raise
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"not JSON: {error}") from error


def parse_strict(data: bytes) -> Any:
    """Parse canonical JSON and refuse everything that is not exactly in that form.

    :raise EvidenceError: for what ``load_json`` refuses, and for bytes that differ from their canonical form.
    """
    value = load_json(data)
    if canonical(value) != data:
        raise EvidenceError("not in canonical form")
    return value


# === HASHES ===


def tagged_hash(tag: str, data: bytes) -> str:
    """Return H(tag, data) = SHA-256(UTF8(tag) 0x00 data), 64 lower-case hex digits."""
    return hashlib.sha256(tag.encode() + b"\x00" + data).hexdigest()


def snapshot_hash(data: bytes) -> str:
    """Return the hash of the exact bytes of a snapshot."""
    return tagged_hash("mbev1:snapshot", data)


def entry_hash(body: bytes) -> str:
    """Return the hash of the exact bytes of an entry's body; it holds ``seq`` and ``prev``, so this closes the chain."""
    return tagged_hash("mbev1:entry", body)


def invoice_hash(content: bytes) -> str:
    """Return the hash of the canonical content of an invoice."""
    return tagged_hash("mbev1:invoice", content)


def commitment(salt: bytes, name: str, value: str) -> str:
    """Return the commitment to one personal value: without the salt it tells nothing, with it it fixes the value."""
    message = b"mbev1:pii\x00" + name.encode() + b"\x00" + value.encode()
    return hmac.new(salt, message, hashlib.sha256).hexdigest()


def link_proof(secret: str, chain_id: str, snapshot_sha256: str) -> str:
    """Return the proof that the holder of an invitation link was there; only the link's secret makes it."""
    message = b"\x00".join((b"mbev1:link", chain_id.encode(), snapshot_sha256.encode()))
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def webauthn_challenge(request_id: str, snapshot_sha256: str, server_nonce: str) -> str:
    """Return the challenge, in hex, which a passkey signs to approve a snapshot."""
    return tagged_hash(
        "mbev1:webauthn", b"\x00".join(part.encode() for part in (request_id, snapshot_sha256, server_nonce))
    )


# === MERKLE TREE (RFC 9162, section 2.1) ===


def leaf_hash(entry: str) -> bytes:
    """Return the hash of a leaf for an entry hash given in hex."""
    return hashlib.sha256(b"\x00" + bytes.fromhex(entry)).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def extend_frontier(frontier: list[tuple[int, bytes]], leaf: bytes) -> None:
    """Add a leaf hash to a frontier: the complete subtrees, as (height, hash), that cover the tree from the left."""
    height = 0
    while frontier and frontier[-1][0] == height:
        leaf = node_hash(frontier.pop()[1], leaf)
        height += 1
    frontier.append((height, leaf))


def frontier_root(frontier: list[tuple[int, bytes]]) -> bytes:
    """Return the root of the tree which a frontier covers."""
    if not frontier:
        return hashlib.sha256(b"").digest()
    root = frontier[-1][1]
    for _height, left in reversed(frontier[:-1]):
        root = node_hash(left, root)
    return root


def merkle_root(entries: Iterable[str]) -> bytes:
    """Return the root over entry hashes in hex, read once, with memory logarithmic in their number."""
    frontier: list[tuple[int, bytes]] = []
    for entry in entries:
        extend_frontier(frontier, leaf_hash(entry))
    return frontier_root(frontier)


def verify_inclusion(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    """Tell whether a path proves a leaf hash at an index of a tree (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    fn, sn, result = index, size - 1, leaf
    for node in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            result = node_hash(node, result)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            result = node_hash(result, node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and result == root


def verify_consistency(old_size: int, new_size: int, old: bytes, new: bytes, path: list[bytes]) -> bool:
    """Tell whether a path proves that the new tree only appended to the old one (RFC 9162, section 2.1.4.2)."""
    if not 0 < old_size <= new_size:
        return False
    if old_size == new_size:
        return not path and old == new
    nodes = list(path)
    if old_size & (old_size - 1) == 0:
        nodes.insert(0, old)
    if not nodes:
        return False
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = nodes[0]
    for node in nodes[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node_hash(node, first), node_hash(node, second)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old and second == new


# === CHECKPOINT (C2SP tlog-checkpoint, a signed note) ===


class Checkpoint(NamedTuple):
    """A parsed checkpoint: what it says, its three lines as signed, and its signature lines as (name, key id, bytes)."""

    origin: str
    size: int
    root: bytes
    signed: bytes
    signatures: list[tuple[str, bytes, bytes]]

    @property
    def digest(self) -> str:
        """SHA-256 of the three lines: what is anchored outside."""
        return hashlib.sha256(self.signed).hexdigest()


def checkpoint_lines(origin: str, size: int, root: bytes) -> bytes:
    """Return the three lines of a checkpoint, as they are signed and anchored."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n".encode()


def key_id(origin: str, public_key: bytes) -> bytes:
    """Return the four bytes that name an Ed25519 key in a signature line."""
    return hashlib.sha256(origin.encode() + b"\x0a\x01" + public_key).digest()[:4]


def parse_checkpoint(note: str) -> Checkpoint:
    """Parse a checkpoint note.

    :raise EvidenceError: when the note does not have the form of a checkpoint.
    """
    head, blank, tail = note.partition("\n\n")
    lines = head.split("\n")
    if not blank or len(lines) != 3 or not re.fullmatch(r"0|[1-9]\d{0,15}", lines[1]) or not lines[0]:
        raise EvidenceError("not a checkpoint note")
    signatures = []
    try:
        root = base64.b64decode(lines[2], validate=True)
        for line in tail.splitlines():
            dash, name, text = line.split(" ")
            data = base64.b64decode(text, validate=True)
            if dash != "\u2014" or len(data) < 5:
                raise EvidenceError("bad signature line")
            signatures.append((name, data[:4], data[4:]))
    except ValueError as error:
        raise EvidenceError(f"not a checkpoint note: {error}") from error
    signed = checkpoint_lines(lines[0], int(lines[1]), root)
    if len(root) != 32 or signed != head.encode() + b"\n":
        raise EvidenceError("not a checkpoint note: bad root or size")
    return Checkpoint(lines[0], int(lines[1]), root, signed, signatures)


def public_key_bytes(text: str) -> bytes:
    """Return the 32 bytes of an Ed25519 public key given as hex or as PEM.

    :raise EvidenceError: when the text is neither.
    """
    if _HEX64.match(text.strip()):
        return bytes.fromhex(text.strip())
    body = "".join(line for line in text.splitlines() if line and not line.startswith("-----"))
    try:
        data = base64.b64decode(body, validate=True)
    except ValueError as error:
        raise EvidenceError(f"not a public key: {error}") from error
    if len(data) != 44 or not data.startswith(ED25519_SPKI_PREFIX):
        raise EvidenceError("not an Ed25519 public key")
    return data[12:]


def verify_checkpoint(checkpoint: Checkpoint, public_key: bytes) -> bool | None:
    """Tell whether the key signed the checkpoint.

    :return: True or False; None when this machine cannot check Ed25519 or no line is signed by that key.
    """
    wanted = key_id(checkpoint.origin, public_key)
    found = [data for name, kid, data in checkpoint.signatures if name == checkpoint.origin and kid == wanted]
    if not found:
        return None
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return None
    try:
        for data in found:
            Ed25519PublicKey.from_public_bytes(public_key).verify(data, checkpoint.signed)
    except InvalidSignature:
        return False
    return True


# === STATE, RECOMPUTED FROM EVENTS ALONE ===


# What ends the asking: event -> (state of the request, state of the milestone or None when it stays).
_CLOSING = {
    "approval.changes_requested": ("changes_requested", "changes_requested"),
    "approval.declined": ("declined", "changes_requested"),
    "approval.repudiated": ("contested", "changes_requested"),
    "request.approved": ("approved", "approved"),
    "request.cancelled": ("cancelled", None),
    "request.deemed_accepted": ("deemed_accepted", "approved"),
    "request.expired": ("expired", None),
    "request.superseded": ("superseded", None),
}
# These may come after the decision.
_ANY_TIME = ("approval.repudiated", "request.superseded", "request.cancelled")
# A milestone that was reopened or cancelled meanwhile stays so when an answer about it is contested.
_CONTESTABLE = ("submitted", "approved", "changes_requested")
_LINE = {
    "approval.not_required": "approved",
    "milestone.cancelled": "cancelled",
    "milestone.reinstated": "approved",
    "milestone.reopened": "planned",
}


def quorum_needed(snapshot: dict) -> int:
    """Return how many different approvers a snapshot asks for; "all" means every one it lists."""
    quorum = snapshot.get("quorum", 1)
    if quorum == "all":
        return max(1, len(snapshot.get("approvers") or ()))
    return max(1, int(str(quorum).split("/")[-1]))


class Replay:
    """The state of a milestone and of its approval, from the events and the frozen snapshots only.

    :param snapshot_of: returns the parsed snapshot for its hash, or None when it was erased or is not at hand.
    """

    def __init__(self, snapshot_of: Callable[[str], dict | None]):
        self.snapshot_of = snapshot_of
        self.line_state = "planned"
        self.requests: dict[str, dict] = {}
        self.current: dict | None = None
        self.invoice: dict = {}
        self.payments = 0

    def feed(self, body: dict) -> list[Problem]:
        """Apply one event; return what it does wrong (an approval that should not have counted, above all)."""
        kind, problems = body["type"], []
        data, subject = body.get("data") or {}, body.get("subject") or {}
        if kind == "request.created":
            problems = self._on_created(data, subject)
        elif kind == "approval.granted":
            problems = self._on_granted(body, data, subject)
        elif kind in _CLOSING:
            problems = self._on_closing(kind, body, data, subject)
        elif kind == "approval.on_behalf" and self._request(subject):
            self._request(subject)["on_behalf"] = True
        elif kind in _LINE:
            self.line_state = _LINE[kind]
        elif kind == "invoice.posted":
            self.invoice = {
                "number": data.get("number") or data.get("invoice_ref"),
                "content_sha256": data.get("content_sha256"),
            }
        elif kind == "payment.confirmed":
            self.payments += 1
        elif kind == "certificate.issued" and data.get("state") not in (None, self.state()):
            problems = [("certificate", f"prints state {data['state']!r}, the events say {self.state()!r}")]
        return [Problem(body["seq"], what, f"{kind}: {message}") for what, message in problems]

    def state(self) -> str:
        """Return the state as a certificate prints it: the request's where there is one, else the milestone's."""
        return self.current["state"] if self.current else self.line_state

    def result(self) -> dict:
        """Return the recomputed state as plain values."""
        current = self.current or {}
        return {
            "state": self.state(),
            "milestone_state": self.line_state,
            "revision": current.get("revision"),
            "snapshot_sha256": current.get("snapshot_sha256"),
            "approvals": len(current.get("granted", ())),
            "level": current.get("level"),
            "on_behalf": current.get("on_behalf", False),
            "invoice": self.invoice.get("number"),
            "payments": self.payments,
        }

    def _request(self, subject: dict) -> dict | None:
        return self.requests.get(subject["request_id"]) if subject.get("request_id") else self.current

    def _on_created(self, data: dict, subject: dict) -> list:
        problems = []
        if self.current and self.current["state"] == "requested":
            problems.append(("request", "an earlier request is still open"))
        snapshot_sha256 = data.get("snapshot_sha256") or subject.get("snapshot_sha256")
        revision = data.get("revision", subject.get("revision"))
        if self.current and (self.current["revision"] or 0) >= (revision or 0):
            problems.append(("request", "revisions do not rise"))
        self.current = {
            "state": "requested",
            "revision": revision,
            "snapshot_sha256": snapshot_sha256,
            "expires_at": data.get("expires_at"),
            "granted": {},
            "level": None,
            "on_behalf": False,
        }
        self.requests[subject.get("request_id") or ""] = self.current
        self.line_state = "submitted"
        return problems

    def _on_granted(self, body: dict, data: dict, subject: dict) -> list:
        request = self._request(subject)
        if not request:
            return [("approval", "no request was created before it")]
        problems = []
        if request["state"] != "requested":
            problems.append(("approval", f"the request is {request['state']}"))
        if subject.get("snapshot_sha256") != request["snapshot_sha256"]:
            problems.append(("approval", "it names another snapshot than the request"))
        if "revision" in subject and subject["revision"] != request["revision"]:
            problems.append(("approval", "it names another revision than the request"))
        if request["expires_at"] and body["occurred_at"] >= request["expires_at"]:
            problems.append(("approval", "it came after the request expired"))
        if body.get("actor_ref") in request["granted"]:
            problems.append(("approval", "this approver had approved before"))
        if not _has_own_key(body):
            problems.append(
                ("level", "assurance level L4 without a signature by a key of the approver's own")
            )
        snapshot = self.snapshot_of(request["snapshot_sha256"] or "")
        if snapshot:
            problems += _check_grant(body, data, snapshot)
        if not problems:
            request["granted"][body.get("actor_ref")] = body["event_id"]
            level = (body.get("auth") or {}).get("level")
            request["level"] = min(filter(None, (level, request["level"])), default=None)
        return problems

    def _on_closing(self, kind: str, body: dict, data: dict, subject: dict) -> list:
        request = self._request(subject)
        if not request:
            return [("request", "no request was created before it")]
        problems = []
        if kind == "request.approved":
            problems = self._check_quorum(request, data)
        elif request["state"] != "requested" and kind not in _ANY_TIME:
            problems.append(("request", f"the request is {request['state']}"))
        if not problems:
            request["state"], line_state = _CLOSING[kind]
            if kind != "approval.repudiated" or self.line_state in _CONTESTABLE:
                self.line_state = line_state or self.line_state
        return problems

    def _check_quorum(self, request: dict, data: dict) -> list:
        problems, is_on_behalf = [], bool(request["on_behalf"] and data.get("on_behalf"))
        # What was contested may be confirmed on paper.
        if request["state"] != "requested" and not (is_on_behalf and request["state"] == "contested"):
            problems.append(("request", f"the request is {request['state']}"))
        if is_on_behalf:
            return problems
        snapshot = self.snapshot_of(request["snapshot_sha256"] or "")
        needed = quorum_needed(snapshot) if snapshot else 1
        if len(request["granted"]) < needed:
            problems.append(("quorum", f"{len(request['granted'])} valid approvals of {needed} needed"))
        named = data.get("granted_event_ids")
        if named is not None and not set(named) <= set(request["granted"].values()):
            problems.append(("quorum", "it counts an event that is no valid approval of this request"))
        return problems


def _decimal(text: Any) -> Decimal | None:
    try:
        return Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        return None


def _has_own_key(body: dict) -> bool:
    """Tell whether an approval that claims the highest level names what a key of the approver's own signed."""
    auth, named = body.get("auth") or {}, body.get("pii") or {}
    is_signed = bool(auth.get("assertion_sha256")) and any(name in named for name in _SIGNED_BY_KEY)
    return auth.get("level") != _LEVELS[-1] or is_signed


def _check_grant(body: dict, data: dict, snapshot: dict) -> list:
    """Compare one approval with the snapshot it names: amount, approver, limit, assurance level, consent text."""
    problems = []
    for name in ("amount_total", "currency"):
        if name in data and data[name] != snapshot.get(name):
            problems.append(("approval", f"its {name} is not the snapshot's"))
    approvers = snapshot.get("approvers")
    if approvers is not None:
        found = [item for item in approvers if item.get("actor_ref") == body.get("actor_ref")]
        if not found:
            problems.append(("approver", "the actor is not a listed approver"))
        elif not _within_limit(found[0], snapshot):
            problems.append(("approver", "the amount is above the approver's limit"))
    levels = snapshot.get("levels") or {}
    required = levels.get("required") if isinstance(levels, dict) else None
    if required in _LEVELS and ((body.get("auth") or {}).get("level") or "") < required:
        problems.append(("level", f"assurance level {required} was required"))
    text = (snapshot.get("consent") or {}).get("text")
    if text is not None and data.get("consent_sha256") not in (
        None,
        hashlib.sha256(text.encode()).hexdigest(),
    ):
        problems.append(("consent", "the consent text is not the one in the snapshot"))
    return problems


def _within_limit(approver: dict, snapshot: dict) -> bool:
    limit, amount = _decimal(approver.get("limit")), _decimal(snapshot.get("amount_total"))
    if approver.get("limit") is None or approver.get("currency") not in (None, snapshot.get("currency")):
        return True
    return limit is not None and amount is not None and amount <= limit


# === CHAIN ===


class ChainVerifier:
    """Check the entries of one chain, one after the other, keeping only what the next one needs.

    :param replay: recomputes the state meanwhile, or None.
    :param chain_id: the chain that is expected; without it, the first entry's.
    """

    def __init__(self, replay: Replay | None = None, chain_id: str | None = None):
        self.replay = replay
        self.chain_id = chain_id
        self.count = 0
        self.next_seq = 0
        self.head = ZERO_HASH
        self.last_time = ""

    def feed(self, body: bytes, row: dict | None = None) -> tuple[dict | None, list[Problem]]:
        """Check one entry in its order.

        :param bytes body: the exact bytes of the body.
        :param dict row: what is stored beside the body (``entry_hash``, ``seq``, ``type``...); each is compared.
        :return: the parsed body (None when it cannot be read) and the problems found.
        """
        row, found_hash = row or {}, entry_hash(body)
        stored_hash = row.get("entry_hash") or found_hash
        seq, parsed, problems = row.get("seq", self.next_seq), None, []
        self.count += 1
        try:
            parsed = parse_strict(body)
            if parsed["v"] != FORMAT_VERSION or not all(map(_HEX64.match, parsed["pii"].values())):
                raise EvidenceError("unknown format version, or a commitment that is not 64 hex digits")
            seq = parsed["seq"] if "seq" not in row else seq
            problems = self._check_place(seq, parsed) + self._check_columns(seq, parsed, row)
            problems += self._check_time(seq, parsed["occurred_at"])
            problems += self.replay.feed(parsed) if self.replay else []
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            problems.append(Problem(seq, "body", f"entry {seq}: the body cannot be read: {error}"))
            parsed = None
        if stored_hash != found_hash:
            problems.insert(0, Problem(seq, "hash", f"entry {seq}: the body does not match its hash"))
        if seq >= self.next_seq:
            # Going on from the stored hash names the broken entry only, not every one after it.
            self.head, self.next_seq = stored_hash, seq + 1
        return parsed, problems

    def _check_place(self, seq: int, body: dict) -> list[Problem]:
        self.chain_id = self.chain_id or body["chain_id"]
        problems = []
        if body["chain_id"] != self.chain_id:
            problems.append(Problem(seq, "chain_id", f"entry {seq}: it belongs to another chain"))
        if body["seq"] < self.next_seq or seq < self.next_seq:
            problems.append(Problem(seq, "seq", f"entry {seq}: it stands out of its order, or twice"))
        elif seq > self.next_seq:
            gap = f"{self.next_seq}" if seq == self.next_seq + 1 else f"{self.next_seq} to {seq - 1}"
            problems.append(Problem(self.next_seq, "seq", f"entry {gap} is missing"))
        elif body["prev"] != self.head:
            problems.append(Problem(seq, "prev", f"entry {seq}: it does not follow from the entry before it"))
        return problems

    @staticmethod
    def _check_columns(seq: int, body: dict, row: dict) -> list[Problem]:
        return [
            Problem(
                seq,
                "column",
                f"entry {seq}: the stored {name} is {value!r}, the body says {body.get(name)!r}",
            )
            for name, value in row.items()
            if name != "entry_hash" and body.get(name) != value
        ]

    def _check_time(self, seq: int, occurred_at: str) -> list[Problem]:
        if not _TIME.match(occurred_at):
            return [Problem(seq, "time", f"entry {seq}: {occurred_at!r} is not a time")]
        last, self.last_time = self.last_time, max(self.last_time, occurred_at)
        if occurred_at < last and seconds_of(last) - seconds_of(occurred_at) > CLOCK_BACK_SECONDS_MAX:
            return [Problem(seq, "time", f"entry {seq}: its time is before that of an earlier entry", WARN)]
        return []


def seconds_of(text: str) -> float:
    """Return a time of an entry in seconds.

    :raise ValueError: when the text is no time.
    """
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()


class Places:
    """A set of (sequence number, name) pairs, kept as bits: a hundred thousand of them take a few kilobytes."""

    BLOCK_BITS = 12

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, int], int] = {}

    def add(self, seq: int, name: str) -> None:
        """Add one pair."""
        key = (name, seq >> self.BLOCK_BITS)
        self._blocks[key] = self._blocks.get(key, 0) | 1 << (seq & ((1 << self.BLOCK_BITS) - 1))

    def __contains__(self, pair: tuple[int, str]) -> bool:
        seq, name = pair
        bits = self._blocks.get((name, seq >> self.BLOCK_BITS), 0)
        return bool(bits >> (seq & ((1 << self.BLOCK_BITS) - 1)) & 1)

    def __len__(self) -> int:
        return sum(bits.bit_count() for bits in self._blocks.values())

    def update(self, other: Places) -> None:
        """Add all pairs of another."""
        for key, bits in other._blocks.items():
            self._blocks[key] = self._blocks.get(key, 0) | bits

    def minus(self, other: Places) -> Places:
        """Return the pairs that the other does not hold."""
        result = Places()
        result._blocks = {key: bits & ~other._blocks.get(key, 0) for key, bits in self._blocks.items()}
        return result

    def common(self, other: Places) -> int:
        """Return how many pairs both hold."""
        return sum((bits & other._blocks.get(key, 0)).bit_count() for key, bits in self._blocks.items())

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for name, block in sorted(self._blocks, key=lambda key: (key[1], key[0])):
            bits = self._blocks[name, block]
            while bits:
                low = bits & -bits
                yield (block << self.BLOCK_BITS) + low.bit_length() - 1, name
                bits ^= low


class PiiVerifier:
    """Check disclosed personal values against their commitments, and that each absent one was erased on record."""

    def __init__(self) -> None:
        self.disclosed = 0
        self.absent = Places()
        self.erased = Places()
        self.erased_snapshots: set[str] = set()

    def feed(self, body: dict, values: dict[str, tuple[str, str]]) -> list[Problem]:
        """Check one entry.

        :param dict values: name to (salt in hex, value) of what is disclosed for this entry.
        """
        seq, problems = body["seq"], []
        for name, expected in body["pii"].items():
            if name not in values:
                self.absent.add(seq, name)
                continue
            self.disclosed += 1
            if not _commits(name, values[name], expected):
                problems.append(Problem(seq, "pii", f"entry {seq}: {name} does not match its commitment"))
        for name in values.keys() - body["pii"].keys():
            problems.append(Problem(seq, "pii", f"entry {seq}: {name} is disclosed but was never recorded"))
        if body["type"] == "pii.erased":
            for item in body["data"].get("erased", ()):
                for name in item["names"]:
                    self.erased.add(item["seq"], name)
            self.erased_snapshots.update(body["data"].get("snapshots", ()))
        return problems

    def unexplained(self) -> Places:
        """Return what is neither disclosed nor erased on record; call it after the last entry."""
        return self.absent.minus(self.erased)


def _commits(name: str, disclosed: tuple[str, str], expected: str) -> bool:
    salt, value = disclosed
    try:
        return len(salt) == 64 and hmac.compare_digest(commitment(bytes.fromhex(salt), name, value), expected)
    except (TypeError, ValueError, AttributeError):
        return False


# === PASSKEY ===


def verify_passkey(text: str, auth: dict, subject: dict) -> tuple[str, str]:
    """Check that a passkey signed this snapshot.

    :param str text: the disclosed ``webauthn_json`` value.
    :return: verdict and sentence.
    """
    if hashlib.sha256(text.encode()).hexdigest() != auth.get("assertion_sha256"):
        return FAIL, "the assertion is not the one recorded"
    try:
        item = load_json(text)
        client_data, authenticator, signature = (
            _base64url(item[name]) for name in ("client_data_json", "authenticator_data", "signature")
        )
        client = load_json(client_data)
        challenge = webauthn_challenge(
            subject["request_id"], subject["snapshot_sha256"], item["server_nonce"]
        )
        if client["type"] != "webauthn.get" or _base64url(client["challenge"]).hex() != challenge:
            return FAIL, "the passkey signed something else than this snapshot"
        if len(authenticator) < 37 or not authenticator[32] & 0x04:
            return FAIL, "the passkey did not verify its user"
        signed = authenticator + hashlib.sha256(client_data).digest()
        return _verify_passkey_signature(item["public_key"], signature, signed)
    except (ValueError, KeyError, TypeError) as error:
        return FAIL, f"the assertion cannot be read: {error}"


def _base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _verify_passkey_signature(public_key: str, signature: bytes, signed: bytes) -> tuple[str, str]:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
    except ImportError:
        return NOT_PROVIDED, "the challenge is this snapshot; the signature needs the package cryptography"
    key = serialization.load_pem_public_key(public_key.encode())
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, signed)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return FAIL, "the passkey's signature is wrong"
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return (
        OK,
        f"signed over this snapshot by the passkey whose key has the SHA-256 {hashlib.sha256(der).hexdigest()}",
    )


# === WALLET ===


def wallet_typed_data(item: dict, subject: dict) -> dict:
    """Return the typed data (EIP-712) which a wallet signs to approve a snapshot."""
    message = {
        "request_id": subject["request_id"],
        "snapshot_sha256": "0x" + subject["snapshot_sha256"],
        **{name: item[name] for name in ("amount", "currency", "decision", "nonce")},
    }
    words = ("snapshot_sha256", "nonce")
    members = [{"name": name, "type": "bytes32" if name in words else "string"} for name in message]
    domain = (("name", "string"), ("version", "string"), ("chainId", "uint256"))
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in domain],
            "Approval": members,
        },
        "primaryType": "Approval",
        "domain": {"name": "Milestone approval", "version": "1", "chainId": item["chain_id"]},
        "message": message,
    }


def verify_wallet(
    text: str,
    auth: dict,
    subject: dict,
    data: dict,
    snapshot: dict | None = None,
    actor_ref: str | None = None,
) -> tuple[str, str]:
    """Check that the wallet which the frozen snapshot names for this approver signed this snapshot.

    :param str text: the disclosed ``wallet_json`` value.
    :param dict snapshot: what was approved; None when it was erased or is not for this reader.
    :param str actor_ref: who approved, as the entry says.
    :return: verdict and sentence.
    """
    if hashlib.sha256(text.encode()).hexdigest() != auth.get("assertion_sha256"):
        return FAIL, "the signature is not the one recorded"
    try:
        item = load_json(text)
        signed = (item["amount"], item["currency"], item["decision"])
        if signed != (data.get("amount_total"), data.get("currency"), data.get("decision")):
            return FAIL, "the wallet signed another decision or amount"
        if snapshot is not None and item["address"].lower() not in _snapshot_wallets(snapshot, actor_ref):
            return FAIL, f"wallet {item['address']} is not the one that the snapshot names for this approver"
        verdict, message = _verify_wallet_signature(item, wallet_typed_data(item, subject))
        if snapshot is None:
            message += "; the snapshot, which names the approver's wallet, is not at hand"
        return verdict, message
    except (ValueError, KeyError, TypeError) as error:
        return FAIL, f"the signature cannot be read: {error}"


def _snapshot_wallets(snapshot: dict, actor_ref: str | None) -> set[str]:
    """Return the wallets which a snapshot names for an approver, in lower case."""
    seats = [seat for seat in snapshot.get("approvers", ()) if seat.get("actor_ref") == actor_ref]
    return {seat["wallet"].lower() for seat in seats if seat.get("wallet")}


def _verify_wallet_signature(item: dict, typed_data: dict) -> tuple[str, str]:
    try:
        from eth_account import Account
        from eth_account.messages import encode_typed_data
        from eth_keys.exceptions import BadSignature, ValidationError
    except ImportError:
        return NOT_PROVIDED, "the recorded signature is enclosed; checking it needs the package eth-account"
    message = encode_typed_data(full_message=typed_data)
    try:
        signer = Account.recover_message(message, signature=item["signature"])
    except (BadSignature, ValidationError):
        return FAIL, "the wallet's signature is nobody's"
    if signer.lower() != item["address"].lower():
        return FAIL, "the wallet's signature is wrong"
    return OK, f"signed by wallet {item['address']} over this snapshot"


# === TIME STAMP (RFC 3161) ===

_SEQUENCE, _OCTETS, _INTEGER, _TIME_TAG, _TAGGED_0 = 0x30, 0x04, 0x02, 0x18, 0xA0
_SHA256_OID = bytes.fromhex("608648016503040201")
_TST_INFO_OID = bytes.fromhex("2a864886f70d0109100104")
OPENSSL_SECONDS = 30


class Der(NamedTuple):
    """One element of DER: its tag, its content, and all its bytes."""

    tag: int
    content: bytes
    whole: bytes

    def parts(self) -> list[Der]:
        """Return the elements in the content.

        :raise EvidenceError: when the content is not made of elements.
        """
        return read_der(self.content)


def read_der(data: bytes) -> list[Der]:
    """Return the elements that bytes are made of.

    :raise EvidenceError: for anything but DER.
    """
    found, place = [], 0
    while place < len(data):
        start = place
        head = data[place : place + 2]
        if len(head) < 2 or head[0] & 0x1F == 0x1F:
            raise EvidenceError("not DER")
        place, size = place + 2, head[1]
        if size >= 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[place : place + count]) if 0 < count <= 4 else len(data)
            place += count
        if place + size > len(data):
            raise EvidenceError("not DER: it ends too early")
        found.append(Der(head[0], data[place : place + size], data[start : place + size]))
        place += size
    return found


class TimeStamp(NamedTuple):
    """What an answer of a time stamping authority says: the digest, when, its nonce, its certificates, the token."""

    digest: str
    time: str
    nonce: bytes | None
    certificates: list[bytes]
    token: bytes


def read_time_stamp(data: bytes) -> TimeStamp:
    """Read an answer (TimeStampResp).

    :raise EvidenceError: when it cannot be read, or the authority refused.
    """
    try:
        (response,) = read_der(data)
        if response.tag != _SEQUENCE:
            raise EvidenceError("not a time stamp")
        status, content = response.parts()
        if int.from_bytes(status.parts()[0].content) not in (0, 1):
            raise EvidenceError("the authority refused")
        signed = content.parts()[1].parts()[0].parts()
        kind, inner = signed[2].parts()
        info = inner.parts()[0]
        if kind.content != _TST_INFO_OID or info.tag != _OCTETS:
            raise EvidenceError("not a time stamp")
        (body,) = read_der(info.content)
        parts = body.parts()
        digest = _read_imprint(parts[2])
        nonces = [item.content for item in parts[5:] if item.tag == _INTEGER]
        certificates = [cert.whole for item in signed if item.tag == _TAGGED_0 for cert in item.parts()]
        time = parts[4].content.decode() if parts[4].tag == _TIME_TAG else ""
        return TimeStamp(digest, time, nonces[0] if nonces else None, certificates, content.whole)
    except EvidenceError:
        raise
    except (ValueError, IndexError) as error:
        raise EvidenceError(f"not a time stamp: {error}") from error


def _read_imprint(imprint: Der) -> str:
    algorithm, digest = imprint.parts()
    if algorithm.parts()[0].content != _SHA256_OID or digest.tag != _OCTETS:
        raise EvidenceError("the stamp is not over a SHA-256")
    return digest.content.hex()


def read_time_query(data: bytes) -> tuple[str, bytes | None]:
    """Read a question (TimeStampReq); return its digest and its nonce.

    :raise EvidenceError: when it cannot be read.
    """
    try:
        (request,) = read_der(data)
        parts = request.parts()
        if request.tag != _SEQUENCE:
            raise EvidenceError("not a question")
        nonces = [item.content for item in parts[2:] if item.tag == _INTEGER]
        return _read_imprint(parts[1]), nonces[0] if nonces else None
    except (ValueError, IndexError) as error:
        raise EvidenceError(f"not a question: {error}") from error


def verify_time_stamp(data: bytes, stamp: TimeStamp, authority: str = "") -> tuple[str, str]:
    """Check the signature of a time stamp by the program ``openssl``.

    :param bytes data: the answer that was read as ``stamp``.
    :param str authority: path of a PEM file with the authority's root certificate, from elsewhere; without it, the
        signature is checked against the certificate in the stamp.
    :return: verdict and sentence.
    """
    said, program = f"stamped at {stamp.time}", shutil.which("openssl")
    if not program:
        return NOT_PROVIDED, f"{said}; checking its signature needs the program openssl"
    with tempfile.TemporaryDirectory() as folder:
        token, answer, chain = Path(folder, "token"), Path(folder, "answer"), Path(folder, "chain")
        token.write_bytes(stamp.token)
        answer.write_bytes(data)
        chain.write_text("".join(map(_to_pem, stamp.certificates)), encoding="ascii")
        if authority:
            command = ["ts", "-verify", "-digest", stamp.digest, "-in", answer, "-CAfile", authority]
            command += ["-untrusted", chain]
        else:
            command = [
                "cms",
                "-verify",
                "-inform",
                "DER",
                "-in",
                token,
                "-noverify",
                "-out",
                Path(folder, "out"),
            ]
        try:
            done = subprocess.run(
                [program, *command], capture_output=True, timeout=OPENSSL_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return NOT_PROVIDED, f"{said}; openssl could not check it: {type(error).__name__}"
    return _read_openssl(done, said, authority)


def _read_openssl(done: subprocess.CompletedProcess, said: str, authority: str) -> tuple[str, str]:
    if done.returncode == 0 and authority:
        return OK, f"{said} by the given authority"
    if done.returncode == 0:
        return (
            OK,
            f"{said}, signed by the enclosed certificate (compare its root with a copy from the authority)",
        )
    # Its own status for a wrong signature; others say that it did not get as far as checking.
    if b"FAILED" in done.stdout + done.stderr or done.returncode == 4:
        return FAIL, "the signature of the stamp is wrong" + (
            ", or not of the given authority" if authority else ""
        )
    return NOT_PROVIDED, f"{said}; openssl could not check it"


def _to_pem(certificate: bytes) -> str:
    return (
        f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(certificate).decode()}-----END CERTIFICATE-----\n"
    )


# === BUNDLE ===


class Item(NamedTuple):
    """One line of the report."""

    item: str
    verdict: str
    message: str


_TEXTS = ("consent", "notice")
_CHECKS = (
    "files",
    "manifest",
    "snapshots",
    "chain",
    "pii",
    "log",
    "proof",
    "mails",
    "keys",
    "invoice",
    "certificate",
    "anchors",
    "unbound",
)
# Files that only explain, or are worked out from the others: no entry stands for them.
_UNKNOWN_PRINT = (
    "no entry holds its hash; its amounts are those of invoice/content.json, if it was not changed"
)
_EXPLAINING = ("README.txt", "verify/", "dispute/")
_STAMPS = "anchors/rfc3161/"
_BESIDE = r"\.tsq|_\d+\.cer"
_KNOWN_PLACES = (
    *_EXPLAINING,
    "manifest.json",
    "certificate.pdf",
    "snapshot/",
    "chain/entries.jsonl",
    "chain/values.jsonl",
    "chain/hashes.txt",
    "chain/withheld.jsonl",
    "log/checkpoints/",
    "log/inclusion.json",
    "log/consistency.json",
    "log/public_key.pem",
    "anchors/",
    "consent/",
    "notice/",
    "proof/",
    "invoice/",
    "mail/",
    "keys/",
)


def _has_place(name: str, places: Iterable[str]) -> bool:
    """Tell whether a name is one of these, or lies in one of these folders."""
    return any(name.startswith(place) if place.endswith("/") else name == place for place in places)


# What malformed data can raise; EvidenceError is a ValueError.
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile)


def bundle_id(manifest: dict) -> str:
    """Return the id which follows from the rest of a manifest, as the addon gives it."""
    content = {name: value for name, value in manifest.items() if name != "bundle_id"}
    return str(uuid.UUID(bytes=hashlib.sha256(canonical(content)).digest()[:16], version=5))


class BundleVerifier:
    """Check an evidence bundle; ``run`` returns the report.

    :param bundle: an open zip file.
    :param str public_key: the log's key from outside the bundle, hex or PEM; else the one inside is used.
    :param str head: a chain head the reader holds, from a receipt.
    :param list secrets: secrets of invitation links the reader holds.
    :param str authority: path of the root certificate of a time stamping authority, from outside the bundle.
    """

    def __init__(
        self,
        bundle: zipfile.ZipFile,
        public_key: str = "",
        head: str = "",
        secrets: Iterable[str] = (),
        authority: str = "",
    ):
        self.bundle = bundle
        self.names = set(bundle.namelist())
        self.public_key, self.head, self.secrets = public_key, head, list(secrets)
        self.authority = authority
        self.items: list[Item] = []
        self.sums: dict[str, str] = {}
        self.snapshots: dict[str, dict] = {}
        self.hashes = bytearray()
        self.is_head_known = False
        self.log_ids: set[str] = set()
        self.wanted_snapshots: set[str] = set()
        self.texts: set[str] = set()
        self.documents: set[str] = set()
        self.invoice_hashes: set[str] = set()
        self.invoice_files: set[str] = set()
        self.certificates: dict[str, tuple[int, str | None]] = {}
        self.is_link_told = False
        self.mails: set[str] = set()
        self.keys: dict[str, list] = {"webauthn": [], "wallet": []}
        self.pii = PiiVerifier()
        self.replay = Replay(self.snapshots.get)

    def run(self) -> list[Item]:
        """Run all checks; a check that cannot read its input fails alone."""
        for name in _CHECKS:
            try:
                getattr(self, f"_check_{name}")()
            except _UNREADABLE as error:
                self._add(name, FAIL, f"cannot be checked: {type(error).__name__}: {error}")
        return self.items

    def _add(self, item: str, verdict: str, message: str) -> None:
        self.items.append(Item(item, verdict, message))

    def _read(self, name: str) -> bytes:
        if self.bundle.getinfo(name).file_size > SMALL_FILE_SIZE_MAX:
            raise EvidenceError(f"{name} is too large")
        return self.bundle.read(name)

    def _json(self, name: str) -> Any:
        return load_json(self._read(name))

    def _versioned(self, name: str) -> dict:
        content = self._json(name)
        if content.get("v", FORMAT_VERSION) != FORMAT_VERSION:
            raise EvidenceError(f"{name}: unknown format version {content['v']!r}")
        return content

    def _lines(self, name: str) -> Iterator[bytes]:
        if name in self.names:
            with self.bundle.open(name) as file:
                for line in file:
                    yield line.rstrip(b"\n")

    @property
    def _count(self) -> int:
        return len(self.hashes) // 32

    def _under(self, folder: str) -> list[str]:
        return sorted(name for name in self.names if name.startswith(folder) and not name.endswith("/"))

    # (i) every file is the one the manifest lists
    def _check_files(self) -> None:
        failed = len(self.items)
        listed = {entry["name"]: entry for entry in self._json("manifest.json")["files"]}
        if len(self.bundle.namelist()) != len(self.names):
            self._add("files", FAIL, "a name stands twice in the bundle")
        for name in sorted(self.names - listed.keys() - {"manifest.json"}):
            self._add("files", FAIL, f"{name} is not in the manifest")
        for name, entry in sorted(listed.items()):
            message = self._check_file(name, entry)
            if message:
                self._add("files", FAIL, f"{name} {message}")
        if len(self.items) == failed:
            self._add("files", OK, f"{len(listed)} files match the manifest")

    def _check_file(self, name: str, entry: dict) -> str:
        if name not in self.names:
            return "is missing"
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            return "has an unsafe name"
        if self.bundle.getinfo(name).file_size != entry["size"] or entry["size"] > FILE_SIZE_MAX:
            return "has another size than in the manifest"
        digest = hashlib.sha256()
        with self.bundle.open(name) as file:
            for chunk in iter(lambda: file.read(1 << 16), b""):
                digest.update(chunk)
        self.sums[name] = digest.hexdigest()
        return "" if self.sums[name] == entry["sha256"] else "has another SHA-256 than in the manifest"

    def _check_manifest(self) -> None:
        manifest = self._versioned("manifest.json")
        found = str(manifest.get("bundle_id", ""))
        # Other makers may draw an id at random (version 4), which tells nothing about the content.
        if found[14:15] == "5" and found != bundle_id(manifest):
            self._add("manifest", WARN, "its id does not follow from the rest of it: a field was changed")

    # (iv) snapshots are what their names say
    def _check_snapshots(self) -> None:
        for name in self._under("snapshot/"):
            data, wanted = self._read(name), name[9:].removesuffix(".json")
            if snapshot_hash(data) != wanted:
                self._add("snapshot", FAIL, f"{wanted[:12]}: the bytes do not match the hash")
                continue
            self.snapshots[wanted] = parse_strict(data)
            self._add("snapshot", OK, f"{wanted[:12]}: the bytes match the hash")

    # (ii), (iii) the chain, and (iv) the state from the events
    def _check_chain(self) -> None:
        chain, failed = ChainVerifier(self.replay), len(self.items)
        stored, values = self._stored_hashes(), _Merge(self._values())
        for line in self._lines("chain/entries.jsonl"):
            self._check_entry(chain, line, next(stored, None), values)
        for seq in (seq for seq, _hash in stored):
            self._add("chain", FAIL, f"entry {seq} is missing")
        for seq in values.rest():
            self._add("pii", FAIL, f"entry {seq}: a value is disclosed for an entry that is not there")
        if not chain.count:
            self._add("chain", FAIL, "there are no entries")
        elif not any(item.verdict == FAIL for item in self.items[failed:]):
            self._add("chain", OK, f"{chain.count} entries of chain {chain.chain_id}, head {chain.head}")
        state = ", ".join(f"{name} {value}" for name, value in self.replay.result().items() if value)
        self._add("state", OK, f"recomputed from the events: {state}")
        if self.secrets and not self.is_link_told:
            self._add("link", WARN, "no entry was made with a link")
        if self.head:
            known = self.is_head_known
            self._add(
                "head", OK if known else FAIL, f"the given head is {'in' if known else 'not in'} this chain"
            )

    def _check_entry(self, chain: ChainVerifier, line: bytes, stored: tuple | None, values: _Merge) -> None:
        row = {"seq": stored[0], "entry_hash": stored[1]} if stored else {}
        body, problems = chain.feed(line, row)
        found = entry_hash(line)
        self.hashes += bytes.fromhex(found)
        self.is_head_known = self.is_head_known or found == self.head
        if not stored:
            self._add("chain", FAIL, f"entry {self._count - 1} has no line in chain/hashes.txt")
        if body:
            try:
                problems += self.pii.feed(body, values.take(body["seq"]))
                self._note(body, values.current)
            except _UNREADABLE as error:
                self._add("chain", FAIL, f"entry {body['seq']}: it cannot be read: {error}")
        for problem in problems:
            self._add("pii" if problem.kind == "pii" else "chain", problem.verdict, problem.message)

    def _note(self, body: dict, values: dict) -> None:
        """Keep what later checks compare with files of the bundle, and check what only this entry can tell."""
        data, auth, subject = body.get("data") or {}, body.get("auth") or {}, body.get("subject") or {}
        self._note_files(body, data, subject)
        self._note_keys(body, data, auth, subject, values)
        proof = auth.get("link_proof") or data.get("link_proof")
        if proof and self.secrets:
            made = {
                link_proof(secret, body["chain_id"], subject.get("snapshot_sha256", ""))
                for secret in self.secrets
            }
            known = proof in made
            self.is_link_told = True
            self._add(
                "link",
                OK if known else WARN,
                f"entry {body['seq']}: {'made' if known else 'not made'} with it",
            )

    def _note_files(self, body: dict, data: dict, subject: dict) -> None:
        if body["type"] == "request.created":
            self.wanted_snapshots.add(data.get("snapshot_sha256") or subject.get("snapshot_sha256"))
            self.texts.update(data[name] for name in ("consent_sha256", "notice_sha256") if name in data)
        if body.get("log_id"):
            self.log_ids.add(body["log_id"])
        if body["type"] == "proof.added":
            self.documents.add(data.get("sha256"))
        if "content_sha256" in data:
            self.invoice_hashes.add(data["content_sha256"])
        if body["type"].startswith("invoice.") and "pdf_sha256" in data:
            self.invoice_files.add(data["pdf_sha256"])
        if "document_sha256" in data:
            self.documents.add(data["document_sha256"])
        if body["type"] == "certificate.issued":
            self.certificates[data.get("pdf_sha256")] = (body["seq"], data.get("state"))
        if "mail_sha256" in data:
            self.mails.add(data["mail_sha256"])

    def _note_keys(self, body: dict, data: dict, auth: dict, subject: dict, values: dict) -> None:
        for name, found in self.keys.items():
            if f"{name}_json" in values:
                found.append((body["seq"], *values[f"{name}_json"]))
        if "webauthn_json" in values:
            self._add("passkey", *verify_passkey(values["webauthn_json"][1], auth, subject))
        if "wallet_json" in values:
            snapshot = self.snapshots.get(subject.get("snapshot_sha256"))
            text, actor_ref = values["wallet_json"][1], body.get("actor_ref")
            self._add("wallet", *verify_wallet(text, auth, subject, data, snapshot, actor_ref))

    def _stored_hashes(self) -> Iterator[tuple[int, str]]:
        for line in self._lines("chain/hashes.txt"):
            seq, value = line.decode().split(" ")
            yield int(seq), value

    def _values(self) -> Iterator[tuple[int, str, tuple[str, str]]]:
        for line in self._lines("chain/values.jsonl"):
            item = load_json(line)
            yield item["entry"], item["name"], (item["salt"], item["value"])

    # (v) personal data: disclosed, erased on record, withheld from this reader, or else missing
    def _check_pii(self) -> None:
        withheld = Places()
        for line in self._lines("chain/withheld.jsonl"):
            item = load_json(line)
            if (item["entry"], item["name"]) not in self.pii.absent:
                self._add(
                    "pii", FAIL, f"entry {item['entry']}: {item['name']} is called withheld, and is not"
                )
            withheld.add(item["entry"], item["name"])
        missing = self.pii.unexplained()
        for seq, name in missing.minus(withheld):
            self._add("pii", FAIL, f"entry {seq}: {name} is neither disclosed nor erased on record")
        self._add("pii", OK, f"{self.pii.disclosed} disclosed values match their commitments")
        if erased := self.pii.absent.common(self.pii.erased):
            self._add("pii", ERASED, f"{erased} values were erased, on record")
        if count := missing.common(withheld):
            self._add("pii", NOT_PROVIDED, f"{count} values are not for this reader; their commitments stay")
        self._check_missing_snapshots()

    def _check_missing_snapshots(self) -> None:
        for found in sorted(self.snapshots.keys() - self.wanted_snapshots):
            self._add("snapshot", FAIL, f"{found[:12]}: no request was made with it")
        for wanted in sorted(filter(None, self.wanted_snapshots - self.snapshots.keys())):
            erased = wanted in self.pii.erased_snapshots
            self._add(
                "snapshot", ERASED if erased else FAIL, f"{wanted[:12]}: {'erased' if erased else 'missing'}"
            )

    # (vi) the company log
    def _check_log(self) -> None:
        notes = {}
        for name in self._under("log/checkpoints/"):
            checkpoint = parse_checkpoint(self._read(name).decode())
            if checkpoint.size in notes:
                self._add("log", FAIL, f"{name}: there is another checkpoint of size {checkpoint.size}")
            notes[checkpoint.size] = checkpoint
            self._check_signature(name, checkpoint)
        if not notes:
            # Who gives a key wants a signature by it.
            verdict = WARN if self.public_key else NOT_PROVIDED
            self._add("log", verdict, "no checkpoint: the entries are not in a company log yet")
            return
        self._check_log_names(notes)
        proved = Places()
        for proof in self._proofs("log/inclusion.json"):
            if self._check_inclusion(proof, notes):
                proved.add(proof["seq"], "")
        self._add("log", OK, f"{len(proved)} of {self._count} entries proved in the company log")
        if len(proved) < self._count:
            # Somebody may have added them to entries that the log proves.
            self._add("log", WARN, f"{self._count - len(proved)} entries have no proof")
        self._check_consistency(notes)

    def _check_log_names(self, notes: dict) -> None:
        """Compare the log that the entries name with that of the checkpoints and proofs."""
        named = {note.origin.rpartition("/")[2] for note in notes.values()}
        head = next(self._lines("log/inclusion.json"), b"")
        for name, value in re.findall(
            rb'"(log_id|v)": ?"?([^",}]+)', head[:_HEAD_SIZE].partition(b'"proofs"')[0]
        ):
            if name == b"log_id":
                named.add(value.decode())
            elif value != b"%d" % FORMAT_VERSION:
                self._add("log", FAIL, "log/inclusion.json: unknown format version")
        for log_id in sorted(named - self.log_ids if self.log_ids else ()):
            self._add("log", FAIL, f"log {log_id}: no entry names it")

    def _check_signature(self, name: str, checkpoint: Checkpoint) -> None:
        inside = "log/public_key.pem" in self.names and self._read("log/public_key.pem").decode()
        key = self.public_key or inside
        if not key or not checkpoint.signatures:
            verdict = WARN if self.public_key else NOT_PROVIDED
            self._add("signature", verdict, f"{name}: unsigned, or no public key at hand")
            return
        public, where = public_key_bytes(key), "given" if self.public_key else "enclosed"
        wanted = (checkpoint.origin, key_id(checkpoint.origin, public))
        if wanted not in {(signer, kid) for signer, kid, _data in checkpoint.signatures}:
            self._add("signature", WARN, f"{name}: signed by another key than the {where} one")
            return
        verdict = verify_checkpoint(checkpoint, public)
        if verdict is None:
            self._add("signature", NOT_PROVIDED, f"{name}: checking it needs the package cryptography")
        elif verdict:
            hint = "" if self.public_key else " (compare that key with a copy from elsewhere)"
            self._add("signature", OK, f"{name}: signed by the {where} key{hint}")
        else:
            self._add("signature", FAIL, f"{name}: the signature is wrong")

    def _check_inclusion(self, proof: dict, notes: dict) -> bool:
        seq, checkpoint = proof["seq"], notes.get(proof["tree_size"])
        path = [bytes.fromhex(node) for node in proof["path"]]
        known = 0 <= seq < self._count and self.hashes[32 * seq : 32 * seq + 32].hex() == proof["entry_hash"]
        good = known and checkpoint is not None
        if not good or not verify_inclusion(
            leaf_hash(proof["entry_hash"]), proof["index"], checkpoint.size, path, checkpoint.root
        ):
            self._add("log", FAIL, f"entry {seq}: its place in the company log is not proved")
            return False
        return True

    def _proofs(self, name: str) -> Iterator[dict]:
        """Yield proofs one by one; the addon writes one a line, so that a long list needs little memory."""
        lines = self._lines(name)
        if not next(lines, b"").endswith(b'"proofs":['):
            yield from self._json(name)["proofs"] if name in self.names else ()
            return
        for line in lines:
            if line.startswith(b"{"):
                yield load_json(line.removesuffix(b","))

    def _check_consistency(self, notes: dict) -> None:
        name = "log/consistency.json"
        content = self._versioned(name) if name in self.names else {"proofs": []}
        found = {(proof["from"], proof["to"]): proof["path"] for proof in content["proofs"]}
        for old, new in found:
            if old not in notes or new not in notes:
                self._add("log", FAIL, f"the proof from size {old} to {new} belongs to no checkpoints here")
        sizes = sorted(notes)
        for old, new in itertools.pairwise(sizes):
            if (old, new) not in found:
                # One of them may be of another history.
                self._add("log", WARN, f"no consistency proof from size {old} to {new}")
                continue
            path = [bytes.fromhex(node) for node in found[old, new]]
            good = verify_consistency(old, new, notes[old].root, notes[new].root, path)
            self._add("log", OK if good else FAIL, f"from size {old} to {new} the log was only appended to")

    # files the client saw, and the texts
    def _check_proof(self) -> None:
        uuids = {name[6:].partition("_")[0]: name for name in self._under("proof/")}
        shown = set()
        for snapshot in self.snapshots.values():
            for file in snapshot.get("files", ()):
                name = uuids.get(str(file.get("file_uuid")))
                shown.add(name)
                if not name:
                    self._add(
                        "proof",
                        NOT_PROVIDED,
                        f"{file.get('name')}: not enclosed, SHA-256 {file.get('sha256')}",
                    )
                    continue
                good = self.sums.get(name) == file.get("sha256")
                self._add(
                    "proof",
                    OK if good else FAIL,
                    f"{file.get('name')}: the file {'as' if good else 'not as'} shown",
                )
        for name in sorted(set(self._under("proof/")) - shown):
            if self.sums.get(name) in self.documents:
                self._add("proof", OK, f"{name}: a document of the chain")
            else:
                self._add("proof", self._stranger, f"{name}: in no submission and no entry that is enclosed")
        self._check_texts()

    @property
    def _stranger(self) -> str:
        """Verdict on a file that no enclosed submission shows: one that was erased may have shown it."""
        return NOT_PROVIDED if self.wanted_snapshots - self.snapshots.keys() else FAIL

    def _check_texts(self) -> None:
        texts = [(item.get(name) or {}).get("text") for item in self.snapshots.values() for name in _TEXTS]
        known = self.texts | {hashlib.sha256(text.encode()).hexdigest() for text in texts if text is not None}
        enclosed = set()
        for name in self._under("consent/") + self._under("notice/"):
            wanted = name.partition("/")[2].removesuffix(".txt")
            enclosed.add(wanted)
            good = self.sums.get(name) == wanted
            self._add(
                "text", OK if good else FAIL, f"{name} {'matches' if good else 'does not match'} its name"
            )
            if known and wanted not in known:
                self._add("text", self._stranger, f"{name}: in no submission that is enclosed")
        if missing := len(known - enclosed):
            self._add("text", NOT_PROVIDED, f"{missing} texts of consent or notice are not enclosed as files")

    # mails to the approvers, as they were queued
    def _check_mails(self) -> None:
        names = self._under("mail/")
        for name in names:
            good = self.sums.get(name) in self.mails
            self._add("mail", OK if good else FAIL, f"{name}: the mail {'as' if good else 'not as'} recorded")
        missing = len(self.mails - {self.sums.get(name) for name in names})
        if missing:
            self._add("mail", NOT_PROVIDED, f"{missing} mails are erased or not for this reader")

    # (viii) what keys of the approver signed; the signatures are checked with their entries
    def _check_keys(self) -> None:
        for name in self._under("keys/"):
            if name not in {f"keys/{kind}.json" for kind in self.keys}:
                self._add("keys", WARN, f"{name} has no place in a bundle")
        for kind, wanted in self.keys.items():
            name = f"keys/{kind}.json"
            if name not in self.names:
                self._add("keys", NOT_PROVIDED, f"no {kind} signature is enclosed")
                continue
            found = self._versioned(name)["assertions"]
            good = found and len(found) == len(wanted)
            for item, (seq, salt, value) in zip(found, wanted, strict=False):
                told = (
                    item["entry"],
                    item.get("name", f"{kind}_json"),
                    item.get("salt", salt),
                    item["value"],
                )
                good = good and told == (seq, f"{kind}_json", salt, value)
            self._add(
                "keys",
                OK if good else FAIL,
                f"{name} {'holds' if good else 'does not hold'} what the entries commit to",
            )

    def _check_invoice(self) -> None:
        known = self.invoice_hashes | {
            item.get("invoice_draft_content_sha256") for item in self.snapshots.values()
        }
        if "invoice/content.json" in self.names:
            good = invoice_hash(self._read("invoice/content.json")) in known
            self._add(
                "invoice", OK if good else FAIL, f"its content {'is' if good else 'is not'} what was recorded"
            )
        elif self.replay.invoice:
            self._add("invoice", NOT_PROVIDED, "the content of the invoice is not enclosed")
        for name in self._under("invoice/"):
            if name == "invoice/content.json":
                continue
            if self.sums.get(name) in self.invoice_files:
                self._add("invoice", OK, f"{name}: the file that was sent")
            else:
                self._add(
                    "invoice", WARN if self.invoice_files else NOT_PROVIDED, f"{name}: {_UNKNOWN_PRINT}"
                )
        if missing := len(self.invoice_files - set(self.sums.values())):
            self._add("invoice", NOT_PROVIDED, f"{missing} files that were sent are not enclosed")

    def _check_certificate(self) -> None:
        found = self.sums.get("certificate.pdf")
        seq, printed = self.certificates.get(found, (None, None))
        if not found:
            self._add("certificate", NOT_PROVIDED, "no certificate is enclosed")
        elif seq is None:
            self._add("certificate", FAIL, "the enclosed certificate was never issued by an entry")
        elif printed not in (None, self.replay.state()):
            message = f"issued by entry {seq}, it prints state {printed!r}; now it is {self.replay.state()!r}"
            self._add("certificate", WARN, message)
        else:
            self._add("certificate", OK, f"issued by entry {seq}, state as the events say")

    # (vii) anchors outside; what cannot be checked offline is said to be so
    def _check_anchors(self) -> None:
        notes = [parse_checkpoint(self._read(name).decode()) for name in self._under("log/checkpoints/")]
        digests = {note.digest for note in notes}
        names = self._under("anchors/")
        for name in names:
            if not name.startswith(_STAMPS):
                verdict, message = self._check_anchor(name, digests)
                self._add("anchor", verdict, f"{name}: {message}")
        stamps = [name for name in names if name.startswith(_STAMPS)]
        self._check_stamps(stamps, digests)
        if self.authority and not stamps:
            self._add("anchor", WARN, "no time stamp of the given authority is enclosed")
        if not names:
            self._add("anchor", NOT_PROVIDED, "no anchor outside the seller's reach is enclosed")

    def _check_stamps(self, names: list[str], digests: set[str]) -> None:
        """Check time stamps, and that the files beside each one are its question and its certificates."""
        rest = set(names)
        for name in names:
            if not name.endswith(".tsr"):
                continue
            stem = name.removesuffix(".tsr")
            pattern = re.compile(f"{re.escape(stem)}({_BESIDE})")
            beside = [other for other in names if pattern.fullmatch(other)]
            rest -= {name, *beside}
            try:
                data = self._read(name)
                stamp = read_time_stamp(data)
                verdict, message = self._check_stamp(data, stamp, digests)
                self._add("anchor", verdict, f"{name}: {message}")
                self._check_beside(stem, stamp, beside)
            except _UNREADABLE as error:
                self._add("anchor", FAIL, f"{name}: {error}")
                for other in beside:
                    self._add("anchor", FAIL, f"{other}: it belongs to no stamp that can be read")
        for name in sorted(rest):
            self._add("anchor", FAIL, f"{name}: it belongs to no stamp")

    def _check_stamp(self, data: bytes, stamp: TimeStamp, digests: set[str]) -> tuple[str, str]:
        if stamp.digest not in digests:
            return FAIL, "the stamp is over something else"
        return verify_time_stamp(data, stamp, self.authority)

    def _check_beside(self, stem: str, stamp: TimeStamp, beside: list[str]) -> None:
        wanted = {f"{stem}_{number}.cer": cert for number, cert in enumerate(stamp.certificates, 1)}
        question = f"{stem}.tsq" if stamp.nonce is not None else ""
        for name in sorted({*wanted, question} - {"", *beside}):
            self._add("anchor", NOT_PROVIDED, f"{name}: not enclosed")
        for name in beside:
            data = self._read(name)
            if name.endswith(".tsq"):
                good, noun = (
                    read_time_query(data) == (stamp.digest, stamp.nonce),
                    "the question of this stamp",
                )
            else:
                good, noun = wanted.get(name) == data, "the certificate of this stamp in its place"
            self._add("anchor", OK if good else FAIL, f"{name}: {'' if good else 'not '}{noun}")

    def _check_unbound(self) -> None:
        """Name what stands in the bundle without an entry behind it, so that nobody takes it for evidence."""
        unknown = [name for name in sorted(self.names) if not _has_place(name, _KNOWN_PLACES)]
        for name in unknown:
            self._add("unbound", WARN, f"{name} has no place in a bundle")
        explaining = [name for name in sorted(self.names) if _has_place(name, _EXPLAINING)]
        if explaining:
            self._add("unbound", NOT_PROVIDED, f"not evidence, only words about it: {', '.join(explaining)}")

    def _check_anchor(self, name: str, digests: set[str]) -> tuple[str, str]:
        data = self._read(name)
        if name.endswith(".eml"):
            message = email.message_from_bytes(data, policy=email.policy.default)
            texts = [part.get_content() for part in message.walk() if part.get_content_maintype() == "text"]
            found = any(digest in text for digest in digests for text in texts)
            return (
                (OK, "the mail names the checkpoint (compare it with the one in the mailbox)")
                if found
                else (FAIL, "the mail names another checkpoint")
            )
        if name.endswith("onchain.json"):
            anchors = self._versioned(name)["anchors"]
            found = all(anchor.get("digest") in digests for anchor in anchors)
            return (
                (NOT_PROVIDED, "names the checkpoint; look the transaction up")
                if found
                else (FAIL, "names another")
            )
        return WARN, "it is no anchor of a known kind"


class _Merge:
    """Hand out disclosed values entry by entry from a stream in the order of entries, without holding them all."""

    def __init__(self, rows: Iterator[tuple[int, str, tuple[str, str]]]):
        self._rows = rows
        self._ahead = next(rows, None)
        self.current: dict[str, tuple[str, str]] = {}

    def take(self, seq: int) -> dict[str, tuple[str, str]]:
        """Return the values of one entry."""
        self.current = {}
        while self._ahead and self._ahead[0] == seq:
            self.current[self._ahead[1]] = self._ahead[2]
            self._ahead = next(self._rows, None)
        return self.current

    def rest(self) -> Iterator[int]:
        """Yield the entries of values that no entry took."""
        while self._ahead:
            yield self._ahead[0]
            self._ahead = next(self._rows, None)


def exit_status(items: Iterable[Item]) -> int:
    """Return 0 when nothing failed, 1 with warnings, 2 when something failed."""
    verdicts = {item.verdict for item in items}
    return 2 if FAIL in verdicts else int(WARN in verdicts)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Check an evidence bundle of a milestone approval.")
    parser.add_argument("bundle", help="the ZIP file")
    parser.add_argument("--head", default="", help="a chain head you hold, from a receipt")
    parser.add_argument(
        "--link-secret", action="append", default=[], help="the secret of your invitation link"
    )
    parser.add_argument("--public-key", help="file with the log's public key, from outside the bundle")
    parser.add_argument("--tsa-ca", default="", help="PEM file with the root of the time stamping authority")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    try:
        key = Path(options.public_key).read_text(encoding="ascii") if options.public_key else ""
        with zipfile.ZipFile(options.bundle) as bundle:
            items = BundleVerifier(bundle, key, options.head, options.link_secret, options.tsa_ca).run()
    except (OSError, *_UNREADABLE) as error:
        items = [Item("bundle", FAIL, f"cannot be read: {error}")]
    status = exit_status(items)
    if options.json:
        print(
            json.dumps({"v": 1, "exit_status": status, "items": [item._asdict() for item in items]}, indent=1)
        )
    else:
        for item in items:
            print(f"{item.verdict:<13}{item.item:<12}{item.message}")
        print(f"exit status {status} ({('nothing failed', 'with warnings', 'SOMETHING FAILED')[status]})")
    return status


if __name__ == "__main__":
    sys.exit(main())
