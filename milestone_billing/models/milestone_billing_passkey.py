"""Approval by a passkey: the approver's own key signs this very snapshot, so that nobody else can have made it."""

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

from ..tools.approval_rules import LEVELS
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


class MilestoneBillingPasskey(models.AbstractModel):
    """A document with `uuid` and `snapshot_sha256` which an approver signs with a passkey of the own portal account."""

    _name = "milestone.billing.passkey"
    _description = "Document Signed with a Passkey"

    def _get_passkey_level(self):
        """Give the assurance level that this document asks for. To be overridden.

        :rtype: str
        """
        return LEVELS[0]

    def _get_passkeys(self, partner):
        """Give the passkeys of an approver's accounts.

        :rtype: auth.passkey.key
        """
        users = partner.sudo().user_ids
        return self.env["auth.passkey.key"].sudo().search([("create_uid", "in", users.ids)])

    def _prepare_passkey_options(self, partner):
        """Ask the browser for a signature over this snapshot.

        :return: the server's nonce, which the session keeps, and the options as JSON; (False, False) without a key.
        """
        self.ensure_one()
        keys = self._get_passkeys(partner) if self._get_passkey_level() == LEVELS[-1] else ()
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

    def _verify_passkey(self, partner, text, nonce):
        """Check that a passkey of the approver signed this snapshot.

        :param str text: the browser's answer.
        :return: what an outsider needs to check it again, as canonical JSON; empty if it is not good.
        :rtype: str
        """
        try:
            credential = json.loads(text)
            key = self._get_passkeys(partner).filtered(
                lambda key: key.credential_identifier == credential["id"]
            )
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
            _logger.info("%s %s: passkey refused: %s", self._name, self.uuid, error)
            return ""
        return canonical(values).decode()
