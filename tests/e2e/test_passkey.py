"""A client adds a passkey to the account and signs a milestone with it, on an authenticator which Chromium simulates."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from window import ADDRESS, DESKTOP, PHONE, call, find, log_in

ROOT = Path(__file__).resolve().parents[2]
VERIFY = ROOT / "milestone_billing" / "tools" / "verify.py"
# A passkey belongs to a name, never to a number.
NAMED = ADDRESS.replace("127.0.0.1", "localhost")
DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
UNSIGNED = ".o_mb_unsigned"
APPROVE = ".o_mb_form .btn-primary.o_mb_once"


class Device:
    """What holds the passkeys and asks its owner for a finger: part of a phone or computer."""

    def __init__(self, page):
        self.cdp = page.context.new_cdp_session(page)
        self.cdp.send("WebAuthn.enable")
        self.id = self.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})["authenticatorId"]

    def ask(self, command, **values):
        """Send it a command of the WebAuthn domain."""
        return self.cdp.send(f"WebAuthn.{command}", {"authenticatorId": self.id, **values})

    def get_credentials(self):
        return self.ask("getCredentials")["credentials"]


@pytest.fixture(scope="module")
def staff():
    """Finance, on a server that is known by a name and wants a passkey above 1,000."""
    admin, finance = log_in("admin"), log_in("finance")
    [company] = find(admin, "res.users", [("login", "=", "finance")], "company_id")
    company_id = company["company_id"][0]
    before = call(admin, "ir.config_parameter", "get_param", "web.base.url")
    call(admin, "ir.config_parameter", "set_param", "web.base.url", NAMED)
    call(admin, "res.company", "write", [company_id], {"milestone_passkey_above": 1000})
    yield finance
    call(admin, "res.company", "write", [company_id], {"milestone_passkey_above": 0})
    call(admin, "ir.config_parameter", "set_param", "web.base.url", before)


@pytest.fixture(scope="module")
def agreement(staff):
    """The client is charged whenever something is done."""
    [client] = find(log_in("admin"), "res.users", [("login", "=", "client")], "partner_id")
    [product] = find(staff, "product.product", [("name", "=", "Marketing work")])
    values = {
        "name": "Signed work",
        "partner_id": client["partner_id"][0],
        "product_id": product["id"],
        "approval_required": True,
    }
    return call(staff, "milestone.billing.enrolment", "create", values)


@pytest.fixture
def milestone(staff, agreement):
    """A milestone that waits for the client's signature."""
    made = call(
        staff, "milestone.billing.enrolment", "charge", [agreement], 4500, "Phase 2: homepage designs"
    )
    [approval] = find(
        staff, "milestone.billing.approval", [("line_id", "=", made["id"])], "uuid", "level_required", "state"
    )
    assert (approval["level_required"], approval["state"]) == ("L4", "requested")
    return {**approval, "line": made["id"], "url": f"/my/milestones/{approval['uuid']}"}


@pytest.fixture
def enter(visit):
    """Log the client in, with an account and a device that have no passkey yet."""
    admin = log_in("admin")
    kept = find(admin, "auth.passkey.key", [("create_uid.login", "=", "client")])
    call(admin, "auth.passkey.key", "unlink", [key["id"] for key in kept])

    def begin(size):
        window = visit(size, address=NAMED)
        window.device = Device(window.page)
        window.log_in("client")
        return window

    return begin


def enrol(window):
    """Add a passkey on the page of the account which the milestone leads to."""
    page = window.page
    page.click("#portal_passkey_add")
    page.wait_for_selector(".o_dialog input")
    if page.is_visible(".o_dialog input[name=password]"):
        page.fill(".o_dialog input[name=password]", "client")
        page.click(".o_dialog button:has-text('Confirm Password')")
    page.fill(".o_dialog input[name=keyname]", "My phone")
    with page.expect_navigation(wait_until="load"):
        page.click(".o_dialog button:text-is('Create')")
    assert page.inner_text(".o_passkey_name >> nth=0") == "My phone"
    [credential] = window.device.get_credentials()
    assert (credential["rpId"], credential["isResidentCredential"]) == ("localhost", True)


def fill_in(window, milestone):
    window.open(f"{milestone['url']}/approve")
    window.page.wait_for_function("document.querySelector('.o_mb_claim').value", timeout=30000)
    window.page.check("#accept")


def read_entries(staff, milestone):
    """Give the bodies of the milestone's evidence, in order."""
    [line] = find(staff, "milestone.billing.line", [("id", "=", milestone["line"])], "evidence_uuid")
    domain = [("chain_id", "=", line["evidence_uuid"])]
    return [
        json.loads(row["body"])
        for row in find(staff, "milestone.billing.evidence", domain, "body", order="seq")
    ]


