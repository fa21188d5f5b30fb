import hashlib
import secrets
import uuid

from odoo import SUPERUSER_ID, api, fields, models
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import SQL, consteq

from ..tools.verify import link_proof

SECRET_BYTES = 32


class MilestoneBillingApprovalLink(models.Model):
    """A personal review link of one approver; only the hash of its secret is kept."""

    _name = "milestone.billing.approval.link"
    _description = "Personal Review Link"
    _order = "id desc"
    _rec_name = "uuid"

    seat_id = fields.Many2one(
        "milestone.billing.approval.seat", required=True, readonly=True, index=True, ondelete="cascade"
    )
    approval_id = fields.Many2one(related="seat_id.approval_id", store=True, index=True)
    company_id = fields.Many2one(related="seat_id.company_id", store=True, precompute=True)
    partner_id = fields.Many2one(related="seat_id.partner_id", store=True, index=True, precompute=True)
    uuid = fields.Char(required=True, readonly=True, default=lambda self: str(uuid.uuid4()))
    purpose = fields.Selection(
        [("request", "Request"), ("reminder", "Reminder"), ("resend", "Sent again"), ("receipt", "Receipt")],
        default="request",
        required=True,
        readonly=True,
    )
    state = fields.Selection(
        [("queued", "Queued"), ("sent", "Sent"), ("failed", "Failed"), ("no_address", "No e-mail address")],
        default="queued",
        required=True,
        readonly=True,
        index=True,
    )
    secret_sha256 = fields.Char(readonly=True, groups="base.group_system")
    expires_on = fields.Datetime(readonly=True)
    opened_on = fields.Datetime(readonly=True)
    opened_count = fields.Integer(readonly=True)
    revoked_on = fields.Datetime(readonly=True)
    revoke_reason = fields.Char(readonly=True)
    failure = fields.Char(readonly=True)

    _uuid_unique = models.UniqueIndex("(uuid)", "Two links cannot share an identifier.")

    # === QUEUE ===

    @api.model
    def _queue(self, seats, purpose="request"):
        """Queue one new link for each seat; the job sends them after commit.

        :param seats: who gets one.
        :param str purpose: why.
        :rtype: milestone.billing.approval.link
        """
        links = self.sudo().create(
            [{"seat_id": seat.id, "approval_id": seat.approval_id.id, "purpose": purpose} for seat in seats]
        )
        if links:
            # By the cache of external ids: `ref` would look whether the job still exists, and so does the trigger.
            cron_id = self.env["ir.model.data"]._xmlid_to_res_id("milestone_billing.ir_cron_send_links")
            self.env["ir.cron"].sudo().browse(cron_id)._trigger()
        return links

    @api.model
    def _cron_send_links(self, chunk=50):
        """Make the secrets and mails of queued links, a chunk per commit; rows that another worker has are left out."""
        Cron = self.env["ir.cron"]
        while links := self._take_queued(chunk):
            try:
                links._send()
            except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                Cron._give_way(len(links))
                return
            if not Cron._commit_progress(len(links)):
                return

    @api.model
    def _take_queued(self, chunk):
        """Take the next queued links, with all the reminders of whoever is reminded: they share a mail.

        :param int chunk: how many, the further reminders of the same people not counted.
        :rtype: milestone.billing.approval.link
        """
        self.flush_model()
        links = self._lock_queued(SQL("TRUE"), SQL("LIMIT %s", chunk))
        reminders = links.filtered(lambda link: link.purpose == "reminder")
        if not reminders:
            return links
        same_people = SQL(
            "purpose = 'reminder' AND partner_id IN %s AND id NOT IN %s",
            tuple(reminders.partner_id.ids),
            tuple(links.ids),
        )
        return links + self._lock_queued(same_people, SQL())

    @api.model
    def _lock_queued(self, condition, limit):
        self.env.cr.execute(
            SQL(
                """
                SELECT id FROM milestone_billing_approval_link
                 WHERE state = 'queued' AND %s ORDER BY id %s FOR UPDATE SKIP LOCKED
                """,
                condition,
                limit,
            )
        )
        return self.browse(row[0] for row in self.env.cr.fetchall())

    def _send(self):
        """Send these links by mail, each on its own: one that fails does not stop the others."""
        for link in self.sudo():
            try:
                with self.env.cr.savepoint():
                    link._send_one()
            except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is shown and the others go on
                link.write({"state": "failed", "failure": str(error)[:200]})
                link.approval_id._for_team()._notify_team_undeliverable(link.partner_id, str(error)[:200])

    def _send_one(self):
        self.ensure_one()
        if self.approval_id.state in ("superseded", "cancelled") or self.revoked_on:
            self.write({"state": "failed", "failure": self.env._("Withdrawn before it was sent.")})
            return
        if not self.partner_id.active:
            self.write({"state": "failed", "failure": self.env._("The contact is archived.")})
            return
        if not self.partner_id.email:
            self.write({"state": "no_address"})
            team = self.approval_id._for_team()
            team._notify_team_undeliverable(self.partner_id, team.env._("the contact has no e-mail address"))
            return
        head = self._get_chain_head()
        secret = self._issue_secret()
        mail = self._create_mail(secret, head)
        self.write({"state": "sent", "message_id": mail.message_id})
        data = {
            "approver_ref": self.seat_id._get_actor_ref() or "",
            "link_id": self.uuid,
            "mail_sha256": self._keep_mail(mail, secret),
            "message_id": mail.message_id or "",
            "purpose": self.purpose,
        }
        if self.purpose == "receipt":
            data["chain_head"] = head
        self.approval_id._log(
            {"reminder": "request.reminded", "receipt": "receipt.sent"}.get(self.purpose, "request.sent"),
            data=data,
            subject={"link_id": self.uuid},
            pii={"to": self.partner_id.email},
            actor_kind="system",
        )

    # === SECRET ===

    def _issue_secret(self):
        """Draw the secret of this link and keep its hash; it is returned this once and never again.

        :rtype: str
        """
        self.ensure_one()
        secret = secrets.token_urlsafe(SECRET_BYTES)
        days = self.company_id.milestone_link_days
        self.sudo().write(
            {
                "secret_sha256": hashlib.sha256(secret.encode()).hexdigest(),
                "expires_on": self.company_id.sudo()._get_milestone_deadline(days),
            }
        )
        return secret

    def _has_secret(self, secret):
        """Tell, in constant time, whether this is the secret of the link.

        :rtype: bool
        """
        self.ensure_one()
        kept = self.sudo().secret_sha256
        given = hashlib.sha256((secret or "").encode()).hexdigest()
        return bool(kept) and consteq(kept, given)

    def _get_url(self, secret, suffix=""):
        """Give the address that goes into the mail.

        :rtype: str
        """
        self.ensure_one()
        return f"{self.approval_id.line_id.get_base_url()}/ma/{self.uuid}{suffix}?k={secret}"

    def _get_link_proof(self, secret):
        """Give what proves later that the holder of the mail was there, without keeping the secret.

        :rtype: str
        """
        self.ensure_one()
        approval = self.approval_id
        return link_proof(secret, approval.line_id.evidence_uuid, approval.snapshot_sha256)

    def _get_problem(self):
        """Tell why this link opens nothing now: `revoked`, `expired`, or False.

        :rtype: str | bool
        """
        self.ensure_one()
        if self.revoked_on or not self.partner_id.sudo().active:
            return "revoked"
        if not self.expires_on or self.expires_on <= fields.Datetime.now():
            return "expired"
        return False

    def _revoke(self, reason, keep_readable=False):
        """Withdraw links; a reader who has one open is told why.

        :param str reason: kept with them.
        :param bool keep_readable: leave them open for reading: the page says what replaced the submission.
        """
        if keep_readable:
            return
        links = self.sudo().filtered(lambda link: not link.revoked_on)
        links.write({"revoked_on": fields.Datetime.now(), "revoke_reason": reason})

    def action_revoke(self):
        """Withdraw personal links, when a mail went to the wrong person."""
        self.approval_id.line_id._check_may_bill()
        reason = self.env._("Withdrawn by %s.", self.env.user.name)
        for link in self.sudo().filtered(lambda link: not link.revoked_on):
            link._revoke(reason)
            link.approval_id._log(
                "link.revoked",
                data={"reason": "withdrawn", "link_id": link.uuid},
                subject={"link_id": link.uuid},
            )
        return True

    # === MAIL ===

    def _get_chain_head(self):
        """Give the hash of the last entry on the milestone's chain: a receipt carries it out of the house.

        :rtype: str
        """
        chain = self.approval_id.line_id.evidence_uuid
        head = self.env["milestone.billing.evidence.head"].sudo().search([("chain_id", "=", chain)], limit=1)
        return head.hash or ""

    def _create_mail(self, secret, head=""):
        """Queue the mail of this link. It is tied to no document, so that nobody reads the secret in a chatter.

        :param str secret: of this link.
        :param str head: of the evidence chain, for a receipt.
        :rtype: mail.mail
        """
        self.ensure_one()
        template = self._get_template()
        lang = self.partner_id.lang or self.approval_id.lang
        link = self.with_user(SUPERUSER_ID).with_context(
            lang=lang,
            tz=self._get_mail_tz(),
            milestone_review_url=self._get_url(secret),
            milestone_not_me_url=self._get_url(secret, "/not-me"),
            milestone_chain_head=head,
        )
        return self._queue_mail(template.with_env(link.env), link)

    def _get_mail_tz(self):
        """Give the time zone of the days in the mail: the reader's own where it is known, else the company's.

        :rtype: str
        """
        return self.partner_id.tz or self.company_id._get_milestone_tz()

    def _get_template(self):
        """Give the mail template for the purpose of this link.

        :rtype: mail.template
        """
        name = {"reminder": "reminder", "receipt": "receipt"}.get(self.purpose, "request")
        return self.env.ref(f"milestone_billing.mail_template_approval_{name}").sudo()
