# `_` is self.env._ wherever it is used here. pylint: disable=prefer-env-translation
from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError
from odoo.tools import SQL
from odoo.tools.date_utils import start_of

DEFAULT_DAYS_TO_CASH = 30
AGES = ((0, 3), (4, 7), (8, 14), (15, 30), (31, None))
PROJECTS_MAX = 10


class MilestoneBillingDashboard(models.AbstractModel):
    """The figures of the dashboard, with a number of statements that does not grow with the data."""

    _name = "milestone.billing.dashboard"
    _description = "Milestone Dashboard"

    @api.model
    @api.readonly
    def get_figures(self):
        """Give everything the dashboard shows, in the currency of the present company.

        :return: `is_empty`, `currency_id`, `figures` (each with `name`, `label`, `value`, `kind`, `help` and the
            `model` and `domain` of its records), `months`, `ages`, `projects` and `trend`.
        :rtype: dict
        :raise AccessError: for anybody but billing users and auditors.
        """
        self._check_may_read()
        totals = self._get_totals()
        days = self._get_days_to_cash()
        return {
            "is_empty": not self.env["milestone.billing.line"].search_count(self._own([]), limit=1),
            "currency_id": self.env.company.currency_id.id,
            "figures": self._prepare_figures(totals, days),
            "months": self._get_months(days["average"]),
            "ages": self._get_ages(),
            "projects": self._get_projects(),
            "trend": days["trend"],
        }

    def _check_may_read(self):
        groups = (
            "milestone_billing.milestone_billing_group_billing_user",
            "milestone_billing.milestone_billing_group_auditor",
        )
        if not any(self.env.user.has_group(group) for group in groups):
            raise AccessError(
                self.env._(
                    "Only billing users and auditors see the dashboard. Ask your billing manager for that right."
                )
            )

    def _own(self, domain):
        return [("company_id", "=", self.env.company.id), *domain]

    # === TOTALS ===

    def _get_totals(self):
        """Add up the ledger by fact, and what waits for approval.

        :rtype: dict
        """
        groups = self.env["milestone.billing.ledger"]._read_group(self._own([]), ["fact"], ["amount:sum"])
        totals = dict(groups)
        waiting = self.env["milestone.billing.line"]._read_group(
            self._own([("state", "=", "submitted")]), [], ["__count", "amount_total:sum"]
        )
        totals["waiting_count"], totals["waiting"] = waiting[0]
        return totals

    def _prepare_figures(self, totals, days):
        contract, billed = totals.get("contract", 0.0), totals.get("billed", 0.0)
        _ = self.env._
        money = (
            ("contract", _("Contracted"), contract, _("Orders billed by milestones, without tax.")),
            ("billed", _("Billed"), billed, _("Issued invoices less credit notes, without tax.")),
            ("paid", _("Paid"), totals.get("paid", 0.0), _("Money received, with tax.")),
            ("open", _("To Be Paid"), totals.get("open", 0.0), _("Issued and not paid yet, with tax.")),
            (
                "retained",
                _("Retained"),
                totals.get("retained", 0.0),
                _("Held back by clients until released."),
            ),
            ("deposit", _("Deposits Held"), totals.get("deposit", 0.0), _("Advances not deducted yet.")),
        )
        figures = [self._prepare_ledger_figure(*row) for row in money]
        before = totals.get("before") or 0.0
        if before:
            text = _("On invoices of another system, without tax.")
            figures.insert(2, self._prepare_ledger_figure("before", _("Billed Before"), before, text))
        backlog = self._prepare_ledger_figure(
            "backlog",
            _("Backlog"),
            contract - billed - before,
            _("Contracted and not billed yet, without tax."),
        )
        backlog["domain"] = self._own([("fact", "in", ["planned", "draft"])])
        waiting, speed = self._prepare_waiting_figure(totals), self._prepare_speed_figure(days)
        return [*figures[:4], waiting, *figures[4:], backlog, speed]

    def _prepare_waiting_figure(self, totals):
        _ = self.env._
        return {
            "name": "waiting",
            "label": _("To Approve"),
            "value": totals["waiting"] or 0.0,
            "kind": "money",
            "help": _("With the client, tax included: %s milestones.", totals["waiting_count"]),
            "model": "milestone.billing.line",
            "domain": self._own([("state", "=", "submitted")]),
        }

    def _prepare_speed_figure(self, days):
        _ = self.env._
        return {
            "name": "days",
            "label": _("Days from Done to Cash"),
            "value": days["average"],
            "kind": "days",
            "help": _("Average of the milestones paid in the last twelve months."),
            "model": "milestone.billing.line",
            "domain": self._own([("invoice_status", "=", "paid")]),
        }

    def _prepare_ledger_figure(self, name, label, value, text):
        return {
            "name": name,
            "label": label,
            "value": value or 0.0,
            "kind": "money",
            "help": text,
            "model": "milestone.billing.ledger",
            "domain": self._own([("fact", "=", name)]),
        }

    # === TIME ===

    def _get_days_to_cash(self):
        """Measure the days from done to fully paid, for milestones paid in the last twelve months.

        :return: `average` (None without data) and `trend`, one row a month.
        :rtype: dict
        """
        since = start_of(self.env.company._get_milestone_today() - timedelta(days=365), "month")
        ledger = self.env["milestone.billing.ledger"]
        self.env["milestone.billing.line"].flush_model(["completed_on"])
        query = ledger._search(self._own([("fact", "=", "paid"), ("line_id.invoice_status", "=", "paid")]))
        rows = self.env.execute_query(
            SQL(
                """
                SELECT TO_CHAR(cash.paid_on, 'YYYY-MM'), COUNT(*), SUM(cash.paid_on - line.completed_on::date)
                  FROM (SELECT fact.line_id, MAX(fact.date) AS paid_on FROM (%s) fact GROUP BY fact.line_id) cash
                  JOIN milestone_billing_line line ON line.id = cash.line_id
                 WHERE cash.paid_on >= %s AND line.completed_on IS NOT NULL
                 GROUP BY 1 ORDER BY 1
                """,
                query.select(SQL.identifier(query.table, "line_id"), SQL.identifier(query.table, "date")),
                since,
            )
        )
        count, total = sum(row[1] for row in rows), sum(row[2] for row in rows)
        return {
            "average": round(total / count, 1) if count else None,
            "trend": [{"month": month, "days": round(days / paid, 1)} for month, paid, days in rows],
        }

    def _get_months(self, average_days):
        """Add up billed, paid and expected money by month, twelve back and twelve ahead.

        What is open is expected on its due date (overdue: this month). What is planned is expected as many days
        after its date as paid milestones took on average.

        :rtype: list[dict]
        """
        today = self.env.company._get_milestone_today()
        first = start_of(today - timedelta(days=335), "month")
        last = start_of(today + timedelta(days=365), "month")
        delay = self._get_delay(average_days)
        groups = self.env["milestone.billing.ledger"]._read_group(
            self._own(
                [("fact", "in", ["billed", "paid", "open", "planned", "draft"]), ("date", "!=", False)]
            ),
            ["fact", "date:day"],
            ["amount:sum"],
        )
        months = {}
        for fact, day, amount in groups:
            column, when = self._place_in_time(fact, day, today, delay)
            if first <= when <= last:
                row = months.setdefault(
                    start_of(when, "month"), {"billed": 0.0, "paid": 0.0, "expected": 0.0}
                )
                row[column] += amount
        round_ = self.env.company.currency_id.round
        return [
            {"month": month.strftime("%Y-%m"), **{name: round_(value) for name, value in row.items()}}
            for month, row in sorted(months.items())
        ]

    @api.model
    def _get_delay(self, average_days):
        return timedelta(days=round(DEFAULT_DAYS_TO_CASH if average_days is None else average_days))

    @api.model
    def _place_in_time(self, fact, day, today, delay):
        if fact in ("billed", "paid"):
            return fact, day
        return "expected", max(today, day if fact == "open" else day + delay)

    def _get_ages(self):
        """Count what waits for approval by age in days.

        :rtype: list[dict]
        """
        groups = self.env["milestone.billing.approval"]._read_group(
            self._own([("state", "=", "requested")]), ["create_date:day"], ["__count"]
        )
        now = fields.Datetime.now()
        counts = [0] * len(AGES)
        for since, count in groups:
            age = (now - since).days
            place = next(n for n, (_low, high) in enumerate(AGES) if high is None or age <= high)
            counts[place] += count
        return [
            {"label": f"{low}-{high}" if high is not None else f"{low}+", "count": count}
            for (low, high), count in zip(AGES, counts, strict=True)
        ]

    # === OVER- AND UNDER-BILLING ===

    def _get_projects(self):
        """Compare billed with earned by project; earned is the completed share of the contract.

        Deposits are not work: the completed share is that of the other milestones.

        :return: the projects that are furthest off, with `over` above zero when more is billed than earned.
        :rtype: list[dict]
        """
        self.env["milestone.billing.line"].flush_model()
        query = self.env["milestone.billing.line"]._search(
            self._own(
                [("state", "!=", "cancelled"), ("order_id.state", "=", "sale"), ("project_id", "!=", False)]
            )
        )
        rows = self.env.execute_query(
            SQL(
                """
                SELECT line.project_id, SUM(line.amount_untaxed / rate.value),
                       SUM(CASE WHEN line.kind != 'deposit' THEN line.amount_untaxed / rate.value ELSE 0 END),
                       SUM(CASE WHEN line.kind != 'deposit' AND line.completed_on IS NOT NULL
                                THEN line.amount_untaxed / rate.value ELSE 0 END),
                       SUM(line.amount_billed / rate.value)
                  FROM milestone_billing_line line
                  JOIN sale_order o ON o.id = line.order_id
                 CROSS JOIN LATERAL (SELECT COALESCE(NULLIF(o.currency_rate::numeric, 0), 1) AS value) rate
                 WHERE line.id IN %s AND line.kind != 'retainage_release'
                 GROUP BY line.project_id
                """,
                query.subselect(),
            )
        )
        return self._rank_projects(rows)

    def _rank_projects(self, rows):
        round_ = self.env.company.currency_id.round
        found = []
        for project_id, contract, work, done, billed in rows:
            earned = contract * done / work if work else contract
            found.append(
                {"id": project_id, "over": round_(float(billed - earned)), "earned": round_(float(earned))}
            )
        found = sorted((row for row in found if row["over"]), key=lambda row: -abs(row["over"]))[
            :PROJECTS_MAX
        ]
        names = {p.id: p.display_name for p in self.env["project.project"].browse(row["id"] for row in found)}
        return [{**row, "name": names[row["id"]]} for row in found]
