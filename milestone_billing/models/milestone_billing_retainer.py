import logging
from datetime import timedelta
from decimal import Decimal

from dateutil.relativedelta import relativedelta
from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import format_date

from ..tools.retainer import settle

_logger = logging.getLogger(__name__)
STEPS = {
    "month": relativedelta(months=1),
    "quarter": relativedelta(months=3),
    "year": relativedelta(years=1),
}
PERIODS_MAX = 24


class MilestoneBillingRetainer(models.Model):
    """Hours that a customer pays ahead: period by period, or as a block that is bought again when wanted."""

    _name = "milestone.billing.retainer"
    _description = "Retainer"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _inherits = {"milestone.billing.enrolment": "enrolment_id"}
    _order = "id desc"

    enrolment_id = fields.Many2one(
        "milestone.billing.enrolment", required=True, readonly=True, index=True, ondelete="restrict"
    )
    user_id = fields.Many2one("res.users", string="Responsible", default=lambda self: self.env.user)
    period = fields.Selection(
        [("month", "Month"), ("quarter", "Quarter"), ("year", "Year"), ("block", "Prepaid block")],
        default="month",
        required=True,
        tracking=True,
    )
    hours_included = fields.Float(
        string="Hours", required=True, default=10.0, help="Paid per period or block."
    )
    date_next = fields.Date(
        string="Next Period",
        required=True,
        default=lambda self: self.env.company._get_milestone_today(),
        help="First day of what is billed next.",
    )
    days_ahead = fields.Integer(
        string="Billed Ahead (days)",
        default=0,
        help="How many days before a period begins its invoice is made. 0 bills it on its first day.",
    )
    rollover = fields.Selection(
        [("none", "Unused hours expire"), ("once", "They last one more period"), ("always", "They are kept")],
        string="Unused Hours",
        help="What becomes of the hours that are left at the end of a period.",
        default="once",
        required=True,
        tracking=True,
    )
    overage = fields.Selection(
        [("bill", "Bill them"), ("warn", "Warn the team")],
        string="Hours Beyond",
        default="warn",
        required=True,
        help="What happens when more hours are delivered than were paid: they are billed when the period is over, or "
        "the responsible person gets an activity.",
    )
    overage_rate = fields.Monetary(string="Price of an Hour Beyond", help="Untaxed.")
    state = fields.Selection(
        [("running", "Running"), ("closed", "Closed")],
        default="running",
        readonly=True,
        copy=False,
        tracking=True,
    )
    period_ids = fields.One2many(
        "milestone.billing.retainer.period", "retainer_id", string="Periods", copy=False
    )
    usage_ids = fields.One2many(
        "milestone.billing.retainer.usage", "retainer_id", string="Delivered", copy=False
    )
    hours_left = fields.Float(
        compute="_compute_hours_left", help="Of the periods or blocks that are open now."
    )
    problem = fields.Char(readonly=True, copy=False, help="Why the last run could not bill this retainer.")

    _hours_positive = models.Constraint("CHECK (hours_included > 0)", "A retainer has more than zero hours.")

    @api.depends("period_ids.hours_left", "period_ids.state")
    def _compute_hours_left(self):
        for retainer in self:
            open_periods = retainer.period_ids.filtered(lambda period: period.state == "open")
            retainer.hours_left = sum(open_periods.mapped("hours_left"))

    # === ACTIONS ===

    def action_bill_next(self):
        """Bill the next period, or one more block, now."""
        self.enrolment_id._check_may_charge()
        for retainer in self.sudo():
            retainer._bill_period()
        return True

    # === BILLING ===

    def _bill_period(self):
        """Charge the next period and open it.

        :rtype: milestone.billing.retainer.period
        """
        self.ensure_one()
        if self.state != "running":
            raise UserError(self.env._("“%s” is closed. Make a new retainer to bill again.", self.name))
        start = self.date_next
        following = self._get_following_start(start)
        end = following - timedelta(days=1) if following else False
        self._check_not_billed(start, end)
        text = self._in_client_language()._get_text(start, end)
        line = self.enrolment_id._charge(self.amount_default, text, False, "retainer")
        waiting = self.period_ids.filtered(lambda item: item.state == "closed" and item.hours_carried_on)
        period = self.env["milestone.billing.retainer.period"].create(
            {
                "retainer_id": self.id,
                "date_from": start,
                "date_to": end,
                "hours_included": self.hours_included,
                "hours_carried": sum(waiting.mapped("hours_carried_on")),
                "milestone_line_id": line.id,
            }
        )
        waiting.hours_carried_on = 0.0
        self.date_next = following or start
        return period

    def _get_following_start(self, start):
        """Give the first day of the period after one, or False for blocks.

        A month without the day on which the retainer began is cut short; the next one has that day again.

        :rtype: date | bool
        """
        step = STEPS.get(self.period)
        if not step:
            return False
        day, first = start.day, start
        for period in self.period_ids.filtered("date_to").sorted("date_from", reverse=True):
            if period.date_to != first - timedelta(days=1):
                break
            first = period.date_from
            day = max(day, first.day)
        return start + step + relativedelta(day=day)

    def _check_not_billed(self, start, end):
        """Refuse to bill days a second time, after the next period was moved back by hand."""
        billed = self.period_ids.filtered(
            lambda item: end and item.date_to and item.date_from <= end and item.date_to >= start
        )
        if billed:
            last = max(billed.mapped("date_to"))
            raise UserError(
                self.env._(
                    "“%(name)s” is billed up to %(last)s already. Let the next period begin after that day.",
                    name=self.name,
                    last=format_date(self.env, last),
                )
            )

    def _in_client_language(self):
        return self.with_context(lang=self.partner_id.lang or self.env.lang)

    def _get_text(self, start, end):
        if not end:
            return self.env._(
                "%(name)s: block of %(hours)s hours", name=self.name, hours=f"{self.hours_included:g}"
            )
        return self.env._(
            "%(name)s: %(start)s to %(end)s, %(hours)s hours",
            name=self.name,
            start=format_date(self.env, start),
            end=format_date(self.env, end),
            hours=f"{self.hours_included:g}",
        )

    # === CRON ===

    @api.model
    def _cron_run_retainers(self, chunk=50):
        """Settle periods that are over and bill those that come up, one commit for each chunk.

        Rows that another worker holds are left to it; one that fails says why on itself.
        """
        Cron = self.env["ir.cron"]
        running = self.search([("state", "=", "running")], order="id")
        Cron._commit_progress(remaining=len(running))
        for start in range(0, len(running), chunk):
            batch = running[start : start + chunk]
            try:
                for retainer in batch.try_lock_for_update():
                    retainer._run_safely()
            except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                Cron._give_way(len(running) - start)
                return
            if not Cron._commit_progress(len(batch)):
                return

    def _run_safely(self):
        try:
            with self.env.cr.savepoint():
                self._run()
            if self.problem:
                self.problem = False
        except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
            raise
        except Exception as error:
            self.env.invalidate_all()
            _logger.exception("retainer %s failed", self.id)
            self.problem = str(error)[:300]

    def _settle_over(self):
        """Settle the periods that are over, the oldest first."""
        today = self.company_id._get_milestone_today()
        for period in self.period_ids.sorted("date_from").filtered(
            lambda item: item.state == "open" and item.date_to and item.date_to < today
        ):
            period._settle()

    def _run(self):
        today = self.company_id._get_milestone_today()
        self._settle_over()
        self.period_ids.filtered(lambda item: item.state == "open")._warn_if_used_up()
        if self.period == "block":
            return
        for _turn in range(PERIODS_MAX):
            if self.date_next - timedelta(days=self.days_ahead) > today:
                break
            period = self._bill_period()
            if period.date_to < today:
                period._settle()


