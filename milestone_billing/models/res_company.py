from datetime import UTC, datetime, time, timedelta

import pytz
from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain


class ResCompany(models.Model):
    _inherit = "res.company"

    milestone_approval_required = fields.Boolean(
        string="Client Approval by Default",
        default=True,
        help="New milestones ask the client to review and approve the work before the invoice is issued.",
    )
    milestone_invoice_posting = fields.Selection(
        [
            ("approval", "Post when the client has approved"),
            ("always", "Post at once where no approval is asked, too"),
            ("draft", "Leave every draft for finance"),
        ],
        string="Milestone Invoices",
        default="approval",
        required=True,
        help="When the draft invoice of a milestone is posted by itself.",
    )
    milestone_gate = fields.Selection(
        [
            ("none", "Next milestone is always open"),
            ("warn", "Warn while the previous one is unpaid"),
            ("block", "Block while the previous one is unpaid"),
        ],
        string="Payment Gate",
        default="warn",
        required=True,
        help="Whether a milestone may be completed while the milestone before it is not paid.",
    )
    milestone_link_days = fields.Integer(
        string="Review Link Validity (days)",
        default=30,
        help="How many days the personal review link of an approver stays valid.",
    )
    milestone_retainage_account_id = fields.Many2one(
        "account.account",
        string="Retainage Receivable Account",
        check_company=True,
        domain="[('account_type', '=', 'asset_receivable')]",
        help="The part of each milestone invoice that the client holds back is due on this account.",
    )

    _milestone_link_days_positive = models.Constraint(
        "CHECK (milestone_link_days > 0)", "A review link must be valid for at least one day."
    )

    def _get_milestone_retainage_account(self):
        """Give the account of what clients hold back, creating one beside the trade receivable on first use.

        :rtype: account.account
        """
        self.ensure_one()
        company = self.sudo()
        if not company.milestone_retainage_account_id:
            parent = company.parent_id  # a branch books on the accounts of the company it belongs to
            company.milestone_retainage_account_id = (
                parent._get_milestone_retainage_account()
                if parent
                else company._create_milestone_retainage_account()
            )
        return company.milestone_retainage_account_id

    def _create_milestone_retainage_account(self):
        """Create the account beside that of trade receivables."""
        Account = self.env["account.account"].with_company(self)
        trade = self.partner_id.with_company(self).property_account_receivable_id
        if not trade:
            raise UserError(
                self.env._(
                    "Company %s has no receivable account yet. Choose a chart of accounts, or set the retainage "
                    "account in the settings.",
                    self.name,
                )
            )
        return Account.create(
            {
                "name": self.env._("Retainage Receivable"),
                "code": Account._search_new_account_code(trade.code),
                "account_type": "asset_receivable",
                "reconcile": True,
                "company_ids": [fields.Command.set(self.ids)],
            }
        )

    # === DAYS ===

    def _get_milestone_tz(self):
        """Give the time zone in which the days of this company begin: its own, else that of whoever works on it.

        Clients have time zones of their own, which say nothing about the company's days; jobs run without any.

        :rtype: str
        """
        company, user = (self or self.env.company).sudo(), self.env.user
        return (
            company.partner_id.tz or (not user.share and user.tz) or company.resource_calendar_id.tz or "UTC"
        )

    def _get_milestone_today(self, moment=None):
        """Give the day that a moment falls on where this company is.

        :param datetime moment: in UTC as fields hold it; now without.
        :rtype: datetime.date
        """
        zone = pytz.timezone(self._get_milestone_tz())
        return pytz.utc.localize(moment or fields.Datetime.now()).astimezone(zone).date()

    def _get_milestone_deadline(self, days):
        """Give the last moment of the day that is so many days away where this company is.

        :param int days: how many.
        :return: in UTC, as fields hold it.
        :rtype: datetime
        """
        zone = pytz.timezone(self._get_milestone_tz())
        day = self._get_milestone_today() + timedelta(days=days)
        local = zone.localize(datetime.combine(day, time(23, 59, 59)))
        return local.astimezone(pytz.utc).replace(tzinfo=None)

    @api.model
    def _get_milestone_days(self):
        """Give today of every company, for searches over all of them.

        :return: company ids by day; there are two or three days on earth at any time.
        :rtype: dict[datetime.date, list[int]]
        """
        days = {}
        for company in self.sudo().with_context(active_test=False).search(Domain.TRUE).with_env(self.env):
            days.setdefault(company._get_milestone_today(), []).append(company.id)
        return days

    def _get_milestone_calendar(self):
        """Give today and the working days of this company, leaves taken off.

        :return: today where the company is, and a function that tells working days.
        :rtype: tuple[datetime.date, Callable]
        """
        self.ensure_one()
        calendar, today = self.resource_calendar_id.sudo(), self._get_milestone_today()
        if not calendar:
            return today, lambda day: day.weekday() < 5
        first, last = (
            datetime.combine(today + timedelta(days=days), time.min, UTC) for days in (-1100, 1100)
        )
        intervals = calendar._work_intervals_batch(first, last)[False]
        return today, {start.date() for start, _stop, _meta in intervals}.__contains__
