"""The headers of our pages, and of the framework's answers below our addresses: nobody frames, keeps or passes them on."""

from __future__ import annotations

import re
from collections.abc import MutableMapping

PAGE_HEADERS = {
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
# A language may stand in front: /fr/my/milestones.
_LANGUAGE = r"(?:/(?!web/|api/)[a-z]{2,3}(?:[_-][A-Za-z0-9]+)?(?:@[a-z]+)?)?"
_LINKS = re.compile(_LANGUAGE + r"/m[ac](?:/|\Z)")
_PAGES = re.compile(
    _LANGUAGE + r"/(?:my/(?:milestones|changes|retainers)|milestones|milestone_billing)(?:/|\Z)"
)


def find_referrer_policy(path: str) -> str:
    """Return what `Referrer-Policy` an address of ours has, empty for those of others.

    Below the addresses of mails even our own host is told nothing: a secret stands in them.

    :param str path: of the request, without its query.
    """
    if _LINKS.match(path):
        return "no-referrer"
    return "same-origin" if _PAGES.match(path) else ""


def set_headers(headers: MutableMapping[str, str], referrer: str = "same-origin", **more: str) -> None:
    """Set the headers of a page of ours.

    :param headers: of the response.
    :param str referrer: `Referrer-Policy`.
    """
    for name, value in {**PAGE_HEADERS, "Referrer-Policy": referrer, **more}.items():
        headers[name] = value
