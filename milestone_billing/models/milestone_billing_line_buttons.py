"""Buttons about what the client was asked and what is kept as evidence."""

import base64

from odoo import models
from odoo.exceptions import UserError


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def action_resend(self):
        """Send new personal links for the submissions that wait for the client.

        :raise UserError: if one of these milestones waits for nobody.
        """
        self._check_may_complete()
        for line in self:
            if line.state != "submitted":
                raise UserError(
                    self.env._("“%s” is not with the client, so there is nothing to send again.", line.name)
                )
        self.approval_ids.filtered(lambda approval: approval.state == "requested").action_resend()
        return True

    def action_verify_evidence(self):
        """Check the evidence of this milestone and tell the result.

        :rtype: dict
        """
        verdict = self.verify_evidence()
        if verdict["ok"]:
            message = self.env._(
                "%(count)s entries, all intact. Last hash %(head)s…",
                count=verdict["entries"],
                head=(verdict["head"] or "")[:12],
            )
        else:
            message = "\n".join(problem["message"] for problem in verdict["problems"])
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "title": self.env._("Evidence of %s", self.reference),
                "message": message,
                "type": "success" if verdict["ok"] else "danger",
                "sticky": not verdict["ok"],
            },
        }

    def action_export_evidence(self):
        """Download the evidence of this milestone as a ZIP that can be checked without Odoo.

        :rtype: dict
        """
        bundle = self.export_evidence()
        attachment = self.env["ir.attachment"].create(
            {
                "name": bundle["filename"],
                "raw": base64.b64decode(bundle["content"]),
                "mimetype": "application/zip",
            }
        )
        return {
            "type": "ir.actions.act_url",
            "url": f"/web/content/{attachment.id}?download=true",
            "target": "download",
        }
