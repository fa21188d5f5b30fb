from markupsafe import Markup
from odoo import Command, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import formatLang

from ..models.milestone_billing_line_state import INTERNAL_WRITE

KINDS = [
    ("draft", "Draft"),
    ("stage", "Invoice"),
    ("deposit", "Deposit not earned"),
    ("before", "Billed before"),
    ("retainage", "Retainage held"),
    ("unbilled", "Not billed"),
]
FIGURES = ("kind", "line_id", "move_id", "amount_untaxed", "amount_tax", "amount_total", "amount_open")


class MilestoneBillingEnd(models.TransientModel):
    """The guided end of a contract: each open position with its figures, and what becomes of it."""

    _name = "milestone.billing.end"
    _description = "End Contract"

    schedule_id = fields.Many2one("milestone.billing.schedule", required=True, ondelete="cascade")
    order_id = fields.Many2one(related="schedule_id.order_id")
    currency_id = fields.Many2one(related="schedule_id.currency_id")
    reason = fields.Text(help="Why the contract ends; it stays with the order.")
    row_ids = fields.One2many("milestone.billing.end.row", "wizard_id")
    draft_ids = fields.One2many("milestone.billing.end.row", "wizard_id", domain=[("kind", "=", "draft")])
    stage_ids = fields.One2many("milestone.billing.end.row", "wizard_id", domain=[("kind", "=", "stage")])
    deposit_ids = fields.One2many("milestone.billing.end.row", "wizard_id", domain=[("kind", "=", "deposit")])
    before_ids = fields.One2many("milestone.billing.end.row", "wizard_id", domain=[("kind", "=", "before")])
    unbilled_ids = fields.One2many(
        "milestone.billing.end.row", "wizard_id", domain=[("kind", "=", "unbilled")]
    )
    amount_retained = fields.Monetary(compute="_compute_amount_retained", string="Held Back Now")
    has_retainage = fields.Boolean(readonly=True)
    retainage_choice = fields.Selection(
        [
            ("release", "Ask for it now"),
            ("keep", "Leave it held, release it later"),
            ("credit", "Credit it, the client keeps it"),
        ],
        string="Retainage",
        default="release",
        required=True,
    )

    has_forfeit = fields.Boolean(compute="_compute_has_forfeit")
    forfeit_account_id = fields.Many2one(
        "account.account",
        string="Income Account",
        compute="_compute_forfeit_account_id",
        store=True,
        readonly=False,
        domain="[('account_type', 'in', ('income', 'income_other'))]",
        help="Where a deposit that is kept as a penalty is earned.",
    )
    forfeit_tax = fields.Selection(
        [("keep", "The penalty is taxed as the deposit was"), ("credit", "A penalty is not taxed here")],
        string="Tax",
        default="keep",
        required=True,
        help="Whether a deposit that is kept as a penalty is taxed is national law. Ask your accountant.",
    )

    @api.depends("deposit_ids.deposit_choice")
    def _compute_has_forfeit(self):
        for wizard in self:
            choices = wizard.deposit_ids.mapped("deposit_choice")
            wizard.has_forfeit = "forfeit" in choices

    @api.depends("row_ids.kind", "row_ids.amount_total")
    def _compute_amount_retained(self):
        for wizard in self:
            held = wizard.row_ids.filtered(lambda row: row.kind == "retainage")
            wizard.amount_retained = sum(held.mapped("amount_total"))

    @api.depends("schedule_id")
    def _compute_forfeit_account_id(self):
        """Propose the other income of the company."""
        Account = self.env["account.account"]
        for wizard in self:
            company = wizard.schedule_id.company_id
            domain = [*Account._check_company_domain(company), ("account_type", "=", "income_other")]
            wizard.forfeit_account_id = Account.search(domain, limit=1)

    @api.model
    def _open(self, order):
        """Make the wizard for a contract and give the action that shows it.

        :rtype: dict
        :raise UserError: if the contract cannot be ended by this user or in this state.
        """
        schedule = order.milestone_schedule_id
        schedule._check_may_end()
        positions = schedule.sudo()._get_end_positions()
        wizard = self.create(
            {
                "schedule_id": schedule.id,
                "has_retainage": any(position["kind"] == "retainage" for position in positions),
                "row_ids": [Command.create(position) for position in positions],
            }
        )
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("End Contract %s", order.name),
            "res_model": self._name,
            "res_id": wizard.id,
            "views": [(False, "form")],
            "target": "new",
            "context": {"dialog_size": "extra-large"},
        }

    def action_end(self):
        """Settle every position as chosen and cancel the order; all of it, or nothing when one is refused.

        :raise AccessError: for anybody but billing users.
        :raise UserError: if a choice is not possible, or the contract has changed since the wizard was opened.
        """
        self.ensure_one()
        self.schedule_id._check_may_end()
        wizard = self.sudo()
        with self.env.cr.savepoint():
            wizard.schedule_id._lock()
            wizard._check_unchanged()
            touched = wizard._settle_positions()
            wizard._close_contract(touched)
        return {
            "type": "ir.actions.act_window",
            "res_model": "sale.order",
            "res_id": self.order_id.id,
            "views": [(False, "form")],
        }

    # === STEPS ===

    def _check_unchanged(self):
        """Refuse to act on figures that are not what the user has seen."""
        now = [self._get_figures(position) for position in self.schedule_id._get_end_positions()]
        seen = [self._get_figures(row._read_figures()) for row in self.row_ids.sorted("id")]
        if now != seen:
            raise UserError(
                self.env._(
                    "%s has changed since this was opened. Close it and open it again.", self.order_id.name
                )
            )

    def _get_figures(self, values):
        rounded = self.currency_id.round
        return tuple(rounded(values[name]) if name.startswith("amount") else values[name] for name in FIGURES)

    def _settle_positions(self):
        """Do what was chosen, in the order in which one thing depends on another.

        :return: the milestones that changed, with what was done.
        :rtype: dict
        """
        touched = {}
        self._settle_drafts(touched)
        chosen = self.row_ids.filtered(lambda row: row.kind == "stage" and row.stage_choice == "credit")
        chosen.move_id._credit_whole()
        chosen._note(touched)
        self._settle_deposits(touched)
        self._settle_retainage(touched)
        for line in self.schedule_id.line_ids._close():
            touched.setdefault(line, []).append("cancelled")
        return touched

    def _settle_drafts(self, touched):
        rows = self.row_ids.filtered(lambda row: row.kind == "draft")
        kept = rows.filtered(lambda row: row.draft_choice == "post").move_id
        # Also one that is dated ahead or waits for its day: left a draft, it would be cancelled with the order.
        kept.filtered(lambda move: move.auto_post != "no").auto_post = "no"
        kept._post(soft=False)
        drafts = rows.filtered(lambda row: row.draft_choice == "cancel").move_id
        for move in drafts.sorted("milestone_step", reverse=True):
            move.button_cancel()
        rows._note(touched)

    def _settle_deposits(self, touched):
        """Credit, earn or keep what is left of advances; credit notes of stages may have given some of it back."""
        schedule = self.schedule_id
        rows = self.row_ids.filtered(lambda row: row.kind == "deposit")
        for row in rows.filtered(lambda row: row.deposit_choice == "credit"):
            schedule._credit_unearned(row.line_id)
        for row in rows.filtered(lambda row: row.deposit_choice == "forfeit"):
            self._check_forfeit_account()
            schedule._forfeit_deposit(row.line_id, self.forfeit_account_id, self.forfeit_tax == "keep")
        left = schedule._get_unearned_deposits()
        if foreign := [line for line in left if line not in rows.line_id]:
            raise UserError(
                self.env._(
                    "With what you credit, deposit “%s” is not earned any more. Credit the invoices that deduct it "
                    "first, open this again and decide about the deposit.",
                    foreign[0].name,
                )
            )
        if move := schedule._earn_deposits():
            touched.setdefault(move.milestone_line_id, []).append("earned")
        rows._note(touched)

    def _check_forfeit_account(self):
        if not self.forfeit_account_id:
            raise UserError(self.env._("Choose the income account of the deposit that is kept as a penalty."))

    def _settle_retainage(self, touched):
        schedule = self.schedule_id
        if not self.has_retainage or schedule._get_held_units() <= 0:
            return
        if self.retainage_choice == "release":
            move = self.env["account.move"].browse(schedule.release_retainage()["invoice_id"])
            if move.state == "draft":
                move._post()
            touched.setdefault(move.milestone_line_id, []).append("released")
        elif self.retainage_choice == "credit":
            for line in schedule._credit_retainage().milestone_line_id:
                touched.setdefault(line, []).append("retainage credited")

    def _close_contract(self, touched):
        """Cancel the order, record what was done and see that statement and ledger agree."""
        schedule, order = self.schedule_id, self.order_id
        order.with_context(milestone_internal_write=INTERNAL_WRITE).action_cancel()
        schedule.ended_on = schedule.company_id._get_milestone_today()
        schedule._lock()
        schedule._note_position()
        lines = self.env["milestone.billing.line"].union(*touched)
        lines._log_evidence("contract.ended", data=lambda line: {"done": touched[line]})
        order.message_post(body=self._get_closing_note())
        result = schedule.tie_out()
        if not result["ok"]:
            raise UserError(
                self.env._(
                    "The statement would not agree with the ledger: %s Nothing was changed.",
                    " ".join(row["message"] for row in result["differences"]),
                )
            )

    # === CLOSING NOTE ===

    def _get_closing_note(self):
        rows = [
            Markup("<li>%s</li>") % row._get_note_text()
            for row in self.row_ids.sorted("id")
            if row.kind != "retainage"
        ]
        if self.has_retainage:
            label = dict(self._fields["retainage_choice"]._description_selection(self.env))
            held = self.row_ids.filtered(lambda row: row.kind == "retainage")
            text = f"{held._get_title()}: {label[self.retainage_choice]}"
            rows.append(Markup("<li>%s</li>") % text)
        head = Markup("<p>%s</p>") % self.env._("The contract has ended. What became of each position:")
        why = Markup("<p>%s</p>") % self.reason if self.reason else Markup()
        return head + why + Markup("<ul>%s</ul>") % Markup().join(rows)


