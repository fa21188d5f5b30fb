from . import milestone_billing_batch
