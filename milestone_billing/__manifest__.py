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
    "data": [],
    "application": True,
}
