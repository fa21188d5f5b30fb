import base64
import functools
import logging
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from odoo import api, http, models
from odoo.addons.base.models.ir_actions_report import _wkhtml
from odoo.exceptions import AccessError, MissingError, UserError
from odoo.tools.image import image_process
from odoo.tools.mimetypes import guess_mimetype
from werkzeug.exceptions import HTTPException

from ..tools import pdf_html, pdf_outline

_logger = logging.getLogger(__name__)

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT_SECONDS = 120
PARALLEL_MAX = 2
NO_SANDBOX = "No usable sandbox"


@functools.cache
def _find_browser(given, _path):
    """Return the path of a Chromium: the one that the environment names, else the first on the path."""
    if given:
        return given if os.access(given, os.X_OK) else None
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


class IrActionsReport(models.Model):
    _inherit = "ir.actions.report"

    # === ENGINE ===

    @api.model
    def _get_pdf_browser(self):
        """Return the path of the Chromium that prints our PDF files, or None when wkhtmltopdf does.

        Only a wkhtmltopdf with patched Qt prints headers, footers and page numbers; Debian and PyPI have none. The
        system parameter `milestone_billing.pdf_engine` decides otherwise: `auto` (default), `chromium`, `wkhtmltopdf`.
        Which program runs is up to the server (MILESTONE_CHROMIUM or the path), never to the database.

        :rtype: str | None
        """
        engine = self.env["ir.config_parameter"].sudo().get_param("milestone_billing.pdf_engine", "auto")
        if engine == "wkhtmltopdf" or (engine == "auto" and _wkhtml().is_patched_qt):
            return None
        return _find_browser(os.environ.get("MILESTONE_CHROMIUM"), os.environ.get("PATH"))

    @api.model
    def get_wkhtmltopdf_state(self):
        """Override of `base`: the client may ask for PDF files when a Chromium prints them."""
        return "ok" if self._get_pdf_browser() else super().get_wkhtmltopdf_state()

    def _run_wkhtmltopdf(
        self,
        bodies,
        report_ref=False,
        header=None,
        footer=None,
        landscape=False,
        specific_paperformat_args=None,
        set_viewport_size=False,
    ):
        """Override of `base` to print with Chromium where the wkhtmltopdf at hand cannot print headers and footers."""
        browser = self._get_pdf_browser()
        if not browser:
            return super()._run_wkhtmltopdf(
                bodies,
                report_ref=report_ref,
                header=header,
                footer=footer,
                landscape=landscape,
                specific_paperformat_args=specific_paperformat_args,
                set_viewport_size=set_viewport_size,
            )
        paperformat = (self._get_report(report_ref) if report_ref else self).get_paperformat()
        args = specific_paperformat_args or {}
        page = self._prepare_pdf_page(
            paperformat, landscape or args.get("data-report-landscape"), args, header, footer
        )
        documents = [
            pdf_html.build_document(str(body), header, footer, index, page, self._load_pdf_resource)
            for index, body in enumerate(bodies)
        ]
        return self._print_pdf(browser, documents)

    def _prepare_pdf_page(self, paperformat, landscape, args, header, footer):
        """Return the paper of a report as :class:`pdf_html.Page`.

        wkhtmltopdf draws the header into the top margin and the footer into the bottom one; in our document both are
        part of the page, so only the rest of these margins stays.
        """
        width, height = pdf_html.PAGE_SIZES_MM.get(paperformat.format, pdf_html.PAGE_SIZES_MM["A4"])
        if paperformat.format == "custom" and paperformat.page_width and paperformat.page_height:
            width, height = paperformat.page_width, paperformat.page_height
        if landscape or paperformat.orientation == "Landscape":
            width, height = max(width, height), min(width, height)
        top = float(args.get("data-report-margin-top", paperformat.margin_top))
        bottom = float(args.get("data-report-margin-bottom", paperformat.margin_bottom))
        spacing = float(args.get("data-report-header-spacing", paperformat.header_spacing))
        return pdf_html.Page(
            width=width,
            height=height,
            top=max(top - spacing, 0) if header else top,
            right=paperformat.margin_right,
            bottom=min(bottom, pdf_html.NUMBER_BOX_MM) if footer else bottom,
            left=paperformat.margin_left,
            zoom=0.8,
        )

    # === PRINTING ===

    def _print_pdf(self, browser, documents):
        """Print HTML documents; several ones become one file with a mark at the first page of each.

        :param str browser: path of the program
        :param list documents: HTML documents that need nothing from outside
        :rtype: bytes
        """
        with tempfile.TemporaryDirectory(prefix="milestone_pdf.") as folder:
            jobs = [(Path(folder) / str(number), document) for number, document in enumerate(documents)]
            with ThreadPoolExecutor(max_workers=PARALLEL_MAX) as pool:
                errors = list(pool.map(lambda job: _print_document(browser, *job), jobs))
            for error in filter(None, errors):
                _logger.warning("The browser %s did not print: %s", browser, error)
                raise UserError(
                    self.env._(
                        "The PDF could not be printed. Ask your administrator to look for “did not print” in the"
                        " server's log; the document can be printed from the browser meanwhile."
                    )
                )
            files = [(path / "out.pdf").read_bytes() for path, _document in jobs]
        return files[0] if len(files) == 1 else pdf_outline.merge(files)

    # === RESOURCES ===

    def _load_pdf_resource(self, url):
        """Return what stands behind an address of this server, with the rights of the user; None for all others.

        :param str url: an address found in a report
        :return: ``(mimetype, bytes)`` or None
        """
        parts = urlsplit(url)
        if parts.netloc and parts.netloc != urlsplit(self._get_report_url()).netloc:
            _logger.info("A report asks for %s, which is not on this server: left out", url)
            return None
        path = unquote(parts.path)
        if static := http.root.get_static_file(path):
            content = Path(static).read_bytes()
            return guess_mimetype(content, default="application/octet-stream"), content
        try:
            return self._load_pdf_route(path, dict(parse_qsl(parts.query)))
        except (AccessError, MissingError, UserError, HTTPException, ValueError) as error:
            _logger.info("A report asks for %s: left out (%s)", path, error)
            return None

    def _load_pdf_route(self, path, query):
        """Answer the routes that reports use: stylesheets, pictures, barcodes."""
        endpoint, args = self.env["ir.http"].routing_map().bind("").match(path, method="GET")
        values = {**query, **args}
        name = endpoint.func.__name__ if hasattr(endpoint, "func") else endpoint.__name__
        loader = {
            "content_assets": self._load_pdf_stylesheet,
            "content_image": self._load_pdf_image,
            "content_common": self._load_pdf_image,
            "report_barcode": self._load_pdf_barcode,
            "company_logo": self._load_pdf_logo,
        }.get(name)
        return loader(**values) if loader else None

    def _load_pdf_stylesheet(self, filename=None, **_other):
        """Return a compiled stylesheet; it is compiled now when it is not yet there."""
        bundle_name, rtl, asset_type, autoprefix = self.env["ir.asset"]._parse_bundle_name(filename, False)
        if asset_type != "css":
            return None
        bundle = self.env["ir.qweb"]._get_asset_bundle(
            bundle_name, css=True, js=False, rtl=rtl, autoprefix=autoprefix
        )
        return "text/css", bundle.css().sudo().raw

    def _load_pdf_image(self, **values):
        # Reports are rendered with all rights, and what stands in them was written by users.
        record = (
            self.sudo(False)
            .env["ir.binary"]
            ._find_record(
                values.get("xmlid"),
                values.get("model", "ir.attachment"),
                int(values["id"]) if values.get("id") else None,
                values.get("access_token"),
                field=values.get("field", "raw"),
            )
        )
        field = record._fields.get(values.get("field", "raw"))
        if not field or field.type != "binary":
            return None
        stored = record[field.name]
        content = stored if field.name == "raw" else base64.b64decode(stored or b"")
        size = (int(values.get("width", 0)), int(values.get("height", 0)))
        if any(size):
            content = image_process(content, size=size, crop=values.get("crop", False))
        return (guess_mimetype(content), content) if content else None

    def _load_pdf_barcode(self, barcode_type, value, **values):
        return "image/png", self.barcode(barcode_type, value, **values)

    def _load_pdf_logo(self, company=None, **_other):
        record = self.env["res.company"].browse(int(company)) if company else self.env.company
        content = base64.b64decode(record.logo_web or b"")
        return (guess_mimetype(content), content) if content else None