def read_state(staff, milestone):
    [approval] = find(staff, "milestone.billing.approval", [("id", "=", milestone["id"])], "state", "level")
    return approval["state"], approval["level"]


def check_bundle(window, milestone, folder):
    """Check the client's own copy of the evidence as an outsider does; give the verdict on the passkey."""
    answer = window.page.context.request.get(f"{NAMED}{milestone['url']}/evidence.zip")
    assert answer.status == 200
    bundle = folder / "evidence.zip"
    bundle.write_bytes(answer.body())
    done = subprocess.run(
        [sys.executable, VERIFY, bundle, "--json"], capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    assert report["exit_status"] < 2, [item for item in report["items"] if item["verdict"] == "FAIL"]
    return [(item["verdict"], item["message"]) for item in report["items"] if item["item"] == "passkey"]


@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_the_client_adds_a_passkey_and_signs_with_it(name, size, enter, staff, milestone, tmp_path):
    window = enter(size)
    page = window.page
    window.open(f"{milestone['url']}/approve")
    window.keep(f"passkey_missing_{name}")
    window.press(".o_mb_review a[href='/my/security']")
    enrol(window)
    window.keep(f"passkey_added_{name}")
    fill_in(window, milestone)
    assert not page.is_visible(UNSIGNED)
    window.keep(f"passkey_approve_{name}")
    window.check()
    window.press(APPROVE)
    window.keep(f"passkey_approved_{name}")
    window.check()
    assert page.url == f"{NAMED}{milestone['url']}"
    assert read_state(staff, milestone) == ("approved", "L4")
    [granted] = [body for body in read_entries(staff, milestone) if body["type"] == "approval.granted"]
    assert (granted["auth"]["level"], granted["auth"]["method"]) == ("L4", ["password", "passkey"])
    [credential] = window.device.get_credentials()
    assert credential["signCount"] > 1
    [(verdict, sentence)] = check_bundle(window, milestone, tmp_path)
    assert (verdict, sentence.startswith("signed ")) == ("OK", True), sentence


@pytest.mark.parametrize("reason", ["finger", "key"])
def test_a_device_that_does_not_sign_decides_nothing(reason, enter, staff, milestone):
    window = enter(PHONE)
    page, device = window.page, window.device
    window.open("/my/security")
    enrol(window)
    fill_in(window, milestone)
    before = [body["type"] for body in read_entries(staff, milestone)]
    [credential] = device.get_credentials()
    if reason == "finger":
        device.ask("setUserVerified", isUserVerified=False)
    else:
        device.ask("removeCredential", credentialId=credential["credentialId"])
    page.click(APPROVE)
    page.wait_for_selector(UNSIGNED, timeout=90000)
    assert "Your device did not sign, so nothing was recorded." in page.inner_text(UNSIGNED)
    assert page.evaluate(f"document.activeElement.matches('{UNSIGNED}')"), "it is read first"
    assert page.is_enabled(APPROVE)
    window.keep(f"passkey_refused_{reason}")
    window.check()
    assert read_state(staff, milestone)[0] == "requested"
    assert [body["type"] for body in read_entries(staff, milestone)] == before
    if reason == "finger":
        device.ask("setUserVerified", isUserVerified=True)
    else:
        device.ask("addCredential", credential=credential)
    window.press(APPROVE)
    assert read_state(staff, milestone) == ("approved", "L4")


@pytest.fixture
def change(staff, milestone):
    """A change of the client's order that waits for a signature."""
    [line] = find(staff, "milestone.billing.line", [("id", "=", milestone["line"])], "schedule_id")
    [product] = find(staff, "product.product", [("name", "=", "Marketing work")])
    lines = [{"product_id": product["id"], "quantity": 10, "price_unit": 450, "name": "Ten more drafts"}]
    made = call(
        staff, "milestone.billing.schedule", "propose_change", [line["schedule_id"][0]], lines, "More drafts"
    )
    [change] = find(
        staff, "milestone.billing.change", [("id", "=", made["change_id"])], "uuid", "evidence_uuid"
    )
    return change


def test_the_client_signs_a_change_order(enter, staff, change):
    window = enter(PHONE)
    window.open("/my/security")
    enrol(window)
    window.open(f"/my/changes/{change['uuid']}")
    window.page.check("#accept")
    window.keep("passkey_change_phone")
    window.check()
    window.press(APPROVE)
    window.keep("passkey_change_approved_phone")
    window.check()
    [row] = find(staff, "milestone.billing.change", [("uuid", "=", change["uuid"])], "state")
    assert row["state"] == "approved"
    domain = [("chain_id", "=", change["evidence_uuid"]), ("type", "=", "approval.granted")]
    [entry] = find(staff, "milestone.billing.evidence", domain, "body")
    auth = json.loads(entry["body"])["auth"]
    assert (auth["level"], auth["method"]) == ("L4", ["password", "passkey"])
