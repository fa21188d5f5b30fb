"""Tell a chain as a story: who was asked, what was shown, who decided, how we knew, what was paid.

Input are events (parsed bodies with their hash and the personal values that are still there) and parsed snapshots;
the certificate, the dispute files and their timeline are made from the result. Nothing else is consulted, so they
cannot say more than the evidence does.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any, NamedTuple

from .verify import Replay, load_json

DECISIONS = (
    "approval.granted",
    "approval.declined",
    "approval.changes_requested",
    "approval.on_behalf",
    "approval.repudiated",
    "request.deemed_accepted",
)
CONTACT_PREFIXES = ("link.", "auth.", "review.")
SENDING = ("request.sent", "request.delivery", "request.reminded", "receipt.sent")
PAYMENT_PREFIXES = ("pay.", "payment.", "invoice.")
SHORT_HASH = 12
CLIENT_SIDE = ("link_holder", "portal_user")
MASKED = "***"


class Event(NamedTuple):
    """An entry as it is told: parsed body, hash, and personal values by name (None where erased)."""

    body: dict
    hash: str
    pii: dict[str, str | None]

    @property
    def type(self) -> str:
        """Event type."""
        return self.body["type"]

    @property
    def data(self) -> dict:
        """Type-specific data."""
        return self.body.get("data") or {}

    @property
    def subject(self) -> dict:
        """What it is about."""
        return self.body.get("subject") or {}

    @property
    def auth(self) -> dict:
        """How the actor was known."""
        return self.body.get("auth") or {}

    @property
    def time(self) -> str:
        """UTC, to the second, as people read it."""
        return f"{self.body['occurred_at'][:19].replace('T', ' ')} UTC"


def mask_email(address: str | None) -> str:
    """Return an address with all but the first letter before the sign hidden; nothing for no address."""
    local, at, domain = (address or "").rpartition("@")
    return f"{local[:1]}***@{domain}" if at else "***" if address else ""


def network_value(events: list[Event], event: Event, name: str, is_masked: bool) -> str:
    """Return a network or device value of an event as a certificate may print it.

    One certificate goes to everybody on the client's side. So it prints these values only while there is a single
    person on that side whose they can be; with a second one, nobody's are shown, and those of staff never.

    :param bool is_masked: False for the dispute copy, which shows everything.
    """
    value = event.pii.get(name) or ""
    if not is_masked or not value:
        return value
    people = {item.body.get("actor_ref") for item in events if item.body["actor_kind"] in CLIENT_SIDE}
    return value if event.body["actor_kind"] in CLIENT_SIDE and len(people) == 1 else MASKED


def signing_key(event: Event) -> tuple[str, str] | None:
    """Return the key of the approver's own that signed a decision, None where none did or it was erased.

    :return: "passkey" and the SHA-256 of its public key, or "wallet" and its address.
    """
    for kind in ("passkey", "wallet"):
        text = event.pii.get("webauthn_json" if kind == "passkey" else "wallet_json")
        if text and hashlib.sha256(text.encode()).hexdigest() == event.auth.get("assertion_sha256"):
            return _read_key(kind, text)
    return None


def _read_key(kind: str, text: str) -> tuple[str, str] | None:
    try:
        item = load_json(text)
        return kind, _key_hash(item["public_key"]) if kind == "passkey" else str(item["address"])
    except (ValueError, LookupError, TypeError, AttributeError):
        # A forged entry: the certificate names its problems, and is printed all the same.
        return None


def _key_hash(pem: str) -> str:
    """Return the SHA-256 of a public key in PEM, over its DER form (SubjectPublicKeyInfo)."""
    lines = (line for line in pem.splitlines() if not line.startswith("-----"))
    return hashlib.sha256(base64.b64decode("".join(lines))).hexdigest()


def summarize(events: list[Event], snapshots: dict[str, dict]) -> dict[str, Any]:
    """Return the sections of a certificate, from the events and snapshots of one chain."""
    replay = Replay(snapshots.get)
    problems = [problem for event in events for problem in replay.feed(event.body)]
    result = replay.result()
    sha256 = result["snapshot_sha256"]
    revision = [event for event in events if event.subject.get("snapshot_sha256") in (None, sha256)]
    return {
        "result": result,
        "problems": problems,
        "snapshot": snapshots.get(sha256) or {},
        "snapshot_erased": bool(sha256) and sha256 not in snapshots,
        "decisions": [event for event in revision if event.type in DECISIONS],
        "sending": [event for event in revision if event.type in SENDING],
        "contact": [event for event in revision if event.type.startswith(CONTACT_PREFIXES)],
        "payment": [event for event in events if event.type.startswith(PAYMENT_PREFIXES)],
        "files": _files(snapshots.get(sha256) or {}, revision),
        "erased": _erased(events),
        "events": events,
    }


def _files(snapshot: dict, events: list[Event]) -> list[dict]:
    """Return the files of a snapshot, each with what the events tell of it.

    That is the first time the approver opened it, and when it was taken as the file itself claims.
    """
    opened: dict[str, str] = {}
    captured: dict[tuple[str, str], str | None] = {}
    for event in events:
        if event.type == "review.file_opened":
            opened.setdefault(str(event.data.get("file_uuid")), event.time)
        elif event.type == "proof.added":
            captured[_file_key(event.data)] = event.data.get("captured_at_claimed")
    return [
        {
            **item,
            "opened": opened.get(str(item.get("file_uuid"))),
            "captured_at_claimed": captured.get(_file_key(item)),
        }
        for item in snapshot.get("files", ())
    ]


def _file_key(item: dict) -> tuple[str, str]:
    """Return what a file is found by: under its identifier there may have been other bytes."""
    return str(item.get("file_uuid")), str(item.get("sha256"))


def _erased(events: list[Event]) -> list[str]:
    """Return what was erased on record, as texts "entry 5: ip, user_agent"."""
    return [
        f"entry {item['seq']}: {', '.join(item['names'])}"
        for event in events
        if event.type == "pii.erased"
        for item in event.data.get("erased", ())
    ]


def find_value(events: list[Event], name: str) -> str:
    """Return the latest personal value of a name among events, or an empty text."""
    return next((event.pii[name] for event in reversed(events) if event.pii.get(name)), "")
