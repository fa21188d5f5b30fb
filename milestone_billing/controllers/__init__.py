from . import milestone_billing_reminder
