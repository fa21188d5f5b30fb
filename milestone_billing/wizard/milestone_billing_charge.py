from odoo import api, fields, models
from odoo.exceptions import UserError


class MilestoneBillingCharge(models.TransientModel):
    """Charge a customer now: amount, what was done, and it is drafted and sent as any milestone."""

    _name = "milestone.billing.charge"
    _description = "Charge Now"

    partner_id = fields.Many2one("res.partner", string="Customer")
    project_id = fields.Many2one("project.project")
    enrolment_id = fields.Many2one(
        "milestone.billing.enrolment",
        string="Agreement",
        compute="_compute_enrolment_id",
        store=True,
        readonly=False,
        required=True,
    )
    currency_id = fields.Many2one(related="enrolment_id.currency_id")
    can_override = fields.Boolean(related="enrolment_id.can_override")
    cap_charge = fields.Monetary(related="enrolment_id.cap_charge")
    amount_left = fields.Monetary(related="enrolment_id.amount_left")
    cap_total = fields.Monetary(related="enrolment_id.cap_total")
    approval_required = fields.Boolean(related="enrolment_id.approval_required")
    amount = fields.Monetary(compute="_compute_amount", store=True, readonly=False, help="Untaxed.")
    name = fields.Char(string="Title")
    description = fields.Text(help="What was done, e.g. “Phase 2: homepage designs, delivered March 15”.")

    @api.depends("partner_id", "project_id")
    def _compute_enrolment_id(self):
        for charge in self:
            charge.enrolment_id = charge.enrolment_id or charge._find_enrolment()

    def _find_enrolment(self):
        """Find the agreement that is charged: that of the project, else of the customer; those of retainers last."""
        Enrolment = self.env["milestone.billing.enrolment"]
        found = (
            Enrolment.search([("project_id", "=", self.project_id._origin.id)]) if self.project_id else None
        )
        customer = self.partner_id._origin
        found = found or Enrolment.search([("partner_id", "=", customer.id)])
        found = found or Enrolment.search([("partner_id", "child_of", customer.commercial_partner_id.ids)])
        return found.sorted(lambda item: bool(item.retainer_ids))[:1]

    @api.depends("enrolment_id")
    def _compute_amount(self):
        for charge in self:
            charge.amount = charge.enrolment_id.amount_default

    @api.model
    def _open(self, context):
        """Give the action that opens this wizard.

        :rtype: dict
        """
        action = self.env["ir.actions.actions"]._for_xml_id(
            "milestone_billing.milestone_billing_charge_action"
        )
        return {**action, "context": context}

    def action_charge(self):
        """Charge, and show the new milestone."""
        self.ensure_one()
        if not (self.description or "").strip():
            raise UserError(self.env._("Say what was done; the client reads it."))
        answer = self.enrolment_id.charge(self.amount, self.description, self.name)
        return {
            "type": "ir.actions.act_window",
            "res_model": "milestone.billing.line",
            "res_id": answer["id"],
            "views": [(False, "form")],
        }
