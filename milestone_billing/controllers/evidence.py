"""The certificate and the evidence of a decision, for those who may see the submission."""

from odoo import http
from odoo.http import request

from ..tools.retention import CLIENT
from .review import URL, Review
from .visit import refuse_file, send_file, take_download


class Evidence(Review):
    """Hand out what proves a decision."""

    @http.route(
        f"{URL}/<string:uuid>/certificate.pdf",
        type="http",
        auth="public",
        methods=["GET"],
        website=True,
        sitemap=False,
    )
    def certificate(self, uuid, **_kwargs):
        """Send the certificate of the present state; there is none before a decision."""
        visit = self._enter(uuid)
        if not visit:
            return self._closed_door()
        if not take_download(visit.approval, visit.seat or request.env.user):
            return refuse_file(429)
        Certificate = request.env["milestone.billing.evidence.certificate"].sudo()
        certificate = Certificate._get_or_issue(visit.approval.line_id)
        content = certificate._get_pdf() if certificate else None
        if not content:
            return refuse_file()
        return send_file(content, "application/pdf", f"{certificate.number}.pdf")

    @http.route(
        f"{URL}/<string:uuid>/evidence.zip",
        type="http",
        auth="public",
        methods=["GET"],
        website=True,
        sitemap=False,
    )
    def evidence(self, uuid, **_kwargs):
        """Send the client's copy of the evidence: own data and what was decided, nobody else's."""
        visit = self._enter(uuid)
        if not visit:
            return self._closed_door()
        if not take_download(visit.approval, visit.seat or request.env.user):
            return refuse_file(429)
        partner = visit.seat.partner_id or request.env.user.partner_id
        own_ref = partner.sudo().milestone_evidence_ref
        filename, content = visit.approval.line_id.sudo()._export_evidence(CLIENT, own_ref)
        return send_file(content, "application/zip", filename)
