from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import ValidationError

OPEN_DRAFT_MINUTES = 15


class AccountMove(models.Model):
    _inherit = "account.move"

    # === PAYING A MILESTONE INVOICE ===

    def _lock_milestone_payment(self):
        """Let payments of the same order start one after the other; who waited is served again on fresh data."""
        self.milestone_line_id.sudo().schedule_id._lock()

    def _check_milestone_open(self, session_tag=""):
        """Refuse a payment of what is not issued, already paid, contested, or being paid by somebody else.

        :param str session_tag: of the payer; an own attempt that was broken off does not stand in the way.
        :raise ValidationError: saying what to do.
        """
        self.ensure_one()
        refusal = self._get_milestone_payment_refusal()
        if refusal:
            raise ValidationError(refusal)
        if self.currency_id.is_zero(self.amount_residual) or self.payment_state in (
            "paid",
            "in_payment",
            "reversed",
        ):
            raise ValidationError(self.env._("This invoice is paid. Reload the page to see it."))
        if self._get_milestone_open_transactions(session_tag):
            raise ValidationError(
                self.env._(
                    "A payment of this invoice is under way. Wait until it is through; if it was broken off, try "
                    "again in %s minutes.",
                    OPEN_DRAFT_MINUTES,
                )
            )

    def _get_milestone_open_transactions(self, session_tag):
        since = fields.Datetime.now() - timedelta(minutes=OPEN_DRAFT_MINUTES)
        return self.transaction_ids.filtered(
            lambda tx: (
                (tx.state in ("pending", "authorized") and tx.provider_code not in ("none", "custom"))
                or (tx.state == "done" and not tx.is_post_processed)
                or (
                    tx.state == "draft"
                    and tx.create_date >= since
                    and (not session_tag or tx.milestone_session_tag != session_tag)
                )
            )
        )

    def _check_milestone_amount(self, amount):
        """Refuse any amount but what is due, in whole or as the next instalment.

        :param amount: as asked for by the payer.
        :return: the amount of the server.
        :rtype: float
        :raise ValidationError: naming what is due.
        """
        self.ensure_one()
        try:
            asked = float(amount or 0.0)
        except (TypeError, ValueError):
            asked = 0.0
        for due in self._get_milestone_due_amounts():
            if not self.currency_id.compare_amounts(asked, due):
                return due
        raise ValidationError(
            self.env._("Only what is due can be paid. Reload the page and pay the amount shown there.")
        )

    def _get_milestone_due_now(self):
        """Give what is to be paid now: everything open but the retainage, which is due at its release.

        :rtype: float
        """
        self.ensure_one()
        terms = self.sudo().line_ids.filtered(
            lambda line: line.display_type == "payment_term" and not line.milestone_retainage
        )
        open_amount = sum(terms.mapped("amount_residual_currency"))
        return self.currency_id.round(min(abs(open_amount), self.amount_residual))

    def _get_milestone_due_amounts(self):
        """Give the amounts that may be paid: what is due now, all that is open, or an instalment of the terms.

        :rtype: list[float]
        """
        self.ensure_one()
        values = self._get_invoice_next_payment_values()
        amounts = [
            self._get_milestone_due_now(),
            self.amount_residual,
            values.get("next_amount_to_pay") or 0.0,
        ]
        discount = values.get("epd_discount_amount_currency") or 0.0
        if discount:
            amounts.append(self.amount_residual - discount)
        return [amount for amount in amounts if self.currency_id.compare_amounts(amount, 0.0) > 0]

    def _get_milestone_payment_url(self):
        """Give the payment page of the issued invoice.

        :rtype: str
        """
        self.ensure_one()
        return self.get_portal_url(query_string="&payment=True")

    def _prepare_pay_data(self):
        values = self._prepare_evidence_data()
        return {
            "amount": self._get_amount_text(self._get_milestone_due_now()),
            "currency": values["currency"],
            "invoice_number": self.name or "",
        }


class PaymentTransaction(models.Model):
    _inherit = "payment.transaction"

    milestone_session_tag = fields.Char(
        readonly=True,
        groups="base.group_system",
        help="Which visit started the payment of a milestone invoice.",
    )

    @api.model_create_multi
    def create(self, vals_list):
        """Override of `payment` to record payments of milestone invoices as evidence."""
        transactions = super().create(vals_list)
        transactions._log_milestone_payment()
        return transactions

    def write(self, vals):
        """Override of `payment` to record each change of state as evidence."""
        result = super().write(vals)
        if "state" in vals:
            self._log_milestone_payment()
        return result

    def _log_milestone_payment(self):
        for tx in self.sudo():
            types = ["payment.tx"]
            if tx.operation == "refund" and tx.state == "done":
                types.append("payment.refunded")
            for line in tx._get_milestone_invoices().milestone_line_id:
                for event_type in types:
                    line._log_evidence(
                        event_type,
                        data=tx._prepare_milestone_evidence(),
                        actor_kind="provider",
                        actor_ref=None,
                    )

    def _get_milestone_invoices(self):
        """Give the milestone invoices which a transaction is about; a refund is about those of what it gives back.

        :rtype: account.move
        """
        self.ensure_one()
        return (self.invoice_ids or self.source_transaction_id.invoice_ids).filtered("milestone_line_id")

    def _prepare_milestone_evidence(self):
        self.ensure_one()
        move = self._get_milestone_invoices()[:1]
        return {
            "reference": self.reference or "",
            "provider": self.provider_code or "",
            "state": self.state,
            "amount": move._get_amount_text(self.amount),
            "currency": self.currency_id.name,
            "provider_ref": self.provider_reference or "",
            "invoice_ref": move.name or "",
        }

    def _post_process(self):
        """Override of `account_payment`: a payment never issues a draft milestone invoice; it waits as a credit."""
        for tx in self.filtered(lambda tx: tx.state == "done"):
            drafts = tx.sudo().invoice_ids.filtered(
                lambda move: move.milestone_line_id and move.state == "draft"
            )
            if drafts:
                tx.sudo().invoice_ids -= drafts
                tx._notify_paid_draft(drafts)
        return super()._post_process()

    def _notify_paid_draft(self, drafts):
        for move in drafts:
            line = move.milestone_line_id
            line.activity_schedule(
                "mail.mail_activity_data_todo",
                summary=self.env._("Payment %s came for a draft invoice", self.reference),
                note=self.env._(
                    "The invoice of “%s” was not issued yet, so the payment waits as a credit of the customer.",
                    line.name,
                ),
                user_id=(line.order_id.user_id or self.env.ref("base.user_admin")).id,
            )
