"""The API reference works in a browser, and calls the API."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from .test_layout import violations


def test_the_reference_calls_the_api_and_shows_the_call_in_three_languages(page: Page) -> None:
    page.goto("/docs")
    expect(page.locator("main#operations")).to_be_visible()
    assert not violations(page)
    operation = page.locator(".opblock", has=page.locator("[data-path='/api/v1/limits']"))
    operation.locator(".opblock-summary-control").click()
    operation.locator(".execute").click()
    expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("200")

    samples = operation.locator(".request-snippets")
    expect(samples).to_contain_text("curl -X 'GET'")
    samples.get_by_text("JavaScript").click()
    expect(samples).to_contain_text("await fetch(")
    samples.get_by_text("Python").click()
    expect(samples).to_contain_text("from urllib.request import Request, urlopen")
