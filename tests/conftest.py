"""Provide the fixtures and hooks of all tests."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Generator

import hypothesis
import pytest

hypothesis.settings.register_profile("tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tests")  # a busy machine is no failure

os.environ.setdefault("TAPEDECK_RECORD_EXAMPLES", "0")  # servers of tests record an example when a test opens it

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = {
    "browser": "no Chromium on PATH: install one (on Debian, apt-get install chromium) to run the browser tests",
    "nginx": "no nginx on PATH: install it (on Debian, apt-get install nginx) to run the tests behind a proxy",
}
"""Markers of tests that need a program, and why they are skipped without it."""


def browser_path() -> str | None:
    """Return the path of Chromium, or ``None`` if it is not installed."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def nginx_path() -> str | None:
    """Return the path of nginx, or ``None`` if it is not installed. It may be in a folder that only root has on ``PATH``."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def programs_are_required() -> bool:
    return os.environ.get("TAPEDECK_REQUIRE_PROGRAMS", "") not in ("", "0")


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


def pytest_collection_finish() -> None:
    """Exclude what is loaded from garbage collection, which would visit a million objects again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if (missing := _missing(item)) is not None:
        pytest.skip(MISSING[missing])  # in one location, so that pytest summarizes all skips in one line


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """If programs are required, let a test fail that was skipped because its program is missing."""
    report = yield
    if report.skipped and _missing(item) is not None and programs_are_required() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though TAPEDECK_REQUIRE_PROGRAMS is set: {report.longrepr}"
    return report


def _missing(item: pytest.Item) -> str | None:
    """Return the marker of a program that a test needs and that is not installed, if any."""
    paths = {"browser": browser_path, "nginx": nginx_path}
    return next((name for name in MISSING if item.get_closest_marker(name) is not None and paths[name]() is None), None)


def _is_browser(item: pytest.Item) -> bool:
    return item.get_closest_marker("browser") is not None
