"""Numbers of a program are dragged, charts have axes, and NaN is traced to the operation that made it."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from .programs import FIT, node, open_run, post, value
from .test_layout import Look, violations

MASKED = """\
import torch
scores = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
mask = torch.tensor([[False, True], [True, True]])
masked = scores.masked_fill(mask, float("-inf"))
att = torch.softmax(masked, dim=-1)
x = att * torch.full((2, 2), 2.0)
x = x * torch.full((2, 2), 1e-9)
x = x * torch.full((2, 2), 3.0)
x.sum().backward()
"""


def test_a_dragged_number_runs_the_program_again_and_keeps_the_instant_and_the_curve_before(page: Page, server: str) -> None:
    page.goto(post(server, FIT))
    before = page.url
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".count b")).to_have_text("1")
    axis = page.locator(".tape .rung")
    assert axis.count() >= 2, "the losses have an axis"
    expect(page.locator(".tape text.axis", has_text=re.compile(r"^4$"))).to_be_visible()
    number = page.locator(".cm-pull", has_text="0.05")
    expect(number).to_have_css("text-decoration-line", "underline")  # also without the pointer over it
    box = number.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y, steps=3)
    page.mouse.move(x + 61, y, steps=3)
    page.mouse.up()
    expect(page.locator(".cm-line").nth(9)).to_contain_text("m -= 0.06 * m.grad")
    expect(page.locator("#status")).to_contain_text("sandboxed")
    expect(page.locator("body.busy")).to_have_count(0)
    expect(page.locator(".pair")).to_contain_text("0.06")
    expect(page.locator(".pair .dashed")).to_contain_text("0.05")  # the ghost
    expect(page).to_have_url(re.compile(r"step=1&compare=[0-9a-f]{32}"))
    expect(page.locator(".count b")).to_have_text("1")
    expect(value(page, 5)).to_have_text("step = 1")
    page.go_back()
    expect(page).to_have_url(re.compile(before))  # the runs of a drag share one entry of the history


def test_the_number_at_the_cursor_is_changed_by_the_keyboard_and_the_program_runs_again(page: Page, server: str) -> None:
    page.goto(post(server, FIT))
    rate = page.locator(".cm-line").nth(9)
    page.locator(".cm-pull", has_text="0.05").click()
    page.keyboard.press("Alt+ArrowUp")
    expect(rate).to_contain_text("m -= 0.051 * m.grad")
    expect(page.locator(".pair")).to_contain_text("0.051")
    page.keyboard.press("Alt+ArrowDown")
    expect(rate).to_contain_text("m -= 0.05 * m.grad")


def test_the_inspector_leads_from_nan_to_the_values_before_it(page: Page) -> None:
    open_run(page, MASKED)
    inspector = page.locator("#inspected")
    masked = page.locator("#canvas .node", has_text="MaskedFillBackward0").locator("[data-field=value]")
    expect(masked).to_have_text("3 −∞ of 4")
    expect(masked).to_have_class(re.compile(r"\bf-ink\b"))  # an ordinary mask is not an error
    page.locator("#canvas .node", has_text="SoftmaxBackward0").click()
    expect(inspector).to_contain_text("Where NaN first appears")
    expect(inspector.locator("tr", has_text="first such element")).to_contain_text("[1, 0]")
    expect(inspector.locator("dd", has_text="no: SoftmaxBackward0 computed att on line 5")).to_be_visible()
    node(page, "scores").click()
    expect(inspector.locator(".route th small")).to_have_count(3)  # the rows called x differ in their operation
    bars = inspector.locator(".route i").evaluate_all("all => all.map(each => parseFloat(each.style.width))")
    assert all(width > 3 for width in bars if width), bars  # gradients of 1 and of 1e−9 are both visible


def test_a_number_is_followed_to_its_origin_by_the_keyboard_alone(look: Look, server: str) -> None:
    page = look(390, "dark")
    page.goto(f"{post(server, FIT)}?step=0&phase=update&node=n4")
    panel, asked = page.locator(".explains"), page.locator(".explains h4")
    expect(page.locator(".asks")).to_contain_text("Why this gradient · value · update", use_inner_text=False)
    page.keyboard.press("y")
    expect(asked).to_be_focused()
    expect(asked).to_have_text("m.grad in step 0 = −9.3333")
    expect(panel).to_contain_text("m.grad = ⅓·[2·(1 − 2)·1 + 2·(2 − 4)·2 + 2·(3 − 6)·3] = −9.3333")
    expect(panel.locator("math mtext").first).to_have_text("loss")
    assert not violations(page)
    assert panel.evaluate("(panel) => panel.scrollWidth <= panel.clientWidth")
    page.keyboard.press("1")
    expect(asked).to_contain_text("∂loss/∂y_pred[2] = −2")
    page.keyboard.press("Backspace")
    expect(asked).to_contain_text("m.grad in step 0")
    panel.get_by_role("button", name="What if it grows by 0.01?").press("Enter")
    expect(panel.get_by_role("status")).to_contain_text("the loss goes 4.66667 → 4.57380")
    page.keyboard.press("Escape")
    page.locator(".asks").get_by_role("button", name="update").press("Enter")
    expect(asked).to_contain_text("update of m in step 0")
