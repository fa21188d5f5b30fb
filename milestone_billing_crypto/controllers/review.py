"""The wallet's signature on the page of an approval."""

import hashlib

from odoo.addons.milestone_billing.controllers.review import Review
from odoo.addons.milestone_billing.controllers.visit import as_text, read_text, sign_presentation

SIGNATURE_SIZE_MAX = 200


def get_nonce(presentation):
    """Give the 32 bytes, in hex, that tie a signature to one page of one session.

    :rtype: str
    """
    return hashlib.sha256((presentation or "").encode("utf-8", "replace")).hexdigest()


class WalletReview(Review):
    def _read_form(self, step, form):
        """Override of `milestone_billing` to take the signature."""
        values = super()._read_form(step, form)
        if step != "approve":
            return values
        return values | {
            "wallet_signature": read_text(form.get("wallet_signature"), SIGNATURE_SIZE_MAX),
            "wallet_nonce": get_nonce(as_text(form.get("presentation"))),
        }

    def _render(self, visit, template, status=200, **values):
        """Override of `milestone_billing` to show what there is to sign, with this page's own nonce."""
        if template == "milestone_billing.portal_approve":
            presentation = sign_presentation(visit.approval)
            wallet = visit.approval._prepare_wallet_values(visit.seat, get_nonce(presentation))
            values |= {"presentation": presentation, "wallet": wallet}
        return super()._render(visit, template, status=status, **values)
