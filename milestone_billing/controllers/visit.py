"""Who is at the door: grants in the session, the visitor behind a request, and what a request tells as evidence."""

import hashlib
import random
import re
import secrets
import time
from typing import NamedTuple

from odoo import models
from odoo.http import STORED_SESSION_BYTES, content_disposition, request
from odoo.tools import config, hash_sign, hmac, verify_hash_signed
from werkzeug.exceptions import MethodNotAllowed

from ..models.milestone_billing_approval_decision import TEXT_SIZE_MAX, Visitor
from ..tools.approval_rules import LEVELS, read_address
from ..tools.page_headers import set_headers

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
GRANTS_MAX = 20
GRANT_HOURS = 12
PRESENTATION_HOURS = 12
TURN_SECONDS = 10
DOWNLOADS_PER_HOUR_MAX = 20
CLICKS_PER_HOUR_MAX = 60
SCOPE = "milestone_billing.presentation"
DEVICE_COOKIE = "milestone_device"
DEVICE_DAYS = 400
_DEVICE = re.compile(r"[A-Za-z0-9_-]{22}\Z")
# What the script of a page claims: a time zone by its name, a screen by its two sides.
_CLAIMS = {
    "tz": re.compile(r"[A-Za-z0-9_+/-]{1,64}\Z"),
    "screen": re.compile(r"[0-9]{1,5}x[0-9]{1,5}\Z"),
}


class Visit(NamedTuple):
    """A request to a submission by somebody who may see it."""

    approval: models.BaseModel
    seat: models.BaseModel
    kind: str
    grant: dict


def is_uuid(text):
    """Tell whether a part of an address can be an identifier of ours at all; zero bytes and the like cannot."""
    return bool(_UUID.match(text or ""))


# === HEADERS ===


def seal(response, referrer="same-origin", **headers):
    """Give a response of ours its headers.

    :param str referrer: `Referrer-Policy`.
    """
    set_headers(response.headers, referrer, **headers)
    return response


def page(template, values, status=200, referrer="same-origin"):
    """Render a page of ours with status, headers, language and direction of writing."""
    lang = request.env.lang or "en_US"
    direction = request.env["res.lang"]._get_data(code=lang).direction or "ltr"
    values = {"html_data": {"lang": lang.replace("_", "-"), "dir": direction}, **values}
    return seal(request.render(template, values, status=status), referrer=referrer)


def send_file(content, mimetype, filename):
    """Give a file as a download."""
    headers = [
        ("Content-Type", mimetype),
        ("Content-Length", str(len(content))),
        ("Content-Disposition", content_disposition(filename)),
    ]
    return seal(request.make_response(content, headers=headers))


def send_report(report, record, filename):
    """Print a record as a PDF file for somebody who was found to be allowed to see it.

    :param str report: XML id.
    """
    Report = request.env["ir.actions.report"].sudo().with_context(force_report_rendering=True)
    content, _kind = Report._render_qweb_pdf(report, record.ids)
    return send_file(content, "application/pdf", filename)


def refuse_file(status=404):
    """Answer that there is no such document, or that too many were asked for."""
    return seal(request.make_response("Too many requests" if status == 429 else "Not found", status=status))


def as_text(value):
    """Give a field of a form; empty where somebody sends a file under its name: Odoo hands out both alike."""
    return value if isinstance(value, str) else ""


def read_text(value, size=TEXT_SIZE_MAX):
    """Read a text field of a form: trimmed, limited, without what evidence cannot hold."""
    return as_text(value).replace("\x00", "").encode("utf-8", "replace").decode().strip()[:size]


def only_by_post():
    """Refuse other methods where a form is taken: Odoo lets OPTIONS through to every route, without a token.

    :raise MethodNotAllowed: for anything but POST.
    """
    if request.httprequest.method != "POST":
        raise MethodNotAllowed(valid_methods=["POST"])


def go(url):
    """Redirect within this host, by a GET."""
    return seal(request.redirect(url, code=303, local=True))


# === GRANTS ===


def get_session_tag():
    """Give a stable name of this session that does not give the session away.

    :rtype: str
    """
    sid = request.session.sid[:STORED_SESSION_BYTES]
    return hmac(request.env(su=True), "milestone_billing.session", sid)[:32]


def add_grant(link, secret):
    """Let this session review the submission of a link, as its approver."""
    grants = dict(request.session.get("milestone_grants") or {})
    grants[link.approval_id.uuid] = {
        "link": link.uuid,
        "partner": link.partner_id.id,
        "at": int(time.time()),
        "proof": link._get_link_proof(secret),
    }
    newest = sorted(grants.items(), key=lambda item: item[1]["at"])[-GRANTS_MAX:]
    request.session["milestone_grants"] = dict(newest)


