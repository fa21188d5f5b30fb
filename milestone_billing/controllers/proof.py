"""Proof files: streamed with ranges, typed by their bytes, and never run by a browser."""

import re

from odoo import http
from odoo.http import Stream, request

from .review import URL, Review
from .visit import get_session_tag, make_visitor, seal

# Line ends would break a header; signs that turn the direction of text would hide the real ending of a name.
_CONTROLS = re.compile("[\\x00-\\x1f\\x7f\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]")


class Proof(Review):
    """Serve the files of a submission."""

    @http.route(
        f"{URL}/<string:uuid>/file/<string:file_uuid>",
        type="http",
        auth="public",
        methods=["GET"],
        website=True,
        sitemap=False,
    )
    def proof_file(self, uuid, file_uuid, download="", **_kwargs):
        """Send a submitted file to who may see the submission."""
        visit = self._enter(uuid)
        if not visit:
            return self._closed_door()
        entry, attachment = visit.approval._find_file(file_uuid)
        if not attachment:
            return seal(request.make_response("Not found", status=404))
        self._log_opened(visit, entry)
        stream = Stream(
            type="path" if attachment.store_fname else "data",
            path=attachment._full_path(attachment.store_fname) if attachment.store_fname else None,
            data=None if attachment.store_fname else attachment.raw or b"",
            mimetype=entry["mimetype"],
            download_name=" ".join(_CONTROLS.sub(" ", entry["name"]).split()) or "file",
            etag=entry["sha256"],
            size=entry["size"],
        )
        is_download = bool(download) or entry["kind"] == "file"
        response = stream.get_response(as_attachment=is_download)
        response.headers["Accept-Ranges"] = "bytes"
        return seal(response, **{"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"})

    def _log_opened(self, visit, entry):
        """Record it once per session and file; the session itself is left alone, for pictures load side by side."""
        approval = visit.approval
        if not visit.seat or request.httprequest.method == "HEAD":
            return
        key = f"{approval.uuid},{get_session_tag()},{entry['file_uuid']}"
        if not request.env["milestone.billing.attempt"]._take("file_opened", key, 1, 24 * 60):
            return
        data = {
            "file_uuid": entry["file_uuid"],
            "sha256": entry["sha256"],
            "range_complete": not request.httprequest.headers.get("Range"),
        }
        visitor = make_visitor(visit, f"{URL}/<uuid>/file/<file_uuid>")
        approval._log_visit_apart("review.file_opened", visitor, data=data)
