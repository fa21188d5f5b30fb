import uuid

from odoo import api, fields, models

APPROVAL_STATES = [
    ("requested", "Requested"),
    ("approved", "Approved"),
    ("changes_requested", "Changes requested"),
    ("declined", "Declined"),
    ("expired", "Expired"),
    ("superseded", "Superseded"),
    ("cancelled", "Cancelled"),
    ("contested", "Contested"),
    ("deemed_accepted", "Deemed accepted"),
]


class MilestoneBillingApproval(models.Model):
    _name = "milestone.billing.approval"
    _description = "Milestone Submission"
    _order = "line_id, revision desc"
    _rec_name = "uuid"

    line_id = fields.Many2one(
        "milestone.billing.line",
        string="Milestone",
        required=True,
        index=True,
        ondelete="restrict",
        readonly=True,
    )
    order_id = fields.Many2one(related="line_id.order_id", store=True, index=True)
    company_id = fields.Many2one(related="line_id.company_id", store=True, index=True)
    partner_id = fields.Many2one(related="line_id.partner_id", store=True, index=True)
    revision = fields.Integer(required=True, readonly=True)
    state = fields.Selection(APPROVAL_STATES, default="requested", required=True, readonly=True, index=True)
    uuid = fields.Char(required=True, readonly=True, default=lambda self: str(uuid.uuid4()))
    snapshot_sha256 = fields.Char(string="Snapshot SHA-256", readonly=True)
    expires_on = fields.Datetime(readonly=True)

    _revision_unique = models.UniqueIndex(
        "(line_id, revision)", "This revision of the milestone was already submitted."
    )
    _uuid_unique = models.UniqueIndex("(uuid)", "Two submissions cannot share an identifier.")
    _open_unique = models.UniqueIndex(
        "(line_id) WHERE state = 'requested'", "The milestone is already with the client."
    )

    @api.model
    def _request(self, lines):
        """Open a new submission for each milestone.

        :param lines: milestones whose drafts exist.
        :rtype: milestone.billing.approval
        """
        return self.sudo().create(
            [
                {
                    "line_id": line.id,
                    "revision": max(line.approval_ids.mapped("revision"), default=0) + 1,
                    "expires_on": fields.Datetime.add(
                        fields.Datetime.now(), days=line.company_id.milestone_link_days
                    ),
                }
                for line in lines
            ]
        )

    def _cancel_open(self, reason):
        """Withdraw the submissions that still wait for the client.

        :param str reason: recorded with it.
        """
        self.sudo().filtered(lambda approval: approval.state == "requested").write({"state": "cancelled"})
