#!/usr/bin/env python3
"""Measure how fast evidence is verified, and how much memory that takes.

    tests/benchmark/evidence.py [--sizes 1000,100000] [--only NAME,...] -- -c odoo.conf -d DATABASE [Odoo options]

The database has `milestone_billing` installed; nothing is committed. The entries are made by PostgreSQL alone, hashes
and commitments too, so that making them takes no memory here and the verifier meets what it did not write itself.
Every measurement runs in a process of its own; its memory is the peak above that of a loaded, idle Odoo.
"""

import argparse
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from money import load, run_apart

CHAIN_LENGTH = 20
SALT = bytes(range(32))
VALUES = {"actor_name": "Zoë Client", "ip": "203.0.113.7"}
VERIFY = Path(__file__).resolve().parents[2] / "milestone_billing/tools/verify.py"
CASES = {}
# The program inside a bundle, and at its end the peak of its own memory: what the system counts for a child process
# begins with that of its parent.
RUN_VERIFY = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""

# One chain after the other, each entry from the one before it. A commitment is HMAC-SHA256 by its definition.
MAKE_ENTRIES = """
DO $$
DECLARE
    chain text; previous text; content text; digest text; place int := 0; entry int; name text; value text;
    salt text := '{salt}'; inner_pad bytea := '\\x{inner}'; outer_pad bytea := '\\x{outer}'; zero bytea := '\\x00';
BEGIN
    FOR number IN 0 .. {chains} - 1 LOOP
        chain := lpad(to_hex(number), 8, '0') || '-0000-4000-8000-{run}';
        previous := repeat('0', 64);
        FOR seq IN 0 .. {length} - 1 LOOP
            content := '{{"actor_kind":"system","actor_ref":null,"auth":null,"chain_id":"' || chain || '","data":{{"turn":'
                || seq || '}},"event_id":"' || gen_random_uuid() || '","http":null,"log_id":"{log}","nonce":"'
                || md5(random()::text) || '","occurred_at":"2026-03-15T10:00:00.000000Z","pii":{{"actor_name":"'
                || encode(sha256(outer_pad || sha256(inner_pad || 'mbev1:pii'::bytea || zero || 'actor_name'::bytea
                   || zero || convert_to('{actor_name}', 'UTF8'))), 'hex')
                || '","ip":"'
                || encode(sha256(outer_pad || sha256(inner_pad || 'mbev1:pii'::bytea || zero || 'ip'::bytea
                   || zero || convert_to('{ip}', 'UTF8'))), 'hex')
                || '"}},"prev":"' || previous || '","seq":' || seq
                || ',"software":"benchmark","subject":{{}},"type":"review.presented","v":1}}';
            digest := encode(sha256('mbev1:entry'::bytea || zero || convert_to(content, 'UTF8')), 'hex');
            INSERT INTO milestone_billing_evidence
                   (chain_id, seq, type, occurred_at, entry_hash, body, log_id, company_ref)
            VALUES (chain, seq, 'review.presented', '2026-03-15T10:00:00.000000Z', digest, content, '{log}', {company})
            RETURNING id INTO entry;
            INSERT INTO milestone_billing_evidence_value (entry_id, chain_id, seq, company_ref, name, salt, value)
            VALUES (entry, chain, seq, {company}, 'actor_name', salt, '{actor_name}'),
                   (entry, chain, seq, {company}, 'ip', salt, '{ip}');
            INSERT INTO milestone_billing_evidence_leaf (log_id, index, entry_hash, chain_id, seq)
            VALUES ('{log}', place, digest, chain, seq);
            place := place + 1; previous := digest;
        END LOOP;
        INSERT INTO milestone_billing_evidence_head (chain_id, seq, hash, company_ref)
        VALUES (chain, {length} - 1, previous, {company});
    END LOOP;
END $$
"""


def case(function):
    CASES[function.__name__] = function
    return function


class Bench:
    """Entries to verify, made within the transaction."""

    def __init__(self, env, count, length):
        self.env, self.run, self.log = env, os.urandom(6).hex(), str(uuid.uuid4())
        self.length, self.chains = length, count // length
        company = env["res.company"].create({"name": f"Benchmark {self.run}"})
        key = SALT.ljust(64, b"\x00")
        env.cr.execute(
            "INSERT INTO milestone_billing_evidence_log"
            " (log_id, company_ref, database_uuid, origin, size, checkpoint_count)"
            " VALUES (%s, %s, %s, %s, %s, 0)",
            [self.log, company.id, self.run, f"localhost/mbev1/{self.log}", count],
        )
        env.cr.execute(
            MAKE_ENTRIES.format(
                salt=SALT.hex(),
                inner=bytes(byte ^ 0x36 for byte in key).hex(),
                outer=bytes(byte ^ 0x5C for byte in key).hex(),
                chains=self.chains,
                length=length,
                run=self.run,
                log=self.log,
                company=company.id,
                **VALUES,
            )
        )
        env.cr.execute("ANALYZE milestone_billing_evidence, milestone_billing_evidence_value")
        env.cr.execute("ANALYZE milestone_billing_evidence_leaf")

    def get_chain(self, number):
        return f"{number:08x}-0000-4000-8000-{self.run}"


