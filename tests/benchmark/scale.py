#!/usr/bin/env python3
"""Measure lists and workbooks with thousands of open milestones.

    tests/benchmark/scale.py [--sizes 1000,10000] [--rows 100000] -- -c odoo.conf -d DATABASE [Odoo options]

The database has `milestone_billing` installed; nothing is committed. Milestones are copies of one confirmed order, made
by SQL (milestone_billing/tests/scale.py). Each case starts with an empty cache. Peak memory is what the process grows by
while a workbook is written.
"""

import argparse
import resource
import tempfile

from money import Meter, create_company, load

STAGES = 4
PAGE = 80


def create_pattern(env, company):
    """One confirmed order in four stages; the first waits for the client."""
    env = env(context={"allowed_company_ids": [company.id], "tracking_disable": True})
    partner = env["res.partner"].create({"name": "Benchmark client", "email": "client@bench.example"})
    product = env["product.product"].create({"name": "Bench", "type": "service", "taxes_id": [(5, 0, 0)]})
    order = env["sale.order"].create(
        {
            "partner_id": partner.id,
            "company_id": company.id,
            "order_line": [(0, 0, {"product_id": product.id, "price_unit": 10000.0})],
        }
    )
    order.milestone_line_ids = [
        (
            0,
            0,
            {"name": f"Stage {place}", "sequence": place, "percent": 100 / STAGES, "approval_required": True},
        )
        for place in range(1, STAGES + 1)
    ]
    order.action_confirm()
    order.milestone_line_ids[0].action_complete()
    return order


def get_cases(env):
    """What people open: name and work."""
    Line, Approval = env["milestone.billing.line"], env["milestone.billing.approval"]
    names = ("name", "partner_id", "amount_total", "state", "blocked_reason", "waiting_days", "is_ready")
    spec = {name: {} for name in names}
    return {
        "queue, first page": lambda: Line.web_search_read([], spec, limit=PAGE, count_limit=10001),
        "queue, columns by state": lambda: Line.formatted_read_group([], ["state"], ["amount_total:sum"]),
        "queue, ready to bill": lambda: Line.search_count([("is_ready", "=", True)]),
        "queue, blocked by payment": lambda: Line.search_count([("is_blocked_by_payment", "=", True)]),
        "dashboard": env["milestone.billing.dashboard"].get_figures,
        "portal list": lambda: Approval.search(
            [], order="portal_rank, id desc", limit=40
        )._prepare_list_rows(),
    }


def measure_lists(env, size):
    for name, work in get_cases(env).items():
        work()
        env.invalidate_all()
        with Meter(env) as meter:
            work()
        print(
            f"| {name} | {size} | {meter.statements} | {1000 * meter.cpu:.0f} | {1000 * meter.wall:.0f} |",
            flush=True,
        )


def get_memory_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_workbook(env, kind, rows):
    env.invalidate_all()
    before = get_memory_mb()
    with tempfile.TemporaryFile() as file:
        with Meter(env) as meter:
            env["milestone.billing.workbook"]._write(file, kind)
        size = file.seek(0, 2) / 2**20
    grown = get_memory_mb() - before
    print(
        f"| {kind} | {rows} | {meter.statements} | {meter.cpu:.0f} | {size:.1f} | {grown:.0f} |", flush=True
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1000,10000", help="numbers of milestones")
    parser.add_argument("--rows", type=int, default=100000, help="rows of the workbook")
    parser.add_argument("odoo", nargs="*", help="options of Odoo, after --")
    arguments = parser.parse_args()
    registry = load(arguments.odoo)
    from odoo import SUPERUSER_ID, api
    from odoo.addons.milestone_billing.tests.scale import multiply

    with registry.cursor() as cr:
        env = api.Environment(cr, SUPERUSER_ID, {})
        company = create_company(env)
        order = create_pattern(env, company)
        env, done = order.env, STAGES
        print("| opened | milestones | statements | CPU ms | wall ms |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for size in map(int, arguments.sizes.split(",")):
            multiply(order, (size - done) // STAGES)
            done = size
            measure_lists(env, size)
        multiply(order, (arguments.rows - done) // STAGES)
        print("\n| workbook | rows | statements | CPU s | file MB | memory grows by MB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        measure_workbook(env, "schedule", arguments.rows)
        cr.rollback()


if __name__ == "__main__":
    main()
