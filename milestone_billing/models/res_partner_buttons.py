from odoo import fields, models


class ResPartner(models.Model):
    _inherit = "res.partner"

    milestone_line_count = fields.Integer(
        string="Milestones",
        compute="_compute_milestone_line_count",
        groups="milestone_billing.milestone_billing_group_project_user",
    )

    def _compute_milestone_line_count(self):
        groups = self.env["milestone.billing.line"]._read_group(
            [("partner_id", "child_of", self.ids), ("state", "!=", "cancelled")], ["partner_id"], ["__count"]
        )
        self.milestone_line_count = 0
        for customer, count in groups:
            partner = customer
            while partner:
                if partner in self:
                    partner.milestone_line_count += count
                partner = partner.parent_id

    def action_view_milestone_lines(self):
        """Open the milestones of this customer and its contacts.

        :rtype: dict
        """
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "milestone_billing.milestone_billing_line_action"
        )
        action["domain"] = [("partner_id", "child_of", self.ids)]
        action["context"] = {}
        return action
