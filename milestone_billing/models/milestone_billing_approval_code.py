import secrets
import uuid
from datetime import timedelta

from odoo import SUPERUSER_ID, api, fields, models
from odoo.tools import SQL, consteq, hmac

from ..tools.approval_rules import mask_email, mask_phone

CODE_DIGITS = 6
VALID_MINUTES = 10
WRONG_MAX = 5
CODES_PER_HOUR_MAX = 5
KEPT_DAYS = 30


class MilestoneBillingApprovalCode(models.Model):
    """A one-time code that shows that an approver reads the mailbox or phone we know."""

    _name = "milestone.billing.approval.code"
    _description = "One-time Approval Code"
    _order = "id desc"
    _rec_name = "channel"

    seat_id = fields.Many2one(
        "milestone.billing.approval.seat", required=True, readonly=True, index=True, ondelete="cascade"
    )
    uuid = fields.Char(required=True, readonly=True, default=lambda self: str(uuid.uuid4()))
    channel = fields.Selection([("email", "E-mail"), ("sms", "SMS")], required=True, readonly=True)
    code_hmac = fields.Char(readonly=True, groups="base.group_system")
    expires_on = fields.Datetime(required=True, readonly=True)
    wrong_count = fields.Integer(readonly=True)
    used_on = fields.Datetime(readonly=True)

    # === SENDING ===

    @api.model
    def _issue(self, seat, channel="email"):
        """Send a new code to an approver; earlier ones stop working.

        :param seat: of whom.
        :param str channel: `email` or `sms`.
        :return: the masked address it went to, or False if too many were asked for or there is no address.
        :rtype: str | bool
        """
        seat = seat.sudo()
        target = self._get_target(seat, channel)
        Attempt = self.env["milestone.billing.attempt"]
        if not target or not Attempt._take("code_sent", self._get_key(seat), CODES_PER_HOUR_MAX, 60):
            return False
        self._get_open(seat).write({"expires_on": fields.Datetime.now()})
        digits = "".join(secrets.choice("0123456789") for _place in range(CODE_DIGITS))
        code = self.sudo().create(
            {
                "seat_id": seat.id,
                "channel": channel,
                "expires_on": fields.Datetime.now() + timedelta(minutes=VALID_MINUTES),
            }
        )
        code.code_hmac = code._hash(digits)
        code._send(digits, target)
        return mask_email(target) if channel == "email" else mask_phone(target)

    @api.model
    def _get_key(self, seat):
        return f"{seat._name},{seat.id}"

    @api.model
    def _count_sent(self, seat):
        """Count the codes that an approver was sent in the last hour: the number of this attempt.

        :rtype: int
        """
        return self.env["milestone.billing.attempt"]._count("code_sent", self._get_key(seat), 60)

    @api.model
    def _get_target(self, seat, channel):
        if channel == "email":
            return seat.partner_id.email_normalized
        return seat.partner_id._phone_format(fname="phone") or False

    def _send(self, digits, target):
        """Queue the message and wake the sender up: a code is of no use in an hour."""
        approval = self.seat_id.approval_id
        lang = self.seat_id.partner_id.lang or approval.lang
        record = self.with_user(SUPERUSER_ID).with_context(lang=lang, milestone_code=digits)
        if self.channel == "sms":
            body = record.env._(
                "%(seller)s: your code to approve “%(milestone)s” is %(code)s. It is valid for %(minutes)s minutes.",
                seller=approval.company_id.name,
                milestone=approval.line_id.name,
                code=digits,
                minutes=VALID_MINUTES,
            )
            self.env["sms.sms"].sudo().create({"number": target, "body": body})
            self.env.ref("sms.ir_cron_sms_scheduler_action").sudo()._trigger()
            return
        template = self.env.ref("milestone_billing.mail_template_approval_code").sudo()
        values = template.with_env(record.env)._generate_template(record.ids, ("subject", "body_html"))[
            self.id
        ]
        self.env["mail.mail"].sudo().create(
            {
                "subject": values["subject"],
                "body_html": values["body_html"],
                "email_from": approval.company_id.email_formatted,
                "email_to": self.seat_id.partner_id.email_formatted,
                "auto_delete": True,
                "state": "outgoing",
            }
        )
        self.env.ref("mail.ir_cron_mail_scheduler_action").sudo()._trigger()

    # === CHECKING ===

    @api.model
    def _get_open(self, seat):
        return self.sudo().search(
            [
                ("seat_id", "=", seat.id),
                ("used_on", "=", False),
                ("expires_on", ">", fields.Datetime.now()),
                ("wrong_count", "<", WRONG_MAX),
            ]
        )

    @api.model
    def _prepare_attempt(self, seat):
        """Give what the evidence tells about the next guess of an approver; 0 when there is no code to guess.

        :rtype: dict
        """
        tried = self._get_open(seat)[:1]
        return {"channel": tried.channel or "", "attempt": tried.wrong_count + 1 if tried else 0}

    @api.model
    def _redeem(self, seat, digits):
        """Use up the code of an approver.

        :param str digits: as typed.
        :return: the code that was right, or an empty set.
        :rtype: milestone.billing.approval.code
        """
        code = self._get_open(seat)[:1]
        if not code:
            return code
        table = SQL.identifier(self._table)
        self.env.cr.execute(SQL("SELECT id FROM %s WHERE id = %s FOR UPDATE", table, code.id))
        if not consteq(code.code_hmac, code._hash("".join((digits or "").split()))):
            code.wrong_count += 1
            return code.browse()
        code.used_on = fields.Datetime.now()
        return code

    def _hash(self, digits):
        return hmac(self.env(su=True), "milestone_billing.approval.code", (self.uuid, digits))

    @api.autovacuum
    def _gc_codes(self):
        limit = fields.Datetime.now() - timedelta(days=KEPT_DAYS)
        self.search([("create_date", "<", limit)], limit=100000).unlink()
