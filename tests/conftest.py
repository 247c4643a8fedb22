"""Set up what every test may use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_BROWSER = "no Chromium on PATH: install one (on Debian, apt-get install chromium) to run the browser tests"


def browser_path() -> str | None:
    """Return the path of the machine's Chromium."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def browser_is_required() -> bool:
    return os.environ.get("TAPEDECK_REQUIRE_BROWSER", "") not in ("", "0")


@pytest.fixture
def anyio_backend() -> str:
    """Run tests marked ``anyio`` on asyncio, as the server does."""
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.browser)
        if "deep_chain" in item.name:  # the one program of tests/programs whose graph is large
            item.add_marker(pytest.mark.slow)
    # Last: Playwright keeps an event loop running in this thread, and no other test could start one beside it.
    items.sort(key=_is_browser)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if _is_browser(item) and browser_path() is None:
        pytest.skip(NO_BROWSER)  # from this one place, so that pytest says it in one line


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a browser is required, let a browser test that is skipped fail."""
    report = yield
    if report.skipped and _is_browser(item) and browser_is_required() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though TAPEDECK_REQUIRE_BROWSER is set: {report.longrepr}"
    return report


def _is_browser(item: pytest.Item) -> bool:
    return item.get_closest_marker("browser") is not None
