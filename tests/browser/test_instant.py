"""Every part of the page shows the same instant, and its keys work from anywhere but a text field."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, Route, expect

from .programs import FIT, node, post, recorded, run, value, write

ALTERNATING = """\
import torch
a = torch.tensor(1.0, requires_grad=True)
b = torch.tensor([1.0, 2.0], requires_grad=True)
for step in range(6):
    if step % 2:
        loss = (a ** 2).exp()
    else:
        loss = (b * 3).sum()
    loss.backward()
"""
SPINS = """\
import torch
w = torch.tensor(2.0, requires_grad=True)
loss = (w - 4) ** 2
loss.backward()
while True:
    pass
"""
BREAKS = """\
import torch
s = torch.tensor([1.0, 2.0], requires_grad=True)
for step in range(4):
    mask = torch.full((2,), float("-inf" if step == 2 else 0))
    loss = torch.softmax(s + mask, 0).pow(2).sum()
    loss.backward()
    with torch.no_grad():
        s -= 0.1 * s.grad
    s.grad = None
"""
REBOUND = FIT.replace("m -=", "m = m -")


def test_a_run_opens_at_its_error_and_the_unfinished_step_is_an_instant_of_its_own(page: Page) -> None:
    page.goto("/")
    write(page, REBOUND)
    page.locator("#run").click()
    expect(page).to_have_url(re.compile(r"/r/[0-9a-f]{32}\?phase=update$"))
    expect(page.locator("[data-phase=update][aria-pressed=true]")).to_be_visible()
    expect(page.locator(".count")).to_have_text("step0, then an error")
    expect(value(page, 5)).to_have_text("step = 0")  # the step of the deck, of the graph and of the update
    expect(page.locator(".cm-failed")).to_have_count(0)
    page.locator("#status").get_by_role("button", name="RuntimeError on line 8").click()
    expect(page.locator(".count")).to_have_text("after step0, an error")
    expect(value(page, 5)).to_have_text("step = 1")
    expect(page.locator(".cm-line.cm-failed")).to_contain_text("loss.backward()")
    expect(page.locator(".cm-below.error")).to_be_visible()
    expect(page.locator("#canvas")).to_contain_text("Stopped after step 0")
    expect(page).to_have_url(re.compile(r"\?step=1$"))
    page.reload()
    expect(page.locator(".count")).to_have_text("after step0, an error")
    expect(value(page, 5)).to_have_text("step = 1")
    page.get_by_role("button", name="Go to step 0").click()
    expect(page.locator(".cm-below.error")).to_have_count(0)
    expect(value(page, 8)).to_have_text("m.grad = −9.3333")
    page.locator(".phase.update").click()
    # nothing of it leaks into the next program, which has no update
    run(page, ALTERNATING)
    expect(page.locator(".count")).to_have_text("step0of 0–5")
    expect(page.locator("[data-phase=backward][aria-pressed=true]")).to_be_visible()
    expect(node(page, "b")).to_have_class(re.compile("selected"))
    page.locator("#program-title").click()
    page.keyboard.press("Shift+ArrowRight")
    expect(value(page, 4)).to_have_text("step = 1")
    expect(node(page, "a")).to_have_class(re.compile("selected"))  # the default of this graph, not the id of the other's
    assert page.url.endswith("?step=1"), page.url


def test_a_bare_address_opens_at_the_finding_and_every_other_instant_has_an_address(page: Page, server: str) -> None:
    bare = post(server, BREAKS)
    step, phase = page.locator(".count"), page.locator("[data-phase][aria-pressed=true]")
    page.goto(bare)
    expect(step).to_have_text("step2of 0–3")
    expect(phase).to_have_attribute("data-phase", "backward")
    expect(page.locator("#canvas .root")).to_contain_text("NaN")
    expect(page.locator("#inspected h3").first).to_have_text("torch.softmax(s + mask, 0)")  # the node of the finding
    page.keyboard.press("Home")
    expect(page).to_have_url(re.compile(r"[?&]step=0$"))
    page.reload()
    expect(step).to_have_text("step0of 0–3")
    page.evaluate("to => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')) }", bare)
    expect(step).to_have_text("step2of 0–3")
    page.goto(f"/r/{recorded(page, REBOUND)['id']}")
    expect(step).to_have_text("step0, then an error")
    expect(phase).to_have_attribute("data-phase", "update")
    page.evaluate("to => { location.hash = to }", bare)  # as if pasted into the address bar
    expect(step).to_have_text("step2of 0–3")
    page.goto("/")  # the first visit begins with the gradient, although the example has a finding about its update
    expect(phase).to_have_attribute("data-phase", "backward")


def test_back_after_a_reload_shows_what_the_address_says(page: Page) -> None:
    page.goto("/?example=xor")
    first = page.locator("#canvas .root").text_content()
    run(page, "import torch\nw = torch.ones(2, requires_grad=True)\n(w ** 2).sum().backward()")
    page.reload()
    page.go_back()
    expect(page).to_have_url(re.compile("example=xor"))
    expect(page.locator("#canvas .root")).to_have_text(first or "")


def test_another_run_replaces_the_shown_one_at_once(page: Page, server: str) -> None:
    another = post(server, ALTERNATING)
    page.goto(f"{post(server, FIT)}?step=3")
    expect(page.locator(".count")).to_have_text("step3of 0–3")
    held: list[Route] = []
    pictures = re.compile(r"/passes/\d+/graph\.svg")
    page.route(pictures, lambda route: held.append(route))
    with page.expect_request(pictures):
        page.evaluate(
            "to => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')) }", f"{another}?step=5"
        )
    # everything but the picture has been loaded: the page still shows the earlier run at its own instant
    expect(page.locator(".count")).to_have_text("step3of 0–3")
    expect(page.locator(".cm-content")).to_contain_text("y_pred = m * x")
    expect(value(page, 5)).to_have_text("step = 3")
    expect(node(page, "m")).to_be_visible()
    for route in held:
        route.continue_()
    page.unroute(pictures)
    expect(page.locator(".count")).to_have_text("step5of 0–5")
    expect(page.locator(".cm-content")).to_contain_text("if step % 2:")
    expect(value(page, 4)).to_have_text("step = 5")
    expect(node(page, "a")).to_be_visible()
    expect(page.locator("body.busy")).to_have_count(0)


def test_products_of_another_step_are_never_shown_beside_a_gradient(page: Page, server: str) -> None:
    page.goto(f"{post(server, FIT)}?step=0&phase=backward")
    node(page, "m").click()
    products = page.locator("#inspector table.worked")
    expect(products).to_contain_text("−9.3333")
    held: list[Route] = []
    details = re.compile(r"/passes/\d+/nodes/")
    page.route(details, lambda route: held.append(route))
    with page.expect_request(details):
        page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".count")).to_have_text("step1of 0–3")
    expect(products).to_be_visible()
    expect(products.locator("td.grad").first).to_have_text("·")
    expect(products).not_to_contain_text("9.3333")
    for route in held:
        route.continue_()
    page.unroute(details)
    expect(products.locator("td.grad").first).not_to_have_text("·")


def test_the_pass_before_an_endless_loop_is_shown(page: Page) -> None:
    page.goto("/examples")
    begun = page.request.post("/api/v1/runs", data={"program": SPINS}, headers={"Prefer": "wait=0"}).json()
    at, deadline = f"/api/v1/runs/{begun['id']}", time.monotonic() + 60
    while not page.request.get(at).json()["passes"] and time.monotonic() < deadline:
        time.sleep(0.05)
    page.request.post(f"{at}/cancel")
    page.goto(f"/r/{begun['id']}")
    expect(node(page, "w")).to_contain_text("−4.0000")
    expect(page.locator("#inspected")).to_contain_text("Where does −4.0000 come from?")
    expect(page.locator("[data-phase=backward][aria-pressed=true]")).to_be_visible()


@pytest.fixture
def fitted(page: Page, server: str) -> Page:
    page.goto(post(server, FIT))
    expect(page.locator("#canvas svg.graph")).to_be_visible()
    return page


def test_the_keys_of_the_help_work_on_a_fresh_page(fitted: Page) -> None:
    page = fitted
    step, phase = page.locator(".count b"), page.locator("[data-phase][aria-pressed=true]")
    at = {
        "ArrowRight": ("0", "update"),
        "ArrowLeft": ("0", "backward"),
        "PageDown": ("0", "update"),
        "PageUp": ("0", "backward"),
        "Shift+ArrowRight": ("1", "backward"),
        "Shift+ArrowLeft": ("0", "backward"),
        "End": ("3", "backward"),
        "Home": ("0", "backward"),
        ",": ("0", "backward"),
        ".": ("0", "backward"),
    }
    for key, (index, name) in at.items():
        page.keyboard.press(key)
        expect(step).to_have_text(index)
        expect(phase).to_have_attribute("data-phase", name)
    done = set(at)
    page.keyboard.press("-")
    expect(page.locator("#zoom")).not_to_have_text("100%")
    page.keyboard.press("+")
    page.keyboard.press("0")
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#inspected h3")).to_have_text("y_pred = m * x")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#inspected h3")).to_have_text("m")
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Pause (Space)")).to_be_visible()
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Play (Space)")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    listed = page.locator("#help kbd[data-key]").evaluate_all("all => all.map(each => each.dataset.key)")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("#explore input")).to_be_focused()
    page.keyboard.press("t")  # a text field keeps its keys
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    done |= {"-", "+", "0", "t", "ArrowUp", "ArrowDown", " ", "?", "/"}
    elsewhere = {
        "Mod+Enter",
        "Enter",
        "Shift+Enter",
        "Escape",
        "Tab",
        "Alt+c",
        "Alt+w",
        "Alt+ArrowUp",
        "Alt+ArrowDown",
        "y",
        "p",
        "n",
        "q",
        "b",
    }
    assert {*listed} - done == elsewhere, "the other keys are tried where they are handled"
