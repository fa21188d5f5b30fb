from odoo import Command, api, fields, models
from odoo.exceptions import AccessError, UserError


class MilestoneBillingCutOver(models.TransientModel):
    """Enter what was billed of a contract before it came here: one row for each milestone."""

    _name = "milestone.billing.cut.over"
    _description = "Billed Before"

    schedule_id = fields.Many2one("milestone.billing.schedule", required=True, ondelete="cascade")
    currency_id = fields.Many2one(related="schedule_id.currency_id")
    is_frozen = fields.Boolean(related="schedule_id.is_frozen")
    has_retainage = fields.Boolean(compute="_compute_has_retainage")
    amount_before = fields.Monetary(related="schedule_id.amount_before", string="Counted so Far")
    amount_entered = fields.Monetary(string="Entered Now", compute="_compute_amount_entered")
    row_ids = fields.One2many("milestone.billing.cut.over.row", "wizard_id", string="Milestones")

    @api.depends("schedule_id")
    def _compute_has_retainage(self):
        for wizard in self:
            schedule = wizard.schedule_id
            wizard.has_retainage = bool(schedule.retainage_percent or schedule.retainage_step_ids)

    @api.depends("row_ids.amount_untaxed")
    def _compute_amount_entered(self):
        for wizard in self:
            wizard.amount_entered = sum(wizard.row_ids.mapped("amount_untaxed"))

    @api.model
    def _open(self, schedule, lines):
        """Make the wizard for some milestones of a schedule and give the action that shows it.

        :rtype: dict
        :raise AccessError: for anybody but billing managers.
        :raise UserError: if none of the milestones can take an amount from before.
        """
        if not self.env.user.has_group("milestone_billing.milestone_billing_group_billing_manager"):
            raise AccessError(
                self.env._("Only billing managers may enter what was billed before. Ask one of them.")
            )
        schedule.check_access("write")
        open_lines = lines.filtered(lambda line: line._may_take_opening())
        if not open_lines:
            raise UserError(
                self.env._(
                    "Nothing is open: what is billed or cancelled here cannot have been billed before."
                )
            )
        wizard = self.create(
            {
                "schedule_id": schedule.id,
                "row_ids": [
                    Command.create({"line_id": line.id, "amount_open": line._get_open_amount()})
                    for line in open_lines.sorted(lambda line: (line.sequence, line.id))
                ],
            }
        )
        return wizard._get_action()

    def _get_action(self):
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Billed Before"),
            "res_model": self._name,
            "res_id": self.id,
            "views": [(False, "form")],
            "target": "new",
            "context": {"dialog_size": "extra-large"},
        }

    def action_apply(self):
        """Enter all rows with an amount, all of them or none.

        :raise UserError: without an amount, or when a row does not fit its milestone.
        """
        self.ensure_one()
        rows = self.row_ids.filtered(lambda row: not row.currency_id.is_zero(row.amount_untaxed))
        if not rows:
            raise UserError(self.env._("Enter the amount that was billed before of at least one milestone."))
        for row in rows:
            if not row.reference or not row.date:
                raise UserError(
                    self.env._("Enter number and date of the outside invoice of “%s”.", row.line_id.name)
                )
        self.env["milestone.billing.opening"].create([row._prepare_opening_values() for row in rows])
        return {"type": "ir.actions.client", "tag": "soft_reload"}


class MilestoneBillingCutOverRow(models.TransientModel):
    """What was billed of one milestone before."""

    _name = "milestone.billing.cut.over.row"
    _description = "Billed Before: Milestone"

    wizard_id = fields.Many2one("milestone.billing.cut.over", required=True, ondelete="cascade")
    line_id = fields.Many2one(
        "milestone.billing.line", string="Milestone", required=True, readonly=True, ondelete="cascade"
    )
    currency_id = fields.Many2one(related="line_id.currency_id")
    amount_open = fields.Monetary(string="Open", readonly=True, help="Untaxed, not billed yet.")
    amount_untaxed = fields.Monetary(string="Billed Before", help="Untaxed, as on the outside invoice.")
    reference = fields.Char(string="Invoice Number")
    date = fields.Date(string="Invoice Date")
    amount_retained = fields.Monetary(
        string="Still Retained", help="What the client still holds back of that invoice."
    )
    is_paid = fields.Boolean(string="Paid", default=True)

    def action_whole(self):
        """Take the whole open amount of this milestone as billed before, and stay in the wizard."""
        self.ensure_one()
        self.amount_untaxed = self.amount_open
        return self.wizard_id._get_action()

    def _prepare_opening_values(self):
        return {
            "line_id": self.line_id.id,
            "reference": self.reference,
            "date": self.date,
            "amount_untaxed": self.amount_untaxed,
            "amount_retained": self.amount_retained,
            "is_paid": self.is_paid,
        }


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _may_take_opening(self):
        """Tell whether something of this milestone is open, so that it can have been billed before."""
        self.ensure_one()
        if self.kind == "retainage_release" or self.state != "planned" or self._get_live_invoice():
            return False
        return not self.currency_id.is_zero(self._get_open_amount())

    def _get_open_amount(self):
        units = self.sudo()._get_open_units(self.env["milestone.billing.opening"])
        return self.currency_id.round(units * self.currency_id.rounding)
