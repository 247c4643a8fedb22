"""Provide an interpreter that starts in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .preloaded import interpreter


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the path of a command that runs a Python file or module with PyTorch loaded; see :mod:`preloaded`."""
    with interpreter(tmp_path_factory.mktemp("python")) as command:
        yield command
