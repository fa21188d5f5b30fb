import hashlib

from odoo import models


class MilestoneBillingChange(models.Model):
    _name = "milestone.billing.change"
    _inherit = ["milestone.billing.change", "milestone.billing.passkey"]

    def _get_passkey_level(self):
        """Override to name the level that the client was told."""
        return self._get_required_level()


class MilestoneBillingChangeLink(models.Model):
    _inherit = "milestone.billing.change.link"

    def _raise_level(self, kind, form, level, visit):
        """Override to take a passkey's signature, when that is all that is missing."""
        level, visit = super()._raise_level(kind, form, level, visit)
        if kind != "approve" or not form.get("webauthn") or not form.get("passkey_nonce"):
            return level, visit
        if self._get_refusal(kind, form, level) != "level_too_low":
            return level, visit
        proof = self.change_id._verify_passkey(self.partner_id, form["webauthn"], form["passkey_nonce"])
        if not proof:
            return level, visit
        auth = {
            **visit["auth"],
            "method": [*visit["auth"].get("method", ()), "passkey"],
            "assertion_sha256": hashlib.sha256(proof.encode()).hexdigest(),
        }
        return "L4", {**visit, "auth": auth, "pii": {**visit["pii"], "webauthn_json": proof}}
