import tempfile

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.http import Controller, content_disposition, request, route
from werkzeug.exceptions import BadRequest, Forbidden, NotFound

CHUNK = 64 * 1024
ID_MAX = 2**31 - 1
MIMETYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class MilestoneBillingXlsx(Controller):
    """Workbooks for people who work in spreadsheets; the rights are those of the user."""

    @route("/milestone_billing/xlsx/<string:kind>", type="http", auth="user", methods=["GET"], readonly=True)
    def milestone_workbook(self, kind, schedules=None, date=None, **_kwargs):
        """Write a workbook to a temporary file and stream it.

        :param str kind: `schedule`, `register`, `position`, `forecast`, `evidence` or `tie-out`.
        :param str schedules: ids separated by commas; all of the company without.
        :param str date: day of the contract position, e.g. `2026-03-31`.
        """
        try:
            day = fields.Date.to_date(date) if date else None
            ids = [int(text) for text in schedules.split(",")] if schedules else None
        except ValueError:
            raise BadRequest() from None
        if any(not 0 < schedule_id <= ID_MAX for schedule_id in ids or ()):
            raise BadRequest()
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the answer was sent
        try:
            Schedule = request.env["milestone.billing.schedule"]
            chosen = None if ids is None else Schedule.browse(ids).exists()
            name = request.env["milestone.billing.workbook"]._write(file, kind, chosen, day)
        except AccessError:
            file.close()
            raise Forbidden() from None
        except UserError:
            file.close()
            raise NotFound() from None
        return self._respond(file, name)

    def _respond(self, file, name):
        size = file.tell()
        file.seek(0)
        response = request.make_response(
            iter(lambda: file.read(CHUNK), b""),
            headers=[
                ("Content-Type", MIMETYPE),
                ("Content-Length", str(size)),
                ("Content-Disposition", content_disposition(name)),
                ("Cache-Control", "no-store"),
            ],
        )
        response.call_on_close(file.close)
        return response
