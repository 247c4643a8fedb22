"""Four questions are answered by keyboard alone, from what a screen reader hears: the roles, names and texts of the page."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from .programs import open_run

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
DEEP = """\
import torch
torch.manual_seed(0)
net = torch.nn.Sequential(*[layer for _ in range(12) for layer in (torch.nn.Linear(16, 16), torch.nn.Sigmoid())])
loss = net(torch.randn(8, 16)).pow(2).mean()
loss.backward()
torch.optim.SGD(net.parameters(), lr=0.1).step()
"""
MOST_STOPS = 60


def tab_to(page: Page, goal: Locator) -> None:
    """Press Tab until an element has the focus. In the editor, Tab indents unless Escape comes first."""
    for _ in range(MOST_STOPS):
        if page.evaluate("document.activeElement.matches('.cm-content')"):
            page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        if goal.evaluate("each => each === document.activeElement"):
            return
    raise AssertionError(f"{goal} is not among the first {MOST_STOPS} tab stops")


def test_find_where_the_gradient_comes_from(page: Page) -> None:
    page.goto("/")
    inspector = page.get_by_role("region", name="Inspector")
    expect(inspector.get_by_role("heading", name="Where does −9.3333 come from?")).to_be_visible()
    expect(inspector.get_by_role("row", name="−2.0000 × 3.0000 = −6.0000")).to_be_visible()
    page.keyboard.press("y")
    expect(inspector.get_by_role("heading", name=re.compile("m.grad.* = −9.3333"))).to_be_visible()
    page.keyboard.press("1")  # the largest of its three products
    expect(inspector.get_by_role("heading", name=re.compile(r"y_pred.*\[2\].* = −2"))).to_be_visible()
    page.keyboard.press("Backspace")
    expect(inspector.get_by_role("heading", name=re.compile("m.grad.* = −9.3333"))).to_be_visible()


def test_an_instant_reached_by_a_key_is_announced(page: Page) -> None:
    page.goto("/")
    expect(page.locator("#status")).to_contain_text("sandboxed")
    announced = page.get_by_role("region", name="Playhead").get_by_role("status")
    expect(announced).to_be_empty()
    page.keyboard.press("ArrowRight")
    expect(announced).to_have_text("step 0, update, loss 4.6667, line 16")
    page.keyboard.press("Shift+Tab")  # the focus changes nothing
    page.keyboard.press("ArrowLeft")
    expect(announced).to_have_text("step 0, backward, loss 4.6667, line 12")
    page.keyboard.press(",")
    expect(announced).to_contain_text("4 of 5 nodes")


def test_find_out_why_m_is_no_leaf(page: Page) -> None:
    page.goto("/")
    found = page.get_by_role("region", name="Findings").get_by_role("listitem").first
    expect(found).to_contain_text("Line 16 makes m a new tensor.")
    expect(found).to_contain_text("is a computed result, so the new m is not a leaf: backward() won't fill its .grad.")
    fix = found.get_by_role("button", name="Apply fix and run")
    tab_to(page, fix)
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Findings")).to_contain_text(re.compile("fixed", re.IGNORECASE))
    expect(page.get_by_role("textbox", name="Program")).to_contain_text("m -= learning_rate * m.grad")


def test_find_out_why_the_loss_is_nan(page: Page) -> None:
    open_run(page, MASKED)
    found = page.get_by_role("region", name="Findings").get_by_role("listitem").first
    expect(found).to_contain_text("torch.softmax(s + mask, 1) is where NaN first appears in step 2.")
    expect(found).to_contain_text("If every score of a row is −∞, its softmax is 0/0.")
    tab_to(page, found.get_by_role("button", name="line 5"))
    page.keyboard.press("Enter")
    inspector = page.get_by_role("region", name="Inspector")
    expect(inspector.get_by_role("heading", name="Where NaN first appears")).to_be_visible()
    expect(inspector).to_contain_text("−∞")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuetext", re.compile("step 2"))


def test_find_out_which_layer_vanishes(page: Page) -> None:
    open_run(page, DEEP)
    found = page.get_by_role("region", name="Findings").get_by_role("listitem").first
    expect(found).to_contain_text("The gradient vanishes on its way to the first layers")
    expect(found).to_contain_text("net.0.weight")
    tab_to(page, found.get_by_role("button", name="line 4"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Inspector").get_by_role("heading", level=3)).to_have_text("net.0.weight")
