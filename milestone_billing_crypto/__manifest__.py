{
    "name": "Milestone Billing: Stablecoins",
    "summary": "Take stablecoins on EVM networks straight to your own wallet",
    "version": "19.0.1.0.0",
    "category": "Accounting/Payment Providers",
    "author": "Milestone Billing contributors",
    "license": "LGPL-3",
    "depends": ["account_payment", "milestone_billing"],
    "external_dependencies": {"python": ["bip32", "coincurve", "pycryptodome", "qrcode", "requests"]},
    "data": [
        # Security first: views and crons name the groups.
        "security/milestone_billing_crypto_groups.xml",
        "security/milestone_billing_crypto_security.xml",
        "security/ir.model.access.csv",
        # Networks before the tokens on them.
        "data/milestone_billing_crypto_chain_data.xml",
        "data/milestone_billing_crypto_token_data.xml",
        "data/ir_cron_data.xml",
        # QWeb templates before the provider that names the redirect form.
        "views/payment_crypto_templates.xml",
        "views/portal_wallet_templates.xml",
        "data/payment_method_data.xml",
        "data/payment_provider_data.xml",
        # The receipt's form names this wizard's action.
        "wizard/milestone_billing_crypto_assign_views.xml",
        "wizard/milestone_billing_crypto_anchor_views.xml",
        # Backend views, menus last.
        "views/milestone_billing_crypto_chain_views.xml",
        "views/milestone_billing_crypto_token_views.xml",
        "views/milestone_billing_crypto_wallet_views.xml",
        "views/milestone_billing_crypto_payment_views.xml",
        "views/milestone_billing_crypto_transfer_views.xml",
        "views/milestone_billing_crypto_balance_views.xml",
        "views/milestone_billing_crypto_proof_views.xml",
        "views/milestone_billing_crypto_refund_views.xml",
        "views/milestone_billing_crypto_sweep_views.xml",
        "views/payment_provider_views.xml",
        "views/milestone_billing_approver_views.xml",
        "views/milestone_billing_crypto_menus.xml",
    ],
    "assets": {
        "web.assets_frontend": [
            "milestone_billing_crypto/static/src/interactions/stablecoin_checkout.js",
            "milestone_billing_crypto/static/src/interactions/wallet_approval.js",
            "milestone_billing_crypto/static/src/scss/stablecoin_checkout.scss",
        ],
    },
    "post_init_hook": "post_init_hook",
    "uninstall_hook": "uninstall_hook",
}
