"""The main pages of a running server with demo data: they load without an error, and fit a phone.

Wants MB_ADDRESS (setup/run --with gives it); keeps a picture of each page in MB_PAGES.
"""

import os
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from playwright.sync_api import sync_playwright

ADDRESS = os.environ.get("MB_ADDRESS", "http://127.0.0.1:8069")
PICTURES = Path(os.environ.get("MB_PAGES", "."))
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 640}
BACKEND = {
    "order": (
        "finance",
        "/odoo/sales/{order}",
        "button.nav-link:has-text('Milestones'), a.nav-link:has-text('Milestones')",
    ),
    "queue": ("finance", "/odoo/action-milestone_billing.milestone_billing_line_queue_action", None),
    "dashboard": ("finance", "/odoo/action-milestone_billing.milestone_billing_dashboard_action", None),
    "templates": ("finance", "/odoo/action-milestone_billing.milestone_billing_template_action", None),
    "milestone": ("finance", "/odoo/action-milestone_billing.milestone_billing_line_action/{line}", None),
    "project": ("pm", "/odoo/project/{project}/tasks", None),
}


def ask(session, path, **params):
    answer = session.post(
        urljoin(ADDRESS, path), json={"jsonrpc": "2.0", "method": "call", "params": params}, timeout=60
    ).json()
    assert "error" not in answer, answer
    return answer.get("result")


def find(session, model, domain, *fields, **options):
    kwargs = {"fields": list(fields), **options}
    return ask(
        session,
        f"/web/dataset/call_kw/{model}/search_read",
        model=model,
        method="search_read",
        args=[domain],
        kwargs=kwargs,
    )


@pytest.fixture(scope="session")
def records():
    """What the demo data made: its web project, and the link in the client's mail."""
    session = requests.Session()
    database = os.environ.get("MB_DATABASE", "milestone_demo")
    ask(session, "/web/session/authenticate", db=database, login="admin", password="admin")
    [order] = find(
        session, "sale.order", [("client_order_ref", "=", "HB-2107")], "milestone_line_ids", "project_id"
    )
    mails = find(
        session, "mail.mail", [("subject", "ilike", "please review")], "body_html", "subject", order="id desc"
    )
    links = [re.search(r"/ma/[^\"'\s<]+", mail["body_html"]) for mail in mails]
    return {
        "order": order["id"],
        "line": order["milestone_line_ids"][1],
        "project": order["project_id"][0],
        "link": next(link[0].replace("&amp;", "&") for link in links if link),
    }


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=os.environ["MB_CHROMIUM"], args=args)
        yield browser
        browser.close()


class Visit:
    """One person's window; it collects what the page complains about."""

    def __init__(self, browser, size):
        phone = size is not DESKTOP
        self.context = browser.new_context(viewport=size, is_mobile=phone, has_touch=phone)
        self.page = self.context.new_page()
        self.problems = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("response", self._look)

    def _hear(self, message):
        if message.type == "error" and "Failed to load resource" not in message.text:  # told by its response
            self.problems.append(message.text)

    def _look(self, response):
        if response.status >= 400:
            self.problems.append(f"{response.status} {response.url}")

    def log_in(self, login):
        self.page.goto(urljoin(ADDRESS, "/web/login"))
        self.page.fill("input[name=login]", login)
        self.page.fill("input[name=password]", login)
        self.press("form[action='/web/login'] button[type=submit]")

    def open(self, path):
        self.page.goto(urljoin(ADDRESS, path), wait_until="load")

    def press(self, selector):
        """Press what leads to another page, and wait for that."""
        with self.page.expect_navigation(wait_until="load"):
            self.page.click(selector)

    def keep(self, name):
        self.page.screenshot(path=str(PICTURES / f"{name}.png"), full_page=True)

    def check(self):
        assert self.problems == []
        width = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert width <= 0, f"the page is {width} px wider than its window"


@pytest.fixture
def visit(browser):
    visits = []

    def begin(size):
        visits.append(Visit(browser, size))
        return visits[-1]

    yield begin
    for one in visits:
        one.context.close()


@pytest.mark.parametrize("name", BACKEND)
def test_a_page_of_the_backend_loads_without_an_error(name, records, visit):
    login, path, tab = BACKEND[name]
    window = visit(DESKTOP)
    window.log_in(login)
    window.open(path.format(**records))
    window.page.wait_for_selector(".o_action_manager > *", state="attached")
    window.page.wait_for_selector(".o_main_navbar .o_loading_indicator", state="detached")
    if tab:
        window.page.click(tab)
        window.page.wait_for_selector(".o_notebook .tab-pane.active")
    window.keep(f"backend_{name}")
    assert window.problems == []


@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE), ("narrow", NARROW)])
def test_the_client_reviews_without_an_account(name, size, records, visit):
    window = visit(size)
    window.open(records["link"])
    window.keep(f"review_link_{name}")
    window.press("form[action$='/open'] button")
    assert "/ma/" not in window.page.url
    assert "k=" not in window.page.url
    window.keep(f"review_{name}")
    window.check()
    window.press("a[href$='/approve']")
    window.keep(f"approve_{name}")
    window.check()
    window.page.go_back()
    window.press("a[href$='/changes']")
    window.keep(f"changes_{name}")
    window.check()


@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_the_client_with_an_account_finds_everything(name, size, visit):
    window = visit(size)
    window.log_in("client")
    window.open("/my/home")
    window.keep(f"portal_home_{name}")
    window.check()
    window.open("/my/milestones")
    window.keep(f"portal_list_{name}")
    window.check()


@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE), ("narrow", NARROW)])
def test_the_client_finds_change_orders_and_hours(name, size, visit):
    window = visit(size)
    window.log_in("client")
    window.open("/my/changes")
    window.keep(f"changes_list_{name}")
    window.check()
    window.press("a[href^='/my/changes/']:has-text('Plain tiles')")
    window.page.wait_for_selector("#approve button")
    window.keep(f"change_{name}")
    window.check()
    window.open("/my/retainers")
    window.page.wait_for_selector("text=hours left")
    window.keep(f"retainers_{name}")
    window.check()
