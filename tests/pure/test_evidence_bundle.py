"""The offline verifier on whole bundles: a good one passes, every change in it is found and named."""

import io
import json
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

from conftest import ROOT
from evidence_sample import (
    APPROVER,
    REQUEST,
    SECRET,
    make_bundle,
    make_chain,
    make_events,
    make_files,
    make_snapshot,
)
from milestone_billing_tools import evidence_bundle, verify

SCRIPT = ROOT / "milestone_billing" / "tools" / "verify.py"


def check(data, **options):
    """Return the report on the bytes of a bundle."""
    with zipfile.ZipFile(io.BytesIO(data)) as bundle:
        return verify.BundleVerifier(bundle, **options).run()


def failures(items):
    """Return the messages of what failed."""
    return [f"{item.item}: {item.message}" for item in items if item.verdict == verify.FAIL]


def sample_hash(snapshot=None):
    """Return the hash of the sample's snapshot."""
    return verify.snapshot_hash(verify.canonical(snapshot or make_snapshot()))


class BundleCase(unittest.TestCase):
    def assert_found(self, files, text):
        """Check that a bundle made of these files (manifest consistent with them) fails and names the reason."""
        items = check(make_bundle(files))
        self.assertEqual(verify.exit_status(items), 2)
        self.assertTrue(any(text in message for message in failures(items)), failures(items))

    def events(self, **changes):
        """Return the sample's events, some replaced: type=None drops it, type=dict updates it."""
        result = []
        for now, event in make_events(sample_hash()):
            change = changes.get(event["type"].replace(".", "_"), {})
            if change is not None:
                result.append((change.pop("now", now), {**event, **change}))
        return result


class TestGoodBundle(BundleCase):
    def test_everything_in_it_is_checked(self):
        items = check(make_bundle(), head=make_chain(make_events(sample_hash()))[2].hash, secrets=[SECRET])
        self.assertEqual(failures(items), [])
        self.assertEqual(verify.exit_status(items), 0)
        good = {item.item for item in items if item.verdict == verify.OK}
        wanted = "files snapshot chain state head link pii log signature proof text invoice certificate"
        self.assertEqual(good, set(wanted.split()))
        state = next(item.message for item in items if item.item == "state")
        for part in ("state approved", "level L2", "approvals 1", "invoice INV/2026/00001", "payments 1"):
            self.assertIn(part, state)

    def test_same_content_gives_the_same_bytes(self):
        self.assertEqual(make_bundle(), make_bundle())

    def test_runs_as_a_script_isolated_from_everything(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "bundle.zip")
            path.write_bytes(make_bundle())
            run = [sys.executable, "-I", "-S", str(SCRIPT), str(path)]
            done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60, cwd=folder)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("NOT PROVIDED signature", done.stdout)
            path.write_bytes(path.read_bytes().replace(b"finished", b"finisHed"))
            done = subprocess.run([*run, "--json"], capture_output=True, text=True, check=False, timeout=60)
            self.assertEqual((done.returncode, json.loads(done.stdout)["exit_status"]), (2, 2))
            path.write_bytes(b"no zip")
            done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
            self.assertEqual(done.returncode, 2)
            self.assertNotIn("Traceback", done.stderr)

    def test_wrong_head_and_wrong_secret_are_told(self):
        items = check(make_bundle(), head="0" * 64, secrets=["d" * 43])
        self.assertIn("head: the given head is not in this chain", failures(items))
        self.assertIn(("link", verify.WARN), {(item.item, item.verdict) for item in items})