def find_visit(uuid):
    """Find the submission of an address and how the visitor may see it.

    A grant of this session comes first, then the portal user's own seat, then reading rights.

    :return: None for everybody else, whether the submission exists or not.
    :rtype: Visit | None
    """
    Approval = request.env["milestone.billing.approval"]
    approval = Approval.sudo().search([("uuid", "=", uuid)], limit=1) if is_uuid(uuid) else Approval
    if not approval:
        return None
    approval = approval.with_context(lang=approval.lang)
    visit = _find_granted_visit(approval)
    if visit:
        return visit
    user = request.env.user
    if user._is_public():
        return None
    is_reader = approval.with_user(user).sudo(False).has_access("read")
    if user._is_internal():
        return Visit(approval, approval.seat_ids.browse(), "internal_user", {}) if is_reader else None
    # An approver may belong to another company than the client: an architect, a lawyer.
    seat = approval.seat_ids.filtered(lambda item: item.partner_id == user.partner_id)
    return Visit(approval, seat, "portal_user", {}) if is_reader or seat else None


def _find_granted_visit(approval):
    grant = (request.session.get("milestone_grants") or {}).get(approval.uuid)
    if not grant or time.time() - grant["at"] > GRANT_HOURS * 3600:
        return None
    link = approval.link_ids.filtered(lambda item: item.uuid == grant["link"])
    if not link or link._get_problem() or link.partner_id.id != grant["partner"]:
        return None
    user = request.env.user
    if user._is_internal() or (not user._is_public() and user.partner_id != link.partner_id):
        # Somebody else is logged in: whose click it is would be in doubt. Staff decide nothing here.
        return None
    kind = "link_holder" if user._is_public() else "portal_user"
    return Visit(approval, link.seat_id, kind, grant)


def take_click(kind, record):
    """Count a click that is recorded; after too many it still does what it does, but fills no chain of evidence.

    :param str kind: what is clicked.
    :return: whether to record it.
    :rtype: bool
    """
    key = f"{record._name},{record.id}"
    return request.env["milestone.billing.attempt"]._take(kind, key, CLICKS_PER_HOUR_MAX, 60)


def take_download(record, who):
    """Count a document made for a visitor: printing and packing cost time.

    :param who: the visitor: a user, or the seat or link of an approver.
    :return: whether there may be one more this hour.
    :rtype: bool
    """
    key = f"{record._name},{record.id},{who._name},{who.id}"
    return request.env["milestone.billing.attempt"]._take("download", key, DOWNLOADS_PER_HOUR_MAX, 60)


def take_turn(record):
    """Wait, for a while, until nobody else answers on this submission or change order; then see all that they did.

    Each try begins a new transaction, since one that began before the others were done would never see their answers.
    So call this before anything is written. Whoever does not get a turn goes on without, and is told that it is busy.
    """
    cr, end = request.env.cr, time.monotonic() + TURN_SECONDS
    while True:
        cr.rollback()
        if record._try_lock() or time.monotonic() > end:
            return
        time.sleep(random.uniform(0.02, 0.1))


# === DEVICE ===


def read_device():
    """Give the random name which this browser was given, or nothing.

    :rtype: str
    """
    name = request.cookies.get(DEVICE_COOKIE) or ""
    return name if _DEVICE.match(name) else ""


def name_device(response, company):
    """Give this browser a random name, where the company records devices: card schemes ask whether it is the same one."""
    if company.milestone_record_device and not read_device():
        response.set_cookie(
            DEVICE_COOKIE,
            secrets.token_urlsafe(16),
            max_age=DEVICE_DAYS * 24 * 3600,
            path="/my",
            secure=request.httprequest.scheme == "https",
            httponly=True,
            samesite="Lax",
        )
    return response


def read_claim(form, name):
    """Give what a page's script claims of its browser: `tz` or `screen`.

    :return: nothing without a script, and nothing for what cannot be one.
    :rtype: str
    """
    value = (form or {}).get(name)
    return value if isinstance(value, str) and _CLAIMS[name].match(value) else ""


def make_fingerprint(agent, language, zone, screen):
    """Give the same text for the same kind of browser, and nothing that tells which; what is unknown is empty.

    :rtype: str
    """
    return hashlib.sha256("\n".join((agent, language, zone, screen)).encode()).hexdigest()


# === PRESENTATION ===


