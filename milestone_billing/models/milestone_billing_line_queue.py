"""The work queue: what can be billed now, what waits for whom, and since when."""

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    state = fields.Selection(group_expand=True)
    project_manager_id = fields.Many2one(
        related="project_id.user_id", string="Project Manager", store=True, index=True
    )
    date_expected = fields.Date(
        string="Expected On",
        compute="_compute_date_expected",
        store=True,
        help="Its date, the deadline of its project milestone, or the day it was completed.",
    )
    is_ready = fields.Boolean(
        string="Ready to Bill",
        compute="_compute_is_ready",
        search="_search_is_ready",
        compute_sudo=True,
        help="Nothing but its completion stands between this milestone and its invoice.",
    )
    is_blocked_by_payment = fields.Boolean(
        compute="_compute_is_blocked_by_payment",
        search="_search_is_blocked_by_payment",
        compute_sudo=True,
        help="The milestone before this one is not paid, and the schedule blocks until it is.",
    )
    order_state = fields.Selection(related="order_id.state", string="Order State")
    waiting_since = fields.Datetime(
        compute="_compute_waiting_since",
        compute_sudo=True,
        help="When the client was asked for the decision that is still open.",
    )
    waiting_days = fields.Integer(compute="_compute_waiting_since", compute_sudo=True)
    position_label = fields.Char(
        string="Place", compute="_compute_position_label", compute_sudo=True, help="Place in the schedule."
    )

    @api.depends("trigger", "trigger_date", "project_milestone_id.deadline", "completed_on")
    def _compute_date_expected(self):
        for line in self:
            line.date_expected = (
                (line.completed_on and fields.Date.context_today(line, line.completed_on))
                or line.trigger_date
                or line.project_milestone_id.sudo().deadline
            )

    @api.depends("blocked_reason", "state", "invoice_status", "is_on_hold")
    def _compute_is_ready(self):
        planned = self.filtered(
            lambda line: line.state == "planned" and line.invoice_status in (False, "none", "credited")
        )
        blocked = planned._get_completion_obstacles()
        for line in self:
            line.is_ready = line in planned and line not in blocked

    @api.model
    def _search_is_ready(self, operator, value):
        if operator != "in":
            return NotImplemented
        ready = Domain("id", "in", self._get_ready_query())
        return Domain.OR(ready if wanted else ~ready for wanted in value)

    @api.model
    def _get_ready_query(self):
        """Say in SQL what `_get_obstacle` says for one milestone, so that a long queue takes one statement.

        :rtype: SQL
        """
        self.flush_model()
        self.env["sale.order"].flush_model(["state", "client_order_ref"])
        self.env["milestone.billing.schedule"].flush_model(["gate"])
        return SQL(
            """(
            SELECT queue.id FROM (
                SELECT line.*, o.state AS order_state, o.client_order_ref, schedule.gate,
                       LAG(line.invoice_status) OVER place AS previous_status,
                       LAG(line.amount_total) OVER place AS previous_total
                  FROM milestone_billing_line line
                  JOIN sale_order o ON o.id = line.order_id
                  JOIN milestone_billing_schedule schedule ON schedule.id = line.schedule_id
                 WHERE line.state != 'cancelled'
                WINDOW place AS (PARTITION BY line.order_id ORDER BY line.sequence, line.id)
            ) queue
             WHERE queue.state = 'planned' AND queue.is_on_hold IS NOT TRUE AND queue.order_state = 'sale'
               AND COALESCE(queue.invoice_status, 'none') IN ('none', 'credited')
               AND (queue.po_required IS NOT TRUE OR COALESCE(queue.client_order_ref, '') != '')
               AND (queue.proof_required IS NOT TRUE OR EXISTS (
                    SELECT 1 FROM milestone_billing_line_proof_rel proof WHERE proof.line_id = queue.id))
               AND (queue.gate != 'block' OR queue.previous_status IS NULL OR queue.previous_status = 'paid'
                    OR COALESCE(queue.previous_total, 0) = 0)
            )"""
        )

    @api.depends("state", "schedule_id.gate", "order_id.milestone_line_ids.invoice_status")
    def _compute_is_blocked_by_payment(self):
        for line in self:
            line.is_blocked_by_payment = line.state == "planned" and bool(line._get_gate_obstacle())

    @api.model
    def _search_is_blocked_by_payment(self, operator, value):
        if operator != "in":
            return NotImplemented
        candidates = self.sudo().search(
            [("state", "=", "planned"), ("order_id.state", "=", "sale"), ("schedule_id.gate", "=", "block")]
        )
        blocked = candidates.filtered("is_blocked_by_payment")
        found = Domain("id", "in", blocked.ids)
        return Domain.OR(found if wanted else ~found for wanted in value)

    @api.depends("approval_ids.state", "state", "completed_on")
    def _compute_waiting_since(self):
        now = fields.Datetime.now()
        for line in self:
            asked = line.approval_ids.filtered(lambda approval: approval.state == "requested")[:1]
            since = (asked.create_date or line.completed_on) if line.state == "submitted" else False
            line.waiting_since = since
            line.waiting_days = (now - since).days if since else 0

    @api.depends(
        "sequence", "state", "order_id.milestone_line_ids.sequence", "order_id.milestone_line_ids.state"
    )
    def _compute_position_label(self):
        for line in self:
            place, count = line._get_position() if line.order_id else (0, 0)
            line.position_label = self.env._("%(place)s of %(count)s", place=place, count=count)

    # === BUTTONS ===

    def action_view_order(self):
        """Open the order of this milestone.

        :rtype: dict
        """
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "sale.order",
            "res_id": self.order_id.id,
            "views": [(False, "form")],
        }

    def action_view_invoices(self):
        """Open the invoices and credit notes of this milestone.

        :rtype: dict
        """
        self.ensure_one()
        self.invoice_ids.check_access("read")
        action = {
            "type": "ir.actions.act_window",
            "name": self.env._("Invoices"),
            "res_model": "account.move",
            "domain": [("id", "in", self.invoice_ids.ids)],
            "views": [(False, "list"), (False, "form")],
            "context": {"create": False},
        }
        if len(self.invoice_ids) == 1:
            action.update(res_id=self.invoice_ids.id, views=[(False, "form")])
        return action