class TestTamperedBundle(BundleCase):
    def test_any_changed_byte_of_any_file_is_found(self):
        files = make_files()
        for name, data in files.items():
            with self.subTest(name=name):
                bundle = make_bundle()
                place = bundle.index(data) + len(data) // 2
                changed = bundle[:place] + bytes([bundle[place] ^ 1]) + bundle[place + 1 :]
                self.assertEqual(verify.exit_status(check(changed)), 2)

    def test_any_changed_field_of_any_entry_is_found_though_the_manifest_follows(self):
        files = make_files()
        lines = files["chain/entries.jsonl"].splitlines()
        for seq, line in enumerate(lines):
            body = json.loads(line)
            for name in body:
                changed = {**body, name: self._other(body[name])}
                text = verify._dump(changed)
                new = b"\n".join([*lines[:seq], text, *lines[seq + 1 :]]) + b"\n"
                with self.subTest(seq=seq, name=name):
                    self.assert_found(
                        {**files, "chain/entries.jsonl": new}, f"entry {seq}: the body does not match"
                    )

    @staticmethod
    def _other(value):
        if isinstance(value, bool) or value is None:
            return "x"
        if isinstance(value, int):
            return value + 1
        return (
            {**value, "x": "y"}
            if isinstance(value, dict)
            else value[:-1] + ("0" if value[-1] != "0" else "1")
        )

    def test_entry_rewritten_with_its_hash_breaks_the_next_one(self):
        files = make_files()
        lines = files["chain/entries.jsonl"].splitlines()
        body = {**json.loads(lines[2]), "data": {"link_id": "forged"}}
        lines[2] = verify.canonical(body)
        hashes = files["chain/hashes.txt"].splitlines()
        hashes[2] = f"2 {verify.entry_hash(lines[2])}".encode()
        forged = {
            "chain/entries.jsonl": b"\n".join(lines) + b"\n",
            "chain/hashes.txt": b"\n".join(hashes) + b"\n",
        }
        self.assert_found({**files, **forged}, "entry 3: it does not follow")

    def test_whole_chain_rewritten_is_found_by_the_log(self):
        files, other = make_files(), make_files(events=self.events(approval_granted={"pii": {}}))
        mixed = {name: other[name] if name.startswith("chain/") else data for name, data in files.items()}
        self.assert_found(mixed, "its place in the company log is not proved")

    def test_deletion_swap_insertion_and_truncation_are_named(self):
        files = make_files()
        lines, hashes = (files[f"chain/{name}"].splitlines() for name in ("entries.jsonl", "hashes.txt"))
        count = len(lines)
        cases = [
            ([*range(3), *range(4, count)], "entry 3 is missing"),
            ([*range(1, count)], "entry 0 is missing"),
            ([0, 1, 3, 2, *range(4, count)], "entry 2: it stands out of its order"),
            ([0, 1, 1, *range(2, count)], "entry 1: it stands out of its order"),
            ([*range(count - 1)], f"entry {count - 1}: its place in the company log is not proved"),
        ]
        for order, text in cases:
            moved = {
                "chain/entries.jsonl": b"".join(lines[i] + b"\n" for i in order),
                "chain/hashes.txt": b"".join(hashes[i] + b"\n" for i in order),
            }
            with self.subTest(text=text):
                self.assert_found({**files, **moved}, text)
        short = b"".join(line + b"\n" for line in lines[:-1])
        self.assert_found({**files, "chain/entries.jsonl": short}, f"entry {count - 1} is missing")
        short = b"".join(line + b"\n" for line in hashes[:-1])
        self.assert_found({**files, "chain/hashes.txt": short}, "has no line in chain/hashes.txt")

    def test_changed_dropped_and_invented_values_are_named(self):
        files = make_files()
        lines = files["chain/values.jsonl"].splitlines(keepends=True)
        forged = lines[0].replace(b"zoe@", b"eve@")
        self.assert_found(
            {**files, "chain/values.jsonl": b"".join([forged, *lines[1:]])}, "entry 2: to does not match"
        )
        self.assert_found(
            {**files, "chain/values.jsonl": b"".join(lines[1:])}, "to is neither disclosed nor erased"
        )
        extra = evidence_bundle.dump_lines([{"entry": 3, "name": "ip", "salt": "0" * 64, "value": "1.2.3.4"}])
        self.assert_found(
            {**files, "chain/values.jsonl": lines[0] + extra + b"".join(lines[1:])}, "was never recorded"
        )
        late = evidence_bundle.dump_lines([{"entry": 99, "name": "ip", "salt": "0" * 64, "value": "1.2.3.4"}])
        self.assert_found(
            {**files, "chain/values.jsonl": b"".join(lines) + late}, "an entry that is not there"
        )

    def test_changed_snapshot_proof_consent_invoice_and_certificate_are_named(self):
        files = make_files()
        consent = next(name for name in files if name.startswith("consent/"))
        snapshot = next(name for name in files if name.startswith("snapshot/"))
        cheaper = verify.canonical(make_snapshot(amount_total="1.00"))
        for name, data, text in (
            (snapshot, cheaper, "the bytes do not match the hash"),
            ("proof/f1_site.jpg", b"other", "not as shown"),
            (consent, b"other", "does not match its name"),
            ("invoice/content.json", b"{}", "is not what was recorded"),
            ("certificate.pdf", b"%PDF other", "never issued"),
        ):
            with self.subTest(name=name):
                self.assert_found({**files, name: data}, text)
        self.assert_found({name: data for name, data in files.items() if name != snapshot}, "missing")

    def test_forged_log_is_named(self):
        files = make_files()
        notes = sorted(name for name in files if name.startswith("log/checkpoints/"))
        note = files[notes[1]].decode()
        root = note.splitlines()[2]
        other = files[notes[0]].decode().splitlines()[2]
        self.assert_found({**files, notes[1]: note.replace(root, other).encode()}, "the signature is wrong")
        empty = verify.canonical({"v": 1, "proofs": [{"from": 4, "to": 9, "path": []}]})
        self.assert_found({**files, "log/consistency.json": empty}, "only appended")

    def test_names_that_stand_twice_unlisted_or_unsafe_are_found(self):
        buffer = io.BytesIO(make_bundle())
        with zipfile.ZipFile(buffer, "a") as bundle:
            bundle.writestr("extra.txt", b"x")
        self.assertIn("files: extra.txt is not in the manifest", failures(check(buffer.getvalue())))
        buffer = io.BytesIO(make_bundle())
        with zipfile.ZipFile(buffer, "a") as bundle, self.assertWarns(UserWarning):
            bundle.writestr("README.txt", b"what each file is\n")
        self.assertIn("files: a name stands twice in the bundle", failures(check(buffer.getvalue())))
        self.assert_found({**make_files(), "../up.txt": b"x"}, "has an unsafe name")

    def test_nonsense_in_any_file_is_a_verdict_and_no_crash(self):
        files = make_files()
        for name in files:
            for junk in (b"", b"\xff\xfe", b"[]", b"{}", b"null", b'{"files":3}', b"[" * 5000, b'"proofs":['):
                with self.subTest(name=name, junk=junk[:10]):
                    status = verify.exit_status(check(make_bundle({**files, name: junk})))
                    # Without proofs the entries are still whole, and that is a warning.
                    self.assertIn(status, (0, 1, 2) if name == "log/inclusion.json" else (0, 2))
        self.assertEqual(verify.exit_status(check(evidence_bundle.write_bundle({}, "", ""))), 2)


