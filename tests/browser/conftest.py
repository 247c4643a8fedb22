"""Drive a real Chromium at a real server, and let no error on a page go unseen."""

from __future__ import annotations

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
STARTS_WITHIN = 60.0  # seconds
COMES_WITHIN = 20_000  # milliseconds: what a test waits for comes when it comes, on a machine that has other things to do
QUIET = (  # switches that keep Chromium from calling home
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
)


expect.set_options(timeout=COMES_WITHIN)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Start the machine's own Chromium; as root it can't use its sandbox."""
    switches = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    return {**browser_type_launch_args, "executable_path": browser_path(), "args": switches}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve on a free port with an empty store, and yield the address, without a slash at the end."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    log = folder / "log"
    command = [str(Path(sys.executable).with_name("tapedeck")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "TAPEDECK_DATA": str(folder / "data")}
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
def base_url(server: str) -> str:
    """Let ``page.goto("/")`` mean our server."""
    return server


@dataclass
class Problems:
    """What went wrong on the pages of one test: errors on the console, exceptions, requests that leave this machine."""

    seen: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """Let problems that match the regular expression pass: the test provokes them."""
        self.expected.append(pattern)

    def unexpected(self) -> list[str]:
        return [text for text in self.seen if not any(re.search(pattern, text) for pattern in self.expected)]


@pytest.fixture(autouse=True)
def problems(context: BrowserContext) -> Iterator[Problems]:
    """Fail the test when something goes wrong on one of its pages."""
    found = Problems()

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            found.seen.append(f"console: {message.text} ({message.location.get('url', '')})")

    def on_request(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname not in ("127.0.0.1", "localhost"):
            found.seen.append(f"request leaves this machine: {request.url}")

    def on_error(error: WebError) -> None:
        found.seen.append(f"exception: {error.error}")

    context.on("console", on_console)
    context.on("request", on_request)
    context.on("weberror", on_error)
    yield found
    assert not found.unexpected(), "\n".join(found.unexpected())


@pytest.fixture
def look(page: Page) -> Callable[[int, str], Page]:
    """Give the page a width in pixels and a theme, ``light`` or ``dark``."""

    def set_look(width: int, theme: str) -> Page:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        return page

    return set_look


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    pytest.fail(f"the server did not become ready; its log ends:\n{log.read_text(errors='replace')[-3000:]}")
