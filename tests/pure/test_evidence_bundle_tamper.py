"""Each file of a bundle and each field in it: changed, gone, added, exchanged. All of it is found, and named.

Whoever changes a bundle can write a fitting manifest, so it follows every change here; the last class changes bytes
behind its back.
"""

import functools
import io
import json
import unittest
import zipfile
from itertools import pairwise
from unittest.mock import patch

from conftest import ROOT
from evidence_sample import KEY, ORIGIN, make_bundle, make_events, make_files, make_snapshot, sha256
from milestone_billing_tools import checkpoint, evidence_bundle, timestamp, verify
from test_evidence_bundle import check
from test_timestamp import flip, get_answer

NOTICE = "We record your name."
MAIL = b"Subject: please review\n\nhttps://example.com/ma/1?k=***\n"
PRINT = b"%PDF-1.7 invoice"
WALLET = '{"signature":"0x00"}'
SHA256 = verify.snapshot_hash(verify.canonical(make_snapshot(notice={"text": NOTICE})))


def rich_files():
    """Return the files of a bundle in which every place of the layout is taken."""
    snapshot = make_snapshot(notice={"text": NOTICE})
    events = []
    for now, plain in make_events(SHA256):
        event = dict(plain)
        if event["type"] == "request.sent":
            event = {**event, "data": {**event["data"], "mail_sha256": sha256(MAIL)}}
        if event["type"] == "link.opened":
            event = {
                **event,
                "pii": {"wallet_json": WALLET},
                "auth": {"assertion_sha256": sha256(WALLET.encode())},
            }
        events.append((now, event))
        if event["type"] == "invoice.posted":
            data = {
                "number": "INV/2026/00001",
                "content_sha256": verify.invoice_hash(b'{"total":"4500.00"}'),
                "pdf_sha256": sha256(PRINT),
            }
            events.append((now, {"type": "invoice.sent", "data": data}))
    files = make_files(snapshot, events)
    withheld = [json.loads(line) for line in files["chain/values.jsonl"].splitlines()]
    kept = [item for item in withheld if item["name"] != "ip"]
    note = sorted(name for name in files if name.startswith("log/checkpoints/"))[-1]
    digest = verify.parse_checkpoint(files[note].decode()).digest
    assertion = next(item for item in kept if item["name"] == "wallet_json")
    return {
        **files,
        "chain/values.jsonl": evidence_bundle.dump_lines(kept),
        "chain/withheld.jsonl": evidence_bundle.dump_lines(
            {"entry": item["entry"], "name": item["name"]} for item in withheld if item["name"] == "ip"
        ),
        f"notice/{sha256(NOTICE.encode())}.txt": NOTICE.encode(),
        "invoice/INV_2026_00001.pdf": PRINT,
        "mail/request_1.eml": MAIL,
        "keys/wallet.json": verify.canonical({"v": 1, "assertions": [assertion]}),
        "anchors/mail/1.eml": f"Content-Type: text/plain\n\n{digest}\n".encode(),
        **stamp_files(digest),
        "anchors/onchain.json": verify.canonical(
            {"v": 1, "anchors": [{"digest": digest, "reference": "0x1"}]}
        ),
        "dispute/stripe_evidence.json": b"{}",
        "verify/verify.py": (ROOT / "milestone_billing/tools/verify.py").read_bytes(),
    }


def stamp_files(digest, number=1, nonce=7):
    """Return a real time stamp over a digest, as a bundle has it."""
    answer, stem = get_answer(digest, nonce), f"anchors/rfc3161/{number}"
    certificates = timestamp.read_stamp(answer).certificates
    return {
        f"{stem}.tsr": answer,
        f"{stem}.tsq": timestamp.build_request(digest, nonce),
        **{f"{stem}_{place}.cer": certificate for place, certificate in enumerate(certificates, 1)},
    }


