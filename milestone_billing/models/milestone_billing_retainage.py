"""Retainage: what the client holds back of each milestone, and how it is released."""

from fractions import Fraction

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import formatLang

from ..tools.money import fraction, round_half_up, to_float, to_units
from ..tools.retainage import Position, Step, Terms, retain

NOT_RETAINED_KINDS = ("deposit", "retainer", "retainage_release")


class MilestoneBillingRetainageStep(models.Model):
    """A rate of retainage from a percent of completion on."""

    _name = "milestone.billing.retainage.step"
    _description = "Retainage Step"
    _order = "schedule_id, completion, id"

    schedule_id = fields.Many2one("milestone.billing.schedule", required=True, index=True, ondelete="cascade")
    company_id = fields.Many2one(related="schedule_id.company_id", store=True, index=True)
    completion = fields.Float(string="From Completion (%)", digits=(16, 4), required=True)
    percent = fields.Float(string="Retain (%)", digits=(16, 4))
    release_percent = fields.Float(
        string="Release (%)",
        digits=(16, 4),
        help="Part of what is held that is given back when it is reached.",
    )

    _percent_range = models.Constraint(
        "CHECK (completion BETWEEN 0 AND 100 AND percent >= 0 AND percent < 100 "
        "AND release_percent BETWEEN 0 AND 100)",
        "The percentages of a retainage step must be between 0 and 100.",
    )


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    retainage_method = fields.Selection(
        [("stage", "Percent of each milestone"), ("to_date", "Percent of all work to date")],
        default="stage",
        required=True,
        help="A percentage of the work to date is settled again with every milestone: lowering it gives the "
        "difference back with the next invoice.",
    )
    retainage_cap = fields.Monetary(
        string="Retainage Limit",
        help="Nothing more is held back once this amount is reached; 0 means no limit.",
    )
    retainage_stop_percent = fields.Float(
        string="Retain until Completion (%)",
        digits=(16, 4),
        help="Work beyond this percentage of the contract is billed without retainage; 0 means to the end.",
    )
    retainage_step_ids = fields.One2many(
        "milestone.billing.retainage.step", "schedule_id", string="Retainage Steps"
    )
    retainage_due_days = fields.Integer(
        default=365, help="Days after the invoice on which what is held back is expected to be due."
    )
    retainage_account_id = fields.Many2one(
        "account.account",
        readonly=True,
        copy=False,
        help="Where the retainage of this order stands: all its documents stay on the account that the first one used.",
    )
    amount_retained = fields.Monetary(
        string="Retainage Held",
        compute="_compute_amount_retained",
        compute_sudo=True,
        help="What the client holds back now on posted documents.",
    )

    _retainage_limits = models.Constraint(
        "CHECK (retainage_cap >= 0 AND retainage_stop_percent >= 0 AND retainage_stop_percent <= 100 "
        "AND retainage_due_days >= 0)",
        "The limits of the retainage cannot be negative, nor its completion above 100 %.",
    )

    @api.depends(
        "line_ids.invoice_ids.amount_retained", "line_ids.invoice_ids.state", "opening_ids.amount_retained"
    )
    def _compute_amount_retained(self):
        for schedule in self:
            # Below zero while an invoice whose retainage was released is back in draft: then nothing is held.
            held = max(schedule._get_held_units(), 0)
            schedule.amount_retained = to_float(held, schedule.currency_id.rounding)

    # === WHAT A DOCUMENT HOLDS BACK ===

    def _get_retainage_account(self):
        """Give the account of this order's retainage; it stays when the company chooses another one.

        :rtype: account.account
        """
        self.ensure_one()
        schedule = self.sudo()
        if not schedule.retainage_account_id:
            schedule.retainage_account_id = schedule.company_id._get_milestone_retainage_account()
        return schedule.retainage_account_id

    def _get_retainage_terms(self):
        """Read the agreed retainage for the engine.

        :rtype: Terms
        """
        self.ensure_one()
        stop = self.retainage_stop_percent
        return Terms(
            rate=fraction(self.retainage_percent) / 100,
            to_date=self.retainage_method == "to_date",
            cap=to_units(self.retainage_cap, self.currency_id.rounding) if self.retainage_cap else None,
            stop=fraction(stop) / 100 if stop else None,
            steps=tuple(
                Step(
                    fraction(s.completion) / 100, fraction(s.percent) / 100, fraction(s.release_percent) / 100
                )
                for s in self.retainage_step_ids
            ),
        )

    def _get_retainage_position(self):
        """Read where the contract stands from its documents, drafts included.

        :rtype: Position
        """
        self.ensure_one()
        rounding, gross = self.currency_id.rounding, self.retainage_base == "gross"
        moves = self._get_documents()
        release = moves.filtered(lambda move: move.milestone_line_id.kind == "retainage_release")
        work = self.line_ids.allocation_ids.filtered(
            lambda alloc: alloc._is_billed() and alloc.line_id.kind not in NOT_RETAINED_KINDS
        )
        before = self._get_retained_before_units()
        columns = self._get_order_columns(self.order_id)
        contract = sum(units["net"] for units in columns.values())
        if gross:
            contract += sum(
                units[part]
                for line, units in columns.items()
                for part in units
                if part[0] == "t" and int(part[1:]) not in line._get_exempt_tax_ids()
            )
        return Position(
            contract=contract,
            before=sum(alloc._get_retainage_base_units(gross) for alloc in work),
            withheld=before + sum(to_units(move.amount_retained, rounding) for move in moves - release),
            held=before + sum(to_units(move.amount_retained, rounding) for move in moves),
        )

    def _retain(self, lines):
        """Compute what the next documents of milestones hold back, one after the other.

        :param lines: milestones of this schedule in billing order, not billed yet.
        :return: ``{milestone: units}``
        :rtype: dict
        """
        self.ensure_one()
        terms, position, parts = self._get_retainage_terms(), self._get_retainage_position(), {}
        gross = self.retainage_base == "gross"
        for line in lines.filtered(lambda line: line.kind not in NOT_RETAINED_KINDS):
            planned = line.allocation_ids._filter_planned()
            work = sum(alloc._get_retainage_base_units(gross) for alloc in planned)
            part = parts[line] = retain(terms, position, work)
            position = Position(
                contract=position.contract,
                before=position.before + work,
                withheld=position.withheld + part,
                held=position.held + part,
            )
        return parts

    # === RELEASE ===

    def release_retainage(self, amount=None, percent=None, idempotency_key=None):
        """Release what the client holds back, in part or whole, with a document of its own.

        The document asks for the amount and clears the retainage account; it is no revenue. Where the tax on what is
        held back waits for the release, the document asks for that tax as well.

        :param amount: how much, number or decimal text in the currency of the order.
        :param percent: how much of what is held, 0 to 100; everything when neither is given.
        :param str idempotency_key: the same key with the same arguments gives the same answer.
        :return: ``{"invoice_id", "amount"}``, `amount` as the document asks for it.
        :rtype: dict
        :raise AccessError: for anybody but billing users.
        :raise UserError: if nothing is held, more is asked than is held, or defects are open.
        """
        self.ensure_one()
        self._check_may_release()
        return self.env["milestone.billing.idempotency"]._answer_once(
            idempotency_key,
            "release_retainage",
            [self.id, amount, percent],
            lambda: self.sudo()._release(amount, percent),
        )

    def _release(self, amount, percent):
        self._lock()
        units = self._get_release_units(amount, percent)
        line = self.env["milestone.billing.line"].create(self._prepare_release_line_values(units))
        line._complete(trigger="release")
        invoice = line._get_live_invoice()
        return {"invoice_id": invoice.id, "amount": invoice.amount_total}

    def _check_may_release(self):
        if self.env.su:
            return
        self.check_access("write")
        if not self.env.user.has_group("milestone_billing.milestone_billing_group_billing_user"):
            raise AccessError(
                self.env._("Only billing users may release retainage. Ask your billing manager.")
            )

    def _prepare_release_line_values(self, units):
        """Give the values of the milestone that carries a release.

        :rtype: dict
        """
        return {
            "order_id": self.order_id.id,
            "schedule_id": self.id,
            "name": self.env._("Retainage release"),
            "kind": "retainage_release",
            "sequence": max(self.line_ids.mapped("sequence"), default=0) + 10,
            "amount_type": "fixed",
            "amount_fixed": to_float(units, self.currency_id.rounding),
            "approval_required": False,
        }

    def _get_held_units(self, with_drafts=True):
        """Give what can be released: held on posted documents and outside, less releases that are drafted already.

        Drafts take no more than is held: what they counted on may be gone, or back in draft itself.

        :param bool with_drafts: count drafted releases; else what is held until they are issued.
        :rtype: int
        """
        self.ensure_one()
        moves, rounding = self._get_held_documents(), self.currency_id.rounding
        posted = moves.filtered(lambda move: move.state == "posted")
        held = sum(to_units(move.amount_retained, rounding) for move in posted)
        held += self._get_retained_before_units()
        if not with_drafts:
            return held
        drafted = -sum(to_units(move.amount_retained, rounding) for move in moves - posted)
        return held - min(drafted, max(held, 0))

    def _get_held_documents(self):
        """Give the documents that say what can be released: the posted ones, and drafts of releases."""
        return self.line_ids.invoice_ids.filtered(
            lambda move: (
                move.state == "posted" or (move.state == "draft" and move.milestone_document == "release")
            )
        )

    def _get_release_units(self, amount=None, percent=None):
        """Read and check how much is to be released.

        :rtype: int
        """
        held, rounding = self._get_held_units(), self.currency_id.rounding
        try:
            share = Fraction(100) if percent is None else fraction(percent)
            units = round_half_up(held * share / 100) if amount is None else to_units(amount, rounding)
        except (ArithmeticError, ValueError):
            raise UserError(
                self.env._(
                    "“%s” is not an amount. Send a decimal number.", percent if amount is None else amount
                )
            ) from None
        self._check_release(units, held)
        return units

    def _check_release(self, units, held):
        rounding = self.currency_id.rounding

        def text(count):
            return formatLang(self.env, to_float(count, rounding), currency_obj=self.currency_id)

        if held <= 0:
            raise UserError(
                self.env._("No retainage is held on %s. Nothing can be released.", self.order_id.name)
            )
        if units <= 0 or units > held:
            raise UserError(
                self.env._(
                    "%(held)s of retainage is held on %(order)s, %(asked)s cannot be released. Release at most what is held.",
                    held=text(held),
                    order=self.order_id.name,
                    asked=text(units),
                )
            )

    def _get_open_defects(self):
        """Give the punch-list tasks that are still open; retainage is not released before they are closed.

        :rtype: project.task
        """
        self.ensure_one()
        lines = self.sudo().line_ids
        return (lines.task_ids | lines.project_milestone_id.task_ids).filtered(
            lambda task: task.is_milestone_defect and not task.is_closed
        )


