"""Anchors of kind RFC 3161: an authority that knows nothing of us stamps the state of the log with its time."""

import base64
import logging
import secrets

import psycopg2
import requests
from odoo import api, fields, models, tools
from odoo.exceptions import AccessError

from .. import transport
from ..tools import timestamp, url_guard
from ..tools.webhook import retry_minutes

_logger = logging.getLogger(__name__)
# A token with some certificates has two to eight thousand bytes.
ANSWER_MAX = 64 * 1024


class MilestoneBillingEvidenceStamp(models.Model):
    """A checkpoint that waits for its time stamp: written first, asked for by a cron, until an authority answers."""

    _name = "milestone.billing.evidence.stamp"
    _description = "Time Stamp Request"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    # Who reads it may close the alarm; there is nothing to write.
    _mail_post_access = "read"
    _order = "id desc"
    _rec_name = "digest"

    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True, ondelete="cascade")
    log_id = fields.Char(required=True, readonly=True)
    size = fields.Integer(string="Log Size", required=True, readonly=True, aggregator=None)
    digest = fields.Char(required=True, readonly=True, help="What is stamped: SHA-256 of the checkpoint.")
    nonce = fields.Char(required=True, readonly=True, help="Ties the answer to this question, 16 hex digits.")
    state = fields.Selection(
        [("queued", "Waiting"), ("done", "Stamped"), ("failed", "Given up")],
        default="queued",
        required=True,
        readonly=True,
    )
    attempt_count = fields.Integer(string="Attempts", readonly=True)
    next_attempt_on = fields.Datetime(readonly=True, default=fields.Datetime.now)
    last_error = fields.Char(readonly=True)
    reference = fields.Char(string="Stamp", readonly=True, help="Authority, number and time of the stamp.")

    _digest_unique = models.UniqueIndex("(digest)", "This checkpoint waits for its stamp already.")

    # === QUEUE ===

    @api.model
    def _cron_stamp(self):
        """Queue the newest checkpoint of each company that names an authority, then ask for what is due.

        One commit for each, because asking cannot be rolled back.
        """
        cron = self.env["ir.cron"]
        self._queue()
        due = self.search(
            [("state", "=", "queued"), ("next_attempt_on", "<=", fields.Datetime.now())], order="id"
        )
        cron._commit_progress(remaining=len(due))
        for stamp in due:
            locked = stamp.try_lock_for_update().filtered(lambda item: item.state == "queued")
            if locked:
                locked._attempt()
            if not cron._commit_progress(1):
                break

    @api.model
    def _queue(self):
        """Write a request for each company that names an authority and has something new to stamp."""
        for company in self.env["res.company"].sudo().search([("milestone_stamp_url", "!=", False)]):
            checkpoint = self._get_unstamped(company)
            if checkpoint:
                self.create(self._prepare_values(company, checkpoint))

    @api.model
    def _get_unstamped(self, company):
        """Give the newest checkpoint of a company, when its log says something new since the last request.

        While a request waits there is no second one: the newest checkpoint follows when it is answered.
        """
        newest = self.env["milestone.billing.evidence.checkpoint"]._get_newest(company)
        last = self.search([("log_id", "=", newest.log_id)], order="size desc", limit=1)
        if not newest or last.state == "queued" or last.digest == newest.digest:
            return newest.browse()
        return newest if newest._has_news(last.size) else newest.browse()

    @api.model
    def _prepare_values(self, company, checkpoint):
        return {
            "company_id": company.id,
            "log_id": checkpoint.log_id,
            "size": checkpoint.size,
            "digest": checkpoint.digest,
            "nonce": secrets.token_hex(timestamp.NONCE_BYTES),
        }

    # === ASKING ===

    def _attempt(self):
        """Ask for one stamp and note what came of it; whatever happens, the request stays."""
        self.ensure_one()
        try:
            problem = self._ask()
        except psycopg2.OperationalError:
            # Somebody else wrote on the log just now. The transaction is over; the next run asks again.
            self.env.cr.rollback()
            _logger.info("The time stamp of log size %s could not be recorded now.", self.size)
            return
        if problem:
            self._note_failure(problem)

    def _ask(self):
        """Ask the authority, check what it says, and record it.

        :return: what went wrong, in a sentence; nothing when it is recorded.
        :rtype: str | None
        """
        url, nonce = self.company_id.milestone_stamp_url, int(self.nonce, 16)
        if not url:
            return self.env._("The company names no time stamping authority any more.")
        headers = {"Content-Type": timestamp.CONTENT_TYPE_QUERY, "Accept": timestamp.CONTENT_TYPE_REPLY}
        request = timestamp.build_request(self.digest, nonce)
        try:
            status, answer = transport.ask(url, request, headers, ANSWER_MAX, self._get_test_origins(url))
            if status != 200:
                return self.env._("The authority answered %s.", status)
            stamp = timestamp.read_response(answer, self.digest, nonce)
        except url_guard.UrlError as refusal:
            return self.env._("The address is refused (%s).", refusal.code)
        except timestamp.TimeStampError as error:
            return self._get_error_text(error)
        except requests.RequestException as error:
            detail = str(error) if isinstance(error, transport.AnswerError) else type(error).__name__
            return self.env._("The authority cannot be reached (%s).", detail)
        return self._record(stamp, answer)

    def _get_error_text(self, error):
        """Say in a sentence why an answer is not kept."""
        texts = {
            "unreadable": self.env._("The answer is no time stamp."),
            "refused": self.env._("The authority refuses: %s.", error.detail),
            "digest": self.env._("The answer stamps something else."),
            "nonce": self.env._("The answer belongs to another question."),
            "certificate": self.env._("The authority's certificate does not fit (%s).", error.detail),
            "algorithm": self.env._(
                "The stamp is signed by a method that is not accepted (%s).", error.detail
            ),
            "signature": self.env._("The signature of the stamp is wrong."),
        }
        return texts[error.code]

    def _record(self, stamp, answer):
        """Keep a good answer as an anchor of its checkpoint."""
        domain = [("log_id", "=", self.log_id), ("digest", "=", self.digest)]
        checkpoint = self.env["milestone.billing.evidence.checkpoint"].sudo().search(domain, limit=1)
        if not checkpoint:
            return self.env._("The checkpoint is gone.")
        payload = base64.b64encode(answer).decode()
        self.env["milestone.billing.evidence.anchor"]._record(checkpoint, "rfc3161", stamp.reference, payload)
        self.write(
            {
                "state": "done",
                "attempt_count": self.attempt_count + 1,
                "next_attempt_on": False,
                "last_error": False,
                "reference": stamp.reference,
            }
        )
        self.activity_unlink(["mail.mail_activity_data_warning"])
        return None

    @api.model
    def _get_test_origins(self, url):
        """Give the private addresses that may be used: loopback while tests run, else none.

        :return: ``host:port`` texts.
        """
        if not tools.config["test_enable"]:
            return ()
        target = url_guard.parse(url)
        return (target.origin,) if target.host in ("127.0.0.1", "localhost") else ()

    # === FAILURES ===

    def _note_failure(self, problem):
        """Plan the next try; after the last, give up and call a billing manager."""
        count = self.attempt_count + 1
        minutes = retry_minutes(count)
        values = {"attempt_count": count, "last_error": problem[:500]}
        if minutes is None:
            self.write({**values, "state": "failed", "next_attempt_on": False})
            self._raise_alarm()
            return
        at = fields.Datetime.add(fields.Datetime.now(), minutes=minutes)
        self.write({**values, "next_attempt_on": at})
        self.env.ref("milestone_billing.ir_cron_evidence_stamp").sudo()._trigger(at)

    def _raise_alarm(self):
        """Tell a billing manager, unless an earlier alarm of the company is still open."""
        managers = self.env["milestone.billing.evidence.check"]._get_managers(self.company_id)
        failed = self.search([("company_id", "=", self.company_id.id), ("state", "=", "failed")])
        if not managers or failed.activity_ids:
            return
        self.activity_schedule(
            "mail.mail_activity_data_warning",
            summary=self.env._("No time stamp"),
            note=self.env._("The state of the evidence log could not be time stamped: %s", self.last_error),
            user_id=managers[0].id,
        )

    def action_ask_again(self):
        """Queue requests that were given up once more."""
        if not self.env.user.has_group("milestone_billing.milestone_billing_group_billing_manager"):
            raise AccessError(
                self.env._("Only billing managers may ask for time stamps again. Ask one of them.")
            )
        self.check_access("read")
        waiting = self.sudo().filtered(lambda stamp: stamp.state == "failed")
        waiting.write({"state": "queued", "attempt_count": 0, "next_attempt_on": fields.Datetime.now()})
        self.env.ref("milestone_billing.ir_cron_evidence_stamp").sudo()._trigger()
        return True
