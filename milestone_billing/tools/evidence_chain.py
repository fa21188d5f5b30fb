"""Build the entries of an evidence chain.

Hashes and canonical bytes come from ``verify.py``, so that what is written is by construction what is checked.
No clock and no source of randomness here: the caller passes both.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from .retention import LENGTH_MAX, PII_CLASS
from .verify import FORMAT_VERSION, ZERO_HASH, EvidenceError, canonical, commitment, entry_hash

ACTOR_KINDS = ("internal_user", "portal_user", "link_holder", "provider", "system")
_TYPE = re.compile(r"[a-z_]+\.[a-z_]+\Z")
_EVENT_KEYS = frozenset(
    ("chain_id", "type", "actor_kind", "actor_ref", "subject", "auth", "http", "data", "pii", "log_id")
)


class Value(NamedTuple):
    """A personal value and the salt of its commitment; both are deleted when the value is erased."""

    name: str
    salt: str
    value: str


class Entry(NamedTuple):
    """A built entry: parsed and exact body, its hash, and the personal values kept beside it."""

    body: dict
    text: str
    hash: str
    values: list[Value]


class Head(NamedTuple):
    """The end of a chain: the sequence number and hash of its last entry."""

    seq: int
    hash: str


EMPTY_HEAD = Head(-1, ZERO_HASH)


def new_uuid(draw: Callable[[int], bytes]) -> str:
    """Return a random UUID (version 4) from the given source of bytes."""
    return str(uuid.UUID(bytes=draw(16), version=4))


def check_event(event: dict) -> None:
    """Refuse an event that does not follow the schema.

    :raise EvidenceError: the message names what is wrong.
    """
    unknown = event.keys() - _EVENT_KEYS
    if unknown:
        raise EvidenceError(f"unknown keys in an event: {', '.join(sorted(unknown))}")
    if not _TYPE.match(event.get("type") or ""):
        raise EvidenceError(f"{event.get('type')!r} is not an event type")
    if event.get("actor_kind", "system") not in ACTOR_KINDS:
        raise EvidenceError(f"{event['actor_kind']!r} is not a kind of actor")
    unknown = (event.get("pii") or {}).keys() - PII_CLASS.keys()
    if unknown:
        raise EvidenceError(f"no retention rule covers: {', '.join(sorted(unknown))}")


def commit_values(
    pii: dict[str, str] | None, draw: Callable[[int], bytes]
) -> tuple[dict[str, str], list[Value]]:
    """Return the commitments to personal values, and the values with a fresh salt each; empty ones are left out."""
    commitments, values = {}, []
    for name, plain in sorted((pii or {}).items()):
        if plain in (None, "", False):
            continue
        value = str(plain)[: LENGTH_MAX.get(name)]
        salt = draw(32)
        canonical(value)
        commitments[name] = commitment(salt, name, value)
        values.append(Value(name, salt.hex(), value))
    return commitments, values


def build_entry(
    event: dict[str, Any], head: Head, now: str, software: str, draw: Callable[[int], bytes]
) -> Entry:
    """Build the entry that follows a head.

    :param dict event: ``chain_id``, ``type``, ``log_id`` and, as far as they apply, ``actor_kind``, ``actor_ref``,
        ``subject``, ``auth``, ``http``, ``data``, ``pii`` (name to plain value).
    :param str now: UTC, ``YYYY-MM-DDTHH:MM:SS.ffffffZ``.
    :param draw: returns that many random bytes.
    :raise EvidenceError: when the event or a value in it does not follow the schema.
    """
    check_event(event)
    commitments, values = commit_values(event.get("pii"), draw)
    body = {
        "v": FORMAT_VERSION,
        "type": event["type"],
        "chain_id": event["chain_id"],
        "seq": head.seq + 1,
        "prev": head.hash,
        "event_id": new_uuid(draw),
        "nonce": draw(16).hex(),
        "occurred_at": now,
        "log_id": event.get("log_id"),
        "software": software,
        "actor_kind": event.get("actor_kind", "system"),
        "actor_ref": event.get("actor_ref") or None,
        "subject": event.get("subject") or {},
        "auth": event.get("auth") or None,
        "http": event.get("http") or None,
        "data": event.get("data") or {},
        "pii": commitments,
    }
    exact = canonical(body)
    return Entry(body, exact.decode(), entry_hash(exact), values)


def next_head(entry: Entry) -> Head:
    """Return the head of a chain after an entry."""
    return Head(entry.body["seq"], entry.hash)
