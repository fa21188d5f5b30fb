from datetime import UTC, datetime, time, timedelta

from odoo import fields, models
from odoo.exceptions import UserError


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

    _milestone_link_days_positive = models.Constraint(
        "CHECK (milestone_link_days > 0)", "A review link must be valid for at least one day."
    )

    def _get_milestone_calendar(self):
        """Give today and the working days of this company, leaves taken off.

        :return: today in the time zone of the calendar, and a function that tells working days.
        :rtype: tuple[datetime.date, Callable]
        """
        self.ensure_one()
        calendar = self.resource_calendar_id.sudo()
        today = fields.Date.context_today(self.with_context(tz=calendar.tz or self.env.context.get("tz")))
        if not calendar:
            return today, lambda day: day.weekday() < 5
        first, last = (
            datetime.combine(today + timedelta(days=days), time.min, UTC) for days in (-1100, 1100)
        )
        intervals = calendar._work_intervals_batch(first, last)[False]
        return today, {start.date() for start, _stop, _meta in intervals}.__contains__
