"""The work queue: what can be billed now, what waits for whom, and since when."""

import json

from odoo import api, fields, models
from odoo.addons.project.models.project_task import CLOSED_STATES
from odoo.fields import Domain
from odoo.tools import SQL

from .milestone_billing_line import LINE_STATES

# The milestone before one in a queue: behind a release that is credited, the one before that. Rare, so it is looked up.
VOID_RELEASE = "(line.kind = 'retainage_release' AND COALESCE(line.invoice_status, 'none') = 'credited')"
PREVIOUS_JOIN = f"""LEFT JOIN LATERAL (
        SELECT line.id, line.invoice_status, line.amount_total
          FROM milestone_billing_line line
         WHERE queue.is_behind_void AND line.order_id = queue.order_id AND line.state != 'cancelled'
           AND NOT {VOID_RELEASE} AND (line.sequence, line.id) < (queue.sequence, queue.id)
         ORDER BY line.sequence DESC, line.id DESC LIMIT 1
        ) earlier ON TRUE
     CROSS JOIN LATERAL (
        SELECT CASE WHEN queue.is_behind_void THEN earlier.id ELSE queue.last_id END AS id,
               CASE WHEN queue.is_behind_void THEN earlier.invoice_status ELSE queue.last_status END AS status,
               CASE WHEN queue.is_behind_void THEN earlier.amount_total ELSE queue.last_total END AS total
        ) previous"""

# Milestones that `_get_obstacle` finds nothing against and whose trigger has happened, for a queue of any length.
READY_QUERY = f"""(
    SELECT queue.id FROM (
        SELECT line.*, o.state AS order_state, o.client_order_ref, schedule.gate, schedule.ended_on,
               schedule.amount_excess,
               LAG(line.id) OVER place AS last_id,
               LAG(line.invoice_status) OVER place AS last_status,
               LAG(line.amount_total) OVER place AS last_total,
               COALESCE(LAG({VOID_RELEASE}) OVER place, FALSE) AS is_behind_void,
               COUNT(*) FILTER (WHERE line.state = 'planned' AND NOT {VOID_RELEASE}) OVER place
                   + {VOID_RELEASE}::int AS planned_count,
               CASE WHEN line.kind = 'deposit' AND company.milestone_deposit_policy = 'refuse'
                    THEN company.milestone_deposit_limit END AS deposit_limit,
               SUM(line.amount_untaxed) FILTER (WHERE line.kind = 'deposit')
                   OVER (PARTITION BY line.order_id) AS deposits,
               currency.rounding
          FROM milestone_billing_line line
          JOIN sale_order o ON o.id = line.order_id
          JOIN milestone_billing_schedule schedule ON schedule.id = line.schedule_id
          JOIN res_company company ON company.id = o.company_id
          JOIN res_currency currency ON currency.id = o.currency_id
         WHERE line.state != 'cancelled'
        WINDOW place AS (PARTITION BY line.order_id ORDER BY line.sequence, line.id)
    ) queue
      {PREVIOUS_JOIN}
      LEFT JOIN project_milestone stage ON stage.id = queue.project_milestone_id
     WHERE queue.state = 'planned' AND queue.is_on_hold IS NOT TRUE
       AND (queue.order_state = 'sale' OR (queue.kind = 'retainage_release' AND queue.ended_on IS NOT NULL))
       AND COALESCE(queue.invoice_status, 'none') IN ('none', 'credited')
       AND (COALESCE(queue.amount_excess, 0) = 0 OR queue.kind = 'retainage_release'
            OR queue.invoice_status = 'credited')
       AND (queue.po_required IS NOT TRUE OR COALESCE(queue.client_order_ref, '') != '')
       AND (queue.proof_required IS NOT TRUE OR EXISTS (
            SELECT 1 FROM milestone_billing_line_proof_rel proof WHERE proof.line_id = queue.id))
       AND (queue.approval_required IS NOT TRUE
            OR (queue.kind = 'retainage_release' AND queue.ended_on IS NOT NULL)
            OR CASE WHEN EXISTS (SELECT FROM milestone_billing_approver approver
                                  WHERE approver.schedule_id = queue.schedule_id)
                    THEN EXISTS (SELECT FROM milestone_billing_approver approver
                                   JOIN res_partner person ON person.id = approver.partner_id
                                  WHERE approver.schedule_id = queue.schedule_id AND person.active)
                    ELSE (SELECT person.active FROM res_partner person WHERE person.id = queue.partner_id) END)
       AND (queue.deposit_limit IS NULL OR queue.rounding >= (
            SELECT queue.deposits
                   + COALESCE(SUM(item.untaxed_amount_invoiced) FILTER (
                       WHERE item.is_downpayment AND item.milestone_deposit_id IS NULL), 0)
                   - queue.rounding * ROUND(COALESCE(SUM(item.price_subtotal) FILTER (
                       WHERE item.is_milestone_billed), 0) * queue.deposit_limit / 100 / queue.rounding)
              FROM sale_order_line item
             WHERE item.order_id = queue.order_id AND item.display_type IS NULL))
       AND (queue.kind != 'retainage_release' OR ((queue.amount_type != 'fixed' OR queue.amount_fixed > 0) AND (
            SELECT COALESCE(SUM(document.amount_retained), 0)
              FROM account_move document
              JOIN milestone_billing_line part ON part.id = document.milestone_line_id
             WHERE part.schedule_id = queue.schedule_id AND (document.state = 'posted'
                   OR (document.state = 'draft' AND document.milestone_document = 'release'))
            ) + COALESCE((
            SELECT SUM(opening.amount_retained) FROM milestone_billing_opening opening
             WHERE opening.schedule_id = queue.schedule_id AND opening.is_booked), 0)
            >= CASE WHEN queue.amount_type = 'fixed' THEN queue.amount_fixed
                      WHEN queue.amount_type = 'percent' AND queue.percent > 0
                      THEN queue.rounding * 50 / queue.percent
                      ELSE queue.rounding END
            AND NOT EXISTS (
                SELECT 1 FROM project_task defect
                  JOIN milestone_billing_line part ON part.schedule_id = queue.schedule_id
                   AND (part.id = defect.milestone_billing_line_id
                        OR part.project_milestone_id = defect.milestone_id)
                 WHERE defect.active AND defect.is_milestone_defect AND defect.state NOT IN %(closed)s)))
       AND (queue.kind = 'retainage_release' OR queue.gate != 'block' OR queue.gate_opened_on IS NOT NULL
            OR previous.status IS NULL OR previous.status IN ('paid', 'before')
            OR COALESCE(previous.total, 0) = 0)
       AND CASE queue.trigger
           WHEN 'date' THEN queue.trigger_date <= (%(days)s::jsonb ->> queue.company_id::text)::date
           WHEN 'previous_paid' THEN previous.status IN ('paid', 'before')
           WHEN 'manual' THEN queue.planned_count = 1
           WHEN 'order_confirmed' THEN queue.planned_count = 1
           ELSE stage.is_reached IS TRUE OR (
                SELECT BOOL_AND(task.state IN %(closed)s OR COALESCE(type.is_milestone_billing, FALSE))
                  FROM project_task task
                  LEFT JOIN project_task_type type ON type.id = task.stage_id
                 WHERE task.active AND (
                       task.milestone_billing_line_id = queue.id OR task.milestone_id = queue.project_milestone_id))
           END
)"""