class MilestoneBillingRetainerPeriod(models.Model):
    """One paid period, or one block: what was paid, used, carried and lost."""

    _name = "milestone.billing.retainer.period"
    _description = "Retainer Period"
    _order = "date_from desc, id desc"
    _rec_name = "date_from"

    retainer_id = fields.Many2one("milestone.billing.retainer", required=True, index=True, ondelete="cascade")
    company_id = fields.Many2one(related="retainer_id.enrolment_id.company_id", store=True, index=True)
    date_from = fields.Date(string="From", required=True, readonly=True)
    date_to = fields.Date(string="To", readonly=True)
    hours_included = fields.Float(string="Paid", readonly=True)
    hours_carried = fields.Float(string="Brought Forward", readonly=True)
    hours_used = fields.Float(string="Used", compute="_compute_hours")
    hours_left = fields.Float(string="Left", compute="_compute_hours")
    hours_used_final = fields.Float(readonly=True)
    hours_beyond = fields.Float(string="Beyond", readonly=True)
    hours_expired = fields.Float(string="Expired", readonly=True)
    hours_carried_on = fields.Float(string="Carried On", readonly=True, help="Waits for the next period.")
    milestone_line_id = fields.Many2one("milestone.billing.line", string="Milestone", readonly=True)
    overage_line_id = fields.Many2one("milestone.billing.line", string="Hours Beyond Billed", readonly=True)
    is_warned = fields.Boolean(readonly=True)
    state = fields.Selection(
        [("open", "Open"), ("closed", "Closed")], default="open", required=True, readonly=True
    )

    _retainer_date_unique = models.UniqueIndex(
        "(retainer_id, date_from) WHERE date_to IS NOT NULL", "This period was already billed."
    )

    @api.depends(
        "retainer_id.usage_ids.hours",
        "retainer_id.usage_ids.date",
        "hours_included",
        "hours_carried",
        "state",
    )
    def _compute_hours(self):
        for period in self:
            used = period.hours_used_final if period.state == "closed" else float(period._get_used())
            period.hours_used = used
            left = period.hours_included + period.hours_carried - used
            period.hours_left = left if period.state == "open" else 0.0

    def _get_used(self):
        """Add up what was delivered: entries by hand, and time sheets of the project where they are installed.

        Blocks are used up one after the other.

        :rtype: Decimal
        """
        self.ensure_one()
        retainer = self.retainer_id
        earlier = retainer.period_ids.filtered(
            lambda item: not item.date_to and (item.date_from, item.id) < (self.date_from, self._origin.id)
        )
        # What the blocks before could not take any more belongs to this one, whenever it was delivered.
        first = self.date_from if self.date_to else min([self.date_from, *earlier.mapped("date_from")])
        total = sum(
            (
                Decimal(str(entry.hours))
                for entry in retainer.usage_ids
                if entry.date >= first and (not self.date_to or entry.date <= self.date_to)
            ),
            Decimal(0),
        )
        total += retainer._get_timesheet_hours(first, self.date_to)
        if self.date_to:
            return total
        before = sum(Decimal(str(item.hours_included)) for item in earlier)
        return min(max(total - before, Decimal(0)), Decimal(str(self.hours_included)))

    def _settle(self):
        """Close a period: hours beyond are billed or shown, the rest is carried on or lost."""
        self.ensure_one()
        retainer, used = self.retainer_id, self._get_used()
        result = settle(
            Decimal(str(self.hours_included)), Decimal(str(self.hours_carried)), used, retainer.rollover
        )
        following = retainer.period_ids.filtered(
            lambda item: item.state == "open" and item.date_from > self.date_from
        )
        following = following.sorted("date_from")[:1]
        following.hours_carried += float(result.carried)
        self.write(
            {
                "state": "closed",
                "hours_used_final": float(used),
                "hours_beyond": float(result.overage),
                "hours_expired": float(result.expired),
                "hours_carried_on": 0.0 if following else float(result.carried),
            }
        )
        if result.overage:
            self._treat_overage(result.overage)

    def _treat_overage(self, hours):
        retainer = self.retainer_id._in_client_language()
        if retainer.overage == "bill" and retainer.overage_rate and retainer.order_id.state != "cancel":
            amount = retainer.currency_id.round(float(hours * Decimal(str(retainer.overage_rate))))
            text = retainer.env._(
                "%(name)s: %(hours)s hours beyond, %(start)s to %(end)s",
                name=retainer.name,
                hours=f"{hours:f}",
                start=format_date(retainer.env, self.date_from),
                end=format_date(retainer.env, self.date_to),
            )
            self.overage_line_id = self.retainer_id.enrolment_id._charge(amount, text, False)
        else:
            self._warn(self.env._("%s hours beyond what was paid", f"{hours:f}"))

    def _warn_if_used_up(self):
        for period in self.filtered(lambda item: not item.is_warned and item.hours_left <= 0):
            period._warn(self.env._("The prepaid hours are used up"))

    def _warn(self, summary):
        self.is_warned = True
        retainer = self.retainer_id
        retainer.activity_schedule(
            "mail.mail_activity_data_todo", summary=summary, user_id=(retainer.user_id or self.env.user).id
        )


