import uuid

from odoo import api, fields, models
from odoo.tools import SQL

from ..tools import reminder_steps


class ResPartner(models.Model):
    _inherit = "res.partner"

    milestone_evidence_ref = fields.Char(
        string="Evidence Reference",
        readonly=True,
        copy=False,
        index=True,
        default=lambda self: str(uuid.uuid4()),
        help="Random name of this contact in evidence, so that no database id or personal data stands there.",
    )

    milestone_reminder_preference = fields.Selection(
        [("email", "By e-mail only"), ("sms", "By text message only"), ("none", "No reminders")],
        string="Milestone Reminders",
        help="How this contact wants to be reminded of approvals and payments; the client can change it. "
        "Requests for approval and invoices are always sent.",
    )
    milestone_phone_problem = fields.Char(compute="_compute_milestone_phone_problem")

    @api.depends("phone", "country_id")
    def _compute_milestone_phone_problem(self):
        """Say on the contact that text messages cannot reach its number."""
        for partner in self:
            is_bad = partner.phone and not partner._phone_format(fname="phone")
            partner.milestone_phone_problem = is_bad and self.env._(
                "“%s” is not a valid phone number, so text messages cannot be sent to it. "
                "Write it with its country code, e.g. +49 30 901820.",
                partner.phone,
            )

    def _prepare_reminder_values(self, wanted):
        """Decide how this contact is reminded.

        :param str wanted: channel of the step, `email` or `sms`.
        :return: values of `milestone.billing.reminder`.
        :rtype: dict
        """
        self.ensure_one()
        if not self.active:
            note = self.env._("The contact is archived.")
            return {
                "partner_id": self.id,
                "channel": False,
                "state": "failed",
                "note": note,
                "address": False,
            }
        number = self._phone_format(fname="phone")
        channel, reason = reminder_steps.choose_channel(
            wanted, self.milestone_reminder_preference, bool(self.email_normalized), bool(number)
        )
        notes = {
            "stopped": self.env._("The client stopped reminders."),
            "chosen": self.env._("The client chose this channel."),
            "bad_number": self.milestone_phone_problem or self.env._("There is no phone number."),
            "no_email": self.env._("There is no e-mail address."),
            "unreachable": self.milestone_phone_problem
            or self.env._("There is neither a phone number nor an e-mail address."),
        }
        state = "sent" if channel else ("skipped" if reason == "stopped" else "failed")
        address = {"email": self.email_normalized, "sms": number}.get(channel)
        return {
            "partner_id": self.id,
            "channel": channel,
            "state": state,
            "note": notes.get(reason),
            "address": address,
        }

    def _init_column(self, column_name):
        """Override of `models` to give each contact that is there already a reference of its own."""
        if column_name != "milestone_evidence_ref":
            return super()._init_column(column_name)
        self.env.cr.execute(
            SQL(
                "UPDATE res_partner SET milestone_evidence_ref = gen_random_uuid()::text"
                " WHERE milestone_evidence_ref IS NULL"
            )
        )
        return None
