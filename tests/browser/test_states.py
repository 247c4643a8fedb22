"""Each state of the page says what happened and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from playwright.sync_api import Page, Route, expect

from .conftest import Problems
from .programs import FIT, node, recorded, write
from .test_layout import violations

Look = Callable[[int, str], Page]


def test_edited_invalid_and_unreachable(look: Look, problems: Problems) -> None:
    """One page goes through the states in which the graph is that of an earlier run, and those of failed requests."""
    problems.expect("Failed to load resource|ERR_INTERNET_DISCONNECTED")
    page = look(1440, "dark")
    page.goto("/")
    note, trouble = page.locator("#stale"), page.locator("#trouble")
    expect(page.locator("#status")).to_contain_text("sandboxed")

    write(page, FIT)
    expect(note).to_contain_text("You have edited the program since this run.")
    expect(page.locator("body.stale #canvas svg.graph")).to_be_visible()
    note.get_by_role("button", name="Run again").click()
    expect(page.locator("#status")).to_contain_text("4 steps")
    expect(note).to_be_hidden()

    write(page, FIT.replace("range(4):", "range(4:"))
    page.locator("#run").click()
    expect(note).to_contain_text(re.compile("The program did not start: line 5 is not valid Python"))
    expect(node(page, "m")).to_be_visible()  # the last good graph stays

    write(page, FIT)
    answers = [
        (503, {"title": "The server is busy", "detail": "Too many programs wait."}, {"Retry-After": "1"}),
        (404, {"title": "Not found", "detail": "There is no such run: it was deleted."}, {}),
    ]

    def refuse(route: Route) -> None:
        status, body, headers = answers.pop(0)
        route.fulfill(status=status, headers=headers, content_type="application/problem+json", body=json.dumps(body))

    page.route("**/api/v1/runs", refuse)
    page.locator("#run").click()
    expect(trouble).to_contain_text("The server is busy. Too many programs wait.")
    assert not violations(page)
    page.get_by_role("button", name="Try again", exact=True).click()  # enabled after the second that the server asked for
    expect(trouble).to_contain_text("This run is gone. It was deleted or has expired.")
    page.unroute("**/api/v1/runs")
    page.context.set_offline(True)
    expect(trouble).to_contain_text("You are offline")
    page.get_by_role("button", name="Dismiss").click()
    page.locator("#run").click()
    expect(trouble).to_contain_text("No answer from the server. Check your connection")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again", exact=True).click()
    expect(page.locator("#status")).to_contain_text("4 steps")
    expect(trouble).to_be_hidden()


def test_a_program_stops_before_a_graph_or_in_the_first_backward(page: Page) -> None:
    no_graph = recorded(page, "import torch\nx = torch.ones(3)\nloss = (x * 2).sum()\nloss.backward()")
    page.goto(f"/r/{no_graph['id']}")
    expect(page.locator("#canvas h3")).to_have_text("backward() had no graph to run through")
    expect(page.locator(".walk")).to_be_hidden()
    assert "on line\u00a04" in page.locator("#status").inner_text()  # the number stays beside its word
    page.goto(f"/r/{recorded(page, 'x = [1]' + chr(10) + 'x[2]')['id']}")
    expect(page.locator("#canvas h3")).to_have_text("Stopped before the first backward()")


def test_a_folded_pitfall_is_named_in_its_head(page: Page) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    page.goto("/?example=pitfall-rebound")
    first = page.locator("#first-found")
    expect(first).to_contain_text("Line 14 makes m a new tensor.")
    expect(first).to_be_visible()
    page.get_by_role("button", name="Show the findings").click()
    expect(first).to_be_hidden()
    expect(page.locator("#found .message")).to_be_visible()


IN_PLACE = """\
import torch
x = torch.ones(3, requires_grad=True)
y = torch.exp(x)
y += 1
loss = y.sum()
loss.backward()
"""


def test_an_update_is_written_once_and_one_step_has_a_loss(page: Page) -> None:
    page.goto(f"/r/{recorded(page, IN_PLACE)['id']}")
    expect(node(page, "y += 1")).to_be_visible()
    expect(page.locator("#inspected .flows").first).to_contain_text("from y += 1")
    page.goto("/?example=pitfall-rebound")
    expect(page.locator(".tape .dot")).to_have_count(1)  # the only loss before the error
    expect(page.locator(".tape text.axis").first).to_be_visible()


LIVE = """\
import torch, time
torch.manual_seed(0)
w = torch.zeros(3, requires_grad=True)
x = torch.randn(20, 3)
y = x @ torch.tensor([1., 2., 3.])
for step in range(400):
    loss = ((x @ w - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.05 * w.grad
        w.grad.zero_()
    time.sleep(0.01)
"""


def test_a_live_run_counts_its_steps_and_shows_nothing_of_the_run_before(page: Page) -> None:
    page.goto("/")
    expect(page.locator("#inspected table.worked")).to_have_count(1)  # the three products of the example
    write(page, LIVE)
    page.keyboard.press("ControlOrMeta+Enter")
    expect(page.locator("#status")).to_have_text(re.compile(r"Running… \d+ of 400 steps"))
    expect(page.locator("#inspected h3").first).to_have_text("w")
    for _ in range(10):
        page.wait_for_timeout(150)
        assert page.locator("#inspected table.worked").count() == 0


def test_queued_running_and_stopped(page: Page) -> None:
    """The stages of a run are answered by hand, so that each stays for as long as the test looks at it."""
    page.goto("/")
    expect(page.locator("#status")).to_contain_text("sandboxed")
    run = recorded(page, "import torch\nx = 1")
    stage = {**run, "id": "0" * 32, "status": "queued", "queue": {"position": 3, "seconds": 7.6}}
    page.route("**/api/v1/runs", lambda route: route.fulfill(status=202, json=stage))
    page.route(f"**/runs/{'0' * 32}", lambda route: route.fulfill(json=stage))

    def events(route: Route) -> None:
        news = ("queue", stage["queue"]) if stage["status"] == "queued" else ("end", {})
        body = f"retry: 100\nevent: {news[0]}\ndata: {json.dumps(news[1])}\n\n"
        route.fulfill(content_type="text/event-stream", body=body)

    page.route("**/events", events)
    page.locator("#run").click()
    expect(page.locator("#status")).to_have_text("Waiting: 2 ahead, about 8 s")
    expect(page.locator("#stale")).to_contain_text("This is the graph of the previous run")
    expect(page.locator("body.stale #canvas svg.graph")).to_be_visible()
    assert not violations(page)
    stage |= {"status": "timed_out", "outcome": "Stopped at the time limit on line 2", "queue": None}
    stage["error"] = {"type": "timed_out", "message": "Stopped.", "file": None, "line": 2, "traceback": ""}
    expect(page.locator("#status")).to_contain_text("Stopped at the time limit on line 2")
    expect(page.locator("#canvas .void")).to_contain_text("Stopped")