class MilestoneBillingRetainerUsage(models.Model):
    """Hours delivered for a retainer, entered by hand."""

    _name = "milestone.billing.retainer.usage"
    _description = "Retainer Hours"
    _order = "date desc, id desc"

    retainer_id = fields.Many2one("milestone.billing.retainer", required=True, index=True, ondelete="cascade")
    company_id = fields.Many2one(related="retainer_id.enrolment_id.company_id", store=True, index=True)
    date = fields.Date(required=True, default=fields.Date.context_today)
    name = fields.Char(string="What", required=True)
    hours = fields.Float(required=True)

    _hours_positive = models.Constraint("CHECK (hours > 0)", "Enter more than zero hours.")

    @api.constrains("date", "hours", "retainer_id")
    def _check_not_settled(self):
        """Refuse hours in a period that is settled: they would be neither used up nor billed."""
        for usage in self:
            settled = usage.retainer_id.period_ids.filtered(
                lambda item, day=usage.date: (
                    item.state == "closed" and item.date_to and item.date_from <= day <= item.date_to
                )
            )
            if settled:
                raise ValidationError(
                    self.env._(
                        "The period up to %(end)s is settled and the client has its statement. Enter “%(name)s” on a "
                        "later day.",
                        end=format_date(self.env, settled[0].date_to),
                        name=usage.name,
                    )
                )


class MilestoneBillingEnrolment(models.Model):
    _inherit = "milestone.billing.enrolment"

    retainer_ids = fields.One2many("milestone.billing.retainer", "enrolment_id", string="Retainers")
