from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ..tools.money import fraction, round_half_up, to_float, to_units


class MilestoneBillingPeriodEnd(models.TransientModel):
    """Draft the entries of a period end: contract assets and liabilities, one entry for each contract."""

    _name = "milestone.billing.period.end"
    _description = "Period End of Contracts"
    _check_company_auto = True

    company_id = fields.Many2one("res.company", required=True, default=lambda self: self.env.company)
    date = fields.Date(string="Period End", required=True, default=lambda self: self._get_default_date())
    reversal_date = fields.Date(
        string="Reversed On",
        required=True,
        compute="_compute_reversal_date",
        store=True,
        precompute=True,
        readonly=False,
        help="The day after the period, so that the next one starts from the invoices again.",
    )
    journal_id = fields.Many2one(
        "account.journal",
        required=True,
        check_company=True,
        domain="[('type', '=', 'general')]",
        default=lambda self: self._get_default_journal(),
    )
    line_ids = fields.One2many("milestone.billing.period.end.line", "wizard_id", string="Contracts")

    @api.model
    def _get_default_date(self):
        return self.env.company._get_milestone_today().replace(day=1) - timedelta(days=1)

    @api.model
    def _get_default_journal(self):
        Journal = self.env["account.journal"]
        domain = [*Journal._check_company_domain(self.env.company), ("type", "=", "general")]
        return Journal.search(domain, limit=1)

    @api.model
    def default_get(self, fields_list):
        """Override to take the selected schedules of confirmed orders as contracts."""
        values = super().default_get(fields_list)
        if "line_ids" in fields_list and self.env.context.get("active_model") == "milestone.billing.schedule":
            schedules = self.env["milestone.billing.schedule"].browse(self.env.context.get("active_ids", []))
            schedules = schedules.filtered(
                lambda schedule: schedule.is_frozen and schedule.company_id == self.env.company
            )
            values["line_ids"] = [fields.Command.create({"schedule_id": item.id}) for item in schedules]
        return values

    @api.depends("date")
    def _compute_reversal_date(self):
        for wizard in self:
            wizard.reversal_date = wizard.date and wizard.date + timedelta(days=1)

    def action_draft_entries(self):
        """Draft one entry and its reversal for each contract that is over- or under-billed, and show them.

        :rtype: dict
        """
        self.ensure_one()
        self._check_may_close()
        lines = self.line_ids.filtered("amount_difference")
        if not lines:
            raise UserError(
                self.env._(
                    "Every contract has billed what it earned: there is nothing to enter. Say what was earned, by "
                    "percentage, cost or amount."
                )
            )
        moves = lines._create_entries()
        return moves.milestone_period_schedule_id.action_view_period_entries()

    def _check_may_close(self):
        if not self.env.user.has_group("milestone_billing.milestone_billing_group_billing_manager"):
            raise AccessError(
                self.env._("Only billing managers may draft the entries of a period end. Ask one of them.")
            )
        if self.reversal_date <= self.date:
            raise UserError(
                self.env._(
                    "The entries are reversed after the period end, not before it. Choose a later day."
                )
            )


