from . import milestone_billing_certificate
