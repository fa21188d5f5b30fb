# Runs in Odoo's shell after the addons are gone: the old order can still be billed and paid by Odoo's own means.
# ruff: noqa: F821 - the shell gives env
from odoo import Command

partner = env["res.partner"].search([("name", "=", "Lifecycle client")], limit=1)
product = env["product.product"].search([("name", "=", "Work")], limit=1)
old = env["sale.order"].search([("partner_id", "=", partner.id)])
assert old.invoice_ids, "the old order has lost its invoices"
posted = old.invoice_ids.filtered(lambda move: move.state == "posted" and move.payment_state == "not_paid")
env["account.payment.register"].with_context(active_model="account.move", active_ids=posted.ids).create(
    {}
)._create_payments()
assert set(posted.mapped("payment_state")) <= {"paid", "in_payment"}, posted.mapped("payment_state")
order = env["sale.order"].create(
    {"partner_id": partner.id, "order_line": [Command.create({"product_id": product.id, "price_unit": 10})]}
)
order.action_confirm()
order.order_line.qty_delivered = 1
invoice = order._create_invoices()
invoice._post()
assert invoice.state == "posted"
