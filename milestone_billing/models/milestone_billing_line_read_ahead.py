"""What billing looks at one record after the other, read at once: fewer statements for one click."""

from odoo import models


def _keep_items(records, name, items):
    """Let a one2many know its items, which were just read: the ORM would read them once more, without their fields.

    :param records: whose items these are, all of them.
    :param str name: of the one2many.
    :param items: in its order.
    """
    field = records._fields[name]
    by_record = items.grouped(field.inverse_name)
    field._insert_cache(records, [by_record.get(record, items.browse())._ids for record in records])


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _read_ahead(self):
        """Read these milestones with all others of their orders, by one statement."""
        lines = self.sudo().search_fetch(
            [("order_id.milestone_line_ids", "in", self.ids)], order="sequence, id"
        )
        _keep_items(lines.order_id, "milestone_line_ids", lines)

    def _read_ahead_to_bill(self):
        """Read what the invoices of these milestones are made from; what was read before is not read again."""
        self.order_id.milestone_line_ids.sudo()._read_allocations_ahead()
        self._read_people_ahead()
        for company, lines in self.grouped("company_id").items():
            lines.with_company(company)._read_accounts_ahead()

    def _read_people_ahead(self):
        """Read the contacts of these milestones at once, before the first of them is looked at alone."""
        for company, lines in self.grouped("company_id").items():
            lines.with_company(company)._read_contacts_ahead()

    def _read_allocations_ahead(self):
        """Read the allocations of these milestones by one statement, those of their documents among them.

        :rtype: milestone.billing.allocation
        """
        allocations = self.env["milestone.billing.allocation"].search_fetch([("line_id", "in", self.ids)])
        _keep_items(self, "allocation_ids", allocations)
        return allocations

    def _read_approvals_ahead(self):
        """Read all submissions of these milestones by one statement."""
        approvals = self.env["milestone.billing.approval"].search_fetch([("line_id", "in", self.ids)])
        _keep_items(self, "approval_ids", approvals)

    def _read_contacts_ahead(self):
        """Read client, seller and author together: their own fields, and those that depend on the company."""
        orders = self.order_id
        partners = orders.partner_id | orders.partner_invoice_id | orders.company_id.partner_id
        partners = (partners | self.env.user.partner_id).with_prefetch()
        partners.mapped("name")
        partners.mapped("property_account_receivable_id")

    def _read_accounts_ahead(self):
        """Read the accounts that the invoices will be booked on; where another one is used, it is read then."""
        order_lines = self.allocation_ids.order_line_id
        accounts = order_lines.tax_ids.flatten_taxes_hierarchy().invoice_repartition_line_ids.account_id
        accounts |= self.order_id.partner_invoice_id.commercial_partner_id.property_account_receivable_id
        for product in order_lines.product_id.product_tmpl_id:
            accounts |= product._get_product_accounts()["income"]
        accounts = accounts.with_prefetch()
        accounts.mapped("account_type")
        accounts.mapped("company_ids")


class AccountMove(models.Model):
    _inherit = "account.move"

    def _read_ahead_to_post(self):
        """Read what posting looks at one by one, of all documents at once."""
        documents = self.sudo().filtered(lambda move: move.is_sale_document(include_receipts=True))
        if not documents:
            return  # bills and entries are none of ours
        if lines := documents.milestone_line_id:
            lines._read_ahead()
            lines._read_approvals_ahead()
            stages = documents.filtered("milestone_line_id")
            _keep_items(stages, "milestone_allocation_ids", lines._read_allocations_ahead())
        # All journal items, not only the invoice lines among them: these would be read a second time.
        items = documents.line_ids
        items.fetch()
        items.sale_line_ids.fetch()
        items.tax_ids.fetch()
        items.account_id.with_prefetch().mapped("company_ids")
        partners = documents.partner_id | documents.commercial_partner_id | self.env.user.partner_id
        partners.with_prefetch().mapped("name")
