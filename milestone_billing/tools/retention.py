"""Which personal values there are, how long each is kept, and who may read it.

Pure data and rules; the periods in days come from the company, the defaults are here.
"""

from __future__ import annotations

from typing import NamedTuple


class RetentionClass(NamedTuple):
    """A class of personal values: its default period in days, counted from the event."""

    code: str
    default_days: int


# The chargeback window of the card schemes is 540 days; 600 leaves time for an answer.
DISPUTE_DAYS_MIN = 600
IDENTITY = RetentionClass("identity", 3 * 365)
NETWORK = RetentionClass("network", DISPUTE_DAYS_MIN)
TECHNICAL = RetentionClass("technical", 180)

PII_CLASS = {
    "account_id": IDENTITY,
    "actor_email": IDENTITY,
    "actor_name": IDENTITY,
    "actor_phone": IDENTITY,
    "reason": IDENTITY,
    "reservation_text": IDENTITY,
    "signature_image_sha256": IDENTITY,
    "to": IDENTITY,
    "typed_name": IDENTITY,
    "wallet_json": IDENTITY,
    "webauthn_json": IDENTITY,
    "accept_language": NETWORK,
    "device_fp": NETWORK,
    "device_id": NETWORK,
    "geo_country": NETWORK,
    "ip": NETWORK,
    "user_agent": NETWORK,
    "client_tz": TECHNICAL,
    "xff_raw": TECHNICAL,
}
# A refused attempt proves little: where it came from goes first.
REFUSED_TYPES = ("approval.refused", "auth.otp_failed")
LENGTH_MAX = {"user_agent": 512, "xff_raw": 256, "accept_language": 256}

# Readers of a bundle, from the widest view to the narrowest.
FULL, DISPUTE, PROJECT, CLIENT = "full", "dispute", "project", "client"
READERS = (FULL, DISPUTE, PROJECT, CLIENT)
_WHO_AND_WHY = frozenset(("actor_name", "typed_name", "reason", "reservation_text"))
_OWN_SIDE = ("link_holder", "portal_user")


def is_disclosed(reader: str, name: str, actor_kind: str, is_own: bool) -> bool:
    """Tell whether a reader's copy discloses a value.

    :param str reader: one of ``READERS``.
    :param str actor_kind: the actor of the event, as in its body.
    :param bool is_own: the actor is the person this copy is for.
    """
    if reader == FULL:
        return True
    if reader == DISPUTE:
        # A card scheme asks for the payer's side, network data included; our own staff's data proves nothing.
        return actor_kind in (*_OWN_SIDE, "provider") or name in _WHO_AND_WHY
    if reader == PROJECT:
        return name in _WHO_AND_WHY
    return is_own or (actor_kind in _OWN_SIDE and name in _WHO_AND_WHY)
