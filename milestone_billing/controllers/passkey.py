"""What the server asks a passkey to sign, kept in the session until the form comes."""

from odoo.http import request

KEY = "milestone_passkey"
WEBAUTHN_SIZE_MAX = 10000


def ask_passkey(record, partner):
    """Prepare a signature of the logged-in approver, and keep the nonce it is tied to in the session.

    :param record: the submission or change order.
    :return: the options for the browser, as JSON; False when none is needed, or there is no key.
    """
    nonce, options = record._prepare_passkey_options(partner)
    if nonce:
        request.session[KEY] = {"record": record.uuid, "nonce": nonce}
    return options


def take_passkey_nonce(record):
    """Give the nonce of the last form of this session, once."""
    kept = request.session.pop(KEY, None) or {}
    return kept.get("nonce") if kept.get("record") == record.uuid else ""
