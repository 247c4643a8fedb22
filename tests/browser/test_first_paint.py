"""The page that the server writes is laid out as the script lays it out, and what a person does before the script is obeyed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from .programs import FIT, LAST_SECTION, post, recorded

SCRIPT = re.compile(r"/static/playground-\w+\.js")
TRAINING = FIT.replace("range(4)", "range(200)")
WRAPPED = """\
import torch
w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
for step in range(3):
    if step >= 0:
        # a comment that is so long that it continues on a second line, under its beginning, at every width of the editor
        loss = ((w * torch.tensor([1.0, 2.0, 3.0])).exp().sigmoid() + (w - 1.0) ** 2).mean() + 0.001 * (w ** 4).sum()
    print("step", step)
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
        w.grad = None
"""
FAILING = "import torch\nw = torch.ones(3, requires_grad=True)\n\nloss = w * 2\nloss.backward()\n"
PLACES = {
    "code": "#editor .cm-line, #editor .listing li > pre",
    "values": "#editor .cm-value",
    "numbers": "#editor .cm-lineNumbers .cm-gutterElement, #editor .listing .n",
    "below": "#editor .cm-below",
    "findings": "#findings, #found li, #found .message, #found .why, #found .diff, #found .btn, #found .fix-title",
    "heads": ".top, #example, #status, #found-summary, .pane-head, .pane-head :is(h2, .btn, .seg, .chosen)",
    "graph": "#graph, #canvas, #canvas svg.graph, #canvas .node, .legend, .legend > span",
    "inspector": "#inspector, #inspected",
    "deck": ".deck, #deck:empty",
    "charts": "#charts",
    "jump": ".jump",
}
BOXES = """places => Object.fromEntries(Object.entries(places).map(([name, selector]) => [
    name,
    [...document.querySelectorAll(selector)]
        .filter((each) => each.getClientRects().length && getComputedStyle(each).visibility !== "hidden")
        .map((each) => each.getBoundingClientRect())
        .map(({ x, y, width, height }) => [x, y, width, height])
        .filter(([, , width, height]) => width && height),
]))"""
PLACED = """() => !document.querySelector("#canvas svg.graph") ||
    getComputedStyle(document.querySelector(".picture")).transform !== "none"
"""
MOVED = """() => {
    window.shifts = 0;
    const add = (list) => list.getEntries().forEach(({ value }) => (window.shifts += value));
    new PerformanceObserver(add).observe({ type: "layout-shift" });
}"""


@pytest.fixture
def held(context: BrowserContext) -> Iterator[list[Route]]:
    """Hold the playground's script back. The test lets it go on with :func:`release`."""
    routes: list[Route] = []
    context.route(SCRIPT, lambda route: routes.append(route))  # Playwright calls functions of Python only
    yield routes
    context.unroute(SCRIPT)


def visit(page: Page, address: str) -> None:
    """Open a page without waiting until it is set up."""
    Page.goto(page, address)


def release(page: Page, held: list[Route]) -> None:
    """Load the script that was held back, and wait until the page is set up."""
    while not held:
        page.wait_for_timeout(20)
    held.pop().continue_()
    expect(page.locator("#deck:empty, #editor .listing")).to_have_count(0)


def boxes(page: Page) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = page.evaluate(BOXES, PLACES)
    return found


@pytest.mark.parametrize(
    "program", [None, LAST_SECTION, TRAINING, WRAPPED, FAILING], ids=["/", "finding", "200", "wrapped", "failing"]
)
@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_the_script_moves_nothing(page: Page, held: list[Route], width: int, program: str | None) -> None:
    page.set_viewport_size({"width": width, "height": 768 if width == 1024 else 900})
    visit(page, "/" if program is None else f"/r/{recorded(page, program)['id']}")
    page.wait_for_function(
        "getComputedStyle(document.querySelector('.picture')).transform !== 'none' || !document.querySelector('svg.graph')"
    )
    page.evaluate(MOVED)
    before = boxes(page)
    assert all(before[name] for name in ("code", "findings", "heads", "inspector"))
    release(page, held)
    page.wait_for_timeout(500)
    after = boxes(page)
    if width == 390:  # the inspector is the last part of the page, and grows by what only the script explains
        for each in (before, after):
            each["inspector"] = [[x, y, wide] for x, y, wide, _ in each["inspector"]]
            each["charts"] = []
    for name, own in before.items():
        assert len(after[name]) == len(own), (name, own, after[name])
        for one, other in zip(own, after[name], strict=True):
            assert all(abs(a - b) <= 1 for a, b in zip(one, other, strict=True)), (name, one, other)
    assert page.evaluate("shifts") < 0.001


