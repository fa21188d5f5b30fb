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
        "security/milestone_billing_approval_security.xml",
        "security/milestone_billing_webhook_security.xml",
        "security/milestone_billing_reminder_security.xml",
        "security/milestone_billing_report_security.xml",
        "security/milestone_billing_change_security.xml",
        # Data
        "data/ir_cron_data.xml",
        "data/ir_cron_approval_data.xml",
        "data/mail_template_data.xml",
        "data/ir_cron_evidence_data.xml",
        # Reports
        "report/milestone_billing_certificate_templates.xml",
        "report/milestone_billing_paper_templates.xml",
        "data/milestone_billing_webhook_data.xml",
        "data/milestone_billing_reminder_data.xml",
        "data/milestone_billing_change_data.xml",
        "data/milestone_billing_template_data.xml",
        # Wizards: their actions are used by views
        "wizard/milestone_billing_batch_views.xml",
        "wizard/milestone_billing_on_behalf_views.xml",
        "wizard/milestone_billing_release_views.xml",
        # Views, one file per model
        "views/milestone_billing_template_views.xml",
        "views/milestone_billing_line_views.xml",
        "views/milestone_billing_schedule_views.xml",
        "views/milestone_billing_approval_views.xml",
        "views/sale_order_views.xml",
        "views/account_move_views.xml",
        "views/project_project_views.xml",
        "views/project_milestone_views.xml",
        "views/project_task_views.xml",
        "views/project_task_type_views.xml",
        "views/res_partner_views.xml",
        "views/res_config_settings_views.xml",
        "views/milestone_billing_webhook_views.xml",
        "views/milestone_billing_reminder_views.xml",
        "views/milestone_billing_change_views.xml",
        # Pages for clients
        "views/milestone_billing_portal_review_templates.xml",
        "views/milestone_billing_portal_decision_templates.xml",
        "views/milestone_billing_portal_link_templates.xml",
        "views/milestone_billing_portal_list_templates.xml",
        "views/milestone_billing_reminder_templates.xml",
        "views/milestone_billing_portal_change_templates.xml",
        "views/milestone_billing_ledger_views.xml",
        "views/milestone_billing_workbook_views.xml",
        # Menus come last: they name the actions above.
        "views/milestone_billing_menus.xml",
        # Its menus stand below Reporting.
        "views/milestone_billing_evidence_views.xml",
    ],
    "demo": [
        "demo/milestone_billing_demo_people.xml",
        # The stories name the people, and the second one the task stages of the first.
        "demo/milestone_billing_demo_web.xml",
        "demo/milestone_billing_demo_building.xml",
    ],
    "assets": {
        "web.assets_frontend": [
            "milestone_billing/static/src/scss/milestone_billing_portal.scss",
            "milestone_billing/static/src/interactions/milestone_review.js",
        ],
        "web.assets_tests": [
            "milestone_billing/static/tests/tours/*",
        ],
        "web.assets_backend": [
            "milestone_billing/static/src/proof/*",
            "milestone_billing/static/src/dashboard/*",
        ],
    },
    "uninstall_hook": "uninstall_hook",
    "application": True,
}
