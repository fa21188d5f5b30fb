"""Where personal data of the evidence stands a second time: notes, mails, decisions, device logs.

Erasing a value in the evidence blanks the same words there. What is kept for other reasons stays: invoices and payments
for accounting, tasks made of reservations as orders of work, and the contact itself, which is the address book's.
"""

from odoo import api, models
from odoo.fields import Domain
from odoo.tools import SQL

from ..tools.redaction import Redactor, written_texts
from .milestone_billing_line_state import INTERNAL_WRITE

# Model to the fields in which people's words may stand; `chain` is the way from a record to its owner.
TEXT_FIELDS = {
    "mail.message": ("subject", "body", "email_from", "reply_to"),
    "mail.activity": ("summary", "note"),
    "mail.tracking.value": ("old_value_char", "new_value_char", "old_value_text", "new_value_text"),
    "milestone.billing.approval.link": ("failure", "revoke_reason"),
    "milestone.billing.approval.decision": ("reason",),
    "milestone.billing.change.link": ("reason", "failure"),
    "milestone.billing.reminder": ("address", "note"),
}
OWNERS = ("milestone.billing.line", "milestone.billing.change")


class MilestoneBillingEvidenceErasure(models.AbstractModel):
    _inherit = "milestone.billing.evidence.erasure"

    @api.model
    def _read_written(self, value_ids):
        """Give what is about to be erased as people write it.

        :return: chain id to texts.
        :rtype: dict[str, set[str]]
        """
        written = {}
        for value in self.env["milestone.billing.evidence.value"].sudo().browse(value_ids):
            written.setdefault(value.chain_id, set()).update(written_texts(value.name, value.value))
        return written

    @api.model
    def _blank_copies(self, written):
        """Blank erased texts in what stands around their milestones and change orders.

        :param dict written: as `_read_written` gives it.
        """
        for name in OWNERS:
            domain = [("evidence_uuid", "in", [chain for chain, texts in written.items() if texts])]
            for owner in self.env[name].sudo().search(domain):
                redact = Redactor(written[owner.evidence_uuid])
                for records in owner._get_personal_copies():
                    self._blank(records, redact)

    @api.model
    def _blank(self, records, redact):
        for record in records.with_context(milestone_internal_write=INTERNAL_WRITE, mail_notrack=True):
            values = {}
            for field in TEXT_FIELDS[record._name]:
                old = record[field]
                if old and (new := redact(str(old))) != str(old):
                    values[field] = new
            if values:
                record.write(values)

    # === DEVICES ===

    @api.model
    def _erase_device_logs(self, company):
        """Delete the device log of client users beyond the period of network addresses, where nothing is held."""
        self.env.cr.execute(
            SQL(
                """
                DELETE FROM res_device_log AS log USING res_users AS usr
                 WHERE log.user_id = usr.id AND usr.share AND log.last_activity < %s AND usr.partner_id IN (%s)
                """,
                self._get_cutoff(company.milestone_retention_network_days)[:19].replace("T", " "),
                self._get_client_query(company),
            )
        )

    @api.model
    def _erase_devices_of(self, partner):
        """Delete the device log of a contact's own logins; staff keep theirs, for it guards the accounts."""
        users = partner.sudo().with_context(active_test=False).user_ids.filtered("share")
        self.env["res.device.log"].sudo().search([("user_id", "in", users.ids)]).unlink()

    @api.model
    def _get_client_query(self, company):
        """Give the contacts of a company who were asked for a decision, without those under legal hold."""
        return SQL(
            """
            SELECT seat.partner_id FROM milestone_billing_approval_seat AS seat WHERE seat.company_id = %s
            EXCEPT
            SELECT seat.partner_id FROM milestone_billing_approval_seat AS seat
              JOIN milestone_billing_approval AS approval ON approval.id = seat.approval_id
              JOIN milestone_billing_line AS line ON line.id = approval.line_id
             WHERE %s
            """,
            company.id,
            self._get_held_condition(SQL("line.evidence_uuid")),
        )

    @api.model
    def _is_held(self, partner):
        """Tell whether a contact decided about something that is under legal hold."""
        mine = [("partner_id", "=", partner.id)]
        lines = self.env["milestone.billing.approval.seat"].sudo().search(mine).approval_id.line_id
        changes = self.env["milestone.billing.change.link"].sudo().search(mine).change_id
        return any([*lines.mapped("is_legal_hold"), *changes.mapped("is_legal_hold")])


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _get_personal_copies(self):
        """Give the records around one milestone which may repeat what its evidence holds of people.

        :return: recordsets of models in `TEXT_FIELDS`.
        """
        self.ensure_one()
        approvals = self.sudo().approval_ids
        reminders = self.env["milestone.billing.reminder"].sudo().search([("line_id", "=", self.id)])
        return [*_get_notes(self), approvals.link_ids, approvals.decision_ids, reminders]


class MilestoneBillingChange(models.Model):
    _inherit = "milestone.billing.change"

    def _get_personal_copies(self):
        """Give the records around one change order which may repeat what its evidence holds of people.

        :return: recordsets of models in `TEXT_FIELDS`.
        """
        self.ensure_one()
        return [*_get_notes(self), self.sudo().link_ids, self.sudo().reminder_ids]


def _get_notes(record):
    """Give messages with their tracked values, and activities, those that were put aside too."""
    env = record.env(su=True)
    of_record = Domain("res_id", "=", record.id)
    messages = env["mail.message"].search(of_record & Domain("model", "=", record._name))
    activities = env["mail.activity"].with_context(active_test=False)
    return (
        messages,
        messages.tracking_value_ids,
        activities.search(of_record & Domain("res_model", "=", record._name)),
    )
