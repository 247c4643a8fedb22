"""Test in a browser that a run plays from a file, without a server and without a network."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest
from playwright.sync_api import Browser, Page, expect

from . import firefox
from .conftest import Problems
from .test_layout import violations

Look = Callable[[int, str], Page]
NEEDS_SERVER = re.compile(r"Check against the numeric slope\n|\nWhy this .*\?\n\n")
EXAMPLE = "/?example=fit-by-hand&step=3&phase=update"


def shown(page: Page) -> dict[str, str]:
    """Return what a page shows of a run: its numbers in the graph, the values of its lines, the inspector and the charts."""
    expect(page.locator("#charts .chart canvas")).to_have_count(3)
    expect(page.locator("#deck .count b")).to_have_text("3")
    expect(page.locator("#inspected .worked")).to_have_count(1)  # the saved tensors have arrived
    return {
        "graph": page.locator("#canvas svg.graph").text_content() or "",
        "inspector": NEEDS_SERVER.sub("", page.locator("#inspected").inner_text()),
        "charts": page.locator("#charts .charts").inner_text(),
        "loss": page.locator("#deck .caption .loss").inner_text(),
    }


def test_a_file_shows_what_the_page_shows_without_a_network_on_a_phone_too(
    look: Look, browser: Browser, tmp_path: Path, problems: Problems
) -> None:
    page = look(1440, "dark")
    page.goto(EXAMPLE)
    on_the_page = shown(page)
    run = page.evaluate("JSON.parse(document.querySelector('#state').textContent).run.id")
    file = tmp_path / "fit.html"
    file.write_bytes(page.request.get(f"/api/v1/runs/{run}/export.html").body())

    for width in (1440, 390):
        context = browser.new_context(offline=True, viewport={"width": width, "height": 900}, color_scheme="dark")
        saved = context.new_page()
        requests: list[str] = []
        saved.on("request", lambda request, to=requests: to.append(request.url))
        saved.on("console", lambda message: problems.found.append(message.text) if message.type == "error" else None)
        saved.on("pageerror", lambda error: problems.found.append(str(error)))
        saved.goto(f"{file.as_uri()}?step=3&phase=update")
        if width == 1440:
            deadline = monotonic() + 20
            while shown(saved) != on_the_page and monotonic() < deadline:
                saved.wait_for_timeout(100)  # the hidden titles of the graph are written once the page rests
            assert shown(saved) == on_the_page
            values = saved.locator(".listing output").all_inner_texts()
            assert {value for value in values if value.strip()} == {
                value for value in page.locator(".cm-value").all_inner_texts() if value.strip()
            }
        assert not violations(saved)
        saved.get_by_role("button", name="Next step").click()
        expect(saved.locator("#deck .count b")).to_have_text("4")
        saved.locator("#canvas .node", has_text="PowBackward0").click()
        expect(saved.locator("#inspected h3")).to_have_text("(y_pred - y) ** 2")
        saved.locator(".play").click()
        expect(saved.locator("#deck .count b")).to_have_text(re.compile(r"[5-9]|1\d"))
        saved.get_by_role("button", name="Light or dark").click()
        expect(saved.locator("html")).to_have_attribute("data-theme", "light")
        overflow = saved.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0
        assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
        context.close()


def test_a_file_of_a_notebook_has_its_markdown_and_each_value_beside_its_line(
    page: Page, browser: Browser, tmp_path: Path
) -> None:
    text: dict[str, object] = {"cell_type": "markdown", "metadata": {}}
    code: dict[str, object] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [
        text | {"source": "# Cube\nOf **two**."},
        code | {"source": "import torch\nx = torch.tensor(2.0)", "execution_count": 4},
        text | {"source": "## Slope"},
        code | {"source": "x.requires_grad_()\n(x ** 3).backward()"},
        text | {"source": "The end."},
    ]
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    run = page.request.post("/api/v1/runs", data={"notebook": notebook}, headers={"Prefer": "wait=10"}).json()
    file = tmp_path / "cube.html"
    file.write_bytes(page.request.get(f"/api/v1/runs/{run['id']}/export.html").body())
    for scripted in (True, False):
        saved = browser.new_context(java_script_enabled=scripted).new_page()
        saved.goto(file.as_uri())
        expect(saved.locator("h1")).to_have_text("Cube")
        expect(saved.locator(".listing p:not(.when)")).to_have_text(["Cube", "Of **two**.", "Slope", "The end."])
        expect(saved.locator("#L2")).to_have_text(re.compile("^2x = torch.tensor"))
        expect(saved.locator("#L2 output")).to_have_attribute("title", "2.0")
        if scripted:
            expect(saved.locator("#L5")).to_contain_text("x.grad = 12.0000")
        assert saved.locator("[data-cell]").evaluate_all("rows => rows.map(row => [row.id, row.dataset.cell])") == [
            ["L1", "In [4]"],
            ["L4", "cell 2"],
        ]
        saved.context.close()


@pytest.mark.skipif(firefox.PROGRAM is None, reason="no Firefox on PATH: install one (on Debian, apt-get install firefox-esr)")
def test_a_file_plays_in_firefox_without_a_network(page: Page, tmp_path: Path) -> None:
    page.goto(EXAMPLE)
    run = page.evaluate("JSON.parse(document.querySelector('#state').textContent).run.id")
    file = tmp_path / "fit.html"
    file.write_bytes(page.request.get(f"/api/v1/runs/{run}/export.html").body())
    with firefox.firefox(tmp_path) as browser:
        browser.open(f"{file.as_uri()}?step=3&phase=update")
        browser.run("addEventListener('error', ({message}) => { window.failed = message; })")
        count = "return document.querySelector('#deck .count b')?.textContent"
        assert browser.wait(count) == "3"
        assert browser.wait("return document.querySelectorAll('#canvas .node').length") == 7
        assert "−" in browser.run("return document.querySelector('#canvas .node.leaf').textContent")
        browser.run("document.querySelector('#canvas .node.leaf').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
        assert browser.wait("return /Where does/.test(document.querySelector('#inspected').innerText)")
        browser.run("[...document.querySelectorAll('#deck button')].find((each) => /next/.test(each.innerText)).click()")
        assert browser.wait(f"{count} === '4'")
        assert browser.run("return window.failed ?? null") is None
