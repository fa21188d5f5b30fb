from odoo import api, models
from odoo.exceptions import ValidationError

from ..tools import xpub


class MilestoneBillingCryptoKeyless(models.AbstractModel):
    """Where a person may paste a key by mistake, private ones and seed words are refused at once.

    Neither the database nor a log nor an error's text ever holds them.
    """

    _name = "milestone.billing.crypto.keyless"
    _description = "No Private Keys"

    #: Texts in which a key may be pasted.
    _keyless_fields = ()
    #: Those of them that hold hashes of transactions, which look like private keys.
    _hash_fields = ()

    @api.model_create_multi
    def create(self, vals_list):
        """Override to refuse secrets before they reach the database."""
        for vals in vals_list:
            self._refuse_secrets(vals)
        return super().create(vals_list)

    def write(self, vals):
        """Override to refuse secrets before they reach the database."""
        self._refuse_secrets(vals)
        return super().write(vals)

    @api.model
    def _refuse_secrets(self, vals, names=()):
        """Take a private key out of values and refuse them.

        :param names: fields to look at; default are the model's own.
        """
        for name in names or self._keyless_fields:
            text = vals.get(name)
            if isinstance(text, str) and xpub.is_secret(text, may_be_hash=name in self._hash_fields):
                vals[name] = False
                raise ValidationError(self._private_key_message())

    @api.model
    def _private_key_message(self):
        return self.env._(
            "This is a private key or a list of seed words. It was not stored. Whoever has it can take the "
            "money: give the extended public key (xpub) instead, and move your funds if it was shown to others."
        )
