"""Answers one after the other, and looks at a page that wait for nobody."""

import logging

from odoo import fields, models
from odoo.tools import format_date, format_time
from psycopg2.errors import SerializationFailure

_logger = logging.getLogger(__name__)

APART_TRIES_MAX = 20


class MilestoneBillingTurn(models.AbstractModel):
    """A document that clients answer to; its `_log` records an event on its chain of evidence."""

    _name = "milestone.billing.turn"
    _description = "Document Answered in Turn"

    def _try_lock(self):
        """Take this document for this transaction, without waiting.

        Waiting here would end in a serialization error and a retry for each of many parallel clicks; the portal waits
        with `take_turn`, outside of a transaction.

        :rtype: bool
        """
        self.ensure_one()
        self.env.cr.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"{self._name},{self.id}"]
        )
        return self.env.cr.fetchone()[0]

    def _log_apart(self, event_type, **more):
        """Record a look at the page in a short transaction of its own.

        A page loads its pictures side by side, and each writes on the same chain: whoever comes second would be
        served again from the start, with a pause. Here only the entry is tried again, at once.
        """
        self.ensure_one()
        for attempt in range(APART_TRIES_MAX):
            try:
                with self.env.registry.cursor() as cr:
                    self.with_env(self.env(cr=cr, su=True))._log(event_type, **more)
                return
            except SerializationFailure:
                _logger.info("%s waits for other entries (try %s)", event_type, attempt + 1)
        _logger.warning(
            "%s of %s %s was not recorded: its chain was too busy", event_type, self._name, self.id
        )

    def _format_moment(self, value):
        """Write a moment for the reader: day and time, with the zone that they are in.

        :rtype: str
        """
        if not value:
            return ""
        local = fields.Datetime.context_timestamp(self, value)
        time = format_time(self.env, local.timetz(), time_format="short")
        return f"{format_date(self.env, local.date())} {time} {local.tzname()}"
