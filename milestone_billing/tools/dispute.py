"""Files for a card dispute: the fields of Stripe's evidence form and Visa's Compelling Evidence 3.0.

Stripe: https://docs.stripe.com/api/disputes/evidence_object. Visa CE 3.0 asks for two earlier transactions, 120 to 365
days before the dispute, not disputed themselves, that agree with the disputed one in two of account, address,
device and network address, one of which is device or network address.
"""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple

from .evidence_summary import Event, find_value

PRIOR_DAYS_MIN, PRIOR_DAYS_MAX = 120, 365
PRIOR_COUNT_NEEDED = 2
# Characters of one text field of Stripe's form.
STRIPE_TEXT_MAX = 20000
# Of all files together: Mastercard takes 19 pages and charges for more, Stripe 50 pages and 4.5 MB.
PAGES_MAX = 19
SIZE_MAX = 4_500_000
CERTIFICATE_FILE, TIMELINE_FILE = "dispute/certificate.pdf", "dispute/timeline.pdf"
# The form asks for the certificate twice: as a document about the service, and for the customer's signature.
CERTIFICATE_USES = 2
_LOG_TYPES = ("link.", "auth.", "review.", "approval.", "pay.", "payment.")
_STRONG = ("customer_purchase_ip", "customer_device_id", "customer_device_fingerprint")
_MATCHED = (*_STRONG, "customer_account_id", "customer_email_address")
# Visa counts a device once, and its list does not have the e-mail address on its own.
_ELEMENTS = (
    ("customer_purchase_ip",),
    ("customer_device_id", "customer_device_fingerprint"),
    ("customer_account_id",),
)


class Purchase(NamedTuple):
    """One paid milestone: its reference, day of payment, provider reference, and the payer's identifiers."""

    reference: str
    description: str
    paid_on: date
    charge: str
    identifiers: dict[str, str]


def identifiers(events: list[Event]) -> dict[str, str]:
    """Return the payer's identifiers, from the decision and the payment; erased ones are left out."""
    chosen = [event for event in events if event.type.startswith(("approval.granted", "pay."))]
    found = {
        "customer_account_id": find_value(chosen, "account_id"),
        "customer_device_fingerprint": find_value(chosen, "device_fp"),
        "customer_device_id": find_value(chosen, "device_id"),
        "customer_email_address": find_value(chosen, "actor_email") or find_value(events, "to"),
        "customer_purchase_ip": find_value(chosen, "ip"),
    }
    return {name: value for name, value in found.items() if value}


def access_log(events: list[Event]) -> str:
    """Return what the client did, one line an event, cut to what the form takes."""
    lines = []
    for event in events:
        if event.type.startswith(_LOG_TYPES):
            parts = [event.time, event.type, event.pii.get("ip") or "", event.pii.get("user_agent") or ""]
            lines.append("  ".join(filter(None, parts)))
    return "\n".join(lines)[:STRIPE_TEXT_MAX]


def certificate_pages_max(timeline_pages: int) -> int:
    """Return how many pages the certificate may have beside a timeline, so that all fits with every scheme."""
    return max(1, (PAGES_MAX - timeline_pages) // CERTIFICATE_USES)


def check_limits(certificate: tuple[int, int], timeline: tuple[int, int]) -> dict[str, Any]:
    """Return what the files of a dispute come to, and whether the card schemes take that.

    :param tuple certificate: its pages and bytes.
    :param tuple timeline: the same of the timeline.
    """
    pages, size = (CERTIFICATE_USES * one + other for one, other in zip(certificate, timeline, strict=True))
    return {
        "bytes": size,
        "bytes_max": SIZE_MAX,
        "is_within": pages <= PAGES_MAX and size <= SIZE_MAX,
        "pages": pages,
        "pages_max": PAGES_MAX,
    }


def stripe_evidence(events: list[Event], snapshot: dict, certificate: str, timeline: str) -> dict[str, Any]:
    """Return the fields of Stripe's form; file fields name files of the bundle."""
    client, milestone = snapshot.get("client") or {}, snapshot.get("milestone") or {}
    found = identifiers(events)
    fields = {
        "access_activity_log": access_log(events),
        "billing_address": client.get("address") or "",
        "customer_email_address": found.get("customer_email_address", ""),
        "customer_name": find_value(events, "actor_name") or client.get("name") or "",
        "customer_purchase_ip": found.get("customer_purchase_ip", ""),
        "customer_signature": certificate,
        "product_description": " - ".join(
            filter(None, (milestone.get("title"), milestone.get("description_text")))
        ),
        "service_date": (milestone.get("completed_at") or "")[:10],
        "service_documentation": certificate,
        "uncategorized_file": timeline,
        "uncategorized_text": _statement(events, snapshot),
    }
    return {
        "v": 1,
        "evidence": {name: value[:STRIPE_TEXT_MAX] for name, value in sorted(fields.items()) if value},
    }


def _statement(events: list[Event], snapshot: dict) -> str:
    granted = [event for event in events if event.type == "approval.granted"]
    if not granted:
        return ""
    amount = " ".join(filter(None, (snapshot.get("amount_total"), snapshot.get("currency"))))
    return (
        f"The client reviewed the finished work and approved the amount of {amount} on {granted[-1].time}, "
        "before the invoice was issued. The enclosed certificate shows what was displayed and how the client was "
        "identified; the enclosed evidence can be verified offline."
    )


def matching_elements(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the identifiers in which two purchases agree."""
    return [name for name in _MATCHED if one.get(name) and one.get(name) == other.get(name)]


def qualifies(one: dict[str, str], other: dict[str, str]) -> bool:
    """Tell whether two purchases agree in two elements, one of which is the network address or the device."""
    same = set(matching_elements(one, other))
    elements = [element for element in _ELEMENTS if same.intersection(element)]
    return len(elements) >= PRIOR_COUNT_NEEDED and bool(same.intersection(_STRONG))


def find_prior(disputed: Purchase, candidates: list[Purchase], today: date) -> list[Purchase]:
    """Return earlier purchases that count, the best matching first, then the latest."""
    found = [
        item
        for item in candidates
        if PRIOR_DAYS_MIN <= (today - item.paid_on).days <= PRIOR_DAYS_MAX
        and qualifies(disputed.identifiers, item.identifiers)
    ]
    return sorted(
        found,
        key=lambda item: (
            -len(matching_elements(disputed.identifiers, item.identifiers)),
            -item.paid_on.toordinal(),
        ),
    )


def visa_ce3(disputed: Purchase, candidates: list[Purchase], today: date) -> dict[str, Any]:
    """Return the fields for Visa's Compelling Evidence 3.0, and whether they qualify."""
    prior = find_prior(disputed, candidates, today)[:PRIOR_COUNT_NEEDED]
    return {
        "v": 1,
        "qualifies": len(prior) == PRIOR_COUNT_NEEDED,
        "disputed_transaction": {
            **disputed.identifiers,
            "merchandise_or_services": "services",
            "product_description": disputed.description,
            "reference": disputed.reference,
        },
        "prior_undisputed_transactions": [
            {
                **item.identifiers,
                "charge": item.charge,
                "matching": matching_elements(disputed.identifiers, item.identifiers),
                "paid_on": item.paid_on.isoformat(),
                "product_description": item.description,
                "reference": item.reference,
            }
            for item in prior
        ],
    }
