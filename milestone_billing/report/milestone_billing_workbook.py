# `_` is self.env._ wherever it is used here. pylint: disable=prefer-env-translation
from odoo import api, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import split_every

from ..tools.money import to_decimal
from ..tools.workbook import CURRENCY, DATE, INTEGER, MONEY, PERCENT, TEXT, Book, Column

CHUNK = 500
KINDS = ("schedule", "register", "position", "forecast", "evidence", "tie-out")


class MilestoneBillingWorkbook(models.AbstractModel):
    """The XLSX files: which columns and rows each one has. Rows are read in chunks and never kept."""

    _name = "milestone.billing.workbook"
    _description = "Milestone Workbook"

    @api.model
    def _write(self, file, kind, schedules=None, day=None):
        """Write one workbook with the rights of the user.

        :param file: binary file to write to.
        :param str kind: one of `KINDS`.
        :param schedules: only these, for the schedule and the tie-out; else those of the present company.
        :param datetime.date day: of the contract position; today without.
        :return: file name.
        :rtype: str
        :raise AccessError: for anybody but billing users and auditors.
        :raise UserError: for an unknown kind.
        """
        self._check_may_read()
        if kind not in KINDS:
            raise UserError(
                self.env._(
                    "There is no workbook “%(kind)s”. Choose one of: %(kinds)s.",
                    kind=kind,
                    kinds=", ".join(KINDS),
                )
            )
        day = day or self.env.company._get_milestone_today()
        if schedules is None:
            schedules = self.env["milestone.billing.schedule"].search(
                [("company_id", "=", self.env.company.id), ("order_id.state", "=", "sale")], order="id"
            )
        schedules.check_access("read")
        name = kind.replace("-", "_")
        columns = getattr(self, f"_get_{name}_columns")()
        rows = getattr(self, f"_get_{name}_rows")(schedules, day)
        book = Book(file, self._get_currency_digits(), self.env._("Total"))
        book.add(self._get_titles()[kind], columns, rows)
        book.close()
        return f"milestones_{name}_{day}.xlsx"

    def _check_may_read(self):
        groups = "milestone_billing.milestone_billing_group_billing_user,milestone_billing.milestone_billing_group_auditor"
        if not self.env.user.has_groups(groups):
            raise AccessError(
                self.env._("Only billing users and auditors may export figures. Ask one of them.")
            )

    def _get_titles(self):
        _ = self.env._
        titles = (
            _("Schedule"),
            _("Register"),
            _("Contract position"),
            _("Cash forecast"),
            _("Evidence"),
            _("Tie-out"),
        )
        return dict(zip(KINDS, titles, strict=True))

    def _get_currency_digits(self):
        currencies = self.env["res.currency"].with_context(active_test=False).search([])  # pylint: disable=no-search-all
        return {currency.name: currency.decimal_places for currency in currencies}

    def _stream(self, records):
        """Walk through many records with a bounded cache."""
        for ids in split_every(CHUNK, records.ids):
            yield from records.browse(ids)
            self.env.invalidate_all()

    def _label(self, record, name):
        return dict(record._fields[name]._description_selection(self.env)).get(record[name])

    # === SCHEDULE ===

    def _get_schedule_columns(self):
        _ = self.env._
        return [
            Column(_("Order")),
            Column(_("Customer")),
            Column(_("Reference")),
            Column(_("Milestone")),
            Column(_("Trigger")),
            Column(_("Expected on"), DATE),
            Column(_("Share"), PERCENT),
            Column(_("Currency"), CURRENCY),
            Column(_("Untaxed"), MONEY, True),
            Column(_("Tax"), MONEY, True),
            Column(_("Total"), MONEY, True),
            Column(_("Billed, untaxed"), MONEY, True),
            Column(_("State")),
            Column(_("Invoice")),
            Column(_("Invoice status")),
        ]

    def _get_schedule_rows(self, schedules, _day):
        lines = self.env["milestone.billing.line"].search(
            [("schedule_id", "in", schedules.ids), ("state", "!=", "cancelled")],
            order="order_id, sequence, id",
        )
        for line in self._stream(lines):
            yield (
                line.order_id.name,
                line.partner_id.display_name,
                line.reference,
                line.name,
                self._label(line, "trigger"),
                line.date_expected,
                line.percent if line.amount_type == "percent" else None,
                line.currency_id.name,
                line.amount_untaxed,
                line.amount_tax,
                line.amount_total,
                line.amount_billed,
                self._label(line, "state"),
                line._get_live_invoice().name or ", ".join(line.opening_ids.mapped("reference")) or None,
                self._label(line, "invoice_status"),
            )

    # === REGISTER ===

    def _get_register_columns(self):
        _ = self.env._
        return [
            Column(_("Date"), DATE),
            Column(_("Number")),
            Column(_("Kind")),
            Column(_("Order")),
            Column(_("Milestone")),
            Column(_("Customer")),
            Column(_("Due on"), DATE),
            Column(_("Currency"), CURRENCY),
            Column(_("Untaxed"), MONEY, True),
            Column(_("Tax"), MONEY, True),
            Column(_("Total"), MONEY, True),
            Column(_("Open"), MONEY, True),
            Column(_("Payment")),
        ]

    def _get_register_rows(self, schedules, _day):
        moves = self.env["account.move"].search(
            [
                ("milestone_line_id.schedule_id", "in", schedules.ids),
                ("milestone_document", "!=", False),
                ("state", "=", "posted"),
            ],
            order="invoice_date, name, id",
        )
        for move in self._stream(moves):
            sign = -move.direction_sign
            yield (
                move.invoice_date or move.date,
                move.name,
                self._label(move, "milestone_document"),
                move.milestone_line_id.order_id.name,
                move.milestone_line_id.display_name,
                move.partner_id.display_name,
                move.invoice_date_due,
                move.currency_id.name,
                sign * move.amount_untaxed,
                sign * move.amount_tax,
                sign * move.amount_total,
                sign * move.amount_residual,
                self._label(move, "payment_state"),
            )

    # === POSITION ===

    def _get_position_columns(self):
        _ = self.env._
        return [
            Column(_("Order")),
            Column(_("Customer")),
            Column(_("Currency"), CURRENCY),
            Column(_("Original contract sum"), MONEY, True),
            Column(_("Change orders"), MONEY, True),
            Column(_("Contract sum"), MONEY, True),
            Column(_("Completed to date"), MONEY, True),
            Column(_("Retainage"), MONEY, True),
            Column(_("Earned less retainage"), MONEY, True),
            Column(_("Balance to finish"), MONEY, True),
        ]

    def _get_position_rows(self, schedules, day):
        names = (
            "contract_sum_original",
            "change_orders",
            "contract_sum",
            "completed_to_date",
            "retainage",
            "earned_less_retainage",
            "balance_to_finish",
        )
        for schedule in self._stream(schedules):
            units = schedule.sudo()._get_statement_units(day)
            if not any(units.values()):
                continue  # Nothing was agreed yet on that day.
            rounding = schedule.currency_id.rounding
            yield (
                schedule.order_id.name,
                schedule.partner_id.display_name,
                schedule.currency_id.name,
                *(to_decimal(units[name], rounding) for name in names),
            )

    # === FORECAST ===

    def _get_forecast_columns(self):
        _ = self.env._
        return [
            Column(_("Expected on"), DATE),
            Column(_("Kind")),
            Column(_("Order")),
            Column(_("Milestone")),
            Column(_("Customer")),
            Column(_("Currency"), CURRENCY),
            Column(_("Amount"), MONEY, True),
        ]

    def _get_forecast_rows(self, _schedules, _day):
        """Give what is open on its due date and what is planned after the usual days, as the dashboard does."""
        Dashboard = self.env["milestone.billing.dashboard"]
        delay = Dashboard._get_delay(Dashboard._get_days_to_cash()["average"])
        today = self.env.company._get_milestone_today()
        facts = self.env["milestone.billing.ledger"].search(
            [("company_id", "=", self.env.company.id), ("fact", "in", ("open", "planned", "draft"))],
            order="date, id",
        )
        for fact in self._stream(facts):
            when = fact.date and Dashboard._place_in_time(fact.fact, fact.date, today, delay)[1]
            yield (
                when,
                self._label(fact, "fact"),
                fact.order_id.name,
                fact.line_id.display_name,
                fact.partner_id.display_name,
                fact.currency_id.name,
                fact.currency_id.round(fact.amount),
            )

    # === EVIDENCE ===

    def _get_evidence_columns(self):
        _ = self.env._
        return [
            Column(_("Milestone")),
            Column(_("Chain")),
            Column(_("Number"), INTEGER),
            Column(_("Time (UTC)")),
            Column(_("Event")),
            Column(_("Hash")),
        ]

    def _get_evidence_rows(self, schedules, _day):
        lines = self.env["milestone.billing.line"].search_fetch(
            [("schedule_id", "in", schedules.ids)], ["evidence_uuid", "reference"], order="id"
        )
        Evidence = self.env["milestone.billing.evidence"]
        for ids in split_every(CHUNK, lines.ids):
            references = {line.evidence_uuid: line.reference for line in lines.browse(ids)}
            for entry in Evidence.search([("chain_id", "in", list(references))], order="chain_id, seq"):
                yield (
                    references[entry.chain_id],
                    entry.chain_id,
                    entry.seq,
                    entry.occurred_at,
                    entry.type,
                    entry.entry_hash,
                )
            self.env.invalidate_all()

    # === TIE-OUT ===

    def _get_tie_out_columns(self):
        _ = self.env._
        return [
            Column(_("Order")),
            Column(_("Customer")),
            Column(_("Result")),
            Column(_("Check")),
            Column(_("Difference"), TEXT),
            Column(_("Currency"), CURRENCY),
            Column(_("Expected"), MONEY),
            Column(_("Found"), MONEY),
        ]

    def _get_tie_out_rows(self, schedules, _day):
        Currency = self.env["res.currency"]
        for schedule in self._stream(schedules):
            base = (schedule.order_id.name, schedule.partner_id.display_name)
            result, currency = schedule.tie_out(), schedule.currency_id.name
            if result["ok"]:
                yield (*base, self.env._("Equal to the ledger"), None, None, currency, None, None)
            if opening := result.get("opening"):
                text = self.env._("Billed before, not in this ledger: %s", ", ".join(opening["references"]))
                amount = opening["amount_untaxed"]
                yield (*base, self.env._("Opening balance"), "opening", text, currency, amount, amount)
            for row in result["differences"]:
                yield (
                    *base,
                    self.env._("Different"),
                    row["check"],
                    row["message"],
                    Currency.browse(row["currency_id"]).name,
                    row["expected"],
                    row["actual"],
                )
