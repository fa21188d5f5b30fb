"""Twenty workers read one network at once: nothing is lost and nothing is booked twice.

    python tests/e2e/evm_workers.py --addons-path PATHS --database NAME [--workers 20]

needs PostgreSQL's usual variables, `odoo` importable, and a database of its own with both addons installed; it makes
a company with accounts in it. Starts its own local node. Workers are processes, each with its own connection, as on
several hosts. Last line: N passed, N failed.
"""

import argparse
import multiprocessing
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "milestone_billing_crypto" / "tests"))
from evm.node import CHAIN_ID, Anvil  # noqa: E402

XPUB = "xpub6Ce9NcJvTk37JBtr1eY9EsMZtMiNE1eTP4tmjVpfv5jBrmMxag6m2Vx99tzFbrPSgbYYCGJE82UetSJzNurv8JAzgEx2Duh3aa4p5ZW2gHX"


def environment(args):
    """Return a new cursor and environment of the database."""
    from odoo import SUPERUSER_ID, api
    from odoo.modules.registry import Registry
    from odoo.tools import config

    config.parse_config(
        ["--addons-path", args.addons_path, "-d", args.database, "--log-level", "error", "--no-http"]
    )
    cursor = Registry(args.database).cursor()
    return cursor, api.Environment(cursor, SUPERUSER_ID, {})


def disconnect():
    """Close all connections, so that processes made from this one do not share them."""
    from odoo import sql_db

    sql_db.close_all()


def prepare(env, evm):
    """Make network, tokens, wallet and provider; return provider and token."""
    from odoo import Command

    if not env.company.chart_template:
        env["account.chart.template"].try_loading("generic_coa", env.company)
    contract = evm.deploy_token("USDC", 6)
    contract.send("mint", evm.accounts()[0], 10**15)
    env["ir.config_parameter"].set_param("milestone_billing_crypto.private_nodes", evm.origin)
    chain = env["milestone.billing.crypto.chain"].create(
        {
            "name": "Race",
            "evm_id": CHAIN_ID,
            "is_test": True,
            "block_time_ms": 1000,
            "confirmations": 3,
            "scan_lag": 0,
            "span_max": 7,
            "node_ids": [Command.create({"url": evm.url})],
        }
    )
    usd = env.ref("base.USD")
    token = env["milestone.billing.crypto.token"].create(
        {
            "symbol": "USDC",
            "name": "x",
            "chain_id": chain.id,
            "contract": contract.address,
            "peg_currency_id": usd.id,
        }
    )
    token.action_verify()
    wallet = env["milestone.billing.crypto.wallet"].create(
        {"name": "Race", "mode": "xpub", "xpub_key": XPUB, "is_test": True}
    )
    wallet.action_confirm()
    account = env["account.account"].search([("account_type", "=", "expense")], limit=1)
    provider = env["payment.provider"].search(
        [("code", "=", "stablecoin"), ("company_id", "=", env.company.id)], limit=1
    )
    provider.write(
        {
            "state": "test",
            "crypto_wallet_id": wallet.id,
            "crypto_token_ids": [Command.set(token.ids)],
            "crypto_tolerance_account_id": account.id,
            "crypto_finalized_from": 10**6,
        }
    )
    chain._watch()
    return chain, token, provider, contract


def begin(env, provider, token):
    """Return a payment of a new invoice."""
    from odoo import Command

    partner = env["res.partner"].create({"name": "Payer"})
    invoice = env["account.move"].create(
        {
            "move_type": "out_invoice",
            "partner_id": partner.id,
            "currency_id": env.ref("base.USD").id,
            "invoice_line_ids": [Command.create({"name": "Stage", "price_unit": 100, "tax_ids": False})],
        }
    )
    invoice.action_post()
    transaction = env["payment.transaction"].create(
        {
            "provider_id": provider.id,
            "payment_method_id": provider.payment_method_ids[:1].id,
            "amount": 100,
            "currency_id": invoice.currency_id.id,
            "partner_id": partner.id,
            "operation": "online_redirect",
            "invoice_ids": [Command.set(invoice.ids)],
        }
    )
    payment = env["milestone.billing.crypto.payment"]._ensure_for(transaction)
    payment._choose(token)
    return payment


def work(args, chain_id, barrier, seconds):
    """Be one worker: read the network again and again, as the scheduled job does."""
    barrier.wait()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        cursor, env = environment(args)
        try:
            env["milestone.billing.crypto.chain"].browse(chain_id)._watch(commit=True)
        except Exception as error:  # noqa: BLE001 - a worker that loses a race goes on with the next cycle
            cursor.rollback()
            if type(error).__name__ not in ("SerializationFailure", "LockNotAvailable", "DeadlockDetected"):
                print(f"worker: {type(error).__name__}: {str(error)[:200]}")
        finally:
            cursor.close()