LAYOUT = {"sizes": {"program": 560, "findings": 120}, "hidden": ["inspector"]}


@pytest.mark.parametrize("width", [1024, 1440])
def test_remembered_panes_are_there_before_the_script(page: Page, held: list[Route], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.add_init_script(f"localStorage.setItem('panes', {json.dumps(json.dumps(LAYOUT))})")
    visit(page, "/")
    page.wait_for_function(PLACED)
    page.evaluate(MOVED)
    panes = page.locator("#program, #graph, #findings, #inspector")
    before = panes.evaluate_all("all => all.map(each => JSON.stringify(each.getBoundingClientRect()))")
    if width == 1440:
        assert page.locator("#program").evaluate("each => each.getBoundingClientRect().width") == 560
    release(page, held)
    page.wait_for_timeout(500)
    assert panes.evaluate_all("all => all.map(each => JSON.stringify(each.getBoundingClientRect()))") == before
    expect(page.get_by_role("button", name="Show the inspector")).to_be_visible()
    assert page.evaluate("shifts") < 0.001


def test_without_a_script_the_lines_are_where_the_editor_has_them(page: Page, browser: Browser, server: str) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=server, viewport={"width": 1440, "height": 900})
    plain = context.new_page()
    for address in ("/", post(server, WRAPPED)):
        plain.goto(address)
        page.set_viewport_size({"width": 1440, "height": 900})
        visit(page, address)
        expect(page.locator(".cm-line .cm-value").first).to_be_visible()
        rows = plain.locator(".listing li > pre").all()
        lines = page.locator("#editor .cm-line").all()
        assert len(rows) == len(lines)
        for row, line in zip(rows, lines, strict=True):
            own, other = row.bounding_box(), line.bounding_box()
            assert own is not None
            assert other is not None
            assert abs(own["height"] - other["height"]) <= 1, (own, other)
    context.close()


def test_keys_that_are_pressed_before_the_script_is_there_are_obeyed(page: Page, server: str, held: list[Route]) -> None:
    visit(page, post(server, TRAINING))
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowRight")
    release(page, held)
    expect(page).to_have_url(re.compile(r"step=2&phase=update"))
    page.keyboard.press("Shift+ArrowRight")  # from now on, the script gets a key once
    expect(page.locator("#deck .count b")).to_have_text("3")


def test_text_that_is_typed_before_the_script_is_there_is_not_lost(page: Page, held: list[Route]) -> None:
    visit(page, "/")
    line = page.locator(".listing li > pre").nth(1)
    box = line.bounding_box()
    assert box
    page.mouse.click(box["x"] + 300, box["y"] + box["height"] / 2)
    page.keyboard.type(" as t")
    page.keyboard.press("Enter")
    page.keyboard.type("w = 3")
    release(page, held)
    expect(page.locator(".cm-line").nth(1)).to_contain_text("import torch as t")
    expect(page.locator(".cm-line").nth(2)).to_have_text("w = 3")
    page.keyboard.type("4")
    expect(page.locator(".cm-line").nth(2)).to_have_text("w = 34")
    Page.reload(page)
    release(page, held)
    expect(page.locator(".cm-line").nth(2)).to_have_text("w = 34")
    expect(page.locator("#draft")).to_contain_text("Your edits")


def test_buttons_that_are_pressed_before_the_script_is_there_are_obeyed(page: Page, held: list[Route]) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    visit(page, "/")
    page.get_by_role("button", name="Apply fix and run").click()
    release(page, held)
    expect(page).to_have_url(re.compile(r"/r/[0-9a-f]{32}"))
    expect(page.locator("#found")).to_contain_text("Fixed:")


