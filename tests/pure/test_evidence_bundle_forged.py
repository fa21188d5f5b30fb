"""Bundles whose maker had everything but the signature, the stamp or the receipt that stand outside of them.

Each is whole in itself: hashes, manifest and log fit. What gives it away is what the reader holds, or what the genuine
checkpoint in it does not cover; such a bundle never ends with status 0.
"""

import unittest

import conftest  # noqa: F401
from evidence_sample import (
    APPROVER,
    KEY,
    ORIGIN,
    REQUEST,
    SECRET,
    make_bundle,
    make_chain,
    make_events,
    make_files,
    sha256,
)
from milestone_billing_tools import checkpoint, evidence_bundle, verify
from test_evidence_bundle import check, failures, sample_hash

PUBLIC = checkpoint.public_bytes(KEY).hex()
SUBJECT = {"request_id": REQUEST, "revision": 1, "snapshot_sha256": sample_hash()}


def forged_events():
    """Return the sample's events with a higher amount of the payment: another history."""
    return [
        (now, {**event, "data": {"amount": "9999.00"}} if event["type"] == "payment.confirmed" else event)
        for now, event in make_events(sample_hash())
    ]


class TestForgedLog(unittest.TestCase):
    def assert_told(self, files, item, text, **options):
        """Check that a bundle does not pass, and that an item says why."""
        items = check(make_bundle(files), **options)
        self.assertNotEqual(verify.exit_status(items), 0, items)
        bad = [found for found in items if found.verdict in (verify.FAIL, verify.WARN)]
        self.assertTrue(any(found.item == item and text in found.message for found in bad), bad)

    def test_the_sample_passes_with_all_that_a_reader_may_hold(self):
        head = make_chain(make_events(sample_hash()))[-1].hash
        items = check(make_bundle(), public_key=PUBLIC, head=head, secrets=[SECRET])
        self.assertEqual(verify.exit_status(items), 0, items)

    def test_other_history_without_signatures_is_told_to_who_gives_the_key(self):
        files = make_files(events=forged_events(), key=None)
        self.assertEqual(verify.exit_status(check(make_bundle(files))), 0)
        self.assert_told(files, "signature", "unsigned", public_key=PUBLIC)

    def test_other_history_without_a_log_is_told_to_who_gives_the_key(self):
        files = {
            name: data for name, data in make_files(events=forged_events()).items() if name[:4] != "log/"
        }
        self.assertEqual(verify.exit_status(check(make_bundle(files))), 0)
        self.assert_told(files, "log", "no checkpoint", public_key=PUBLIC)

    def test_other_history_beside_a_genuine_checkpoint_of_its_size(self):
        genuine, forged = make_files(), make_files(events=forged_events(), key=None)
        note = max(name for name in genuine if name.startswith("log/checkpoints/"))
        for place in ("log/checkpoints/000000000000.note", "log/checkpoints/999999999999.note"):
            self.assert_told({**forged, place: genuine[note]}, "log", "another checkpoint of size")

    def test_other_history_beside_a_genuine_checkpoint_of_another_size(self):
        forged = make_files(events=forged_events(), key=None)
        later = checkpoint.make_note(ORIGIN, 20, bytes(32), KEY).encode()
        files = {**forged, "log/checkpoints/000000000020.note": later}
        self.assert_told(files, "log", "no consistency proof")

    def test_entries_added_behind_those_that_the_log_proves(self):
        events = make_events(sample_hash())
        more = [("2026-03-19T08:00:00.000000Z", {"type": "payment.confirmed", "data": {"amount": "9999.00"}})]
        files, longer = make_files(events=events), make_files(events=[*events, *more])
        chain = {name: longer[name] for name in ("chain/entries.jsonl", "chain/hashes.txt")}
        self.assert_told({**files, **chain}, "log", "1 entries have no proof")

    def test_proofs_taken_away(self):
        files = make_files()
        empty = evidence_bundle.dump_inclusion(ORIGIN.rpartition("/")[2], [])
        self.assert_told({**files, "log/inclusion.json": empty}, "log", "have no proof")

    def test_what_the_reader_holds_and_nothing_in_the_bundle_answers(self):
        events = [
            (now, {**event, "auth": None}) for now, event in make_events(sample_hash()) if event.get("auth")
        ]
        rest = [(now, event) for now, event in make_events(sample_hash()) if not event.get("auth")]
        files = make_files(events=sorted(rest + events, key=lambda pair: pair[0]))
        self.assert_told(files, "link", "no entry was made with a link", secrets=[SECRET])
        self.assert_told(make_files(), "anchor", "no time stamp of the given authority", authority="ca.pem")


