"""Time the frames while the tape's playhead is dragged over 1,000 steps in Chromium, on a graph of 60 nodes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import urllib.request
from typing import Any, Final

from playwright.sync_api import Page, sync_playwright

from _common import machine, p50, p95, server, table
from browser import BROWSERS, QUIET

FRAME: Final = 16.7
"""Milliseconds that the median frame may take,"""
TASK: Final = 50.0
"""and that every task must stay within."""
STEPS: Final = 1_000
NODES: Final = 60
MOVES: Final = 300
"""Positions of the pointer between the ends of the tape."""

PROGRAM: Final = f"""\
import torch
x = torch.tensor([1., 2., 3.])
y = torch.tensor([0.2, 0.4, 0.6])
w = [torch.tensor(0.5 + 0.05 * i, requires_grad=True) for i in range(11)]
b = [torch.tensor(0.1, requires_grad=True) for i in range(11)]
optimizer = torch.optim.SGD([*w, *b], lr=0.01)
for step in range({STEPS}):
    h = x
    for weight, bias in zip(w, b):
        h = torch.tanh(weight * h + bias)
    loss = ((h - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
WATCH: Final = """() => {
  window.frames_ = [];
  window.tasks_ = [];
  let last = performance.now();
  const frame = (now) => {
    window.frames_.push(now - last);
    last = now;
    window.watching_ = requestAnimationFrame(frame);
  };
  requestAnimationFrame((now) => { last = now; window.watching_ = requestAnimationFrame(frame); });
  window.observer_ = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) window.tasks_.push(duration);
  });
  window.observer_.observe({ entryTypes: ["longtask"] });
}"""
TOLD: Final = """() => {
  cancelAnimationFrame(window.watching_);
  window.observer_.disconnect();
  return { frames: window.frames_, tasks: window.tasks_ };
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=4, help="drags to the end and back")
    rounds = parser.parse_args().rounds
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        print("skipped: there is no Chromium on the PATH (on Debian, apt-get install chromium)")
        return
    switches = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with server(TAPEDECK_LIMIT_WALL_SECONDS="120") as url, sync_playwright() as playwright:
        run = record(url)
        browser = playwright.chromium.launch(executable_path=path, args=switches)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{url}/r/{run['id']}")
        page.wait_for_selector(".tape .played .curve")
        page.wait_for_timeout(1000)
        drags = [drag(page) for _ in range(rounds)]
        seen = page.locator(".count b").text_content()
        version = browser.version
        browser.close()
    frames = [time for told in drags for time in told["frames"]]
    tasks = [time for told in drags for time in told["tasks"]]
    longest = max(tasks, default=0.0)
    rows = [
        (
            f"{number}",
            f"{len(told['frames'])}",
            f"{p50(told['frames']):.1f}",
            f"{p95(told['frames']):.1f}",
            f"{len(told['tasks'])}",
        )
        for number, told in enumerate(drags)
    ]
    title = f"Dragging over {run['steps']:,} steps of {run['graphs'][0]['nodes']} nodes and back"
    table(title, ["drag", "frames", "p50 ms", "p95 ms", "tasks over 50 ms"], rows)
    print(f"\n  {machine()}, Chromium {version}; ended at step {seen}")
    good = p50(frames) <= FRAME and longest <= TASK
    print(f"  median frame {p50(frames):.1f} ms, longest task {longest:.0f} ms: {'met' if good else 'MISSED'}, "
          f"at most {FRAME} ms and {TASK:.0f} ms")  # fmt: skip
    if not good:
        sys.exit(1)


def record(url: str) -> dict[str, Any]:
    """Record the program; the run as JSON."""
    request = urllib.request.Request(
        f"{url}/api/v1/runs", PROGRAM.encode(), {"Content-Type": "text/x-python", "Prefer": "wait=60"}
    )
    with urllib.request.urlopen(request) as answer:
        run: dict[str, Any] = json.load(answer)
    if run["status"] != "done" or run["steps"] != STEPS:
        raise SystemExit(f"The run ended as {run['status']} after {run['steps']} steps.")
    return run


def drag(page: Page) -> dict[str, list[float]]:
    """Drag the playhead from the first step to the last and back; milliseconds of frames and of long tasks."""
    box = page.locator(".tape").bounding_box()
    assert box is not None
    left, right, y = box["x"] + 9, box["x"] + box["width"] - 9, box["y"] + box["height"] - 36
    page.mouse.move(left, y)
    page.mouse.down()
    page.evaluate(WATCH)
    page.mouse.move(right, y, steps=MOVES)
    page.mouse.move(left, y, steps=MOVES)
    told: dict[str, list[float]] = page.evaluate(TOLD)
    page.mouse.up()
    return told


if __name__ == "__main__":
    main()
