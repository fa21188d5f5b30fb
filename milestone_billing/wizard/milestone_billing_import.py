import base64

from odoo import Command, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError

from ..models.milestone_billing_line import TRIGGERS
from ..tools import import_sheet

PROBLEMS_MAX = 200


class MilestoneBillingImport(models.TransientModel):
    """Customers, orders and schedules from one sheet: tried first, then imported as a whole or not at all."""

    _name = "milestone.billing.import"
    _description = "Import Schedules"

    file = fields.Binary(string="CSV or XLSX", required=True)
    filename = fields.Char()
    is_confirmed = fields.Boolean(string="Confirm the Orders", help="Else they stay quotations.")
    result = fields.Text(readonly=True)

    def action_check(self):
        """Try the import and undo it; the result names every row that cannot be imported."""
        return self._run(is_dry=True)

    def action_import(self):
        """Import everything, or nothing when a row is wrong."""
        return self._run(is_dry=False)

    def _run(self, is_dry):
        self.ensure_one()
        rows = self._read_rows()
        self._check_may_import(rows)
        problems = [self._get_problem_text(item) for item in import_sheet.check(rows, dict(TRIGGERS))]
        orders = self.env["sale.order"]
        if not problems:
            with self.env.cr.savepoint() as savepoint:
                orders, problems = self._create_orders(import_sheet.group(rows))
                if is_dry or problems:
                    savepoint.rollback()
            if is_dry or problems:
                self.env.invalidate_all(flush=False)
        self.result = self._get_result_text(len(orders), len(rows), problems, is_dry)
        if not is_dry and not problems:
            return {
                "type": "ir.actions.act_window",
                "name": self.env._("Imported Orders"),
                "res_model": "sale.order",
                "domain": [("id", "in", orders.ids)],
                "views": [(False, "list"), (False, "form")],
            }
        return {
            "type": "ir.actions.act_window",
            "res_model": self._name,
            "res_id": self.id,
            "views": [(False, "form")],
            "target": "new",
        }

    def _check_may_import(self, rows):
        user = self.env.user
        if not user.has_group("milestone_billing.milestone_billing_group_billing_user"):
            raise AccessError(self.env._("Only billing users may import schedules. Ask one of them."))
        manager = "milestone_billing.milestone_billing_group_billing_manager"
        if any(row.values.get("billed_before") for row in rows) and not user.has_group(manager):
            raise AccessError(
                self.env._(
                    "Only billing managers may import what was billed before. Empty that column, or ask one."
                )
            )

    def _read_rows(self):
        try:
            return import_sheet.read(base64.b64decode(self.file), self.filename or "")
        except import_sheet.SheetError as error:
            texts = {
                "file": self.env._("This is neither a CSV file in UTF-8 nor an XLSX file."),
                "columns": self.env._(
                    "The columns order, milestone and percent are needed. Use the template file."
                ),
                "rows": self.env._("The file is too long. Split it into files of 20,000 rows."),
            }
            raise UserError(texts[error.code]) from None

    def _get_problem_text(self, problem):
        texts = {
            "missing": self.env._("is missing"),
            "number": self.env._("is not a valid number"),
            "date": self.env._("is not a day such as 2026-03-31"),
            "trigger": self.env._("is not a known trigger"),
            "twice": self.env._("takes the rest a second time"),
        }
        return self.env._(
            "Row %(row)s: “%(column)s” %(what)s.",
            row=problem.row,
            column=problem.column,
            what=texts[problem.code],
        )

    def _get_result_text(self, orders, rows, problems, is_dry):
        if problems:
            shown = "\n".join(problems[:PROBLEMS_MAX])
            return self.env._("Nothing was imported. Correct these rows and try again:\n%s", shown)
        if is_dry:
            return self.env._(
                "%(orders)s orders with %(rows)s milestones can be imported.", orders=orders, rows=rows
            )
        return self.env._(
            "%(orders)s orders with %(rows)s milestones were imported.", orders=orders, rows=rows
        )

    # === CREATING ===

    def _create_orders(self, groups):
        """Create the orders one by one; a refusal is noted with its rows.

        :return: the orders, and the problems.
        """
        orders, problems = self.env["sale.order"], []
        partners, products = {}, {}
        for reference, rows in groups.items():
            current_row = [rows[0].number]
            try:
                with self.env.cr.savepoint():
                    orders += self._create_order(reference, rows, partners, products, current_row)
            except (UserError, ValidationError) as error:
                # What was made for this order is gone with it.
                partners.clear()
                label = self.env._("Row %s", current_row[0])
                problems.append(f"{label}: {error}")
        return orders, problems

    def _create_order(self, reference, rows, partners, products, current_row):
        """Create one order with its schedule.

        :param list current_row: its number; kept up to date for the text of a refusal.
        """
        head = rows[0].values
        partner = self._find_partner(head, partners)
        self._check_not_imported(partner, reference)
        product = self._find_product(head["product"], products)
        order = self.env["sale.order"].create(
            {
                "partner_id": partner.id,
                "origin": reference,
                "client_order_ref": reference,
                "order_line": [
                    Command.create(
                        {"product_id": product.id, "price_unit": float(import_sheet.number(head["amount"]))}
                    )
                ],
            }
        )
        order.milestone_line_ids = [
            Command.create(self._prepare_milestone(row, place)) for place, row in enumerate(rows, start=1)
        ]
        order.milestone_line_ids._check_plan_inputs()
        order.milestone_schedule_id._check_fits_order()
        self._create_openings(order, rows, current_row)
        if self.is_confirmed:
            order.action_confirm()
        return order

    def _check_not_imported(self, partner, reference):
        """Refuse an order that is here already: the same file twice would bill it twice.

        :raise UserError: naming the order that is here.
        """
        known = self.env["sale.order"].search(
            [
                ("partner_id", "=", partner.id),
                ("client_order_ref", "=", reference),
                ("company_id", "=", self.env.company.id),
                ("state", "!=", "cancel"),
            ],
            limit=1,
        )
        if known:
            raise UserError(
                self.env._(
                    "“%(reference)s” of %(customer)s is here already: %(order)s. Take its rows out of the file, or "
                    "cancel that order first.",
                    reference=reference,
                    customer=partner.display_name,
                    order=known.name,
                )
            )

    def _create_openings(self, order, rows, current_row):
        """Enter what was billed before; it counts from the confirmation of the order on."""
        lines, first_row = order.milestone_line_ids.sorted("sequence"), current_row[0]
        for line, row in zip(lines, rows, strict=True):
            values = row.values
            if not values.get("billed_before"):
                continue
            current_row[0] = row.number
            self.env["milestone.billing.opening"].create(
                {
                    "line_id": line.id,
                    "reference": values["billed_number"],
                    "date": import_sheet.day(values["billed_on"]),
                    "amount_untaxed": float(import_sheet.number(values["billed_before"])),
                    "amount_retained": float(import_sheet.number(values.get("retained_before") or "0")),
                }
            )
        current_row[0] = first_row

    def _prepare_milestone(self, row, place):
        values = row.values
        is_rest = values["percent"].lower() == import_sheet.REST
        return {
            "sequence": 10 * place,
            "name": values["milestone"],
            "description": values.get("description"),
            "amount_type": "remainder" if is_rest else "percent",
            "percent": 0.0 if is_rest else float(import_sheet.number(values["percent"])),
            "trigger": values.get("trigger") or "manual",
            "trigger_date": import_sheet.day(values.get("date")),
        }

    def _find_partner(self, head, cache):
        key = (head["customer"], head.get("email"))
        if key not in cache:
            Partner = self.env["res.partner"]
            found = head.get("email") and Partner.search(
                [("email_normalized", "=", head["email"].lower())], limit=1
            )
            found = found or Partner.search(
                [("name", "=", head["customer"]), ("parent_id", "=", False)], limit=1
            )
            cache[key] = found or Partner.create(
                {"name": head["customer"], "email": head.get("email"), "is_company": True}
            )
        return cache[key]

    def _find_product(self, name, cache):
        if name not in cache:
            found = self.env["product.product"].search(
                ["|", ("default_code", "=", name), ("name", "=", name)], limit=1
            )
            if not found:
                raise UserError(self.env._("There is no product “%s”. Create it first.", name))
            cache[name] = found
        return cache[name]