# What `_get_gate_obstacle` says for one milestone, for a queue of any length.
BLOCKED_QUERY = f"""(
    SELECT queue.id FROM (
        SELECT line.id, line.order_id, line.sequence, line.state, line.gate_opened_on, schedule.gate,
               LAG(line.id) OVER place AS last_id,
               LAG(line.invoice_status) OVER place AS last_status,
               LAG(line.amount_total) OVER place AS last_total,
               COALESCE(LAG({VOID_RELEASE}) OVER place, FALSE) AS is_behind_void
          FROM milestone_billing_line line
          JOIN milestone_billing_schedule schedule ON schedule.id = line.schedule_id
         WHERE line.state != 'cancelled'
        WINDOW place AS (PARTITION BY line.order_id ORDER BY line.sequence, line.id)
    ) queue
      {PREVIOUS_JOIN}
     WHERE queue.state = 'planned' AND queue.gate = 'block' AND queue.gate_opened_on IS NULL
       AND previous.id IS NOT NULL
       AND COALESCE(previous.status, 'none') NOT IN ('paid', 'before') AND COALESCE(previous.total, 0) != 0
)"""


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    state = fields.Selection(group_expand="_group_expand_state")
    project_manager_id = fields.Many2one(
        related="project_id.user_id", string="Project Manager", store=True, index=True
    )
    date_expected = fields.Date(
        string="Expected On",
        compute="_compute_date_expected",
        store=True,
        help="Its date, the deadline of its project milestone, or the day it was completed.",
    )
    can_complete = fields.Boolean(
        compute="_compute_is_ready",
        compute_sudo=True,
        help="Nothing forbids completing this milestone now, whatever its trigger.",
    )
    is_ready = fields.Boolean(
        string="Ready to Bill",
        compute="_compute_is_ready",
        search="_search_is_ready",
        compute_sudo=True,
        help="What triggers this milestone has happened, and nothing forbids billing it. One that is completed by "
        "hand is ready when it is next in its schedule.",
    )
    is_blocked_by_payment = fields.Boolean(
        compute="_compute_is_blocked_by_payment",
        search="_search_is_blocked_by_payment",
        compute_sudo=True,
        help="The milestone before this one is not paid, and the schedule blocks until it is.",
    )
    order_state = fields.Selection(related="order_id.state", string="Order State")
    waiting_days = fields.Integer(
        compute="_compute_waiting_days",
        compute_sudo=True,
        help="Since the client was asked for the decision that is still open.",
    )
    position_label = fields.Char(
        string="Place", compute="_compute_position_label", compute_sudo=True, help="Place in the schedule."
    )

    @api.depends("trigger", "trigger_date", "project_milestone_id.deadline", "completed_on")
    def _compute_date_expected(self):
        for line in self:
            line.date_expected = (
                (line.completed_on and line.company_id._get_milestone_today(line.completed_on))
                or line.trigger_date
                or line.project_milestone_id.sudo().deadline
            )

    @api.model
    def _group_expand_state(self, states, domain):
        """Show every state as a column, also empty ones, except the cancelled one."""
        return [state for state, _label in LINE_STATES if state != "cancelled" or state in states]

    @api.depends(
        "blocked_reason",
        "state",
        "invoice_status",
        "is_on_hold",
        "task_ids.is_closed",
        "task_ids.stage_id",
        "project_milestone_id.is_reached",
        "project_milestone_id.task_ids.is_closed",
        "order_id.milestone_line_ids.state",
    )
    def _compute_is_ready(self):
        planned = self.filtered(
            lambda line: line.state == "planned" and line.invoice_status in (False, "none", "credited")
        )
        blocked = planned._get_completion_obstacles()
        for line in self:
            line.can_complete = line in planned and line not in blocked
            line.is_ready = line.can_complete and line._is_triggered()

    def _is_triggered(self):
        """Tell whether what this milestone waits for has happened.

        :rtype: bool
        """
        self.ensure_one()
        if self.trigger in ("project_milestone", "task_stage"):
            return self.project_milestone_id.is_reached or self._is_work_done()
        if self.trigger == "date":
            return bool(self.trigger_date) and self.trigger_date <= self.company_id._get_milestone_today()
        if self.trigger == "previous_paid":
            return self._get_previous_line()._is_settled()
        previous = self._get_previous_lines()
        return not previous.filtered(lambda line: line.state == "planned")

    def _get_previous_lines(self):
        """Give all milestones before this one in the schedule, cancelled ones and credited releases left out."""
        self.ensure_one()
        lines = self.order_id.milestone_line_ids.filtered(
            lambda line: line.state != "cancelled" and not line._is_void_release()
        )
        place = (self.sequence, self.id)
        return lines.filtered(lambda line: (line.sequence, line.id) < place)

    @api.model
    def _search_is_ready(self, operator, value):
        if operator != "in":
            return NotImplemented
        ready = Domain("id", "in", self._get_ready_query())
        return Domain.OR(ready if wanted else ~ready for wanted in value)

    @api.model
    def _get_ready_query(self):
        """Say in SQL what `_get_obstacle` and `_is_triggered` say for one milestone.

        So a queue of any length takes one statement; a test holds both sayings together.

        :rtype: SQL
        """
        self.flush_model()
        self.env["sale.order"].flush_model(["state", "client_order_ref"])
        self.env["sale.order.line"].flush_model(
            ["price_subtotal", "untaxed_amount_invoiced", "is_milestone_billed", "is_downpayment"]
        )
        self.env["res.company"].flush_model(["milestone_deposit_policy", "milestone_deposit_limit"])
        self.env["milestone.billing.schedule"].flush_model(["gate", "ended_on", "amount_excess"])
        self.env["milestone.billing.approver"].flush_model(["schedule_id", "partner_id"])
        self.env["res.partner"].flush_model(["active"])
        self.env["project.milestone"].flush_model(["is_reached"])
        self.env["project.task.type"].flush_model(["is_milestone_billing"])
        self.env["project.task"].flush_model(
            [
                "state",
                "stage_id",
                "milestone_id",
                "milestone_billing_line_id",
                "is_milestone_defect",
                "active",
            ]
        )
        self.env["account.move"].flush_model(
            ["state", "amount_retained", "milestone_line_id", "milestone_document"]
        )
        self.env["milestone.billing.opening"].flush_model(["schedule_id", "is_booked", "amount_retained"])
        days = {
            company_id: fields.Date.to_string(day)
            for day, company_ids in self.env["res.company"]._get_milestone_days().items()
            for company_id in company_ids
        }
        return SQL(READY_QUERY, days=json.dumps(days), closed=tuple(CLOSED_STATES))

    @api.depends("state", "gate_opened_on", "schedule_id.gate", "order_id.milestone_line_ids.invoice_status")
    def _compute_is_blocked_by_payment(self):
        for line in self:
            line.is_blocked_by_payment = line.state == "planned" and bool(line._get_gate_obstacle())

    @api.model
    def _search_is_blocked_by_payment(self, operator, value):
        if operator != "in":
            return NotImplemented
        self.flush_model()
        self.env["milestone.billing.schedule"].flush_model(["gate"])
        found = Domain("id", "in", SQL(BLOCKED_QUERY))
        return Domain.OR(found if wanted else ~found for wanted in value)

    @api.depends("approval_ids.state", "state", "completed_on")
    def _compute_waiting_days(self):
        now = fields.Datetime.now()
        for line in self:
            asked = line.approval_ids.filtered(lambda approval: approval.state == "requested")[:1]
            since = (asked.create_date or line.completed_on) if line.state == "submitted" else False
            line.waiting_days = (now - since).days if since else 0

    @api.depends(
        "kind",
        "sequence",
        "state",
        "order_id.milestone_line_ids.sequence",
        "order_id.milestone_line_ids.state",
    )
    def _compute_position_label(self):
        for line in self:
            if line.kind == "retainage_release":
                line.position_label = False
                continue
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