class MilestoneBillingAllocation(models.Model):
    _inherit = "milestone.billing.allocation"

    def _get_retainage_base_units(self, gross):
        self.ensure_one()
        amount = self.amount_untaxed + (self.amount_tax if gross else 0.0)
        return to_units(amount, self.currency_id.rounding)


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _get_retained_units(self):
        """Compute what the next document of each milestone holds back.

        :return: ``{milestone: units}``, only milestones with retainage.
        :rtype: dict
        """
        parts = {}
        for schedule, lines in self.grouped("schedule_id").items():
            if (
                schedule.retainage_percent
                or schedule.retainage_step_ids
                or schedule.retainage_method == "to_date"
            ):
                parts.update(schedule._retain(lines))
        return {line: units for line, units in parts.items() if units}

    def _get_planned_release_units(self):
        """Give what a planned release would release now, never more than is held."""
        self.ensure_one()
        held = max(self.schedule_id._get_held_units(), 0)
        if self.amount_type == "fixed":
            return min(to_units(self.amount_fixed, self.currency_id.rounding), held)
        if self.amount_type == "percent" and self.percent:
            return round_half_up(held * fraction(self.percent) / 100)
        return held

    def _get_release_obstacle(self):
        """Say why this release has to wait, if it has to."""
        self.ensure_one()
        if self._get_planned_release_units() <= 0:
            return self.env._("“%s” waits for retainage: nothing is held yet.", self.name)
        if self.amount_type == "fixed" and self._get_planned_release_units() < to_units(
            self.amount_fixed, self.currency_id.rounding
        ):
            return self.env._("“%s” asks for more than the retainage that is held.", self.name)
        if defects := self.schedule_id._get_open_defects():
            return self.env._(
                "“%(name)s” waits for open defects: %(defects)s. Close these tasks first.",
                name=self.name,
                defects=", ".join(defects.mapped("name")),
            )
        return False

    def _prepare_release_values(self):
        """Give the values of the document that asks for released retainage.

        :rtype: dict
        """
        self.ensure_one()
        amount = to_float(self._get_planned_release_units(), self.currency_id.rounding)
        values = {
            **self.order_id._prepare_invoice(),
            "milestone_line_id": self.id,
            "milestone_document": "release",
            "milestone_step": self.schedule_id.lock_version,
            "amount_retained": -amount,
            "transaction_ids": [],
        }
        if self.schedule_id.retainage_tax == "release":
            self._add_taxed_retainage(values, self._prepare_release_parts(), 1)
        else:
            line_values = self._prepare_retainage_line_values(amount, sequence=1)
            values["invoice_line_ids"] = [fields.Command.create(line_values)]
        return values

    def _prepare_retainage_line_values(self, amount, sequence):
        """Give the invoice line that gives retainage back: on the retainage account, without tax.

        :param float amount: what is given back, in the currency of the order.
        :rtype: dict
        """
        account = self.schedule_id._get_retainage_account()
        return {
            "display_type": "product",
            "name": self.env._("Retainage released, %s", self.order_id.name),
            "sequence": sequence,
            "account_id": account.id,
            "quantity": 1.0,
            "price_unit": amount,
            "tax_ids": [fields.Command.clear()],
            "analytic_distribution": False,
            "milestone_retainage": True,
        }
