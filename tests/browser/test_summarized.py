"""On the page, a summarized step says what it lacks, and a replay makes it whole while a bar shows how far it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from .conftest import serving
from .programs import FIT, recorded

STEPS, SUMMARIZED = 300, 250


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve with a limit of which 300 events are recorded whole."""
    settings = {"TAPEDECK_LIMIT_EVENTS": "2400", "TAPEDECK_RECORD_EXAMPLES": "0"}
    with serving(tmp_path_factory.mktemp("limited"), **settings) as address:
        yield address


@pytest.fixture
def page(browser: Browser, limited: str) -> Iterator[Page]:
    made = browser.new_page(base_url=limited)
    yield made
    made.close()


def test_a_summarized_step_is_made_whole_while_a_bar_shows_the_progress(page: Page) -> None:
    run = recorded(page, FIT.replace("range(4)", f"range({STEPS})").replace("0.01", "0.001"))
    assert run["steps"] == STEPS
    note, graph = page.locator("#summarized"), page.locator("#canvas svg.graph")
    page.goto(f"/r/{run['id']}?step={SUMMARIZED}")
    expect(note).to_contain_text("This step is summarized")
    expect(page.locator(".tape .played .curve")).to_have_count(1)
    without_numbers = graph.text_content() or ""
    held: list[Route] = []
    page.route("**/replays", lambda route: held.append(route))
    note.get_by_role("button", name="Compute them").click()
    expect(note).to_contain_text("Running the program again, up to this step…")
    expect(note).to_contain_text(f"0 steps of {SUMMARIZED + 1}")
    expect(note.locator("progress")).to_have_attribute("max", str(SUMMARIZED + 1))
    held[0].continue_()
    expect(note).to_be_hidden(timeout=60_000)
    expect(graph).not_to_have_text(without_numbers)
    assert len(graph.text_content() or "") > len(without_numbers)
    page.reload()
    expect(graph).not_to_have_text(without_numbers)
    expect(note).to_be_hidden()
