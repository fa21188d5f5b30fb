"""Proof files: streamed with ranges, typed by their bytes, and never run by a browser."""

from odoo import http
from odoo.http import Stream, request

from .review import URL, Review
from .visit import make_visitor, seal


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
            download_name=entry["name"],
            etag=entry["sha256"],
            size=entry["size"],
        )
        is_download = bool(download) or entry["kind"] == "file"
        response = stream.get_response(as_attachment=is_download)
        return seal(response, **{"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"})

    def _log_opened(self, visit, entry):
        """Record it once per session and file."""
        approval = visit.approval
        seen = dict(request.session.get("milestone_seen") or {})
        item = dict(seen.get(approval.uuid) or {"snapshot": approval.snapshot_sha256, "files": []})
        if not visit.seat or entry["file_uuid"] in item["files"] or request.httprequest.method == "HEAD":
            return
        item["files"] = [*item["files"], entry["file_uuid"]][-200:]
        seen[approval.uuid] = {"at": 0, "last": 0, **item}
        request.session["milestone_seen"] = seen
        data = {
            "file_uuid": entry["file_uuid"],
            "sha256": entry["sha256"],
            "range_complete": not request.httprequest.headers.get("Range"),
        }
        approval._log_visit(
            "review.file_opened", make_visitor(visit, f"{URL}/<uuid>/file/<file_uuid>"), data=data
        )