def _print_document(browser, folder, document):
    """Print one document into `out.pdf` of its folder; return what went wrong, or None.

    The folder is fresh, the environment bare, and the document forbids itself everything but its own content.
    """
    folder.mkdir()
    (folder / "in.html").write_text(document, encoding="utf-8")
    sandboxed = os.geteuid() != 0  # Chromium refuses its sandbox to root
    error = _run_browser(browser, folder, sandboxed)
    if error and sandboxed and NO_SANDBOX in error:
        # Containers often forbid what the sandbox needs. The document holds no script and may load nothing.
        _logger.info("No sandbox for %s on this machine: printing without", browser)
        error = _run_browser(browser, folder, False)
    return error


def _run_browser(browser, folder, sandboxed):
    """Run the browser once; return what went wrong, or None."""
    command = [
        browser,
        "--headless",
        *([] if sandboxed else ["--no-sandbox"]),
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-extensions",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--no-default-browser-check",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}",
        "--no-pdf-header-footer",
        f"--print-to-pdf={folder / 'out.pdf'}",
        (folder / "in.html").as_uri(),
    ]
    env = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"}
    # Odoo limits the memory addresses of its processes (limit_memory_hard) far below what a browser reserves.
    command = ["/bin/sh", "-c", 'ulimit -v unlimited 2>/dev/null; exec "$@"', "sh", *command]
    try:
        done = subprocess.run(command, check=False, capture_output=True, env=env, timeout=TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode or not (folder / "out.pdf").exists():
        return done.stderr.decode(errors="replace")[-2000:] or f"exit status {done.returncode}"
    return None