class MilestoneBillingEndRow(models.TransientModel):
    """One open position of a contract that ends."""

    _name = "milestone.billing.end.row"
    _description = "End Contract: Position"
    _order = "id"

    wizard_id = fields.Many2one("milestone.billing.end", required=True, ondelete="cascade")
    kind = fields.Selection(KINDS, required=True, readonly=True)
    line_id = fields.Many2one("milestone.billing.line", string="Milestone", readonly=True, ondelete="cascade")
    move_id = fields.Many2one("account.move", string="Document", readonly=True, ondelete="cascade")
    payment_state = fields.Selection(
        lambda self: (
            self.env["milestone.billing.line"]._fields["invoice_status"]._description_selection(self.env)
        ),
        compute="_compute_payment_state",
        string="Payment",
    )
    currency_id = fields.Many2one(related="wizard_id.currency_id")
    amount_untaxed = fields.Monetary(string="Untaxed", readonly=True)
    amount_tax = fields.Monetary(string="Tax", readonly=True)
    amount_total = fields.Monetary(string="Total", readonly=True)
    amount_open = fields.Monetary(string="To Be Paid", readonly=True)
    draft_choice = fields.Selection(
        [("cancel", "Cancel it"), ("post", "Post and keep it")],
        string="What Becomes of the Draft",
        default="cancel",
        required=True,
    )
    stage_choice = fields.Selection(
        [("keep", "Keep it"), ("credit", "Credit it")],
        string="What Becomes of the Invoice",
        default="keep",
        required=True,
    )
    deposit_choice = fields.Selection(
        [
            ("credit", "Credit with its tax"),
            ("earn", "Keep as earned work"),
            ("forfeit", "Keep as a penalty"),
        ],
        string="What Becomes of the Deposit",
        default="credit",
        required=True,
    )

    @api.depends("line_id.invoice_status", "amount_open")
    def _compute_payment_state(self):
        """Follow the milestone; of an invoice that is credited in part, say whether its rest is paid."""
        for row in self:
            status = row.line_id.invoice_status
            is_rest = row.kind == "stage" and not row.move_id.milestone_claim
            row.payment_state = ("posted" if row.amount_open else "paid") if is_rest else status

    def _read_figures(self):
        return {name: self[name].id if name in ("line_id", "move_id") else self[name] for name in FIGURES}

    def _get_choice_field(self):
        return {"draft": "draft_choice", "stage": "stage_choice", "deposit": "deposit_choice"}.get(self.kind)

    def _note(self, touched):
        """Note what is done to the milestones of these positions; what is kept as it is changes nothing."""
        for row in self:
            choice = row[row._get_choice_field()]
            if choice != "keep":
                touched.setdefault(row.line_id, []).append(f"{row.kind} {choice}")

    def _get_title(self):
        label = dict(self._fields["kind"]._description_selection(self.env))[self.kind]
        amount = formatLang(self.env, self.amount_total, currency_obj=self.currency_id)
        names = [name for name in (label, self.line_id.name, self.move_id.name) if name]
        return f"{', '.join(names)}, {amount}"

    def _get_note_text(self):
        name = self._get_choice_field()
        if not name:
            done = (
                self.env._("not billed any more") if self.kind == "unbilled" else self.env._("stays as it is")
            )
            return f"{self._get_title()}: {done}"
        return f"{self._get_title()}: {dict(self._fields[name]._description_selection(self.env))[self[name]]}"
