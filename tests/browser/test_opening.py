"""The first view of a run: what is selected and in sight, and which controls it has."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from .programs import FIT, node, open_run, run, write
from .test_layout import violations

Look = Callable[[int, str], Page]
MASKED = """\
import torch
s = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
for step in range(4):
    mask = torch.full((2, 2), -torch.inf if step == 2 else 0.0)
    p = torch.softmax(s + mask, 1)
    loss = (p * p).sum()
    loss.backward()
    with torch.no_grad():
        s -= 0.1 * s.grad
    s.grad = None
"""


def is_in_view(page: Page, card: Locator) -> bool:
    canvas, box = page.locator("#canvas").bounding_box(), card.bounding_box()
    assert canvas
    assert box
    return canvas["y"] <= box["y"] and box["y"] + box["height"] <= canvas["y"] + canvas["height"]


@pytest.mark.parametrize("size", [(1280, 640), (1440, 900)])
@pytest.mark.parametrize(("example", "leaf"), [("fit-by-hand", "m"), ("vanishing", "w")])
def test_the_only_leaf_is_selected_and_in_view(page: Page, size: tuple[int, int], example: str, leaf: str) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(f"/?example={example}")
    expect(page.locator("#canvas .node.selected")).to_contain_text(leaf)
    expect(page.locator("#inspected h3").first).to_have_text(leaf)
    assert is_in_view(page, page.locator("#canvas .node.selected"))


def test_the_controls_of_a_graph_in_groups_fit_the_narrowest_pane(page: Page) -> None:
    page.set_viewport_size({"width": 1241, "height": 640})
    open_run(
        page,
        "import torch\nw = [torch.tensor(0.5, requires_grad=True) for i in range(12)]\nh = torch.ones(3)\n"
        "for weight in w:\n    h = torch.tanh(weight * h)\n(h ** 2).mean().backward()",
    )
    expect(page.get_by_role("button", name="Groups")).to_be_visible()
    pane, zooming = page.locator("#graph").bounding_box(), page.locator("#zooming").bounding_box()
    assert pane
    assert zooming
    assert zooming["x"] + zooming["width"] <= pane["x"] + pane["width"]
    expect(page.get_by_role("heading", name="Backward graph")).to_have_count(1)


def test_a_program_that_ends_with_a_finding_selects_its_node(page: Page) -> None:
    page.goto("/")
    run(page, MASKED)
    expect(page.locator(".count")).to_have_text("step2of 0–3")
    expect(page.locator("#inspected h3").first).to_have_text("p = torch.softmax(s + mask, 1)")
    expect(page.locator("#inspected")).to_contain_text("Where NaN first appears")
    expect(page).to_have_url(re.compile(r"/r/[0-9a-f]{32}\?(?=.*\bstep=2\b)(?=.*\bnode=n\d)"))


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_the_speed_can_be_chosen_with_one_step_and_on_a_phone(look: Look, width: int) -> None:
    page = look(width, "light")
    page.goto("/")
    pace, speeds = page.locator(".key.pace"), page.get_by_role("group", name="Speed", exact=True)
    if width == 1440:
        expect(speeds.get_by_role("button")).to_have_text(["½×", "1×", "2×", "4×"])
        speeds.get_by_role("button", name="4×").click()
        expect(speeds.locator("[aria-pressed=true]")).to_have_text("4×")
    else:
        expect(speeds).to_be_hidden()
        for speed in ("2×", "4×", "½×", "1×"):
            pace.click()
            expect(pace).to_have_text(speed)
    phases = page.locator(".phase span").evaluate_all(
        "all => all.map(each => each.getBoundingClientRect().x - each.parentElement.getBoundingClientRect().x)"
    )
    assert min(phases) >= 4, "no word of a phase touches the edge of its button"
    open_run(page, FIT)
    expect(page.locator(".count")).to_contain_text("of 0–3")
    if width == 390:
        for _ in range(3):
            pace.click()
        expect(pace).to_have_accessible_name("Speed all: whole steps. Next speed")


def test_the_first_play_on_a_phone_shows_the_graph(look: Look) -> None:
    page = look(390, "light")
    page.goto("/")
    graph, code = (page.get_by_role("button", name=name, exact=True) for name in ("Graph", "Code"))
    expect(code).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Play (Space)").click()
    expect(graph).to_have_attribute("aria-pressed", "true")
    expect(node(page, "y_pred = m * x")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Play (Space)")).to_be_visible()  # it has played to the end
    page.evaluate("scrollTo(0, 0)")
    expect(code).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Play (Space)").click()
    expect(page.get_by_role("button", name="Pause (Space)")).to_be_visible()
    expect(page.locator(".phase.update")).to_have_attribute("aria-pressed", "true")
    expect(code).to_have_attribute("aria-pressed", "true")  # who returned to the code stays there


@pytest.mark.parametrize(("width", "height"), [(1280, 640), (1024, 768), (390, 844)])
def test_the_list_of_keys_opens_at_its_top(page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto("/")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard")).to_be_in_viewport(ratio=1)
    dialog = page.locator("#help")
    if width > 760:
        assert dialog.evaluate("each => each.scrollHeight <= each.clientHeight")
    expect(dialog.locator("kbd", has_text="Alt C")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_after_an_edit_the_earlier_numbers_have_no_colour(look: Look, theme: str) -> None:
    page = look(1440, theme)
    open_run(page, FIT)
    write(page, f"{FIT}print(m)\n")
    expect(page.locator("body.stale")).to_have_count(1)
    for part in ("#canvas .picture", "#inspected", "#found", ".floor"):
        expect(page.locator(part)).to_have_css("filter", "grayscale(1)")
    assert not violations(page)
    write(page, FIT.rstrip())
    expect(page.locator("#inspected")).to_have_css("filter", "none")
    expect(node(page, "m")).to_be_visible()
