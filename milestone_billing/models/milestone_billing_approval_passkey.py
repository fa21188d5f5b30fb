"""Approval by a passkey: the approver's own key signs this very submission, so that nobody else can have made it."""

import hashlib
import json
import logging
import secrets

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from odoo import models
from odoo.addons.auth_passkey._vendor.webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    options_to_json,
    verify_authentication_response,
)
from odoo.addons.auth_passkey._vendor.webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    exceptions,
)
from odoo.addons.auth_passkey._vendor.webauthn.helpers.structs import (
    PublicKeyCredentialDescriptor,
    UserVerificationRequirement,
)
from werkzeug.urls import url_parse

from ..tools.verify import canonical, webauthn_challenge

_logger = logging.getLogger(__name__)

# What the library raises for an answer that is wrong or no answer at all.
UNREADABLE = (
    *(
        error
        for error in vars(exceptions).values()
        if isinstance(error, type) and issubclass(error, Exception)
    ),
    RecursionError,
)


class MilestoneBillingApproval(models.Model):
    _inherit = "milestone.billing.approval"

    def _get_passkeys(self, seat):
        """Give the passkeys of an approver's accounts.

        :rtype: auth.passkey.key
        """
        users = seat.sudo().partner_id.user_ids
        return self.env["auth.passkey.key"].sudo().search([("create_uid", "in", users.ids)])

    def _prepare_passkey_options(self, seat):
        """Ask the browser for a signature over this snapshot.

        :return: the server's nonce, which the session keeps, and the options as JSON; (False, False) without a key.
        """
        self.ensure_one()
        keys = self._get_passkeys(seat) if self.level_required == "L4" and seat else ()
        if not keys:
            return False, False
        nonce = secrets.token_hex(16)
        # Named, so that a device which holds keys of several people does not offer somebody else's.
        allowed = [
            PublicKeyCredentialDescriptor(id=base64url_to_bytes(key.credential_identifier)) for key in keys
        ]
        options = generate_authentication_options(
            rp_id=url_parse(self.get_base_url()).host,
            challenge=self._get_passkey_challenge(nonce),
            allow_credentials=allowed,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return nonce, options_to_json(options)

    def _get_passkey_challenge(self, nonce):
        return bytes.fromhex(webauthn_challenge(self.uuid, self.snapshot_sha256, nonce))

    def _raise_level(self, kind, visitor, form):
        """Override to take a passkey's signature, when that is all that is missing."""
        visitor = super()._raise_level(kind, visitor, form)
        if kind != "approve" or not form.get("webauthn") or not form.get("passkey_nonce"):
            return visitor
        if self._get_refusal(kind, visitor, form) != "level_too_low":
            return visitor
        proof = self._verify_passkey(visitor.seat, form["webauthn"], form["passkey_nonce"])
        if not proof:
            return visitor
        digest = hashlib.sha256(proof.encode()).hexdigest()
        return visitor._replace(
            level="L4",
            methods=(*visitor.methods, "passkey"),
            auth={**visitor.auth, "assertion_sha256": digest},
            pii={**visitor.pii, "webauthn_json": proof},
        )

    def _verify_passkey(self, seat, text, nonce):
        """Check that a passkey of the approver signed this snapshot.

        :param str text: the browser's answer.
        :return: what an outsider needs to check it again, as canonical JSON; empty if it is not good.
        :rtype: str
        """
        try:
            credential = json.loads(text)
            key = self._get_passkeys(seat).filtered(lambda key: key.credential_identifier == credential["id"])
            if not key:
                return ""
            base = url_parse(self.get_base_url())
            public_key = base64url_to_bytes(key.public_key)
            result = verify_authentication_response(
                credential=credential,
                expected_challenge=self._get_passkey_challenge(nonce),
                expected_origin=base.replace(path="").to_url(),
                expected_rp_id=base.host,
                credential_public_key=public_key,
                credential_current_sign_count=key.sign_count,
                require_user_verification=True,
            )
            key.sign_count = result.new_sign_count
            pem = decoded_public_key_to_cryptography(decode_credential_public_key(public_key))
            answer = credential["response"]
            values = {
                "authenticator_data": answer["authenticatorData"],
                "client_data_json": answer["clientDataJSON"],
                "signature": answer["signature"],
                "public_key": pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
                "server_nonce": nonce,
            }
        except (*UNREADABLE, ValueError, KeyError, TypeError, AttributeError) as error:
            _logger.info("submission %s: passkey refused: %s", self.uuid, error)
            return ""
        return canonical(values).decode()
