from odoo import fields, models
from odoo.tools import SQL

FACTS = [
    ("contract", "Contracted"),
    ("planned", "Planned"),
    ("draft", "Draft"),
    ("billed", "Billed"),
    ("before", "Billed Before"),
    ("paid", "Paid"),
    ("open", "To Be Paid"),
    ("retained", "Retained"),
    ("deposit", "Deposits Held"),
]


class MilestoneBillingLedger(models.Model):
    """Every money fact of milestones, one row each, in company currency.

    A view, not a second book: what is billed, paid, open, retained and held comes from posted journal items,
    what is contracted and planned from the orders, what was billed before from the outside invoices. Contracted, planned, draft and billed are without tax.
    """

    _name = "milestone.billing.ledger"
    _description = "Milestone Ledger"
    _auto = False
    _order = "date desc, id desc"
    _rec_name = "fact"
    _depends = {
        "milestone.billing.allocation": ["line_id", "move_id", "opening_id", "amount_untaxed"],
        "milestone.billing.opening": [
            "company_id",
            "order_id",
            "line_id",
            "is_booked",
            "is_advance",
            "amount_untaxed",
            "amount_retained",
            "date",
        ],
        "milestone.billing.line": [
            "state",
            "date_expected",
            "project_id",
            "user_id",
            "partner_id",
            "order_id",
        ],
        "milestone.billing.schedule": ["order_id", "is_frozen"],
        "sale.order": [
            "state",
            "currency_rate",
            "date_order",
            "partner_id",
            "company_id",
            "project_id",
            "user_id",
        ],
        "sale.order.line": ["price_subtotal", "is_milestone_billed", "is_downpayment", "order_id"],
        "account.move": ["state", "milestone_line_id", "milestone_document", "invoice_date", "move_type"],
        "account.move.line": [
            "balance",
            "amount_residual",
            "account_id",
            "date_maturity",
            "display_type",
            "milestone_retainage",
        ],
        "account.partial.reconcile": ["amount", "max_date", "debit_move_id", "credit_move_id"],
        "res.company": ["milestone_retainage_account_id"],
    }

    fact = fields.Selection(FACTS, readonly=True)
    date = fields.Date(readonly=True)
    amount = fields.Monetary(readonly=True, currency_field="currency_id")
    currency_id = fields.Many2one("res.currency", related="company_id.currency_id")
    company_id = fields.Many2one("res.company", readonly=True)
    order_id = fields.Many2one("sale.order", readonly=True)
    line_id = fields.Many2one("milestone.billing.line", string="Milestone", readonly=True)
    move_id = fields.Many2one("account.move", string="Document", readonly=True)
    project_id = fields.Many2one("project.project", readonly=True)
    partner_id = fields.Many2one("res.partner", string="Customer", readonly=True)
    user_id = fields.Many2one("res.users", string="Salesperson", readonly=True)

    @property
    def _table_query(self):
        """Put the facts together; each kind of row has ids of its own (source id times 10, plus the kind)."""
        parts = (
            self._query_contract(),
            self._query_planned(),
            self._query_billed(),
            self._query_paid(),
            self._query_due(),
            self._query_deposits(),
            self._query_before(),
        )
        return SQL(" UNION ALL ").join(parts)

    def _query_contract(self):
        return SQL(
            """
            SELECT item.id::bigint * 10 AS id, 'contract' AS fact, o.date_order::date AS date, o.company_id,
                   o.id AS order_id, NULL::int AS line_id, NULL::int AS move_id, o.project_id, o.partner_id, o.user_id,
                   item.price_subtotal / COALESCE(NULLIF(o.currency_rate::numeric, 0), 1) AS amount
              FROM sale_order_line item
              JOIN sale_order o ON o.id = item.order_id
              JOIN milestone_billing_schedule schedule ON schedule.order_id = o.id AND schedule.is_frozen
             WHERE o.state = 'sale' AND item.is_milestone_billed AND item.display_type IS NULL
            """
        )

    def _query_planned(self):
        return SQL(
            """
            SELECT part.id::bigint * 10 + 1, CASE WHEN part.move_id IS NULL THEN 'planned' ELSE 'draft' END,
                   line.date_expected, o.company_id, o.id, line.id, part.move_id, line.project_id, o.partner_id,
                   o.user_id,
                   part.amount_untaxed / COALESCE(NULLIF(o.currency_rate::numeric, 0), 1)
              FROM milestone_billing_allocation part
              JOIN milestone_billing_line line ON line.id = part.line_id AND line.state != 'cancelled'
              JOIN sale_order o ON o.id = line.order_id AND o.state = 'sale'
              LEFT JOIN account_move move ON move.id = part.move_id
             WHERE (part.move_id IS NULL AND part.opening_id IS NULL) OR move.state = 'draft'
            """
        )

    def _query_billed(self):
        return SQL(
            """
            SELECT item.id::bigint * 10 + 2, 'billed', move.invoice_date, move.company_id, line.order_id, line.id,
                   move.id, line.project_id, line.partner_id, line.user_id, -item.balance
              FROM account_move move
              JOIN milestone_billing_line line ON line.id = move.milestone_line_id
              JOIN account_move_line item ON item.move_id = move.id AND item.display_type = 'product'
             WHERE move.state = 'posted' AND move.milestone_document IN ('stage', 'credit')
               AND item.milestone_retainage IS NOT TRUE
            """
        )

    def _query_paid(self):
        """Payments are reconciliations with anything but other documents: bank, cash, exchange differences apart."""
        return SQL(
            """
            SELECT pair.id::bigint * 10 + side.kind, 'paid', pair.max_date, move.company_id, line.order_id, line.id,
                   move.id, line.project_id, line.partner_id, line.user_id, side.sign * pair.amount
              FROM account_partial_reconcile pair
             CROSS JOIN LATERAL (
                   VALUES (3, 1, pair.debit_move_id, pair.credit_move_id),
                          (4, -1, pair.credit_move_id, pair.debit_move_id)
                   ) side (kind, sign, own_id, other_id)
              JOIN account_move_line own ON own.id = side.own_id
              JOIN account_move move ON move.id = own.move_id AND move.state = 'posted'
              JOIN milestone_billing_line line ON line.id = move.milestone_line_id
              JOIN account_move_line other ON other.id = side.other_id
              JOIN account_move counterpart ON counterpart.id = other.move_id AND counterpart.move_type = 'entry'
             WHERE NOT EXISTS (
                   SELECT FROM account_partial_reconcile gap WHERE gap.exchange_move_id = counterpart.id)
            """
        )

    def _query_due(self):
        """Due lines: those on the retainage account are retained, the others are to be paid."""
        return SQL(
            """
            SELECT item.id::bigint * 10 + 5,
                   CASE WHEN item.account_id = company.milestone_retainage_account_id THEN 'retained' ELSE 'open' END,
                   item.date_maturity, move.company_id, line.order_id, line.id, move.id, line.project_id,
                   line.partner_id, line.user_id,
                   CASE WHEN item.account_id = company.milestone_retainage_account_id THEN item.balance
                        ELSE item.amount_residual END
              FROM account_move move
              JOIN milestone_billing_line line ON line.id = move.milestone_line_id
              JOIN res_company company ON company.id = move.company_id
              JOIN account_move_line item ON item.move_id = move.id
             WHERE move.state = 'posted'
               AND (item.account_id = company.milestone_retainage_account_id
                    OR (item.display_type = 'payment_term' AND item.amount_residual != 0))
            """
        )

    def _query_deposits(self):
        """Advances that later invoices still have to deduct."""
        return SQL(
            """
            SELECT item.id::bigint * 10 + 6, 'deposit', move.invoice_date, move.company_id, o.id,
                   move.milestone_line_id, move.id, o.project_id, o.partner_id, o.user_id, -item.balance
              FROM account_move move
              JOIN account_move_line item ON item.move_id = move.id AND item.display_type = 'product'
              JOIN sale_order_line_invoice_rel link ON link.invoice_line_id = item.id
              JOIN sale_order_line origin ON origin.id = link.order_line_id AND origin.is_downpayment
              JOIN sale_order o ON o.id = origin.order_id AND o.milestone_schedule_id IS NOT NULL
             WHERE move.state = 'posted'
            """
        )

    def _query_before(self):
        """Outside invoices, with the retainage and the advances that are still held of them."""
        return SQL(
            """
            SELECT opening.id::bigint * 10 + fact.kind, fact.name, opening.date, opening.company_id,
                   opening.order_id, line.id, NULL::int, line.project_id, line.partner_id, line.user_id,
                   fact.amount / COALESCE(NULLIF(o.currency_rate::numeric, 0), 1)
              FROM milestone_billing_opening opening
              JOIN milestone_billing_line line ON line.id = opening.line_id
              JOIN sale_order o ON o.id = opening.order_id
             CROSS JOIN LATERAL (
                   VALUES (7, 'before', opening.amount_untaxed),
                          (8, 'retained', opening.amount_retained),
                          (9, 'deposit', CASE WHEN opening.is_advance THEN opening.amount_untaxed END)
                   ) fact (kind, name, amount)
             WHERE opening.is_booked AND fact.amount != 0
            """
        )
