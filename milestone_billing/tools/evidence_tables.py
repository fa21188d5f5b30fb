"""Compare what stands beside the bodies, in the columns of the tables, with what the entries say.

The body of an entry is hashed; the rows about it are not. Yet they decide who reads what, when it is erased and what a
certificate is taken for. So each of their columns is compared with an entry or with another row, and a row that is
gone, or that nobody recorded, is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .verify import (
    CLOCK_BACK_SECONDS_MAX,
    EvidenceError,
    Places,
    Problem,
    parse_checkpoint,
    seconds_of,
    snapshot_hash,
    verify_checkpoint,
)

_SHORT = 12


class TableVerifier:
    """Compare the rows of one chain with its entries; feed it the entries in their order, then ask."""

    def __init__(self) -> None:
        self.rowless = Places()
        self.erased_rows: dict[str, Places] = {}
        self.erased: dict[str, Places] = {}
        self.snapshot_erasures: dict[str, str | None] = {}
        self.snapshots: dict[str, tuple[int, str | None]] = {}
        self.certificates: dict[str, tuple[int, dict]] = {}
        self.last_erasure = -1
        self.anchors: dict[tuple, tuple[int, dict]] = {}

    # === ENTRIES ===

    def feed(self, body: dict) -> None:
        """Note what an entry says about rows elsewhere."""
        kind, data, seq = body["type"], body.get("data") or {}, body["seq"]
        subject = body.get("subject") or {}
        if kind == "request.created":
            sha256 = data.get("snapshot_sha256") or subject.get("snapshot_sha256")
            self.snapshots[sha256] = (seq, data.get("frozen_at"))
        elif kind == "certificate.issued":
            self.certificates[data.get("number")] = (seq, data)
        elif kind == "anchor.recorded":
            self.anchors[data.get("kind"), data.get("reference")] = (seq, data)
        elif kind == "pii.erased":
            self.last_erasure = seq
            self._feed_erasure(data)

    def _feed_erasure(self, data: dict) -> None:
        places = self.erased.setdefault(data.get("erased_at") or "", Places())
        for item in data.get("erased", ()):
            for name in item["names"]:
                places.add(item["seq"], name)
        self.snapshot_erasures |= dict.fromkeys(data.get("snapshots", ()), data.get("erased_at"))

    # === COLUMNS OF AN ENTRY ===

    @staticmethod
    def check_company(row: dict) -> list[Problem]:
        """Compare the company of an entry with that of the log which the entry names.

        :param dict row: `seq`, `company_ref`, `log_company` (None where the log is not there).
        """
        seq, company, expected = row["seq"], row["company_ref"], row["log_company"]
        if expected is None:
            return [Problem(seq, "column", f"entry {seq}: the log it names is not there")]
        if company != expected:
            message = f"entry {seq}: its company is {company}, that of its log is {expected}"
            return [Problem(seq, "column", message)]
        return []

    # === PERSONAL VALUES ===

    def check_values(self, row: dict, body: dict, values: dict[str, dict]) -> list[Problem]:
        """Check the rows of personal values of one entry; see `PiiVerifier` for the values themselves.

        :param dict row: `id`, `seq`, `company_ref` of the entry.
        :param dict values: name to `entry_id`, `company_ref`, `salt`, `value`, `erased_at`.
        """
        seq, problems = row["seq"], []
        for name in body["pii"].keys() - values.keys():
            self.rowless.add(seq, name)
        for name, value in values.items():
            problems += [
                Problem(seq, "pii", f"entry {seq}: {text}") for text in self._check_value(row, name, value)
            ]
            if value["erased_at"] is None:
                continue
            if name not in body["pii"]:
                problems.append(Problem(seq, "pii", f"entry {seq}: {name} is erased but was never recorded"))
            self.erased_rows.setdefault(value["erased_at"], Places()).add(seq, name)
        return problems

    @staticmethod
    def _check_value(row: dict, name: str, value: dict) -> Iterable[str]:
        if value["entry_id"] != row["id"]:
            yield f"the value of {name} names another entry"
        if value["company_ref"] != row["company_ref"]:
            yield f"the value of {name} names another company"
        if value["erased_at"] is not None and (value["salt"], value["value"]) != (None, None):
            yield f"the value of {name} is called erased, and is not"

    def check_erasures(self) -> list[Problem]:
        """Compare the rows that are erased with the erasures on record; call it after the last entry."""
        recorded = Places()
        for places in self.erased.values():
            recorded.update(places)
        gone = [
            Problem(seq, "pii", f"entry {seq}: the row of {name}, erased on record, is gone")
            for seq, name in self.rowless.minus(self.rowless.minus(recorded))
        ]
        return gone + self._check_times() + self._check_kept(recorded)

    def _check_times(self) -> list[Problem]:
        """Find rows whose time of erasure is not that of the entry about it; old entries do not tell one."""
        untold, problems = self.erased.get("", Places()), []
        for time, places in self.erased_rows.items():
            known = self.erased.get(time, Places())
            for seq, name in places.minus(untold).minus(known):
                if any((seq, name) in other for other in self.erased.values()):
                    message = f"entry {seq}: the erasure of {name} is not of the time on record"
                    problems.append(Problem(seq, "pii", message))
        return problems

    def _check_kept(self, recorded: Places) -> list[Problem]:
        """Find values that are still there although their erasure is on record, as after restoring a backup."""
        rest = recorded.minus(self.rowless)
        for places in self.erased_rows.values():
            rest = rest.minus(places)
        return [
            Problem(seq, "pii", f"entry {seq}: {name} was erased on record, and is there again")
            for seq, name in rest
        ]

    # === SNAPSHOTS ===

    def check_snapshots(self, rows: list[dict], company: int | None) -> list[Problem]:
        """Check the rows of frozen submissions.

        :param list rows: `sha256`, `company_ref`, `body`, `occurred_at`, `erased_at` of those of this chain.
        """
        problems = []
        for row in rows:
            seq, _time = self.snapshots.get(row["sha256"], (None, None))
            problems += [
                Problem(seq, "snapshot", f"snapshot {row['sha256'][:_SHORT]}: {text}")
                for text in self._check_snapshot(row, company)
            ]
        kept = {row["sha256"] for row in rows}
        for sha256, (seq, _time) in self.snapshots.items():
            if sha256 and sha256 not in kept:
                message = f"entry {seq}: the snapshot {sha256[:_SHORT]} is gone"
                problems.append(Problem(seq, "snapshot", message))
        return problems

    def _check_snapshot(self, row: dict, company: int | None) -> Iterable[str]:
        """Name what is wrong with the row of one frozen submission."""
        _seq, frozen_at = self.snapshots.get(row["sha256"], (None, None))
        if row["sha256"] not in self.snapshots:
            yield "no request was made with it"
        if company is not None and row["company_ref"] != company:
            yield "it names another company than the chain"
        if frozen_at and row["occurred_at"] != frozen_at:
            yield f"its time is {row['occurred_at']}, the entry says {frozen_at}"
        if row["erased_at"] is None:
            if row["body"] is None or snapshot_hash(row["body"].encode()) != row["sha256"]:
                yield "does not match its hash"
            if row["sha256"] in self.snapshot_erasures:
                yield "was erased on record, and is there again"
            return
        if row["body"] is not None:
            yield "is called erased, and is not"
        if row["sha256"] not in self.snapshot_erasures:
            yield "is gone, and no erasure is on record"
        elif self.snapshot_erasures[row["sha256"]] not in (None, row["erased_at"]):
            yield "its erasure is not of the time on record"

    # === CERTIFICATES AND ANCHORS ===

    def check_certificates(self, rows: list[dict], company: int | None) -> list[Problem]:
        """Check the rows of issued certificates: all columns, and `file_sha256`.

        Erasing personal data removes all certificates of a chain; otherwise each that was issued is there.
        """
        problems = []
        for row in rows:
            seq, data = self.certificates.get(row["number"], (None, None))
            problems += [
                Problem(seq, "certificate", f"certificate {row['number']}: {text}")
                for text in self._check_certificate(row, data, company)
            ]
        kept = {row["number"] for row in rows}
        return problems + [
            Problem(seq, "certificate", f"entry {seq}: the certificate {number} is gone")
            for number, (seq, _data) in self.certificates.items()
            if number not in kept and seq > self.last_erasure
        ]

    @staticmethod
    def _check_certificate(row: dict, data: dict | None, company: int | None) -> Iterable[str]:
        if data is None:
            yield "no entry says that it was issued"
            return
        if row["sha256"] != data.get("pdf_sha256"):
            yield "its hash is not the one on record"
        if row["file_sha256"] != data.get("pdf_sha256"):
            yield "the file is not the one that was issued" if row["file_sha256"] else "its file is gone"
        if company is not None and row["company_id"] != company:
            yield "it names another company than the chain"
        for column, name in (("state", "state"), ("result_sha256", "result_sha256")):
            if data.get(name) is not None and row[column] != data[name]:
                yield f"its {column} is not the one on record"

    def check_anchors(self, rows: list[dict]) -> list[Problem]:
        """Check the rows of anchors of this log: all columns, and `payload_sha256`."""
        problems, found = [], set()
        for row in rows:
            key = (row["kind"], row["reference"])
            found.add(key)
            seq, data = self.anchors.get(key, (None, {}))
            problems += [
                Problem(seq, "anchor", f"anchor {row['reference']}: {text}")
                for text in self._check_anchor(row, seq, data)
            ]
        for key, (seq, _data) in self.anchors.items():
            if key not in found:
                problems.append(Problem(seq, "anchor", f"entry {seq}: the anchor {key[1]} is gone"))
        return problems

    @staticmethod
    def _check_anchor(row: dict, seq: int | None, data: dict) -> Iterable[str]:
        if seq is None:
            yield "no entry says that it was recorded"
        for column in ("size", "digest", "payload_sha256", "occurred_at"):
            if data.get(column) is not None and row[column] != data[column]:
                yield f"its {column} is not the one on record"


# === CHECKPOINTS ===


def check_checkpoint(row: dict[str, Any], origin: str, last_entry_at: str | None) -> list[str]:
    """Return what is wrong with the row of a checkpoint; the root itself is compared with the leaves elsewhere.

    :param dict row: `size`, `root`, `note`, `digest`, `public_key`, `occurred_at`, and `next_at`, the time of the
        checkpoint after it.
    :param str origin: name of the log it stands in.
    :param str last_entry_at: time of the newest entry which it covers.
    """
    try:
        note = parse_checkpoint(row["note"])
    except EvidenceError as error:
        return [f"the note cannot be read: {error}"]
    found = [
        f"its {name} is {row[name]!r}, its note says {said!r}"
        for name, said in (("size", note.size), ("root", note.root.hex()), ("digest", note.digest))
        if row[name] != said
    ]
    if note.origin != origin:
        found.append(f"its note is of the log {note.origin!r}")
    if not _is_in_order(last_entry_at, row["occurred_at"]):
        found.append("it was made before an entry which it covers")
    if not _is_in_order(row["occurred_at"], row["next_at"]):
        found.append("it was made after the checkpoint that follows")
    return found + _check_signature(note, row["public_key"])


def _is_in_order(first: str | None, second: str | None) -> bool:
    """Tell whether two times stand in their order, as far as clocks of several hosts agree."""
    if not first or not second:
        return True
    try:
        return seconds_of(first) - seconds_of(second) <= CLOCK_BACK_SECONDS_MAX
    except ValueError:
        return False


def _check_signature(note, public_key: str | None) -> list[str]:
    if bool(public_key) != bool(note.signatures):
        return ["its signature or its public key was taken away"]
    try:
        if public_key and verify_checkpoint(note, bytes.fromhex(public_key)) is not True:
            return ["it is not signed by its public key"]
    except ValueError:
        return ["its public key cannot be read"]
    return []
