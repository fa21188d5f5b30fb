"""The people of the main job and how each one reaches the product: the web client, JSON-2, a browser without an account."""

import re
from urllib.parse import urljoin

import lxml.html
import requests

TIMEOUT = 120


class Disagreement(Exception):
    """Something is not as it has to be."""


def ask(http, address, path, params):
    """Make a call as the scripts of Odoo's pages do.

    :raise Disagreement: with what the server says, when it refuses.
    """
    body = {"jsonrpc": "2.0", "method": "call", "params": params}
    answer = http.post(urljoin(address, path), json=body, timeout=TIMEOUT).json()
    if "error" in answer:
        data = answer["error"].get("data", {})
        raise Disagreement(f"{path}: {data.get('message') or answer['error']}")
    return answer.get("result")


class Person:
    """Somebody who logs in and works through the web client's own calls."""

    def __init__(self, address, database, login, password):
        self.address, self.password = address, password
        self.http = requests.Session()
        params = {"db": database, "login": login, "password": password}
        self.uid = self._ask("/web/session/authenticate", params)["uid"]

    def _ask(self, path, params):
        return ask(self.http, self.address, path, params)

    def call(self, model, method, *args, **kwargs):
        """Call a method of a model, as the web client does."""
        params = {"model": model, "method": method, "args": list(args), "kwargs": kwargs}
        return self._ask(f"/web/dataset/call_kw/{model}/{method}", params)

    def create(self, model, **values):
        return self.call(model, "create", [values])[0]

    def read(self, model, ids, *fields):
        ids = ids if isinstance(ids, list) else [ids]
        return self.call(model, "read", ids, list(fields))

    def find(self, model, domain, *fields, **options):
        return self.call(model, "search_read", domain, list(fields), **options)

    def ref(self, xmlid):
        module, name = xmlid.split(".")
        found = self.find("ir.model.data", [("module", "=", module), ("name", "=", name)], "res_id")
        return found[0]["res_id"]

    def make_api_key(self):
        """Make a key in the profile; Odoo asks for the password once more."""
        wizard = self.create("res.users.apikeys.description", name="Main job", duration="1")
        answer = self.call("res.users.apikeys.description", "make_key", [wizard])
        if answer.get("res_model") == "res.users.identitycheck":
            context = {"password": self.password}
            answer = self.call("res.users.identitycheck", "run_check", [answer["res_id"]], context=context)
        return answer["context"]["default_key"]


class Program:
    """Another program of the seller, which uses the JSON-2 interface with an API key."""

    def __init__(self, address, key):
        self.address, self.headers = address, {"Authorization": f"bearer {key}"}

    def call(self, model, method, **body):
        answer = requests.post(
            urljoin(self.address, f"/json/2/{model}/{method}"),
            json=body,
            headers=self.headers,
            timeout=TIMEOUT,
        )
        if answer.status_code != requests.codes.ok:
            raise Disagreement(f"{model}.{method}: {answer.status_code} {answer.text[:300]}")
        return answer.json()


class Client:
    """The client: a browser and a mailbox, no account."""

    def __init__(self, address):
        self.address = address
        self.http = requests.Session()
        self.page = None

    def _show(self, response):
        if response.status_code != requests.codes.ok:
            raise Disagreement(f"the client sees {response.status_code} at {response.url}")
        self.url = response.url
        self.page = lxml.html.fromstring(response.content)
        return self.page

    def open(self, url):
        return self._show(self.http.get(urljoin(self.address, url), timeout=TIMEOUT))

    def text(self):
        body = self.page.find(".//main")
        return re.sub(r"\s+", " ", (self.page if body is None else body).text_content())

    def follow(self, ending):
        """Follow the link of the page whose address ends so."""
        for link in self.page.xpath("//a[@href]"):
            if link.get("href").split("?")[0].endswith(ending):
                return self.open(urljoin(self.url, link.get("href")))
        raise Disagreement(f"the page {self.url} has no link to {ending}")

    def form(self, ending):
        """Return (address, values) of the form whose target ends so, with its hidden fields filled as the page did."""
        for form in self.page.forms:
            if (form.action or "").split("?")[0].rstrip("/").endswith(ending):
                return form.action, dict(form.form_values())
        targets = [form.action for form in self.page.forms]
        raise Disagreement(f"the page {self.url} has no form to {ending}, only {targets}")

    def send(self, ending, **values):
        """Fill a form of the page and send it."""
        action, filled = self.form(ending)
        response = self.http.post(urljoin(self.url, action), data={**filled, **values}, timeout=TIMEOUT)
        return self._show(response)

    def ask(self, path, **params):
        """A call that a script of the page makes."""
        return ask(self.http, self.address, path, params)
