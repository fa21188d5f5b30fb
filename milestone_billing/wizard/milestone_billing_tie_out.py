from odoo import Command, api, fields, models


class MilestoneBillingTieOut(models.TransientModel):
    """What the tie-out of a schedule has found, down to the journal entry."""

    _name = "milestone.billing.tie.out"
    _description = "Tie-Out"

    schedule_id = fields.Many2one(
        "milestone.billing.schedule", required=True, readonly=True, ondelete="cascade"
    )
    currency_id = fields.Many2one(related="schedule_id.currency_id")
    row_ids = fields.One2many("milestone.billing.tie.out.row", "wizard_id", readonly=True)

    @api.model
    def _open(self, schedule, differences):
        """Show the differences of a schedule.

        :param list[dict] differences: see `tie_out`.
        :return: the action that shows them.
        :rtype: dict
        """
        wizard = self.create(
            {
                "schedule_id": schedule.id,
                "row_ids": [Command.create(self._prepare_row_values(row)) for row in differences],
            }
        )
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Differences of %s", schedule.order_id.name),
            "res_model": self._name,
            "res_id": wizard.id,
            "views": [(False, "form")],
            "target": "new",
            "context": {"dialog_size": "extra-large"},
        }

    @api.model
    def _prepare_row_values(self, row):
        expected, actual = float(row["expected"]), float(row["actual"])
        return {
            "name": row["message"],
            "currency_id": row["currency_id"],
            "amount_expected": expected,
            "amount_actual": actual,
            "line_id": row.get("line_id"),
            "move_id": row.get("move_id"),
            "move_line_ids": [Command.set(row.get("move_line_ids", []))],
        }


class MilestoneBillingTieOutRow(models.TransientModel):
    """One difference between a schedule and its ledger."""

    _name = "milestone.billing.tie.out.row"
    _description = "Tie-Out: Difference"
    _order = "id"

    wizard_id = fields.Many2one("milestone.billing.tie.out", required=True, ondelete="cascade")
    currency_id = fields.Many2one(
        "res.currency",
        readonly=True,
        help="That of the order, or of the company where both must agree in it.",
    )
    name = fields.Char(string="What Differs", readonly=True)
    amount_expected = fields.Monetary(string="Schedule", readonly=True, help="As the milestones say.")
    amount_actual = fields.Monetary(string="Ledger", readonly=True, help="As the journal items say.")
    amount_difference = fields.Monetary(string="Difference", compute="_compute_amount_difference")
    line_id = fields.Many2one("milestone.billing.line", string="Milestone", readonly=True, ondelete="cascade")
    move_id = fields.Many2one("account.move", string="Document", readonly=True, ondelete="cascade")
    move_line_ids = fields.Many2many(
        "account.move.line", "milestone_billing_tie_out_row_item_rel", string="Journal Items", readonly=True
    )

    @api.depends("amount_expected", "amount_actual")
    def _compute_amount_difference(self):
        for row in self:
            row.amount_difference = row.amount_actual - row.amount_expected

    def action_view_items(self):
        """Open the journal items behind this difference, or its document where none can be named.

        :rtype: dict
        """
        self.ensure_one()
        items = self.move_line_ids or self.move_id.line_ids
        return {
            "type": "ir.actions.act_window",
            "name": self.name,
            "res_model": "account.move.line",
            "view_mode": "list,form",
            "domain": [("id", "in", items.ids)],
        }
