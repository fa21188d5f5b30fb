"""What papers say about milestones: the quotation's schedule, and the stage invoice's place in it."""

from odoo import models
from odoo.tools import format_date, formatLang

from ..tools.money import to_float
from ..tools.statement import LINES


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _get_when_text(self):
        """Say in the client's words when this milestone is billed.

        :rtype: str
        """
        self.ensure_one()
        if self.trigger == "order_confirmed":
            return self.env._("When you confirm the order")
        if self.trigger == "previous_paid":
            return self.env._("When the milestone before it is paid")
        if self.trigger == "date" and self.trigger_date:
            return self.env._("On %s", format_date(self.env, self.trigger_date))
        if self.approval_required:
            return self.env._("When it is done and you have approved it")
        return self.env._("When it is done")

    def _get_share_text(self):
        """Say which percentage of the contract this milestone bills.

        :rtype: str
        """
        self.ensure_one()
        total = self.order_id.sudo().milestone_amount_contract
        share = 100 * self.amount_untaxed / total if total else 0.0
        return f"{share:.2f}".rstrip("0").rstrip(".") + " %"

    def _get_approval_text(self):
        """Name the approval behind an invoice: who, when and its reference.

        :return: a sentence, empty when no approval was asked or given.
        :rtype: str
        """
        self.ensure_one()
        approval = self._get_current_approval()
        if approval.state not in ("approved", "deemed_accepted"):
            return ""
        day = format_date(self.env, approval.decided_on)
        names = ", ".join(approval._get_granted().partner_id.mapped("name"))
        reference = approval.uuid[:8]
        if approval.state == "deemed_accepted":
            return self.env._("Accepted on %(day)s, reference %(reference)s.", day=day, reference=reference)
        if approval.is_on_behalf or not names:
            return self.env._(
                "Approval recorded on %(day)s, reference %(reference)s.", day=day, reference=reference
            )
        return self.env._(
            "Approved by %(names)s on %(day)s, reference %(reference)s.",
            names=names,
            day=day,
            reference=reference,
        )


class SaleOrder(models.Model):
    _inherit = "sale.order"

    def _get_milestone_paper_lines(self):
        """Give the milestones that the quotation names, in their order.

        :rtype: milestone.billing.line
        """
        self.ensure_one()
        lines = self.sudo().milestone_line_ids.filtered(lambda line: line._is_planned_on_order())
        return lines.sorted(lambda line: (line.sequence, line.id)).with_context(**self.env.context)

    def _get_milestone_terms(self):
        """Give the sentences that go with the schedule: retainage and advances.

        :rtype: list[str]
        """
        self.ensure_one()
        schedule, terms = self.sudo().milestone_schedule_id, []
        if schedule.retainage_percent:
            terms.append(
                self.env._(
                    "You hold back %s %% of each milestone until it is released.",
                    f"{schedule.retainage_percent:g}",
                )
            )
            if schedule.retainage_tax == "release":
                terms.append(self.env._("The tax on what you hold back is billed when it is released."))
        if schedule.deposit_mode == "advance":
            terms.append(
                self.env._("Deposits are deducted from the final invoice.")
                if schedule.deposit_recovery == "final"
                else self.env._("Deposits are deducted from each later milestone by its share.")
            )
        return terms


class AccountMove(models.Model):
    _inherit = "account.move"

    def _get_milestone_paper(self):
        """Gather what a stage invoice shows of its contract.

        Everything is seen from this document, so that it reads the same whenever it is printed.

        :return: `label`, `project`, `order`, `rows` (milestones with `place`: before, this or later), `statement`
            (label and decimal text), `earlier` (invoices before, on the final one) and `approval`; empty for other
            documents.
        :rtype: dict
        """
        self.ensure_one()
        line = self.sudo().milestone_line_id.with_context(**self.env.context)
        if not line or self.milestone_document not in ("stage", "release"):
            return {}
        earlier = line.schedule_id._get_earlier_invoices(line, self.sudo())
        amounts = self._get_paper_amounts(line)
        lines = line.browse().union(*amounts)
        return {
            "line": line,
            "label": self._get_milestone_label(),
            "project": line.project_id.name,
            "order": line.order_id,
            "rows": self._prepare_paper_rows(amounts, line, earlier),
            "statement": self._prepare_paper_statement(line),
            "earlier": earlier if self._is_final_milestone(line, lines) else [],
            "paid": sum(float(row["paid"]) for row in earlier),
            "approval": line._get_approval_text(),
            "retained": self._get_retained_text(),
        }

    def _get_retained_text(self):
        """Say how much of this invoice the client holds back; empty when it is nothing.

        :rtype: str
        """
        retained, currency = self._get_term_retainage(), self.currency_id
        if not retained:
            return ""
        return self.env._(
            "You hold back %(retained)s of this invoice until it is released; %(due)s is due.",
            retained=formatLang(self.env, retained, currency_obj=currency),
            due=formatLang(self.env, self.amount_total - retained, currency_obj=currency),
        )

    def _is_final_milestone(self, line, lines):
        return line.kind == "final" or (lines and line == lines[-1]) or self.milestone_document == "release"

    def _get_paper_amounts(self, current):
        """Give the milestones of the contract as they were when this document was made, in their order.

        What was billed by then stands with its sum, credit notes deducted, and the others as they were planned.

        :param current: the milestone of this document.
        :return: net amount by milestone.
        :rtype: dict
        """
        schedule, rounding = current.schedule_id, self.currency_id.rounding
        lines = current.order_id.milestone_line_ids.filtered(lambda line: line.kind != "retainage_release")
        lines = lines.sorted(lambda line: (line.sequence, line.id)).with_context(**self.env.context)
        position = schedule._get_position_at(self.sudo())
        if not position:
            lines = lines.filtered(lambda line: line._is_planned_on_order())
            return {line: line.amount_untaxed for line in lines}
        billed = schedule._get_billed_until(self.sudo())
        amounts = {}
        for line in lines:
            if billed.get(line) or line == current:
                amounts[line] = to_float(billed.get(line, 0), rounding)
            elif text := position.plan.get(str(line.id)):
                amounts[line] = float(text)
        return amounts

    def _prepare_paper_rows(self, amounts, current, earlier):
        before = {row["line_id"] for row in earlier}
        return [
            {
                "line": line,
                "number": number,
                "place": "this" if line == current else "before" if line.id in before else "later",
                "amount": amount,
            }
            for number, (line, amount) in enumerate(amounts.items(), start=1)
        ]

    def _prepare_paper_statement(self, line):
        """Give the statement as an invoice prints it: without lines that say nothing on this contract."""
        labels = {
            "contract_sum_original": self.env._("Original contract"),
            "change_orders": self.env._("Approved changes"),
            "contract_sum": self.env._("Contract"),
            "completed_to_date": self.env._("Completed to date"),
            "retainage": self.env._("Retainage held back"),
            "earned_less_retainage": self.env._("Earned less retainage"),
            "previously_billed": self.env._("Billed before"),
            "current_due": self.env._("This milestone"),
            "balance_to_finish": self.env._("Still to come"),
        }
        statement = line.schedule_id._get_document_statement(self.sudo())
        hidden = set()
        if not float(statement["change_orders"]):
            hidden |= {"contract_sum_original", "change_orders"}
        if not float(statement["retainage"]):
            hidden |= {"retainage", "earned_less_retainage"}
        return [
            {"key": key, "label": labels[key], "amount": float(statement[key])}
            for key in LINES
            if key not in hidden
        ]
