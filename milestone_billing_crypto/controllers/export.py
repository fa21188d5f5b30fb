from odoo.http import Controller, content_disposition, request, route

from ..report import milestone_billing_crypto_export as export

_TYPES = {
    "csv": ("text/csv; charset=utf-8", export.write_csv),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", export.write_xlsx),
}


class StablecoinExport(Controller):
    """Read-only downloads for people who may read the records."""

    @route(
        "/milestone_billing_crypto/receipts.<string:kind>",
        type="http",
        auth="user",
        methods=["GET"],
        readonly=True,
    )
    def stablecoin_receipts(self, kind, ids=None, **_kwargs):
        """Export receipts: the chosen ones, or all that the user may see."""
        Transfer = request.env["milestone.billing.crypto.transfer"]
        chosen = [int(part) for part in (ids or "").split(",") if part.isdecimal()]
        transfers = Transfer.search([("id", "in", chosen)] if chosen else [], order="block_time, id")
        return self._answer("stablecoin_receipts", kind, export.HEADINGS, export.receipt_rows(transfers))

    @route(
        "/milestone_billing_crypto/sweep.<string:kind>",
        type="http",
        auth="user",
        methods=["GET"],
        readonly=True,
    )
    def stablecoin_sweep(self, kind, **_kwargs):
        """Export the balances that can be swept."""
        balances = request.env["milestone.billing.crypto.balance"].search([("is_empty", "=", False)])
        return self._answer("stablecoin_sweep", kind, export.SWEEP_HEADINGS, export.sweep_rows(balances))

    def _answer(self, name, kind, headings, rows):
        if kind not in _TYPES:
            return request.not_found()
        mimetype, writer = _TYPES[kind]
        headers = [
            ("Content-Type", mimetype),
            ("Content-Disposition", content_disposition(f"{name}.{kind}")),
            ("Cache-Control", "no-store"),
        ]
        return request.make_response(writer(headings, rows), headers)
