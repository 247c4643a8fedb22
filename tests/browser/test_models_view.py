"""The Models view: the modules of a run in order, as rows that the deck plays and that lead to the graph."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from .conftest import THEMES
from .programs import post
from .test_layout import outside, violations

Look = Callable[[int, str], Page]

VANISHING = """import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.up, self.down = nn.Linear(size, size), nn.Linear(size, size)
    def forward(self, x):
        return self.down(torch.tanh(self.up(x)))

class Model(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.h = nn.ModuleList([Block(size) for _ in range(48)])
        self.head = nn.Linear(size, 1)
    def forward(self, x):
        for block in self.h:
            x = block(x)
        return self.head(x)

torch.manual_seed(0)
model = Model(8).double()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    loss = (model(torch.ones(2, 8).double()) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
"""


SEQUENTIAL = """import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(6)])
        self.head = nn.Linear(4, 1)
    def forward(self, x):
        return self.head(self.blocks(x))

model = Model()
model(torch.ones(2, 4)).sum().backward()
"""


@pytest.fixture(scope="module")
def path(server: str) -> str:
    return post(server, VANISHING)


@pytest.fixture
def visit(look: Look, path: str) -> Callable[..., Page]:
    """Return a function that opens the Models view with one click."""

    def open_page(width: int = 1440, theme: str = "light") -> Page:
        page = look(width, theme)
        page.goto(path)
        page.get_by_role("button", name="Models").click()
        expect(page.get_by_role("treegrid")).to_be_visible()
        expect(page.locator("[data-path='model.h.47']")).to_be_visible()
        return page

    return open_page


Visit = Callable[..., Page]


def norm(page: Page, module: str) -> float:
    """Return the norm of a module's gradient as its row shows it."""
    text = page.locator(f"[data-path='{module}'] td.grad").first.inner_text()
    return float(text.replace("\u2212", "-"))


def test_the_rows_show_by_how_much_the_gradient_shrinks_from_block_40_to_block_3(visit: Visit, path: str) -> None:
    page = visit()
    run = path.removeprefix("/r/")
    rows = {row["path"]: row for row in page.request.get(f"/api/v1/runs/{run}/models?step=0").json()["rows"]}
    shrinks = rows["model.h.40"]["gradient"] / rows["model.h.3"]["gradient"]
    assert shrinks > 1e3
    assert norm(page, "model.h.40") / norm(page, "model.h.3") == pytest.approx(shrinks, rel=1e-2)
    expect(page.locator(".trend b")).to_have_text(re.compile(r"^÷ [\d.]+ per block$"))
    expect(page.locator(".trend")).to_contain_text("Vanishing")
    bars = [page.locator(f"[data-path='model.h.{block}'] .bar").bounding_box() for block in (40, 3)]
    assert bars[0]
    assert bars[1]
    assert bars[1]["width"] > bars[0]["width"] > 0
    assert bars[1]["x"] < bars[0]["x"], "smaller gradients extend to the left"
    expect(page.locator("[data-path='model.h.47'] .factor")).to_have_text("reference")
    for button in ("Graph", "Models"):
        page.get_by_role("button", name=button, exact=True).focus()
        page.keyboard.press("Enter")
    page.locator("[data-path='model.h.47']").focus()
    for block, presses in ((40, 7), (3, 37)):
        for _ in range(presses):
            page.keyboard.press("ArrowDown")
        expect(page.locator("tr:focus")).to_have_attribute("data-path", f"model.h.{block}")


def test_the_deck_plays_the_rows(visit: Visit) -> None:
    page = visit()
    row = page.locator("[data-path='model.h.47']")
    page.evaluate("window.row = document.querySelector(\"[data-path='model.h.47']\")")
    before = row.locator("td.grad").first.inner_text()
    page.get_by_role("button", name="Next step").click()
    expect(row.locator("td.grad").first).not_to_have_text(before)
    assert page.evaluate("window.row.isConnected"), "a step writes into the same rows"
    page.locator(".phase.forward").click()
    expect(row.locator("td.grad").first).to_be_hidden()
    page.locator(".phase.update").click()
    expect(row.locator("td.ratio")).to_have_text(re.compile(r"\d"))


