import hashlib

from odoo import models


class MilestoneBillingApproval(models.Model):
    _name = "milestone.billing.approval"
    _inherit = ["milestone.billing.approval", "milestone.billing.passkey"]

    def _get_passkey_level(self):
        """Override to name the level that was asked for with the submission."""
        return self.level_required

    def _raise_level(self, kind, visitor, form):
        """Override to take a passkey's signature, when that is all that is missing."""
        visitor = super()._raise_level(kind, visitor, form)
        if kind != "approve" or not form.get("webauthn") or not form.get("passkey_nonce"):
            return visitor
        if self._get_refusal(kind, visitor, form) != "level_too_low":
            return visitor
        proof = self._verify_passkey(visitor.seat.partner_id, form["webauthn"], form["passkey_nonce"])
        if not proof:
            return visitor
        digest = hashlib.sha256(proof.encode()).hexdigest()
        return visitor._replace(
            level="L4",
            methods=(*visitor.methods, "passkey"),
            auth={**visitor.auth, "assertion_sha256": digest},
            pii={**visitor.pii, "webauthn_json": proof},
        )
