"""Provide an interpreter that starts in milliseconds."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from .preloaded import interpreter


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the path of a command that runs a Python file or module with PyTorch loaded; see :mod:`preloaded`."""
    with interpreter(tmp_path_factory.mktemp("python")) as command:
        yield command


@pytest.fixture
def preloaded_tracer(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the tracer with :func:`python`."""
    monkeypatch.setattr(sys, "executable", python)
