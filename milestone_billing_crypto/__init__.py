from odoo.addons.payment import reset_payment_provider, setup_provider

from . import controllers, models, report, wizard
from .const import PROVIDER_CODE


def post_init_hook(env):
    """Set up the provider and its accounting payment method."""
    setup_provider(env, PROVIDER_CODE)


def uninstall_hook(env):
    """Disable the provider and take its code away; what past transactions name stays, as an ordinary record."""
    reset_payment_provider(env, PROVIDER_CODE)
    _release_used_records(env)


def _release_used_records(env):
    """Take the XML ids off provider and method where transactions refer to them: those cannot be deleted."""
    used = {"payment_provider_stablecoin": "provider_id", "payment_method_stablecoin": "payment_method_id"}
    for name, field in used.items():
        record = env.ref(f"milestone_billing_crypto.{name}", raise_if_not_found=False)
        transactions = env["payment.transaction"].sudo()
        if not record or not transactions.search_count([(field, "=", record.id)], limit=1):
            continue
        domain = [("module", "=", "milestone_billing_crypto"), ("name", "=", name)]
        env["ir.model.data"].sudo().search(domain).unlink()
        if record._name == "payment.method":
            record.sudo().active = False