def other(value):
    """Return a value of the same kind that is another one."""
    if isinstance(value, bool) or value is None:
        return "x"
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return [*value, "00" * 32]
    if isinstance(value, dict):
        return {**value, "x": "y"}
    return value[:-1] + ("0" if value[-1:] != "0" else "1")


_real_verify = verify.verify_time_stamp


@functools.cache
def _verify_answer_once(data, authority):
    return _real_verify(data, verify.read_time_stamp(data), authority)


def _verify_once(data, _stamp, authority=""):
    return _verify_answer_once(data, authority)


class TamperCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Each bundle holds the same stamp: one process of openssl for it is enough.
        once = patch.object(verify, "verify_time_stamp", _verify_once)
        once.start()
        cls.addClassCleanup(once.stop)
        cls.files = rich_files()
        cls.good = check(make_bundle(cls.files))

    def report(self, files):
        """Return what the verifier says now and did not say about the good bundle."""
        return [item for item in check(make_bundle(files)) if item not in self.good]

    def assert_named(self, files, *words, verdicts=(verify.FAIL, verify.WARN)):
        """Check that a new item of one of these verdicts names what was done."""
        found = [item for item in self.report(files) if item.verdict in verdicts]
        self.assertTrue(found, "nothing was found")
        texts = [f"{item.item} {item.message}" for item in found]
        self.assertTrue(any(all(word in text for word in words) for text in texts), (words, texts))


class TestFiles(TamperCase):
    def test_the_sample_is_good_and_fills_every_place(self):
        bad = [item for item in self.good if item.verdict in (verify.FAIL, verify.WARN)]
        # The made-up signature of a wallet is nobody's, and said to be so; everything else is good.
        self.assertLessEqual({item.item for item in bad}, {"wallet"})
        for place in verify._KNOWN_PLACES:
            if place != "manifest.json":
                self.assertTrue([name for name in self.files if name.startswith(place)], place)

    def test_changed_file_is_named(self):
        named = {
            "chain/": (),
            "log/": (),
            "snapshot/": (SHA256[:12],),
            "certificate.pdf": ("certificate",),
            "consent/": ("text", "consent/"),
            "notice/": ("text", "notice/"),
            "proof/": ("proof", "site.jpg"),
            "invoice/content.json": ("invoice", "content"),
            "invoice/INV": ("invoice", "INV_2026_00001.pdf"),
            "mail/": ("mail", "request_1.eml"),
            "keys/": ("keys",),
            "anchors/": ("anchor",),
        }
        for name, data in self.files.items():
            if name.startswith(verify._EXPLAINING):
                continue
            words = next(words for start, words in named.items() if name.startswith(start))
            place = len(data) // 2
            changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            if name.startswith("anchors/"):
                changed = b""
            with self.subTest(name=name):
                self.assert_named({**self.files, name: changed}, *words)

    def test_what_only_explains_is_called_so(self):
        explaining = [name for name in self.files if name.startswith(verify._EXPLAINING)]
        item = next(item for item in self.good if item.item == "unbound")
        self.assertEqual(item.verdict, verify.NOT_PROVIDED)
        for name in explaining:
            self.assertIn(name, item.message)

    def test_missing_file_is_named(self):
        told = {verify.FAIL: [], verify.NOT_PROVIDED: [], verify.WARN: []}
        for name in self.files:
            # Anchors stand in the log's own chain: one that is left out makes the bundle weaker, not wrong.
            if name.startswith((*verify._EXPLAINING, "anchors/")):
                continue
            rest = {key: data for key, data in self.files.items() if key != name}
            with self.subTest(name=name):
                found = [item for item in self.report(rest) if item.verdict in told]
                self.assertTrue(found)
                told[min(item.verdict for item in found)].append(name.partition("/")[0])
        # Without these the rest cannot be judged; the others are said to be not there.
        self.assertEqual(set(told[verify.FAIL]), {"chain", "snapshot", "log"})

    def test_added_file_is_named(self):
        extra = {
            "extra.txt": ("unbound", "extra.txt"),
            "chain/more.jsonl": ("unbound", "chain/more.jsonl"),
            "proof/f2_other.jpg": ("proof", "f2_other.jpg"),
            f"consent/{sha256(b'x')}.txt": ("text", "no submission"),
            f"notice/{sha256(b'x')}.txt": ("text", "no submission"),
            f"snapshot/{verify.snapshot_hash(b'{}')}.json": ("snapshot", "no request"),
            "mail/request_2.eml": ("mail", "request_2.eml"),
            "keys/webauthn.json": ("keys", "webauthn"),
            "invoice/INV_2026_00002.pdf": ("invoice", "INV_2026_00002.pdf"),
            "anchors/mail/2.eml": ("anchor", "2.eml"),
            "anchors/rfc3161/2.tsr": ("anchor", "2.tsr"),
            "anchors/rfc3161/2.tsq": ("anchor", "2.tsq", "no stamp"),
            "anchors/rfc3161/1_3.cer": ("anchor", "1_3.cer"),
            "anchors/other.bin": ("anchor", "other.bin"),
            "log/checkpoints/000000000002.note": ("log",),
        }
        for name, words in extra.items():
            data = b"{}" if name.startswith("snapshot/") else b"x"
            if name.startswith("keys/"):
                data = verify.canonical({"v": 1, "assertions": []})
            if name.endswith(".note"):
                data = checkpoint.make_note(f"{ORIGIN[:-1]}x", 2, bytes(32), KEY).encode()
            with self.subTest(name=name):
                self.assert_named({**self.files, name: data}, *words)

    def test_exchanged_files_are_found(self):
        names = [name for name in self.files if not name.startswith(verify._EXPLAINING)]
        for one, two in pairwise(names):
            if one.startswith("log/checkpoints/") and two.startswith("log/checkpoints/"):
                continue  # each says itself what it is
            swapped = {**self.files, one: self.files[two], two: self.files[one]}
            with self.subTest(one=one, two=two):
                self.assert_named(swapped)


