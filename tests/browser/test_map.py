"""A graph that is too large to be drawn whole is a map. It opens by pointer and by keyboard, and each view has an address."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from .conftest import THEMES
from .programs import open_run
from .test_layout import violations

Look = Callable[[int, str], Page]

DEEP = """import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.outer = nn.Linear(4, 4)
    def forward(self, x):
        return x + self.outer(self.inner(x).tanh() * 2).tanh()

model = nn.Sequential(*[Block() for _ in range(80)])
loss = model(torch.ones(2, 4)).sum()
loss.backward()
"""


def box(page: Page, group: str) -> str:
    return f"#canvas .box[data-group='{group}']"


@pytest.fixture
def deep(look: Look) -> Page:
    page = look(1440, "light")
    open_run(page, DEEP)
    expect(page.locator("#canvas svg.map")).to_be_visible()
    return page


def opened(page: Page, group: str) -> None:
    expect(page.locator(f"#canvas .frame[data-group='{group}']")).to_be_visible()


def test_a_group_opens_where_it_is_and_closes_again(deep: Page) -> None:
    fold = deep.locator(box(deep, "m:model/f:model.0"))
    before = fold.bounding_box()
    fold.click(position={"x": 20, "y": 12})
    opened(deep, "m:model/f:model.0")
    expect(deep).to_have_url(re.compile(r"view="))
    after = deep.locator("#canvas .frame[data-group='m:model/f:model.0']").bounding_box()
    assert before
    assert after
    assert abs(before["y"] - after["y"]) < 2
    deep.locator("#canvas .frame[data-group='m:model/f:model.0']").click(position={"x": 20, "y": 10})
    expect(fold).to_be_visible()


def test_a_single_number_is_found_by_keyboard_and_has_an_address(deep: Page) -> None:
    for group in ("m:model/f:model.0", "m:model.0", "m:model.0.inner"):
        deep.locator(box(deep, group)).focus()
        deep.keyboard.press("Enter")
        opened(deep, group)
        assert deep.evaluate("document.activeElement.dataset.group") == group
    operation = deep.locator("#canvas .box.op").last
    name = operation.get_attribute("data-node")
    operation.click()
    expect(deep.locator("#inspector")).to_contain_text("Backward0")
    deep.reload()
    expect(deep.locator(f"#canvas .box.op[data-node='{name}'].selected")).to_be_visible()


def test_the_exported_picture_has_the_view_that_the_page_shows(deep: Page) -> None:
    deep.locator(box(deep, "m:model/f:model.0")).click(position={"x": 20, "y": 12})
    opened(deep, "m:model/f:model.0")
    link = deep.locator("#export a[data-format=svg]").get_attribute("href")
    assert link
    assert "view=" in link


@pytest.mark.parametrize("theme", THEMES)
def test_axe_reports_no_violation_on_a_map(look: Look, theme: str) -> None:
    page = look(1440, theme)
    open_run(page, DEEP)
    expect(page.locator("#canvas svg.map")).to_be_visible()
    assert not violations(page)


WIDE = """import torch
from torch import nn
model = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)) for _ in range(5)])
loss = model(torch.ones(2, 4)).sum()
loss.backward()
"""
FEW = """import torch
from torch import nn
model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
loss = model(torch.ones(2, 4)).sum()
loss.backward()
"""


@pytest.mark.parametrize("width", [1440, 390])
def test_a_graph_that_is_hard_to_read_opens_as_groups_and_shows_every_node_on_demand(look: Look, width: int) -> None:
    page = look(width, "light")
    open_run(page, WIDE)
    groups, nodes = (page.get_by_role("button", name=name, exact=True) for name in ("Groups", "Every node"))
    expect(page.locator("#canvas svg.map")).to_be_visible()
    expect(groups).to_have_attribute("aria-pressed", "true")
    nodes.click()
    expect(page.locator("#canvas .node:not(.stub)")).to_have_count(47)
    expect(nodes).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile(r"layout=nodes"))
    page.reload()
    expect(page.locator("#canvas .node:not(.stub)")).to_have_count(47)
    exported = page.locator("#export a[data-format=svg]").get_attribute("href")
    assert exported
    assert "layout=nodes" in exported
    groups.click()
    expect(page.locator("#canvas svg.map")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_small_graph_shows_its_modules_on_demand(look: Look) -> None:
    page = look(1440, "light")
    open_run(page, FEW)
    groups, nodes = (page.get_by_role("button", name=name, exact=True) for name in ("Groups", "Every node"))
    expect(nodes).to_have_attribute("aria-pressed", "true")
    groups.press("Enter")
    expect(page.locator("#canvas svg.map .box").first).to_be_visible()
    expect(page).to_have_url(re.compile(r"layout=groups"))
    page.get_by_role("button", name="Models", exact=True).click()
    expect(groups).to_have_attribute("aria-pressed", "false")
    groups.click()
    expect(page.locator("#canvas svg.map")).to_be_visible()
    page.reload()
    expect(page.locator("#canvas svg.map")).to_be_visible()


def test_rows_and_graph_can_be_switched_on_a_phone(look: Look) -> None:
    page = look(390, "light")
    open_run(page, WIDE)
    expect(page.locator("#canvas svg.map[data-layout=rows]")).to_be_visible()
    page.get_by_role("button", name="Boxes below each other and side by side").click()
    expect(page.locator("#canvas svg.map[data-layout=graph]")).to_be_visible()
    expect(page).to_have_url(re.compile(r"layout=graph"))
    page.get_by_role("button", name="One box in each row").click()
    expect(page.locator("#canvas svg.map[data-layout=rows]")).to_be_visible()
