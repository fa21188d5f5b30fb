"""What billing looks at one record after the other, read at once: fewer statements for one click."""

from odoo import models


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _read_ahead(self):
        """Read these milestones with all others of their orders, by one statement."""
        self.search_fetch([("order_id.milestone_line_ids", "in", self.ids)], order="id")

    def _read_ahead_to_bill(self):
        """Read what the invoices of these milestones are made from; what was read before is not read again."""
        self.order_id.milestone_line_ids.allocation_ids.fetch()
        for company, lines in self.grouped("company_id").items():
            lines.with_company(company)._read_contacts_ahead()
            lines.with_company(company)._read_accounts_ahead()

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
        documents.milestone_line_id._read_ahead()
        # All journal items, not only the invoice lines among them: these would be read a second time.
        items = documents.line_ids
        items.fetch()
        items.sale_line_ids.fetch()
        items.tax_ids.fetch()
        partners = documents.partner_id | documents.commercial_partner_id | self.env.user.partner_id
        partners.with_prefetch().mapped("name")
