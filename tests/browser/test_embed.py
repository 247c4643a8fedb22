"""Test in a browser that a run can be put on a page of another site."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from .conftest import THEMES, serving
from .programs import FIT
from .test_layout import outside, violations

Look = Callable[[int, str], Page]

PASTE = """(editor, text) => {
    const data = new DataTransfer();
    data.setData("text/plain", text);
    editor.focus();
    editor.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""


@contextmanager
def site(content: str, policy: str) -> Iterator[str]:
    """Serve one page on a site of its own: the server under test is another host name. Yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/"
            self.send_response(200 if found else 204)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            if found:
                self.wfile.write(content.encode())

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def test_a_frame_that_the_page_wrote_plays_on_another_site_also_without_storage_or_scripts_there(look: Look) -> None:
    page = look(1440, "light")
    page.goto("/?example=fit-by-hand&step=3")
    page.locator("#export > summary").click()
    page.locator("#share").click()
    dialog = page.locator("#sharing")
    text = dialog.locator("textarea")
    expect(text).to_have_value(re.compile(r"/embed/fit-by-hand\?step=3&amp;panes=graph,deck\""))
    preview = dialog.frame_locator("iframe")
    expect(preview.locator("#deck .count b")).to_have_text("3")
    dialog.get_by_label("Curve").check()
    expect(preview.locator("#charts .chart")).to_have_count(1)
    dialog.get_by_label("Fit the height").check()
    fitted = text.input_value()
    assert "panes=graph,deck,curve" in fitted
    dialog.get_by_role("button", name="Picture").click()
    expect(dialog.get_by_role("img", name="Preview: the backward graph")).to_be_visible()
    expect(text).to_have_value(
        re.compile(r'^<a href="http://127[^"]*/r/\w+\?step=3"><img src="http[^"]*/passes/3/graph.png[^"]*" alt="[^"]+"></a>$')
    )
    dialog.get_by_role("button", name="Markdown").click()
    expect(text).to_have_value(re.compile(r"^\[!\[The backward graph of “.*”\]\(http.*\)\]\(http.*\)$"))
    dialog.get_by_role("button", name="Copy").press("Escape")
    expect(dialog).to_be_hidden()
    expect(dialog.locator(".preview")).to_be_empty()

    with site(
        f"<!doctype html><title>Course</title>{fitted}",
        "default-src 'none'; frame-src *; script-src 'unsafe-inline'; style-src 'unsafe-inline'",
    ) as course:
        page.goto(course)
        frame = page.frame_locator("iframe")
        expect(frame.locator("#deck .count b")).to_have_text("3")
        expect(frame.locator("#charts .chart")).to_have_count(1)
        page.wait_for_function("parseInt(document.querySelector('iframe').style.height) > 300")  # the frame sent its height

    sandboxed = re.sub(r"<script.*?</script>", "", fitted, flags=re.DOTALL).replace(
        "<iframe ", '<iframe sandbox="allow-scripts" '
    )
    with site(
        f"<!doctype html><title>Course</title>{sandboxed}", "default-src 'none'; frame-src *; style-src 'unsafe-inline'"
    ) as course:
        page.goto(course)  # without an origin of its own, the frame has neither cookies nor storage
        frame = page.frame_locator("iframe")
        frame.get_by_role("button", name="Next step").click()
        expect(frame.locator("#deck .count b")).to_have_text("4")
        frame.locator(".play").click()
        expect(frame.locator("#deck .count b")).to_have_text("5")
        frame.locator("#canvas .node.leaf").first.press("t")
        expect(frame.locator("html")).to_have_attribute("data-theme", "dark")

    program = "import torch\nw = torch.ones(2, requires_grad=True)\nw.sum().backward()\nprint('</script>' * 30)\n"
    run = page.request.post(
        "/api/v1/runs", data={"program": program, "title": "A title that is longer than the frame is wide"}
    ).json()
    page.set_viewport_size({"width": 300, "height": 400})
    page.goto(f"/embed/{run['id']}?panes=code,deck")
    expect(page.locator(".printed")).to_contain_text("</script></script>")
    assert page.locator(".plate").evaluate("plate => plate.getBoundingClientRect().right") <= 300


@pytest.mark.parametrize(("panes", "width"), [("deck,curve", 1000), ("deck,curve", 700), ("curve", 700)])
def test_a_frame_without_a_graph_has_no_blank_space(page: Page, panes: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 600})
    page.goto(f"/embed/fit-by-hand?step=3&panes={panes}")
    chart = page.locator("#charts .chart")
    expect(chart).to_have_count(1)
    plate, deck, box = (page.locator(each).bounding_box() for each in (".plate", "#deck", "#charts .chart"))
    assert plate
    assert box
    top = plate["y"] + plate["height"]
    if deck:
        assert abs(deck["y"] - top) <= 2
        top = deck["y"] + deck["height"]
    assert box["y"] - top <= 16
    assert 600 - box["y"] - box["height"] <= 16


def test_a_frame_with_the_player_only_has_no_empty_box_without_scripts(browser: Browser, server: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{server}/embed/fit-by-hand?panes=deck,curve")
        expect(page.locator(".remark")).to_be_visible()
        expect(page.locator(".floor")).to_be_hidden()


def test_the_page_for_teachers_has_the_text_that_the_dialog_writes(look: Look) -> None:
    page = look(1440, "light")
    page.goto("/?example=backpropagation")
    expect(page.locator("#canvas .node").first).to_be_visible()  # the example is recorded
    page.locator("#export > summary").click()
    page.locator("#share").click()
    dialog = page.locator("#sharing")
    written = {}
    for form in ("frame", "picture", "markdown"):
        dialog.locator(f"[data-form={form}]").click()
        written[form] = dialog.locator("textarea").input_value()
        expect(dialog).not_to_contain_text("is deleted")  # the recording of an example stays

    dialog.get_by_role("button", name="Close").click()
    run = page.request.post("/api/v1/runs", data={"program": "import torch\ntorch.ones(1, requires_grad=True).backward()"})
    page.goto(f"/r/{run.json()['id']}")
    page.locator("#export > summary").click()
    page.locator("#share").click()
    expect(dialog).to_contain_text("is deleted 30 days")
    expect(dialog).to_contain_text("export it as a file that plays")
    for theme in THEMES:
        look(1440, theme)
        assert not violations(page)

    page.goto("/teach")
    assert written == {form: page.locator(f"pre[data-form={form}]").text_content() for form in written}
    page.set_viewport_size({"width": 390, "height": 900})
    assert not outside(page)
    for theme in THEMES:
        look(1440, theme)
        assert not violations(page)


def test_a_frame_follows_a_run_in_progress(page: Page) -> None:
    program = (
        "import time, torch\nm = torch.tensor(1.0, requires_grad=True)\nwhile True:\n    ((m - 3) ** 2).backward()\n"
        "    with torch.no_grad():\n        m -= 0.01 * m.grad\n    m.grad = None\n    time.sleep(0.05)\n"
    )
    run = page.request.post("/api/v1/runs", data={"program": program}, headers={"Prefer": "wait=0"}).json()["id"]
    while page.request.get(f"/api/v1/runs/{run}").json()["steps"] < 3:
        page.wait_for_timeout(50)
    page.goto(f"/embed/{run}?panes=graph,deck")
    expect(page.locator("#canvas .node").first).to_be_visible()
    count = page.locator("#deck .count b")
    first = count.text_content() or ""
    expect(count).not_to_have_text(first)
    page.request.post(f"/api/v1/runs/{run}/cancel")
    steps = page.request.get(f"/api/v1/runs/{run}").json()["steps"]
    expect(page.locator("#deck")).to_contain_text(f"{steps - 1:,}")


def test_the_address_of_a_run_is_imported(page: Page) -> None:
    mark = "0.0123 * m.grad"
    run = page.request.post("/api/v1/runs", data={"program": FIT.replace("0.05 * m.grad", mark)}).json()["id"]
    for address in (f"/r/{run}?step=1", f"/embed/{run}?step=1", f"/api/v1/runs/{run}?step=1"):
        page.goto("/?example=fit-by-hand")
        expect(page.locator("#canvas .node").first).to_be_visible()
        page.locator(".cm-content").evaluate(PASTE, page.url.split("/?")[0] + address)
        expect(page.locator(".cm-content")).to_contain_text(mark)
        expect(page).to_have_url(re.compile(f"/r/{run}.*step=1"))
    page.goto("/?example=fit-by-hand")
    page.evaluate("path => { location.hash = path }", f"/r/{run}")
    expect(page.locator(".cm-content")).to_contain_text(mark)
    page.goto("/?example=fit-by-hand")
    page.locator(".cm-content").evaluate(PASTE, f"https://elsewhere.example/r/{run}")  # is a text like any other
    expect(page.locator(".cm-content")).to_contain_text("elsewhere.example")


DROP = """address => {
    const data = new DataTransfer();
    data.setData("text/uri-list", `# a comment\\r\\n${address}`);
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


def enter(page: Page, text: str) -> None:
    """Open a text by the dialog."""
    page.get_by_role("button", name="Open…").click()
    dialog = page.get_by_role("dialog", name="Open")
    dialog.get_by_role("textbox").fill(text)
    dialog.get_by_role("button", name="Open", exact=True).click()
    expect(dialog).to_be_hidden()


def test_a_link_is_opened_by_a_drop_and_by_the_dialog(page: Page) -> None:
    mark = "0.0321 * m.grad"
    run = page.request.post("/api/v1/runs", data={"program": FIT.replace("0.05 * m.grad", mark)}).json()["id"]
    page.goto("/?example=fit-by-hand")
    server = page.url.split("/?")[0]
    code, trouble = page.locator(".cm-content"), page.locator("#trouble")
    page.evaluate(DROP, f"{server}/r/{run}?step=1")
    expect(code).to_contain_text(mark)
    expect(page).to_have_url(re.compile(f"/r/{run}.*step=1"))
    page.evaluate(DROP, "https://elsewhere.example/r/1")
    expect(trouble).to_contain_text("not the address of a run")

    enter(page, f"{server}/#code={quote('import torch  # linked')}")
    expect(code).to_contain_text("# linked")
    enter(page, "import torch  # typed")
    expect(code).to_contain_text("# typed")
    enter(page, f"{server}/?example=fit-by-hand")
    expect(page).to_have_url(re.compile("example=fit-by-hand"))
    expect(code).to_contain_text("lr = 0.05")


@pytest.mark.parametrize("form", ["", "/export.html"])
def test_the_text_of_an_exported_run_is_opened_by_a_paste_and_by_the_dialog(page: Page, form: str) -> None:
    mark = "0.0432 * m.grad"
    run = page.request.post("/api/v1/runs", data={"program": FIT.replace("0.05 * m.grad", mark)}).json()["id"]
    page.goto(f"/r/{run}")
    expect(page.locator("#deck")).to_contain_text("of 0–")
    exported = page.request.get(f"/api/v1/runs/{run}{form}").text()
    page.goto("/?example=fit-by-hand")
    expect(page.locator("#canvas .node").first).to_be_visible()
    page.locator(".cm-content").evaluate(PASTE, exported)
    expect(page.locator(".cm-content")).to_contain_text(mark)
    expect(page).to_have_url(re.compile(rf"/r/(?!{run})\w+"))
    expect(page.locator("#deck")).to_contain_text("of 0–")
    again = page.evaluate("location.pathname.split('/').at(-1)")
    one, two = (page.request.get(f"/api/v1/runs/{each}/passes/1/graph.svg").body() for each in (run, again))
    assert one == two
    assert b"<svg" in one
    page.goto("/?example=fit-by-hand")
    enter(page, exported)
    expect(page.locator(".cm-content")).to_contain_text(mark)
    enter(page, '{"program": 1, "cells": []}')
    expect(page.locator("#trouble")).to_contain_text("not a run that Tapedeck exported")


def test_a_program_that_is_opened_replaces_the_one_that_runs(page: Page) -> None:
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        if route.request.method == "POST" and not held:
            held.append(route)
        else:
            route.continue_()

    page.goto("/")
    page.route("**/api/v1/runs", hold_first)
    with page.expect_request("**/api/v1/runs"):
        page.locator("#run").click()
    enter(page, "import torch  # opened")
    expect(page).to_have_url(re.compile("/r/"))
    with page.expect_response("**/api/v1/runs"):
        held[0].continue_()
    page.wait_for_function(
        "() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
    )  # its answer has been read
    expect(page.locator(".cm-content")).to_have_text("import torch  # opened")


def test_no_frame_is_offered_where_no_page_may_show_one(page: Page, tmp_path: Path) -> None:
    with serving(tmp_path, TAPEDECK_EMBED_IN="", TAPEDECK_RECORD_EXAMPLES="0") as address:
        page.goto(f"{address}/?example=fan-in")
        expect(page.locator("#canvas .node").first).to_be_visible()
        page.locator("#export > summary").click()
        page.locator("#share").click()
        dialog = page.locator("#sharing")
        expect(dialog.locator("textarea")).to_have_value(re.compile("^<a href="))
        expect(dialog.get_by_role("button", name="Frame")).to_have_count(0)
