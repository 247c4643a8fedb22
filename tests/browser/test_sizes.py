"""A visit loads no more than it needs: compressed bytes, response headers included."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from .conftest import open_recorded
from .programs import FIT, post
from .test_lessons import LESSON, loaded

MOST_OF_PLAYGROUND, MOST_OF_RUN, MOST_OF_PAGE = 230_000, 300_000, 60_000
"""Bytes compressed with gzip. Brotli, which browsers accept on HTTPS, saves another tenth."""

TRAINING = FIT.replace("range(4)", "range(200)")


def visited(browser: Browser, address: str) -> tuple[Page, int]:
    """Visit a page for the first time, and return it with the bytes that it loaded."""
    page = browser.new_context(extra_http_headers={"Accept-Encoding": "gzip"}).new_page()
    page.goto(address, wait_until="networkidle")
    return page, loaded(page)


def test_the_first_visit_loads_what_the_first_picture_needs(browser: Browser, server: str) -> None:
    page, size = visited(browser, server)
    assert size <= MOST_OF_PLAYGROUND
    expect(page.locator(".cm-grad")).not_to_have_count(0)
    page.context.close()


def test_a_run_of_200_steps_loads_little_before_it_is_played(browser: Browser, server: str) -> None:
    page, size = visited(browser, server + post(server, TRAINING))
    expect(page.locator(".count")).to_contain_text("of 0–199")
    assert size <= MOST_OF_RUN
    # the grammar of Python comes with the first use of the editor
    expect(page.locator(".cm-fold.open")).to_have_count(0)
    page.locator(".cm-content").hover()
    expect(page.locator(".cm-fold.open")).to_have_count(2)
    page.context.close()


@pytest.mark.parametrize("path", ["/examples", "/findings"])
def test_other_pages_are_small(browser: Browser, server: str, path: str) -> None:
    page, size = visited(browser, server + path)
    assert size <= MOST_OF_PAGE
    page.context.close()


def test_a_lesson_is_small_until_the_reader_does_something(browser: Browser, server: str, page: Page) -> None:
    open_recorded(page, LESSON)
    other, size = visited(browser, server + LESSON)
    assert size <= MOST_OF_PAGE
    picture = other.locator("#canvas .placeholder svg.graph")
    expect(picture).to_be_visible()
    expect(picture.locator("[data-field=grad]").first).to_be_hidden()  # a question asks for it
    other.mouse.wheel(0, 100)
    expect(picture).to_have_count(0)
    expect(other.locator("#canvas .node.root")).to_be_visible()
    expect(other.locator("#deck .play")).to_be_visible()
    other.context.close()
