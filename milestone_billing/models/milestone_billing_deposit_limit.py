"""How much of a contract deposits may ask for: nothing is said, the team is warned, or it is refused."""

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import formatLang

from ..tools.money import fraction, round_half_up, to_float, to_units

DEPOSIT_POLICIES = [
    ("none", "No limit"),
    ("warn", "Warn above the limit"),
    ("refuse", "Refuse above the limit"),
]


class ResCompany(models.Model):
    _inherit = "res.company"

    milestone_deposit_policy = fields.Selection(
        DEPOSIT_POLICIES,
        string="Limit of Deposits",
        default="none",
        required=True,
        help="What happens when the deposits of an order come to more than the limit.",
    )
    milestone_deposit_limit = fields.Float(
        string="Deposits up to (%)",
        digits=(16, 4),
        default=30.0,
        help="Part of the contract, without tax, that all deposits of an order together may ask for.",
    )

    _milestone_deposit_limit_range = models.Constraint(
        "CHECK (milestone_deposit_limit BETWEEN 0 AND 100)",
        "The limit of deposits must be between 0 and 100 % of the contract.",
    )


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    milestone_deposit_policy = fields.Selection(
        related="company_id.milestone_deposit_policy", readonly=False, required=True
    )
    milestone_deposit_limit = fields.Float(related="company_id.milestone_deposit_limit", readonly=False)


class SaleOrder(models.Model):
    _inherit = "sale.order"

    milestone_deposit_note = fields.Char(related="milestone_schedule_id.deposit_limit_note")


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    deposit_limit_note = fields.Char(
        string="Deposits above the Limit",
        compute="_compute_deposit_limit_note",
        compute_sudo=True,
        help="Says by how much the deposits pass the limit of the company.",
    )

    @api.depends(
        "company_id.milestone_deposit_policy",
        "company_id.milestone_deposit_limit",
        "line_ids.kind",
        "line_ids.state",
        "line_ids.amount_untaxed",
        "order_id.order_line.price_subtotal",
        "order_id.order_line.is_milestone_billed",
        "order_id.order_line.untaxed_amount_invoiced",
    )
    def _compute_deposit_limit_note(self):
        for schedule in self:
            over = schedule.company_id.milestone_deposit_policy != "none" and schedule._get_deposit_excess()
            schedule.deposit_limit_note = schedule._get_deposit_sentence() if over else False

    # === FIGURES ===

    def _get_deposit_units(self):
        """Add up what deposits ask for, billed or planned, and down payments that were taken without a milestone.

        :rtype: int
        """
        self.ensure_one()
        rounding = self.currency_id.rounding
        deposits = self.line_ids.filtered(lambda line: line.kind == "deposit" and line.state != "cancelled")
        others = self.order_id.order_line.filtered(
            lambda line: line.is_downpayment and not line.display_type and not line.milestone_deposit_id
        )
        amounts = deposits.mapped("amount_untaxed") + others.mapped("untaxed_amount_invoiced")
        return sum(to_units(amount, rounding) for amount in amounts)

    def _get_deposit_contract_units(self):
        rounding = self.currency_id.rounding
        lines = self.order_id.order_line.filtered("is_milestone_billed")
        return sum(to_units(line.price_subtotal, rounding) for line in lines)

    def _get_deposit_limit_units(self):
        """Give what deposits may come to under the limit of the company.

        :rtype: int
        """
        percent = fraction(self.company_id.milestone_deposit_limit)
        return round_half_up(self._get_deposit_contract_units() * percent / 100)

    def _get_deposit_excess(self):
        """Give the units by which deposits pass the limit; a difference by rounding is none.

        :rtype: int
        """
        self.ensure_one()
        excess = self._get_deposit_units() - self._get_deposit_limit_units()
        return excess if excess > 1 else 0

    def _get_deposit_sentence(self):
        def text(units):
            amount = to_float(units, self.currency_id.rounding)
            return formatLang(self.env, amount, currency_obj=self.currency_id)

        return self.env._(
            "The deposits of %(order)s come to %(deposits)s. The limit is %(percent)s %% of %(contract)s: %(limit)s.",
            order=self.order_id.name,
            deposits=text(self._get_deposit_units()),
            percent=f"{self.company_id.milestone_deposit_limit:g}",
            contract=text(self._get_deposit_contract_units()),
            limit=text(self._get_deposit_limit_units()),
        )

    # === POLICY ===

    def _get_deposit_refusal(self):
        """Say why no more deposits may be taken, if the company refuses what is above its limit."""
        schedule = self.sudo()
        if schedule.company_id.milestone_deposit_policy != "refuse" or not schedule._get_deposit_excess():
            return False
        return self.env._(
            "%s Lower or cancel a deposit milestone, or bill that part with a later stage.",
            schedule._get_deposit_sentence(),
        )

    def _check_deposit_limit(self):
        """Refuse deposits above the limit of the company, where it refuses them.

        :raise UserError: naming the figure and the limit.
        """
        for schedule in self:
            if refusal := schedule._get_deposit_refusal():
                raise UserError(refusal)

    def _log_deposit_limit(self):
        """Note on the order that its deposits pass the limit of the company, where it warns."""
        for schedule in self.sudo():
            if schedule.company_id.milestone_deposit_policy == "warn" and schedule.deposit_limit_note:
                schedule.order_id._message_log(body=schedule.deposit_limit_note)


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _get_obstacle(self):
        """Override: no deposit is taken above a limit that the company holds to."""
        found = super()._get_obstacle()
        return found or (self.kind == "deposit" and self.schedule_id._get_deposit_refusal())
