"""A browser's window on the running server, and questions to it; for all files of this folder.

Wants MB_ADDRESS (setup/run --with gives it); keeps pictures in MB_PAGES.
"""

import os
from pathlib import Path
from urllib.parse import urljoin

import requests

ADDRESS = os.environ.get("MB_ADDRESS", "http://127.0.0.1:8069")
PICTURES = Path(os.environ.get("MB_PAGES", "."))
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 640}


def log_in(login):
    """Return a session of a user of the demo data, whose password is the login."""
    session = requests.Session()
    database = os.environ.get("MB_DATABASE", "milestone_demo")
    ask(session, "/web/session/authenticate", db=database, login=login, password=login)
    return session


def ask(session, path, **params):
    answer = session.post(
        urljoin(ADDRESS, path), json={"jsonrpc": "2.0", "method": "call", "params": params}, timeout=60
    ).json()
    assert "error" not in answer, answer
    return answer.get("result")


def call(session, model, method, *args, **kwargs):
    """Call a method as the backend does."""
    path = f"/web/dataset/call_kw/{model}/{method}"
    return ask(session, path, model=model, method=method, args=list(args), kwargs=kwargs)


def find(session, model, domain, *fields, **options):
    return call(session, model, "search_read", domain, fields=list(fields), **options)


class Visit:
    """One person's window; it collects what the page complains about."""

    def __init__(self, browser, size, scripts=True, address=ADDRESS):
        self.address = address
        phone = size is not DESKTOP
        self.context = browser.new_context(
            viewport=size, is_mobile=phone, has_touch=phone, java_script_enabled=scripts
        )
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
        self.page.goto(urljoin(self.address, "/web/login"))
        self.page.fill("input[name=login]", login)
        self.page.fill("input[name=password]", login)
        self.press("form[action='/web/login'] button[type=submit]")

    def open(self, path):
        self.page.goto(urljoin(self.address, path), wait_until="load")

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
