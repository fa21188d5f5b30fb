"""Outgoing webhooks: identity of events, signature and waiting times.

The headers follow the open "Standard Webhooks" specification (https://www.standardwebhooks.com), so that
receivers can check them with any of its libraries.
"""

import base64
import hashlib
import hmac
import uuid

SECRET_PREFIX = "whsec_"
# Minutes until the next try, after the first, second, ... failure; then the delivery is given up.
RETRY_MINUTES = (1, 5, 30, 120, 300, 600, 600)


def make_secret(random_bytes: bytes) -> str:
    """Write a signing key as text.

    :param bytes random_bytes: 24 to 64 bytes from a secure source.
    :raise ValueError: for any other length.
    """
    if not 24 <= len(random_bytes) <= 64:
        raise ValueError("a webhook secret has 24 to 64 bytes")
    return SECRET_PREFIX + base64.b64encode(random_bytes).decode()


def signature(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """Sign one delivery: HMAC-SHA256 over ``id.timestamp.body``.

    :param str secret: as made by `make_secret`.
    :param int timestamp: seconds since 1970; receivers refuse old ones.
    :return: value of the header ``webhook-signature``.
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def headers(secret: str, event_id: str, timestamp: int, body: bytes) -> dict:
    """Give the headers that identify and sign one delivery."""
    return {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, event_id, timestamp, body),
    }


def event_uuid(chain_id: str, event: str, key: str) -> str:
    """Name an event: the same fact has the same id, however often it is reported.

    :param str chain_id: evidence chain of the milestone.
    :param str event: e.g. ``milestone.paid``.
    :param str key: what tells two events of this kind apart: the invoice or the revision.
    """
    return str(uuid.uuid5(uuid.UUID(chain_id), f"{event}|{key}"))


def retry_minutes(failures: int) -> int | None:
    """Give the minutes to wait after a number of failures, or None to give up.

    :param int failures: one or more.
    """
    return RETRY_MINUTES[failures - 1] if failures <= len(RETRY_MINUTES) else None
