"""Period end: what a contract has earned against what it has billed, and the entry that shows the difference."""

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..tools import allocation
from ..tools.money import to_float, to_units


class ResCompany(models.Model):
    _inherit = "res.company"

    milestone_contract_asset_account_id = fields.Many2one(
        "account.account",
        string="Contract Asset Account",
        check_company=True,
        domain="[('account_type', '=', 'asset_current')]",
        help="At a period end, work that was done but not billed yet stands here.",
    )
    milestone_contract_liability_account_id = fields.Many2one(
        "account.account",
        string="Contract Liability Account",
        check_company=True,
        domain="[('account_type', '=', 'liability_current')]",
        help="At a period end, what was billed ahead of the work stands here.",
    )

    def _get_milestone_contract_account(self, kind):
        """Give the account of contract positions, creating one beside others of its type on first use.

        :param str kind: `asset` or `liability`.
        :rtype: account.account
        """
        self.ensure_one()
        company, name = self.sudo(), f"milestone_contract_{kind}_account_id"
        if not company[name]:
            company[name] = company._create_milestone_contract_account(kind)
        return company[name]

    def _create_milestone_contract_account(self, kind):
        """Create the account beside the first other one of its type."""
        Account = self.env["account.account"].with_company(self)
        account_type = f"{kind}_current"
        domain = [*Account._check_company_domain(self), ("account_type", "=", account_type)]
        beside = Account.search(domain, limit=1, order="code")
        if not beside:
            raise UserError(
                self.env._(
                    "Company %s has no account for contract positions yet. Set the accounts of the period end in the "
                    "settings.",
                    self.name,
                )
            )
        names = {"asset": self.env._("Contract Assets"), "liability": self.env._("Contract Liabilities")}
        return Account.create(
            {
                "name": names[kind],
                "code": Account._search_new_account_code(beside.code),
                "account_type": account_type,
                "company_ids": [fields.Command.set(self.ids)],
            }
        )


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    milestone_contract_asset_account_id = fields.Many2one(
        related="company_id.milestone_contract_asset_account_id", readonly=False
    )
    milestone_contract_liability_account_id = fields.Many2one(
        related="company_id.milestone_contract_liability_account_id", readonly=False
    )


