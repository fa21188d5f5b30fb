from . import milestone_billing_crypto_anchor
from . import milestone_billing_crypto_assign
