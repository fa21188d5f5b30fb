"""Keep the secret of a review link out of our own access log."""

import logging

from ..tools.approval_rules import mask_secret


class MaskLinkSecret(logging.Filter):
    """Blank the parameter `k` in request lines; everything else passes unchanged."""

    def filter(self, record):
        """Mask the arguments of a record before any handler sees them.

        :return: True, for every record is kept.
        """
        if isinstance(record.args, tuple):
            record.args = tuple(
                mask_secret(value) if isinstance(value, str) and "k=" in value else value
                for value in record.args
            )
        if isinstance(record.msg, str) and "k=" in record.msg:
            record.msg = mask_secret(record.msg)
        return True


for _name in ("werkzeug", "odoo.http", "odoo.service.server"):
    logging.getLogger(_name).addFilter(MaskLinkSecret())
