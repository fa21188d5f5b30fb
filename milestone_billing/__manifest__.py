{
    "name": "Milestone Billing",
    "summary": "Bill project work by stages that the client reviews, approves and pays",
    "version": "19.0.1.0.0",
    "category": "Sales/Sales",
    "author": "Milestone Billing contributors",
    "license": "LGPL-3",
    "depends": [
        "sale_project",
        "account_payment",
        "portal",
        "sms",
        "auth_passkey",
    ],
    "data": [
        # Groups come first: access rights and rules refer to them.
        "security/milestone_billing_groups.xml",
        "security/ir.model.access.csv",
        "security/milestone_billing_security.xml",
        "security/milestone_billing_evidence_security.xml",
        "security/milestone_billing_webhook_security.xml",
        # Data
        "data/ir_cron_data.xml",
        "data/milestone_billing_webhook_data.xml",
        "views/milestone_billing_webhook_views.xml",
    ],
    "application": True,
}
