from . import milestone_billing_crypto_assign
