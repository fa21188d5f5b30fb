# Runs in Odoo's shell: an order in four quarters, one paid, one posted, one drafted, one still to come.
# ruff: noqa: F821 - the shell gives env
from odoo import Command

env.company.milestone_approval_required = False
env["account.chart.template"].try_loading("generic_coa", company=env.company, install_demo=False)
partner = env["res.partner"].create({"name": "Lifecycle client", "email": "life@example.com"})
product = env["product.product"].create(
    {
        "name": "Work",
        "type": "service",
        "list_price": 1000,
        "taxes_id": [],
        "service_tracking": "project_only",
    }
)
template = env["milestone.billing.template"].create(
    {
        "name": "Quarters",
        "line_ids": [
            Command.create(
                {
                    "name": f"Part {number}",
                    "sequence": number,
                    "amount_type": "percent" if number < 4 else "remainder",
                    "percent": 25 if number < 4 else 0,
                    "approval_required": number == 3,
                }
            )
            for number in (1, 2, 3, 4)
        ],
    }
)
order = env["sale.order"].create(
    {
        "partner_id": partner.id,
        "milestone_template_id": template.id,
        "order_line": [
            Command.create(
                {"product_id": product.id, "product_uom_qty": 1, "price_unit": 1000, "tax_ids": []}
            )
        ],
    }
)
order.action_apply_milestone_template()
order.action_confirm()
first, second, third, _fourth = order.milestone_line_ids
for line in (first, second, third):
    line.action_complete()
for line in (first, second):
    if line.invoice_ids.state == "draft":
        line.invoice_ids._post()
env["account.payment.register"].with_context(
    active_model="account.move", active_ids=first.invoice_ids.ids
).create({})._create_payments()
assert first.invoice_status == "paid", first.invoice_status
assert second.invoice_status == "posted", second.invoice_status
assert third.state == "submitted", third.state
env.company.milestone_anchor_email = "evidence@elsewhere.example"
env.company.milestone_stamp_url = "https://stamps.example/tsr"
third._log_evidence("review.presented", pii={"actor_name": "Zoe", "ip": "203.0.113.7"})
env.cr.commit()
env["milestone.billing.evidence.leaf"]._cron_maintain_log()
env.cr.commit()
env["milestone.billing.evidence.stamp"]._queue()
env.cr.commit()