def test_a_choice_that_is_made_before_the_script_is_there_is_obeyed(page: Page, held: list[Route]) -> None:
    visit(page, "/")
    page.get_by_label("Graph", exact=True).select_option("m, line 17")
    release(page, held)
    expect(page).to_have_url(re.compile(r"graph="))
    expect(page.locator("#chosen option:checked")).to_have_text("m, line 17")


def test_a_deep_link_opens_at_its_instant(page: Page, server: str, held: list[Route]) -> None:
    visit(page, f"{post(server, TRAINING)}?step=7&phase=update&node=n1")
    release(page, held)
    expect(page.locator("#deck .count b")).to_have_text("7")
    expect(page.locator(".phase.update")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#canvas .node[data-node=n1]")).to_have_class(re.compile("selected"))
    expect(page).to_have_url(re.compile(r"step=7&phase=update&node=n1"))


def test_the_script_is_loaded_in_a_tab_in_the_background(page: Page) -> None:
    page.add_init_script(
        "Object.defineProperty(document, 'hidden', { get: () => true }); window.requestAnimationFrame = () => 0;"
    )
    visit(page, "/")
    expect(page.locator(".cm-line").first).to_be_attached()


def unrecorded(route: Route) -> None:
    """Answer with the page as it is before its example is recorded."""
    answer = route.fetch()
    found = re.search(r'(<script type="application/json" id="state">)(.*?)(</script>)', answer.text(), re.DOTALL)
    assert found
    state: dict[str, Any] = json.loads(found[2])
    state |= dict.fromkeys(("run", "step", "graph", "node")) | {"svg_inline": False}
    text = answer.text()
    route.fulfill(
        response=answer, body=text[: found.start(2)] + json.dumps(state).replace("<", "\\u003c") + text[found.end(2) :]
    )


def test_a_file_that_is_dropped_before_the_script_is_there_is_opened(page: Page, held: list[Route]) -> None:
    visit(page, "/")
    page.evaluate(
        """program => {
        const carried = new DataTransfer();
        carried.items.add(new File([program], "mine.py"));
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: carried, bubbles: true, cancelable: true}));
    }""",
        FIT,
    )
    release(page, held)
    expect(page).to_have_url(re.compile(r"/r/[0-9a-f]{32}"))
    expect(page.locator(".cm-line").nth(4)).to_contain_text("for step in range(4):")


@pytest.mark.parametrize("reload", [True, False], ids=["recorded later", "lost later"])
def test_a_draft_outlives_the_moment_at_which_the_example_is_recorded(page: Page, reload: bool) -> None:
    home = re.compile(r"/$")
    if reload:
        page.route(home, unrecorded)
    visit(page, "/")
    page.locator(".cm-line").nth(1).click()
    page.keyboard.press("End")
    page.keyboard.type("  # mine")
    page.wait_for_timeout(600)
    page.unroute(home)
    if not reload:  # until the page has asked for the recording
        page.route(home, unrecorded)
    visit(page, "/")
    expect(page.locator("#canvas svg.graph")).to_be_visible()
    expect(page.locator(".cm-line").nth(1)).to_have_text("import torch  # mine")
    page.unroute(home)
    visit(page, "/")
    page.locator("#draft button").click()
    page.wait_for_timeout(600)
    visit(page, "/")
    expect(page.locator(".cm-value").first).to_be_visible()
    expect(page.locator(".cm-line").nth(1)).to_have_text("import torch")


def test_text_that_is_typed_while_the_first_run_is_loading_is_kept(page: Page, server: str) -> None:
    program, headers = "import time\ntime.sleep(4)\n" + LAST_SECTION, {"Prefer": "wait=0"}
    made = page.request.post("/api/v1/runs", data={"program": program}, headers=headers).json()
    assert made["status"] in ("queued", "running"), made
    visit(page, f"/r/{made['id']}")
    page.locator(".cm-line").nth(1).click()
    page.keyboard.press("End")
    page.keyboard.type("  # mine")
    expect(page.locator("#status")).to_contain_text("edited, not run yet")
    expect(page.locator("#canvas svg.graph")).to_be_visible()
    expect(page.locator(".cm-line").nth(1)).to_have_text("time.sleep(4)  # mine")
