"""The public page where anybody who holds a certificate compares it with the record."""

import re

from odoo import http
from odoo.http import request

from .visit import as_text, only_by_post, page, read_pii, read_text

TRIES_PER_HOUR_MAX = 30
_HEAD = re.compile(r"[0-9a-f]{64}\Z")


class Verify(http.Controller):
    """Says match or no match, and nothing else: neither what exists nor what it is about."""

    @http.route(
        "/milestones/verify", type="http", auth="public", methods=["GET"], website=True, sitemap=False
    )
    def verify(self, **_kwargs):
        """Show the form."""
        return page("milestone_billing.portal_verify", {"result": False, "form": {}})

    @http.route(
        "/milestones/verify", type="http", auth="public", methods=["POST"], website=True, sitemap=False
    )
    def verify_result(self, number="", head="", **_kwargs):
        """Compare a certificate number and a chain head with the record."""
        only_by_post()
        Attempt = request.env["milestone.billing.attempt"]
        if not Attempt._take("verify", read_pii().get("ip", "unknown"), TRIES_PER_HOUR_MAX, 60):
            return page("milestone_billing.portal_verify", {"result": "limited", "form": {}}, status=429)
        number, head = read_text(number, 64), as_text(head).strip().lower()
        values = {"result": "match" if self._matches(number, head) else "none", "form": {"number": number}}
        return page("milestone_billing.portal_verify", values)

    def _matches(self, number, head):
        if not _HEAD.match(head):
            return False
        return request.env["milestone.billing.evidence.certificate"]._is_known(number, head)
