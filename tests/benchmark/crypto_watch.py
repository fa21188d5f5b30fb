"""What a network costs: requests a cycle, time a thousand blocks of a hundred logs, memory, against the node alone.

    python tests/benchmark/crypto_watch.py --addons-path PATHS --database NAME [--open 10000] [--blocks 1000]

needs PostgreSQL's usual variables, `odoo` importable, and a database of its own with both addons installed. Starts
its own local node. The floor is the node's own time to answer the same filter and headers over plain HTTP.
"""

import argparse
import json
import resource
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import evm_workers
from evm.node import Anvil

LOGS_A_BLOCK = 100


def open_addresses(env, count):
    """Offer many addresses at once; receipts on them would go to a person."""
    from odoo import fields

    wallet = env["milestone.billing.crypto.wallet"].create({"name": "Pool", "mode": "pool", "is_test": True})
    until = fields.Datetime.add(fields.Datetime.now(), days=7)
    return env["milestone.billing.crypto.address"]._add(
        [
            {
                "address": f"0x{10**9 + number:040x}",
                "wallet_id": wallet.id,
                "state": "assigned",
                "watch_until": until,
            }
            for number in range(count)
        ]
    )


def fill(evm, contract, address, blocks):
    """Mine blocks of a hundred transfers, one of which is ours in every hundredth block."""
    evm.rpc("anvil_setBlockGasLimit", hex(10**9))
    for number in range(blocks):
        hits = 1 if number % 100 == 0 else 0
        contract.send("fan", address, LOGS_A_BLOCK, hits, 1, mine=False)
        evm.mine()


def node_time(evm, calls):
    """Return the seconds in which the node answers a batch, and the answer's size."""
    body = json.dumps(
        [{"jsonrpc": "2.0", "id": index, "method": m, "params": p} for index, (m, p) in enumerate(calls)]
    )
    request = urllib.request.Request(evm.url, body.encode(), {"Content-Type": "application/json"})
    started = time.monotonic()
    with urllib.request.urlopen(request, timeout=300) as response:
        size = len(response.read())
    return time.monotonic() - started, size


class Waiting:
    """Sums up the seconds which the watcher waits for the node."""

    def __init__(self, env):
        self.seconds = 0
        Node = env.registry["milestone.billing.crypto.node"]
        client_of = Node._client

        def timed_client(node):
            client = client_of(node)
            send = client._transport

            def timed(body):
                started = time.monotonic()
                try:
                    return send(body)
                finally:
                    self.seconds += time.monotonic() - started

            client._transport = timed
            return client

        Node._client = timed_client


def memory():
    """Return the largest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def floor(evm, chain, snapshot, first, last):
    """Ask the node alone for the range, in the same steps."""
    from odoo.addons.milestone_billing_crypto.tools import reading

    seconds = size = requests = 0
    for start in range(first, last + 1, chain.span_max):
        end = min(start + chain.span_max - 1, last)
        calls = [
            (call.method, call.params)
            for call in reading.log_calls(snapshot.tokens, snapshot.addresses, start, end)
        ]
        calls += [("eth_getBlockByNumber", [hex(number), False]) for number in range(start, end + 1)]
        took, got = node_time(evm, calls)
        seconds, size, requests = seconds + took, size + got, requests + 1
    return seconds, size, requests


def one_cycle(evm, chain):
    """Return what one poll costs when five blocks have come since the last one."""
    from odoo import fields

    chain._watch()
    chain.write({"scan_lag": 1, "last_polled_on": fields.Datetime.subtract(fields.Datetime.now(), seconds=5)})
    cursor = chain.cursor_block
    evm.mine(5)
    started = time.monotonic()
    chain._read_once()
    seconds = time.monotonic() - started
    if chain.cursor_block != cursor + 4:
        raise AssertionError(f"read up to {chain.cursor_block} instead of {cursor + 4}")
    return f"{chain.poll_requests} / {chain.poll_calls} / {seconds:.2f}"


def measure(env, evm, chain, contract, args):
    """Read the blocks and print the table."""
    addresses = open_addresses(env, args.open)
    chain.write({"span_max": args.step})
    chain._watch()
    env.cr.commit()
    start, before = chain.cursor_block, memory()
    fill(evm, contract, addresses[0].address, args.blocks)
    snapshot = chain._prepare_snapshot()
    node_seconds, size, node_requests = floor(evm, chain, snapshot, start + 1, start + args.blocks)
    requests = cycles = 0
    waiting = Waiting(env)
    wall, cpu = time.monotonic(), time.process_time()
    while chain.cursor_block < start + args.blocks:
        chain._read_once()
        env.cr.commit()
        requests, cycles = requests + chain.poll_requests, cycles + 1
    wall, cpu, waited = time.monotonic() - wall, time.process_time() - cpu, waiting.seconds
    found = env["milestone.billing.crypto.transfer"].search_count([("chain_id", "=", chain.id)])
    cycle = one_cycle(evm, chain)
    rows = [
        ("open addresses", args.open),
        ("blocks x logs", f"{args.blocks} x {LOGS_A_BLOCK}"),
        ("requests / calls / seconds of a cycle of 5 blocks", cycle),
        ("node alone, seconds", f"{node_seconds:.2f} ({node_requests} requests, {size / 2**20:.1f} MiB)"),
        ("watcher, seconds", f"{wall:.2f} ({requests} requests in {cycles} ranges, {cpu:.2f} s CPU)"),
        ("of which waiting for the node, seconds", f"{waited:.2f}"),
        ("watcher / node alone", f"{wall / node_seconds:.2f}"),
        ("watcher without waiting / node alone", f"{(wall - waited) / node_seconds:.2f}"),
        ("receipts found", f"{found} of {-(-args.blocks // 100)}"),
        ("memory before / after, MiB", f"{before:.0f} / {memory():.0f}"),
    ]
    for name, value in rows:
        print(f"| {name} | {value} |")


def main():
    """Set up and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--addons-path", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--open", type=int, default=10000)
    parser.add_argument("--blocks", type=int, default=1000)
    parser.add_argument("--step", type=int, default=200)
    args = parser.parse_args()
    evm = Anvil(more=["--gas-limit", str(10**9)])
    try:
        cursor, env = evm_workers.environment(args)
        chain, _token, _provider, contract = evm_workers.prepare(env, evm)
        measure(env, evm, chain, contract, args)
        cursor.close()
    finally:
        evm.stop()


if __name__ == "__main__":
    main()