class TestFields(TamperCase):
    def each_field(self, value, path=()):
        """Yield (path, changed copy) for every field within a value."""
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if not isinstance(item, dict):
                yield (*path, key), self.put(value, key, other(item))
            if isinstance(item, (dict, list)):
                for inner, new in self.each_field(item, (*path, key)):
                    yield inner, self.put(value, key, new)

    @staticmethod
    def put(value, key, new):
        """Return a copy of an object or a list with another value in one place."""
        copy = dict(value) if isinstance(value, dict) else list(value)
        copy[key] = new
        return copy

    def test_every_field_of_a_line_is_found_and_its_entry_named(self):
        for name in ("chain/values.jsonl", "chain/withheld.jsonl"):
            lines = self.files[name].splitlines(keepends=True)
            for place, line in enumerate(lines):
                item = json.loads(line)
                for path, changed in self.each_field(item):
                    data = b"".join([*lines[:place], verify.canonical(changed) + b"\n", *lines[place + 1 :]])
                    with self.subTest(name=name, place=place, path=path):
                        self.assert_named({**self.files, name: data}, "pii", f"entry {item['entry']}:")

    def test_every_number_and_hash_of_the_list_is_found(self):
        lines = self.files["chain/hashes.txt"].decode().splitlines()
        for place, line in enumerate(lines):
            seq, value = line.split()
            for changed in (f"{int(seq) + 1} {value}", f"{seq} {other(value)}"):
                data = "\n".join([*lines[:place], changed, *lines[place + 1 :]]) + "\n"
                with self.subTest(changed=changed):
                    self.assert_named({**self.files, "chain/hashes.txt": data.encode()}, f"entry {seq}")

    def test_every_field_of_a_proof_is_found_and_its_entry_named(self):
        content = verify.load_json(self.files["log/inclusion.json"])
        for path, changed in self.each_field(content):
            proofs = changed["proofs"]
            if not all(isinstance(item, dict) for item in proofs):
                continue
            data = evidence_bundle.dump_inclusion(changed["log_id"], proofs)
            data = data.replace(b'"v":1,"proofs"', b'"v":%d,"proofs"' % changed["v"])
            with self.subTest(path=path):
                self.assert_named({**self.files, "log/inclusion.json": data}, "log")

    def test_every_field_of_consistency_keys_and_anchors_is_found(self):
        for name in ("log/consistency.json", "keys/wallet.json", "anchors/onchain.json"):
            content = verify.load_json(self.files[name])
            for path, changed in self.each_field(content):
                # Where an anchor is looked up stands in the log's own chain.
                if path[-1] == "reference":
                    continue
                with self.subTest(name=name, path=path):
                    self.assert_named({**self.files, name: verify.canonical(changed)})

    def test_every_line_of_a_checkpoint_is_found(self):
        for name in [name for name in self.files if name.startswith("log/checkpoints/")]:
            lines = self.files[name].decode().split("\n")
            for place in (0, 1, 2, 4):
                changed = "\n".join([*lines[:place], other(lines[place]), *lines[place + 1 :]])
                with self.subTest(name=name, place=place):
                    self.assert_named({**self.files, name: changed.encode()})

    def test_every_field_of_the_manifest_is_found(self):
        data = make_bundle(self.files)
        manifest = verify.load_json(
            evidence_bundle.make_manifest(
                self.files, "2026-03-18T08:00:00.000000Z", "milestone_billing/19.0.1.0.0", "x"
            )
        )
        self.assertIn(b'"bundle_id"', data)
        for path, changed in self.each_field(manifest):
            if path[0] == "files" and len(path) < 3:
                continue
            with self.subTest(path=path):
                verdicts = {
                    item.verdict for item in self.run_with(changed) if item.item in ("files", "manifest")
                }
                self.assertTrue(verdicts & {verify.FAIL, verify.WARN})

    def run_with(self, manifest):
        """Return the report on the sample under a manifest of its own."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as bundle:
            for name, data in {**self.files, "manifest.json": verify.canonical(manifest)}.items():
                bundle.writestr(name, data)
        with zipfile.ZipFile(buffer) as bundle:
            return verify.BundleVerifier(bundle).run()

    def test_lines_that_change_places_are_found(self):
        for name in ("chain/entries.jsonl", "chain/hashes.txt", "chain/values.jsonl"):
            lines = self.files[name].splitlines(keepends=True)
            for place in range(len(lines) - 1):
                moved = [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]]
                if name.endswith("values.jsonl") and json.loads(moved[place])["entry"] == json.loads(
                    moved[place + 1]
                ).get("entry"):
                    continue  # the values of one entry have no order
                with self.subTest(name=name, place=place):
                    self.assert_named({**self.files, name: b"".join(moved)}, "entry")

    def test_every_line_taken_away_or_doubled_is_found(self):
        for name in ("chain/entries.jsonl", "chain/hashes.txt", "chain/values.jsonl", "chain/withheld.jsonl"):
            lines = self.files[name].splitlines(keepends=True)
            for place in range(len(lines)):
                for changed in (
                    [*lines[:place], *lines[place + 1 :]],
                    [*lines[:place], lines[place], *lines[place:]],
                ):
                    is_same_value = name in ("chain/values.jsonl", "chain/withheld.jsonl") and len(
                        changed
                    ) > len(lines)
                    if is_same_value:
                        continue  # said twice, it is the same value
                    with self.subTest(name=name, place=place, count=len(changed)):
                        self.assert_named({**self.files, name: b"".join(changed)})


class TestStamps(TamperCase):
    NAME = "anchors/rfc3161/1"

    def test_each_file_of_a_stamp_is_checked(self):
        found = {item.message.partition(":")[0]: item.verdict for item in self.good if item.item == "anchor"}
        for name in self.files:
            if name.startswith("anchors/rfc3161/"):
                self.assertEqual(found[name], verify.OK, name)

    def test_every_changed_byte_of_what_is_signed_is_found(self):
        answer = self.files[f"{self.NAME}.tsr"]
        info = answer.index(bytes.fromhex(verify.read_time_stamp(answer).digest))
        for place in (*range(info, info + 60, 3), *range(len(answer) - 256, len(answer), 16)):
            with self.subTest(place=place):
                self.assert_named({**self.files, f"{self.NAME}.tsr": flip(answer, place)}, "anchor", "1.tsr")

    def test_every_changed_byte_of_question_and_certificates_is_found(self):
        for name in ("1.tsq", "1_1.cer", "1_2.cer"):
            data = self.files[f"anchors/rfc3161/{name}"]
            for place in range(0, len(data), 11):
                with self.subTest(name=name, place=place):
                    changed = {**self.files, f"anchors/rfc3161/{name}": flip(data, place)}
                    self.assert_named(changed, "anchor")

    def test_missing_parts_are_named(self):
        for name, verdict in (
            ("1.tsr", verify.FAIL),
            ("1.tsq", verify.NOT_PROVIDED),
            ("1_1.cer", verify.NOT_PROVIDED),
            ("1_2.cer", verify.NOT_PROVIDED),
        ):
            rest = {key: data for key, data in self.files.items() if not key.endswith(f"/{name}")}
            with self.subTest(name=name):
                words = name.rpartition(".")[0] if name == "1.tsr" else name
                self.assert_named(rest, "anchor", words, verdicts=(verdict,))

    def test_stamp_of_another_checkpoint_is_found(self):
        other_stamp = stamp_files("ab" * 32)
        self.assert_named({**self.files, **other_stamp}, "anchor", "1.tsr", "something else")

    def test_stamps_that_exchange_their_parts_are_found(self):
        digest = verify.read_time_stamp(self.files[f"{self.NAME}.tsr"]).digest
        both = {**self.files, **stamp_files(digest, number=2, nonce=8)}
        self.assertEqual(verify.exit_status(check(make_bundle(both))), verify.exit_status(self.good))
        for kind in (".tsr", ".tsq"):
            one, two = f"anchors/rfc3161/1{kind}", f"anchors/rfc3161/2{kind}"
            with self.subTest(kind=kind):
                self.assert_named({**both, one: both[two], two: both[one]}, "anchor", "1.tsq")
        one, two = "anchors/rfc3161/1_1.cer", "anchors/rfc3161/1_2.cer"
        self.assert_named({**both, one: both[two], two: both[one]}, "anchor", "1_1.cer")


class TestBehindTheManifest(TamperCase):
    def test_any_changed_byte_of_any_file_names_the_file(self):
        bundle = make_bundle(self.files)
        for name, data in self.files.items():
            for offset in {0, len(data) // 2, len(data) - 1}:
                # Certificates stand in their stamp too, and names in the manifest.
                place = bundle.index(data, bundle.index(name.encode())) + offset
                changed = bundle[:place] + bytes([bundle[place] ^ 1]) + bundle[place + 1 :]
                with self.subTest(name=name, offset=offset):
                    failed = [item for item in check(changed) if item.verdict == verify.FAIL]
                    self.assertTrue(failed)
                    messages = " ".join(item.message for item in failed)
                    self.assertTrue(name in messages or "Bad CRC" in messages, messages)

    def test_truncated_bundles_are_never_good(self):
        bundle = make_bundle(self.files)
        for size in range(0, len(bundle) - 1, len(bundle) // 40):
            with self.subTest(size=size):
                try:
                    status = verify.exit_status(check(bundle[:size]))
                except zipfile.BadZipFile:
                    status = 2
                self.assertEqual(status, 2)


if __name__ == "__main__":
    unittest.main()
