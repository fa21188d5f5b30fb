import re

from odoo import fields
from odoo.tests import HttpCase

from .common import MilestoneBillingCommon

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


class ApprovalCommon(MilestoneBillingCommon):
    """Orders whose milestones need approval, and the steps of a submission."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company.email = "studio@seller.example"
        cls.manager = cls.env["res.users"].browse(cls.billing_user.id)
        cls.manager.email = "manager@seller.example"

    @classmethod
    def create_submitted(cls, approvers=None, quorum=1, proof=(), **values):
        """Create an order with approvers and submit its first milestone.

        :param approvers: contacts or (contact, limit) pairs; the one contact by default.
        :return: the open submission.
        """
        order = cls.create_order(confirm=False, user_id=cls.manager.id, **values)
        schedule = order.milestone_schedule_id or order._ensure_milestone_schedule()
        schedule.quorum = quorum
        for item in approvers or [cls.contact]:
            partner, limit = item if isinstance(item, tuple) else (item, 0.0)
            schedule.approver_ids = [
                fields.Command.create({"partner_id": partner.id, "role": "Owner", "amount_limit": limit})
            ]
        order.milestone_line_ids.approval_required = True
        order.action_confirm()
        line = order.milestone_line_ids[0]
        line.description = "The build is complete."
        for name, raw in proof:
            line.proof_ids = [fields.Command.create({"name": name, "raw": raw})]
        line.action_complete()
        return line.approval_ids

    @classmethod
    def issue_link(cls, approval, partner=None):
        """Give the newest link of an approver with its secret, as the mail carries it.

        :return: the link and its secret.
        """
        seat = approval.seat_ids.filtered(lambda item: not partner or item.partner_id == partner)[:1]
        link = seat.link_ids[:1]
        secret = link._issue_secret()
        link.sudo().state = "sent"
        return link, secret

    @classmethod
    def add_contact(cls, name):
        """Create one more contact of the client."""
        email = f"{name.split()[0].lower()}@client.example"
        return cls.env["res.partner"].create(
            {"name": name, "parent_id": cls.client_company.id, "email": email}
        )

    def get_events(self, line):
        """Give the types of a milestone's evidence, in order."""
        return line.evidence_ids.sorted("seq").mapped("type")


class ApprovalHttpCommon(ApprovalCommon, HttpCase):
    """A client at the door, by HTTP."""

    def url_open(self, url, *args, **kwargs):
        """Wait as long as a busy machine needs: what is tested is the answer, not its speed."""
        kwargs.setdefault("timeout", 90)
        return super().url_open(url, *args, **kwargs)

    def setUp(self):
        super().setUp()
        self.authenticate(None, None)

    def fields_of(self, response):
        """Read the hidden fields of a form."""
        found = re.findall(r'<input type="hidden" name="([a-z_0-9]+)" value="([^"]*)"', response.text)
        return dict(found)

    def enter(self, approval, partner=None):
        """Open a link as its holder and give the review page."""
        link, secret = self.issue_link(approval, partner)
        page = self.url_open(f"/ma/{link.uuid}?k={secret}")
        form = self.fields_of(page)
        return self.url_open(f"/ma/{link.uuid}/open", data=form)

    def read_form(self, approval, step="approve"):
        """Open the form of a decision and give its hidden fields."""
        page = self.url_open(f"/my/milestones/{approval.uuid}/{step}")
        self.assertEqual(page.status_code, 200, page.text[:300])
        return self.fields_of(page)

    def post(self, approval, step, form):
        """Send a decision without following the redirect."""
        return self.url_open(f"/my/milestones/{approval.uuid}/{step}", data=form, allow_redirects=False)

    def approve(self, approval, **more):
        """Approve as the visitor of this session."""
        form = {**self.read_form(approval), "accept": "1", "typed_name": "Zoe Client", **more}
        return self.post(approval, "approve", form)
