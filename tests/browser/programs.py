"""Programs for the browser tests, and helpers that run them on the page."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any

from playwright.sync_api import Locator, Page, expect

LAST_SECTION = """\
import torch

x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True) # our initial guess

y_pred = m * x
loss = ((y_pred - y) ** 2).mean() # calculate MSE
loss

loss.backward() # calculate gradient
m.grad

learning_rate = .01
m = m - learning_rate * m.grad
m
"""

FIT = """\
import torch
x = torch.tensor([1., 2., 3.])
y = torch.tensor([2., 4., 6.])
m = torch.tensor(1., requires_grad=True)
for step in range(4):
    y_pred = m * x
    loss = ((y_pred - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        m -= 0.05 * m.grad
    m.grad = None
"""

FAN_IN = """\
import torch
x = torch.tensor(3.0, requires_grad=True)
y = x * x + 2 * x
y.backward()
"""


def post(server: str, program: str) -> str:
    """Run a program to its end without a page, and return the path of its page."""
    body = json.dumps({"program": program}).encode()
    headers = {"Content-Type": "application/json", "Prefer": "wait=60"}
    with urllib.request.urlopen(urllib.request.Request(f"{server}/api/v1/runs", body, headers), timeout=90) as answer:
        made = json.load(answer)
    assert made["status"] == "done", made
    return f"/r/{made['id']}"


def recorded(page: Page, program: str, **body: Any) -> dict[str, Any]:
    """Run a program to its end as the visitor of a page, but without opening it, and return the run."""
    data, headers = {"program": program, **body}, {"Prefer": "wait=60"}
    made: dict[str, Any] = page.request.post("/api/v1/runs", data=data, headers=headers, timeout=90_000).json()
    assert made["status"] not in ("queued", "running"), made
    return made


def open_run(page: Page, program: str) -> None:
    """Run a program to its end, then open its recording. This is faster than :func:`run`, which needs an open page."""
    page.goto(f"/r/{recorded(page, program)['id']}")
    expect(page.locator("#status")).to_contain_text("sandboxed")


def write(page: Page, program: str) -> None:
    """Replace the program in the editor, as if pasted."""
    page.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text(program)


def run(page: Page, program: str) -> None:
    """Run a program, and wait until its recording is shown."""
    write(page, program)
    page.locator("#run").click()
    expect(page).to_have_url(re.compile(r"/r/[0-9a-f]{32}"))
    expect(page.locator("#status")).to_contain_text("sandboxed")
    expect(page.locator("body.busy")).to_have_count(0)


def run_another(page: Page, program: str) -> str:
    """Run another program, and return the address of the previous run without its query."""
    before = page.url.partition("?")[0]
    write(page, program)
    page.locator("#run").click()
    expect(page).not_to_have_url(re.compile(before))
    return before


def node(page: Page, title: str) -> Locator:
    """Return the card of a node in the picture."""
    return page.locator("#canvas svg .node:not(.stub)", has=page.locator(f"text:text-is('{title}')"))


def value(page: Page, line: int) -> Locator:
    """Return the value at the end of a line."""
    return page.locator(".cm-line").nth(line - 1).locator(".cm-value")
