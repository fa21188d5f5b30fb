"""What was charged, decided and paid on a customer, with all its contacts."""

from odoo import api, fields, models
from odoo.tools import SQL, format_date

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
        found = Enrolment.search([("partner_id", "child_of", self._origin.ids)])
        by_customer = found.partner_id._group_under(self._origin)
        enrolments = found.grouped("partner_id")
        for partner in self:
            partner.milestone_enrolment_ids = Enrolment.union(
                *(enrolments[contact] for contact in by_customer.get(partner._origin, ()))
            ).sorted()

    @api.depends("child_ids")
    def _compute_milestone_history_ids(self):
        """Find what was completed for these customers or one of their contacts, the newest first."""
        Line, lines = self.env["milestone.billing.line"], {}
        for customer_id, line_id in self._fetch_milestone_history():
            lines.setdefault(customer_id, []).append(line_id)
        for partner in self:
            partner.milestone_history_ids = Line.browse(lines.get(partner._origin.id, ()))

    def _fetch_milestone_history(self):
        """Read which completed milestones belong to these customers, each one's newest by one statement for all.

        :return: (customer id, milestone id) pairs, the newest first.
        :rtype: list[tuple[int, int]]
        """
        customers = self._origin
        if not customers:
            return []
        domain = [("partner_id", "child_of", customers.ids), ("completed_on", "!=", False)]
        query = self.env["milestone.billing.line"]._search(domain)
        self.flush_model(["parent_id"])
        self.env["milestone.billing.line"].flush_model(["partner_id", "completed_on"])
        return self.env.execute_query(
            SQL(
                """
                WITH RECURSIVE family (customer_id, contact_id) AS (
                    SELECT id, id FROM res_partner WHERE id IN %s
                     UNION
                    SELECT family.customer_id, contact.id
                      FROM res_partner contact JOIN family ON contact.parent_id = family.contact_id
                )
                SELECT customer_id, line_id
                  FROM (SELECT family.customer_id, line.id AS line_id,
                               ROW_NUMBER() OVER (
                                   PARTITION BY family.customer_id ORDER BY line.completed_on DESC, line.id DESC) AS place
                          FROM milestone_billing_line line
                          JOIN family ON family.contact_id = line.partner_id
                         WHERE line.id IN %s) AS ranked
                 WHERE place <= %s
              ORDER BY customer_id, place
                """,
                tuple(customers.ids),
                query.subselect(),
                HISTORY_MAX,
            )
        )

    @api.depends("child_ids")
    def _compute_milestone_amount_paid(self):
        """Add up the ledger; it is a view, so there is nothing to depend on."""
        domain = [
            ("partner_id", "child_of", self._origin.ids),
            ("fact", "=", "paid"),
            ("company_id", "=", self.env.company.id),
        ]
        groups = self.env["milestone.billing.ledger"]._read_group(domain, ["partner_id"], ["amount:sum"])
        amounts = {contact: amount or 0.0 for contact, amount in groups}
        by_customer = self.browse().union(*amounts)._group_under(self._origin)
        for partner in self:
            partner.milestone_amount_paid = sum(
                amounts[contact] for contact in by_customer.get(partner._origin, ())
            )

    def _group_under(self, customers):
        """Tell which of these contacts belong to which customers: to themselves, and to all above them.

        :param customers: the customers asked about.
        :return: contacts by customer; nothing for customers without any.
        :rtype: dict[res.partner, res.partner]
        """
        asked, found = set(customers.ids), {}
        above = {contact.id: contact for contact in self.sudo()}
        while above:
            for contact_id, person in above.items():
                if person.id in asked:
                    found.setdefault(person.id, []).append(contact_id)
            parents = {contact_id: person.parent_id for contact_id, person in above.items()}
            above = {contact_id: parent for contact_id, parent in parents.items() if parent}
        return {
            self.browse(customer_id): self.browse(contact_ids) for customer_id, contact_ids in found.items()
        }

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
