"""What was charged, decided and paid on a customer, with all its contacts."""

from odoo import api, fields, models
from odoo.tools import format_date

READERS = (
    "milestone_billing.milestone_billing_group_billing_user,milestone_billing.milestone_billing_group_auditor"
)
HISTORY_MAX = 500


class ResPartner(models.Model):
    _inherit = "res.partner"

    milestone_enrolment_ids = fields.Many2many(
        "milestone.billing.enrolment",
        string="On-Demand Billing",
        compute="_compute_milestone_enrolment_ids",
        groups=READERS,
    )
    milestone_history_ids = fields.Many2many(
        "milestone.billing.line", compute="_compute_milestone_history_ids", groups=READERS
    )
    milestone_amount_paid = fields.Monetary(
        string="Brought In",
        compute="_compute_milestone_amount_paid",
        groups=READERS,
        help="Money received for milestones of this customer and its contacts, with tax, in company currency.",
    )

    @api.depends("child_ids")
    def _compute_milestone_enrolment_ids(self):
        Enrolment = self.env["milestone.billing.enrolment"]
        for partner in self:
            partner.milestone_enrolment_ids = Enrolment.search(
                [("partner_id", "child_of", partner._origin.ids)]
            )

    @api.depends("child_ids")
    def _compute_milestone_history_ids(self):
        """Find what was completed for this customer or one of its contacts, the newest first."""
        Line = self.env["milestone.billing.line"]
        for partner in self:
            partner.milestone_history_ids = Line.search(
                [("partner_id", "child_of", partner._origin.ids), ("completed_on", "!=", False)],
                order="completed_on desc, id desc",
                limit=HISTORY_MAX,
            )

    @api.depends("child_ids")
    def _compute_milestone_amount_paid(self):
        """Add up the ledger; it is a view, so there is nothing to depend on."""
        Ledger = self.env["milestone.billing.ledger"]
        own = [("fact", "=", "paid"), ("company_id", "=", self.env.company.id)]
        for partner in self:
            mine = [("partner_id", "child_of", partner._origin.ids), *own]
            partner.milestone_amount_paid = Ledger._read_group(mine, [], ["amount:sum"])[0][0] or 0.0

    def action_charge_milestone(self):
        """Open the wizard that charges this customer now."""
        self.ensure_one()
        return self.env["milestone.billing.charge"]._open({"default_partner_id": self.id})


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    decision_label = fields.Char(
        string="Decision",
        compute="_compute_decision_label",
        compute_sudo=True,
        help="The client's last answer.",
    )

    @api.depends("approval_ids.decision_ids")
    def _compute_decision_label(self):
        """Say who answered last, what and when."""
        for line in self:
            last = line.approval_ids.decision_ids.sorted("id")[-1:]
            if not last:
                line.decision_label = False
                continue
            words = dict(last._fields["decision"]._description_selection(self.env))
            day = format_date(self.env, fields.Date.context_today(line, last.create_date))
            line.decision_label = f"{words[last.decision]}, {last.partner_id.name}, {day}"
