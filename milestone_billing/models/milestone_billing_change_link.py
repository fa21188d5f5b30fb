import hashlib
import secrets
import uuid
from decimal import Decimal

from odoo import SUPERUSER_ID, api, fields, models
from odoo.tools import consteq

from ..tools.approval_rules import meets_level, required_level, within_limit


class MilestoneBillingChangeLink(models.Model):
    """One approver of a change order: the personal link, of which only the hash is kept, and the decision."""

    _name = "milestone.billing.change.link"
    _description = "Change Order Approver"
    _order = "id"
    _rec_name = "partner_id"

    change_id = fields.Many2one("milestone.billing.change", required=True, index=True, ondelete="cascade")
    company_id = fields.Many2one(related="change_id.company_id", store=True)
    currency_id = fields.Many2one(related="change_id.currency_id")
    partner_id = fields.Many2one("res.partner", string="Approver", required=True, ondelete="restrict")
    role = fields.Char()
    amount_limit = fields.Monetary()
    uuid = fields.Char(required=True, default=lambda self: str(uuid.uuid4()))
    secret_sha256 = fields.Char(groups="base.group_system")
    state = fields.Selection(
        [("queued", "Queued"), ("sent", "Sent"), ("no_address", "No e-mail address")],
        default="queued",
        index=True,
    )
    is_revoked = fields.Boolean()
    is_closed = fields.Boolean(help="The change order is decided; the link may still be read.")
    decision = fields.Selection([("approve", "Approved"), ("decline", "Declined")])
    decided_on = fields.Datetime()
    reason = fields.Text()
    event_id = fields.Char()

    _uuid_unique = models.UniqueIndex("(uuid)", "Two links cannot share an identifier.")

    # === LINKS ===

    def _revoke(self, keep_readable=False):
        self.write({"is_closed": True} if keep_readable else {"is_revoked": True})

    @api.model
    def _cron_send_links(self, chunk=50):
        """Make the secrets and mails of queued links, a chunk per commit."""
        Cron = self.env["ir.cron"]
        queued = self.search([("state", "=", "queued")], order="id")
        Cron._commit_progress(remaining=len(queued))
        for start in range(0, len(queued), chunk):
            links = queued[start : start + chunk].try_lock_for_update()
            for link in links.filtered(lambda item: item.state == "queued"):
                link._send_one()
            if not Cron._commit_progress(len(links)):
                return

    def _send_one(self):
        if self.is_revoked:
            self.state = "sent"
            return
        change, partner = self.change_id, self.partner_id
        if not partner.email:
            self.state = "no_address"
            change.message_post(
                body=self.env._("%s has no e-mail address, so the change order was not sent.", partner.name)
            )
            return
        secret = secrets.token_urlsafe(32)
        self.write({"state": "sent", "secret_sha256": hashlib.sha256(secret.encode()).hexdigest()})
        self._create_mail(f"{change.get_base_url()}/mc/{self.uuid}?k={secret}")
        change._log(
            "request.sent", subject={"link_id": self.uuid}, pii={"to": partner.email}, actor_kind="system"
        )

    def _create_mail(self, url):
        """Queue the mail; it is tied to no document, so that nobody reads the secret in a chatter."""
        link = self.with_user(SUPERUSER_ID).with_context(lang=self.partner_id.lang, milestone_change_url=url)
        template = self.env.ref("milestone_billing.mail_template_change_request").sudo().with_env(link.env)
        values = template._generate_template(link.ids, ("subject", "body_html", "email_from"))[self.id]
        self.env["mail.mail"].sudo().create(
            {
                "subject": values["subject"],
                "body_html": values["body_html"],
                "email_from": values["email_from"],
                "email_to": self.partner_id.email_formatted,
                "auto_delete": True,
                "state": "outgoing",
            }
        )
        self.env.ref("mail.ir_cron_mail_scheduler_action").sudo()._trigger()

    def _has_secret(self, secret):
        """Tell, in constant time, whether this is the secret of the link.

        :rtype: bool
        """
        self.ensure_one()
        kept, given = self.sudo().secret_sha256, hashlib.sha256((secret or "").encode()).hexdigest()
        return bool(kept) and not self.is_revoked and consteq(kept, given)

    # === DECISION ===

    def _get_required_level(self):
        change = self.change_id
        company = change.company_id
        amount = change.currency_id._convert(
            abs(change.amount_total), company.currency_id, company, fields.Date.context_today(self)
        )
        return required_level(Decimal(str(amount)), Decimal(str(company.milestone_level2_above)))

    def _decide(self, kind, form, level, visit):
        """Take the decision of this approver, once. A refusal is returned and recorded, never raised.

        :param str kind: `approve` or `decline`.
        :param dict form: `snapshot_sha256`, `accept`, `typed_name`, `reason`.
        :param str level: how sure we are who is there.
        :param dict visit: `auth`, `http`, `pii`, `actor_kind` of the evidence entries.
        :return: `recorded`, or the reason of the refusal.
        :rtype: str
        """
        self.ensure_one()
        change = self.change_id
        self.env.cr.execute("SELECT id FROM milestone_billing_change WHERE id = %s FOR UPDATE", [change.id])
        if self.decision == kind:
            return "recorded"
        refusal = self._get_refusal(kind, form, level)
        actor = {
            **visit,
            "actor_ref": self.partner_id.milestone_evidence_ref,
            "subject": {"link_id": self.uuid},
        }
        actor["auth"] = {**visit["auth"], "level": level}
        if refusal:
            change._log("approval.refused", data={"reason_code": refusal, "decision": kind}, **actor)
            return refusal
        self.write({"decision": kind, "decided_on": fields.Datetime.now(), "reason": form.get("reason")})
        if kind == "decline":
            actor["pii"] = {**visit["pii"], "reason": form["reason"]}
            change._log("approval.declined", data={"reason_code": "other"}, **actor)
            change._decline(form["reason"])
            change.link_ids._revoke(keep_readable=True)
            return "recorded"
        return self._record_approval(form, actor)

    def _get_refusal(self, kind, form, level):
        """Find why this attempt cannot count, or None.

        :rtype: str | None
        """
        refusal = self._get_state_refusal(form)
        if refusal:
            return refusal
        if kind == "decline":
            return None if (form.get("reason") or "").strip() else "reason_missing"
        return self._get_approve_refusal(form, level)

    def _get_state_refusal(self, form):
        change = self.change_id
        if change.state != "proposed" or self.is_revoked:
            return "superseded" if change.state in ("draft", "cancelled") else "already_decided"
        if self.decision:
            return "already_decided"
        if change.expires_on <= fields.Datetime.now():
            return "expired"
        return None if form.get("snapshot_sha256") == change.snapshot_sha256 else "stale_snapshot"

    def _get_approve_refusal(self, form, level):
        if form.get("accept") != "1" or not (form.get("typed_name") or "").strip():
            return "consent_missing"
        amount = Decimal(str(abs(self.change_id.amount_total)))
        if not within_limit(amount, Decimal(str(self.amount_limit))):
            return "over_limit"
        return None if meets_level(level, self._get_required_level()) else "level_too_low"

    def _record_approval(self, form, actor):
        change = self.change_id
        snapshot = change._get_snapshot()
        actor["pii"] = {**actor["pii"], "typed_name": form["typed_name"]}
        data = {
            "decision": "approve",
            "amount_total": snapshot["amount_total"],
            "currency": snapshot["currency"],
            "consent_sha256": hashlib.sha256(snapshot["consent"]["text"].encode()).hexdigest(),
            "accept_checked": True,
            "approver_role": self.role or "",
        }
        self.event_id = change._log("approval.granted", data=data, **actor)._get_body()["event_id"]
        granted = change._get_active_links().filtered(lambda link: link.decision == "approve")
        if len(granted) < snapshot["quorum"]:
            change.message_post(
                body=self.env._("%s has approved; others still have to.", self.partner_id.name)
            )
            return "recorded"
        return (
            "recorded" if change._finish({"granted_event_ids": granted.mapped("event_id")}) else "superseded"
        )
