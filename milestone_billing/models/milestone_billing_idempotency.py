import hashlib
import json

from odoo import api, fields, models
from odoo.exceptions import ValidationError


class MilestoneBillingIdempotency(models.Model):
    """Answers given to callers that sent an idempotency key, so that a repeated call changes nothing."""

    _name = "milestone.billing.idempotency"
    _description = "Answer Kept for an Idempotency Key"
    _rec_name = "key"

    key = fields.Char(required=True, readonly=True)
    user_id = fields.Many2one("res.users", required=True, readonly=True, index=True, ondelete="cascade")
    fingerprint = fields.Char(required=True, readonly=True, help="SHA-256 of the method and its arguments.")
    response = fields.Json(readonly=True)

    _key_unique = models.UniqueIndex(
        "(user_id, key)", "This idempotency key is being used by another request."
    )

    @api.model
    def _answer_once(self, key, method, arguments, work):
        """Do a piece of work once for each key, and give the answer kept for it when it is asked for again.

        :param str key: of the caller; without one the work is done.
        :param str method: whose answers the key is for.
        :param list arguments: of the call, plain JSON.
        :param work: function without arguments that gives the answer, plain JSON.
        :raise ValidationError: if the key was used with other arguments.
        """
        if not key:
            return work()
        fingerprint = self._get_fingerprint(method, arguments)
        answer = self._find_answer(key, fingerprint)
        if answer is None:
            answer = work()
            self._keep_answer(key, fingerprint, answer)
        return answer

    @api.model
    def _get_fingerprint(self, method, arguments):
        """Digest a call so that the same key with other arguments is found.

        :rtype: str
        """
        text = json.dumps([method, arguments], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    @api.model
    def _find_answer(self, key, fingerprint):
        """Look up the answer kept for a key.

        :return: the answer, or None for a new key.
        :raise ValidationError: if the key was used with other arguments.
        """
        kept = self.sudo().search([("user_id", "=", self.env.uid), ("key", "=", key)])
        if not kept:
            return None
        if kept.fingerprint != fingerprint:
            raise ValidationError(
                self.env._("The idempotency key “%s” was used with other arguments. Use a new key.", key)
            )
        return kept.response

    @api.model
    def _keep_answer(self, key, fingerprint, response):
        self.sudo().create(
            {"key": key, "user_id": self.env.uid, "fingerprint": fingerprint, "response": response}
        )