class Meter:
    """CPU and wall seconds of a block, and by how much it raises the peak of memory."""

    def __enter__(self):
        self.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.cpu, self.wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_exception):
        self.cpu, self.wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
        self.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.memory


@case
def one_chain(env, count):
    """Verify one chain of that many entries, as the button does."""
    bench = Bench(env, count, count)
    with Meter() as meter:
        result = env["milestone.billing.evidence"]._verify_chain(bench.get_chain(0))
    if not result["ok"] or result["entries"] != count:
        raise AssertionError(result["problems"][:3])
    return meter


@case
def many_chains(env, count):
    """Verify chains of twenty entries each, as the nightly run does."""
    bench = Bench(env, count, CHAIN_LENGTH)
    Check = env["milestone.billing.evidence.check"]
    check = Check.create({"position": ""})
    with Meter() as meter:
        for start in range(0, bench.chains, 100):
            check._verify_chains(
                [bench.get_chain(number) for number in range(start, min(start + 100, bench.chains))]
            )
    if check.problem_count or check.entry_count != count:
        raise AssertionError((check.entry_count, check.note))
    return meter


@case
def company_log(env, count):
    """Recompute the Merkle tree of a log of that many entries."""
    bench = Bench(env, count, CHAIN_LENGTH)
    log = env["milestone.billing.evidence.log"].search([("log_id", "=", bench.log)])
    with Meter() as meter:
        found = list(env["milestone.billing.evidence.check"]._find_forks(log))
    # The sample has no recorded end to compare with; that, and nothing else, is said.
    if found != ["the recorded end of the log is not that of its places"]:
        raise AssertionError(found)
    return meter


@case
def bundle(env, count):
    """Run the program inside a bundle on a chain of that many entries, outside of Odoo."""
    bench = Bench(env, count, count)
    from odoo.addons.milestone_billing.tools import evidence_bundle

    lines, hashes, values = io.BytesIO(), io.BytesIO(), io.BytesIO()
    for row, kept in env["milestone.billing.evidence"]._iterate_chain(bench.get_chain(0)):
        lines.write(row["body"].encode() + b"\n")
        hashes.write(f"{row['seq']} {row['entry_hash']}\n".encode())
        for name, item in sorted(kept.items()):
            values.write(
                evidence_bundle.dump_lines(
                    [{"entry": row["seq"], "name": name, "salt": item["salt"], "value": item["value"]}]
                )
            )
    files = {"chain/entries.jsonl": lines, "chain/hashes.txt": hashes, "chain/values.jsonl": values}
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        content = {name: data.getvalue() for name, data in files.items()}
        file.write(evidence_bundle.write_bundle(content, "", "benchmark"))
        file.flush()
        started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        meter = Meter()
        with meter:
            command = [sys.executable, "-I", "-c", RUN_VERIFY, str(VERIFY), file.name]
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise AssertionError(done.stdout[-500:])
    meter.cpu, meter.memory = used.ru_utime - started, int(done.stdout.split()[-2])
    return meter


# === RUNNING ===


def measure(registry, name, count):
    """Run one case in this process and give its figures."""
    from odoo import SUPERUSER_ID, api

    with registry.cursor() as cr:
        meter = CASES[name](api.Environment(cr, SUPERUSER_ID, {}), count)
        cr.rollback()
    return {"cpu": meter.cpu, "wall": meter.wall, "memory": meter.memory / 1024}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1000,10000,100000", help="numbers of entries")
    parser.add_argument("--only", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("odoo", nargs="*", help="options of Odoo, after --")
    arguments = parser.parse_args()
    registry = load(arguments.odoo)
    print("| case | entries | CPU s | entries per CPU second | peak memory MB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in arguments.only.split(","):
        for count in map(int, arguments.sizes.split(",")):
            row = run_apart(measure, registry, name, count)
            print(
                f"| {name} | {count} | {row['cpu']:.1f} | {count / row['cpu']:,.0f} | {row['memory']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
