"""Provide the fixtures and hooks of all tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_BROWSER = "no Chromium on PATH: install one (on Debian, apt-get install chromium) to run the browser tests"


def browser_path() -> str | None:
    """Return the path of Chromium, or ``None`` if it is not installed."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def browser_is_required() -> bool:
    return os.environ.get("TAPEDECK_REQUIRE_BROWSER", "") not in ("", "0")


@pytest.fixture
def anyio_backend() -> str:
    """Run tests marked ``anyio`` on asyncio, as the server does."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _own_excepthook() -> Generator[None]:
    """Put back ``sys.excepthook``, which Typer replaces when a test calls a command, and which failing programs call."""
    yield
    sys.excepthook = sys.__excepthook__


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.browser)
        if "deep_chain" in item.name:  # the only program in tests/programs with a large graph
            item.add_marker(pytest.mark.slow)
    # Browser tests run last: Playwright keeps an event loop running in this thread, so no other test could start one.
    items.sort(key=_is_browser)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if _is_browser(item) and browser_path() is None:
        pytest.skip(NO_BROWSER)  # in one location, so that pytest summarizes all skips in one line


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a skipped browser test as failed if a browser is required."""
    report = yield
    if report.skipped and _is_browser(item) and browser_is_required() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though TAPEDECK_REQUIRE_BROWSER is set: {report.longrepr}"
    return report


def _is_browser(item: pytest.Item) -> bool:
    return item.get_closest_marker("browser") is not None
