from datetime import UTC, datetime

from odoo import api, models
from odoo.exceptions import AccessError

from ..tools.approval_rules import LEVELS
from .milestone_billing_approval_decision import Visitor


class MilestoneBillingDemo(models.AbstractModel):
    """The client's part in the demo stories: nobody sits at a browser while demo data is installed.

    The decision goes the way of every decision; its evidence says that it was made by demo data.
    """

    _name = "milestone.billing.demo"
    _description = "Client's Decisions in Demo Data"

    @api.model
    def _decide(self, line_id, kind, reason=None):
        """Let the first approver of a milestone decide about its open submission.

        :param int line_id: milestone.
        :param str kind: `approve` or `changes`.
        :param str reason: what is to change.
        :raise AccessError: once the database serves anybody.
        """
        self._check_is_installing()
        approval = self.env["milestone.billing.line"].browse(line_id)._get_current_approval()
        seat = approval.seat_ids[:1]
        visitor = Visitor(
            seat=seat,
            actor_kind="portal_user",
            methods=("demo",),
            http={"route": "demo"},
            presented_at=datetime.now(UTC).timestamp(),
            locale=approval.lang or "",
        )
        return approval._decide(kind, visitor, self._prepare_form(approval, seat, reason)).code

    @api.model
    def _check_is_installing(self):
        if not self.env.su or self.env.registry.ready:
            raise AccessError(
                self.env._("Decisions are made by the client and cannot be entered or changed.")
            )

    @api.model
    def _decide_change(self, change_id, kind):
        """Let the first approver of a change order decide about it.

        :param int change_id: change order.
        :param str kind: `approve` or `decline`.
        :raise AccessError: once the database serves anybody.
        """
        self._check_is_installing()
        change = self.env["milestone.billing.change"].browse(change_id)
        link = change._get_active_links()[:1]
        form = {
            "snapshot_sha256": change.snapshot_sha256,
            "presented_at": datetime.now(UTC).timestamp(),
            "idempotency_key": f"demo-{change.uuid}",
            "accept": "1",
            "typed_name": link.partner_id.name,
        }
        visit = {
            "actor_kind": "portal_user",
            "auth": {"method": ["demo"]},
            "http": {"route": "demo"},
            "pii": {},
        }
        return link._decide(kind, form, LEVELS[1], visit)

    @api.model
    def _remind(self, line_id, step_id):
        """Take one step of the reminders about a milestone, whatever day of the week the demo is installed on.

        :param int line_id: milestone.
        :param int step_id: `milestone.billing.reminder.step`.
        :raise AccessError: once the database serves anybody.
        """
        self._check_is_installing()
        line = self.env["milestone.billing.line"].browse(line_id)
        step = self.env["milestone.billing.reminder.step"].browse(step_id)
        purpose, source, _anchors = line._get_reminder_source()
        base = {"line_id": line.id, "purpose": purpose, "source": source, "step_id": step.id}
        reminders = line._prepare_step_reminders(base, step.channel)
        self.env["milestone.billing.reminder"].create(reminders)._send()

    @api.model
    def _prepare_form(self, approval, seat, reason):
        return {
            "snapshot_sha256": approval.snapshot_sha256,
            "consent_sha256": approval._get_consent_sha256(),
            "idempotency_key": f"demo-{approval.uuid}",
            "accept": "1",
            "typed_name": seat.partner_id.name,
            "reason_code": "quality" if reason else False,
            "reason": reason,
        }
