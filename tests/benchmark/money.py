#!/usr/bin/env python3
"""Measure what completing, drafting and posting milestones costs, against the ORM's floor and Odoo's own ways.

    tests/benchmark/money.py [--sizes 100,1000] [--only NAME,...] -- -c odoo.conf -d DATABASE [Odoo options]

The database has `milestone_billing` installed; nothing is committed. Drafts and their posting, the floor's and ours,
each run in a process of their own, on orders of five lines in four stages. Every measurement starts with an empty
cache and its own memory peak; its SQL statements and CPU seconds are divided by the number of invoices.
"""

import argparse
import gc
import json
import os
import sys
import threading
import time
import traceback

CHUNK = 250
STAGES, ORDER_LINES = 4, 5
CASES, STEPS = {}, {}


def case(*steps):
    """Register a case by its name, and which measurements it takes in one process."""

    def register(function):
        CASES[function.__name__] = function
        STEPS[function.__name__] = steps or (function.__name__,)
        return function

    return register


def get_memory_mb(name):
    """Read a figure of this process from the system: `VmRSS`, or `VmHWM` for the peak since it was reset."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(name))


def reset_memory_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


class Meter:
    """Count statements, CPU and wall seconds of a block, and what memory it takes at its peak.

    Cursors count statements on their thread.
    """

    def __init__(self, env):
        self.env, self.thread = env, threading.current_thread()

    def __enter__(self):
        self.env.flush_all()
        self.analyze()
        self.env.invalidate_all()
        gc.collect()
        reset_memory_peak()
        self.memory = get_memory_mb("VmRSS")
        self.thread.query_count, self.thread.query_time = 0, 0
        self.cpu, self.wall = time.process_time(), time.perf_counter()
        return self

    def analyze(self):
        """Let the planner know the tables that this transaction has just filled, as a busy server does.

        Not all: `ANALYZE` alone takes those that all databases share, and waits there for other benchmarks.
        """
        self.env.cr.execute(
            "SELECT relid::regclass::text FROM pg_stat_xact_user_tables WHERE n_tup_ins + n_tup_upd > 0"
        )
        if tables := [table for (table,) in self.env.cr.fetchall()]:
            self.env.cr.execute(f"ANALYZE {', '.join(tables)}")

    def __exit__(self, *_exception):
        self.env.flush_all()
        self.env.cr.precommit.run()  # messages of tracked fields are written there
        self.env.flush_all()
        self.cpu, self.wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
        self.statements = self.thread.query_count
        self.peak = get_memory_mb("VmHWM")
        self.memory = self.peak - self.memory


class Bench:
    """Orders to measure on, made within the transaction."""

    def __init__(self, env, size, company):
        self.size, self.meters = size, {}
        self.env = env = env(context={"allowed_company_ids": [company.id], "tracking_disable": True})
        self.tax = env["account.tax"].search(
            [("type_tax_use", "=", "sale"), ("company_id", "=", company.id)], limit=1
        )
        self.products = env["product.product"].create(
            [
                {"name": f"Bench {place}", "type": "service", "taxes_id": [(6, 0, self.tax.ids)]}
                for place in range(ORDER_LINES)
            ]
        )
        self.partner = env["res.partner"].create({"name": "Bench Client", "email": "bench@client.example"})

    def measure(self, name):
        """Give the meter of one measurement, to be entered."""
        self.meters[name] = Meter(self.env)
        return self.meters[name]

    def create_orders(self, count, products=None, **values):
        prices = (333.33, 1250.0, 99.99, 4000.0, 17.5)
        return self.env["sale.order"].create(
            [
                {
                    "partner_id": self.partner.id,
                    "order_line": [
                        (0, 0, {"product_id": product.id, "price_unit": price, "product_uom_qty": 1.0})
                        for product, price in zip(products or self.products, prices, strict=False)
                    ],
                    **values,
                }
                for _index in range(count)
            ]
        )

    def create_schedules(self, approval=False):
        """Confirm as many orders with four stages as make up the size; give their milestones."""
        orders = self.create_orders(
            max(self.size // STAGES, 1),
            milestone_line_ids=[
                (
                    0,
                    0,
                    {
                        "name": f"Stage {place}",
                        "sequence": place,
                        "percent": 25.0,
                        "approval_required": approval,
                    },
                )
                for place in range(STAGES)
            ],
        )
        orders.action_confirm()
        return orders.milestone_line_ids[: self.size]

    def prepare_floor(self):
        """Values of the same invoices, with the same lines and links, on orders that have no schedule."""
        orders = self.create_orders(max(self.size // STAGES, 1))
        orders.action_confirm()
        return [
            {
                **order._prepare_invoice(),
                "invoice_line_ids": [
                    (0, 0, {"display_type": "line_section", "sequence": 0, "name": f"Stage {stage}"}),
                    *((0, 0, self.prepare_floor_line(line)) for line in order.order_line),
                ],
            }
            for order in orders
            for stage in range(STAGES)
        ][: self.size]

    @staticmethod
    def prepare_floor_line(line):
        price = line.currency_id.round(line.price_unit / STAGES)
        taxes = {
            str(tax.id): {
                "tax_amount_currency": line.currency_id.round(price * tax.amount / 100),
                "base_amount_currency": price,
            }
            for tax in line.tax_ids
        }
        return line._prepare_invoice_line(
            quantity=1.0,
            price_unit=price,
            extra_tax_data={
                "computation_key": f"floor,{line.id}",
                "manual_total_excluded_currency": price,
                "manual_tax_amounts": taxes or {"0": {}},
                "currency_id": line.currency_id.id,
                "price_unit": price,
                "discount": 0.0,
                "quantity": 1.0,
                "rate": line.order_id.currency_rate,
            },
        )

    def create_chunked(self, values_list):
        Move = self.env["account.move"].with_context(mail_create_nolog=True, mail_create_nosubscribe=True)
        moves = self.env["account.move"]
        for start in range(0, len(values_list), CHUNK):
            moves += Move.create(values_list[start : start + CHUNK])
        return moves


# === CASES ===


@case("floor_draft", "floor_post")
def floor(bench):
    values_list = bench.prepare_floor()
    with bench.measure("floor_draft"):
        moves = bench.create_chunked(values_list)
    with bench.measure("floor_post"):
        moves._post()


@case("draft", "post")
def stages(bench):
    lines = bench.create_schedules()
    lines.schedule_id._lock()
    with bench.measure("draft"):
        moves = lines._create_invoices()
    with bench.measure("post"):
        moves._post()


@case()
def complete(bench):
    lines = bench.create_schedules(approval=True).with_context(tracking_disable=False)
    bench.env.cr.precommit.run()
    with bench.measure("complete"):
        lines._complete(trigger="api")


@case()
def odoo_milestones_batched(bench):
    orders, milestones = create_odoo_milestones(bench)
    with bench.measure("odoo_milestones_batched"):
        for stage in range(STAGES):
            milestones[stage].write({"is_reached": True})
            orders._create_invoices()


@case()
def odoo_milestones_one_by_one(bench):
    orders, milestones = create_odoo_milestones(bench)
    with bench.measure("odoo_milestones_one_by_one"):
        for stage in range(STAGES):
            for order in orders:
                milestones[stage].filtered(lambda m, o=order: m.sale_line_id.order_id == o).write(
                    {"is_reached": True}
                )
                order._create_invoices()


def create_odoo_milestones(bench):
    products = bench.env["product.product"].create(
        [
            {
                "name": f"Milestone {place}",
                "type": "service",
                "service_policy": "delivered_milestones",
                "taxes_id": [(6, 0, bench.tax.ids)],
            }
            for place in range(ORDER_LINES)
        ]
    )
    project = bench.env["project.project"].create(
        {"name": "Bench", "allow_milestones": True, "allow_billable": True}
    )
    orders = bench.create_orders(max(bench.size // STAGES, 1), products=products)
    orders.action_confirm()
    Milestone = bench.env["project.milestone"]
    milestones = [
        Milestone.create(
            [
                {
                    "name": f"{stage}",
                    "project_id": project.id,
                    "sale_line_id": line.id,
                    "quantity_percentage": 0.25,
                }
                for line in orders.order_line
            ]
        )
        for stage in range(STAGES)
    ]
    return orders, milestones


@case()
def odoo_down_payments(bench):
    orders = bench.create_orders(max(bench.size // STAGES, 1))
    orders.action_confirm()
    with bench.measure("odoo_down_payments"):
        for order in orders:
            for _stage in range(STAGES):
                wizard = bench.env["sale.advance.payment.inv"].create(
                    {"sale_order_ids": order.ids, "advance_payment_method": "percentage", "amount": 25.0}
                )
                wizard.create_invoices()


# === RUNNING ===


def load(arguments):
    """Load Odoo and the registry once; the children inherit them, but no connection."""
    from odoo.modules.registry import Registry
    from odoo.sql_db import close_all
    from odoo.tools import config

    config.parse_config([*arguments, "--log-level=error", "--no-http"])
    names = config["db_name"]
    registry = Registry(names[0] if isinstance(names, list) else names)
    close_all()
    return registry


def create_company(env):
    """One company for the warm-up and the measurement, so that what Odoo caches by company is warm."""
    company = env["res.company"].create({"name": f"Benchmark {os.getpid()}", "milestone_gate": "none"})
    env["account.chart.template"].try_loading("generic_coa", company, install_demo=False)
    return company


def measure(registry, name, size):
    """Run one case in this process and give the figures of each of its measurements."""
    from odoo import SUPERUSER_ID, api

    started = time.process_time()
    with registry.cursor() as cr:
        env = api.Environment(cr, SUPERUSER_ID, {})
        company = create_company(env)
        CASES[name](Bench(env, STAGES, company))
        bench = Bench(env, size, company)
        CASES[name](bench)
        if size == 1:  # one click on a running server: what Odoo caches by process is warm
            CASES[name](bench)
        cr.rollback()
    total = time.process_time() - started
    print(f"{name} {size}: {total:.0f} CPU seconds with what was prepared", file=sys.stderr, flush=True)
    return [
        {
            "name": step,
            "size": size,
            "statements": meter.statements / size,
            "cpu_ms": 1000 * meter.cpu / size,
            "wall_ms": 1000 * meter.wall / size,
            "peak_mb": meter.peak,
            "memory_mb": meter.memory,
        }
        for step, meter in bench.meters.items()
    ]


def run_apart(measure, registry, name, size):
    """Run one case in a child process, so that memory and caches are its own; `measure` gives its figures."""
    read, write = os.pipe()
    if not (child := os.fork()):
        os.close(read)
        status = 1
        try:
            os.write(write, json.dumps(measure(registry, name, size)).encode())
            status = 0
        except BaseException:  # noqa: BLE001 - the child ends here, whatever happened
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    if not text:
        sys.exit(f"{name} failed at {size}")
    return json.loads(text)


FLOORS = {"draft": "floor_draft", "complete": "floor_draft", "post": "floor_post"}
FLOORS |= {name: "floor_draft" for name in CASES if name.startswith("odoo_")}


def print_table(rows):
    by_key = {(row["name"], row["size"]): row for row in rows}
    print(
        "| case | invoices | statements each | CPU ms each | wall ms each | peak MB | of it taken | "
        "statements / floor | CPU / floor |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        floor = by_key.get((FLOORS.get(row["name"]), row["size"]))
        ratios = (
            f"{row['statements'] / floor['statements']:.2f} | {row['cpu_ms'] / floor['cpu_ms']:.2f}"
            if floor
            else " | "
        )
        print(
            f"| {row['name']} | {row['size']} | {row['statements']:.1f} | {row['cpu_ms']:.1f} | "
            f"{row['wall_ms']:.1f} | {row['peak_mb']:.0f} | {row['memory_mb']:.0f} | {ratios} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1,100,1000", help="numbers of invoices, e.g. 100,1000,10000")
    steps = [step for steps in STEPS.values() for step in steps]
    parser.add_argument("--only", default=",".join(steps), help=f"of {', '.join(steps)}")
    parser.add_argument("odoo", nargs="*", help="options of Odoo, after --")
    arguments = parser.parse_args()
    registry, rows, wanted = load(arguments.odoo), [], set(arguments.only.split(","))
    for size in map(int, arguments.sizes.split(",")):
        for name in [name for name in CASES if wanted.intersection(STEPS[name])]:
            if size < STAGES and name.startswith("odoo_"):
                continue  # Odoo's own ways bill whole orders, of four stages
            for row in run_apart(measure, registry, name, size):
                rows.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
    print_table(rows)


if __name__ == "__main__":
    main()
