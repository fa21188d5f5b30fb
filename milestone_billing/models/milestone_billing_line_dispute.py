"""Files for a card dispute about a milestone."""

import io
import json
from datetime import date

from odoo import models
from odoo.tools.pdf import PdfReader, PdfWriter

from ..tools import dispute

CANDIDATE_COUNT_MAX = 60
DECLARATION = """Declaration

I, [name], [position] at {seller}, declare:

1. The records enclosed were made by our system at the times they state, in the ordinary course of business.
2. Milestone {reference} "{title}" was completed and shown to the client as the enclosed certificate states.
3. The client's decision was recorded as the enclosed certificate states.

I sign this on [date] at [place].

[signature]

This text is a template and no legal advice.
"""


def _count_pages(pdf):
    return len(PdfReader(io.BytesIO(pdf)).pages)


def _shorten(pdf, count_max):
    """Keep the first pages of a file, and its last one, which says how to verify it."""
    pages = PdfReader(io.BytesIO(pdf)).pages
    if len(pages) <= count_max:
        return pdf
    writer, result = PdfWriter(), io.BytesIO()
    for place in [*range(count_max - 1), len(pages) - 1]:
        writer.add_page(pages[place])
    writer.write(result)
    return result.getvalue()


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _prepare_dispute_files(self):
        """Give the dispute folder of a bundle: timeline, the schemes' own fields, a declaration to sign.

        :rtype: dict[str, bytes]
        """
        self.ensure_one()
        story = self.env["milestone.billing.evidence.certificate"]._get_story(self)
        timeline = self._render_timeline()
        certificate = self._render_scheme_certificate(_count_pages(timeline))
        stripe = dispute.stripe_evidence(
            story["events"], story["snapshot"], dispute.CERTIFICATE_FILE, dispute.TIMELINE_FILE
        )
        stripe["limits"] = dispute.check_limits(
            *((_count_pages(pdf), len(pdf)) for pdf in (certificate, timeline))
        )
        visa = dispute.visa_ce3(
            self._prepare_purchase(story), self._get_prior_purchases(), self.company_id._get_milestone_today()
        )
        declaration = DECLARATION.format(
            seller=self.company_id.name, reference=self.reference, title=self.name
        )
        return {
            dispute.CERTIFICATE_FILE: certificate,
            dispute.TIMELINE_FILE: timeline,
            "dispute/stripe_evidence.json": self._dump(stripe),
            "dispute/visa_ce3.json": self._dump(visa),
            "dispute/declaration_template.txt": declaration.encode(),
        }

    def _render_scheme_certificate(self, timeline_pages):
        """Print the certificate as card schemes take it: addresses in full, no event list, no more pages than they read.

        :param int timeline_pages: of the timeline that goes with it and lists the events.
        :rtype: bytes
        """
        Certificate = self.env["milestone.billing.evidence.certificate"]
        number = Certificate._get_current(self).number or None
        pdf = Certificate._render(self, number, reader="dispute", is_short=True)
        return _shorten(pdf, dispute.certificate_pages_max(timeline_pages))

    @staticmethod
    def _dump(value):
        return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode()

    def _render_timeline(self):
        report = self.env["ir.actions.report"].sudo().with_context(force_report_rendering=True)
        content, _kind = report._render_qweb_pdf(
            "milestone_billing.action_report_timeline", res_ids=self.ids, data={"reader": "dispute"}
        )
        return content

    def _prepare_purchase(self, story):
        """Give a milestone as a purchase, from the events of its chain."""
        self.ensure_one()
        payments = [event for event in story["events"] if event.type == "payment.confirmed"]
        charges = [event.data.get("provider_ref") for event in story["events"] if event.type == "payment.tx"]
        paid_on = payments[-1].body["occurred_at"][:10] if payments else None
        return dispute.Purchase(
            reference=self.reference or "",
            description=self.name,
            paid_on=date.fromisoformat(paid_on) if paid_on else self.company_id._get_milestone_today(),
            charge=next(filter(None, reversed(charges)), ""),
            identifiers=dispute.identifiers(story["events"]),
        )

    def _get_prior_purchases(self):
        """Give the client's other paid milestones that no one disputed."""
        Certificate = self.env["milestone.billing.evidence.certificate"]
        partner = self.sudo().partner_id.commercial_partner_id
        lines = self.sudo().search(
            [
                ("partner_id", "child_of", partner.id),
                ("company_id", "=", self.company_id.id),
                ("id", "!=", self.id),
                ("invoice_status", "=", "paid"),
            ],
            order="id desc",
            limit=CANDIDATE_COUNT_MAX,
        )
        stories = [(line, Certificate._get_story(line)) for line in lines]
        return [
            line._prepare_purchase(story)
            for line, story in stories
            if any(event.type == "payment.confirmed" for event in story["events"])
            and not any(event.type.startswith("dispute.opened") for event in story["events"])
        ]