class MilestoneBillingPeriodEndLine(models.TransientModel):
    """What one contract has earned, and what its ledger shows."""

    _name = "milestone.billing.period.end.line"
    _description = "Contract at a Period End"

    wizard_id = fields.Many2one("milestone.billing.period.end", required=True, ondelete="cascade")
    schedule_id = fields.Many2one(
        "milestone.billing.schedule", string="Contract", required=True, ondelete="cascade"
    )
    currency_id = fields.Many2one(related="schedule_id.currency_id")
    amount_contract = fields.Monetary(related="schedule_id.amount_contract", string="Contract Sum")
    cost_to_date = fields.Monetary(help="What the work has cost so far.")
    cost_total = fields.Monetary(string="Expected Cost", help="What the whole contract is expected to cost.")
    earned_percent = fields.Float(
        string="Earned (%)",
        digits=(16, 4),
        compute="_compute_earned_percent",
        store=True,
        readonly=False,
        help="Part of the contract that is done, by your own measure or by its cost.",
    )
    amount_recognised = fields.Monetary(
        string="Revenue Billed",
        compute="_compute_amounts",
        help="Revenue in the ledger on this day, advances not counted, earlier period ends included.",
    )
    amount_earned = fields.Monetary(
        string="Earned", compute="_compute_amount_earned", store=True, readonly=False
    )
    amount_difference = fields.Monetary(string="Difference", compute="_compute_amounts")
    position = fields.Selection(
        [("even", "Even"), ("over", "Over-billed: liability"), ("under", "Under-billed: asset")],
        compute="_compute_amounts",
    )

    _earned_range = models.Constraint(
        "CHECK (earned_percent >= 0 AND earned_percent <= 100 AND cost_to_date >= 0 AND cost_total >= 0)",
        "What was earned must be between 0 and 100 %, and costs cannot be negative.",
    )

    @api.depends("cost_to_date", "cost_total")
    def _compute_earned_percent(self):
        for line in self:
            if line.cost_total:
                share = fraction(line.cost_to_date) / fraction(line.cost_total)
                line.earned_percent = float(min(share, 1) * 100)

    @api.depends("schedule_id", "wizard_id.date", "cost_to_date", "cost_total", "earned_percent")
    def _compute_amount_earned(self):
        """Take what was earned from costs, else from the percentage, else what is billed."""
        for line in self:
            share = fraction(line.earned_percent) / 100
            if line.cost_total:
                share = min(fraction(line.cost_to_date) / fraction(line.cost_total), 1)
            rounding = line.currency_id.rounding or 0.01
            contract = to_units(line.amount_contract, rounding)
            units = round_half_up(contract * share) if share else line._get_recognised_units()
            line.amount_earned = to_float(units, rounding)

    def _get_recognised_units(self):
        self.ensure_one()
        day = self.wizard_id.date
        return self.schedule_id._get_recognised_units(day) if day and self.schedule_id else 0

    @api.depends("schedule_id", "wizard_id.date", "amount_earned")
    def _compute_amounts(self):
        for line in self:
            rounding = line.currency_id.rounding or 0.01
            line.amount_recognised = to_float(line._get_recognised_units(), rounding)
            units = line._get_difference_units()
            line.amount_difference = to_float(units, rounding)
            line.position = "under" if units > 0 else "over" if units else "even"

    def _get_difference_units(self):
        """Give what was earned less what the ledger shows.

        :rtype: int
        """
        self.ensure_one()
        return to_units(self.amount_earned, self.currency_id.rounding or 0.01) - self._get_recognised_units()

    def _create_entries(self):
        """Draft the entry and the reversal of each contract, never netted across contracts.

        :rtype: account.move
        """
        values_list = []
        for line in self:
            wizard, schedule = line.wizard_id, line.schedule_id
            schedule.check_access("read")
            line._check_no_entry_yet()
            values_list += schedule._prepare_period_end_values(
                line._get_difference_units(), wizard.date, wizard.reversal_date, wizard.journal_id
            )
        moves = self.env["account.move"].create(values_list)
        for entry, reversal in zip(moves[::2], moves[1::2], strict=True):
            reversal.reversed_entry_id = entry
        return moves

    def _check_no_entry_yet(self):
        entries = self.schedule_id.sudo().period_entry_ids.filtered(
            lambda move: (
                move.state != "cancel" and not move.reversed_entry_id and move.date == self.wizard_id.date
            )
        )
        if entries:
            raise UserError(
                self.env._(
                    "%(contract)s has a period-end entry of %(date)s already: %(entry)s. Delete or cancel it and its "
                    "reversal first.",
                    contract=self.schedule_id.order_id.name,
                    date=fields.Date.to_string(self.wizard_id.date),
                    entry=entries[0].display_name,
                )
            )
