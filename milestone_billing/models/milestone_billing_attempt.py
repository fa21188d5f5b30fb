from datetime import timedelta

from odoo import api, fields, models

KEPT_DAYS = 30


class MilestoneBillingAttempt(models.Model):
    """Counts of attempts, so that guessing and flooding end. Rows are only added: nobody waits for a counter."""

    _name = "milestone.billing.attempt"
    _description = "Counted Attempt"
    _rec_name = "kind"

    kind = fields.Char(required=True, readonly=True)
    key = fields.Char(required=True, readonly=True)

    _kind_key_date = models.Index("(kind, key, create_date)")

    @api.model
    def _count(self, kind, key, minutes):
        """Count the attempts of a kind on a key in the last minutes.

        :rtype: int
        """
        since = fields.Datetime.now() - timedelta(minutes=minutes)
        return self.sudo().search_count(
            [("kind", "=", kind), ("key", "=", key), ("create_date", ">=", since)]
        )

    @api.model
    def _take(self, kind, key, maximum, minutes):
        """Count one more attempt, unless there were too many.

        :param str kind: what is attempted.
        :param str key: on what; a reference, never a secret.
        :param int maximum: how many are allowed in the window.
        :param int minutes: length of the window.
        :return: whether this attempt is allowed; a refused one is not counted.
        :rtype: bool
        """
        if self._count(kind, key, minutes) >= maximum:
            return False
        self.sudo().create({"kind": kind, "key": key})
        return True

    @api.autovacuum
    def _gc_attempts(self):
        limit = fields.Datetime.now() - timedelta(days=KEPT_DAYS)
        self.search([("create_date", "<", limit)], limit=100000).unlink()
