import hashlib
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from odoo.addons.auth_passkey._vendor.webauthn.helpers import bytes_to_base64url, encode_cbor
from odoo.tests import new_test_user
from odoo.tools import SQL

from ..tools.verify import verify_passkey


class PasskeyCommon:
    """A client with a portal account and a passkey, whose phone the tests play; for classes that talk HTTP."""

    @classmethod
    def add_passkey(cls):
        """Give the client's contact an account and a key."""
        cls.user = new_test_user(cls.env, "zoe", "base.group_portal", partner_id=cls.contact.id)
        cls.key = ec.generate_private_key(ec.SECP256R1())
        numbers = cls.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        passkey = cls.env["auth.passkey.key"].with_user(cls.user).sudo()
        cls.passkey = passkey.create(
            {"name": "Phone", "credential_identifier": bytes_to_base64url(b"key-of-zoe")}
        )
        cls.env.cr.execute(
            SQL(
                "UPDATE auth_passkey_key SET public_key = %s, create_uid = %s WHERE id = %s",
                bytes_to_base64url(encode_cbor(cose)),
                cls.user.id,
                cls.passkey.id,
            )
        )
        cls.passkey.invalidate_recordset()

    def read_options(self, page):
        """Read what a page asks the phone to sign."""
        start = page.text.index('data-passkey="') + len('data-passkey="')
        text = page.text[start : page.text.index('"', start)].replace("&#34;", '"').replace("&quot;", '"')
        return json.loads(text)

    def sign(self, page, key=None, **changes):
        """Answer as a phone would: sign the challenge of the page."""
        options = {**self.read_options(page), **changes}
        client = {"type": "webauthn.get", "challenge": options["challenge"], "origin": self.base_url()}
        client_data = json.dumps(client).encode()
        flags, count = b"\x05", (1).to_bytes(4, "big")
        authenticator = hashlib.sha256(options["rpId"].encode()).digest() + flags + count
        signed = authenticator + hashlib.sha256(client_data).digest()
        signature = (key or self.key).sign(signed, ec.ECDSA(hashes.SHA256()))
        identifier = bytes_to_base64url(b"key-of-zoe")
        return json.dumps(
            {
                "id": identifier,
                "rawId": identifier,
                "type": "public-key",
                "response": {
                    "authenticatorData": bytes_to_base64url(authenticator),
                    "clientDataJSON": bytes_to_base64url(client_data),
                    "signature": bytes_to_base64url(signature),
                },
            }
        )

    def check_signature(self, entries):
        """Check the signature that the evidence of a decision holds, as an outsider does.

        :return: verdict and sentence.
        """
        entry = entries.filtered(lambda item: item.type == "approval.granted")
        values = self.env["milestone.billing.evidence.value"].sudo().search([("entry_id", "=", entry.id)])
        proof = values.filtered(lambda item: item.name == "webauthn_json").value
        body = entry._get_body()
        self.assertEqual((body["auth"]["level"], body["auth"]["method"]), ("L4", ["password", "passkey"]))
        return verify_passkey(proof, body["auth"], body["subject"])
