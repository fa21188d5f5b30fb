"""Payment of milestone invoices: posted ones only, exactly what is due, one open transaction at a time."""

from odoo import http
from odoo.addons.account_payment.controllers.payment import PaymentPortal
from odoo.addons.payment import utils as payment_utils
from odoo.exceptions import AccessError, MissingError, ValidationError
from odoo.http import request

from .review import URL, Review
from .visit import find_visit, get_session_tag, go, make_visitor, take_click


class MilestonePayment(PaymentPortal):
    """Close the stock payment routes for our invoices; those of others go on as before."""

    @http.route()
    def invoice_transaction(self, invoice_id, access_token, **kwargs):
        """Override of `account_payment` to pay a milestone invoice only as it was issued."""
        invoice = request.env["account.move"].sudo().browse(invoice_id).exists()
        if not invoice.milestone_line_id:
            return super().invoice_transaction(invoice_id, access_token, **kwargs)
        self._check_milestone_token(invoice, access_token)
        invoice._lock_milestone_payment()
        tag = get_session_tag()
        invoice._check_milestone_open(tag)
        kwargs["amount"] = invoice._check_milestone_amount(kwargs.get("amount"))
        kwargs["landing_route"] = self._get_milestone_landing_route(invoice)
        result = super().invoice_transaction(invoice_id, access_token, **kwargs)
        newest = invoice.transaction_ids.sorted("id")[-1:]
        newest.milestone_session_tag = tag
        return result

    def _check_milestone_token(self, invoice, access_token):
        """Refuse a wrong token before anything is said about the invoice."""
        try:
            self._document_check_access("account.move", invoice.id, access_token)
        except (AccessError, MissingError) as error:
            raise ValidationError(request.env._("The access token is invalid.")) from error

    def _get_milestone_landing_route(self, invoice):
        """Give where the payer comes back to: the review page, for who may see it; else the invoice."""
        approval = invoice.milestone_line_id._get_current_approval()
        if approval and find_visit(approval.uuid):
            return f"{URL}/{approval.uuid}"
        return invoice.get_portal_url()

    @http.route()
    def overdue_invoices_transaction(self, payment_reference, **kwargs):
        """Override of `account_payment`: milestone invoices among the overdue ones are locked and checked too."""
        invoices = request.env["account.move"].search(self._get_overdue_invoices_domain()).sudo()
        ours = invoices.filtered("milestone_line_id")
        if not ours:
            return super().overdue_invoices_transaction(payment_reference, **kwargs)
        ours._lock_milestone_payment()
        for invoice in ours:
            invoice._check_milestone_open(get_session_tag())
        due = sum(invoices.mapped("amount_residual"))
        if invoices[0].currency_id.compare_amounts(self._cast_as_float(kwargs.get("amount")) or 0.0, due):
            raise ValidationError(
                request.env._("The amount due has changed. Reload the page and pay what is due now.")
            )
        kwargs["landing_route"] = "/my/invoices/"
        return super().overdue_invoices_transaction(payment_reference, **kwargs)

    def _get_overdue_invoices_domain(self, partner_id=None):
        """Override of `account`: an invoice that is paid but for what is held back of it is not overdue."""
        due = [
            ("display_type", "=", "payment_term"),
            ("milestone_retainage", "=", False),
            ("reconciled", "=", False),
        ]
        domain = super()._get_overdue_invoices_domain(partner_id)
        # The client may not read journal items, and a list of conditions takes no operator that would pass over that.
        invoices = request.env["account.move"].sudo().search([*domain, ("line_ids", "any", due)])
        return [*domain, ("id", "in", invoices.ids)]

    @http.route()
    def payment_pay(self, *args, amount=None, invoice_id=None, **kwargs):
        """Override of `payment`: a payment link works once the milestone invoice is issued, for what is due."""
        invoice = request.env["account.move"].sudo().browse(self._cast_as_int(invoice_id) or 0).exists()
        if invoice.milestone_line_id and self._is_milestone_payer(
            invoice, amount, kwargs.get("access_token")
        ):
            refusal = invoice._get_milestone_payment_refusal()
            if refusal:
                return request.render("http_routing.403", {"status_message": refusal}, status=403)
        return super().payment_pay(*args, amount=amount, invoice_id=invoice_id, **kwargs)

    def _is_milestone_payer(self, invoice, amount, access_token):
        """Tell whether somebody holds the payment link of an invoice; others learn nothing about it."""
        names = (invoice.partner_id.id, self._cast_as_float(amount), invoice.currency_id.id)
        return payment_utils.check_access_token(access_token, *names)


class ReviewPayment(Review):
    """Pay Now on the review page."""

    @http.route(
        f"{URL}/<string:uuid>/pay", type="http", auth="public", methods=["POST"], website=True, sitemap=False
    )
    def pay(self, uuid, **form):
        """Record the click and go to the payment page of the posted invoice."""
        visit = self._enter_in_turn(uuid)
        if not visit or visit.kind == "internal_user":
            return self._closed_door()
        approval = visit.approval
        if not approval._can_pay():
            return go(f"{URL}/{approval.uuid}")
        invoice = approval._get_issued_invoice()
        if take_click("pay_clicked", invoice):
            visitor = make_visitor(visit, f"{URL}/<uuid>/pay", form=form)
            approval._log_visit("pay.clicked", visitor, data=invoice._prepare_pay_data())
        return go(invoice._get_milestone_payment_url())