class TestRecomputedState(BundleCase):
    """What the hashes cannot tell: a chain that is intact, but whose approval should not have counted."""

    def assert_refused(self, text, snapshot=None, **changes):
        self.assert_found(make_files(snapshot, self.events(**changes)), text)

    def test_approval_without_request_or_of_another_snapshot(self):
        self.assert_refused("no request was created", request_created=None)
        subject = {"request_id": REQUEST, "revision": 1, "snapshot_sha256": "0" * 64}
        self.assert_refused("another snapshot", approval_granted={"subject": subject})
        subject = {"request_id": REQUEST, "revision": 2, "snapshot_sha256": sample_hash()}
        self.assert_refused("another revision", approval_granted={"subject": subject})

    def test_approval_after_expiry(self):
        self.assert_refused(
            "after the request expired", approval_granted={"now": "2026-03-29T10:00:00.000000Z"}
        )

    def test_approval_by_a_stranger_or_of_another_amount(self):
        self.assert_refused("not a listed approver", approval_granted={"actor_ref": REQUEST})
        self.assert_refused("amount_total is not", approval_granted={"data": {"amount_total": "1.00"}})
        self.assert_refused("consent text is not", approval_granted={"data": {"consent_sha256": "0" * 64}})

    def test_request_approved_without_enough_approvals(self):
        self.assert_refused("0 valid approvals of 1", approval_granted=None)
        self.assert_refused(
            "no valid approval of this request", request_approved={"data": {"granted_event_ids": ["x"]}}
        )

    def test_quorum_limit_and_level_of_the_snapshot(self):
        both = [{"actor_ref": APPROVER}, {"actor_ref": REQUEST}]
        for change, text in (
            ({"quorum": 2}, "1 valid approvals of 2"),
            ({"quorum": "all", "approvers": both}, "1 valid approvals of 2"),
            (
                {"approvers": [{"actor_ref": APPROVER, "limit": "4499.99", "currency": "USD"}]},
                "above the approver's",
            ),
            ({"levels": {"required": "L3"}}, "assurance level L3"),
        ):
            snapshot = make_snapshot(**change)
            with self.subTest(text=text):
                self.assert_found(make_files(snapshot, make_events(sample_hash(snapshot))), text)

    def test_certificate_that_prints_another_state(self):
        data = {"pdf_sha256": "0" * 64, "state": "declined"}
        self.assert_refused("prints state 'declined'", certificate_issued={"data": data})

    def test_approved_twice_or_after_a_decline(self):
        events = self.events()
        declined = ("2026-03-16T09:00:00.000000Z", {"type": "approval.declined", "actor_ref": APPROVER})
        self.assert_found(make_files(events=[*events[:4], declined, *events[4:]]), "the request is declined")
        self.assert_found(make_files(events=[*events[:5], *events[4:]]), "had approved before")

    def test_clock_that_goes_back_is_a_warning(self):
        items = check(
            make_bundle(make_files(events=self.events(invoice_posted={"now": "2026-03-16T09:00:00.000000Z"})))
        )
        self.assertEqual((verify.exit_status(items), failures(items)), (1, []))

    def test_second_revision_takes_over(self):
        second = {"request_id": CHAIN_TWO, "revision": 2, "snapshot_sha256": sample_hash()}
        events = self.events()
        for kind, subject, data in (
            ("request.superseded", {"request_id": REQUEST, "revision": 1}, {}),
            ("request.created", second, {"revision": 2, "snapshot_sha256": sample_hash()}),
        ):
            events.append(("2026-04-01T08:00:00.000000Z", {"type": kind, "subject": subject, "data": data}))
        items = check(make_bundle(make_files(events=events)))
        self.assertEqual(failures(items), [])
        self.assertIn("state requested", next(item.message for item in items if item.item == "state"))


