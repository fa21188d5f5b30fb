from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ..tools import retained_tax
from ..tools.context import drop_defaults

CLAIM_FIELDS = {
    "milestone_claim",
    "milestone_document",
    "milestone_credited",
    "milestone_step",
    "milestone_is_advance",
}
# What a reversal takes over from its document; see `_check_reverses_milestone`.
REVERSED_FIELDS = {"milestone_line_id", "amount_retained", "milestone_retained_parts"}


class AccountMove(models.Model):
    _inherit = "account.move"

    milestone_line_id = fields.Many2one(
        "milestone.billing.line",
        string="Milestone",
        readonly=True,
        copy=False,
        index="btree_not_null",
        ondelete="restrict",
    )
    milestone_document = fields.Selection(
        [
            ("stage", "Milestone invoice"),
            ("credit", "Credit note of a milestone"),
            ("release", "Retainage release"),
        ],
        readonly=True,
        copy=False,
    )
    milestone_is_advance = fields.Boolean(
        string="Advance", readonly=True, copy=False, help="A deposit that later milestones recover."
    )
    milestone_credited = fields.Boolean(
        readonly=True, copy=False, help="A credit note gave back the right to bill the milestone."
    )
    milestone_claim = fields.Boolean(
        compute="_compute_milestone_claim",
        store=True,
        precompute=True,
        help="This document is the one that bills its milestone now.",
    )
    milestone_allocation_ids = fields.One2many("milestone.billing.allocation", "move_id", readonly=True)
    # Without this inverse, every write on a journal item anywhere would search for submissions to compute again.
    milestone_approval_ids = fields.One2many(
        "milestone.billing.approval", "move_id", string="Submissions", readonly=True
    )
    milestone_recovery_ids = fields.One2many("milestone.billing.recovery", "move_id", readonly=True)
    milestone_step = fields.Integer(
        readonly=True, copy=False, help="Place among the billing steps of the order; statements follow it."
    )
    amount_retained = fields.Monetary(
        string="Retained",
        readonly=True,
        copy=False,
        help="What the client holds back of this document; negative where retainage is released or credited.",
    )

    _milestone_claim_unique = models.UniqueIndex(
        "(milestone_line_id) WHERE milestone_claim",
        "This milestone already has an invoice. Delete the draft or credit it to bill the milestone again.",
    )

    @api.depends("milestone_line_id", "milestone_document", "milestone_credited", "state")
    def _compute_milestone_claim(self):
        for move in self:
            move.milestone_claim = bool(
                move.milestone_line_id
                and move.milestone_document in ("stage", "release")
                and not move.milestone_credited
                and move.state != "cancel"
            )

    # === WRITTEN BY BILLING ALONE ===

    @api.model_create_multi
    def create(self, vals_list):
        """Override of `account`: nobody makes a document that claims to bill a milestone."""
        self._check_not_milestone_claim(vals_list, CLAIM_FIELDS)
        self._check_reverses_milestone(vals_list)
        context = drop_defaults(self.env.context, CLAIM_FIELDS | REVERSED_FIELDS)
        model = self.with_context(context)  # pylint: disable=context-overridden
        return super(AccountMove, model).create(vals_list)

    @api.model
    def _check_not_milestone_claim(self, vals_list, names):
        if not self.env.su and any(names & vals.keys() for vals in vals_list):
            self._raise_milestone_claim()

    @api.model
    def _check_reverses_milestone(self, vals_list):
        """Refuse documents that name a milestone or retainage otherwise than as what their document is reversed by."""
        if self.env.su:
            return
        for vals in vals_list:
            claims = {name: vals[name] for name in REVERSED_FIELDS & vals.keys() if vals[name]}
            if not claims:
                continue
            origin = self.sudo().browse(vals.get("reversed_entry_id") or 0)
            taken_over = origin.milestone_line_id and origin._prepare_reversed_values()
            if not taken_over or any(value != taken_over[name] for name, value in claims.items()):
                self._raise_milestone_claim()

    def _prepare_reversed_values(self):
        """Give what a reversal takes over from this document: its milestone, and what it holds back turned around.

        :rtype: dict
        """
        self.ensure_one()
        schedule = self.milestone_line_id.sudo().schedule_id
        parts = retained_tax.negate(self._get_retained_parts())
        return {
            "milestone_line_id": self.milestone_line_id.id,
            "amount_retained": -self.amount_retained,
            "milestone_retained_parts": schedule._prepare_retained_parts(parts) if parts else False,
        }

    @api.model
    def _raise_milestone_claim(self):
        raise AccessError(
            self.env._("Which milestone a document bills is written by the buttons of the milestone only.")
        )

    # === LIFE OF A MILESTONE INVOICE ===

    def _post(self, soft=True):
        """Override of `account` to record posting as evidence and give credited parts back to their milestones."""
        self._check_milestone_documents()
        self._adjust_credited_retainage()
        posted = super()._post(soft)
        stages = posted.filtered(lambda move: move.milestone_document == "stage")
        stages._log_posted()
        posted._give_capacity_back()
        posted._withdraw_after_credits()
        posted._check_retainage_held()
        posted._clear_retainage()
        return posted

    def _log_posted(self):
        """Record posting as evidence, by one append; a second document of the same milestone has its own."""
        by_line = {move.milestone_line_id: move for move in self}
        lines = self.milestone_line_id
        lines._log_evidence("invoice.posted", data=lambda line: by_line[line]._prepare_evidence_data())
        others = self - self.browse([move.id for move in by_line.values()])
        if others:
            others._log_posted()

    def button_cancel(self):
        """Override of `account`: a cancelled milestone invoice gives its milestone back."""
        result = super().button_cancel()
        self.filtered(lambda move: move.state == "cancel")._release_milestone()
        return result

    def unlink(self):
        """Override of `account`: a deleted draft gives its milestone back."""
        documents = self.sudo().filtered(lambda move: move.milestone_claim or move.milestone_credited)
        lines = documents.milestone_line_id
        held = documents.filtered("amount_retained").milestone_line_id.schedule_id
        documents._detach_allocations()
        documents.milestone_line_id = False
        result = super().unlink()
        lines._reopen()
        lines.schedule_id._replan()
        lines._tell_why_moved(lambda names: self.env._("The draft invoice was deleted: %s.", names))
        held._clear_retainage()
        return result

    def _release_milestone(self):
        """Give the milestones of cancelled documents back to planning, their history kept."""
        documents = self.filtered(lambda move: move.milestone_document in ("stage", "release"))
        documents._detach_allocations()
        lines = documents.milestone_line_id.sudo()
        lines._reopen()
        lines.schedule_id._replan()
        lines._tell_why_moved(lambda names: self.env._("The invoice was cancelled: %s.", names))
        documents._clear_retainage()
        for move in documents.filtered(lambda move: move.amount_retained > 0):
            move.milestone_line_id.sudo().schedule_id._withdraw_releases(move)

    def _detach_allocations(self):
        """Plan again what these documents bill; advances that are deducted elsewhere do not go."""
        documents = self.sudo()
        documents._check_not_credited()
        documents.filtered("milestone_is_advance").milestone_line_id._check_not_recovered()
        self.env["milestone.billing.recovery"].sudo().search([("move_id", "in", documents.ids)]).unlink()
        documents.milestone_allocation_ids._plan_detached()

    def _check_not_credited(self):
        """Refuse to take back a document that a credit note takes back already: its milestone would bill it twice."""
        for move in self.filtered("milestone_credited"):
            if credits := move._get_milestone_credits():
                raise UserError(
                    self.env._(
                        "%(invoice)s is credited by %(credits)s already. Reset that to draft first, or leave both as they "
                        "are.",
                        invoice=move.display_name,
                        credits=", ".join(credits.mapped("display_name")),
                    )
                )
            if again := move.milestone_line_id._get_live_invoice() - move:
                raise UserError(
                    self.env._(
                        "What %(invoice)s left of its milestone is billed by %(again)s. Delete or credit that first.",
                        invoice=move.display_name,
                        again=again.display_name,
                    )
                )

    def _invoice_paid_hook(self):
        """Override of `account` to open the next milestone when one is paid."""
        result = super()._invoice_paid_hook()
        paid = self.filtered(lambda move: move.milestone_document == "stage" and move.milestone_claim)
        paid.milestone_line_id.sudo()._on_paid()
        credits = self.filtered(lambda move: move.milestone_document == "credit")
        credits.filtered(lambda move: move.move_type == "out_refund")._log_refunded()
        return result

    def _log_refunded(self):
        """Record that a credit note was paid out; one that only settles its invoice gives no money back."""
        for credit in self.sudo():
            payments = credit._get_reconciled_amls().move_id.filtered(lambda move: not move.is_invoice())
            if payments:
                credit.milestone_line_id._log_evidence(
                    "payment.refunded",
                    data={**credit._prepare_evidence_data(), "references": payments.mapped("name")},
                )

    # === STATEMENT ===

    def _prepare_earlier_invoice_row(self):
        """Give the figures of this document as a final invoice lists them; see `_get_earlier_invoices`.

        A release asks for what earlier invoices have billed: it bills nothing again, and what it asks for is paid when
        it is paid, not when it clears what they held back.

        :rtype: dict
        """
        self.ensure_one()
        sign, again = -self.direction_sign, 0.0
        if "release" in (self.milestone_document, self.reversed_entry_id.milestone_document):
            again = sign * sum(self._get_retainage_items().mapped("amount_currency"))

        def text(amount):
            return self._get_amount_text(sign * amount)

        return {
            "move_id": self.id,
            "line_id": self.milestone_line_id.id,
            "number": self.name,
            "date": self.invoice_date,
            "label": self.milestone_line_id.display_name,
            "net": text(self.amount_untaxed + again),
            "tax": text(self.amount_tax),
            "total": text(self.amount_total + again),
            "paid": self._prepare_account_amounts()["paid"],
        }

    # === EVIDENCE ===

    def _prepare_evidence_data(self):
        """Give the amounts of this document as text, for an evidence entry.

        :rtype: dict
        """
        self.ensure_one()
        text = self._get_amount_text
        return {
            "invoice_ref": self.name or "",
            "amount_untaxed": text(self.amount_untaxed),
            "amount_tax": text(self.amount_tax),
            "amount_total": text(self.amount_total),
            "currency": self.currency_id.name,
        }
