"""A page loads the steps of a run when the playhead needs them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from .programs import FIT, node, recorded

NETWORK = """\
import torch
from torch import nn
x = torch.randn(64, 2)
y = (x[:, :1] * x[:, 1:]).sign()
model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for step in range(200):
    loss = nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
SLOW = FIT.replace("import torch", "import torch, time").replace("range(4)", "range(40)").replace(
    "    m.grad = None", "    m.grad = None\n    time.sleep(0.05)"
)  # fmt: skip
FIRST_LOAD = 300_000  # bytes


@pytest.fixture(scope="module")
def run_id(server: str, browser: object) -> Iterator[str]:
    """Record a network of 200 steps once for all tests."""
    page = browser.new_page(base_url=server)  # type: ignore[attr-defined]
    made = recorded(page, NETWORK)
    assert made["steps"] == 200
    yield made["id"]
    page.close()


@pytest.fixture
def asked(page: Page) -> list[str]:
    """Return the queries of all requests for steps on the page, which grows."""
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url.partition("/steps")[2]) if "/steps" in each.url else None)
    return asked


def shows(page: Page, step: int) -> None:
    """Wait until a step is shown."""
    expect(page.locator("#canvas")).to_have_attribute("data-step", str(step))


def test_the_first_load_of_200_steps_is_small_and_has_no_steps(page: Page, run_id: str, asked: list[str]) -> None:
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(f"/r/{run_id}")
    expect(page.locator(".tape .played .curve")).to_have_count(1)
    page.wait_for_load_state("networkidle")
    shows(page, 0)
    assert asked == []
    assert 100_000 < sum(sizes) <= FIRST_LOAD


def test_steps_are_fetched_when_the_pointer_reaches_the_deck(page: Page, run_id: str, asked: list[str]) -> None:
    page.goto(f"/r/{run_id}?step=100")
    shows(page, 100)
    page.wait_for_load_state("networkidle")
    assert asked == []
    with page.expect_response(re.compile("/steps")):
        page.locator(".tape").hover()
    page.wait_for_load_state("networkidle")
    before = len(asked)
    page.keyboard.press("PageDown")
    page.locator(".tape").focus()
    page.keyboard.press("Shift+ArrowRight")
    shows(page, 101)
    assert len(asked) - before <= 2


def test_a_tape_is_played_to_its_end(page: Page, run_id: str, asked: list[str]) -> None:
    page.goto(f"/r/{run_id}?step=150")
    shows(page, 150)
    page.locator(".speeds button").last.click()
    page.locator(".tape").focus()
    page.keyboard.press("Space")
    shows(page, 199)
    assert 1 <= len(asked) < 12


def test_a_jump_to_the_end_fetches_a_few_steps_at_once(page: Page, run_id: str, asked: list[str]) -> None:
    page.goto(f"/r/{run_id}")
    shows(page, 0)
    page.locator(".tape").focus()
    page.keyboard.press("End")
    shows(page, 199)
    last = page.request.get(f"/api/v1/runs/{run_id}/steps/199").json()
    expect(page.locator(".tape")).to_have_attribute("aria-valuenow", "199")
    link = page.locator("#export a[data-format=svg]")
    expect(link).to_have_attribute("href", re.compile(f"/passes/{last['main']}/graph.svg"))
    assert page.request.get(link.get_attribute("href") or "").ok
    assert "?start=199&count=1" in asked


def test_back_and_forward_show_the_steps_of_the_address(page: Page, run_id: str) -> None:
    page.goto(f"/r/{run_id}?step=20")
    shows(page, 20)
    page.goto(f"/r/{run_id}?step=180")
    shows(page, 180)
    page.go_back()
    shows(page, 20)
    page.go_forward()
    shows(page, 180)
    page.locator(".tape").focus()
    page.keyboard.press("Shift+ArrowLeft")
    shows(page, 179)


def test_a_step_that_cannot_be_fetched_is_reported_and_fetched_later(page: Page, run_id: str, problems: object) -> None:
    problems.expect("Failed to load resource")  # type: ignore[attr-defined]
    page.goto(f"/r/{run_id}")
    shows(page, 0)
    page.wait_for_load_state("networkidle")
    page.route("**/steps?*", lambda route: route.abort())
    page.locator(".tape").focus()
    page.keyboard.press("End")
    expect(page.locator("#trouble")).to_contain_text("No answer from the server")
    page.unroute("**/steps?*")
    page.keyboard.press("Home")
    page.keyboard.press("End")
    shows(page, 199)


def test_a_run_in_progress_shows_its_steps_as_they_arrive(page: Page) -> None:
    made = page.request.post("/api/v1/runs", data={"program": SLOW}, headers={"Prefer": "wait=0"}).json()
    page.goto(f"/r/{made['id']}")
    expect(page.locator("#canvas")).to_have_attribute("data-step", re.compile(r"^[1-9]\d?$"))
    expect(page.locator("#status")).to_contain_text("sandboxed")
    page.locator(".tape").focus()
    page.keyboard.press("End")
    shows(page, 39)
    expect(node(page, "m").locator("[data-field=grad]")).not_to_have_text("·")
