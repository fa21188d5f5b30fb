"""The one browser of all tests in this folder, and windows in it."""

import os

import pytest
from playwright.sync_api import sync_playwright
from window import Visit


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=os.environ["MB_CHROMIUM"], args=args)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    visits = []

    def begin(size, *options, **more):
        visits.append(Visit(browser, size, *options, **more))
        return visits[-1]

    yield begin
    for one in visits:
        one.context.close()
