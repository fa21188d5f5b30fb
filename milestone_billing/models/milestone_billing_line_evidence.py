"""Evidence of what happens to a milestone."""

import logging

from odoo import models

_logger = logging.getLogger(__name__)


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _log_evidence(self, event_type, data=None, **_more):
        """Record an event on each milestone's chain.

        :param str event_type: as in the list of events.
        :param data: type-specific values, or a function of the milestone that gives them.
        """
        for line in self:
            _logger.info("%s %s %s", line.evidence_uuid, event_type, data(line) if callable(data) else data)
