"""Approvals that the approver's own wallet signs (EIP-712): the strongest level of assurance."""

import hashlib
import json

from odoo import models
from odoo.addons.milestone_billing.tools.verify import canonical

from ..tools import eip712


class MilestoneBillingApproval(models.Model):
    _inherit = "milestone.billing.approval"

    def _prepare_snapshot_policy(self):
        """Override of `milestone_billing` to name the wallets that may sign in what is frozen."""
        policy = super()._prepare_snapshot_policy()
        for values, seat in zip(policy["approvers"], self.seat_ids.sorted("id"), strict=True):
            if seat.wallet_address:
                values["wallet"] = seat.wallet_address
        return policy

    # === ASKING ===

    def _prepare_wallet_message(self, decision, nonce):
        """Give what a wallet signs to take a decision about the frozen content.

        :param str nonce: 64 hex digits, of the presentation.
        :rtype: dict
        """
        snapshot = self._get_snapshot() or {}
        return {
            "request_id": self.uuid,
            "snapshot_sha256": f"0x{self.snapshot_sha256}",
            "amount": snapshot.get("amount_total", ""),
            "currency": snapshot.get("currency", ""),
            "decision": decision,
            "nonce": f"0x{nonce}",
        }

    def _prepare_wallet_values(self, seat, nonce):
        """Give what the page shows to an approver who has registered a wallet, else None.

        :rtype: dict | None
        """
        address = seat.sudo().wallet_address if seat else False
        if not address:
            return None
        typed = eip712.build(self._prepare_wallet_message("approve", nonce))
        return {
            "address": address,
            "typed_data": json.dumps(typed, separators=(",", ":")),
            "text": json.dumps(typed, indent=2, ensure_ascii=False),
            "is_required": self.level_required == "L4",
        }

    # === CHECKING ===

    def _raise_level(self, kind, visitor, form):
        """Override of `milestone_billing`: a right signature of the registered wallet is the highest level."""
        if kind == "approve" and self._is_signed(visitor, form):
            digest = hashlib.sha256(self._get_wallet_json(visitor, form).encode()).hexdigest()
            visitor = visitor._replace(
                level="L4",
                methods=(*visitor.methods, "wallet"),
                auth={**visitor.auth, "assertion_sha256": digest},
            )
        return super()._raise_level(kind, visitor, form)

    def _is_signed(self, visitor, form):
        """Tell whether the form holds a signature of the approver's wallet over exactly this decision."""
        address = visitor.seat.sudo().wallet_address if visitor.seat else False
        if not address or not form.get("wallet_signature") or not visitor.presented_at:
            return False
        decision = self._get_wallet_decision(form)
        typed = eip712.build(self._prepare_wallet_message(decision, form["wallet_nonce"]))
        try:
            return eip712.recover(eip712.digest(typed), form["wallet_signature"]) == address.lower()
        except eip712.SignatureError:
            return False

    def _get_wallet_decision(self, form):
        return "approve_with_reservations" if form.get("reservations") else "approve"

    def _get_approve_refusal(self, visitor, form):
        """Override of `milestone_billing`: a signature that does not fit is never passed over in silence."""
        reason = super()._get_approve_refusal(visitor, form)
        is_wrong = bool(form.get("wallet_signature")) and "wallet" not in visitor.methods
        return "level_too_low" if is_wrong and reason in (False, "otp_required") else reason

    # === RECORDING ===

    def _get_wallet_json(self, visitor, form):
        """Give what an outsider needs, beside the submission, to check the signature.

        :rtype: str
        """
        message = self._prepare_wallet_message(self._get_wallet_decision(form), form["wallet_nonce"])
        names = ("amount", "currency", "decision", "nonce")
        values = {name: message[name] for name in names}
        return canonical(
            {
                "v": 1,
                "address": visitor.seat.sudo().wallet_address,
                "chain_id": eip712.CHAIN_ID,
                "signature": form["wallet_signature"].strip(),
                **values,
            }
        ).decode()

    def _prepare_granted(self, decision, visitor, form):
        """Override of `milestone_billing` to keep the signature with the approval."""
        data, pii = super()._prepare_granted(decision, visitor, form)
        if "wallet" in visitor.methods:
            pii["wallet_json"] = self._get_wallet_json(visitor, form)
        return data, pii
