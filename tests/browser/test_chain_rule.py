"""The inspector writes the chain rule at a node, if every part of it is certain."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from .programs import FAN_IN, FIT, open_run

SIGMOIDS = """\
import torch
w = torch.tensor(0.5, requires_grad=True)
h = w
for layer in range(3):
    h = torch.sigmoid(h)
loss = (h - 1) ** 2
loss.backward()
"""


def written(page: Page) -> str:
    """Return the text of the formula in one line, with the fractions in order: numerator, then denominator."""
    return re.sub(r"\s+", " ", page.locator("#inspected .derivative").text_content() or "")


def test_the_gradient_of_a_leaf_is_written_as_a_derivative_with_the_local_factor(page: Page) -> None:
    page.goto("/")
    expect(page.locator("#inspected .derivative math")).to_have_count(3)
    assert written(page) == "∂loss∂m =∑∂loss∂y_pred·∂y_pred∂m =∑∂loss∂y_pred·x "


def test_gradients_that_are_added_and_the_gradient_of_the_loss_itself(page: Page) -> None:
    open_run(page, FAN_IN.replace("2 * x", "x ** 3"))
    expect(page.locator("#inspected h3")).to_have_text("x")
    expect(page.locator("#inspected .derivative")).to_have_count(0)  # three gradients arrive
    page.locator("#canvas .node.op").nth(1).click()
    expect(page.locator("#inspected .derivative math")).to_have_count(2)
    assert re.fullmatch(r"∂y∂\(x( x|³)\) =1 ", written(page))
    open_run(page, FIT.replace("m * x", "m * x + m"))
    page.locator("#canvas .node.leaf").click()
    expect(page.locator("#inspected h3")).to_have_text("m")
    expect(page.locator("#inspected .derivative math")).to_have_count(2)  # y_pred also depends on m through m * x
    assert written(page) == "∂loss∂m =∑∂loss∂y_pred·1+∑∂loss∂(m x)·x "
    open_run(page, "import torch\nx = torch.tensor(3.0, requires_grad=True)\na = x * 2\nb = x * 5\nc = a * b\nc.backward()\n")
    expect(page.locator("#inspected .derivative math")).to_have_count(3)
    expect(page.locator("#inspected .derivative")).to_contain_text("+")
    open_run(page, "import torch\nx = torch.tensor(3.0, requires_grad=True)\ny = x * x\ny = y * 2\ny.backward()\n")
    expect(page.locator("#inspected .derivative")).to_have_count(0)  # both results are named y
    open_run(page, SIGMOIDS)
    expect(page.locator("#inspected h4").first).to_contain_text("come from")
    expect(page.locator("#inspected .flows").first).to_contain_text("× σ (1 − σ)")
    expect(page.locator("#inspected .derivative")).to_have_count(0)  # three results are named h
    open_run(page, "import torch\nx = torch.tensor(3.0, requires_grad=True)\ny = x * x\nz = y * 2\nz.backward()\n")
    expect(page.locator("#inspected .derivative math")).to_have_count(2)
    assert written(page) == "∂z∂x =∂z∂y·x+∂z∂y·x "


def test_no_derivative_is_written_where_the_gradient_is_not_one_of_the_loss(page: Page) -> None:
    scaled = "import torch\nw = torch.tensor(2.0, requires_grad=True)\ny = w * 3\nz = y ** 2\nz.backward(torch.tensor(5.0))\n"
    open_run(page, scaled)
    expect(page.locator("#inspected h4").first).to_contain_text("180.0000")
    expect(page.locator("#inspected .derivative")).to_have_count(0)
    open_run(page, scaled.replace("torch.tensor(5.0)", "").replace("z.b", "y.register_hook(lambda g: 2 * g)\nz.b"))
    expect(page.locator("#inspected h4").first).to_contain_text("72.0000")
    expect(page.locator("#inspected .derivative")).to_have_count(0)
    open_run(page, scaled.replace("torch.tensor(5.0)", ""))
    expect(page.locator("#inspected .derivative math")).to_have_count(3)
