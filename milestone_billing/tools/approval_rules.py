"""Rules of an approval: who may, how sure we must be, and how a form becomes a fingerprint.

Pure data in and out; the caller brings the clock, the records and the secrets.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from decimal import Decimal
from typing import NamedTuple

from .verify import canonical

LEVELS = ("L1", "L2", "L3", "L4")
# Reasons why the server refuses an attempt, with the status it answers.
REFUSALS = {
    "consent_missing": 422,
    "reason_missing": 422,
    "otp_required": 422,
    "not_approver": 403,
    "self_approval": 403,
    "over_limit": 403,
    "level_too_low": 403,
    "stale_snapshot": 409,
    "invoice_drift": 409,
    "superseded": 409,
    "already_decided": 409,
    "key_reused": 409,
    "busy": 409,
    "expired": 410,
    "rate_limited": 429,
}
# A submission in one of these states takes no decision any more, and why.
CLOSED_STATES = {
    "approved": "already_decided",
    "changes_requested": "already_decided",
    "declined": "already_decided",
    "deemed_accepted": "already_decided",
    "contested": "already_decided",
    "expired": "expired",
    "superseded": "superseded",
    "cancelled": "superseded",
}
KEY_PATTERN = re.compile(r"[A-Za-z0-9_-]{8,64}\Z")
_SECRET_PARAMETER = re.compile(r"([?&]k=)[^&\s\"']+")


class Address(NamedTuple):
    """A client address as far as it can be trusted, and how it was learned."""

    ip: str
    how: str


def required_level(amount: Decimal, level2_above: Decimal, level4_above: Decimal | None = None) -> str:
    """Give the assurance level which an amount asks for.

    :param amount: total in company currency.
    :param level2_above: above it a personal link alone is not enough.
    :param level4_above: above it a passkey has to sign; None for never.
    """
    if level4_above is not None and amount > level4_above:
        return "L4"
    return "L2" if amount > level2_above else "L1"


def meets_level(level: str, required: str) -> bool:
    """Tell whether a level of assurance is at least the required one."""
    return LEVELS.index(level) >= LEVELS.index(required)


def needed_approvals(quorum: int, approvers: int, is_second_needed: bool = False) -> int:
    """Give how many different approvers have to say yes.

    :param quorum: as set on the schedule; 0 means all of them.
    :param approvers: how many approvers there are.
    :param is_second_needed: the amount asks for a second pair of eyes.
    """
    needed = quorum or approvers
    return max(1, needed, 2 if is_second_needed else 1)


def within_limit(amount: Decimal, limit: Decimal) -> bool:
    """Tell whether an approver may approve an amount; a limit of 0 is no limit."""
    return not limit or amount <= limit


def fingerprint(form: dict) -> str:
    """Digest what a person decided, so that the same key with another decision is found.

    :param form: plain values; the presentation and the idempotency key are no part of the decision.
    """
    return hashlib.sha256(canonical(form)).hexdigest()


def read_address(remote: str | None, is_proxied: bool) -> Address:
    """Read the address of a client.

    A forwarded header can hold anything; what is not an address is not kept as one.

    :param remote: what the server believes, after its own proxy rules.
    :param is_proxied: the server trusts a proxy and this request came through it.
    """
    try:
        address = ipaddress.ip_address((remote or "").strip())
    except ValueError:
        return Address("", "unparsable")
    if is_proxied:
        return Address(str(address), "proxy_last_hop")
    return Address(str(address), "private" if address.is_private else "direct")


def mask_secret(text: str) -> str:
    """Blank the secret of a review link in a request line."""
    return _SECRET_PARAMETER.sub(r"\1***", text)


def mask_email(address: str) -> str:
    """Show enough of an e-mail address to recognise it: ``z***@client.example``."""
    name, at, domain = (address or "").partition("@")
    return f"{name[:1]}***{at}{domain}" if at else "***"


def mask_phone(number: str) -> str:
    """Show the last two digits of a phone number."""
    digits = re.sub(r"\D", "", number or "")
    return f"***{digits[-2:]}" if len(digits) > 4 else "***"