class AccountMove(models.Model):
    _inherit = "account.move"

    milestone_period_schedule_id = fields.Many2one(
        "milestone.billing.schedule",
        string="Period End of Schedule",
        readonly=True,
        copy=False,
        index="btree_not_null",
        ondelete="restrict",
        help="This entry, or the reversal of one, brings the revenue of a contract to what was earned.",
    )

    def _post(self, soft=True):
        """Override of `account`: an entry of a period end and its reversal are posted together, in this order."""
        for move in self.filtered("milestone_period_schedule_id"):
            origin = move.reversed_entry_id
            if origin.state == "draft" and origin not in self:
                raise UserError(
                    self.env._(
                        "%(entry)s reverses the period-end entry of %(date)s. Post that one: its reversal follows by "
                        "itself.",
                        entry=move.display_name,
                        date=fields.Date.to_string(origin.date),
                    )
                )
        posted = super()._post(soft)
        ends = posted.filtered(lambda move: move.milestone_period_schedule_id and not move.reversed_entry_id)
        waiting = ends.reversal_move_ids.filtered(lambda move: move.state == "draft")
        if waiting:
            # Softly: a reversal that lies in the future is posted by Odoo's own job on its day.
            waiting._post(soft=True)
        return posted

    def _get_period_end_units(self):
        """Give by how much a period-end entry raises the revenue of its contract, in units of its currency.

        :rtype: int
        """
        self.ensure_one()
        positions = self.line_ids.filtered(
            lambda item: item.account_id.account_type in ("asset_current", "liability_current")
        )
        return to_units(sum(positions.mapped("amount_currency")), self.currency_id.rounding)


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    period_entry_ids = fields.One2many(
        "account.move", "milestone_period_schedule_id", string="Period-End Entries", readonly=True
    )
    period_entry_count = fields.Integer(compute="_compute_period_entry_count", compute_sudo=True)

    @api.depends("period_entry_ids")
    def _compute_period_entry_count(self):
        for schedule in self:
            schedule.period_entry_count = len(schedule.period_entry_ids)

    def action_view_period_entries(self):
        """Open the period-end entries of these schedules and their reversals.

        :rtype: dict
        """
        self.check_access("read")
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Period-End Entries"),
            "res_model": "account.move",
            "views": [(self.env.ref("account.view_move_tree").id, "list"), (False, "form")],
            "domain": [("milestone_period_schedule_id", "in", self.ids)],
            "context": {"create": False},
        }

    # === WHAT STANDS IN THE LEDGER ===

    def _get_recognised_units(self, day):
        """Read the revenue of the contract that the ledger shows on a day: billed, and adjusted at period ends.

        Advances are no revenue before they are recovered; drafted period-end entries count, so that none is made twice.

        :param datetime.date day: last day that counts.
        :rtype: int
        """
        self.ensure_one()
        rounding = self.currency_id.rounding
        documents = self._get_documents().filtered(
            lambda move: move.state == "posted" and (move.invoice_date or move.date) <= day
        )
        items = documents.line_ids.filtered(
            lambda item: (
                item.display_type == "product" and not item.milestone_retainage and not item.is_downpayment
            )
        )
        return -to_units(sum(items.mapped("amount_currency")), rounding) + sum(
            entry._get_period_end_units()
            for entry in self.period_entry_ids
            if entry.state != "cancel" and entry.date <= day
        )

    # === DRAFTING ===

    def _prepare_period_end_values(self, units, date, reversal_date, journal):
        """Give the values of the entry that brings revenue to what was earned, and of its reversal.

        :param int units: earned less recognised, in units of the order's currency.
        :rtype: list[dict]
        """
        self.ensure_one()
        kind = "asset" if units > 0 else "liability"
        texts = {
            "asset": self.env._("%s: work done, not billed yet", self.order_id.name),
            "liability": self.env._("%s: billed ahead of the work", self.order_id.name),
        }
        head = {
            "move_type": "entry",
            "company_id": self.company_id.id,
            "journal_id": journal.id,
            "currency_id": self.currency_id.id,
            "partner_id": self.partner_id.commercial_partner_id.id,
            "milestone_period_schedule_id": self.id,
        }
        items = self._prepare_period_end_items(units, date, kind, texts[kind])
        turned = [
            {**item, "amount_currency": -item["amount_currency"], "balance": -item["balance"]}
            for item in items
        ]
        return [
            {**head, "date": day, "ref": ref, "line_ids": [fields.Command.create(item) for item in rows]}
            for day, ref, rows in (
                (date, texts[kind], items),
                (reversal_date, self.env._("Reversal of: %s", texts[kind]), turned),
            )
        ]

    def _prepare_period_end_items(self, units, date, kind, label):
        """Give the journal items: revenue by income account, against the contract position.

        :rtype: list[dict]
        """
        company, rounding = self.company_id, self.currency_id.rounding
        rows = [(account, -part) for account, part in self._split_by_income_account(units).items()]
        items, total = [], 0.0
        for account, part in rows:
            amount = to_float(part, rounding)
            balance = self.currency_id._convert(amount, company.currency_id, company, date)
            total += balance
            items.append({"account_id": account.id, "amount_currency": amount, "balance": balance})
        position = {
            "account_id": company._get_milestone_contract_account(kind).id,
            "amount_currency": to_float(units, rounding),
            "balance": company.currency_id.round(-total),
        }
        common = {
            "name": label,
            "currency_id": self.currency_id.id,
            "partner_id": self.partner_id.commercial_partner_id.id,
        }
        return [{**common, **item} for item in (*items, position)]

    def _split_by_income_account(self, units):
        """Spread revenue over the income accounts of the contract's order lines, by their share of the contract.

        :rtype: dict
        :raise UserError: when a product has no income account.
        """
        weights = {}
        for order_line, column in self._get_order_columns(self.order_id).items():
            account = self._get_income_account(order_line)
            weights[account] = weights.get(account, 0) + abs(column["net"])
        parts = allocation.spread(units, list(weights.values()))
        return {account: part for account, part in zip(weights, parts, strict=True) if part}

    def _get_income_account(self, order_line):
        template = order_line.product_id.product_tmpl_id.with_company(self.company_id)
        account = template.get_product_accounts(fiscal_pos=self.order_id.fiscal_position_id)["income"]
        if not account:
            raise UserError(
                self.env._("“%s” has no income account. Set one on the product.", order_line.product_id.name)
            )
        return account
