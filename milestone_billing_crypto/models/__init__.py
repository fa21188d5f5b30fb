from . import (
    milestone_billing_crypto_address,
    milestone_billing_crypto_chain,
    milestone_billing_crypto_chain_watcher,
    milestone_billing_crypto_node,
    milestone_billing_crypto_payment,
    milestone_billing_crypto_quote,
    milestone_billing_crypto_token,
    milestone_billing_crypto_transfer,
    milestone_billing_crypto_transfer_booking,
    milestone_billing_crypto_wallet,
    payment_provider,
    payment_transaction,
)
