from unittest.mock import patch

from odoo import Command
from odoo.addons.account.tests.common import AccountTestInvoicingCommon
from odoo.tests import new_test_user


class ReadyCompanyCommon(AccountTestInvoicingCommon):
    """The company with a chart of accounts that the template database holds ready; elsewhere a new one, as in Odoo."""

    @classmethod
    def _create_company(cls, **create_values):
        if create_values != {"name": "company_1_data"}:
            return super()._create_company(**create_values)
        ready = (
            cls.env["res.company"]
            .sudo()
            .search([("name", "=", "Company of the Tests")], limit=1)
            .with_env(cls.env)
        )
        if not ready:
            return super()._create_company(**create_values)
        cls.env.user.company_ids = [Command.link(ready.id)]
        return ready


class MilestoneBillingCommon(ReadyCompanyCommon):
    """One company with a chart of accounts, three people, and orders with a schedule in one call."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env.user.group_ids += cls.env.ref("milestone_billing.milestone_billing_group_billing_manager")
        cls.company = cls.company_data["company"]
        cls.company.milestone_approval_required = False
        cls.company.milestone_invoice_posting = "always"
        cls.company.milestone_gate = "none"
        cls.client_company = cls.env["res.partner"].create(
            {"name": "Client Ltd", "is_company": True, "email": "office@client.example"}
        )
        cls.contact = cls.env["res.partner"].create(
            {"name": "Zoe Client", "parent_id": cls.client_company.id, "email": "zoe@client.example"}
        )
        cls.service = cls.env["product.product"].create(
            {
                "name": "Website",
                "type": "service",
                "invoice_policy": "order",
                "list_price": 10000.0,
                "taxes_id": [Command.clear()],
            }
        )
        cls.tax_20 = cls.create_tax("VAT 20 %", 20.0)
        cls.project_user = new_test_user(
            cls.env, "project_user", "milestone_billing.milestone_billing_group_project_user"
        )
        cls.billing_user = new_test_user(
            cls.env, "billing_user", "milestone_billing.milestone_billing_group_billing_user"
        )
        for user in (cls.project_user, cls.billing_user):
            user.write({"company_ids": [Command.link(cls.company.id)], "company_id": cls.company.id})

    @classmethod
    def create_template(cls, *lines, **values):
        """Create a template from ``(name, amount_type, value)`` or dictionaries."""
        return cls.env["milestone.billing.template"].create(
            {
                "name": "Test",
                "line_ids": [
                    Command.create({"sequence": 10 * place, **cls._read_line(line)})
                    for place, line in enumerate(lines, start=1)
                ],
                **values,
            }
        )

    @classmethod
    def _read_line(cls, line):
        if isinstance(line, dict):
            return line
        name, amount_type, value = line
        field = "amount_fixed" if amount_type == "fixed" else "percent"
        return {"name": name, "amount_type": amount_type, field: value, "approval_required": False}

    @classmethod
    def create_tax(cls, name, amount, **values):
        """Create a tax on sales."""
        return cls.env["account.tax"].create(
            {"name": name, "amount": amount, "type_tax_use": "sale", "company_id": cls.company.id, **values}
        )

    @classmethod
    def prepare_line(cls, price, taxes=None, quantity=1.0, **values):
        """Give the command that adds a line to an order; without taxes unless told."""
        return Command.create(
            {
                "product_id": cls.service.id,
                "price_unit": price,
                "product_uom_qty": quantity,
                "tax_ids": [Command.set(taxes.ids if taxes else [])],
                **values,
            }
        )

    @classmethod
    def create_order(
        cls, shares=(25, 25, 25, 25), prices=(10000.0,), confirm=True, taxes=None, lines=None, **values
    ):
        """Create an order with a schedule of percentages, the last of which takes the rest."""
        order = cls.env["sale.order"].create(
            {
                "partner_id": cls.client_company.id,
                "order_line": lines or [cls.prepare_line(price, taxes) for price in prices],
                **values,
            }
        )
        last = len(shares) - 1
        order.milestone_line_ids = [
            Command.create(
                {
                    "name": f"Stage {place + 1}",
                    "sequence": 10 * (place + 1),
                    "amount_type": "remainder" if place == last else "percent",
                    "percent": 0.0 if place == last else share,
                    "approval_required": False,
                }
            )
            for place, share in enumerate(shares)
        ]
        if confirm:
            order.action_confirm()
        return order

    @classmethod
    def pay(cls, move):
        """Pay a posted invoice in full."""
        cls.env["account.payment.register"].with_context(
            active_model="account.move", active_ids=move.ids
        ).create({})._create_payments()

    @classmethod
    def open_credit_wizard(cls, move):
        """Give Odoo's own wizard of credit notes, opened on a posted invoice."""
        return (
            cls.env["account.move.reversal"]
            .with_context(active_model="account.move", active_ids=move.ids)
            .create({"journal_id": move.journal_id.id})
        )

    @classmethod
    def no_commits(cls):
        """Run a cron inside the test's transaction: it writes, but does not commit.

        The environment is emptied at the points of commit, so that the cron reads what it has written.
        """

        def commit_progress(cron, _processed=0, **_kwargs):
            cron.env.flush_all()
            cron.env.invalidate_all()
            return float("inf")

        return patch.object(cls.registry["ir.cron"], "_commit_progress", commit_progress)

    def assertConserved(self, order):
        """Billed plus planned equals the order, per order line, untaxed, per tax and in quantity."""
        Schedule = self.env["milestone.billing.schedule"]
        digits = self.env["decimal.precision"].precision_get("Product Unit")
        for order_line, units in Schedule._get_order_columns(order).items():
            total = {}
            for alloc in order_line.milestone_allocation_ids:
                for part, count in alloc._get_units(digits).items():
                    total[part] = total.get(part, 0) + count
            for part, count in units.items():
                self.assertEqual(total.get(part, 0), count, f"{order_line.name}: {part}")

    def assertBilledEqualsOrder(self, order):
        """Invoices less credit notes equal the order to the last unit."""
        moves = order.milestone_line_ids.invoice_ids.filtered(lambda move: move.state == "posted")

        def total(field):
            return sum(-move.direction_sign * move[field] for move in moves)

        currency = order.currency_id
        for field in ("amount_untaxed", "amount_tax", "amount_total"):
            self.assertEqual(currency.compare_amounts(total(field), order[field]), 0, field)
