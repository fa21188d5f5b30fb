"""Many rows in no time: copies of confirmed orders with their schedules, made by SQL. For tests and benchmarks."""

from odoo.tools import SQL

# Each table, with its columns that point to rows of the tables before it.
TABLES = {
    "sale_order": {},
    "milestone_billing_schedule": {"order_id": "sale_order"},
    "sale_order_line": {"order_id": "sale_order"},
    "milestone_billing_line": {"order_id": "sale_order", "schedule_id": "milestone_billing_schedule"},
    "milestone_billing_allocation": {
        "line_id": "milestone_billing_line",
        "order_line_id": "sale_order_line",
        "schedule_id": "milestone_billing_schedule",
        "order_id": "sale_order",
    },
    "milestone_billing_approval": {"line_id": "milestone_billing_line", "order_id": "sale_order"},
}
# These are unique: each copy gets one of its own.
RANDOM = {"evidence_uuid", "uuid", "access_token"}
NUMBERED = {"name", "reference"}


def multiply(order, count):
    """Copy a confirmed order with its schedule, milestones, planned parts and submissions.

    The copies are rows like any other; only what they share with their pattern (documents, snapshots) is not copied.

    :param order: the pattern.
    :param int count: how many copies.
    :return: ids of the copied milestones.
    :rtype: list[int]
    """
    env = order.env
    env.flush_all()
    lines = order.milestone_line_ids
    sources = {
        "sale_order": order.ids,
        "milestone_billing_schedule": order.milestone_schedule_id.ids,
        "sale_order_line": order.order_line.ids,
        "milestone_billing_line": lines.ids,
        "milestone_billing_allocation": lines.allocation_ids.ids,
        "milestone_billing_approval": lines.approval_ids.ids,
    }
    bases = {}
    for table, links in TABLES.items():
        bases[table] = _copy_rows(env, table, links, sources, bases, count)
    env.cr.execute(
        SQL(
            """
            UPDATE sale_order o SET milestone_schedule_id = schedule.id
              FROM milestone_billing_schedule schedule WHERE schedule.order_id = o.id AND o.id > %s
            """,
            bases["sale_order"],
        )
    )
    for table in TABLES:
        env.cr.execute(SQL("ANALYZE %s", SQL.identifier(table)))
    env.invalidate_all()
    base, size = bases["milestone_billing_line"], len(lines)
    return list(range(base + 1, base + 1 + count * size))


def _copy_rows(env, table, links, sources, bases, count):
    """Copy the rows of one table; copy k of row n has the id base + k * rows + n.

    :return: the base.
    :rtype: int
    """
    ids = sources[table]
    env.cr.execute(SQL("SELECT COALESCE(MAX(id), 0) FROM %s", SQL.identifier(table)))
    base = env.cr.fetchone()[0]
    if not ids:
        return base
    env.cr.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND column_name != 'id'",
        [table],
    )
    names = [name for (name,) in env.cr.fetchall()]
    values = [_get_value(table, name, links, sources, bases) for name in names]
    env.cr.execute(
        SQL(
            "INSERT INTO %(table)s (id, %(names)s) SELECT %(base)s + copy * %(size)s + array_position(%(ids)s, pattern.id),"
            " %(values)s FROM %(table)s pattern CROSS JOIN generate_series(0, %(last)s) copy WHERE pattern.id = ANY(%(ids)s)",
            table=SQL.identifier(table),
            names=SQL(", ").join(SQL.identifier(name) for name in names),
            values=SQL(", ").join(values),
            base=base,
            size=len(ids),
            ids=SQL("%s::int[]", ids),
            last=count - 1,
        )
    )
    env.cr.execute("SELECT setval(%s, %s)", [f"{table}_id_seq", base + count * len(ids)])
    return base


def _get_value(table, name, links, sources, bases):
    column = SQL.identifier("pattern", name)
    if name in links:
        other = links[name]
        ids = SQL("%s::int[]", sources[other])
        return SQL("%s + copy * %s + array_position(%s, %s)", bases[other], len(sources[other]), ids, column)
    if name in RANDOM:
        return SQL("gen_random_uuid()::text")
    if name in NUMBERED and table in ("sale_order", "milestone_billing_line"):
        return SQL("%s || '-' || copy", column)
    return column
