"""The main pages of a running server with demo data: they load without an error, and fit a phone."""

import re

import pytest
from window import DESKTOP, NARROW, PHONE, find, log_in

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


@pytest.fixture(scope="session")
def records():
    """What the demo data made: its web project, and the link in the client's mail."""
    session = log_in("admin")
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