CHAIN_TWO = "99999999-9999-4999-8999-999999999999"


class TestErasedAndWithheld(BundleCase):
    def erased_files(self, erased, snapshots=()):
        """Return a bundle's files after an erasure on record, with the values of entry 2 and the snapshot gone."""
        data = {"erased": erased, "snapshots": list(snapshots), "basis": "retention"}
        files = make_files(
            events=[*self.events(), ("2029-01-01T00:00:00.000000Z", {"type": "pii.erased", "data": data})]
        )
        files["chain/values.jsonl"] = b"".join(files["chain/values.jsonl"].splitlines(keepends=True)[1:])
        return files

    def test_erased_values_stay_verifiable(self):
        items = check(make_bundle(self.erased_files([{"seq": 2, "names": ["to"]}])))
        self.assertEqual(failures(items), [])
        self.assertIn(("pii", verify.ERASED), {(item.item, item.verdict) for item in items})

    def test_erasure_that_is_not_on_record_fails(self):
        self.assert_found(
            self.erased_files([{"seq": 2, "names": ["ip"]}]), "entry 2: to is neither disclosed nor erased"
        )

    def test_erased_snapshot_stays_verifiable(self):
        files = self.erased_files([{"seq": 2, "names": ["to"]}], [sample_hash()])
        files = {name: data for name, data in files.items() if not name.startswith(("snapshot/", "invoice/"))}
        items = check(make_bundle(files))
        self.assertEqual(failures(items), [])
        self.assertIn(("snapshot", verify.ERASED), {(item.item, item.verdict) for item in items})

    def test_withheld_values_are_told_and_do_not_fail(self):
        files = self.erased_files([])
        files["chain/withheld.jsonl"] = evidence_bundle.dump_lines([{"entry": 2, "name": "to"}])
        items = check(make_bundle(files))
        self.assertEqual(failures(items), [])
        self.assertTrue(any("not for this reader" in item.message for item in items))


class TestOtherKeys(unittest.TestCase):
    def test_note_signed_by_another_key_than_the_given_one_is_a_warning(self):
        items = check(make_bundle(), public_key="11" * 32)
        self.assertEqual(verify.exit_status(items), 1)
        self.assertEqual({item.item for item in items if item.verdict == verify.WARN}, {"signature"})

    def test_unsigned_checkpoint_is_told(self):
        items = check(make_bundle(make_files(key=None)))
        self.assertEqual(verify.exit_status(items), 0)
        self.assertIn(("signature", verify.NOT_PROVIDED), {(item.item, item.verdict) for item in items})


class TestLongChain(unittest.TestCase):
    def test_memory_does_not_grow_with_the_chain(self):
        import tracemalloc

        peaks = []
        for count in (2000, 8000):
            chain = verify.ChainVerifier(verify.Replay({}.get))
            bodies = self._bodies(count)
            tracemalloc.start()
            problems = [problem for body in bodies for problem in chain.feed(body)[1]]
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            self.assertEqual((problems, chain.count), ([], count))
        self.assertLess(peaks[1], peaks[0] + 100_000)

    @staticmethod
    def _bodies(count):
        """Yield the bodies of a chain, built one at a time."""
        from evidence_sample import CHAIN, LOG, SOFTWARE, fixed_draw
        from milestone_billing_tools import evidence_chain

        head, draw = evidence_chain.EMPTY_HEAD, fixed_draw()
        event = {"chain_id": CHAIN, "log_id": LOG, "type": "review.presented"}
        for _index in range(count):
            entry = evidence_chain.build_entry(event, head, "2026-03-15T10:00:00.000000Z", SOFTWARE, draw)
            head = evidence_chain.next_head(entry)
            yield entry.text.encode()


if __name__ == "__main__":
    unittest.main()