def sign_presentation(record):
    """Give the nonce that ties a form to the page it came from: submission or change, snapshot, session, time.

    :rtype: str
    """
    values = [record.uuid, record.snapshot_sha256, get_session_tag(), int(time.time() * 1000)]
    return hash_sign(request.env(su=True), SCOPE, values, expiration_hours=PRESENTATION_HOURS)


def read_presentation(record, nonce):
    """Give when the page of a form was made, in seconds; 0 for a nonce that is not ours or not of this session.

    :rtype: float
    """
    try:
        values = verify_hash_signed(request.env(su=True), SCOPE, as_text(nonce))
    except ValueError:
        return 0.0
    if not values or values[:3] != [record.uuid, record.snapshot_sha256, get_session_tag()]:
        return 0.0
    return values[3] / 1000


# === EVIDENCE OF A REQUEST ===


def read_http(route, presented_at=0.0):
    """Give what a request tells, without personal data and without secrets.

    :param str route: template of the route.
    :rtype: dict
    """
    environ = request.httprequest.environ
    is_proxied = bool(config["proxy_mode"] and environ.get("HTTP_X_FORWARDED_HOST"))
    address = read_address(request.httprequest.remote_addr, is_proxied)
    values = {
        "method": request.httprequest.method,
        "route": route,
        "ip_how": address.how,
        "host": request.httprequest.host[:255],
        "tls": request.httprequest.scheme == "https",
    }
    if presented_at:
        values["presentation_age_s"] = max(0, int(time.time() - presented_at))
    return values


def read_pii(partner=None, form=None, company=None):
    """Give the personal values of a request; the evidence keeps them apart and erasable.

    :param company: whose milestone it is about; where it records no devices, nothing about this one is told.
    :rtype: dict
    """
    http = request.httprequest
    environ, agent = http.environ, http.user_agent.string or ""
    language = environ.get("HTTP_ACCEPT_LANGUAGE", "")
    address, zone = read_address(http.remote_addr, False), read_claim(form, "tz")
    values = {
        "ip": address.ip,
        "xff_raw": environ.get("HTTP_X_FORWARDED_FOR", ""),
        "user_agent": agent,
        "accept_language": language,
        "client_tz": zone,
        "geo_country": request.geoip.country_code,
    }
    if company and company.milestone_record_device:
        values["device_id"] = read_device()
        values["device_fp"] = make_fingerprint(agent, language, zone, read_claim(form, "screen"))
    if partner:
        values |= {"actor_name": partner.name, "actor_email": partner.email}
    user = request.env.user
    if not user._is_public():
        values["account_id"] = user.login
    return {name: _clean(value) for name, value in values.items() if value}


def _clean(text):
    """Drop what cannot be written as evidence: zero bytes and halves of surrogate pairs."""
    return str(text).replace("\x00", "").encode("utf-8", "replace").decode()


def make_visitor(visit, route, presented_at=0.0, form=None):
    """Give the visitor of a decision as the model wants it.

    :param Visit visit: who is there.
    :rtype: Visitor
    """
    level, methods = _read_level(visit)
    auth = {"session_tag": get_session_tag()}
    if visit.grant:
        auth |= {
            "grant_age_s": max(0, int(time.time() - visit.grant["at"])),
            "link_proof": visit.grant["proof"],
        }
    seen = (request.session.get("milestone_seen") or {}).get(visit.approval.uuid) or {}
    first = seen.get("at") or presented_at
    return Visitor(
        seat=visit.seat,
        actor_kind=visit.kind,
        level=level,
        methods=methods,
        auth=auth,
        http=read_http(route, presented_at),
        pii=read_pii(visit.seat.partner_id if visit.seat else None, form, visit.approval.company_id),
        link_uuid=visit.grant.get("link", ""),
        presented_at=presented_at,
        reading_s=max(0, int(time.time() - first)) if first else 0,
        files_opened=_count_opened(visit.approval),
        locale=request.env.lang or visit.approval.lang,
    )


def _count_opened(approval):
    """Count the proof files which this session fetched."""
    prefix = f"{approval.uuid},{get_session_tag()},"
    Attempt = request.env["milestone.billing.attempt"].sudo()
    return Attempt.search_count([("kind", "=", "file_opened"), ("key", "=like", f"{prefix}%")])


def _read_level(visit):
    """Tell how sure we are who is there: a link, a portal login, a login with a second factor."""
    methods = ("link",) if visit.grant else ()
    if visit.kind == "link_holder":
        return LEVELS[0], methods
    user = request.env.user
    if "totp_enabled" in user._fields and user.totp_enabled:
        return LEVELS[2], (*methods, "password", "totp")
    return LEVELS[1], (*methods, "password")
