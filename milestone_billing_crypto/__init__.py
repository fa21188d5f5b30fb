from odoo.addons.payment import reset_payment_provider, setup_provider

from . import controllers, models, report, wizard
from .const import PROVIDER_CODE


def post_init_hook(env):
    """Set up the provider and its accounting payment method."""
    setup_provider(env, PROVIDER_CODE)


def uninstall_hook(env):
    """Disable the provider and take its code away."""
    reset_payment_provider(env, PROVIDER_CODE)