def test_the_blocks_that_the_headline_is_about_are_shown_at_first(look: Look, server: str) -> None:
    page = look(1440, "light")
    page.goto(post(server, SEQUENTIAL) + "?show=models")
    expect(page.locator("[data-path$='blocks.5']")).to_be_visible()
    expect(page.locator("[data-path$='blocks.0']")).to_be_visible()
    expect(page.locator(".trend")).to_contain_text("From blocks.5 to blocks.0")
    expect(page.locator("th.plot")).to_contain_text("Relative to blocks.5")


def test_rows_open_by_keyboard_and_lead_to_the_graph(visit: Visit) -> None:
    page = visit()
    row = page.locator("[data-path='model.h.47']")
    row.focus()
    page.keyboard.press("ArrowRight")
    expect(row).to_have_attribute("aria-expanded", "true")
    expect(page.locator("[data-path='model.h.47.down']")).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator("[data-path='model.h.47.down']")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("tr.of-parameter").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator("tr.of-parameter:focus")).to_contain_text("bias")
    page.keyboard.press("Enter")
    expect(page.locator("#canvas")).to_be_visible()
    expect(page.locator("#inspected h3")).to_have_text("model.h.47.down.bias")


def test_a_module_opens_in_the_graph_by_pointer(visit: Visit) -> None:
    page = visit()
    page.locator("[data-path='model.h.40']").click()
    expect(page.get_by_role("treegrid")).to_be_hidden()
    expect(page.locator("#canvas svg.graph")).to_be_visible()
    expect(page.locator("#canvas .frame.goal[data-group='m:model.h.40']")).to_be_visible()
    expect(page.locator("#inspected")).to_contain_text("model.h.40")
    expect(page.locator(".crumbs")).to_contain_text("h.40")


def test_the_view_is_in_the_address(visit: Visit) -> None:
    page = visit()
    expect(page).to_have_url(re.compile("show=models"))
    page.reload()
    expect(page.get_by_role("treegrid")).to_be_visible()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_axe_reports_no_violation_and_nothing_is_cut_off(visit: Visit, width: int, theme: str) -> None:
    page = visit(width, theme)
    page.locator("[data-path='model.h.47'] .chevron").click()
    expect(page.locator("[data-path='model.h.47.up']")).to_be_visible()
    assert not violations(page)
    assert not outside(page)


@pytest.mark.parametrize("by", ["pointer", "Shift and pointer", "keyboard"])
def test_two_rows_are_compared_in_a_sentence(visit: Visit, path: str, by: str) -> None:
    page = visit()
    run = path.removeprefix("/r/")
    rows = {row["path"]: row for row in page.request.get(f"/api/v1/runs/{run}/models?step=0").json()["rows"]}
    shrinks = rows["model.h.40"]["gradient"] / rows["model.h.3"]["gradient"]
    compared = page.locator(".compared")
    expect(compared).to_be_hidden()
    for block in (40, 3):
        row = page.locator(f"[data-path='model.h.{block}']")
        if by == "pointer":
            row.locator("td.grad").first.click()
        elif by == "keyboard":
            row.press("Shift+Enter")
        else:
            row.click(modifiers=["Shift"])
        expect(row).to_have_attribute("aria-selected", "true")
    expect(compared).to_contain_text("From h.40 to h.3, the gradient shrinks from")
    expect(compared).to_contain_text("Over 37 blocks, that is ÷ ")
    said = compared.locator("b").inner_text().removeprefix("÷ ").replace(",", "").replace("e+", "e")
    assert float(said) == pytest.approx(shrinks, rel=1e-2)
    if by == "pointer":
        page.get_by_role("button", name="Next step").click()
        expect(compared.locator("b")).not_to_have_text(f"÷ {said}")
        page.get_by_role("button", name="Clear").click()
    elif by == "keyboard":
        page.keyboard.press("Escape")
    else:
        page.locator("[data-path='model.h.40']").click(modifiers=["Shift"])
        expect(compared).to_contain_text("Compare h.3 with")
        return
    expect(compared).to_be_hidden()