class TestForgedApproval(unittest.TestCase):
    def check_events(self, change, snapshot=None):
        """Return what fails in the sample with its events changed."""
        events = []
        for now, event in make_events(sample_hash(snapshot)):
            found = change(event)
            events += [(now, item) for item in (found if isinstance(found, list) else [found])]
        return failures(check(make_bundle(make_files(snapshot, events))))

    def test_highest_level_needs_a_signature(self):
        def claim(event):
            if event["type"] != "approval.granted":
                return event
            return {**event, "auth": {"level": "L4", "method": ["password", "passkey"]}}

        wanted = "assurance level L4 without a signature"
        self.assertTrue(any(wanted in text for text in self.check_events(claim)))

        def claim_more(event):
            changed = claim(event)
            if event["type"] == "approval.granted":
                changed["auth"]["assertion_sha256"] = sha256(b"nothing")
            return changed

        self.assertTrue(any(wanted in text for text in self.check_events(claim_more)))

    def test_certificate_of_an_earlier_state(self):
        def contest(pair):
            if pair[1]["type"] != "certificate.issued":
                return [pair]
            who = {"actor_kind": "link_holder", "actor_ref": APPROVER}
            return [pair, (pair[0], {"type": "approval.repudiated", **who, "subject": SUBJECT})]

        files = make_files(events=[item for pair in make_events(sample_hash()) for item in contest(pair)])
        items = check(make_bundle(files))
        self.assertEqual(verify.exit_status(items), 1)
        (item,) = [item for item in items if item.item == "certificate"]
        self.assertIn("it prints state 'approved'; now it is 'contested'", item.message)

    def test_paper_brings_back_nothing_that_was_withdrawn(self):
        def withdraw(event):
            if event["type"] == "approval.granted":
                return [
                    {"type": "request.cancelled", "subject": SUBJECT},
                    {"type": "approval.on_behalf", "subject": SUBJECT, "data": {"method": "paper"}},
                ]
            if event["type"] == "request.approved":
                return {**event, "data": {"on_behalf": True}}
            return event

        self.assertTrue(any("the request is cancelled" in text for text in self.check_events(withdraw)))

    def test_paper_confirms_what_was_contested(self):
        def confirm(event):
            if event["type"] != "certificate.issued":
                return event
            return [
                {"type": "approval.repudiated", "actor_ref": APPROVER, "subject": SUBJECT},
                {"type": "approval.on_behalf", "subject": SUBJECT, "data": {"method": "paper"}},
                {"type": "request.approved", "subject": SUBJECT, "data": {"on_behalf": True}},
                event,
            ]

        self.assertEqual(self.check_events(confirm), [])


class TestStrangers(unittest.TestCase):
    def test_names_that_only_begin_like_known_ones(self):
        for name in (
            "certificate.pdf.html",
            "README.txt.exe",
            "manifest.json.bak",
            "chain/entries.jsonl.old",
        ):
            items = check(make_bundle({**make_files(), name: b"x"}))
            told = [item for item in items if item.verdict == verify.WARN]
            self.assertEqual([f"{name} has no place in a bundle"], [item.message for item in told])

    def test_unknown_file_among_the_keys(self):
        items = check(make_bundle({**make_files(), "keys/other.json": b"{}"}))
        self.assertIn(("keys", verify.WARN), {(item.item, item.verdict) for item in items})

    def test_name_with_backslashes(self):
        items = check(make_bundle({**make_files(), "proof/..\\..\\up.txt": b"x"}))
        self.assertTrue(any("has an unsafe name" in text for text in failures(items)))


if __name__ == "__main__":
    unittest.main()