def choose(args, barrier, queue):
    """Be one visitor of many: begin a payment at the same moment as the others."""
    cursor, env = environment(args)
    provider = env["payment.provider"].search([("code", "=", "stablecoin"), ("state", "=", "test")], limit=1)
    token = provider.crypto_token_ids[:1]
    barrier.wait()
    for _attempt in range(20):
        try:
            payment = begin(env, provider, token)
            queue.put((payment.id, payment.address_id.address))
            cursor.commit()
            break
        except Exception as error:
            cursor.rollback()
            if type(error).__name__ not in ("SerializationFailure", "LockNotAvailable", "UniqueViolation"):
                raise
    cursor.close()


def main():
    """Run the race and check what is left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--addons-path", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=25)
    args = parser.parse_args()
    evm = Anvil()
    try:
        raise SystemExit(race(args, evm))
    finally:
        evm.stop()


def race(args, evm):
    """Return the exit code."""
    context = multiprocessing.get_context("fork")
    cursor, env = environment(args)
    chain, token, _provider, contract = prepare(env, evm)
    token_id, chain_id = token.id, chain.id
    cursor.commit()
    cursor.close()
    disconnect()
    # Visitors at the same moment: each gets an address of its own.
    barrier, queue = context.Barrier(args.workers, timeout=60), context.Queue()
    visitors = [
        context.Process(target=choose, args=(args, barrier, queue)) for _number in range(args.workers)
    ]
    for visitor in visitors:
        visitor.start()
    offered = [queue.get(timeout=60) for _visitor in visitors]
    for visitor in visitors:
        visitor.join(60)
    # Twenty workers, while payments arrive and the chain is reorganised under them.
    barrier = context.Barrier(args.workers + 1, timeout=60)
    workers = [
        context.Process(target=work, args=(args, chain_id, barrier, args.seconds))
        for _number in range(args.workers)
    ]
    for worker in workers:
        worker.start()
    barrier.wait()
    hashes = []
    for number, (_payment, address) in enumerate(offered):
        hashes.append(contract.send("transfer", address, 100 * 10**6))
        if number % 5 == 4:
            evm.reorg(2, [(tx_hash, index % 2) for index, tx_hash in enumerate(hashes[-2:])])
        time.sleep(args.seconds / 2 / len(offered))
    evm.mine(12)
    for worker in workers:
        worker.join(args.seconds + 60)
    return check(args, chain_id, token_id, offered, contract)


def check(args, chain_id, token_id, offered, contract):
    """Compare the books with the network; print and return the exit code."""
    cursor, env = environment(args)
    chain = env["milestone.billing.crypto.chain"].browse(chain_id)
    chain._watch(commit=True)
    payments = env["milestone.billing.crypto.payment"].browse(payment for payment, _address in offered)
    transfers = env["milestone.billing.crypto.transfer"].search([("chain_id", "=", chain_id)])
    booked = transfers.filtered(lambda transfer: transfer.booking_state == "booked")
    arrived = sum(contract.balance_of(address) for _payment, address in offered)
    journal = env["milestone.billing.crypto.token"].browse(token_id).journal_id
    balance = sum(
        env["account.move.line"]
        .search([("account_id", "=", journal.default_account_id.id), ("parent_state", "=", "posted")])
        .mapped("balance")
    )
    live = transfers.filtered(lambda transfer: transfer.state != "orphaned")
    checks = {
        "each visitor got an address of its own": len({address for _payment, address in offered})
        == len(offered),
        "each payment is paid": set(payments.mapped("state")) == {"paid"},
        "one live receipt a payment": sorted(live.payment_id.ids) == sorted(payments.ids)
        and len(live) == len(payments),
        "one booking a payment": len(booked) == len(payments) == len(booked.transaction_id.payment_id),
        "ledger equals network": round(balance * 10**6)
        == arrived
        == sum(int(transfer.value) for transfer in live),
        "every invoice is settled": not any(payments.transaction_id.invoice_ids.mapped("amount_residual")),
        "the network was read to its head": chain.cursor_block == chain.head_block,
    }
    for name, good in checks.items():
        print(f"{'ok  ' if good else 'FAIL'} {name}")
    print(
        f"     {len(payments)} payments, {len(transfers)} receipts of which {len(transfers) - len(live)} dropped"
    )
    cursor.close()
    failed = sum(not good for good in checks.values())
    print(f"{len(checks) - failed} passed, {failed} failed")
    return int(bool(failed))


if __name__ == "__main__":
    main()
