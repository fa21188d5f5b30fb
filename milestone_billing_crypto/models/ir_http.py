import re

from odoo import models

from ..const import PROVIDER_CODE

_PAGE = re.compile(rf"(?:/[\w@-]+)?/payment/{PROVIDER_CODE}/|/milestone_billing_crypto/")


class IrHttp(models.AbstractModel):
    _inherit = "ir.http"

    @classmethod
    def _get_milestone_referrer(cls, path):
        """Override of `milestone_billing`: the token in the payer's address is told to nobody."""
        return "no-referrer" if _PAGE.match(path) else super()._get_milestone_referrer(path)
