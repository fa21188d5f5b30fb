"""Milestone documents as electronic invoices: deposits, final invoices and retainage as EN 16931 wants them."""

from odoo import models
from odoo.addons.account_edi_ubl_cii.models.account_edi_common import FloatFmt
from odoo.tools import format_date, formatLang

COMMERCIAL_INVOICE, PREPAYMENT_INVOICE = 380, 386
NON_BREAKING_SPACE = "\u00a0"


class AccountEdiXmlUblBis3(models.AbstractModel):
    _inherit = "account.edi.xml.ubl_bis3"

    def _add_invoice_header_nodes(self, document_node, vals):
        """Extend to say that an advance is one (BT-3), to name the invoices before (BG-3) and the retainage (BT-22)."""
        result = super()._add_invoice_header_nodes(document_node, vals)
        invoice = vals["invoice"]
        code = document_node["cbc:InvoiceTypeCode"]
        if invoice.milestone_is_advance and code and code["_text"] == COMMERCIAL_INVOICE:
            code["_text"] = PREPAYMENT_INVOICE
        if earlier := invoice._get_milestone_preceding_invoices():
            document_node["cac:BillingReference"] = [
                {
                    "cac:InvoiceDocumentReference": {
                        "cbc:ID": {"_text": move.name},
                        "cbc:IssueDate": {"_text": move.invoice_date},
                    }
                }
                for move in earlier
            ]
        if note := invoice._get_milestone_retainage_note():
            kept = document_node["cbc:Note"]["_text"]
            document_node["cbc:Note"]["_text"] = f"{note} {kept}" if kept else note
        return result

    def _add_invoice_base_lines_vals(self, vals):
        """Extend to leave out retainage given back: the invoice that held it back has asked for it already."""
        result = super()._add_invoice_base_lines_vals(vals)
        given_back = vals["invoice"]._get_milestone_given_back_items()
        vals["base_lines"] = [
            base_line
            for base_line in vals["base_lines"]
            if not base_line["record"]
            or base_line["record"]._name != given_back._name
            or base_line["record"] not in given_back
        ]
        return result

    def _add_invoice_monetary_total_nodes(self, document_node, vals):
        """Extend to ask for what this invoice bills: retainage moves between documents without being paid."""
        result = super()._add_invoice_monetary_total_nodes(document_node, vals)
        invoice = vals["invoice"]
        moved = invoice._get_milestone_given_back() + invoice._get_milestone_asked_elsewhere()
        if not moved:
            return result
        totals = document_node[self._get_tags_for_document_type(vals)["monetary_total"]]
        total, digits = totals["cbc:TaxInclusiveAmount"]["_text"], vals["currency_dp"]
        prepaid = max(invoice.currency_id.round(totals["cbc:PrepaidAmount"]["_text"] - moved), 0.0)
        payable = invoice.currency_id.round(total - prepaid)
        totals["cbc:PrepaidAmount"]["_text"] = FloatFmt(prepaid, min_dp=digits)
        totals["cbc:PayableAmount"]["_text"] = FloatFmt(payable, min_dp=digits)
        return result


class AccountMove(models.Model):
    _inherit = "account.move"

    def _get_milestone_preceding_invoices(self):
        """Give the invoices that an electronic invoice refers to: credited, or advances that it deducts.

        :rtype: account.move
        """
        self.ensure_one()
        if self.reversed_entry_id.milestone_document == "stage":
            return self.reversed_entry_id
        deposits = self.sudo().milestone_recovery_ids.deposit_id
        advances = self.browse().union(*(deposit._get_advance_invoices() for deposit in deposits))
        return advances.sorted(lambda move: (move.invoice_date, move.id))

    def _get_milestone_given_back_items(self):
        """Give the invoice lines with retainage that earlier invoices have asked for already.

        Where the tax waits for the release, the retained part was not invoiced before: its lines are lines like others.

        :rtype: account.move.line
        """
        self.ensure_one()
        items = self.invoice_line_ids.filtered("milestone_retainage")
        return items.browse() if self.milestone_retained_parts else items

    def _get_milestone_given_back(self):
        """Give the retainage of earlier invoices that this document asks for beside its own work.

        :rtype: float
        """
        self.ensure_one()
        items = self._get_milestone_given_back_items()
        return self.currency_id.round(sum(items.mapped("price_total")))

    def _get_milestone_asked_elsewhere(self):
        """Give the retainage of this invoice that later documents ask for, as far as those are not paid.

        :rtype: float
        """
        self.ensure_one()
        due = self.line_ids.filtered(
            lambda item: item.milestone_retainage and item.display_type == "payment_term"
        )
        amount = 0.0
        for partial in due.matched_credit_ids:
            asking = partial.credit_move_id
            if asking.milestone_retainage and asking.display_type == "product":
                move = asking.move_id
                unpaid = move.amount_residual / move.amount_total if move.amount_total else 0.0
                amount += partial.debit_amount_currency * unpaid
        return self.currency_id.round(amount)

    def _get_milestone_retainage_note(self):
        """Say in one sentence what is held back or given back: EN 16931 has no field of its own for it.

        :rtype: str
        """
        self.ensure_one()

        def text(amount):
            return formatLang(self.env, amount, currency_obj=self.currency_id).replace(
                NON_BREAKING_SPACE, " "
            )

        if held := self._get_term_retainage():
            terms = self.line_ids.filtered(
                lambda item: item.milestone_retainage and item.display_type == "payment_term"
            )
            return self.env._(
                "Retainage of %(amount)s is due on %(date)s.",
                amount=text(held),
                date=format_date(self.env, max(terms.mapped("date_maturity"), default=self.invoice_date_due)),
            )
        if given_back := self._get_milestone_given_back():
            return self.env._(
                "Retainage of %s that earlier invoices held back is due with this one.", text(given_back)
            )
        return ""

    def _need_ubl_cii_xml(self, ubl_cii_format):
        """Override of `account_edi_ubl_cii`: released retainage was invoiced with its work, unless its tax waited."""
        if self.milestone_document == "release" and not self.milestone_retained_parts:
            return False
        return super()._need_ubl_cii_xml(ubl_cii_format)


class AccountMoveLine(models.Model):
    _inherit = "account.move.line"

    def _check_edi_line_tax_required(self):
        """Override of `account_edi_ubl_cii`: retainage given back bears no tax and is no line of the file."""
        given_back = self.milestone_retainage and not self.move_id.milestone_retained_parts
        return super()._check_edi_line_tax_required() and not given_back
