"""Codes and limits that several files share."""

from datetime import timedelta

#: Code of the payment provider; also the prefix of its routes.
PROVIDER_CODE = "stablecoin"
#: Codes of the payment methods which the provider switches on.
DEFAULT_PAYMENT_METHOD_CODES = {"stablecoin"}

#: System parameter: hosts and ports, separated by commas, which a node may have although they are private.
PRIVATE_NODES_PARAMETER = "milestone_billing_crypto.private_nodes"

#: Seconds for connecting, and for each read, of a request to a node.
NODE_TIMEOUT = 20
#: Seconds for the whole answer of a node, however slowly it drips.
NODE_ANSWER_SECONDS = 60
#: Largest answer of a node in bytes: some 100,000 logs of 650 bytes.
NODE_ANSWER_MAX = 64 * 1024 * 1024
#: Wallets stop looking for money after this many unused addresses in a row.
GAP_LIMIT = 20
#: An address may be offered again when it was never paid to and this many days have passed.
ADDRESS_COOL_DOWN_DAYS = 30
#: Steps of the smallest shown decimal that a payment on a shared address may be raised by.
AMOUNT_TAIL_SPAN = 5000
#: A coin's price older than this does not count: quotes stop, and a receipt waits for a person.
COIN_PRICE_AGE_MAX = timedelta(hours=2)
