"""What a message of a payment provider (webhook) tells about itself: its number, and whether it was checked.

Pure rules over what Odoo's own provider addons do with their messages: most refuse one without a good signature before
they touch the transaction, Stripe's checks it only where a secret is set, and some take the message as a hint and ask
the provider themselves. Nothing is known of others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

_PATH = re.compile(r"/payment/([a-z_]+)/(webhook|notification)/?\Z")
# Their controllers answer 403 to a message whose signature or token is wrong.
SIGNED = frozenset(
    (
        "adyen",
        "aps",
        "asiapay",
        "buckaroo",
        "flutterwave",
        "nuvei",
        "paymob",
        "paypal",
        "razorpay",
        "redsys",
        "worldline",
        "xendit",
    )
)
# Checked where this field of the provider is filled.
SIGNED_WITH_SECRET = {"stripe": "stripe_webhook_secret"}
_ID_HEADERS = {"razorpay": "X-Razorpay-Event-Id", "xendit": "webhook-id"}
_ID_IN_BODY = ("stripe", "paypal", "worldline")
ID_SIZE_MAX = 128


class ProviderMessage(NamedTuple):
    """What the evidence of a payment says about the message that changed it.

    ``webhook_verified`` is None for a change that no message brought: a return from checkout, a click of staff.
    """

    webhook_verified: bool | None = None
    provider_event_id: str = ""


NO_MESSAGE = ProviderMessage()


def read_message(
    provider_code: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    payment_data: Mapping,
    has_secret: bool,
) -> ProviderMessage:
    """Return what is known about a message, from the request that carries it.

    :param str path: of the request.
    :param dict payment_data: what the provider's addon made of the message.
    :param bool has_secret: the provider's record holds the secret that ``SIGNED_WITH_SECRET`` names.
    """
    found = _PATH.match(path)
    if not found or found.group(1) != provider_code:
        return NO_MESSAGE
    is_verified = provider_code in SIGNED or (provider_code in SIGNED_WITH_SECRET and has_secret)
    return ProviderMessage(is_verified, _read_id(provider_code, headers, body, payment_data)[:ID_SIZE_MAX])


def _read_id(provider_code: str, headers: Mapping[str, str], body: bytes, payment_data: Mapping) -> str:
    if provider_code in _ID_HEADERS:
        return _clean(headers.get(_ID_HEADERS[provider_code]))
    if provider_code in _ID_IN_BODY:
        try:
            return _clean(json.loads(body)["id"])
        except (ValueError, LookupError, TypeError):
            return ""
    if provider_code == "adyen":
        parts = [_clean(payment_data.get(name)) for name in ("eventCode", "pspReference")]
        return ":".join(parts) if all(parts) else ""
    return ""


def _clean(value) -> str:
    """Return an identifier as printable ASCII; anything else is none."""
    text = str(value or "")
    return text if re.fullmatch(r"[\x21-\x7e]+", text) else ""
