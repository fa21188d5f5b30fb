"""The certificate and the evidence of a decision, for those who may see the submission."""

from odoo import http
from odoo.http import request

from ..tools.retention import CLIENT
from .review import URL, Review
from .visit import seal, send_file

CERTIFICATES_PER_HOUR_MAX = 20


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
        if not self._take_download(visit):
            return seal(request.make_response("Too many requests", status=429))
        Certificate = request.env["milestone.billing.evidence.certificate"].sudo()
        certificate = Certificate._get_or_issue(visit.approval.line_id)
        content = certificate._get_pdf() if certificate else None
        if not content:
            return seal(request.make_response("Not found", status=404))
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
        if not self._take_download(visit):
            return seal(request.make_response("Too many requests", status=429))
        partner = visit.seat.partner_id or request.env.user.partner_id
        own_ref = partner.sudo().milestone_evidence_ref
        filename, content = visit.approval.line_id.sudo()._export_evidence(CLIENT, own_ref)
        return send_file(content, "application/zip", filename)

    def _take_download(self, visit):
        """Count a download: printing and packing cost time."""
        key = f"approval,{visit.approval.id},{visit.seat.id or request.env.uid}"
        Attempt = request.env["milestone.billing.attempt"]
        return Attempt._take("evidence_download", key, CERTIFICATES_PER_HOUR_MAX, 60)
