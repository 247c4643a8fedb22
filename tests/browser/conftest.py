"""Drive a real Chromium against a real server, and fail a test for every error on its pages."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, WebError, expect

from ..conftest import browser_path

WIDTHS = (390, 820, 1440)
THEMES = ("light", "dark")
STARTS_WITHIN = 120.0  # seconds; long, since the machine may be busy
EXPECT_WITHIN = 20_000  # milliseconds; long, since the machine may be busy
RECORDED_WITHIN = 60_000  # milliseconds; the first visit of a lesson records all its programs
QUIET = (  # switches that stop Chromium's own requests
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
)


expect.set_options(timeout=EXPECT_WITHIN)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Start the installed Chromium. For root, switch off Chromium's own sandbox, which does not support root."""
    switches = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    return {**browser_type_launch_args, "executable_path": browser_path(), "args": switches}


@contextlib.contextmanager
def serving(folder: Path, **settings: str) -> Iterator[str]:
    """Serve on a free port with an empty store, and yield the address without a final slash."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    log = folder / "log"
    command = [str(Path(sys.executable).with_name("tapedeck")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "TAPEDECK_DATA": str(folder / "data"), **settings}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=folder)
    try:
        _wait_until_ready(address, process, log)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve for all tests, and yield the address."""
    with serving(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="session")
def base_url(server: str) -> str:
    """Return the server's address, so that ``page.goto("/")`` opens it."""
    return server


@dataclass
class Problems:
    """Problems on the pages of one test: console errors, exceptions, requests to other machines."""

    found: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """Ignore problems that match the regular expression, because the test provokes them."""
        self.expected.append(pattern)

    def unexpected(self) -> list[str]:
        """Return the problems that no expected pattern matches."""
        return [text for text in self.found if not any(re.search(pattern, text) for pattern in self.expected)]


@pytest.fixture(autouse=True)
def problems(context: BrowserContext) -> Iterator[Problems]:
    """Fail the test if a problem occurs on one of its pages."""
    problems = Problems()

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.found.append(f"console: {message.text} ({message.location.get('url', '')})")

    def on_request(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname not in ("127.0.0.1", "localhost"):
            problems.found.append(f"request to another machine: {request.url}")

    def on_error(error: WebError) -> None:
        problems.found.append(f"exception: {error.error}")

    context.on("console", on_console)
    context.on("request", on_request)
    context.on("weberror", on_error)
    yield problems
    assert not problems.unexpected(), "\n".join(problems.unexpected())


SET_UP = "() => !document.querySelector('script[data-late]') || document.querySelector('.cm-editor') !== null"
"""Return whether the script of the page, which is loaded after the first paint, has set it up."""


@pytest.fixture
def page(page: Page) -> Page:
    """Return a page that waits until it is set up, when it is opened or loaded again."""
    for name in ("goto", "reload"):
        method = getattr(page, name)

        def opened(*given: Any, method: Callable[..., Any] = method, **options: Any) -> Any:
            answer = method(*given, **options)
            page.wait_for_function(SET_UP)
            return answer

        setattr(page, name, opened)
    return page


@pytest.fixture
def look(page: Page) -> Callable[[int, str], Page]:
    """Return a function that sets the page's width in pixels and its theme, ``light`` or ``dark``."""

    def set_look(width: int, theme: str) -> Page:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        return page

    return set_look


def open_recorded(page: Page, lesson: str) -> None:
    """Open a lesson, and wait until all its programs are recorded. The page may load itself again for that."""
    page.goto(lesson)
    recorded = page.locator("body:not(:has(.recording-note)) [data-task]").first
    expect(recorded).to_be_attached(timeout=RECORDED_WITHIN)
    page.wait_for_load_state("load")


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    pytest.fail(f"the server did not become ready; its log ends:\n{log.read_text(errors='replace')[-3000:]}")
