import base64

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_datetime
from odoo.tools._vendor.useragents import UserAgent
from odoo.tools.image import image_data_uri, image_process
from odoo.tools.mimetypes import guess_mimetype

from ..tools.evidence_bundle import sha256
from ..tools.evidence_summary import SHORT_HASH, find_value, mask_email, network_value, signing_key
from ..tools.redaction import reservation_texts

# Twice what is printed; a certificate with fifty photographs can be mailed, and submitted in a dispute.
THUMBNAIL_SIZE, THUMBNAIL_QUALITY = (220, 160), 80
# About forty lines a page.
TIMELINE_COUNT_MAX = 150
TIMELINE_LEFT_OUT = ("proof.", "pii.", "certificate.", "anchor.", "legal_hold.", "integrity.")
PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif")


class ReportMilestoneBillingCertificate(models.AbstractModel):
    """What the certificate prints: the story of the chain, and nothing that is not in it."""

    _name = "report.milestone_billing.report_certificate"
    _description = "Milestone Approval Certificate"

    @api.model
    def _get_report_values(self, docids, data=None):
        """Override of `base` to give the template the story of each milestone."""
        lines = self.env["milestone.billing.line"].browse(docids)
        lines.check_access("read")
        # Whose copy it is and its number are said by our own code; the address of a report takes any options.
        options = (data or {}) if self.env.su else {}
        return {
            "docs": lines,
            "certificates": [
                {
                    **self._prepare_certificate(
                        line.sudo(), options.get("number"), options.get("reader") or "client"
                    ),
                    "seal": options.get("seal"),
                    "is_short": bool(options.get("is_short")),
                }
                for line in lines
            ],
        }

    @api.model
    def _prepare_certificate(self, line, number, reader):
        """Give the values of one certificate.

        :param str number: None for an interim copy, which is watermarked.
        :param str reader: `dispute` shows addresses in full.
        """
        Certificate = self.env["milestone.billing.evidence.certificate"]
        story = Certificate._get_story(line)
        zone = find_value(story["events"], "client_tz")
        masked = reader != "dispute"
        return {
            "line": line,
            "company": line.company_id,
            "number": number,
            "issued_at": self._get_times(fields.Datetime.now(), zone),
            "story": story,
            "result": story["result"],
            "snapshot": story["snapshot"],
            "state_text": self._get_state_text(story["result"]["state"]),
            "level_text": self._get_level_text(story["result"]["level"]),
            "pictures": self._get_pictures(line, story["files"]),
            "mail": mask_email if masked else lambda address: address or "",
            "masked": masked,
            "network": lambda event, name: network_value(story["events"], event, name, masked),
            "browser": lambda event: self._get_browser_text(
                network_value(story["events"], event, "user_agent", masked)
            ),
            "signing_key": signing_key,
            "reservations": reservation_texts,
            "short": SHORT_HASH,
            "integrity": self._get_integrity(line),
        }

    @api.model
    def _get_times(self, moment, zone):
        texts = [f"{fields.Datetime.to_string(moment)} UTC"]
        if zone:
            texts.append(f"{format_datetime(self.env, moment, tz=zone)} ({zone})")
        return " / ".join(texts)

    @api.model
    def _get_browser_text(self, agent):
        """Tell browser and platform as Odoo's own list of devices does; nothing for what it does not know."""
        known = UserAgent(agent)
        browser = " ".join(filter(None, ((known.browser or "").capitalize(), known.version)))
        return ", ".join(filter(None, (browser, (known.platform or "").capitalize())))

    @api.model
    def _get_state_text(self, state):
        texts = {
            "requested": self.env._("Waiting for the client"),
            "approved": self.env._("Approved"),
            "changes_requested": self.env._("Changes requested"),
            "declined": self.env._("Declined"),
            "expired": self.env._("Expired"),
            "superseded": self.env._("Replaced by a newer revision"),
            "cancelled": self.env._("Cancelled"),
            "contested": self.env._("Contested by the approver"),
            "deemed_accepted": self.env._("Deemed accepted after the deadline"),
        }
        return texts.get(state, state)

    @api.model
    def _get_level_text(self, level):
        texts = {
            "L1": self.env._("L1: personal link sent to the approver"),
            "L2": self.env._("L2: personal link and one-time code, or a portal login"),
            "L3": self.env._("L3: portal login with a second factor"),
            "L4": self.env._("L4: signed with the approver's own key over this submission"),
        }
        return texts.get(level, self.env._("none"))

    @api.model
    def _get_pictures(self, line, files):
        """Give thumbnails of the pictures among the files, as data URIs, by their hash."""
        wanted = {item.get("sha256") for item in files if item.get("mimetype") in PICTURES}
        pictures = {}
        for attachment in line._get_evidence_attachments() if wanted else ():
            raw = attachment.raw or b""
            if sha256(raw) not in wanted or guess_mimetype(raw) not in PICTURES:
                continue
            try:
                small = image_process(raw, size=THUMBNAIL_SIZE, quality=THUMBNAIL_QUALITY)
            except UserError:
                # Too large to be opened, or only called a picture: its hash is printed all the same.
                continue
            pictures[sha256(raw)] = image_data_uri(base64.b64encode(small))
        return pictures

    @api.model
    def _get_integrity(self, line):
        """Give chain, head, checkpoint and anchors, as they stand."""
        last = (
            self.env["milestone.billing.evidence"]
            .sudo()
            .search([("chain_id", "=", line.evidence_uuid)], order="seq desc", limit=1)
        )
        leaf = (
            self.env["milestone.billing.evidence.leaf"]
            .sudo()
            .search([("chain_id", "=", line.evidence_uuid)], order="seq desc", limit=1)
        )
        checkpoint = self.env["milestone.billing.evidence.checkpoint"]._get_covering(leaf.log_id, leaf.index)
        anchors = self.env["milestone.billing.evidence.anchor"].sudo()
        if checkpoint:
            anchors = anchors.search(
                [("log_id", "=", checkpoint.log_id), ("size", ">=", checkpoint.size)], limit=5
            )
        host = self.env["ir.config_parameter"].sudo().get_param("web.base.url")
        return {
            "chain_id": line.evidence_uuid,
            "head": last.entry_hash,
            "count": last.seq + 1 if last else 0,
            "checkpoint": checkpoint if leaf else checkpoint.browse(),
            "anchors": anchors,
            "verify_url": f"{host}/milestones/verify",
            "qr": image_data_uri(base64.b64encode(self._get_qr(f"{host}/milestones/verify"))),
        }

    @api.model
    def _get_qr(self, text):
        return self.env["ir.actions.report"].barcode("QR", text, width=120, height=120)


class ReportMilestoneBillingTimeline(models.AbstractModel):
    """What happened, short enough for a card scheme: four pages at most."""

    _name = "report.milestone_billing.report_timeline"
    _description = "Milestone Dispute Timeline"
    _inherit = "report.milestone_billing.report_certificate"

    @api.model
    def _prepare_certificate(self, line, number, reader):
        """Override to leave out what a card scheme does not ask for."""
        values = super()._prepare_certificate(line, number, reader)
        events = values["story"]["events"]
        told = [event for event in events if not event.type.startswith(TIMELINE_LEFT_OUT)]
        return {**values, "timeline": told[:1] + told[1:][-TIMELINE_COUNT_MAX:]}
